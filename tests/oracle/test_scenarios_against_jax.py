"""The benchmarks' scenario table, transformed by functrans and by JAX: what is measured is also right."""

from __future__ import annotations

import jax
import pytest

from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sides import FunctransSide, JaxSide
from tests.agreement import assert_same

LONG = ("chain_1000", "chain_10000")  # XLA takes them minutes, and they are the theme of chain
ALL_OF_SCALARS = ("f", "grad", "vmap(grad)", "hvp")
CASES = [
    pytest.param(scenario, variant, id=f"{name} {variant}")
    for name, scenario in SCENARIOS.items()
    if name not in LONG
    for variant in (ALL_OF_SCALARS if scenario.derivative == "grad" else scenario.variants)
]
OURS, THEIRS = FunctransSide(), JaxSide()


@pytest.mark.parametrize(("scenario", "variant"), CASES)
def test_a_scenario_has_the_derivatives_that_jax_finds(scenario: Scenario, variant: str) -> None:
    """Un-jitted on our side; whether or not the benchmarks measure this variant of it."""
    ours, args = OURS.variant(scenario, variant)
    theirs, _ = THEIRS.variant(scenario, variant)
    assert_same(ours(*args), jax.jit(theirs)(*args), operations=32, scale=0.01)
