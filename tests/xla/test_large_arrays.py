"""Operations at sizes that reach the libraries XLA gives larger arrays to, against NumPy: JAX shares their faults."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans.ops import windowed_reductions
from functrans.trace.binding import bind

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 128)).astype(np.float32)
NONE = ((0, 0), (0, 0))
NEUTRAL = {"add": (0.0, np.add), "max": (-np.inf, np.maximum), "min": (np.inf, np.minimum)}


def window_loop(x: Any, kind: str, window: Any, strides: Any, padding: Any, base: Any, gaps: Any) -> Any:
    """A reduction over windows by one loop over the places of a window."""
    neutral, combine = NEUTRAL[kind]
    extents = [(n - 1) * b + 1 for n, b in zip(x.shape, base, strict=True)]
    spread = np.full(extents, neutral)
    spread[tuple(slice(None, None, b) for b in base)] = x
    room = [
        low + n + high - (w - 1) * g - 1 for n, (low, high), w, g in zip(extents, padding, window, gaps, strict=True)
    ]
    out = np.full([r // s + 1 for r, s in zip(room, strides, strict=True)], neutral)
    for place in itertools.product(*map(range, window)):
        at = [
            np.arange(count) * s - low + k * g
            for count, s, (low, _), k, g in zip(out.shape, strides, padding, place, gaps, strict=True)
        ]
        inside = np.ix_(*[(a >= 0) & (a < n) for a, n in zip(at, extents, strict=True)])
        grid = np.ix_(*[np.clip(a, 0, n - 1) for a, n in zip(at, extents, strict=True)])
        seen = np.zeros(out.shape, bool)
        seen[inside] = True
        out = combine(out, np.where(seen, spread[grid], neutral))
    return out


GEOMETRIES = [
    ((2, 1), (2, 1), NONE, (1, 2), (1, 1)),
    ((2, 2), (2, 3), ((1, 0), (-3, 2)), (3, 2), (1, 1)),
    ((1, 3), (1, 3), ((0, 2), (3, 1)), (3, 1), (3, 1)),
    ((2, 3), (1, 1), ((-1, -2), (2, 0)), (1, 3), (2, 1)),
    ((1, 1), (1, 1), ((-1, 0), (0, -2)), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_windows_and_their_gradients_are_those_of_a_loop(geometry: Any) -> None:
    initial = {"add": np.float32(0), "max": -np.float32(np.inf), "min": np.float32(np.inf), "general": np.float32(0)}
    functions = {"add": lax.add, "max": lax.max, "min": lax.min, "general": lambda a, b: a + 1.0 * b}
    direction = RNG.standard_normal(X.shape)

    def of(kind: str) -> Any:
        return lambda x: lax.reduce_window(x, initial[kind], functions[kind], *geometry)

    @ft.jit
    def all_of_them(x: Any, weights: Any) -> Any:
        found = {}
        for kind in functions:
            value, pullback = ft.vjp(of(kind), x)
            found[kind] = value, pullback(weights)[0]
        return found

    weights = RNG.standard_normal(window_loop(X, "add", *geometry).shape).astype(np.float32)
    for kind, (value, slope) in all_of_them(X, weights).items():
        known = "add" if kind == "general" else kind
        expected = window_loop(X, known, *geometry)
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
        step = 1e-6
        ahead, behind = (window_loop(X + d * step * direction, known, *geometry) for d in (1, -1))
        with np.errstate(invalid="ignore"):
            moved = np.where(np.isfinite(expected), (ahead - behind) / (2 * step), 0.0)
        along = np.sum(np.asarray(slope, np.float64) * direction)
        np.testing.assert_allclose(along, np.sum(weights * moved), rtol=1e-4, atol=1e-3)
        if known != "add":
            op = {"max": windowed_reductions.ReduceWindowMax, "min": windowed_reductions.ReduceWindowMin}[known]
            np.testing.assert_array_equal(op(*geometry).impl(X), expected.astype(np.float32))


def test_holes_that_a_user_pads_are_no_dilation_of_windows() -> None:
    holes = [(0, 0, 0), (1, 0, 1)]
    value = ft.jit(lambda x: lax.reduce_window(lax.pad(x, 0.0, holes), 0.0, lax.add, (2, 1), (2, 1)))(X)
    padded = np.zeros((64, 256), np.float32)
    padded[:, 1::2] = X
    np.testing.assert_allclose(value, padded.reshape(32, 2, 256).sum(1), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_extrema_keep_nans(dtype: str, nan: float) -> None:
    x = np.where(RNG.random(X.shape) < 0.01, nan, X).astype(dtype)
    found = ft.jit(lambda x: [f(x, axes) for f in (lax.reduce_max, lax.reduce_min) for axes in ((0,), (1,), (0, 1))])(x)
    expected = [f(x, axis=axes) for f in (np.max, np.min) for axes in ((0,), (1,), (0, 1))]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    windows = [((2, 2), (2, 2), NONE, (1, 1), (1, 1)), ((1, 3), (2, 3), ((0, 1), (1, 0)), (2, 1), (1, 1))]
    ops = [
        kind(*geometry)
        for kind in (windowed_reductions.ReduceWindowMax, windowed_reductions.ReduceWindowMin)
        for geometry in windows
    ]
    for op, one in zip(ops, ft.jit(lambda x: [bind(kind, x) for kind in ops])(x), strict=True):
        np.testing.assert_array_equal(one, op.impl(x))


def test_convolutions_with_every_parameter_agree_with_the_reference() -> None:
    """Strides, both dilations, and padding that adds on one side and removes on the other."""
    x, y = (RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 4, 33, 40), (4, 2, 3, 2)))

    def convolved(x: Any, y: Any) -> Any:
        return lax.conv_general_dilated(
            x, y, (2, 3), ((-2, 3), (4, -1)), (3, 2), (2, 1), feature_group_count=2, precision="highest"
        )

    op = ft.make_jaxpr(convolved)(x, y).equations[0].op
    weights = RNG.standard_normal(op.impl(x, y).shape).astype(np.float32)

    @ft.jit
    def with_gradients(x: Any, y: Any) -> Any:
        value, pullback = ft.vjp(convolved, x, y)
        return value, pullback(weights)

    value, (by_x, by_y) = with_gradients(x, y)
    np.testing.assert_allclose(value, op.impl(x, y), rtol=1e-4, atol=1e-4)
    for slope, direction in ((by_x, "x"), (by_y, "y")):
        v = RNG.standard_normal(slope.shape).astype(np.float32)
        along = op.impl(v, y) if direction == "x" else op.impl(x, v)
        np.testing.assert_allclose(np.sum(slope * v), np.sum(weights * along), rtol=1e-3, atol=1e-2)


def test_running_sums_of_padded_rows() -> None:
    """The transpose of a row of a running sum is a running sum of a row padded to both sides."""
    x, weights = RNG.standard_normal((5, 300)).astype(np.float32), X[:1, :1]
    slope = ft.jit(ft.grad(lambda x: (lax.cumsum(x, 0)[2:3] * weights).sum()))(x)
    expected = np.where(np.arange(5)[:, None] <= 2, weights, 0.0)
    np.testing.assert_allclose(slope, np.broadcast_to(expected, x.shape))
    both = [(2, 2, 0), (0, 0, 0)]
    products, windows = ft.jit(
        lambda x: (
            lax.cumprod(lax.pad(x, 2.0, both), 0),
            lax.reduce_window(lax.pad(x, 0.0, both), 0.0, lax.add, (5, 1), (1, 1), ((4, 0), (0, 0))),
        )
    )(x[:1])
    np.testing.assert_allclose(products, np.cumprod(np.pad(x[:1], ((2, 2), (0, 0)), constant_values=2.0), 0))
    np.testing.assert_allclose(windows, np.cumsum(np.pad(x[:1], ((2, 2), (0, 0))), 0))
