"""The address moves when a node or its Heartbeat ends, and comes back when it returns."""

import contextlib
import time

import pytest

from cluster import ADDRESS, ARTICLE, HANDED_OVER, LOST, MINE, NOT_MINE, UNKNOWN, UNSURE

RELEASE = pytest.mark.parametrize("release", ["yes", "no"])


def settled(cluster, name):
    """Waits until `name` has the address and nothing moves any more, then asks everybody."""
    rest_with(cluster, name)
    cluster.assert_held_by(name)


def rest_with(cluster, name):
    """Waits until `name` has the address and nothing moves any more, and asks neither node."""
    cluster.wait_for_owner(name)
    cluster.wait_for_members()


def running(cluster):
    cluster.start()
    settled(cluster, "server1")


@pytest.mark.central
def test_the_primary_takes_the_address_at_the_first_start(cluster):
    machines = cluster(timing=ARTICLE)
    machines.assert_statuses(None, {"server1": NOT_MINE, "server2": NOT_MINE})
    begun = time.monotonic()
    running(machines)
    assert machines.mutations(begun) == [("server1", "AssociateAddress")]


def test_the_peer_takes_the_address_when_heartbeat_is_killed(cluster):
    cluster.explain(UNSURE)
    machines = cluster(timing=ARTICLE)
    running(machines)
    with machines.ec2.sampled() as history:
        killed = time.monotonic()
        machines.nodes["server1"].kill_heartbeat()
        machines.wait_for_owner("server2")
    moved = history.change_to(machines.instances["server2"], killed)
    cluster.figure(f"deadtime 10: the peer has the address {moved - killed:.1f} s after the kill")
    assert moved - killed < 15
    # One atomic move: until the peer takes it, the address stays where it was.
    assert cluster.figure_without_owner("failover", history) == 0
    machines.assert_held_by("server2", peer=LOST)
    assert machines.mutations(killed) == [("server2", "AssociateAddress")]

    machines.start("server1")
    settled(machines, "server1")


@pytest.mark.central
def test_the_peer_takes_the_address_when_the_node_dies(cluster):
    machines = cluster()
    running(machines)
    killed = time.monotonic()
    machines.nodes["server1"].kill()
    machines.wait_for_owner("server2")
    machines.assert_statuses("server2", {"server2": MINE})

    machines.nodes["server1"].boot()
    machines.assert_held_by("server2")
    assert machines.mutations(killed) == [("server2", "AssociateAddress")]
    machines.start("server1")
    settled(machines, "server1")


@contextlib.contextmanager
def a_gap_only_after_a_release(cluster, machines, release, what):
    """What goes on within leaves the address without an owner only where a stop releases it."""
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        yield
    seconds = cluster.figure_without_owner(f"RELEASE_ON_STOP={release}, {what}", history)
    released = [name for name, action in machines.mutations(begun) if action == "DisassociateAddress"]
    if release == "no":
        assert seconds == 0
        assert None not in history.owners()
        assert released == []
    else:
        # At a healing, server1 may still be at its takeover, and then both have had it.
        assert 1 <= len(released) == len(set(released))
        assert seconds > 0


def failed_over(machines):
    """server2 has taken the address over, and server1 is up again without Heartbeat."""
    running(machines)
    machines.nodes["server1"].kill()
    machines.wait_for_owner("server2")
    machines.nodes["server1"].boot()


@pytest.mark.central
@RELEASE
def test_the_primary_takes_the_address_back_when_it_returns(cluster, release):
    machines = cluster(defaults={"RELEASE_ON_STOP": release})
    failed_over(machines)
    with a_gap_only_after_a_release(cluster, machines, release, "failback"):
        machines.start("server1")
        settled(machines, "server1")


@pytest.mark.central
@RELEASE
def test_a_node_on_standby_hands_the_address_to_its_peer(cluster, release):
    machines = cluster(defaults={"RELEASE_ON_STOP": release})
    running(machines)
    with a_gap_only_after_a_release(cluster, machines, release, "standby"):
        machines.nodes["server1"].run("/usr/share/heartbeat/hb_standby")
        settled(machines, "server2")
    machines.nodes["server1"].run("/usr/share/heartbeat/hb_takeover")
    settled(machines, "server1")


@RELEASE
def test_the_address_follows_heartbeat_however_late_ec2_shows_it(cluster, lateness, release):
    cluster.explain(UNSURE)
    machines = cluster(lateness=lateness, defaults={"RELEASE_ON_STOP": release})
    begun = time.monotonic()
    machines.start()
    rest_with(machines, "server1")
    machines.wait_for_held_by("server1")

    machines.nodes["server1"].kill()
    machines.wait_for_owner("server2")
    machines.wait_until_shown()
    machines.nodes["server1"].boot()
    machines.start("server1")
    rest_with(machines, "server1")
    # Each at once, before EC2 shows the move before it.
    machines.nodes["server1"].run("/usr/share/heartbeat/hb_standby")
    rest_with(machines, "server2")
    machines.nodes["server1"].run("/usr/share/heartbeat/hb_takeover")
    rest_with(machines, "server1")
    machines.wait_for_held_by("server1")

    released = [None] if release == "yes" else []
    assert machines.moves(begun) == ["server1", "server2", *released, "server1", *released, "server2", *released, "server1"]
    # A Heartbeat that is started again may move it once more.
    if not machines.garbled:
        assert machines.mutations(begun) == [
            ("server1", "AssociateAddress"), ("server2", "AssociateAddress"),
            *after_a_stop("server2", release), ("server1", "AssociateAddress"),
            *after_a_stop("server1", release), ("server2", "AssociateAddress"),
            *after_a_stop("server2", release), ("server1", "AssociateAddress")]


def after_a_stop(name, release):
    return [(name, "DisassociateAddress")] if release == "yes" else []


@pytest.mark.central
@RELEASE
def test_a_clean_stop_of_heartbeat_moves_the_address_to_the_peer(cluster, release):
    machines = cluster(defaults={"RELEASE_ON_STOP": release})
    running(machines)
    with a_gap_only_after_a_release(cluster, machines, release, "clean stop"):
        machines.nodes["server1"].stop_heartbeat()
        machines.wait_for_owner("server2")
    machines.assert_held_by("server2")


def test_a_clean_stop_of_the_passive_node_leaves_the_address_alone(cluster):
    machines = cluster()
    running(machines)
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        machines.nodes["server2"].stop_heartbeat()
    machines.assert_held_by("server1")
    assert machines.mutations(begun) == []
    assert history.owners() == [machines.instances["server1"]]


@RELEASE
def test_with_both_nodes_stopped_neither_claims_the_address(cluster, release):
    machines = cluster(defaults={"RELEASE_ON_STOP": release})
    running(machines)
    begun = time.monotonic()
    machines.nodes["server2"].stop_heartbeat()
    machines.nodes["server1"].stop_heartbeat()
    if release == "yes":
        machines.assert_statuses(None, {"server1": NOT_MINE, "server2": NOT_MINE})
        assert machines.mutations(begun) == [("server1", "DisassociateAddress")]
    else:
        machines.assert_statuses("server1", {"server1": HANDED_OVER, "server2": NOT_MINE})
        assert machines.mutations(begun) == []
    # The peer, which is dead to it, never had the address.
    machines.start("server1")
    machines.wait_for(lambda: machines.nodes["server1"].status() == MINE, 60, "server1 to claim the address")
    machines.assert_held_by("server1")


def test_the_slave_stays_master_without_auto_failback(cluster):
    machines = cluster(auto_failback="off")
    failed_over(machines)
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        machines.start("server1")
        machines.wait_for_members()
        machines.wait_for_log("server1", "Initial resource acquisition complete")
    machines.assert_held_by("server2")
    assert machines.mutations(begun) == []
    assert history.owners() == [machines.instances["server2"]]


@RELEASE
def test_a_healed_split_brain_ends_with_one_owner(cluster, release):
    cluster.explain("returning after partition", "Both machines own our resources", "Late heartbeat", UNSURE)
    # A Heartbeat that garbles its takeover is started anew, and then there is no partition to it, only a first start.
    for _ in range(4):
        machines = cluster(defaults={"RELEASE_ON_STOP": release})
        running(machines)
        garbled = machines.garbled
        split = time.monotonic()
        split_the_brain(machines)
        if machines.garbled == garbled:
            break
    # Both hold it as far as Heartbeat knows. EC2 knows one owner, the last to have started it,
    # and so does status.
    machines.assert_held_by(machines.owner(), peer=LOST)
    assert ("server2", "AssociateAddress") in machines.mutations(split)

    with a_gap_only_after_a_release(cluster, machines, release, "healing"):
        for node in machines.nodes.values():
            node.started_at = len(node.log())
            node.hear_again()
        for name in machines.nodes:
            machines.wait_for_log(name, "returning after partition")
            machines.wait_for_log(name, "Initial resource acquisition complete")
        settled(machines, "server1")


def split_the_brain(machines):
    for node in machines.nodes.values():
        node.hear_nobody()
    for name in machines.nodes:
        machines.wait_for_log(name, f"node {machines.peer(name)}: is dead")
    for name, node in machines.nodes.items():
        machines.wait_for(lambda: node.run("cl_status", "rscstatus", check=False).stdout.strip() == "all",
                          60, f"{name} to hold everything")
    machines.wait_for_rest()


def test_haresources_may_name_the_address(cluster):
    cluster.explain(UNSURE)
    # Nothing but haresources names it.
    machines = cluster(haresources=f"server1 elastic-ip::{ADDRESS}", defaults={"ELASTIC_IP": ""})

    def held_by(name, peer=NOT_MINE):
        assert machines.owner() == name
        assert machines.nodes[name].status(ADDRESS) == MINE
        assert machines.nodes[machines.peer(name)].status(ADDRESS) == peer

    machines.start()
    rest_with(machines, "server1")
    held_by("server1")
    machines.nodes["server1"].kill_heartbeat()
    machines.wait_for_owner("server2")
    held_by("server2", peer=LOST)
    machines.start("server1")
    rest_with(machines, "server1")
    held_by("server1")


def test_a_cluster_that_boots_while_the_primary_owns_the_address_calls_nothing(cluster):
    machines = cluster()
    running(machines)
    for node in machines.nodes.values():
        node.kill()
    for node in machines.nodes.values():
        node.boot()
    machines.assert_held_by("server1")
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        machines.start()
        machines.wait_for_members()
        for name in machines.nodes:
            machines.wait_for_log(name, "Initial resource acquisition complete")
    machines.assert_held_by("server1")
    assert machines.mutations(begun) == []
    assert history.owners() == [machines.instances["server1"]]


def test_a_node_that_boots_before_it_is_missed_has_the_address_in_the_end(cluster):
    # To the peer it is still the Heartbeat that ran before the boot, whose messages it acknowledges.
    cluster.explain("HBDoMsg_T_ACK: corrupted ackseq")
    machines = cluster(timing=ARTICLE)
    running(machines)
    machines.nodes["server1"].kill()
    machines.nodes["server1"].boot()
    machines.assert_held_by("server1")
    machines.start("server1")
    machines.wait_for_log("server1", "resource acquisition complete")
    settled(machines, "server1")


def test_a_node_that_cannot_reach_ec2_is_not_rebooted(cluster):
    machines = cluster()
    # The stop is tried again and again, and then given up: never by a reboot.
    cluster.explain("Return code 1 from /etc/ha.d/resource.d/elastic-ip",
                    "Resource script for elastic-ip probably not LSB-compliant",
                    "DescribeAddresses got no connection", "DisassociateAddress got no connection", "a stop failed earlier", UNSURE)
    running(machines)
    cut_off = machines.nodes["server1"]
    cut_off.run("ip", "link", "set", "eth1", "down")
    cut_off.stop_heartbeat()
    assert cut_off.reboots() == []
    assert any("reboot narrowly avoided" in line for line in cut_off.log())
    machines.wait_for_owner("server2")
    assert cut_off.status() == UNKNOWN

    cut_off.run("ip", "link", "set", "eth1", "up")
    machines.start("server1")
    settled(machines, "server1")


def test_an_upgrade_on_the_active_node_leaves_the_address_alone(cluster):
    machines = cluster()
    running(machines)
    begun = time.monotonic()
    with machines.ec2.sampled() as history:
        machines.install(machines.nodes["server1"])
    machines.assert_held_by("server1")
    assert machines.mutations(begun) == []
    assert history.owners() == [machines.instances["server1"]]


def test_an_instance_role_and_the_metadata_service_are_enough(cluster):
    machines = cluster(defaults={"AWS_PARAMS": ""})
    node = machines.nodes["server2"]
    node.file("root/.awssecret").unlink()
    started = node.run("/etc/init.d/elastic-ip", "start")
    assert started.stdout == (f"elastic-ip remapper: IP {ADDRESS} associated with "
                              f"{machines.instances['server2']}\n")
    machines.assert_held_by("server2")
    stopped = node.run("/etc/init.d/elastic-ip", "stop")
    assert stopped.stdout == f"elastic-ip remapper: IP {ADDRESS} disowned\n"
    machines.assert_statuses(None, {"server1": NOT_MINE, "server2": NOT_MINE})
