"""``add.reduce``, ``maximum.at`` and their kin are NumPy's."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.numpy.universal import _BINARY
from tests.turns import covering_share

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.5, 2.0, (3, 4)).astype(np.float32)
WHOLE = RANDOM.integers(1, 9, (3, 4)).astype(np.int32)
OF_INTEGERS = {"gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"}
OF_BOOLS = {"logical_and", "logical_or", "logical_xor"}
TWICE = np.array([2, 0, 2])


def operand(name: str) -> Any:
    return WHOLE if name in OF_INTEGERS else WHOLE > 4 if name in OF_BOOLS else X


def results(function: Any, x: Any, numpy: bool) -> dict[str, Any]:
    """What every method gives."""
    found = {
        "reduce": function.reduce(x),
        "reduce axis": function.reduce(x, axis=1, keepdims=True),
        "accumulate": function.accumulate(x, axis=1),
        "outer": function.outer(x[0], x[:2, 0]),
        "reduceat": function.reduceat(x.T.copy(), np.array([0, 2, 1])),
    }
    if function.identity is not None:
        found["reduce of nothing"] = function.reduce(x[:0])
        found["reduce where"] = function.reduce(x, where=x > x[0, 0])
    if numpy:
        # NumPy's own reduce and reduceat go in another order where the elements lie side by side
        found["reduce axis"] = function.accumulate(x, axis=1)[:, -1:]
        pieces = [x.T[start:end] for start, end in ((0, 2), (2, 3), (1, 4))]
        found["reduceat"] = np.stack([function.accumulate(piece, axis=0)[-1] for piece in pieces])
        changed = x.copy()
        function.at(changed, (TWICE, 1), x[0, :3])
        return {**found, "at": changed}
    return {**found, "at": function.at(x, (TWICE, 1), x[0, :3], inplace=False)}


@pytest.mark.parametrize("name", covering_share(sorted(_BINARY), 3))
def test_methods_are_those_of_numpy(name: str) -> None:
    ours, theirs, x = getattr(fnp, name), getattr(np, name), operand(name)
    assert isinstance(ours, fnp.ufunc)
    assert inspect.isfunction(ours)
    assert (ours.nin, ours.nout) == (theirs.nin, theirs.nout)
    assert ours.identity == theirs.identity
    expected = results(theirs, x, True)
    found = ft.jit(lambda: results(ours, x, False))()
    assert found.keys() == expected.keys()
    for method, value in found.items():
        if np.asarray(value).dtype.kind == "f":
            np.testing.assert_allclose(value, expected[method], rtol=3e-5, atol=1e-6, err_msg=f"{name}.{method}")
        else:
            np.testing.assert_array_equal(value, expected[method], err_msg=f"{name}.{method}")


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "logaddexp", "hypot", "subtract"])
def test_methods_are_differentiated(name: str) -> None:
    def total(function: Any, np_: Any, x: Any) -> Any:
        parts = function.reduce(x), function.accumulate(x, axis=1), function.outer(x[0], x[1])
        return sum(np_.sum(np_.sin(p)) for p in parts)

    steps = jnp.frompyfunc(getattr(jnp, name), 2, 1)
    found = ft.jit(ft.vmap(ft.grad(lambda x: total(getattr(fnp, name), fnp, x))))(np.stack([X, X + 1]))
    expected = jax.jit(jax.vmap(jax.grad(lambda x: total(steps, jnp, x))))(np.stack([X, X + 1]))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_every_universal_function_of_jax_is_one() -> None:
    for name in dir(jnp):
        if isinstance(getattr(jnp, name), jnp.ufunc):
            assert isinstance(getattr(fnp, name), fnp.ufunc), name
    assert not isinstance(fnp.sum, fnp.ufunc)


def test_wrong_uses() -> None:
    with pytest.raises(NotImplementedError, match="immutable"):
        fnp.add.at(X, TWICE, 1.0)
    with pytest.raises(ValueError, match=r"negative.reduce is of functions of two operands"):
        fnp.negative.reduce(X)
    with pytest.raises(ValueError, match="nothing to reduce"):
        fnp.subtract.reduce(X[:0])
    assert fnp.negative.at(X, (TWICE, 1), inplace=False).shape == X.shape
