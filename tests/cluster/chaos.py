"""Two nodes to which a seed lets happen what happens to nodes, and the audit after each step.

    chaos.py --seed S --steps N [--first F] [--only FAULT]

What a step does follows from the seed, its number and who has the address when it begins.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import math
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import base
import ec2
from cluster import (ADDRESS, COMPLAINT, GARBLED, KNOWN_COMPLAINTS, LOST, MINE, NOT_MINE, QUICK, UNKNOWN, UNSURE,
                     Cluster, Configuration, package)
from node import MIXED, Node, wait_until

DEADTIME = float(QUICK.deadtime)
# A final start's failure makes Heartbeat wait 30 s before it hands the resources over.
PATIENCE = 75
# Longer than Heartbeat takes from a node's return to the failback, and from the return of one that
# it had missed to its own restart.
CALM = 1.5
CALM_AFTER_PARTITION = 6
# The owner's rscstatus, and its peer's, when Heartbeat's books are in order.
HOLDS = {"server1": ("local", "all"), "server2": ("foreign", "all")}
# What Heartbeat says of a start that failed for good.
GIVEN_UP = "CRIT: Giving up resources due to failure of"
# The agent failed, and ResourceManager says so; a status after a failed stop is not to be told.
FAILED = ("Return code 1 from /etc/ha.d/", "a stop failed earlier")
# No try could help, so a start failed at once and for good.
FAILED_FOR_GOOD = ("Return code 6 from /etc/ha.d/", GIVEN_UP)
# A node that has just joined gets the last message of a failback whose first it has not had.
LATE_STANDBY = ("Ignored standby message 'done' from",)
# What is left of a killed Heartbeat, while it is.
KILLED = ("killed by signal", "Emergency Shutdown", "Killing pid")
# The nodes have missed each other, and meet again.
MISSED = ("returning after partition", "Late heartbeat: Node", "Both machines own")
# A node that cannot ask EC2 is still at the peer's takeover when the peer is back, and for a moment
# the books of both say that they own everything.
OVERTAKEN = ("Both machines own", "Ignored standby message 'other' from")
# For a minute after its start a node may not be able to tell that the address went elsewhere; and it
# takes some seconds to say so.
YOUNG = 70
# What status says between a node's stop and its peer's start.
HANDED_OVER = "stopped here, and left with this instance until a peer takes it"
# What Heartbeat does wrong by itself, so that somebody has to start it again.
# What its scripts tell it is garbled on the way: at a cold start, with that line of the cluster's;
GARBLED_START = "heartbeat garbled its own start"
# or later, so that it waits for ever for what it has been told.
GARBLED_MESSAGE = "heartbeat garbled what a script of its told it"
DEAF = (MIXED, GARBLED)
# A peer that is heard again at the very moment it is declared dead is taken for dead, but not for
# one that returns after a partition. Then both hold everything for ever, and say so.
HELD_BY_BOTH = "heartbeat left the resources to both"
# Its books take a start for done that failed for good, and the standby that is to bring the
# resources to the peer is for the group that is not concerned.
FAILED_TAKEN_FOR_DONE = "heartbeat took a failed start for done"
# A peer that dies while it is to take over, and is back before it is missed, has forgotten that;
# its node waits for it.
ENDLESS_STANDBY = "heartbeat waited for ever for the end of a standby"
# What its peer says while it waits.
NOBODYS = "No one owns"
# Not Heartbeat's: the agent's status is not to be told after a failed stop, and asks for another.
STOP_ASKED_FOR = "a status asked for another stop"
# How long it gets to go on by itself.
HANGS_AFTER = 15
UNEXPLAINED_SHOWN = 6


class Violation(Exception):
    """Something that must never be was so."""


@dataclass
class Step:
    number: int
    fault: str
    owner: str
    text: str = ""
    seconds: float = 0
    owners: list[str] = field(default_factory=list)
    # When the owner was put out of action without a word to its peer.
    lost: float | None = None
    # Whether what delays the peer is not Heartbeat's deadtime alone.
    hindered: bool = False
    moved: float | None = None
    # What Heartbeat did wrong by itself, and was helped out of.
    mended: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    violation: str = ""

    def __str__(self) -> str:
        failover = ""
        if self.moved is not None:
            failover = f"  failover {self.moved:.2f} s ({self.moved - DEADTIME:+.2f} s to deadtime)"
        lines = [f"{self.number:4}  {self.fault:22} {self.seconds:5.1f} s  "
                 f"{' → '.join(self.owners):32}{failover}  {self.text}"]
        lines += [f"      {note}" for note in self.notes]
        if self.violation:
            lines.append(f"      VIOLATION {self.violation}")
        return "\n".join(lines)


class Chaos:
    def __init__(self, cluster: Cluster, seed: int, say=print):
        self.cluster = cluster
        self.seed = seed
        self.say = say
        self.steps: list[Step] = []
        self.threads = concurrent.futures.ThreadPoolExecutor()
        # Each of four seeds in a row has a configuration of its own.
        self.release = "no" if seed & 1 else "yes"
        self.failback = "off" if seed & 2 else "on"
        self.configuration = Configuration(auto_failback=self.failback, defaults={
            "RELEASE_ON_STOP": self.release,
            # Short, so that an outage also makes stops fail for good.
            "STOP_TIMEOUT": "2",
            # Short, since a node that cannot tell is asked again and again.
            "STATUS_TIMEOUT": "2",
        })

    def run(self, faults: list[str], first: int = 1) -> list[Step]:
        self.say(f"seed {self.seed}: RELEASE_ON_STOP={self.release}, auto_failback {self.failback}, "
                 f"keepalive {QUICK.keepalive}, deadtime {QUICK.deadtime}")
        self.begin()
        for number, fault in enumerate(faults, 1):
            if number >= first:
                self.step(number, fault)
        return self.steps

    def summary(self) -> str:
        return summary(self.seed, self.steps)

    def begin(self):
        self.now = Step(0, "begin", "")
        self.cluster.reset(self.configuration)
        self.cluster.start()
        self.settle()

    def step(self, number: int, fault: str):
        cluster = self.cluster
        for node in cluster.nodes.values():
            # The last step's, which has been audited.
            os.truncate(node.file("var/log/syslog"), 0)
            node.started_at = 0
        cluster.garbled = 0
        self.random = random.Random(f"{self.seed}/{number}")
        self.now = Step(number, fault, cluster.owner())
        self.steps.append(self.now)
        begun = time.monotonic()
        try:
            # Whatever becomes of the step, its faults are undone.
            with contextlib.ExitStack() as self.undo:
                self.bring(FAULTS[fault])
            self.settle()
            self.audit(begun, FAULTS[fault])
        except (Violation, TimeoutError, RuntimeError, AssertionError) as failure:
            self.write_down(begun)
            self.now.violation = f"--seed {self.seed}, step {number}: {failure}"
            cluster.keep_logs(base.LOGS / f"chaos-{self.seed}-{number}")
            self.say(str(self.now))
            self.begin()
        else:
            self.write_down(begun)
            self.say(str(self.now))

    def bring(self, fault: "Fault"):
        fault.method(self)

    def write_down(self, begun: float):
        step, cluster = self.now, self.cluster
        step.seconds = time.monotonic() - begun
        step.mended += [GARBLED_START] * cluster.garbled
        step.owners = [step.owner or "nobody"]
        for call in cluster.ec2.calls(begun):
            after = (cluster.name_of(call.after[ADDRESS]) or "nobody") if call.after else step.owners[-1]
            if after != step.owners[-1]:
                step.owners.append(after)
            taken = after == cluster.peer(step.owner)
            if step.lost and step.moved is None and call.time > step.lost and taken:
                step.moved = call.time - step.lost
        step.hindered |= bool(step.mended)

    # The faults

    def some(self) -> Node:
        """The owner, or as often its peer."""
        name = self.random.choice([self.now.owner, self.cluster.peer(self.now.owner)])
        return self.cluster.nodes[name]

    def owner(self) -> Node:
        return self.cluster.nodes[self.now.owner]

    def peer(self) -> Node:
        return self.cluster.nodes[self.cluster.peer(self.now.owner)]

    def tell(self, text: str):
        self.now.text = f"{self.now.text}, {text}" if self.now.text else text

    def role(self, node: Node) -> str:
        return "owner" if node is self.owner() else "peer"

    def last(self, least: float, most: float):
        """The fault lasts so many seconds."""
        seconds = self.random.uniform(least, most)
        self.tell(f"{seconds:.1f} s")
        time.sleep(seconds)

    def await_owner(self, name: str, seconds: float = 60):
        """Waits until the address has gone there, or will not go anywhere any more."""
        def over() -> bool:
            # A Heartbeat that is started again may have forgotten what it was told to do.
            if GARBLED_MESSAGE in self.now.mended and not self.disorder():
                return True
            return self.cluster.owner() == name or any(
                GIVEN_UP in line
                for node in self.cluster.nodes.values() for line in node.log())
        self.wait_for(over, seconds, f"{name} to have the address")

    def kill_heartbeat(self):
        node = self.some()
        self.tell(self.role(node))
        self.now.lost = time.monotonic() if node is self.owner() else None
        node.kill_heartbeat()
        if node is self.owner():
            self.await_owner(self.peer().name)
        else:
            self.last(0, DEADTIME * 2)

    def kill_node(self):
        node = self.some()
        self.tell(self.role(node))
        self.now.lost = time.monotonic() if node is self.owner() else None
        node.kill()
        if node is self.owner():
            self.await_owner(self.peer().name)
        else:
            self.last(0, DEADTIME * 2)

    def kill_while_moving(self):
        """A standby, and a death while it goes on."""
        node = self.some()
        died = self.random.choice(["heartbeat", "node"])
        self.tell(f"{self.role(node)}'s {died}")
        self.owner().run("/usr/share/heartbeat/hb_standby")
        self.last(0, 1.5)
        if died == "heartbeat":
            node.kill_heartbeat()
        else:
            node.kill()
        self.await_owner(self.cluster.peer(node.name))

    def restart(self):
        node = self.some()
        self.tell(self.role(node))
        node.stop_heartbeat()
        self.await_owner(self.cluster.peer(node.name))

    def standby(self):
        self.owner().run("/usr/share/heartbeat/hb_standby")
        self.await_owner(self.peer().name)

    def takeover(self):
        self.peer().run("/usr/share/heartbeat/hb_takeover")
        self.await_owner(self.peer().name)

    def pause_heartbeat(self):
        node = self.some()
        self.tell(self.role(node))
        begun = time.monotonic()
        self.undo.callback(node.resume_heartbeat, node.pause_heartbeat())
        self.last(0.5, DEADTIME + 3)
        if node is self.owner() and time.monotonic() - begun > DEADTIME + 1:
            self.now.lost = begun

    def pause_agent(self):
        """A stop is paused in the middle of a call, its Heartbeat dies, the peer takes the address
        over, and then the stop goes on."""
        # The owner knows its association, so its stop asks for one thing only.
        action = "DisassociateAddress" if self.release == "yes" else "DescribeAddresses"
        kind = self.random.choice(["held-before", "held-after"])
        late = self.random.choice([True, False])
        self.tell(f"stop's {action} {kind}{', the call late as well' if late else ''}")
        node = self.owner()
        self.be_faulty(kind, [node], actions=[action], times=1)
        node.run("/usr/share/heartbeat/hb_standby")
        self.cluster.wait_for(self.cluster.ec2.held, 30, "the stop to call")
        paused = node.agent_processes()
        if len(paused) != 1:
            raise RuntimeError(f"{len(paused)} calls of the agent are at work")
        os.kill(paused[0], signal.SIGSTOP)
        self.undo.callback(resume, paused)
        if not late:
            self.cluster.ec2.be_faulty()
        self.now.lost = time.monotonic()
        node.kill_heartbeat()
        self.await_owner(self.peer().name)
        self.cluster.ec2.be_faulty()
        resume(paused)
        wait_until(lambda: not node.agent_processes(), 30, "the paused stop to end")
        if self.cluster.owner() != self.peer().name:
            raise Violation("the resumed stop took the address from its new owner")

    def pause_start(self):
        """A takeover is paused in the middle of a call."""
        action = self.random.choice(["DescribeAddresses", "AssociateAddress"])
        kind = self.random.choice(["held-before", "held-after"])
        self.tell(f"start's {action} {kind}")
        self.now.hindered = True
        node = self.peer()
        self.be_faulty(kind, [node], actions=[action], times=1)
        self.now.lost = time.monotonic()
        self.owner().kill_heartbeat()
        self.cluster.wait_for(self.cluster.ec2.held, 30, "the start to call")
        paused = node.agent_processes()
        for pid in paused:
            os.kill(pid, signal.SIGSTOP)
        self.undo.callback(resume, paused)
        self.cluster.ec2.be_faulty()
        self.last(0.5, 7)
        resume(paused)
        self.await_owner(node.name)

    def split(self):
        deaf = self.random.choice([[self.owner()], [self.peer()], [self.owner(), self.peer()]])
        self.tell(f"{' and '.join(map(self.role, deaf))} deaf")
        self.now.lost = time.monotonic() if self.peer() in deaf else None
        for node in deaf:
            node.hear_nobody()
            self.undo.callback(node.hear_again)
        self.last(DEADTIME / 2, DEADTIME + 4)

    def lose_packets(self):
        percent = self.random.randint(10, 70)
        self.tell(f"{percent} %")
        for node in self.cluster.nodes.values():
            node.lose_packets(percent)
            self.undo.callback(node.lose_no_packets)
        self.last(2, 6)

    def congest(self):
        kilobits, queue = self.random.randint(3, 12), self.random.randint(1600, 6000)
        self.tell(f"{kilobits} kbit/s, queue {queue}")
        for node in self.cluster.nodes.values():
            node.congest(kilobits, queue)
            self.undo.callback(node.decongest)
        self.last(2, 6)

    def throttle(self):
        self.while_moving(lambda nodes: self.be_faulty("throttled", nodes))

    def break_api(self):
        self.while_moving(lambda nodes: self.be_faulty("broken", nodes))

    def silence_api(self):
        self.while_moving(lambda nodes: self.be_faulty("silent", nodes))

    def refuse_api(self):
        def refuse(nodes):
            for node in nodes:
                node.refuse_connections(self.cluster.ec2.host, ec2.PORT)
                self.undo.callback(lambda node=node: node.is_up() and node.refuse_no_connections())
        self.while_moving(refuse)

    def lose_answers(self):
        times = self.random.randint(1, 3)
        self.tell(f"{times}")
        self.while_moving(lambda nodes: self.be_faulty(
            "lost", nodes, times=times, actions=["AssociateAddress", "DisassociateAddress"]))

    def revoke_keys(self):
        self.while_moving(lambda nodes: self.be_faulty("revoked", nodes))

    def remove_credentials(self):
        """The role's keys take over: nothing else may change."""
        def remove(nodes):
            for node in nodes:
                node.file("root/.awssecret").rename(node.file("root/removed"))
                self.undo.callback(lambda node=node: node.is_up() and
                                   node.file("root/removed").rename(node.file("root/.awssecret")))
        self.while_moving(remove)

    def expose_credentials(self):
        """A file that others may read is refused, and nothing else is used instead."""
        def expose(nodes):
            for node in nodes:
                node.file("root/.awssecret").chmod(0o644)
                self.undo.callback(lambda node=node: node.is_up() and
                                   node.file("root/.awssecret").chmod(0o600))
        self.while_moving(expose)

    def show_the_past(self, replicas: bool = False):
        """To some nodes EC2 shows what was so some seconds ago; with replicas, in every other answer."""
        move = self.random.choice([self.while_moving, self.there_and_back])
        move(lambda nodes: self.be_late(nodes, replicas))

    def show_the_past_in_turn(self):
        self.show_the_past(replicas=True)

    def there_and_back(self, fault):
        """Moves the address twice, with that fault on some of the nodes."""
        fault(self.some_of_both())
        self.tell("there and back")
        self.standby()
        # Heartbeat ignores a word while resources move.
        self.wait_for(lambda: self.holds(self.peer().name) and not self.holds(self.now.owner), 30, "the books to say so")
        self.cluster.wait_for_rest()
        self.owner().run("/usr/share/heartbeat/hb_takeover")
        self.await_owner(self.now.owner)
        self.last(0, 3)

    def be_late(self, nodes: list[Node], replicas: bool):
        seconds = self.random.uniform(0.2, 6)
        self.tell(f"by {seconds:.1f} s")
        self.undo.callback(self.cluster.ec2.be_late)
        self.cluster.ec2.be_late(seconds, replicas, sources=self.addresses(nodes))

    def addresses(self, nodes: list[Node]) -> list[str]:
        return [self.cluster.public[node.name] for node in nodes]

    def be_faulty(self, kind: str, nodes: list[Node], **more):
        self.undo.callback(self.cluster.ec2.be_faulty)
        self.cluster.ec2.be_faulty(
            {"kind": kind, "sources": self.addresses(nodes)} | more)

    def some_of_both(self) -> list[Node]:
        nodes = self.random.choice([[self.owner()], [self.peer()], [self.owner(), self.peer()]])
        self.tell(f"on {' and '.join(map(self.role, nodes))}")
        return nodes

    def while_moving(self, fault):
        """Moves the address, or what looks like it, with that fault on some of the nodes."""
        nodes = self.some_of_both()
        move = self.random.choice(
            [self.moving_standby, self.moving_kill, self.moving_stop, self.moving_stop_of_peer])
        fault(nodes)
        self.now.hindered = True
        moving, owner = move()
        self.last(0.5, 5)
        self.undo.close()
        moving.result()
        self.await_owner(owner)

    # Each returns at once with the command that goes on, and who has the address in the end.

    def moving_standby(self):
        self.tell("standby")
        return self.threads.submit(self.owner().run, "/usr/share/heartbeat/hb_standby"), self.peer().name

    def moving_kill(self):
        self.tell("heartbeat killed")
        self.now.lost = time.monotonic()
        return self.threads.submit(self.owner().kill_heartbeat), self.peer().name

    def moving_stop(self):
        self.tell("stop")
        return self.threads.submit(self.owner().stop_heartbeat), self.peer().name

    def moving_stop_of_peer(self):
        self.tell("stop of the peer")
        return self.threads.submit(self.peer().stop_heartbeat), self.now.owner

    # What must be so afterwards

    def wait_for(self, condition, seconds: float, what: str):
        """Waits, and gets Heartbeat out of where it would stay for ever by its own fault."""
        begun = time.monotonic()

        def so() -> bool:
            nonlocal begun
            if condition():
                return True
            if time.monotonic() - begun > HANGS_AFTER:
                begun = time.monotonic()
                self.mend_deaf()
                self.mend_held_by_both()
                self.mend_failed_start()
                self.mend_standby()
                self.stop_where_asked_for()
            return False
        self.cluster.wait_for(so, seconds, what)

    def mend(self, node: Node, what: str, line: str):
        """Starts a Heartbeat again that has done this wrong, as an administrator would."""
        self.now.mended.append(what)
        self.now.notes.append(f"{what}: started again on {node.name}, after {line[16:150]!r}")
        if what in (HELD_BY_BOTH, FAILED_TAKEN_FOR_DONE):
            node.stop_heartbeat()
        else:
            node.kill_heartbeat()
        node.start_heartbeat()

    def mend_deaf(self):
        for node in self.cluster.nodes.values():
            line = said(node.log()[node.started_at:], *DEAF)
            if line and node.heartbeat_processes():
                self.mend(node, GARBLED_MESSAGE, line)

    def mend_held_by_both(self):
        cluster = self.cluster
        lines = [said(node.log(), "Both machines own our resources!") for node in cluster.nodes.values()]
        if any(lines) and all(self.holds(name) for name in cluster.nodes):
            # EC2 knows one owner all the same, and so does status.
            owner = cluster.owner()
            self.demand_statuses(owner)
            self.mend(cluster.nodes[cluster.peer(owner)], HELD_BY_BOTH, next(filter(None, lines)))
            self.demand_statuses(owner)

    def mend_failed_start(self):
        for name, node in self.cluster.nodes.items():
            line = said(node.log(), GIVEN_UP)
            # Its standby, 30 s later, is waited for.
            claims = self.cluster.owner() == name and node.status() == MINE
            if line and not node.moves_resources() and self.holds(name) and not claims:
                self.mend(node, FAILED_TAKEN_FOR_DONE, line)
                return

    def mend_standby(self):
        for name, node in self.cluster.nodes.items():
            line = said(node.log(), f"{name} wants to go standby")
            if line and not node.moves_resources() and self.books(name) == "transition":
                self.mend(node, ENDLESS_STANDBY, line)
                return

    def stop_where_asked_for(self):
        """Does what status says where Heartbeat has no reason for another stop."""
        for name, node in self.cluster.nodes.items():
            owner = self.cluster.owner()
            if owner == self.cluster.peer(name) and not self.holds(name) and not self.is_young(name) \
                    and node.status() == UNKNOWN:
                node.run("/etc/init.d/elastic-ip", "stop")
                self.now.mended.append(STOP_ASKED_FOR)
                self.now.notes.append(f"{STOP_ASKED_FOR} on {name}")
                if self.cluster.owner() != owner:
                    raise Violation(f"another stop on {name} took the address from {owner}")

    def books(self, name: str) -> str:
        """What that node's Heartbeat says it holds."""
        return self.cluster.nodes[name].run("cl_status", "rscstatus", check=False).stdout.strip()

    def holds(self, name: str) -> bool:
        return self.books(name) in HOLDS[name]

    def revive(self):
        """Starts again what does not run."""
        for node in self.cluster.nodes.values():
            if not node.is_up():
                node.boot()
            # One that is just being started is not seen among the processes yet.
            starting = node.heartbeat is not None and node.heartbeat.poll() is None
            if not starting and not node.heartbeat_processes():
                node.start_heartbeat()

    def settle(self):
        """Starts again what does not run, and waits until nothing moves any more and all is as it
        should be. What is missing then is for the audit to name."""
        cluster = self.cluster
        self.revive()
        last = time.monotonic()

        def at_rest() -> bool:
            nonlocal last
            if any(node.moves_resources() or node.agent_processes() for node in cluster.nodes.values()) \
                    or self.disorder():
                last = time.monotonic()
            return time.monotonic() - last > self.calm()
        try:
            self.wait_for(at_rest, PATIENCE, "the cluster to settle")
        except TimeoutError:
            why = self.disorder() or "something moves on"
            raise Violation(f"not settled after {PATIENCE} s: {why}") from None

    def calm(self) -> float:
        """How long nothing may move until nothing will."""
        partitioned = any(MISSED[0] in line for node in self.cluster.nodes.values() for line in node.log())
        return CALM_AFTER_PARTITION if partitioned else CALM

    def disorder(self) -> str:
        """What is not as it should be, in Heartbeat's books first because they are cheap to ask."""
        cluster = self.cluster
        books = {}
        for name, node in cluster.nodes.items():
            books[name] = self.books(name)
            seen = node.run("cl_status", "nodestatus", cluster.peer(name), check=False).stdout.strip()
            if seen != "active":
                return f"{name} does not see its peer: {seen or 'its heartbeat does not answer'}"
        holders = [name for name in books if books[name] in HOLDS[name]]
        if len(holders) != 1:
            return f"by Heartbeat's books {' and '.join(holders) or 'nobody'} holds the resources: {books}"
        owner = cluster.owner()
        if owner != holders[0]:
            return f"EC2 names {owner}, Heartbeat {holders[0]}"
        return self.false_status(owner)

    def false_status(self, owner: str) -> str:
        for name, node in self.cluster.nodes.items():
            status = node.status()
            lost = name != owner and status == LOST and self.is_young(name)
            if status != (MINE if name == owner else NOT_MINE) and not lost:
                return f"the address is {owner}'s, and status on {name} says {status}"
        return ""

    def demand_statuses(self, owner: str):
        wrong = self.false_status(owner)
        if wrong or self.cluster.owner() != owner:
            raise Violation(wrong or f"the address went from {owner} to {self.cluster.owner()}")

    def is_young(self, name: str) -> bool:
        """Whether EC2 has acknowledged a start there, not long ago and since it booted."""
        since = max(time.monotonic() - YOUNG, self.cluster.nodes[name].booted_at)
        return any(call.source == self.cluster.public[name] and call.action == "AssociateAddress" and call.status == 200
                   for call in self.cluster.ec2.calls(since))

    def audit(self, begun: float, fault: "Fault"):
        cluster = self.cluster
        if disorder := self.disorder():
            raise Violation(disorder)
        for node in cluster.nodes.values():
            if node.reboots():
                raise Violation(f"{node.name} called {node.reboots()}")
            if not node.heartbeat_processes():
                raise Violation(f"heartbeat does not run on {node.name}")
        self.audit_calls(begun)
        known = [*KNOWN_COMPLAINTS, *DEAF, *LATE_STANDBY, *fault.explains]
        if any(map(self.is_young, cluster.nodes)):
            known.append(UNSURE)
        if self.release == "no":
            known.append(HANDED_OVER)
        if cluster.garbled or self.now.mended:
            known += KILLED
        if {ENDLESS_STANDBY, GARBLED_MESSAGE} & set(self.now.mended):
            known.append(NOBODYS)
        unexplained = [line for node in cluster.nodes.values() for line in node.log()
                       if COMPLAINT.search(line) and not any(text in line for text in known)]
        if unexplained:
            shown = [line[16:200] for line in unexplained[:UNEXPLAINED_SHOWN]]
            raise Violation(f"{len(unexplained)} lines not explained:\n        " + "\n        ".join(shown))

    def audit_calls(self, begun: float):
        """From the proxy's journal: who changed what."""
        cluster = self.cluster
        names = {address: name for name, address in cluster.public.items()}
        owner = self.now.owner
        for call in sorted(cluster.ec2.calls(begun), key=lambda call: call.time):
            caller = names.get(call.source)
            if not call.after:
                continue
            before, after = (cluster.name_of(owners[ADDRESS]) for owners in (call.before, call.after))
            if before != owner:
                raise Violation(f"the address went from {owner} to {before} without a call")
            owner = after
            if call.action == "DisassociateAddress" and before != caller and after != before:
                raise Violation(f"{caller} released the address of {before}")
            if call.action == "AssociateAddress" and call.status == 200 and after != caller:
                raise Violation(f"{caller} associated the address with {after}")
            if call.action not in ("AssociateAddress", "DisassociateAddress") and after != before:
                raise Violation(f"{call.action} by {caller} moved the address from {before} to {after}")
            if self.release == "no" and caller and after is None:
                raise Violation(f"{caller} left the address without an owner in spite of RELEASE_ON_STOP=no")


def said(log: list[str], *texts: str) -> str | None:
    """The first line with one of them."""
    return next((line for line in log if any(text in line for text in texts)), None)


def resume(pids: list[int]):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Fault:
    method: object
    # Parts of the lines that are logged as errors because of it.
    explains: tuple[str, ...] = ()


FAULTS = {
    "heartbeat killed": Fault(Chaos.kill_heartbeat, KILLED),
    "node killed": Fault(Chaos.kill_node),
    "killed while moving": Fault(Chaos.kill_while_moving, KILLED),
    "clean restart": Fault(Chaos.restart),
    "standby": Fault(Chaos.standby),
    "takeover": Fault(Chaos.takeover),
    "heartbeat paused": Fault(Chaos.pause_heartbeat, MISSED),
    "stop paused": Fault(
        Chaos.pause_agent, ("no answer from", "no end within", *FAILED, *KILLED)),
    "start paused": Fault(Chaos.pause_start, ("no answer from", "no end within", *KILLED)),
    "split brain": Fault(Chaos.split, MISSED),
    "packets lost": Fault(Chaos.lose_packets, MISSED),
    "link congested": Fault(Chaos.congest, MISSED),
    "API throttled": Fault(Chaos.throttle, ("RequestLimitExceeded", *FAILED, *KILLED, *OVERTAKEN)),
    "API broken": Fault(Chaos.break_api, ("InternalError", *FAILED, *KILLED, *OVERTAKEN)),
    "API silent": Fault(Chaos.silence_api, ("no answer from", "broken answer from", *FAILED, *KILLED, *OVERTAKEN)),
    "API refuses": Fault(Chaos.refuse_api, ("Connection refused", *FAILED, *KILLED, *OVERTAKEN)),
    "answers lost": Fault(Chaos.lose_answers, ("no answer from", "broken answer from", *FAILED, *KILLED)),
    "EC2 late": Fault(Chaos.show_the_past, KILLED),
    "EC2 late at times": Fault(Chaos.show_the_past_in_turn, KILLED),
    "keys revoked": Fault(
        Chaos.revoke_keys, ("AuthFailure", *FAILED, *FAILED_FOR_GOOD, *KILLED, *OVERTAKEN)),
    "credentials removed": Fault(Chaos.remove_credentials, KILLED),
    "credentials exposed": Fault(
        Chaos.expose_credentials, ("open to others (mode 0644)", *FAILED, *FAILED_FOR_GOOD, *KILLED)),
}


def draw(seed: int, steps: int) -> list[str]:
    """The faults of the first steps: all of them before any comes again."""
    deck = random.Random(seed)
    drawn = []
    while len(drawn) < steps:
        drawn += deck.sample(sorted(FAULTS), len(FAULTS))
    return drawn[:steps]


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def summary(seed: int, steps: list[Step]) -> str:
    lines = [f"seed {seed}: {len(steps)} steps in {sum(step.seconds for step in steps):.0f} s"]
    for fault, count in sorted(collections.Counter(step.fault for step in steps).items()):
        violated = sum(bool(step.violation) for step in steps if step.fault == fault)
        lines.append(f"    {fault:22} {count:4} steps, {violated} violations")
    for what, hindered in (("deadtime alone", False), ("another fault besides", True)):
        moved = [step.moved for step in steps if step.moved is not None and step.hindered == hindered]
        if moved:
            shares = {"p50": 0.5, "p99": 0.99, "max": 1}
            figures = {name: percentile(moved, share) for name, share in shares.items()}
            figures = ", ".join(f"{name} {figure:.2f} s ({figure - DEADTIME:+.2f})"
                                for name, figure in figures.items())
            lines.append(f"    failover, {what}: {len(moved)} times, {figures}")
    for what, count in sorted(collections.Counter(what for step in steps for what in step.mended).items()):
        lines.append(f"    {what}: {count} times")
    violations = [step for step in steps if step.violation]
    lines.append(f"    {len(violations)} violations")
    lines += [str(step) for step in violations]
    return "\n".join(lines)


def main(make=lambda cluster, wanted: Chaos(cluster, wanted.seed), does="audits it after each", switches=()):
    """`make` gets what was wanted, of which `switches` are some more options with their help."""
    # A shell without job control starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog=f"tests/cluster/{Path(sys.argv[0]).stem}", description=f"Does things to a running cluster at random, and {does}.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--first", type=int, default=1, help="the number of the first step (1)")
    parser.add_argument("--only", choices=sorted(FAULTS), help="this fault in each step")
    for name, text in switches:
        parser.add_argument(name, action="store_true", help=text)
    wanted = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    cluster = Cluster(package())
    print(cluster.introduce())
    chaos = make(cluster, wanted)
    last = wanted.first - 1 + wanted.steps
    faults = [wanted.only] * last if wanted.only else draw(wanted.seed, last)
    try:
        chaos.run(faults, wanted.first)
    except KeyboardInterrupt:
        print("Interrupted.")
    finally:
        print(chaos.summary())
        cluster.close()
    if any(step.violation for step in chaos.steps):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
