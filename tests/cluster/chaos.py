"""Two nodes to which a seed lets happen what happens to nodes, and the audit after each step.

    chaos.py --seed S --steps N [--first F] [--only FAULT]

What a step does follows from the seed, its number and who has the address when it begins.
"""

import argparse
import concurrent.futures
import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import base
from audit import Audit
from cluster import ADDRESS, QUICK, Cluster, Configuration, package
from faults import FAULTS, Fault, Faults, draw
from step import Step, Violation, summary
from symptoms import GARBLED_START, MISSED

# A final start's failure makes Heartbeat wait 30 s before it hands the resources over.
PATIENCE = 75
# Longer than Heartbeat takes from a node's return to the failback, and from the return of one that
# it had missed to its own restart.
CALM = 1.5
CALM_AFTER_PARTITION = 6


class Chaos(Faults, Audit):
    def __init__(self, cluster: Cluster, seed: int, say=print):
        super().__init__(cluster)
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
            self.audit(begun, FAULTS[fault].explains)
        except (Violation, TimeoutError, RuntimeError, AssertionError) as failure:
            self.write_down(begun)
            self.now.violation = f"--seed {self.seed}, step {number}: {failure}"
            cluster.keep_logs(base.LOGS / f"chaos-{self.seed}-{number}")
            self.say(str(self.now))
            self.begin()
        else:
            self.write_down(begun)
            self.say(str(self.now))

    def bring(self, fault: Fault):
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
