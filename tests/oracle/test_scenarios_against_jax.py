"""The benchmarks' scenario table, transformed by functrans and by JAX: what is measured is also right."""

from __future__ import annotations

import jax
import pytest

from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sides import FunctransSide, JaxSide
from tests.agreement import assert_same

TRANSFORMED = ("f", "grad", "vmap(grad)", "hvp")
LONG = ("chain_1000", "chain_10000")  # XLA takes them minutes, and they are the theme of chain
OURS, THEIRS = FunctransSide(), JaxSide()


@pytest.mark.parametrize("variant", TRANSFORMED)
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS.values() if s.name not in LONG], ids=lambda s: s.name)
def test_a_scenario_has_the_derivatives_that_jax_finds(scenario: Scenario, variant: str) -> None:
    """Un-jitted on our side; whether or not the benchmarks measure this variant of it."""
    ours, args = OURS.variant(scenario, variant)
    theirs, _ = THEIRS.variant(scenario, variant)
    assert_same(ours(*args), jax.jit(theirs)(*args), operations=32, scale=0.01)
