"""What the README and docs/configuration.md show and promise is so."""

import json
import re
import subprocess

import pytest

from conftest import ADDRESS, NOWHERE
from documents import REPOSITORY, quotes, rows

EXAMPLE = "/etc/default/elastic-ip"


@pytest.fixture
def node(machine, readme, ec2):
    """A node with the README's configuration; EC2 is the tests', and the node one of its two instances."""
    def configured(number=0, *more):
        machine.configure(*readme.only_block(file=EXAMPLE).splitlines(),
                          f"MY_ID={ec2.instances[number]}", f"STATE_DIR=/run/{ec2.instances[number]}",
                          f"AWS_ENDPOINT_URL_EC2={ec2.endpoint}", *more)
        return machine
    return configured


def transcript(readme):
    """What the README shows after `server1:~$ …` and `server2:~$ …`."""
    shown = readme.only_block(language="").split(" sudo /etc/init.d/elastic-ip status\n")
    prompts = [shown[0], shown[1].splitlines()[-1]]
    assert prompts == ["server1:~$", "server2:~$"]
    return shown[1].removesuffix(prompts[1]), shown[2]


def meanings(readme):
    """The table of status: what the last line is, and the exit code."""
    return [(quotes(row[0])[0], int(row[1])) for row in rows(readme.section("At three in the morning"))]


def test_the_readme_is_a_front_page(readme):
    assert readme.text.count("\n") <= 130


def test_the_configuration_shown_is_accepted_and_moves_the_address(node):
    said = node().run("start")
    assert said.stderr.count("\n") == 1 and "line" not in said.stderr
    assert said.code == 0


def test_status_prints_what_the_readme_shows(node, readme):
    first, second = transcript(readme)
    assert node(0).run("start").code == 0
    assert node(0).run("status").stdout == first
    assert node(1).run("status").stdout == second


def test_status_exits_as_the_table_says(node, readme):
    node(0).run("start")
    said = [node(0).run("status"), node(1).run("status"), node(0, f"AWS_ENDPOINT_URL_EC2={NOWHERE}", "STATUS_TIMEOUT=0.3").run("status")]
    assert [(one.stdout.splitlines()[-1], one.code) for one in said] == meanings(readme)


def test_a_stop_under_the_configuration_shown_leaves_the_address_to_the_peer(node):
    node(0).run("start")
    assert node(0).run("stop").stdout == f"elastic-ip remapper: IP {ADDRESS} disowned\n"
    said = node(0).run("status")
    assert (said.stdout, said.code) == (f"elastic-ip remapper: I have {ADDRESS}\nstopped\n", 3)
    assert node(1).run("start").code == 0
    assert node(0).run("status").stdout == f"elastic-ip remapper: I do not have {ADDRESS}\nstopped\n"


def test_a_dry_run_changes_nothing(node):
    node(0).run("start")
    said = node(1).run("--dry-run", "start")
    assert (said.stdout, said.code) == ("", 0)
    assert "would call AssociateAddress" in said.stderr
    assert node(0).run("status").code == 0


def test_reassociation_forbidden_refuses_an_address_that_somebody_holds(node):
    node(0).run("start")
    assert node(1, "ALLOW_REASSOCIATION=no").run("start").code == 1
    assert node(0).run("status").code == 0


def test_a_failed_stop_makes_status_unknown_until_a_start_succeeds(node):
    node(0).run("start")
    assert node(0, f"AWS_ENDPOINT_URL_EC2={NOWHERE}", "STOP_TIMEOUT=0.3", "RELEASE_ON_STOP=yes").run("stop").code == 1
    assert node(0).run("status").stdout == "unknown\n"
    assert node(0).run("start").code == 0
    assert node(0).run("status").code == 0


def test_the_policy_has_the_calls_that_the_program_makes_and_no_others(configuration):
    policy = json.loads(configuration.only_block(language="json"))
    allowed = [action for statement in policy["Statement"] for action in statement["Action"]]
    made = re.findall(r'self\s*\.call\(\s*"(\w+)"', (REPOSITORY / "src/ec2.rs").read_text())
    assert len(made) == 3
    assert sorted(allowed) == sorted(f"ec2:{call}" for call in made)


def test_the_secret_file_as_it_is_made_is_accepted(node, configuration):
    machine = node()
    commands = next(block.text for block in configuration.blocks if "/root/.awssecret" in block.text).splitlines()
    path = machine.root / "root/.awssecret"
    path.unlink()
    made = commands[0].removeprefix("sudo ").replace("/root/.awssecret", str(path))
    subprocess.run(["sh", "-euc", made], check=True)
    path.write_text("AKIDEXAMPLE\nsEcReTcAnArY-of-the-documents\n")
    assert machine.run("status").code in (0, 3)


@pytest.mark.parametrize("command, word", [(("--help",), "Usage: elastic-ip"), (("--version",), "elastic-ip ")])
def test_the_program_explains_itself(machine, command, word):
    said = machine.run(*command)
    assert word in said.stdout and said.code == 0


@pytest.mark.parametrize("command", ["tests/setup", "tests/run", "tests/cluster/run", "tests/cluster/demo", "bench/setup", "bench/run"])
def test_what_needs_root_says_so_to_anybody_else(command):
    # In a user namespace of its own, root is nobody.
    done = subprocess.run(["unshare", "--user", REPOSITORY / command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == "" and re.fullmatch(r"(tests|bench)/\S+: needs root .*\n", done.stderr)


def test_every_command_that_the_readme_promises_to_ask_for_root_starts_with_one_that_does():
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in ("demo", "test"):
        assert re.search(rf"^{target}: setup\b", makefile, re.MULTILINE)
