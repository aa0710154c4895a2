"""Pacemaker moves the address, in the cluster that docs/pacemaker.md makes."""

import contextlib
import re
import time

import pytest

import base
from cluster import ADDRESS, MINE, NOT_MINE, UNKNOWN, UNSURE
from node import wait_until
from pacemaker import DEGRADED, FAILED, NOT_INSTALLED, NOT_RUNNING, RESOURCE, Pacemaker

AGENT = "/usr/lib/ocf/resource.d/elastic-ip/elastic-ip"
# The page's figures, of which the first is how long a theft goes unnoticed.
QUICK = {"op monitor interval=20s timeout=30s": "op start timeout=6s op stop timeout=6s op monitor interval=2s timeout=5s",
         "interval=0s timeout=30s": "interval=0s timeout=5s", "failure-timeout=120s": "failure-timeout=10s"}
# Pacemaker says so until the page's first command for it.
UNFENCED = ("Resource start-up disabled since no STONITH resources have been defined",
            "Either configure some or disable STONITH with the stonith-enabled option",
            "NOTE: Clusters with shared data need STONITH to ensure data integrity")
# Pacemaker 3.0.0 says so at each transition after that, without another error, until it is restarted.
if base.RELEASE == "trixie":
    UNFENCED += ("(with errors), saving inputs",)
# An outage, as the program tells of it.
OUTAGE = "EC2 answers 500 to DescribeAddresses"


@pytest.fixture
def pacemaker(cluster):
    """The page's cluster; the address is with the node that it left it with."""
    cluster.explain(*UNFENCED)
    pacemaker = Pacemaker(cluster(defaults={"ELASTIC_IP": ""}), QUICK)
    pacemaker.follow(until="4. See that it works")
    return pacemaker


@contextlib.contextmanager
def outage(machines):
    """The EC2 API is away for both nodes."""
    machines.ec2.be_faulty({"sources": list(machines.public.values()), "kind": "broken"})
    try:
        yield
    finally:
        machines.ec2.be_faulty()


def describes(machines, name, since):
    return machines.calls_of_nodes(since).count((name, "DescribeAddresses"))


def assert_held_by(pacemaker, name):
    """As with ELASTIC_IP, which this cluster does not need."""
    pacemaker.wait_for_rest()
    machines = pacemaker.machines
    assert machines.owner() == name
    for node in pacemaker.up():
        assert node.status(ADDRESS) == (MINE if node.name == name else NOT_MINE)
    assert pacemaker.located() == {node.name: name for node in pacemaker.up()}


@pytest.mark.central
@pytest.mark.parametrize("shell", ["pcs", "crm"])
def test_the_page_makes_a_cluster_of_two_fresh_nodes_that_places_and_moves_the_address(cluster, shell):
    cluster.explain(*UNFENCED)
    machines = cluster(defaults={"ELASTIC_IP": ""})
    pacemaker = Pacemaker(machines)
    # What the installation of the packages has started.
    for node in machines.nodes.values():
        node.run("systemctl", "start", "corosync", "pacemaker")
        wait_until(lambda: "Online: [" in node.run("crm_mon", "--one-shot", check=False).stdout, 60, "a cluster of one node")
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        pacemaker.follow(shell=shell)
    first = machines.name_of(next(sample.owner for sample in history.samples if sample.owner))
    second = machines.peer(first)
    assert [action for _, action in machines.mutations(begun)] == ["AssociateAddress"] * len(machines.mutations(begun))
    assert [machines.name_of(owner) for owner in history.owners()][:3] == [None, first, second]
    taken = next(sample.asked for sample in history.samples if sample.owner)
    assert history.seconds_without_owner(since=taken) == 0
    # The other was on standby, whoever had the address before.
    assert_held_by(pacemaker, {"pcs": "server1", "crm": "server2"}[shell])
    assert pacemaker.failures() == []


@pytest.mark.central
def test_the_peer_takes_the_address_when_it_is_moved_and_when_the_node_dies_and_keeps_it(cluster, pacemaker):
    machines = pacemaker.machines
    assert_held_by(pacemaker, "server1")
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        machines.nodes["server1"].run("crm_resource", "--move", "--resource", RESOURCE, "--node", "server2")
        machines.wait_for_owner("server2")
        assert_held_by(pacemaker, "server2")
        machines.nodes["server1"].run("crm_resource", "--clear", "--resource", RESOURCE)
        assert_held_by(pacemaker, "server2")

        killed = time.monotonic()
        machines.nodes["server2"].kill()
        machines.wait_for_owner("server1")
    moved = history.change_to(machines.instances["server1"], killed)
    cluster.figure(f"corosync's token 3000 ms: the peer has the address {moved - killed:.1f} s after the kill")
    assert history.seconds_without_owner() == 0
    machines.nodes["server2"].boot()
    pacemaker.start("server2")
    pacemaker.wait_for_members()
    assert_held_by(pacemaker, "server1")
    assert machines.mutations(begun) == [("server2", "AssociateAddress"), ("server1", "AssociateAddress")]
    assert pacemaker.failures() == []


def test_a_move_costs_one_call_however_late_ec2_shows_it(cluster, lateness):
    cluster.explain(*UNFENCED, UNSURE)
    machines = cluster(defaults={"ELASTIC_IP": ""}, lateness=lateness)
    # More monitors than on the page; but a start and a monitor have their time.
    pacemaker = Pacemaker(machines, {"interval=20s": "interval=2s"})
    begun = time.monotonic()
    pacemaker.follow(until="4. See that it works")
    wait_for_held_by(pacemaker, "server1")
    machines.nodes["server1"].run("crm_resource", "--move", "--resource", RESOURCE, "--node", "server2")
    machines.wait_for_owner("server2")
    wait_for_held_by(pacemaker, "server2")
    machines.nodes["server1"].run("crm_resource", "--clear", "--resource", RESOURCE)

    killed = time.monotonic()
    machines.nodes["server2"].kill()
    machines.wait_for_owner("server1")
    moved = next(call.time for call in machines.ec2.calls(killed) if call.action == "AssociateAddress")
    cluster.figure(f"EC2 {lateness}: server1 has the address {moved - killed:.1f} s after the death of server2")
    machines.wait_until_shown()
    machines.nodes["server2"].boot()
    pacemaker.start("server2")
    pacemaker.wait_for_members()
    wait_for_held_by(pacemaker, "server1")
    assert machines.mutations(begun) == [(name, "AssociateAddress") for name in ("server1", "server2", "server1")]
    assert pacemaker.failures() == []


def wait_for_held_by(pacemaker, name):
    """As `assert_held_by`, once EC2 shows it."""
    pacemaker.wait_for_rest()
    pacemaker.machines.wait_for_held_by(name, addresses=(ADDRESS,))
    assert pacemaker.located() == {node.name: name for node in pacemaker.up()}


def test_an_address_that_is_taken_away_is_taken_back_and_a_parameter_changes_without_a_stop(cluster, pacemaker):
    cluster.explain(UNSURE)
    machines = pacemaker.machines
    node = machines.nodes["server1"]
    begun = time.monotonic()
    node.run("pcs", "resource", "update", RESOURCE, "release_on_stop=yes")
    assert_held_by(pacemaker, "server1")
    log = (node.place / "upper/var/log/pacemaker/pacemaker.log").read_text()
    assert "result of reload-agent operation for elastic-ip on server1: ok" in log.lower()
    assert machines.mutations(begun) == []

    machines.ec2.disassociate()
    # For a minute after the start, this might be what was so before it.
    pacemaker.wait_for_failure("monitor", DEGRADED, 30)
    machines.wait_for_owner("server1", seconds=90)
    assert_held_by(pacemaker, "server1")
    assert machines.mutations(begun) == [("server1", "AssociateAddress")]
    assert ("monitor", NOT_RUNNING) in {(failure.task, failure.code) for failure in pacemaker.failures()}

    begun = time.monotonic()
    node.run("pcs", "resource", "disable", RESOURCE)
    wait_until(lambda: machines.owner() is None, 30, "the address to be released")
    pacemaker.wait_for_rest()
    assert set(pacemaker.located().values()) == {""}
    assert machines.mutations(begun) == [("server1", "DisassociateAddress")]


@pytest.mark.central
def test_an_outage_of_the_api_never_moves_the_address(cluster, pacemaker):
    cluster.explain(OUTAGE, "gave up at the deadline")
    machines = pacemaker.machines
    begun = time.monotonic()
    with outage(machines):
        pacemaker.wait_for_failure("monitor", DEGRADED, 30)
        assert any(f"{ADDRESS}: cannot tell who has it: " in failure.reason for failure in pacemaker.failures())
        # A node that joins meanwhile is probed, and cannot tell either.
        machines.nodes["server2"].kill()
        machines.nodes["server2"].boot()
        pacemaker.start("server2")
        pacemaker.wait_for_members()
        pacemaker.wait_for_failure("monitor", FAILED, node="server2")
        probed = time.monotonic()
        wait_until(lambda: describes(machines, "server1", probed) > 10, 60, "the monitor to go on for a while")
        for node in machines.nodes.values():
            assert node.status(ADDRESS) == UNKNOWN
        assert pacemaker.located() == {"server1": "server1", "server2": "server1"}
        assert machines.owner() == "server1"

    machines.nodes["server1"].run("pcs", "resource", "cleanup", RESOURCE)
    assert_held_by(pacemaker, "server1")
    assert pacemaker.failures() == []
    # The probe that failed makes Pacemaker start the resource where it is.
    assert machines.moves(begun) == []
    assert set(machines.mutations(begun)) <= {("server1", "AssociateAddress")}


def test_what_cannot_be_done_in_an_outage_is_done_after_it(cluster, pacemaker):
    cluster.explain(OUTAGE, "gave up at the deadline")
    machines = pacemaker.machines
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        with outage(machines):
            # The stop leaves the address where it is, and neither node's start can ask EC2.
            machines.nodes["server1"].run("crm_resource", "--move", "--resource", RESOURCE, "--node", "server2")
            pacemaker.wait_for_failure("start", FAILED, node="server2")
            assert machines.owner() == "server1"
        machines.wait_for_owner("server2")
        assert_held_by(pacemaker, "server2")
    assert ("stop", "server1") not in {(failure.task, failure.node) for failure in pacemaker.failures()}
    assert history.seconds_without_owner() == 0
    assert machines.moves(begun) == ["server2"]


def test_a_node_without_usable_credentials_is_passed_over(cluster):
    cluster.explain(*UNFENCED, "/root/.awssecret holds a secret but is open to others")
    machines = cluster()
    pacemaker = Pacemaker(machines, {word: other for word, other in QUICK.items() if "failure-timeout" not in word})
    pacemaker.follow(until="4. See that it works")
    begun = time.monotonic()
    machines.nodes["server2"].file("root/.awssecret").chmod(0o644)
    with machines.ec2.sampled() as history:
        machines.nodes["server1"].run("crm_resource", "--move", "--resource", RESOURCE, "--node", "server2")
        pacemaker.wait_for_failure("start", NOT_INSTALLED, node="server2")
        pacemaker.wait_for_rest()
    assert set(pacemaker.located().values()) == {"server1"}
    assert machines.nodes["server1"].status() == MINE
    assert history.owners() == [machines.instances["server1"]]
    assert machines.moves(begun) == []


def test_a_healed_split_brain_ends_with_one_owner(cluster, pacemaker):
    cluster.explain("resource elastic-ip might be active on 2 nodes", "Calculated transition", UNSURE)
    machines = pacemaker.machines
    with machines.ec2.sampled() as history:
        for node in machines.nodes.values():
            node.hear_nobody()
        # Both run it. EC2 knows one owner; the other, which has just taken it, does not believe that yet.
        machines.wait_for_owner("server2")
        pacemaker.wait_for_failure("monitor", DEGRADED, 30)
        for node in machines.nodes.values():
            node.hear_again()
        pacemaker.wait_for_members()
        pacemaker.wait_for_rest()
    assert history.seconds_without_owner() == 0
    assert_held_by(pacemaker, machines.owner())


def test_the_init_script_works_as_a_resource(cluster):
    cluster.explain(*UNFENCED)
    pacemaker = Pacemaker(cluster(), QUICK | {
        "ocf:elastic-ip:elastic-ip \\\n    elastic_ip=203.0.113.25 release_on_stop=no": "lsb:elastic-ip"})
    pacemaker.follow(until="4. See that it works")
    pacemaker.machines.assert_held_by("server1")
    assert set(pacemaker.located().values()) == {"server1"}
    pacemaker.machines.nodes["server1"].kill()
    pacemaker.machines.wait_for_owner("server2")


# The checklist of "Pacemaker Administration", "LSB Resource Agents", line for line.
INIT = "/etc/init.d/elastic-ip"


@pytest.fixture
def stopped(cluster):
    """A node without a cluster manager that does not have the address."""
    return cluster().nodes["server1"]


def result(node, action):
    return node.run(INIT, action, check=False).returncode


def test_the_init_script_passes_pacemakers_checklist(stopped, cluster):
    machines = cluster.machines
    assert result(stopped, "start") == 0, "Start (stopped): did the echo command print result: 0?"
    assert machines.owner() == "server1", "Start (stopped): did the service start?"
    running = stopped.run(INIT, "status", check=False)
    assert running.returncode == 0, "Status (running): did the echo command print result: 0?"
    assert running.stdout.endswith("running\n"), "Status (running): did the script indicate the service was running?"
    assert result(stopped, "start") == 0, "Start (running): did the echo command print result: 0?"
    assert machines.owner() == "server1", "Start (running): is the service still running?"
    assert result(stopped, "stop") == 0, "Stop (running): did the echo command print result: 0?"
    assert machines.owner() is None, "Stop (running): was the service stopped?"
    idle = stopped.run(INIT, "status", check=False)
    assert idle.returncode == 3, "Status (stopped): did the echo command print result: 3?"
    assert idle.stdout.endswith("stopped\n"), "Status (stopped): did the script indicate the service was not running?"
    assert result(stopped, "stop") == 0, "Stop (stopped): did the echo command print result: 0?"
    assert machines.owner() is None, "Stop (stopped): is the service still stopped?"


def test_the_init_script_reports_a_failed_state_by_a_code_of_its_own(stopped, cluster):
    cluster.explain(OUTAGE, "gave up at the deadline")
    assert result(stopped, "start") == 0
    with outage(cluster.machines):
        assert result(stopped, "status") == 4, "Status (failed): one of the error codes other than 3"


# The agent, as the tools of the resource agents see it.

@pytest.mark.central
@pytest.mark.parametrize("release", ["yes", "no"])
def test_ocf_tester_passes(cluster, stopped, release):
    # It tries what an agent need not know, and su, which misses systemd.
    cluster.explain("is not an action of this agent", "pam_systemd(su:session)")
    tested = stopped.run("ocf-tester", "-v", "-n", RESOURCE, "-o", f"elastic_ip={ADDRESS}", "-o", f"release_on_stop={release}",
                         AGENT, check=False)
    assert (tested.returncode, tested.stdout.splitlines()[-1]) == (0, f"{AGENT} passed all tests"), tested


@pytest.mark.central
def test_the_meta_data_is_valid_by_the_schemas_of_resource_agents_and_pcs(stopped):
    metadata = stopped.run("setpriv", "--reuid=nobody", "--clear-groups", AGENT, "meta-data").stdout
    by_dtd = "xmllint --nonet --noout --valid - </tmp/metadata.xml"
    stopped.write("tmp/metadata.xml", metadata)
    valid = stopped.run("sh", "-c", by_dtd, check=False)
    # It warns of what both DTDs declare, of which the first counts.
    assert (valid.returncode, re.findall(r"validity (?!warning).*", valid.stdout + valid.stderr)) == (0, [])
    stopped.run("sh", "-c", "xmllint --nonet --noout --relaxng /usr/share/pcs/data/ocf-1.1.rng - </tmp/metadata.xml")
    # A schema that lets everything pass would be no check.
    stopped.write("tmp/metadata.xml", metadata.replace('<action name="stop"', '<action name="halt"'))
    assert stopped.run("sh", "-c", by_dtd, check=False).returncode != 0


def test_the_page_names_every_parameter(stopped):
    page = (base.REPOSITORY / "docs/pacemaker.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    metadata = stopped.run(AGENT, "meta-data").stdout
    assert listed == re.findall(r'<parameter name="(\w+)"', metadata)
