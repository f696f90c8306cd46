"""Other libraries compute the same as JAX where they take part, and a missing one is left out with a word."""

from __future__ import annotations

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


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # by PyTorch's own code
@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(("library", "package"), [(libraries.Autograd, "autograd"), (libraries.Torch, "torch")])
def test_a_library_agrees_with_jax(library: Any, package: str, name: str) -> None:
    pytest.importorskip(package)
    scenario, tried = SCENARIOS[name], 0
    for variant in scenario.variants:
        found = library().variant(scenario, variant)
        if found is not None:
            function, args = found
            expected, jax_args = JaxSide().variant(scenario, variant)
            actual = jax.tree.leaves(function(*args))
            for leaf, wanted in zip(actual, jax.tree.leaves(jax.jit(expected)(*jax_args)), strict=True):
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
