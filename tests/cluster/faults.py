"""What happens to the nodes, at random."""

import concurrent.futures
import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass

import ec2
from node import Node, wait_until
from repairs import Repairs
from step import DEADTIME, Violation
from symptoms import FAILED, FAILED_FOR_GOOD, GARBLED_MESSAGE, GIVEN_UP, KILLED, MISSED, OVERTAKEN


class Faults(Repairs):
    threads: concurrent.futures.ThreadPoolExecutor
    # What the step's number makes of the seed.
    random: random.Random
    # Ends the fault.
    undo: contextlib.ExitStack
    # `RELEASE_ON_STOP`.
    release: str

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
    "heartbeat killed": Fault(Faults.kill_heartbeat, KILLED),
    "node killed": Fault(Faults.kill_node),
    "killed while moving": Fault(Faults.kill_while_moving, KILLED),
    "clean restart": Fault(Faults.restart),
    "standby": Fault(Faults.standby),
    "takeover": Fault(Faults.takeover),
    "heartbeat paused": Fault(Faults.pause_heartbeat, MISSED),
    "stop paused": Fault(
        Faults.pause_agent, ("no answer from", "no end within", *FAILED, *KILLED)),
    "start paused": Fault(Faults.pause_start, ("no answer from", "no end within", *KILLED)),
    "split brain": Fault(Faults.split, MISSED),
    "packets lost": Fault(Faults.lose_packets, MISSED),
    "link congested": Fault(Faults.congest, MISSED),
    "API throttled": Fault(Faults.throttle, ("RequestLimitExceeded", *FAILED, *KILLED, *OVERTAKEN)),
    "API broken": Fault(Faults.break_api, ("InternalError", *FAILED, *KILLED, *OVERTAKEN)),
    "API silent": Fault(Faults.silence_api, ("no answer from", "broken answer from", *FAILED, *KILLED, *OVERTAKEN)),
    "API refuses": Fault(Faults.refuse_api, ("Connection refused", *FAILED, *KILLED, *OVERTAKEN)),
    "answers lost": Fault(Faults.lose_answers, ("no answer from", "broken answer from", *FAILED, *KILLED)),
    "EC2 late": Fault(Faults.show_the_past, KILLED),
    "EC2 late at times": Fault(Faults.show_the_past_in_turn, KILLED),
    "keys revoked": Fault(
        Faults.revoke_keys, ("AuthFailure", *FAILED, *FAILED_FOR_GOOD, *KILLED, *OVERTAKEN)),
    "credentials removed": Fault(Faults.remove_credentials, KILLED),
    "credentials exposed": Fault(
        Faults.expose_credentials, ("open to others (mode 0644)", *FAILED, *FAILED_FOR_GOOD, *KILLED)),
}


def draw(seed: int, steps: int) -> list[str]:
    """The faults of the first steps: all of them before any comes again."""
    deck = random.Random(seed)
    drawn = []
    while len(drawn) < steps:
        drawn += deck.sample(sorted(FAULTS), len(FAULTS))
    return drawn[:steps]
