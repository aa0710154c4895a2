"""Troubleshooting by message: its messages are the program's, and the program's are in it."""

import os
import re
import socket
import subprocess

import pytest

from conftest import ADDRESS, NOWHERE, Machine
from documents import GAP, REPOSITORY, Document, literals, messages, pattern

# What a start, a stop and a status tell when all is well. Nobody has to look that up.
NOTICES = (": moved from ", ": moved to ", ": released from ", "; nothing to release", "(RELEASE_ON_STOP=no)",
           ": would call ", ": would leave it ")

ME, REGION, KEYS = "MY_ID=i-0123456789abcdef0", "AWS_REGION=eu-west-1", "AKIDEXAMPLE\nsEcReTcAnArY-of-the-documents\n"
GOOD = (f"ELASTIC_IP={ADDRESS}", ME, REGION)
UNREACHED = (f"AWS_ENDPOINT_URL_EC2={NOWHERE}", "START_TIMEOUT=0.4", "STOP_TIMEOUT=0.4", "STATUS_TIMEOUT=0.4")
# Two nodes on one machine remember apart.
OTHER_NODE = "STATE_DIR=/run/other-node"
NO_METADATA = (f"ELASTIC_IP={ADDRESS}", f"AWS_EC2_METADATA_SERVICE_ENDPOINT={NOWHERE}", "STATUS_TIMEOUT=0.4")

# Each is a mistake: the configuration's lines, what to do with the machine, the words of the call.
MISTAKES = {
    "no action": (GOOD, None, ()),
    "no action after an address": (GOOD, None, (ADDRESS,)),
    "unknown action": (GOOD, None, ("frobnicate",)),
    "unknown option": (GOOD, None, ("--bogus", "start")),
    "--config of nothing": (GOOD, None, ("--config", "/nowhere", "start")),
    "an address out of range": (("ELASTIC_IP=256.1.1.1",), None, ("start",)),
    "an allocation id": (("ELASTIC_IP=eipalloc-",), None, ("start",)),
    "IPv6": (("ELASTIC_IP=2001:db8::1",), None, ("start",)),
    "loopback": (("ELASTIC_IP=127.0.0.1",), None, ("start",)),
    "no address": ((REGION,), None, ("start",)),
    "no configuration": (GOOD, lambda m: (m.root / "etc/default/elastic-ip").unlink(), ("start",)),
    "misspelt name": ((*GOOD, *UNREACHED, "AWS_PARMAS=x"), None, ("status",)),
    "shell code": (("ELASTIC_IP=$(cat /etc/address)",), None, ("start",)),
    "no assignment": (("ELASTIC_IP",), None, ("start",)),
    "spaces": (("ELASTIC_IP = 203.0.113.25",), None, ("start",)),
    "two words": (("AWS_PARAMS=--region eu-west-1",), None, ("start",)),
    "open quote": (('ELASTIC_IP="203.0.113.25',), None, ("start",)),
    "control character": (("ELASTIC_IP=\x1b",), None, ("start",)),
    "CR LF": ((f"ELASTIC_IP={ADDRESS}\r",), None, ("start",)),
    "byte order mark": ((f"\ufeffELASTIC_IP={ADDRESS}",), None, ("start",)),
    "NUL": (("ELASTIC_IP=\0",), None, ("start",)),
    "neither yes nor no": ((*GOOD, "RELEASE_ON_STOP=maybe"), None, ("start",)),
    "no time": ((*GOOD, "START_TIMEOUT=0"), None, ("start",)),
    "a relative path": ((*GOOD, "STATE_DIR=run"), None, ("start",)),
    "no URL": ((*GOOD, "EC2_URL=example"), None, ("start",)),
    "plain HTTP to a stranger": ((*GOOD, "EC2_URL=http://cloud.example.com:8773/services/compute"), None, ("start",)),
    "plain HTTP to a stranger's metadata": ((*GOOD, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://192.0.2.1"), None, ("start",)),
    "no region": ((*GOOD, "AWS_REGION=ireland"), None, ("start",)),
    "FIPS and an endpoint": ((*GOOD, *UNREACHED, "AWS_USE_FIPS_ENDPOINT=yes"), None, ("start",)),
    "unknown option in AWS_PARAMS": ((*GOOD, "AWS_PARAMS=--simple"), None, ("start",)),
    "an option without value": ((*GOOD, "AWS_PARAMS=--region"), None, ("start",)),
    "an option twice": ((*GOOD, "AWS_PARAMS='--role=a --role=b'"), None, ("start",)),
    "no instance id": ((*GOOD, "MY_ID=server1"), None, ("start",)),
    "a large file": ((*GOOD, "#" * 70000), None, ("start",)),
    "open secret": (GOOD, lambda m: m.write_secret(KEYS, 0o644), ("start",)),
    "empty secret": (GOOD, lambda m: m.write_secret(""), ("start",)),
    "one word": (GOOD, lambda m: m.write_secret("AKIDEXAMPLE\n"), ("start",)),
    "four words": (GOOD, lambda m: m.write_secret("a b\nc d\n"), ("start",)),
    "wrong order": (GOOD, lambda m: m.write_secret("se/cret\nAKIDEXAMPLE\n"), ("start",)),
    "an odd character": (GOOD, lambda m: m.write_secret("AKIDEXAMPLE\nsecr\u00e9t\n"), ("start",)),
    "no such file of keys": ((*GOOD, "AWS_PARAMS=--secrets-file=/nowhere"), None, ("start",)),
    "no such profile": ((*GOOD, "AWS_PARAMS=--profile=nobody"), None, ("start",)),
    "a profile in a file that is not there": ((*GOOD, "AWS_SHARED_CREDENTIALS_FILE=/nowhere"), None, ("start",)),
    "two places for keys": ((*GOOD, "AWS_PARAMS='--role=a --profile=b'"), None, ("start",)),
    "keys in the configuration": ((*GOOD, *UNREACHED, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE"), None, ("status",)),
    "a name of the AWS CLI": ((*GOOD, *UNREACHED, "AWS_RETRY_MODE=adaptive"), None, ("status",)),
    "another mode of the metadata service": ((*GOOD, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=both"), None, ("start",)),
    "no metadata service by choice": ((f"ELASTIC_IP={ADDRESS}", "AWS_EC2_METADATA_DISABLED=true"), None, ("start",)),
    "half of a named secret": (GOOD, lambda m: m.write_secret("aws_access_key_id = AKIDEXAMPLE\n"), ("start",)),
    "a named secret and more": (GOOD, lambda m: m.write_secret("aws_access_key_id = AKIDEXAMPLE\nmore\n"), ("start",)),
    "a netrc without keys": (GOOD, lambda m: m.write_secret("machine a.example.com login b password c\n"), ("start",)),
    **{f"a profile with {settings}": ((*GOOD, "AWS_PROFILE=failover"),
                                      lambda m, settings=settings: m.write_settings(f"[profile failover]\n{settings}\n"), ("start",))
       for settings in ("region = eu-west-1", "nonsense", "credential_process = keys", "sso_session = corp", "sso_role_name = a",
                        *(f"role_arn = arn:aws:iam::123456789012:role/a{more}"
                          for more in ("", "\nsource_profile = nobody", "\nsource_profile = failover", "\ncredential_source = EcsContainer",
                                       "\ncredential_source = Environment", "\nsource_profile = a\ncredential_source = Environment",
                                       "\nmfa_serial = 1")),
                        "role_arn = a", "role_arn =", "aws_access_key_id = A", "[profile failover]", "[profile")},
    "no metadata service": (NO_METADATA, None, ("status",)),
    "no keys and no metadata service": ((*GOOD, *NO_METADATA), lambda m: (m.root / "root/.awssecret").unlink(), ("status",)),
    "EC2 is not reached by start": ((*GOOD, *UNREACHED), None, ("start",)),
    "EC2 is not reached by stop": ((*GOOD, *UNREACHED), None, ("stop",)),
    "EC2 is not reached by status": ((*GOOD, *UNREACHED), None, ("status",)),
}


@pytest.fixture(scope="module")
def troubleshooting():
    return Document("docs/troubleshooting.md")


@pytest.fixture(scope="module")
def run_mistakes(tmp_path_factory, program):
    """The lines of each mistake's call."""
    said = {}
    for name, (lines, prepare, words) in MISTAKES.items():
        machine = Machine(tmp_path_factory.mktemp("mistake") / "machine", program)
        machine.configure(*lines)
        if prepare:
            prepare(machine)
        done = machine.run(*words)
        assert done.code != 0 and done.stderr, name
        said[name] = done.lines()
    return said


@pytest.fixture(scope="module")
def run_against_ec2(tmp_path_factory, program, ec2):
    """The lines of calls that reach EC2, well and badly."""
    machine = Machine(tmp_path_factory.mktemp("called") / "machine", program)
    said = []

    def call(instance, *words, more=()):
        machine.configure(f"ELASTIC_IP={ADDRESS}", REGION, f"MY_ID={instance}", f"AWS_ENDPOINT_URL_EC2={ec2.endpoint}", *more)
        done = machine.run(*words)
        said.extend(done.lines())
        return done

    first, second = ec2.instances
    call(first, "start")
    call(first, "status")
    call(second, "status", more=(OTHER_NODE,))
    call(second, "start", more=(OTHER_NODE, "ALLOW_REASSOCIATION=no"))
    # A node that has just started, and has lost the address.
    call(second, "start", more=(OTHER_NODE,))
    call(first, "status", more=("STATUS_TIMEOUT=0.4",))
    call(first, "start")
    call("i-0123456789abcdef0", "start", more=("START_TIMEOUT=1",))
    call(first, "stop", more=("RELEASE_ON_STOP=no",))
    call(first, "status")
    call(first, "stop", more=UNREACHED)
    call(first, "status")
    call(first, "stop")
    call(first, "198.51.100.1", "status")
    call(first, "198.51.100.1", "start", more=("START_TIMEOUT=1",))
    # A file where the folder of the state should be.
    (machine.root / "state").write_text("")
    call(first, "start")
    call(first, "stop", more=("RELEASE_ON_STOP=no", "STATE_DIR=/state"))
    call(first, "stop", more=(*UNREACHED, "STATE_DIR=/state"))
    # The state of another version of the program, and a torn one.
    for text in ('{"version": 0}', "{"):
        (machine.root / f"run/elastic-ip/{ADDRESS}.json").write_text(text)
        call(first, "status")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        call(first, "status", more=(f"AWS_ENDPOINT_URL_EC2=http://127.0.0.1:{silent.getsockname()[1]}", "STATUS_TIMEOUT=0.4"))
    # A metadata service that knows nothing: no role either.
    empty = f"AWS_EC2_METADATA_SERVICE_ENDPOINT={ec2.endpoint}/nothing"
    call(first, "status", more=("AWS_PARAMS=--role=nobody", empty))
    (machine.root / "root/.awssecret").unlink()
    call(first, "status", more=(empty,))
    return said


def is_in_one_literal(quote, texts):
    """Whether the quote's parts stand in this order in one of the program's strings."""
    return any(pattern(quote).search(text) for text in texts)


def is_made_of_literals(quote, texts):
    """What happened and what to do about it are strings of their own in the program."""
    return all(is_in_one_literal(part.strip(GAP), texts) for part in quote.split("; ") if part != GAP)


@pytest.fixture(scope="module")
def everything_said(run_mistakes, run_against_ec2):
    init_script = (REPOSITORY / "debian/elastic-ip.init").read_text().replace("$program", "/usr/sbin/elastic-ip")
    return [line for lines in run_mistakes.values() for line in lines] + run_against_ec2 + init_script.splitlines() + beside_managers()


def beside_managers() -> list[str]:
    """What the followers of cluster managers say, with the shell's variables as gaps."""
    scripts = "".join(path.read_text() for path in (REPOSITORY / "libexec").glob("follow*"))
    said = re.findall(r'(?:say|echo) "(?:\$address: |follow-\w+: )?([^"]{20,})"', scripts)
    return [re.sub(r"\$\(\(.*?\)\)|\$\w+", GAP, text) for text in said if " " in text]


def test_every_message_in_the_troubleshooting_is_one_that_the_program_can_say(troubleshooting, everything_said):
    texts = literals()
    quoted = messages(troubleshooting)
    assert len(quoted) > 80
    unknown = [quote for quote in quoted
               if not is_made_of_literals(quote, texts) and not is_in_one_literal(quote.strip(GAP), everything_said)]
    assert unknown == []


def test_every_complaint_of_a_mistaken_call_is_in_the_troubleshooting(troubleshooting, run_mistakes):
    patterns = [pattern(quote) for quote in messages(troubleshooting) if quote.strip(GAP)]
    missing = {name: line for name, lines in run_mistakes.items() for line in lines
               if line not in ("unknown", "stopped", "running") and not any(p.search(line) for p in patterns)}
    assert missing == {}


def test_every_message_of_the_followers_is_in_the_troubleshooting(troubleshooting):
    quoted = [quote.strip(f"{GAP}, ") for quote in messages(troubleshooting)]
    assert len(beside_managers()) == 8
    assert [text for text in beside_managers() if text.strip(f"{GAP}, ") not in quoted] == []


def test_every_line_of_a_call_that_reaches_ec2_is_in_the_troubleshooting(troubleshooting, run_against_ec2):
    patterns = [pattern(quote) for quote in messages(troubleshooting)]
    missing = [line for line in run_against_ec2
               if line not in ("unknown", "stopped", "running")
               and not any(notice in line for notice in NOTICES)
               and not any(p.search(line) for p in patterns)]
    assert missing == []


def test_a_message_that_nobody_says_would_be_found(everything_said):
    for quote in ["the moon is in the way", "no action taken", "set both or neither; the moon is in the way"]:
        assert not is_made_of_literals(quote, literals()) and not is_in_one_literal(quote, everything_said)
    assert is_made_of_literals("environment variable … is set but … is not; set both or neither", literals())


def test_the_manual_page_of_the_messages_is_the_troubleshooting():
    rendered = subprocess.run([REPOSITORY / "man/messages.py"], capture_output=True, text=True, check=True).stdout
    page = REPOSITORY / "man/elastic-ip-messages.7"
    assert page.read_text() == rendered, f"run: man/messages.py >{page.relative_to(REPOSITORY)}"
    # A formatter that warns is one that shows something else than was meant.
    formatted = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], env={**os.environ, "MANWIDTH": "200"},
                               capture_output=True, text=True, check=True)
    assert formatted.stderr == ""
    shown = re.sub(r"\s+", " ", formatted.stdout)
    missing = [message for message in messages(Document("docs/troubleshooting.md")) if re.sub(r"\s+", " ", message) not in shown]
    assert missing == []


def test_no_message_sends_an_administrator_to_a_page_that_is_not_installed():
    assert [text for text in literals() if "README" in text or ".md" in text] == []
