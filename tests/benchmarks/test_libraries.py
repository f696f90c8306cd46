"""Other libraries compute the same as JAX where they take part, and a missing one is left out with a word."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import jax
import pytest

from benchmarks import libraries
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import JaxSide
from tests.agreement import assert_values_agree

SOME = (
    "camera",
    "kmeans",
    "convnet",
    "rnn",
    "hand_on_triangles",
    "bundle_adjustment",
    "lstm",
    "determinant",
    "particle",
)


@functools.cache
def expected_leaves(name: str, variant: str) -> list[Any]:
    """What JAX computes, once for all libraries."""
    function, args = JaxSide().variant(SCENARIOS[name], variant)
    return jax.tree.leaves(jax.jit(function)(*args))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # by PyTorch's own code
@pytest.mark.parametrize(("library", "package"), [(libraries.Autograd, "autograd"), (libraries.Torch, "torch")])
@pytest.mark.parametrize("name", SOME)
def test_a_library_agrees_with_jax(library: Any, package: str, name: str) -> None:
    pytest.importorskip(package)
    scenario, tried = SCENARIOS[name], 0
    for variant in scenario.variants:
        found = library().variant(scenario, variant)
        if found is not None:
            function, args = found
            actual = jax.tree.leaves(function(*args))
            for leaf, wanted in zip(actual, expected_leaves(name, variant), strict=True):
                assert_values_agree(leaf, wanted, operations=64, context=f"{name} {variant}")
            tried += 1
    assert tried >= 2  # f and its derivative at least


def test_a_library_that_is_not_installed_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    found, said = libraries.installed_libraries()
    assert found == []
    assert said == [
        "autograd is left out: No module named 'autograd'; pip install autograd",
        "torch.func is left out: No module named 'torch'; pip install torch",
    ]
