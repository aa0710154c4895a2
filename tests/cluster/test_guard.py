"""follow-heartbeat does what Heartbeat forgets, and nothing else."""

import os
import signal
import time

import pytest

from cluster import ADDRESS, NOT_MINE, UNSURE
from node import wait_until
from symptoms import GIVEN_UP
from test_failover import rest_with, running, split_the_brain

# What it says before a start.
STARTS = "starting it"
# Within so many seconds it has done what is to be done: two looks, and a request.
LIMIT = 30
# So long EC2 may show what was so before a start, and a node that has lost the address cannot tell.
YOUNG = 61
SPLIT = 120
# As Heartbeat complains of a start that fails, and of the stops after it.
FAILED_START = ("Return code 1 from /etc/ha.d//resource.d/elastic-ip", "Return code 1 from /etc/ha.d/resource.d/elastic-ip", GIVEN_UP, "InternalError", "EC2 answers 500", "Could not map",
                "gave up at the deadline")


def guarded(cluster, **configuration):
    machines = cluster(guard=True, **configuration)
    running(machines)
    wait_until(lambda: all(node.guard_processes() for node in machines.nodes.values()), 10, "a guard on each node")
    return machines


def said_by_guard(machines, text: str) -> list[str]:
    return [line for node in machines.nodes.values() for line in node.log() if "elastic-ip: " in line and text in line]


def grown_up(machines):
    """Waits until what EC2 shows cannot be older than the last start any more."""
    last = max(call.time for call in machines.ec2.calls() if call.action == "AssociateAddress")
    wait_until(lambda: time.monotonic() > last + YOUNG, YOUNG + 1, "the minute after a start to pass")


def refuse_associates(machines, name: str):
    machines.ec2.be_faulty({"kind": "broken", "sources": [machines.public[name]], "actions": ["AssociateAddress"]})


@pytest.mark.central
def test_an_address_that_is_released_by_hand_is_taken_back(cluster):
    machines = guarded(cluster)
    grown_up(machines)
    released = time.monotonic()
    machines.ec2.disassociate()
    machines.wait_for_owner("server1", LIMIT)
    cluster.figure(f"the guard has taken the address back {time.monotonic() - released:.1f} s after its release")
    assert machines.mutations(released) == [("server1", "AssociateAddress")]
    assert len(said_by_guard(machines, f"{ADDRESS}: Heartbeat says that this node holds the resources, and nobody has it any more")) == 1


def test_an_address_that_is_taken_by_hand_is_left_and_told_once(cluster):
    cluster.explain(UNSURE)
    machines = guarded(cluster)
    grown_up(machines)
    taken = time.monotonic()
    thief = machines.instances["server2"]
    machines.ec2.associate(thief)
    wait_until(lambda: said_by_guard(machines, f"{thief} has it, and it is left there"), LIMIT, "the guard to tell it")
    cluster.figure(f"the guard has told of the theft {time.monotonic() - taken:.1f} s after it")
    looks = len(machines.calls_of_nodes())
    wait_until(lambda: len(machines.calls_of_nodes()) >= looks + 2, LIMIT, "the guard to look again")
    assert len(said_by_guard(machines, f"{thief} has it, and it is left there")) == 1
    assert machines.mutations(taken) == [] and machines.owner() == "server2"
    # As the message says.
    machines.nodes["server1"].run("elastic-ip", "start")
    machines.assert_held_by("server1")


@pytest.mark.parametrize("haresources", ["server1 elastic-ip", f"server1 \\\n  elastic-ip::{ADDRESS}"], ids=["configured", "named"])
def test_a_start_that_has_failed_for_good_is_made_again_until_it_works(cluster, haresources):
    cluster.explain(*FAILED_START, UNSURE)
    machines = guarded(cluster, haresources=haresources, defaults={"START_TIMEOUT": "2"})
    refuse_associates(machines, "server2")
    died = time.monotonic()
    machines.nodes["server1"].kill()
    machines.wait_for_log("server2", GIVEN_UP)
    # The outage is longer than the guard's own first start as well.
    wait_until(lambda: len(said_by_guard(machines, f"{ADDRESS}: Heartbeat says that this node holds the resources, and has not started it")) >= 2,
               90, "the guard to start it twice")
    assert machines.owner() == "server1", "it stays where it was"
    machines.ec2.be_faulty()
    healed = time.monotonic()
    machines.wait_for_owner("server2", LIMIT)
    cluster.figure(f"a start that had failed for good has worked {time.monotonic() - healed:.1f} s after the end of EC2's outage")
    assert machines.moves(died) == ["server2"]


def test_guards_on_both_sides_of_a_split_brain_start_nothing(cluster):
    cluster.explain("returning after partition", "Both machines own our resources", "Late heartbeat", UNSURE)
    begun = time.monotonic()
    machines = guarded(cluster)
    split = time.monotonic()
    split_the_brain(machines)
    # The loser cannot tell before that who has it.
    grown_up(machines)
    wait_until(lambda: time.monotonic() > split + SPLIT, SPLIT, "the split to last")
    assert said_by_guard(machines, STARTS) == []
    # Heartbeat's own, on either side.
    own = [line for node in machines.nodes.values() for line in node.log() if "Running /etc/ha.d//resource.d/elastic-ip  start" in line]
    assert len(machines.mutations(begun)) == len(own)
    assert len(said_by_guard(machines, "is left there")) == 1
    for node in machines.nodes.values():
        node.started_at = len(node.log())
        node.hear_again()
    for name in machines.nodes:
        machines.wait_for_log(name, "returning after partition")
    rest_with(machines, "server1")
    assert said_by_guard(machines, STARTS) == []


def test_heartbeats_stop_ends_a_start_of_the_guards(cluster):
    cluster.explain(*FAILED_START, "ended by SIGTERM", UNSURE)
    machines = guarded(cluster, defaults={"START_TIMEOUT": "2"})
    node = machines.nodes["server2"]
    refuse_associates(machines, "server2")
    machines.nodes["server1"].kill()
    machines.wait_for_log("server2", GIVEN_UP)
    defaults = node.file("etc/default/elastic-ip").read_text()
    node.write("etc/default/elastic-ip", defaults.replace("START_TIMEOUT=2", "START_TIMEOUT=120"))
    lasting = time.monotonic()
    # One start that goes on, not one after the other.
    wait_until(lambda: is_lasting(node, 4), 90, "the guard's start to try on")
    node.stop_heartbeat()
    begun, ended = (next(line for line in node.log() if text in line) for text in ("Giving up all HA resources", "All HA resources relinquished"))
    cluster.figure(f"Heartbeat's stop beside a start of the guard's: {begun[7:15]} to {ended[7:15]}")
    assert not node.agent_processes() and not node.guard_processes()
    machines.ec2.be_faulty()
    assert machines.moves(lasting) == []
    assert machines.owner() == "server1"


def is_lasting(node, seconds: float) -> bool:
    """Whether one and the same call of the program goes on for so long."""
    before = set(node.agent_processes())
    deadline = time.monotonic() + seconds
    while before and time.monotonic() < deadline:
        time.sleep(0.1)
        before &= set(node.agent_processes())
    return bool(before)


def test_the_guard_lives_and_dies_with_heartbeat(cluster):
    cluster.explain("Respawning client", "killed by signal", "Emergency Shutdown", "Killing pid", UNSURE)
    machines = guarded(cluster)
    node = machines.nodes["server1"]
    guards = node.guard_processes()
    os.kill(min(guards), signal.SIGKILL)
    wait_until(lambda: node.guard_processes() and not set(guards) & set(node.guard_processes()), 15, "another guard")
    node.kill_heartbeat()
    wait_until(lambda: not node.guard_processes(), 3, "the guard to end with a killed heartbeat")
    node.start_heartbeat()
    rest_with(machines, "server1")
    wait_until(node.guard_processes, 10, "a guard")
    node.stop_heartbeat()
    wait_until(lambda: not node.guard_processes(), 3, "the guard to end with a stopped heartbeat")
    machines.wait_for_owner("server2")
    machines.assert_held_by("server2", peer=NOT_MINE)


def test_a_transition_without_an_end_on_the_last_node_ends_with_the_address_here(cluster):
    machines = cluster(guard=True)
    node = machines.nodes["server1"]
    machines.nodes["server2"].kill()
    # What it should tell Heartbeat is lost.
    node.write("tmp/mach_down", "#!/bin/sh\n", 0o755)
    node.run("mount", "--bind", "/tmp/mach_down", "/usr/share/heartbeat/mach_down")
    node.run("mount", "--bind", "/tmp/mach_down", "/usr/share/heartbeat/req_resource")
    begun = time.monotonic()
    machines.start("server1")
    machines.wait_for_owner("server1", 60)
    cluster.figure(f"a node alone whose Heartbeat stays in transition has the address {time.monotonic() - begun:.1f} s after its start")
    assert said_by_guard(machines, f"{ADDRESS}: Heartbeat is in a transition without an end, and every other node is dead")
    wait_until(lambda: said_by_guard(machines, "run service heartbeat restart on this node"), 60, "the guard to tell the way out")
