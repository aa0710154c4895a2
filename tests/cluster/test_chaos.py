"""Whatever happens to the nodes, in the end one of them has the address and both say so."""

import base
import pytest
from chaos import FAULTS, Chaos, summary


# Each fault once, with two of the four configurations that follow from a seed.
@pytest.mark.parametrize("seed", [1, 2])
def test_one_node_has_the_address_after_whatever_happened(machines, record_property, seed):
    chaos = Chaos(machines, seed)
    steps = chaos.run(len(FAULTS))
    record_property("figure", summary(seed, steps))
    violations = [step for step in steps if step.violation]
    assert not violations, f"see {base.STORE / 'logs'}\n" + "\n".join(map(str, violations))
