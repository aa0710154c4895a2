"""EC2 with one address, and the metadata service of one instance, answering at once whoever asks.

    endpoint.py HOST PORT [TLS-PORT CERTIFICATE]

A line on stdin, `{"owner": ID|null, "me": ID}`, says who has the address from then on and which instance the metadata service
is of. Each is answered by a line on stdout that tells what there was since the last one: `owner` (who has the address now),
`connections`, `requests` (their bytes, as Latin-1), and `answered` (the seconds that each took to answer once it was whole).
"""

import json
import socket
import ssl
import sys
import threading
import time
from urllib.parse import parse_qs

ADDRESS = "203.0.113.25"
ALLOCATION = "eipalloc-0123456789abcdef0"
ITEM = f"<publicIp>{ADDRESS}</publicIp><allocationId>{ALLOCATION}</allocationId><domain>vpc</domain>"
ANSWER = '<?xml version="1.0" encoding="UTF-8"?>\n<{0}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">' \
    "<requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId>{1}</{0}Response>"
REFUSAL = "<Response><Errors><Error><Code>{0}</Code><Message>{0}</Message></Error></Errors><RequestID>59dbff89</RequestID></Response>"


class World:
    """What is so, and what there was since somebody last asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.be(None, "")

    def be(self, owner: str | None, me: str):
        self.owner, self.me = owner, me
        # The same for the same calls, so that they can be sent again byte for byte.
        self.association = "eipassoc-00000000000000001"
        self.connections = 0
        self.requests: list[str] = []
        self.answered: list[float] = []

    def tell(self) -> dict:
        return {"owner": self.owner, "connections": self.connections, "requests": self.requests, "answered": self.answered}

    def answer(self, head: str, body: str) -> tuple[int, str]:
        method, path, _ = head.split(" ", 2)
        if method == "PUT":
            return 200, "AQAEAE4xwFZ0b2tlbg=="
        if path.startswith("/latest/meta-data/instance-id"):
            return 200, self.me
        call = {name: values[0] for name, values in parse_qs(body).items()}
        action = call.get("Action", "")
        if action == "AssociateAddress":
            self.owner = call["InstanceId"]
            self.association = "eipassoc-00000000000000002"
            return 200, ANSWER.format(action, f"<return>true</return><associationId>{self.association}</associationId>")
        if action == "DisassociateAddress":
            if not self.owner or call["AssociationId"] != self.association:
                return 400, REFUSAL.format("InvalidAssociationID.NotFound")
            self.owner = None
            return 200, ANSWER.format(action, "<return>true</return>")
        if action == "DescribeAddresses":
            held = f"<associationId>{self.association}</associationId><instanceId>{self.owner}</instanceId>" if self.owner else ""
            return 200, ANSWER.format(action, f"<addressesSet><item>{ITEM}{held}</item></addressesSet>")
        if action == "DescribeInstances":
            asked = call["InstanceId.1"]
            held = f"<ipAddress>{ADDRESS}</ipAddress>" if asked == self.owner else ""
            instance = f"<instanceId>{asked}</instanceId><instanceState><code>16</code><name>running</name></instanceState>{held}"
            return 200, ANSWER.format(action, f"<reservationSet><item><instancesSet><item>{instance}</item></instancesSet></item></reservationSet>")
        return 404, ""


def serve(world: World, listener: socket.socket, tls: ssl.SSLContext | None):
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with world.lock:
            world.connections += 1
        threading.Thread(target=converse, args=(world, peer, tls), daemon=True).start()


def converse(world: World, peer: socket.socket, tls: ssl.SSLContext | None):
    try:
        with tls.wrap_socket(peer, server_side=True) if tls else peer as stream:
            received = b""
            while chunk := stream.recv(65536):
                received += chunk
                while (request := take(received)) is not None:
                    received = received[len(request):]
                    reply(world, stream, request.decode("latin-1"))
    except OSError:
        # Whoever only connects, or leaves without a farewell, is counted all the same.
        pass


def take(received: bytes) -> bytes | None:
    """The first request, once it is whole."""
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0]) if lengths else 0
    return head + end + rest[:length] if len(rest) >= length else None


def reply(world: World, stream: socket.socket, request: str):
    began = time.perf_counter()
    head, _, body = request.partition("\r\n\r\n")
    with world.lock:
        world.requests.append(request)
        status, text = world.answer(head, body)
    kind = "text/xml;charset=UTF-8" if text.startswith("<") else "text/plain"
    stream.sendall(f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    with world.lock:
        world.answered.append(time.perf_counter() - began)


def main():
    host, port, *secure = sys.argv[1:]
    world = World()
    listeners = [(socket.create_server((host, int(port)), backlog=64), None)]
    if secure:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_cert_chain(secure[1])
        listeners.append((socket.create_server((host, int(secure[0])), backlog=64), tls))
    for listener, context in listeners:
        threading.Thread(target=serve, args=(world, listener, context), daemon=True).start()
    print(flush=True)
    for line in sys.stdin:
        with world.lock:
            print(json.dumps(world.tell()), flush=True)
            world.be(**json.loads(line))


if __name__ == "__main__":
    main()
