"""A step of chaos, what was seen of it, and the sum of many."""

import collections
import math
from dataclasses import dataclass, field

from cluster import QUICK

DEADTIME = float(QUICK.deadtime)


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
