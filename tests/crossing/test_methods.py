"""The methods of a traced value take what those of ``jax.Array`` take: JAX's functions call them by every keyword."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)
UPDATES = "set add subtract multiply mul divide power min max apply get".split()


def parameters(method: Any) -> tuple[set[str], bool]:
    found = inspect.signature(method).parameters.values()
    return {p.name for p in found}, any(p.kind is p.VAR_KEYWORD for p in found)


def test_methods_have_the_parameters_of_those_of_jax() -> None:
    checked = 0

    def function(x: Any) -> Any:
        nonlocal checked
        for name in dir(jax.Array):
            theirs = getattr(jnp.asarray(X), name, None) if name[0] != "_" and name not in ("mT", "flat") else None
            if callable(theirs) and hasattr(x, name):
                missing = parameters(theirs)[0] - parameters(getattr(x, name))[0]
                assert not missing, f"x.{name} has no {missing}"
                checked += 1
        return x

    ft.jit(function)(X)
    assert checked > 40


@pytest.mark.parametrize("name", UPDATES)
def test_updates_have_the_options_of_those_of_jax(name: str) -> None:
    def function(x: Any) -> Any:
        parameters = inspect.signature(getattr(jnp.asarray(X).at[0], name)).parameters.values()
        required = [jnp.sin if p.name == "func" else 2.0 for p in parameters if p.default is p.empty]
        keywords = {p.name: p.default for p in parameters if p.default is not p.empty}
        return getattr(x.at[jnp.array([0, 2])], name)(*required, **keywords)

    assert_same(ft.jit(function)(X), jax.jit(function)(X))


@pytest.mark.parametrize("call", [
    lambda x, s: x.reshape(3, 1, out_sharding=s), lambda x, s: x.ravel(out_sharding=s),
    lambda x, s: x.repeat(2, out_sharding=s), lambda x, s: x.at[0].set(1.0, out_sharding=s),
    lambda x, s: x.at[0].get(out_sharding=s),
], ids=["reshape", "ravel", "repeat", "set", "get"])  # fmt: skip
def test_a_sharding_asked_for_is_refused(call: Any) -> None:
    with pytest.raises(NotImplementedError, match="out_sharding= is not supported"):
        ft.jit(lambda x: call(x, jax.sharding.PartitionSpec("i")))(X)


def test_a_strategy_of_indexing_is_one_of_jax() -> None:
    assert ft.jit(lambda x: x.at[1].get(strategy="gather"))(X) == 1.0
    with pytest.raises(ValueError, match="strategy='scatter' is none of auto, gather, static_slice, dynamic_slice"):
        ft.jit(lambda x: x.at[1].get(strategy="scatter"))(X)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("size", [0, 1, 2, 4])
@pytest.mark.parametrize("length", [2, 3, 6])
def test_compress_to_a_size(axis: int | None, size: int, length: int) -> None:
    x = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    condition = np.array([0, 2, 1, 0, 1, 1])[:length]

    def by(library: Any, namespace: Any) -> Any:
        return library.jit(lambda c, x: namespace.compress(c, x, axis, size=size, fill_value=-1.0))(condition, x)

    if size > min(length, 3 if axis is not None else 9):
        with pytest.raises(ValueError, match="size=4 is not between 0 and"):
            by(ft, fnp)
    else:
        assert_same(by(ft, fnp), by(jax, jnp))


@pytest.mark.parametrize("name", ["unique", "compress"])
def test_functions_of_jax_made_of_such_calls(name: str) -> None:
    functions = {
        "unique": lambda x: jnp.sum(jnp.unique(x, size=4, fill_value=2.0) ** 2),
        "compress": lambda x: jnp.sum(x.compress(x > 0.7, size=2) ** 2),
    }
    assert_same(ft.jit(ft.grad(functions[name]))(X), jax.jit(jax.grad(functions[name]))(X))
