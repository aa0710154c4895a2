"""The policies of docs/configuration.md and of `elastic-ip policy` are what the program needs: no less and no more.

moto runs in its IAM mode, in which it checks each request's signature and its user's policy.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "target" / "debug" / "elastic-ip"
REGION = "eu-west-1"
ADDRESS = "203.0.113.25"
OTHER_ADDRESS = "203.0.113.26"
ACTIONS = {"ec2:DescribeAddresses", "ec2:AssociateAddress", "ec2:DisassociateAddress"}
# The user by whom the test itself looks at EC2.
OBSERVER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
MINE = (f"elastic-ip remapper: I have {ADDRESS}\nrunning\n", 0)
NOT_MINE = (f"elastic-ip remapper: I do not have {ADDRESS}\nstopped\n", 3)
UNKNOWN = ("unknown\n", 4)
RELEASED = (f"elastic-ip remapper: IP {ADDRESS} disowned\n", 0)
NOT_RELEASED = (f"elastic-ip remapper: Could not disown {ADDRESS}\n", 1)


def policy() -> dict:
    blocks = re.findall(r"^```json\n(.*?)^```", (REPOSITORY / "docs/configuration.md").read_text(), re.S | re.M)
    return json.loads(next(block for block in blocks if "ec2:AssociateAddress" in block))


def without(action: str) -> dict:
    reduced = policy()
    for statement in reduced["Statement"]:
        statement["Action"] = [allowed for allowed in statement["Action"] if allowed != action]
    return reduced


class Ec2:
    """moto, which lets everything pass until `enforce`."""

    def __init__(self, log: Path):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        with open(log, "wb") as out:
            self.server = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("ec2_with_arns.py"), "-H", "127.0.0.1", "-p", str(port)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            self.iam = self.connect("iam", ("none", "none"))
            self.await_answer(log)
            self.observer = self.connect("ec2", self.user(OBSERVER))
            image = self.observer.describe_images()["Images"][0]["ImageId"]
            instances = self.observer.run_instances(
                ImageId=image, InstanceType="t3.micro", MinCount=2, MaxCount=2)["Instances"]
            self.instance, self.peer = (instance["InstanceId"] for instance in instances)
            self.allocation, self.other_allocation = (
                self.observer.allocate_address(Domain="vpc", Address=address)["AllocationId"] for address in (ADDRESS, OTHER_ADDRESS))
        except BaseException:
            self.close()
            raise

    def connect(self, service: str, keys: tuple[str, str]):
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.endpoint, aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            config=botocore.config.Config(connect_timeout=1, retries={"max_attempts": 0}))

    def await_answer(self, log: Path):
        deadline = time.monotonic() + 60
        while True:
            try:
                self.iam.list_users()
                return
            except botocore.exceptions.EndpointConnectionError:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(0.1)

    def user(self, document: dict) -> tuple[str, str]:
        """A new user with that policy and no other: its access key."""
        name = f"user-{secrets.token_hex(4)}"
        self.iam.create_user(UserName=name)
        self.iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=json.dumps(document))
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def role(self, name: str, document: dict) -> str:
        """A new role with that policy: its ARN."""
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        self.iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=json.dumps(document))
        return self.iam.get_role(RoleName=name)["Role"]["Arn"]

    def enforce(self):
        # With a content type moto does not read the body and goes on letting everything pass.
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", b"0", method="POST")
        request.add_unredirected_header("Content-Type", "")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    def owner(self, address: str = ADDRESS) -> str | None:
        return self.observer.describe_addresses(PublicIps=[address])["Addresses"][0].get("InstanceId") or None

    def give_to(self, instance: str, allocation: str | None = None):
        self.observer.associate_address(
            AllocationId=allocation or self.allocation, InstanceId=instance, AllowReassociation=True)

    def close(self):
        self.server.kill()
        self.server.wait()


def resources(document: dict) -> list[tuple[str, str]]:
    """The resource types that a policy names for each action."""
    return [(action, arn.split(":")[5].split("/")[0]) for statement in document["Statement"] for action in statement["Action"]
            for arn in statement["Resource"] if arn != "*"]


def without_resource(document: dict, action: str, kind: str) -> dict:
    reduced = json.loads(json.dumps(document))
    for statement in reduced["Statement"]:
        if action in statement["Action"]:
            statement["Resource"] = [arn for arn in statement["Resource"] if f":{kind}/" not in arn]
    return reduced


def narrow_policy(agent) -> dict:
    """What the program prints for an address that is named by its allocation id."""
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run `cargo build`"
    agent.configure(("none", "none"))
    printed = agent(agent.ec2.allocation, "policy")
    assert printed.returncode == 0, printed.stderr
    return json.loads(printed.stdout)


@pytest.fixture(scope="module")
def ec2(tmp_path_factory):
    ec2 = Ec2(tmp_path_factory.mktemp("moto") / "log")
    ec2.keys = {"all": ec2.user(policy())} | {action: ec2.user(without(action)) for action in ACTIONS}
    narrow = narrow_policy(Agent(ec2, tmp_path_factory.mktemp("root")))
    ec2.keys["narrow"] = ec2.user(narrow)
    for action, kind in resources(narrow):
        ec2.keys[action, kind] = ec2.user(without_resource(narrow, action, kind))
    ec2.roles = {name: ec2.role(name, policy()) for name in ("ours", "theirs")}
    ec2.keys["assuming"] = ec2.user(assuming(ec2.roles["ours"]))
    ec2.enforce()
    yield ec2
    ec2.close()


@dataclass
class Agent:
    """The program on the first instance, as a user."""
    ec2: Ec2
    root: Path

    def configure(self, keys: tuple[str, str], **more: str):
        values = {
            "ELASTIC_IP": ADDRESS,
            "AWS_PARAMS": f'"--region={REGION}"',
            "AWS_ENDPOINT_URL_EC2": self.ec2.endpoint,
            "MY_ID": self.ec2.instance,
            # What is refused here no waiting cures, but a start cannot know.
            "START_TIMEOUT": "3",
        } | more
        for path, text in {
            "etc/default/elastic-ip": "".join(f"{name}={value}\n" for name, value in values.items()),
            "root/.awssecret": "\n".join(keys) + "\n",
        }.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
            (self.root / path).chmod(0o600)

    def __call__(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [PROGRAM, "--root", self.root, *words], capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, env={"HOME": "/root", "PATH": os.environ["PATH"]})


def said(done: subprocess.CompletedProcess) -> tuple[str, int]:
    return done.stdout, done.returncode


@pytest.fixture
def agent(ec2, tmp_path):
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run `cargo build`"
    ec2.give_to(ec2.peer)
    return Agent(ec2, tmp_path)


def mapped(ec2) -> tuple[str, int]:
    return f"elastic-ip remapper: IP {ADDRESS} associated with {ec2.instance}\n", 0


def not_mapped(ec2) -> tuple[str, int]:
    return f"elastic-ip remapper: Could not map IP {ADDRESS} to {ec2.instance}\n", 1


def test_the_policy_allows_three_actions_and_no_more():
    allowed = [action for statement in policy()["Statement"] for action in statement["Action"]]
    assert sorted(allowed) == sorted(ACTIONS)


def test_the_policy_suffices(ec2, agent):
    agent.configure(ec2.keys["all"])
    assert said(agent("status")) == NOT_MINE
    assert said(agent("start")) == mapped(ec2)
    assert ec2.owner() == ec2.instance
    assert said(agent("status")) == MINE
    assert said(agent("start")) == mapped(ec2)
    assert said(agent("stop")) == RELEASED
    assert ec2.owner() is None
    assert said(agent("status")) == NOT_MINE


def refused(done: subprocess.CompletedProcess, action: str) -> bool:
    return (f"not authorized to perform: {action}" in done.stderr
            and f"allow {action} in the IAM policy" in done.stderr)


def test_nothing_can_be_told_or_done_without_describe_addresses(ec2, agent):
    agent.configure(ec2.keys["ec2:DescribeAddresses"])
    for action, expected in {"status": UNKNOWN, "start": not_mapped(ec2), "stop": NOT_RELEASED}.items():
        done = agent(action)
        assert said(done) == expected
        assert refused(done, "ec2:DescribeAddresses"), done.stderr
    assert ec2.owner() == ec2.peer


def test_a_start_is_refused_without_associate_address(ec2, agent):
    agent.configure(ec2.keys["ec2:AssociateAddress"])
    done = agent("start")
    assert said(done) == not_mapped(ec2)
    assert refused(done, "ec2:AssociateAddress"), done.stderr
    assert ec2.owner() == ec2.peer
    assert said(agent("status")) == NOT_MINE


def test_a_stop_is_refused_without_disassociate_address(ec2, agent):
    agent.configure(ec2.keys["ec2:DisassociateAddress"])
    assert said(agent("start")) == mapped(ec2)
    done = agent("stop")
    assert said(done) == NOT_RELEASED
    assert refused(done, "ec2:DisassociateAddress"), done.stderr
    assert ec2.owner() == ec2.instance
    # A stop that failed must not let Heartbeat conclude that the resource is still claimed.
    assert said(agent("status")) == UNKNOWN


def test_a_handover_needs_no_disassociate_address(ec2, agent):
    agent.configure(ec2.keys["ec2:DisassociateAddress"], RELEASE_ON_STOP="no")
    assert said(agent("start")) == mapped(ec2)
    assert said(agent("stop")) == RELEASED
    assert ec2.owner() == ec2.instance
    assert said(agent("status")) == (f"elastic-ip remapper: I have {ADDRESS}\nstopped\n", 3)


def test_the_program_prints_the_policy(ec2, agent):
    agent.configure(ec2.keys["all"])
    printed = agent("policy")
    assert printed.returncode == 0
    assert json.loads(printed.stdout) == policy()


def test_the_printed_policy_for_one_address_suffices_for_it(ec2, agent):
    for name in (ADDRESS, ec2.allocation):
        agent.configure(ec2.keys["narrow"], ELASTIC_IP=name)
        ec2.give_to(ec2.peer)
        assert agent("status").returncode == 3
        assert agent("start").returncode == 0
        assert ec2.owner() == ec2.instance
        assert agent("status").returncode == 0
        checked = agent("check")
        assert set(permissions(checked).values()) == {"ok"}, checked.stdout
        assert checked.returncode == 0
        assert ec2.owner() == ec2.instance
        assert agent("stop").returncode == 0
        assert ec2.owner() is None
        assert agent("status").returncode == 3


def test_the_printed_policy_for_one_address_allows_no_other(ec2, agent):
    agent.configure(ec2.keys["narrow"], ELASTIC_IP=OTHER_ADDRESS)
    ec2.give_to(ec2.peer, ec2.other_allocation)
    assert agent("status").returncode == 3
    done = agent("start")
    assert done.returncode == 1
    assert refused(done, "ec2:AssociateAddress"), done.stderr
    assert ec2.owner(OTHER_ADDRESS) == ec2.peer
    assert permissions(agent("check"))["may-associate"] == "fail"

    ec2.give_to(ec2.instance, ec2.other_allocation)
    done = agent("stop")
    assert done.returncode == 1
    assert refused(done, "ec2:DisassociateAddress"), done.stderr
    assert ec2.owner(OTHER_ADDRESS) == ec2.instance


@pytest.mark.parametrize("action, kind", [
    ("ec2:AssociateAddress", "elastic-ip"), ("ec2:AssociateAddress", "instance"), ("ec2:AssociateAddress", "network-interface"),
    ("ec2:DisassociateAddress", "elastic-ip"), ("ec2:DisassociateAddress", "network-interface")])
def test_the_printed_policy_for_one_address_names_no_resource_in_vain(ec2, agent, action, kind):
    agent.configure(ec2.keys[action, kind])
    start = agent("start")
    assert said(start) == (not_mapped(ec2) if action == "ec2:AssociateAddress" else mapped(ec2))
    done = start if action == "ec2:AssociateAddress" else agent("stop")
    assert done.returncode == 1
    assert refused(done, action), done.stderr


def assuming(arn: str) -> dict:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}]}


def test_the_printed_policy_suffices_for_a_role_which_who_is_told_may_assume(ec2, agent):
    keys = ec2.keys["assuming"]
    for name, arn in ec2.roles.items():
        (agent.root / "root/.aws").mkdir(parents=True, exist_ok=True)
        settings = agent.root / "root/.aws/credentials"
        settings.write_text(f"[failover]\nrole_arn = {arn}\nsource_profile = keys\n"
                            f"[keys]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n")
        settings.chmod(0o600)
        agent.configure(("none", "none"), AWS_PROFILE="failover", AWS_ENDPOINT_URL_STS=ec2.endpoint)
        printed = agent("policy")
        assert json.loads(printed.stdout) == policy()
        assert re.findall(r"allow (\S+) on it", printed.stderr) == ["sts:AssumeRole"]
        assert re.findall(r"(\S+) is assumed by the owner of the keys", printed.stderr) == [arn]
        start = agent("start")
        if name == "ours":
            assert said(start) == mapped(ec2)
            assert said(agent("status")) == MINE
        else:
            assert start.returncode == 1 and "AccessDenied" in start.stderr, start


def permissions(done: subprocess.CompletedProcess) -> dict[str, str]:
    return {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if " may-" in line}


def test_a_check_finds_what_the_policy_allows_and_changes_nothing(ec2, agent):
    agent.configure(ec2.keys["all"])
    done = agent("check")
    assert permissions(done) == {"may-describe": "ok", "may-associate": "ok", "may-disassociate": "ok"}, done.stdout
    assert done.returncode == 0
    assert ec2.owner() == ec2.peer


@pytest.mark.parametrize("action, name", [("ec2:AssociateAddress", "may-associate"), ("ec2:DisassociateAddress", "may-disassociate")])
def test_a_check_finds_the_permission_that_is_missing(ec2, agent, action, name):
    agent.configure(ec2.keys[action])
    done = agent("check")
    allowed = {"may-describe": "ok", "may-associate": "ok", "may-disassociate": "ok"}
    assert permissions(done) == allowed | {name: "fail"}, done.stdout
    assert f"; allow {action} in the IAM policy" in done.stdout
    assert done.returncode == 1
    assert ec2.owner() == ec2.peer


def test_a_check_without_the_permission_to_describe_tells_that(ec2, agent):
    agent.configure(ec2.keys["ec2:DescribeAddresses"])
    done = agent("check")
    assert permissions(done) == {"may-describe": "fail", "may-associate": "warn", "may-disassociate": "warn"}, done.stdout
    assert done.returncode == 1


def test_a_wrong_secret_is_told_and_changes_nothing(ec2, agent):
    agent.configure((ec2.keys["all"][0], "wrong/secret"))
    for action, expected in {"status": UNKNOWN, "start": not_mapped(ec2), "stop": NOT_RELEASED}.items():
        done = agent(action)
        assert said(done) == expected
        assert "AuthFailure" in done.stderr, done.stderr
    assert ec2.owner() == ec2.peer
