"""Chaos without any help: whatever Heartbeat has forgotten stays so, unless its guard does it.

    unattended.py --seed S --steps N [--first F] [--only FAULT] [--no-guard]

After each fault the question is whether EC2's owner is a live node whose books hold the resources,
and how soon. Where Heartbeat's books are wrong and stay so, the step is of a class, and both nodes
are booted for the next.
"""

import collections
import contextlib
import dataclasses
import statistics
import time

import base
import chaos
from chaos import CALM, Chaos
from cluster import Cluster
from step import Violation
from symptoms import DEAF, ENDLESS_STANDBY, FAILED_TAKEN_FOR_DONE, GARBLED_MESSAGE, GIVEN_UP, HELD_BY_BOTH, said

# Within so many seconds of the end of the fault.
LIMIT = 40
# Heartbeat's scripts get so long to end, and then its books and both statuses to be in order.
ORDER = 75
# A fault that waits for a move ends after so many seconds without one.
MOVE = 20
# What takes longer leaves its logs.
SLOW = 15
# Shorter than most outages of the API here, so that a start fails for good.
START_TIMEOUT = "2"
# Where nothing in the logs names another.
UNNAMED = "no class"


class Unattended(Chaos):
    def __init__(self, cluster: Cluster, seed: int, guard: bool = True, say=print):
        super().__init__(cluster, seed, say)
        self.configuration = dataclasses.replace(
            self.configuration, guard=guard, restarts_garbled=False,
            defaults=self.configuration.defaults | {"START_TIMEOUT": START_TIMEOUT})
        # Of each step: after how many seconds the address was served for good, if it was.
        self.served: list[float | None] = []
        self.starts = 0

    def step(self, number: int, fault: str):
        self.disordered = ""
        super().step(number, fault)
        if self.disordered:
            self.begin()

    def bring(self, fault):
        # A fault waits for what Heartbeat does, which it may never do, and is over then.
        try:
            super().bring(fault)
        except (TimeoutError, RuntimeError) as failure:
            self.now.notes.append(f"cut short: {failure}")

    def wait_for(self, condition, seconds: float, what: str):
        self.cluster.wait_for(condition, seconds, what)

    def await_owner(self, name: str, seconds: float = MOVE):
        super().await_owner(name, MOVE)

    def last(self, least: float, most: float):
        super().last(least, most * 2)

    def settle(self):
        self.revive()
        ended = time.monotonic()
        since, busy = None, ended

        def is_at_rest() -> bool:
            nonlocal since, busy
            if any(node.moves_resources() or node.agent_processes() for node in self.cluster.nodes.values()):
                busy = time.monotonic()
            if not self.is_served():
                since = None
            elif since is None:
                since = time.monotonic()
            return since is not None and time.monotonic() - max(since, busy) > self.calm()
        with contextlib.suppress(TimeoutError):
            self.wait_for(is_at_rest, ORDER, "the address to be served")
        if self.now.fault == "begin":
            return
        if since is not None and since - ended > LIMIT:
            since = None
        self.served.append(None if since is None else since - ended)
        wrong = ""

        def is_in_order() -> bool:
            nonlocal wrong
            wrong = self.disorder()
            return not wrong
        with contextlib.suppress(TimeoutError):
            self.wait_for(is_in_order, ORDER if since is not None else CALM, "the books to be in order")
        if since is None or wrong or since - ended > SLOW:
            self.cluster.keep_logs(base.LOGS / f"unattended-{self.seed}-{self.now.number}")
        if since is None or wrong:
            self.disordered = self.kind()
            self.now.mended.append(f"{'not served' if since is None else 'served'}: {self.disordered}")
            self.now.notes.append(f"{self.now.mended[-1]}: EC2 names {self.cluster.owner() or 'nobody'}, {wrong}")

    def is_served(self) -> bool:
        owner = self.cluster.owner()
        return owner is not None and self.cluster.nodes[owner].is_up() and self.holds(owner)

    def kind(self) -> str:
        """What Heartbeat does wrong by itself."""
        nodes = self.cluster.nodes
        if any(said(node.log(), *DEAF) for node in nodes.values()):
            return GARBLED_MESSAGE
        if any(said(node.log(), f"{name} wants to go standby") and self.books(name) == "transition" for name, node in nodes.items()):
            return ENDLESS_STANDBY
        if all(map(self.holds, nodes)):
            return HELD_BY_BOTH
        if any(said(node.log(), GIVEN_UP) for node in nodes.values()):
            return FAILED_TAKEN_FOR_DONE
        return UNNAMED

    def audit(self, begun: float, explains: tuple[str, ...]):
        for node in self.cluster.nodes.values():
            if node.reboots():
                raise Violation(f"{node.name} called {node.reboots()}")
            self.starts += sum("; starting it" in line for line in node.log())
        self.audit_calls(begun)
        if self.disordered == UNNAMED:
            raise Violation(self.now.notes[-1])

    def summary(self) -> str:
        served = [seconds for seconds in self.served if seconds is not None]
        lines = [f"seed {self.seed}, {'with' if self.configuration.guard else 'without'} the guard: RELEASE_ON_STOP={self.release}, "
                 f"auto_failback {self.failback}: {len(self.steps)} steps in {sum(step.seconds for step in self.steps):.0f} s",
                 f"    served {LIMIT} s after the fault: {len(served)}; not served: {len(self.served) - len(served)}"]
        if served:
            lines.append(f"    served after {statistics.median(served):.1f} s, {max(served):.1f} s at most; "
                         f"after more than 5 s: {sum(seconds > 5 for seconds in served)}")
        lines.append(f"    starts by the guard: {self.starts}")
        for what, count in sorted(collections.Counter(what for step in self.steps for what in step.mended).items()):
            lines.append(f"    {what}: {count} times")
        violations = [step for step in self.steps if step.violation]
        return "\n".join([*lines, f"    {len(violations)} violations", *map(str, violations)])


if __name__ == "__main__":
    chaos.main(lambda cluster, wanted: Unattended(cluster, wanted.seed, not wanted.no_guard), "leaves it to itself",
               [("--no-guard", "without follow-heartbeat")])
