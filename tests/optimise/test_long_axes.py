"""Products and concatenations of short axes have their long axis last on CPU, and say what they said before."""

from __future__ import annotations

import itertools
import re
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.optimise.long_axes import _FEW, _JOINED, _LONG, _ROWS, _SHORT, _WHOLE
from tests.agreement import assert_values_agree

RANDOM = np.random.default_rng(0)
SHORT = _SHORT[np.dtype(np.float32)] - 1  # the most elements of an axis that is turned: 16 are a multiple of 8


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def text_of(f: Any, *args: Any) -> str:
    return ft.jit(f).lower(*args).as_text()


# Axes of x: the contracted ones first, then those that are left; of y likewise.
PRODUCTS = [
    (x, y, dims)
    for rows in (_LONG - 1, _LONG)
    for summed, columns in itertools.product((1, 3, _WHOLE, SHORT, SHORT + 1), (1, 2, _WHOLE, SHORT, SHORT + 1))
    for x, y, dims in [
        ((rows, summed), (summed, columns), (((1,), (0,)), ((), ()))),
        ((summed, rows), (columns, summed), (((0,), (1,)), ((), ()))),
    ]
] + [
    ((20, 2, 30, 3), (2, 4, 3, 2), (((1, 3), (0, 2)), ((), ()))),
    ((3, 500, 4), (3, 4, 5), (((2,), (1,)), ((0,), (0,)))),
    ((500, 0), (0, 3), (((1,), (0,)), ((), ()))),
    ((0, 3), (3, 3), (((1,), (0,)), ((), ()))),
]


def test_products_are_those_of_numpy() -> None:
    arrays = [(normal(*x), normal(*y)) for x, y, _ in PRODUCTS]
    dims = [d for _, _, d in PRODUCTS]

    def f(arrays: Any) -> Any:
        return [lax.dot_general(x, y, d) for (x, y), d in zip(arrays, dims, strict=True)]

    for found, expected in zip(ft.jit(f)(arrays), jax.jit(_by_jax(dims))(arrays), strict=True):
        assert found.shape == expected.shape
        assert_values_agree(found, expected, operations=64)


def _by_jax(dims: Any) -> Any:
    return lambda arrays: [jax.lax.dot_general(x, y, d) for (x, y), d in zip(arrays, dims, strict=True)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.float16])
def test_only_products_of_the_library_are_turned(dtype: Any) -> None:
    with jax.enable_x64(True):
        assert _is_turned(_LONG, 3, 4, dtype) == (dtype in (np.float32, np.float64))


@pytest.mark.parametrize(
    ("rows", "summed", "columns", "dtype", "turned"),
    [
        (_LONG, 3, 4, np.float32, True),
        (_LONG - 1, 3, 4, np.float32, False),
        (_LONG, SHORT, SHORT, np.float32, True),
        (_LONG, SHORT + 1, 4, np.float32, False),
        (_LONG, 3, SHORT + 1, np.float32, False),
        (_LONG, _WHOLE, 3, np.float32, False),
        (_LONG, 3, _WHOLE, np.float32, False),
        (_LONG, 5, 3, np.float64, False),
        (_LONG, 3, 5, np.float64, False),
    ],
)
def test_what_is_wide_or_few_or_a_multiple_of_eight_stays(
    rows: int, summed: int, columns: int, dtype: Any, turned: bool
) -> None:
    with jax.enable_x64(True):
        assert _is_turned(rows, summed, columns, dtype) == turned


def test_multiples_of_four_stay_in_loops() -> None:
    def loop(x: Any, y: Any) -> Any:
        return lax.scan(lambda c, _: (fnp.tanh(c @ y), None), x, None, 3)[0]

    for size, turned in ((3, True), (4, False)):
        text = text_of(loop, normal(_LONG, size), normal(size, size))
        assert (f"-> tensor<{size}x{_LONG}xf32>" in re.search(r"stablehlo\.dot_general.*", text)[0]) == turned  # type: ignore[index]


def _is_turned(rows: int, summed: int, columns: int, dtype: Any) -> bool:
    text = text_of(lambda x, y: x @ y, normal(rows, summed).astype(dtype), normal(summed, columns).astype(dtype))
    result = re.search(r"stablehlo\.dot_general.*-> tensor<(\w+)x(\w+)x", text)
    assert result is not None
    assert {result[1], result[2]} == {str(rows), str(columns)}
    return result[1] == str(columns)


JOINS = [
    (shape, axis, count)
    for shape in [(_ROWS, 1), (_ROWS - 1, 1), (8, 8, 1), (_ROWS, 1, 3), (_ROWS, 2, 2), (_ROWS, _JOINED + 1), (1, _ROWS)]
    for axis in range(len(shape))
    for count in (1, 2, _FEW, _FEW + 1)
]


def test_concatenations_are_those_of_numpy() -> None:
    parts = [[normal(*shape) for _ in range(count)] for shape, _, count in JOINS]
    results = ft.jit(lambda parts: [fnp.concatenate(p, a) for p, (_, a, _) in zip(parts, JOINS, strict=True)])(parts)
    for found, own, (_, axis, _) in zip(results, parts, JOINS, strict=True):
        np.testing.assert_array_equal(found, np.concatenate(own, axis))


def test_operands_of_different_lengths_are_joined_in_order() -> None:
    parts = [normal(200, n) for n in (1, 3, 2)]
    found = ft.jit(lambda *xs: fnp.concatenate(xs, 1) * 1.0)(*parts)
    np.testing.assert_array_equal(found, np.concatenate(parts, 1))
    assert "dim = 0" in text_of(lambda *xs: fnp.concatenate(xs, 1), *parts)


def test_in_loops_and_branches_and_in_every_mode() -> None:
    x, w = normal(500, 3), normal(3, 3)

    def f(np_: Any, lax_: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            turned = np_.tanh(carry @ w)
            return np_.stack([turned[:, 1], turned[:, 0], turned[:, 2] * turned[:, 0]], 1), None

        def g(x: Any) -> Any:
            out, _ = lax_.scan(step, x, None, 3)
            joined = lambda y: np_.concatenate([y, y], 1)[:, 1:4]
            return np_.sum(lax_.cond(np_.sum(out) > 0, lambda y: y @ w, joined, out))

        return g

    ours, theirs = f(fnp, lax), f(jax.numpy, jax.lax)
    assert_values_agree(ft.jit(ft.grad(ours))(x), jax.jit(jax.grad(theirs))(x), operations=256)
    tangent = normal(500, 3)
    assert_values_agree(
        ft.jit(lambda x: ft.jvp(ft.grad(ours), (x,), (tangent,))[1])(x),
        jax.jit(lambda x: jax.jvp(jax.grad(theirs), (x,), (tangent,))[1])(x),
        operations=1024,
    )
