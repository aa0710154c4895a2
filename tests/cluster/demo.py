"""The article's cluster, shown: first start, a kill, the failover, the return, the failback."""

import contextlib
import signal
import sys
import textwrap
import time

import base
import picture
from cluster import ADDRESS, ARTICLE, LOST, MINE, NOT_MINE, UNSURE, Cluster, Configuration, package
from node import Status

# No wait is silent for longer.
PATIENCE = 3
# What EC2 and Heartbeat may take on top of deadtime.
MARGIN = 5
PRIMARY, PEER = "server1", "server2"
# Where what was seen is kept, and how many columns it takes.
KEPT = base.REPOSITORY / "target" / "demo"
COLUMNS = 100
INDENT = 38


class Timeline:
    """One line for each thing that happened: when, how long since what, and who has the address."""

    def __init__(self, cluster: Cluster, history):
        self.cluster = cluster
        self.history = history
        self.seen = 0
        self.owner = "nobody"
        self.begun = time.monotonic()
        self.since = self.begun
        self.cause = ""
        self.scene = picture.Scene(ADDRESS, owners=[(0.0, self.owner)])
        print(f"\n{'seconds':>7}   {'':16}{ADDRESS}\n{'':26}is with")

    def begin(self, cause: str, text: str, *runs: tuple[str, bool]) -> float:
        """From here on lines say how long ago `cause` was, with which Heartbeat began (True) or ceased to run on some nodes."""
        self.since = time.monotonic()
        self.cause = ""
        self.scene.events.append((self.elapsed(), text))
        self.scene.heartbeats += [(self.elapsed(), node, begins) for node, begins in runs]
        print()
        self.tell(text)
        self.cause = cause
        return self.since

    def elapsed(self) -> float:
        return round(time.monotonic() - self.begun, 1)

    def tell(self, text: str, at: float | None = None):
        at = at or time.monotonic()
        since = f"{self.cause} + {at - self.since:.1f}" if self.cause else ""
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, COLUMNS - INDENT)]
        print(f"{at - self.begun:7.1f}   {since:16}{self.owner:12}{lines[0]}", flush=True)
        for line in lines[1:]:
            print(f"{'':{INDENT}}{line}", flush=True)

    def follow(self, owner: str, seconds: float, meanwhile: str) -> float:
        """Tells what EC2 says until it says `owner`; returns the time of that answer."""
        deadline = time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < deadline:
            self.cluster.restart_where_garbled()
            for sample in self.history.samples[self.seen:]:
                self.seen += 1
                named = self.cluster.name_of(sample.owner) or "nobody"
                if named != self.owner:
                    before, self.owner = self.owner, named
                    self.scene.owners.append((round(sample.answered - self.begun, 1), named))
                    self.tell(f"EC2: {before} gave the address up" if named == "nobody" else
                              f"EC2: the address went from {before} to {named}", sample.answered)
                    told = time.monotonic()
                    if named == owner:
                        return sample.answered
            if time.monotonic() - told > PATIENCE:
                self.tell(meanwhile)
                told = time.monotonic()
            time.sleep(0.05)
        raise AssertionError(f"{owner} did not have the address within {seconds:.0f} s")

    def ask(self, owner: str, peer: Status = NOT_MINE):
        """What each node's status says, which must be the truth byte for byte."""
        self.cluster.wait_for_rest()
        for name, node in self.cluster.nodes.items():
            status = node.status()
            self.scene.answers.append((self.elapsed(), name, status.word))
            self.tell(f"{name}# /etc/init.d/elastic-ip status\n{status.stdout}(exit code {status.code})")
            expected = MINE if name == owner else peer
            assert status == expected, f"{name} should have said {expected}"
        assert self.cluster.owner() == owner, f"EC2 should have said {owner}"


def show(cluster: Cluster) -> picture.Scene:
    primary = cluster.nodes[PRIMARY]
    version = primary.run("dpkg-query", "-W", "-f", "${Version}", "elastic-ip").stdout
    heartbeat = primary.run("dpkg-query", "-W", "-f", "${Version}", "heartbeat").stdout
    print(f"elastic-ip {version} on two nodes with {base.RELEASES[base.RELEASE]}, and its heartbeat {heartbeat} between them\n"
          f"    ha.cf: keepalive {ARTICLE.keepalive}, deadtime {ARTICLE.deadtime}, auto_failback on"
          f"    haresources: {Configuration().haresources}\n"
          f"    EC2 (moto): " + ", ".join(f"{name} is {instance}" for name, instance in cluster.instances.items()))

    deadtime = float(ARTICLE.deadtime)
    with cluster.ec2.sampled() as history:
        timeline = Timeline(cluster, history)
        started = timeline.begin("start", "Heartbeat is started on both nodes", (PRIMARY, True), (PEER, True))
        cluster.start()
        first = timeline.follow(PRIMARY, 60, "waiting: Heartbeat lets the nodes find each other")
        timeline.ask(PRIMARY)

        killed = timeline.begin("kill", f"Heartbeat is killed (-9) on {PRIMARY}", (PRIMARY, False))
        primary.kill_heartbeat()
        failover = timeline.follow(PEER, deadtime + MARGIN,
                                   f"waiting: {PEER} declares {PRIMARY} dead after {deadtime:.0f} s of silence")
        # Nobody has told the primary to stop.
        timeline.ask(PEER, peer=LOST)

        returned = timeline.begin("return", f"Heartbeat is started on {PRIMARY} again", (PRIMARY, True))
        cluster.start(PRIMARY)
        failback = timeline.follow(PRIMARY, 60, f"waiting: {PRIMARY} joins, {PEER} gives up its resources")
        timeline.ask(PRIMARY)
        timeline.scene.end = timeline.elapsed() + 1

    for node in cluster.nodes.values():
        assert node.reboots() == [], f"{node.name} rebooted"
    complaints = [line for line in cluster.complaints() if UNSURE not in line]
    assert complaints == [], complaints
    assert cluster.mutations() == [
        (PRIMARY, "AssociateAddress"), (PEER, "AssociateAddress"),
        (PEER, "DisassociateAddress"), (PRIMARY, "AssociateAddress")], cluster.mutations()
    print(f"""
It held.
    first start   {PRIMARY} had the address {first - started:.1f} s after the start
    failover      {PEER} had it {failover - killed:.1f} s after the kill, without an owner for {history.seconds_without_owner(killed, returned):.1f} s
    failback      {PRIMARY} had it {failback - returned:.1f} s after its return, without an owner for {history.seconds_without_owner(returned):.1f} s
                  (RELEASE_ON_STOP=no in /etc/default/elastic-ip makes that 0)
    calls         EC2 was asked for 4 changes: associate, associate, disassociate, associate
    status        each node told the truth each time; no node was rebooted""")
    return timeline.scene


class Copied:
    """Standard output of which a copy is kept in a file."""

    def __init__(self, file):
        self.outputs = (sys.stdout, file)

    def write(self, text: str):
        for output in self.outputs:
            output.write(text)

    def flush(self):
        for output in self.outputs:
            output.flush()


def main():
    # A shell without job control starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("Booting two nodes and installing the package ...", flush=True)
    cluster = Cluster(package())
    KEPT.mkdir(parents=True, exist_ok=True)
    text, svg = KEPT / "demo.txt", KEPT / "demo.svg"
    svg.unlink(missing_ok=True)
    try:
        cluster.reset(Configuration(timing=ARTICLE))
        with open(text, "w") as file, contextlib.redirect_stdout(Copied(file)):
            scene = show(cluster)
        picture.draw(scene, svg)
        other = next(release for release in base.RELEASES if release != base.RELEASE)
        print(f"""
What was seen is kept: {text.relative_to(base.REPOSITORY)}, and as a picture {svg.relative_to(base.REPOSITORY)}

Try next:
    make test                        every check, Pacemaker, keepalived and monit as well
    tests/cluster/run -vk standby    one scenario of many: tests/cluster/run --collect-only
    {f"RELEASE={other} make demo":<33}the same on nodes with {base.RELEASES[other]}
    docs/installation.md             the package on two instances of your own""")
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted.")
    except Exception as failure:
        logs = base.STORE / "logs" / "demo"
        cluster.keep_logs(logs)
        raise SystemExit(f"\nIt did not hold: {failure}\n    logs: {logs}")
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
