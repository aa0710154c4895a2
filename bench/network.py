"""A wire with EC2 at its other end, and the metadata service at this one: inside tests/cluster/sandbox."""

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import REPOSITORY

HERE = Path(__file__).resolve().parent
# Empty, in memory, and gone with the sandbox.
PLACE = REPOSITORY / "target/cluster/mnt"
NEAR, FAR = "198.18.0.1", "198.18.0.2"
METADATA = "169.254.169.254"
# The instance that this machine is.
ME = "i-0123456789abcdef0"
# The system's, below its root.
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"


class Companion:
    """A program beside this one, which answers each line with a line."""

    def __init__(self, *command: str):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # It says so when it is ready.
        self.read()

    def read(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} has ended")
        return line

    def ask(self, line: str) -> str:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.kill()
        self.process.wait()


class Endpoint(Companion):
    """See endpoint.py."""

    def be(self, owner: str | None, me: str = ME) -> dict:
        return json.loads(self.ask(json.dumps({"owner": owner, "me": me})))


class Network:
    """This side of a wire, with the package and the metadata service, and EC2 at the other end."""

    def __init__(self, closing: contextlib.ExitStack):
        def start(kind, *command):
            companion = kind(*command)
            closing.callback(companion.close)
            return companion

        run("dpkg-deb", "--extract", str(package()), str(PLACE / "package"))
        python = sys.executable
        run("ip", "address", "add", METADATA, "dev", "lo")
        run("ip", "netns", "add", "ec2")
        self.wire = start(Companion, python, str(HERE / "wire.py"), "near", "far")
        run("ip", "link", "set", "far", "netns", "ec2")
        run("ip", "address", "add", NEAR, "peer", FAR, "dev", "near")
        run("ip", "-n", "ec2", "address", "add", FAR, "peer", NEAR, "dev", "far")
        for link in (("-n", "ec2", "link", "set", "lo"), ("-n", "ec2", "link", "set", "far"), ("link", "set", "near")):
            run("ip", *link, "up")
        certificate = make_certificate()
        self.ec2 = start(Endpoint, "ip", "netns", "exec", "ec2", python, str(HERE / "endpoint.py"), FAR, "80", "443", str(certificate))
        self.metadata = start(Endpoint, python, str(HERE / "endpoint.py"), METADATA, "80")
        self.metadata.be(None)

    def stretch(self, round_trip: float) -> float:
        """Makes the wire that long, and measures it: the median time that a connection takes, in seconds."""
        self.wire.ask(str(round_trip))
        times = []
        for _ in range(21):
            began = time.perf_counter()
            socket.create_connection((FAR, 80)).close()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def package() -> Path:
    deb, = (REPOSITORY / "target/deb").glob("elastic-ip_*.deb")
    return deb


def run(*command: str):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")


def make_certificate() -> Path:
    """EC2's, with its key. `authority.pem` has signed it, and is one of the system's as far as this sandbox goes."""
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    authority, key, certificate = PLACE / "authority.pem", PLACE / "authority.key", PLACE / "ec2.pem"
    run(*make, "-subj", "/CN=the bench", "-keyout", str(key), "-out", str(authority))
    run(*make, "-subj", "/CN=EC2", "-CA", str(authority), "-CAkey", str(key), "-extensions", "usr_cert",
        "-addext", f"subjectAltName=IP:{FAR}", "-keyout", str(PLACE / "ec2.key"), "-out", str(certificate))
    system, more = Path("/", AUTHORITIES), PLACE / "authorities.pem"
    more.write_text(system.read_text() + authority.read_text())
    run("mount", "--bind", str(more), str(system))
    certificate.write_text(certificate.read_text() + (PLACE / "ec2.key").read_text())
    return certificate
