import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from documents import REPOSITORY, Document

ADDRESS = "203.0.113.25"
REGION = "eu-west-1"
# Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Said:
    stdout: str
    stderr: str
    code: int

    def lines(self) -> list[str]:
        return (self.stdout + self.stderr).splitlines()


class Machine:
    """A folder that the program takes for the root of a machine."""

    def __init__(self, root: Path, program: Path):
        self.root = root
        self.program = program
        for folder in ("etc/default", "root"):
            (root / folder).mkdir(parents=True)
        self.write_secret("AKIDEXAMPLE\nsEcReTcAnArY-of-the-documents\n")

    def configure(self, *lines: str):
        (self.root / "etc/default/elastic-ip").write_bytes("".join(f"{line}\n" for line in lines).encode())

    def write_secret(self, text: str, mode: int = 0o600):
        path = self.root / "root/.awssecret"
        path.write_text(text)
        path.chmod(mode)

    def write_settings(self, text: str):
        path = self.root / "root/.aws/config"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)

    def run(self, *words: str, **environment: str) -> Said:
        done = subprocess.run(
            [self.program, "--root", self.root, *words],
            env={"HOME": "/root", "PATH": os.environ["PATH"]} | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return Said(done.stdout, done.stderr, done.returncode)


class Ec2:
    """moto, with two instances and one Elastic IP."""

    def __init__(self, endpoint: str):
        self.endpoint = endpoint
        self.client = boto3.client("ec2", region_name=REGION, endpoint_url=endpoint,
                                   aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="sEcReTcAnArY-of-the-documents")
        image = self.client.describe_images()["Images"][0]["ImageId"]
        launched = self.client.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)
        self.instances = [instance["InstanceId"] for instance in launched["Instances"]]
        self.client.allocate_address(Domain="vpc", Address=ADDRESS)


@pytest.fixture(scope="session")
def readme():
    return Document("README.md")


@pytest.fixture(scope="session")
def configuration():
    return Document("docs/configuration.md")


@pytest.fixture(scope="session")
def program():
    subprocess.run(["cargo", "build", "--locked", "--quiet"], cwd=REPOSITORY, check=True)
    return REPOSITORY / "target/debug/elastic-ip"


@pytest.fixture
def machine(tmp_path, program):
    return Machine(tmp_path / "machine", program)


@pytest.fixture(scope="session")
def ec2(tmp_path_factory):
    log = tmp_path_factory.mktemp("moto") / "log"
    with open(log, "wb") as output:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Ec2(found[1])
    finally:
        server.kill()
        server.wait()
