"""The benchmarks' scenario table, transformed by functrans and by JAX: what is measured is also right."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sides import FunctransSide, JaxSide
from tests.agreement import assert_same

# As for users: with the options of quick compilation, and only with all of them, XLA computes NaNs in vmap(grad) of gmm
# (jaxlib 0.10.2; the same module is right with any one of them left out).
pytestmark = pytest.mark.machine_code

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
    """Un-jitted on our side; whether or not the benchmarks measure this variant of it.

    Where that is further from JAX's answer than roundings explain, it is as near to JAX's in double precision.
    """
    ours, args = OURS.variant(scenario, variant)
    theirs, _ = THEIRS.variant(scenario, variant)
    found, expected = ours(*args), jax.jit(theirs)(*args)
    try:
        assert_same(found, expected, operations=32, scale=0.01)
    except AssertionError:
        with jax.enable_x64(True):
            exact = jax.jit(theirs)(*jax.tree.map(_double, args))
        for x, y, z in zip(*map(jax.tree.leaves, (found, expected, exact)), strict=True):
            ours_off, theirs_off = (np.max(np.abs(np.asarray(a) - np.asarray(z)), initial=0.0) for a in (x, y))
            if jax.typeof(x) != jax.typeof(y) or not ours_off <= 1.5 * theirs_off:
                raise


def _double(x: Any) -> Any:
    return np.asarray(x, np.float64) if np.asarray(x).dtype == np.float32 else x
