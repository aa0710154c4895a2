"""keepalived moves the address by the shipped example and the script that follows its states."""

import re
import time

import pytest

import base
from cluster import ADDRESS, LOST, MINE, NOT_MINE, UNSURE, Cluster
from node import Status, wait_until

KEEPALIVED = "/usr/sbin/keepalived"
EXAMPLE = (base.REPOSITORY / "etc/keepalived/keepalived.conf").read_text()
PRIORITIES = {"server1": "150", "server2": "100"}
# Three adverts of a second, and what a low priority adds.
DEADTIME = 3.7
# What follow-keepalived says of an address that it looks at.
NOBODYS = f"{ADDRESS}: this node is master, and nobody has it any more; starting it"
TAKEN = f"{ADDRESS}: this node is master, but %s has it, and it is left there; run elastic-ip start to move it here"


class Pair:
    """The two machines with keepalived between them, of which server1 has the better priority."""

    def __init__(self, machines: Cluster):
        self.machines = machines
        self.nodes = machines.nodes
        for name, node in machines.nodes.items():
            node.write("etc/keepalived/keepalived.conf", configuration(machines, name))

    def start(self, *names: str):
        for name in names or self.nodes:
            self.nodes[name].start_daemon(KEEPALIVED, "--dont-fork")

    def state(self, name: str) -> str:
        """The last that keepalived said of itself since it was started there."""
        node = self.nodes[name]
        said = re.findall(r" Entering (\w+) STATE", "\n".join(node.log()[node.started_at:]))
        return said[-1] if said else ""

    def wait_for(self, name: str, state: str, seconds: float = 20):
        wait_until(lambda: self.state(name) == state, seconds, f"keepalived to be {state} on {name}")

    def wait_for_rest(self):
        """No start is at work."""
        wait_until(lambda: not any(node.agent_processes() for node in self.nodes.values()), 30, "the starts to end")

    def moved_to(self, master: str):
        """That node is master, and its first start has brought it the address."""
        self.wait_for(master, "MASTER")
        self.machines.wait_for_owner(master, seconds=5)
        self.wait_for_rest()

    def ended(self, end, history) -> tuple[float, float]:
        """Ends keepalived on server1 so. Returns when, and when a sample first named its peer."""
        begun = time.monotonic()
        end(KEEPALIVED)
        self.machines.wait_for_owner("server2")
        moved = history_of(self.machines, history, "server2", begun)
        self.wait_for_rest()
        self.machines.assert_held_by("server2", peer=LOST)
        return begun, moved

    def settled(self, master: str, peer: Status = NOT_MINE):
        """That node is master, and its peer backup; EC2 and both nodes' status name it."""
        self.wait_for(master, "MASTER")
        self.wait_for(self.machines.peer(master), "BACKUP")
        self.machines.wait_for_owner(master)
        self.wait_for_rest()
        self.machines.assert_held_by(master, peer)


def configuration(machines: Cluster, name: str) -> str:
    """The example as its comments say it is to be changed."""
    own, peer = machines.private[name], machines.private[machines.peer(name)]
    text = EXAMPLE.replace("10.0.1.11", own).replace("10.0.2.11", peer)
    return text.replace("priority 150", f"priority {PRIORITIES[name]}")


@pytest.fixture
def keepalived(cluster):
    """A pair of which server1 has just taken the address."""
    # Nothing is stopped under keepalived.
    cluster.explain(UNSURE)
    pair = Pair(cluster())
    begun = time.monotonic()
    pair.start()
    pair.settled("server1")
    assert pair.machines.moves(begun) == ["server1"]
    return pair


@pytest.mark.central
def test_the_peer_takes_the_address_when_keepalived_is_killed_and_gives_it_back(cluster, keepalived):
    machines = keepalived.machines
    with machines.ec2.sampled() as history:
        killed, moved = keepalived.ended(machines.nodes["server1"].kill_daemon, history)

        returned = time.monotonic()
        keepalived.start("server1")
        keepalived.settled("server1", peer=LOST)
        back = history_of(machines, history, "server1", returned)
    cluster.figure(f"advert_int 1: the peer has the address {moved - killed:.1f} s after the kill, "
                   f"server1 {back - returned:.1f} s after its return")
    assert moved - killed < DEADTIME + 5
    assert cluster.figure_without_owner("failover and failback", history) == 0
    assert machines.moves(killed) == ["server2", "server1"]


def history_of(machines, history, owner, since):
    """When a sample first named that owner."""
    wait_until(lambda: any(sample.asked >= since and sample.owner == machines.instances[owner]
                           for sample in history.samples), 5, f"a sample to name {owner}")
    return history.change_to(machines.instances[owner], since)


def test_the_master_has_the_address_however_late_ec2_shows_it(cluster, lateness):
    cluster.explain(UNSURE)
    machines = cluster(lateness=lateness)
    pair = Pair(machines)
    begun = time.monotonic()
    pair.start()
    pair.moved_to("server1")
    machines.wait_for_held_by("server1")
    machines.nodes["server1"].kill()
    pair.moved_to("server2")
    machines.wait_until_shown()
    machines.nodes["server1"].boot()
    pair.start("server1")
    pair.moved_to("server1")
    # At once, before EC2 shows the move before it.
    machines.nodes["server1"].stop_daemon(KEEPALIVED)
    pair.moved_to("server2")
    # What a node did itself it knows at once. Until EC2 shows it, server1 cannot know that the address was taken from it.
    assert machines.nodes["server2"].status() == MINE
    machines.wait_until_shown()
    machines.wait_for_held_by("server2", peer=LOST)
    pair.start("server1")
    pair.moved_to("server1")
    machines.wait_until_shown()
    machines.wait_for_held_by("server1", peer=LOST)
    assert machines.moves(begun) == ["server1", "server2", "server1", "server2", "server1"]


@pytest.mark.central
def test_the_peer_takes_the_address_when_the_node_dies(keepalived):
    machines = keepalived.machines
    killed = time.monotonic()
    machines.nodes["server1"].kill()
    keepalived.wait_for("server2", "MASTER")
    machines.wait_for_owner("server2")
    machines.nodes["server1"].boot()
    machines.assert_held_by("server2")
    assert machines.moves(killed) == ["server2"]
    keepalived.start("server1")
    keepalived.settled("server1", peer=LOST)


@pytest.mark.central
def test_a_clean_stop_moves_the_address_at_once_and_the_last_stop_leaves_it(cluster, keepalived):
    machines = keepalived.machines
    with machines.ec2.sampled() as history:
        begun, moved = keepalived.ended(machines.nodes["server1"].stop_daemon, history)
        machines.nodes["server2"].stop_daemon(KEEPALIVED)
        machines.assert_held_by("server2", peer=LOST)
    cluster.figure(f"the peer has the address {moved - begun:.1f} s after a clean stop")
    # It waits for no advert.
    assert moved - begun < DEADTIME
    assert cluster.figure_without_owner("clean stop of both", history) == 0
    assert machines.moves(begun) == ["server2"]


def test_the_end_of_a_passive_keepalived_leaves_the_address_alone(keepalived):
    machines = keepalived.machines
    begun = time.monotonic()
    machines.nodes["server2"].stop_daemon(KEEPALIVED)
    machines.assert_held_by("server1")
    keepalived.start("server2")
    keepalived.settled("server1")
    machines.nodes["server2"].kill_daemon(KEEPALIVED)
    machines.assert_held_by("server1")
    assert machines.moves(begun) == []


def test_a_healed_split_brain_ends_with_the_better_priority(cluster, keepalived):
    machines = keepalived.machines
    split(keepalived)
    machines.wait_for_owner("server2")
    keepalived.wait_for_rest()
    # Both are master as far as keepalived knows. EC2 knows one owner, and so does status.
    machines.assert_held_by("server2", peer=LOST)
    with machines.ec2.sampled() as history:
        begun = time.monotonic()
        heal(keepalived)
        keepalived.settled("server1", peer=LOST)
    assert cluster.figure_without_owner("healing", history) == 0
    assert machines.moves(begun) == ["server1"]


def split(keepalived):
    for node in keepalived.nodes.values():
        node.hear_nobody()
    keepalived.wait_for("server2", "MASTER")


def heal(keepalived):
    for node in keepalived.nodes.values():
        node.hear_again()


def test_a_request_that_reaches_ec2_late_does_not_keep_the_address_from_the_master(cluster, keepalived):
    cluster.explain("ended by SIGTERM")
    machines = keepalived.machines
    machines.ec2.be_faulty({"kind": "held-before", "sources": [machines.public["server2"]], "actions": ["AssociateAddress"]})
    split(keepalived)
    wait_until(machines.ec2.held, 20, "server2's request to be on its way")
    heal(keepalived)
    keepalived.settled("server1")
    machines.ec2.be_faulty()
    machines.wait_for_owner("server2")
    keepalived.settled("server1")


def test_a_start_that_still_tries_ends_when_its_node_is_backup_again(cluster, keepalived):
    cluster.explain("ended by SIGTERM")
    machines = keepalived.machines
    begun = time.monotonic()
    let_ec2_refuse(keepalived, "server2")
    machines.nodes["server1"].kill_daemon(KEEPALIVED)
    wait_until(lambda: is_trying(machines, "server2", begun), 20, "server2 to try")
    keepalived.start("server1")
    keepalived.wait_for("server2", "BACKUP")
    # Its deadline would be two minutes away.
    wait_until(lambda: not machines.nodes["server2"].agent_processes(), 3, "server2 to give up")
    machines.ec2.be_faulty()
    keepalived.settled("server1")
    assert machines.moves(begun) == []


def test_a_start_that_still_tries_ends_with_its_keepalived(cluster, keepalived):
    cluster.explain("ended by SIGTERM")
    machines = keepalived.machines
    node = machines.nodes["server2"]
    begun = time.monotonic()
    let_ec2_refuse(keepalived, "server2")
    machines.nodes["server1"].kill_daemon(KEEPALIVED)
    wait_until(lambda: is_trying(machines, "server2", begun), 20, "server2 to try")
    node.kill_daemon(KEEPALIVED)
    wait_until(lambda: not node.agent_processes() and not followers(node), 3, "server2 to give up")
    machines.ec2.be_faulty()
    machines.assert_held_by("server1")
    assert machines.moves(begun) == []


def test_a_master_goes_on_when_a_start_has_failed(cluster):
    machines = cluster(defaults={"START_TIMEOUT": "1"})
    cluster.explain("Could not map", "EC2 answers 500")
    pair = Pair(machines)
    let_ec2_refuse(pair, "server1")
    pair.start("server1")
    pair.wait_for("server1", "MASTER")
    wait_until(lambda: any("gave up at the deadline" in line for line in machines.nodes["server1"].log()), 20, "a start to fail")
    machines.ec2.be_faulty()
    machines.wait_for_owner("server1")
    machines.assert_held_by("server1")


def test_a_reload_leaves_the_address_alone_and_the_states_followed(keepalived):
    machines = keepalived.machines
    begun = time.monotonic()
    before = {name: followers(node) for name, node in machines.nodes.items()}
    for name, node in machines.nodes.items():
        node.run("sh", "-c", "kill -HUP $(cat /run/keepalived.pid)")
        wait_until(lambda: followers(node) not in ([], before[name]), 20, f"the script to be begun anew on {name}")
    keepalived.settled("server1")
    assert machines.moves(begun) == []
    machines.nodes["server1"].kill_daemon(KEEPALIVED)
    keepalived.wait_for("server2", "MASTER")
    machines.wait_for_owner("server2")
    keepalived.wait_for_rest()
    machines.assert_held_by("server2", peer=LOST)


def followers(node) -> list[int]:
    return [pid for pid, _, command in node.processes() if "/follow-keepalived " in command]


def let_ec2_refuse(keepalived, name):
    keepalived.machines.ec2.be_faulty({"kind": "broken", "sources": [keepalived.machines.public[name]]})


def is_trying(machines, name, since):
    return name in dict(machines.calls_of_nodes(since)) and machines.nodes[name].agent_processes()


def test_the_master_takes_an_address_back_that_somebody_has_released(cluster, keepalived):
    machines = keepalived.machines
    wait_for_looks(machines, "server1", 1)
    released = time.monotonic()
    machines.ec2.disassociate()
    machines.wait_for_owner("server1", seconds=30)
    cluster.figure(f"an address that was released by hand is back after {time.monotonic() - released:.1f} s")
    keepalived.settled("server1")
    assert machines.moves(released) == [None, "server1"]
    assert told(machines, "server1", NOBODYS) == [NOBODYS]


def test_the_master_leaves_an_address_that_somebody_has_taken_and_tells_it_once(keepalived):
    machines = keepalived.machines
    wait_for_looks(machines, "server1", 1)
    taken = time.monotonic()
    machines.ec2.associate(machines.instances["server2"])
    taken_by_peer = TAKEN % machines.instances["server2"]
    wait_until(lambda: told(machines, "server1", taken_by_peer), 30, "server1 to tell it")
    wait_for_looks(machines, "server1", 2)
    assert told(machines, "server1", taken_by_peer) == [taken_by_peer]
    assert machines.moves(taken) == ["server2"]
    assert machines.mutations(taken) == []
    # It is the master's again as soon as nobody has it.
    machines.ec2.disassociate()
    machines.wait_for_owner("server1", seconds=30)
    assert machines.moves(taken) == ["server2", None, "server1"]


def test_in_a_split_brain_no_look_takes_the_address_from_the_peer(keepalived):
    machines = keepalived.machines
    split(keepalived)
    machines.wait_for_owner("server2")
    # Both are master, the second start of both is over, and each has looked.
    wait_for_looks(machines, "server2", 1)
    wait_until(lambda: told(machines, "server1", TAKEN % machines.instances["server2"]), 30, "server1 to tell it")
    looked = time.monotonic()
    for name in machines.nodes:
        wait_for_looks(machines, name, 2)
    assert machines.mutations(looked) == []
    assert machines.owner() == "server2"
    # What nobody has, one of them takes.
    machines.ec2.disassociate()
    wait_until(machines.owner, 30, "one of them to have the address")
    owner = machines.owner()
    wait_for_looks(machines, machines.peer(owner), 2)
    assert machines.moves(looked) == [None, owner]
    heal(keepalived)
    keepalived.settled("server1", peer=LOST if owner == "server2" else NOT_MINE)


def wait_for_looks(machines, name, number):
    """Until that node has asked EC2 who has the address so many times without changing anything."""
    since = time.monotonic()

    def looked() -> bool:
        return [action for caller, action in machines.calls_of_nodes(since) if caller == name].count("DescribeAddresses") >= number
    # The first look is a minute after the second start, which is 10 s after the first.
    wait_until(looked, 90 + 15 * number, f"{name} to look {number} times")


def told(machines, name, text):
    """What follow-keepalived said there, in syslog."""
    return [line[line.index(text):] for line in machines.nodes[name].log() if text in line]
