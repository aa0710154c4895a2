"""Whatever happens to the nodes, in the end one of them has the address and both say so."""

import base
import pytest
from chaos import Chaos
from faults import FAULTS, draw
from step import summary
from unattended import LIMIT, Unattended

# Of different configurations: RELEASE_ON_STOP=yes with a failback, and no without one.
SEEDS = [48, 35]
STEPS = 15


@pytest.mark.parametrize("seed", SEEDS)
def test_one_node_has_the_address_after_whatever_happened(machines, record_property, seed):
    steps = Chaos(machines, seed).run(draw(seed, STEPS))
    record_property("figure", summary(seed, steps))
    violations = [step for step in steps if step.violation]
    assert not violations, f"see {base.STORE / 'logs'}\n" + "\n".join(map(str, violations))


def test_the_seeds_bring_every_fault():
    assert {fault for seed in SEEDS for fault in draw(seed, STEPS)} == set(FAULTS)


def test_an_address_with_a_guard_is_served_again_after_whatever_happened_without_help(machines, record_property):
    # It brings a start that fails for good.
    chaos = Unattended(machines, 400)
    chaos.run(draw(400, STEPS))
    record_property("figure", chaos.summary())
    assert [step for step in chaos.steps if step.violation] == []
    assert len(chaos.served) == STEPS
    unserved = [str(step) for step, seconds in zip(chaos.steps, chaos.served) if seconds is None and not step.mended]
    assert unserved == [], f"not served within {LIMIT} s, and not by Heartbeat's fault"
