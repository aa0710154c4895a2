"""Cold starts of a node whose peer is dead, and takeovers, again and again: does Heartbeat lose one?

    starts.py [--cold N] [--takeovers N] [--latency MS] [--busy] [--at-once]

Both are moments at which two of Heartbeat's scripts send it a message, which it may garble. One is
lost if Heartbeat stays in transition, or the node does not get the address.
"""

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from cluster import QUICK, Cluster, Configuration, package
from node import Node, wait_until
from symptoms import DEAF, said

# Seconds from the start or the peer's death. Heartbeat itself takes initdead, 4 s, or deadtime, 2 s.
LIMIT = 25
# What a node that garbled a message gets to go on nevertheless.
AFTER_GARBLING = 6
# Heartbeat has read what mach_down told it. Until then it is in transition, and for some seconds after a cold start.
TAKEN = re.compile(r" heartbeat: \[\d+\]: info: mach_down takeover complete\.$")
# Two processes for each core that do nothing but take its time, at the priority of the nodes.
BURNERS = 2 * (os.cpu_count() or 1)
# So that other work on the machine goes before them.
BUSY_NICENESS = 10


@dataclass
class Attempt:
    what: str
    seconds: float | None = None
    lost: str = ""
    garbled: str = ""

    def __str__(self) -> str:
        told = f"LOST: {self.lost}" if self.lost else f"{self.seconds:.2f} s"
        return f"{self.what:32} {told}" + (f"  {self.garbled[16:140]!r}" if self.garbled else "")


class Starts:
    def __init__(self, cluster: Cluster, latency: float = 0, at_once: bool = False, say=print):
        """`latency` seconds pass until EC2 answers a node. `at_once` takes the init script's wait for
        mach_down away."""
        self.cluster = cluster
        self.latency = latency
        self.at_once = at_once
        self.say = say
        # With a failback, the home node would never have to take a group of its own over.
        self.configuration = Configuration(auto_failback="off")
        self.attempts: list[Attempt] = []

    def begin(self):
        self.cluster.reset(self.configuration)
        if self.latency:
            self.cluster.ec2.be_faulty({"kind": "slow", "seconds": self.latency,
                                        "sources": list(self.cluster.public.values())})
        for node in self.cluster.nodes.values():
            self.prepare(node)

    def prepare(self, node: Node):
        """After each boot."""
        os.truncate(node.file("var/log/syslog"), 0)
        node.started_at = 0
        if self.at_once:
            node.run("mount", "--bind", "/usr/bin/true", "/usr/libexec/elastic-ip/await-mach-down")

    def cold(self, number: int):
        """So often, server1 is booted and starts Heartbeat while the address is nobody's and its peer is dead."""
        self.begin()
        node, peer = self.cluster.nodes.values()
        peer.kill()
        for _ in range(number):
            node.kill()
            self.cluster.ec2.disassociate()
            node.boot()
            self.prepare(node)
            begun = time.monotonic()
            node.start_heartbeat()
            self.await_takeover(Attempt(f"cold start of {node.name}"), node, begun)

    def takeovers(self, number: int):
        """So often, the node that has the address dies, and then returns."""
        running = False
        for _ in range(number):
            if not running:
                self.begin()
                self.cluster.start()
                self.rest()
            dying = self.cluster.nodes[self.cluster.owner()]
            heir = self.cluster.nodes[self.cluster.peer(dying.name)]
            begun = time.monotonic()
            dying.kill()
            running = self.await_takeover(Attempt(f"takeover by {heir.name}"), heir, begun)
            if running:
                dying.boot()
                self.prepare(dying)
                dying.start_heartbeat()
                self.rest()

    def rest(self):
        self.cluster.garbled = 0
        self.cluster.wait_for_members()
        assert self.cluster.owner(), "nobody has the address"

    def await_takeover(self, attempt: Attempt, node: Node, begun: float) -> bool:
        limit = begun + LIMIT

        def over() -> bool:
            nonlocal limit
            if not attempt.garbled:
                attempt.garbled = said(node.log()[node.started_at:], *DEAF) or ""
                if attempt.garbled:
                    limit = min(limit, time.monotonic() + AFTER_GARBLING)
            return self.has_taken(node) or time.monotonic() > limit
        wait_until(over, LIMIT + 10, "the takeover to be done or lost")
        if self.has_taken(node):
            taken = next(call.time for call in self.cluster.ec2.calls(begun) if call.action == "AssociateAddress")
            attempt.seconds = taken - begun
        else:
            owner, books = self.cluster.owner() or "nobody", self.books(node)
            attempt.lost = f"EC2 names {owner}, Heartbeat's books {books or 'nothing'}"
        self.attempts.append(attempt)
        self.say(f"{len(self.attempts):4}  {attempt}")
        return not attempt.lost

    def has_taken(self, node: Node) -> bool:
        told = any(TAKEN.search(line) for line in node.log()[node.started_at:])
        return told and self.cluster.owner() == node.name

    def books(self, node: Node) -> str:
        return node.run("cl_status", "rscstatus", check=False).stdout.strip()

    def lost(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.lost]

    def summary(self) -> str:
        lines = [f"EC2 answers after {self.latency * 1000:g} ms"
                 f"{', the status without its wait for mach_down' if self.at_once else ''}:"]
        for what in sorted({attempt.what for attempt in self.attempts}):
            these = [attempt for attempt in self.attempts if attempt.what == what]
            lost = sum(bool(attempt.lost) for attempt in these)
            garbled = sum(bool(attempt.garbled) for attempt in these)
            seconds = [attempt.seconds for attempt in these if attempt.seconds is not None]
            taken = f"; the address after {statistics.median(seconds):.2f} s, {max(seconds):.2f} s at most" if seconds else ""
            lines.append(f"    {what}: {lost} of {len(these)} lost, {garbled} with a garbled message{taken}")
        return "\n".join(lines)


@contextlib.contextmanager
def busy():
    """The machine has more to do than it can."""
    os.setpriority(os.PRIO_PROCESS, 0, BUSY_NICENESS)
    burners = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main():
    # A shell without job control starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="tests/cluster/starts", description="Starts a node alone, and lets one take over from the other, again and again.")
    parser.add_argument("--cold", type=int, default=0, metavar="N", help="so many cold starts of a node whose peer is dead")
    parser.add_argument("--takeovers", type=int, default=0, metavar="N", help="so many deaths of the node that has the address")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="milliseconds until EC2 answers (0)")
    parser.add_argument("--busy", action="store_true", help=f"beside {BURNERS} processes that take the processors' time")
    parser.add_argument("--at-once", action="store_true", help="without the status's wait for mach_down")
    wanted = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with busy() if wanted.busy else contextlib.nullcontext():
        cluster = Cluster(package())
        print(cluster.introduce())
        starts = Starts(cluster, wanted.latency / 1000, wanted.at_once)
        try:
            if wanted.cold:
                starts.cold(wanted.cold)
            if wanted.takeovers:
                starts.takeovers(wanted.takeovers)
        except KeyboardInterrupt:
            print("Interrupted.")
        finally:
            print(starts.summary() + f"\n    deadtime {QUICK.deadtime}, load {' '.join(map(str, os.getloadavg()))}")
            cluster.close()
    if starts.lost():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
