"""Real clusters at work: what each failover took, part by part, and who had the address while it moved.

Each process has one cluster of tests/cluster, for all that it is asked to do.
"""

import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time

from record import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "cluster"))

from cluster import ADDRESS, ARTICLE, MOUNT, Cluster, Configuration, Timing, package
from node import Node, wait_until
from test_failover import split_the_brain

SCRIPT = REPOSITORY / "bench" / "article"
AWS_CLI = REPOSITORY / "target" / "bench" / "debian" / "usr"
# How often a syslog is looked at: Heartbeat's own stamps are whole seconds.
STEP = 0.002
PATIENCE = 90
# Going wrong so many times more often than it may go right is not Heartbeat's fault any more.
MOST_APART = 3
# How long a Heartbeat that has just been started waits for its peer before it takes it for dead.
INITDEAD = 4
START = re.compile(r"Running \S+/elastic-ip +start")
DEAD = re.compile(r"node server\d: is dead")
LATE = re.compile(r"Late heartbeat: Node \w+: interval (\d+) ms")


class Apart(Exception):
    """What happened was not what was to be measured."""


class Watch:
    """A node's syslog since its boot, and when each line came."""

    def __init__(self, node: Node):
        self.lines: list[tuple[float, str]] = []
        self.path = node.place / "upper/var/log/syslog"
        wait_until(self.path.exists, 10, f"{node.name}'s syslog")
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        with open(self.path, errors="replace") as log:
            line = ""
            # The next boot begins another.
            while self.path.exists():
                time.sleep(STEP)
                now = time.monotonic()
                while text := log.readline():
                    line += text
                    if line.endswith("\n"):
                        self.lines.append((now, line))
                        line = ""

    def said(self, text: re.Pattern, since: float = 0) -> list[tuple[float, re.Match]]:
        return [(came, match) for came, line in self.lines if came >= since and (match := text.search(line))]


class Machines:
    def __init__(self, number: int):
        self.cluster = Cluster(package(), number)
        self.layer = MOUNT / f"base-{number}"

    def boot(self, configuration: Configuration, article: bool = False):
        self.cluster.reset(configuration)
        self.watches = {name: Watch(node) for name, node in self.cluster.nodes.items()}
        if article:
            for node in self.cluster.nodes.values():
                install_article(node)
        self.cluster.start()

    def settle(self, owner: str):
        self.cluster.wait_for_owner(owner, PATIENCE)
        self.cluster.wait_for_members(PATIENCE)

    def repeat(self, jobs: dict, count: int, configuration: Configuration, article: bool = False) -> dict:
        """Each job so many times. What went wrong is set apart, and tried again on freshly booted nodes."""
        done = {name: [] for name in jobs}
        told = {"done": done, "apart": [], "garbled": 0, "late": []}
        going = False
        while len(done[name := min(done, key=lambda name: len(done[name]))]) < count:
            try:
                if not going:
                    self.boot(configuration, article)
                    self.settle("server1")
                    going = True
                self.garbled = self.cluster.garbled
                done[name].append(jobs[name](self))
            except (Apart, AssertionError, IndexError, RuntimeError, TimeoutError) as fault:
                told["apart"].append(f"{name}: {type(fault).__name__}: {fault}".partition("\n")[0])
                if len(told["apart"]) > count + MOST_APART:
                    raise
                self.tell(told)
                going = False
        if going:
            self.tell(told)
        return told

    def expect_ungarbled(self, what: str):
        if self.cluster.garbled > self.garbled:
            raise Apart(f"Heartbeat garbled its own message and was started again; {what}")

    def tell(self, told: dict):
        """Adds what Heartbeat said of itself since the boot."""
        told["late"] += [int(match[1]) for watch in self.watches.values() for _, match in watch.said(LATE)]
        told["garbled"] += self.cluster.garbled

    # How long a failover takes

    def failovers(self, count: int, keepalive: float | None = None, deadtime: float = 0) -> dict:
        """So many, back and forth, with these seconds or the article's."""
        timing = quick(keepalive, deadtime) if keepalive else ARTICLE
        self.alarms = 0
        told = self.repeat({"failover": Machines.fail_over}, count, Configuration(timing=timing, auto_failback="off"))
        return told | {"alarms": self.alarms}

    def fail_over(self) -> dict:
        begun = time.monotonic()
        try:
            return self.kill_and_restart()
        finally:
            # A Heartbeat that garbled its start has been killed for that, too.
            if self.cluster.garbled == self.garbled:
                self.alarms += max(0, sum(len(watch.said(DEAD, begun)) for watch in self.watches.values()) - 1)

    def kill_and_restart(self) -> dict:
        """kill -9 of the owner's Heartbeat, and the seconds of each part until EC2 has answered the
        peer's AssociateAddress. Then the dead one is started again, as the standby."""
        cluster = self.cluster
        dead = cluster.owner()
        peer = cluster.peer(dead)
        processes = cluster.nodes[dead].heartbeat_processes()
        killed = time.monotonic()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        cluster.nodes[dead].kill_heartbeat()

        def calls(action: str) -> list:
            return [call for call in cluster.ec2.calls(killed) if call.source == cluster.public[peer]
                    and call.action == action and call.status == 200]
        cluster.wait_for(lambda: calls("AssociateAddress"), PATIENCE, f"{peer} to have the address")
        self.expect_ungarbled(f"the peer had the address {calls('AssociateAddress')[0].time - killed:.1f} s after the kill")
        said = self.watches[peer].said
        # What was answered has been called, so its line is on its way at least.
        wait_until(lambda: said(START, killed), 1, "the line of the start")
        stamps = {"detection": said(DEAD, killed)[0][0], "scripts": calls("DescribeAddresses")[0].began,
                  "status": said(START, killed)[0][0], "start": calls("AssociateAddress")[0].time}
        ends = [killed, *stamps.values()]
        if ends != sorted(ends) or cluster.mutations(killed) != [(peer, "AssociateAddress")]:
            raise Apart(f"not one failover: {[end - killed for end in ends]}, {cluster.mutations(killed)}")

        begun = time.monotonic()
        cluster.start(dead)
        cluster.wait_for_log(dead, "Initial resource acquisition complete", PATIENCE)
        self.settle(peer)
        # Until then it would not take the peer for dead after the deadtime.
        wait_until(lambda: time.monotonic() - begun > INITDEAD, PATIENCE, "initdead to be over")
        return {"from": dead, "total": ends[-1] - killed} | {part: end - begin for part, begin, end in zip(stamps, ends, ends[1:])}

    def listen(self, keepalive: float, seconds: float) -> dict:
        """How late heartbeats are: `late` has the ms of each that took more than twice as long as it should."""
        self.boot(Configuration(timing=quick(keepalive, 60)))
        for name in self.cluster.nodes:
            self.cluster.wait_for_log(name, f"{self.cluster.peer(name)}: status active", PATIENCE)
        told = {"seconds": seconds, "late": [], "garbled": 0}
        time.sleep(seconds)
        self.tell(told)
        return told

    # Who has the address while it moves

    def moves(self, script: str, count: int) -> dict:
        """Each of MOVES so many times, with the article's script or that RELEASE_ON_STOP."""
        if script != "article":
            return self.repeat(MOVES, count, Configuration(timing=ARTICLE, defaults={"RELEASE_ON_STOP": script}))
        # What lies below the nodes' disks is there from their next boot on.
        for part in ("bin", "lib/python3"):
            shutil.copytree(AWS_CLI / part, self.layer / "usr" / part, symlinks=True, dirs_exist_ok=True)
        return self.repeat(MOVES, count, Configuration(timing=ARTICLE, defaults={
            "ALLOCATION_ID": self.cluster.ec2.allocation,
            "AWS_PARAMS": f'"--region=eu-west-1 --endpoint-url={self.cluster.ec2.endpoint}"',
        }), article=True)

    def failback(self) -> list:
        self.cluster.nodes["server1"].kill_heartbeat()
        self.cluster.wait_for_owner("server2", PATIENCE)
        self.cluster.wait_for_rest(PATIENCE)
        begun = time.monotonic()
        self.cluster.start("server1")
        self.settle("server1")
        return self.timeline(begun)

    def standby(self) -> list:
        begun = time.monotonic()
        self.cluster.nodes["server1"].run("/usr/share/heartbeat/hb_standby")
        self.settle("server2")
        timeline = self.timeline(begun)
        self.cluster.nodes["server1"].run("/usr/share/heartbeat/hb_takeover")
        self.settle("server1")
        return timeline

    def healing(self) -> list:
        split_the_brain(self.cluster)
        self.expect_ungarbled("the brain was not split")
        begun = time.monotonic()
        for node in self.cluster.nodes.values():
            node.started_at = len(node.log())
            node.hear_again()
        for name in self.cluster.nodes:
            self.cluster.wait_for_log(name, "returning after partition", PATIENCE)
            self.cluster.wait_for_log(name, "Initial resource acquisition complete", PATIENCE)
        self.settle("server1")
        return self.timeline(begun)

    def timeline(self, begun: float) -> list[tuple[float, str | None]]:
        """Who had the address from when on, in seconds after `begun`, by EC2's journal, which must be
        without a gap. The last is when the watching ended."""
        self.expect_ungarbled("the move is not what it would have been")
        owner, timeline = None, []
        for call in sorted(self.cluster.ec2.calls(), key=lambda call: call.time):
            if ADDRESS not in call.before:
                continue
            before, after = (self.cluster.name_of(owners[ADDRESS]) for owners in (call.before, call.after))
            if before != owner:
                raise Apart(f"the address went from {owner} to {before} without a call")
            if call.time >= begun and not timeline:
                timeline = [(0.0, before)]
            if call.time >= begun and after != before:
                timeline.append((call.time - begun, after))
            owner = after
        return [*timeline, (time.monotonic() - begun, owner)]


MOVES = {"failback": Machines.failback, "standby": Machines.standby, "healed split brain": Machines.healing}


def quick(keepalive: float, deadtime: float) -> Timing:
    keepalive, deadtime, warntime, initdead = (
        f"{seconds * 1000:.0f}ms" for seconds in (keepalive, deadtime, 2 * keepalive, max(INITDEAD, deadtime)))
    return Timing(keepalive, deadtime, f"warntime {warntime}\ninitdead {initdead}\n")


def install_article(node: Node):
    # elastic-ip, too, has its keys from a file.
    keys = node.file("root/.awssecret").read_text().split()
    node.file("root/.aws").mkdir(exist_ok=True)
    node.write("root/.aws/credentials", "[default]\naws_access_key_id={}\naws_secret_access_key={}\n".format(*keys), 0o600)
    node.write("etc/init.d/elastic-ip", SCRIPT.read_text(), 0o755)


machines: Machines


def build(number: int):
    """Begins a process."""
    global machines
    machines = Machines(number)


def ask(method: str, *arguments) -> dict:
    """One of the cluster's measurements, and the machine's load before and after it."""
    before = os.getloadavg()[0]
    told = getattr(machines, method)(*arguments)
    return told | {"load": [before, os.getloadavg()[0]]}
