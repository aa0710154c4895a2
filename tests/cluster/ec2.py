"""EC2 as the bench sees it: who has the address, who had it when, and who called what."""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions

HERE = Path(__file__).resolve().parent
PORT = 5000
REGION = "eu-west-1"
ACCESS_KEY_ID = "AKIAEXAMPLEDUMMY0000"
SECRET_ACCESS_KEY = "sEcReTcAnArY/of/the/bench/0000000000000"
SAMPLING_STEP = 0.02
# Whatever proxy the machine is told to use.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Ec2:
    """One moto server with two instances and one Elastic IP."""

    def __init__(self, host: str, address: str, directory: Path):
        self.address = address
        self.host = host
        self.endpoint = f"http://{host}:{PORT}"
        self.journal = directory / "ec2-calls"
        self.journal.touch()
        self.log = open(directory / "moto.log", "wb")
        self.server = subprocess.Popen(
            [sys.executable, HERE / "ec2_server.py", host, str(PORT), self.journal],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            self.client = self.connect()
            self.await_server()
            image = self.client.describe_images()["Images"][0]["ImageId"]
            self.instances = self.client.run_instances(
                ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)["Instances"]
            self.allocation = self.client.allocate_address(
                Domain="vpc", Address=address)["AllocationId"]
        except BaseException:
            self.close()
            raise

    def connect(self):
        return boto3.client(
            "ec2", region_name=REGION, endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY_ID, aws_secret_access_key=SECRET_ACCESS_KEY,
            config=botocore.config.Config(connect_timeout=1, read_timeout=10,
                                          retries={"max_attempts": 0}))

    def await_server(self):
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(botocore.exceptions.EndpointConnectionError):
                self.client.describe_addresses()
                return
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto does not answer: see {self.log.name}")
            time.sleep(0.1)

    def owner(self, client=None) -> str | None:
        """The id of the instance the address points to."""
        found = (client or self.client).describe_addresses(PublicIps=[self.address])["Addresses"]
        assert len(found) == 1, found
        return found[0].get("InstanceId") or None

    def associate(self, instance: str):
        self.client.associate_address(
            AllocationId=self.allocation, InstanceId=instance, AllowReassociation=True)

    def disassociate(self):
        found = self.client.describe_addresses(PublicIps=[self.address])["Addresses"][0]
        if association := found.get("AssociationId"):
            self.client.disassociate_address(AssociationId=association)

    def be_faulty(self, *faults: dict):
        """From now on these go wrong, and no others: see ec2_server.py."""
        self.control("PUT", "faults", list(faults))

    def held(self) -> list[dict]:
        """The calls that a fault holds."""
        return self.control("GET", "faults")

    def be_late(self, seconds: float = 0, replicas: bool = False, **more):
        """From now on the nodes are shown what was so so many seconds ago; with replicas, every other time."""
        self.control("PUT", "lateness", {"seconds": seconds, "replicas": 2 if replicas else 1} | more)

    def shows_what_is_so(self) -> bool:
        """To the nodes, in each answer."""
        return self.control("GET", "lateness")["shown"]

    def control(self, method: str, what: str, value=None):
        request = urllib.request.Request(
            f"{self.endpoint}/{what}", method=method,
            data=None if value is None else json.dumps(value).encode(),
            headers={"Content-Type": "application/json"})
        with DIRECTLY.open(request, timeout=10) as answer:
            return json.load(answer)

    def calls(self, since: float = 0) -> list["Call"]:
        """What was called, by whom, from `since` (monotonic seconds) on."""
        calls = [Call(**json.loads(line)) for line in self.journal.read_text().splitlines()]
        return [call for call in calls if call.time >= since]

    @contextlib.contextmanager
    def sampled(self):
        """Samples the owner while the block runs."""
        history = History()
        ended = threading.Event()

        def sample():
            client = self.connect()
            # A client's first call takes ten times as long as the next.
            self.owner(client)
            last = False
            while not last:
                # One more sample after the end: it knows all that the block saw.
                last = ended.wait(SAMPLING_STEP)
                asked = time.monotonic()
                owner = self.owner(client)
                history.samples.append(Sample(asked, time.monotonic(), owner))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield history
        finally:
            ended.set()
            sampler.join()

    def close(self):
        self.server.kill()
        self.server.wait()
        self.log.close()


@dataclass(frozen=True)
class Call:
    """One line of the journal: see ec2_server.py. `time` is when it was answered; `before` and
    `after` map each address to its owner, where moto was asked at all; `late` is how many seconds
    old what it showed was."""
    time: float
    source: str
    status: int
    call: dict
    began: float = 0
    answer: str = ""
    fault: str = ""
    applied: bool = True
    before: dict[str, str | None] = field(default_factory=dict)
    after: dict[str, str | None] = field(default_factory=dict)
    late: float = 0

    @property
    def action(self) -> str:
        return self.call["Action"]


@dataclass(frozen=True)
class Sample:
    asked: float
    answered: float
    owner: str | None


class History:
    """Who had the address, sample after sample."""

    def __init__(self):
        self.samples: list[Sample] = []

    def owners(self) -> list[str | None]:
        """The owners in turn, each as often as it came to have the address."""
        owners = []
        for sample in self.samples:
            if not owners or owners[-1] != sample.owner:
                owners.append(sample.owner)
        return owners

    def seconds_without_owner(self, since: float = 0, until: float = float("inf")) -> float:
        """The most that the samples leave possible: from the last answer that named an owner
        before a gap to the first one after it. 0 if every sample named an owner."""
        samples = [sample for sample in self.samples if since <= sample.asked < until]
        total = 0.0
        owned = samples[0].asked
        for before, sample in itertools.pairwise(samples):
            if sample.owner is not None:
                if before.owner is None:
                    total += sample.answered - owned
                owned = sample.asked
        if samples[-1].owner is None:
            total += samples[-1].answered - owned
        return total

    def steps(self) -> list[float]:
        """The times between one sample and the next."""
        return [after.asked - before.asked for before, after in itertools.pairwise(self.samples)]

    def change_to(self, owner: str | None, since: float) -> float:
        """When, after `since`, a sample first named `owner`."""
        return next(s.answered for s in self.samples if s.asked >= since and s.owner == owner)
