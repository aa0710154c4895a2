"""A wire that is long: two interfaces, each of whose packets comes out of the other half a round trip later.

    wire.py INTERFACE INTERFACE

A line on stdin is the round trip from then on, in seconds.
"""

import collections
import contextlib
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

# <linux/if_tun.h>, <linux/prctl.h>
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PR_SET_TIMERSLACK = 29
PACKET = 65535


def interface(name: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def carry(one: int, other: int):
    opposite = {one: other, other: one}
    delay = 0.0
    # In the order in which they are due, because each is held equally long.
    held: collections.deque[tuple[float, int, bytes]] = collections.deque()
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        readable, _, _ = select.select([one, other, sys.stdin], [], [], wait)
        now = time.monotonic()
        for tun in opposite.keys() & readable:
            held.append((now + delay, opposite[tun], os.read(tun, PACKET)))
        if sys.stdin in readable:
            line = sys.stdin.readline()
            if not line:
                return
            delay = float(line) / 2
            print(flush=True)
        while held and held[0][0] <= time.monotonic():
            _, tun, packet = held.popleft()
            # An interface that is not up takes none.
            with contextlib.suppress(OSError):
                os.write(tun, packet)


def main():
    # The kernel may else be 50 µs late.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    ends = [interface(name) for name in sys.argv[1:]]
    print(flush=True)
    carry(*ends)


if __name__ == "__main__":
    main()
