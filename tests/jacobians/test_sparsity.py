"""Patterns of Jacobians: exact where the structure of a function says it, and named where more is assumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.jacobians.sparse_programs import nonzeros

X = np.float32([0.3, -1.2, 0.7, 1.9, -0.4, 0.8])
GRID = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 6)).astype(np.float32)
HOLES = np.float32([0.0, 2.0, 0.0, 3.0, -1.0, 0.0])
BANDED = np.float32(np.eye(6) + np.eye(6, k=1) * 2)
ONE = np.eye(2, dtype=np.float32)
ROUTES = np.int32([5, 0, 0, -1, 3])


def in_bounds_or_five(x: Any) -> Any:
    return x * fnp.take(HOLES, np.int32([0, 1, 2, 6, 7, 9]), mode="fill", fill_value=5.0)


def in_bounds_or_zero(x: Any) -> Any:
    return x * fnp.take(HOLES, np.int32([1, 1, 2, 6, 7, 5]), mode="fill", fill_value=0.0)


def stencil_in_a_loop(x: Any) -> Any:
    return lax.fori_loop(1, 5, lambda i, y: y.at[i].set(x[i - 1] * x[i + 1] + y[i - 1]), x * 0.5)


def rows_by_known_indices(x: Any) -> Any:
    return lax.scan(lambda c, i: (fnp.sin(c) + x[i], x[i] * x[(2 * i) % 6]), x[0], ROUTES[[0, 1, 4]])[1]


def carried(x: Any) -> Any:
    return lax.scan(lambda c, v: (c * v, fnp.sin(c)), x[5], x[:4], reverse=True)[1]


def turns_until(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x[c[0]]), (1, x[5:]))[1]


def in_lanes_known(x: Any) -> Any:
    branches = [fnp.sin, lambda v: fnp.zeros_like(v), lambda v: fnp.sum(v) * v]
    return ft.vmap(lambda k, v: lax.switch(k, branches, v))(np.int32([2, 1, 0, 7]), x)


def turns_in_lanes(x: Any) -> Any:
    rolled = lambda n, v: lax.fori_loop(0, n, lambda _, u: fnp.roll(u, 1) * 2.0, v)
    return ft.vmap(rolled)(np.int32([0, 1, 2, 3]), x)


@ft.custom_jvp
def straight_through(x: Any) -> Any:
    return fnp.round(x)


@straight_through.defjvp
def straight_through_rule(primals: Any, tangents: Any) -> Any:
    return straight_through(primals[0]), tangents[0] * HOLES


@ft.custom_vjp
def turned(x: Any) -> Any:
    return fnp.round(x)


turned.defvjp(lambda x: (fnp.round(x), None), lambda _, ct: (fnp.flip(ct),))


def convolution(x: Any, kernel: Any, **options: Any) -> Any:
    return lax.conv_general_dilated(x.reshape((2, 2, 6)), kernel, padding=[(1, 2)], **options)


KERNEL = np.float32([[[1, 0, 2], [0, 0, 0]], [[0, 3, 0], [4, 0, 0]]])
ON_VALUES = {"window_strides": (2,), "lhs_dilation": (1,), "rhs_dilation": (2,)}

EXACT: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "filled, and the filling is no zero": (in_bounds_or_five, X),
    "filled with zeros": (in_bounds_or_zero, X),
    "indexed": (lambda x: x[ROUTES] * x[1], X),
    "indexed by what known indices make": (lambda x: x[(2 * ROUTES + 1) % 6], X),
    "along an axis": (lambda x: fnp.take_along_axis(x, np.argsort(GRID, 1), 1), GRID),
    "indexed in lanes": (lambda x: ft.vmap(lambda v, i: v[i] * v[0])(x, np.int32([0, 5, 2, -1])), GRID),
    "two axes at once": (lambda x: x[np.int32([0, 3, 3]), np.int32([5, -1, 0])] ** 2, GRID),
    "written at": (lambda x: x.at[ROUTES[:2]].set(fnp.sin(x[2:4])).at[1].set(0.0), X),
    "added at": (lambda x: fnp.zeros(4).at[np.int32([0, 0, 3, 9, 1, 0])].add(x, mode="drop"), X),
    "summed by segments": (lambda x: ft.lax.segment_sum(x, np.int32([2, 0, 0, 1, 2, 2]), 4), X),
    "slices known to be where": (lambda x: lax.dynamic_update_slice(x, fnp.sin(x[:2]), (np.int32(3),)), X),
    "reshaped, turned, joined": (
        lambda x: fnp.concatenate([fnp.flip(x, 1).T.reshape((4, 6)), fnp.roll(x, 3, 1)[:, ::-2][:, ROUTES % 3]], 1),
        GRID,
    ),
    "padded within": (lambda x: lax.pad(x, x[0], [(1, -2, 2)]), X),
    "triangles, traces": (lambda x: fnp.tril(x[:, :4])[1:] + fnp.trace(x), GRID),
    "summed": (lambda x: fnp.sum(x, 0) / (1.0 + fnp.sum(x[0] ** 2)), GRID),
    "logarithms of sums": (lambda x: fnp.log(fnp.sum(fnp.exp(x), 1)), GRID),
    "spread": (lambda x: fnp.std(x, 1), GRID),
    "differences": (lambda x: fnp.diff(x, axis=1)[::2], GRID),
    "cumulative sum": (lambda x: fnp.cumsum(x[:, :3], 1), GRID),
    "cumulative product": (lambda x: lax.cumprod(x, 0, True), GRID),
    "cumulative logarithm": (lambda x: lax.cumlogsumexp(x), X),
    "scanned in parallel": (lambda x: lax.associative_scan(lambda a, b: fnp.sin(a) * b, x), X),
    "sums of windows": (lambda x: lax.reduce_window(x, np.float32(0), lax.add, (2, 2), (1, 3), "VALID"), GRID),
    "times a banded matrix": (lambda x: fnp.sin(x) @ BANDED, GRID),
    "a banded matrix times": (lambda x: fnp.tanh(BANDED @ (x * x)), X),
    "times holes": (lambda x: fnp.tanh(x) * HOLES, X),
    "times a mask": (lambda x: x * (np.arange(6) % 2), X),
    "times known matrices in lanes": (lambda x: fnp.einsum("ij,ijk->ik", x, np.stack([BANDED, BANDED.T] * 2)), GRID),
    "times values in lanes": (lambda x: fnp.einsum("ij,ij->i", x, fnp.sin(x)), GRID),
    "outer": (lambda x: fnp.outer(x[:3], fnp.cos(x[2:])), X),
    "kernel known": (lambda x: convolution(x, KERNEL, window_strides=(1,)), GRID),
    "kernel known, strides and dilation": (lambda x: convolution(x, KERNEL, **ON_VALUES), GRID),
    "kernel of groups": (lambda x: convolution(x, KERNEL[:, :1], window_strides=(1,), feature_group_count=2), GRID),
    "kernel of groups of the batch": (lambda x: convolution(x, KERNEL, window_strides=(1,), batch_group_count=2), GRID),
    "kernel of values": (lambda x: convolution(GRID, x[:, :3].reshape((2, 2, 3)), window_strides=(1,)), GRID),
    "chosen": (lambda x: fnp.where(HOLES > 0, x, fnp.flip(x)), X),
    "spectra of rows": (lambda x: fnp.abs(fnp.fft.fft(x + 0.5, axis=0)) ** 2, GRID[:, :2]),
    "rows solved": (lambda x: fnp.linalg.solve(3.0 * ONE + fnp.tanh(x.reshape((6, 2, 2))), ONE), GRID),
    "columns of a known matrix solved": (lambda x: fnp.linalg.solve(ONE + 1.0, x.reshape((2, 3))), X),
    "complex inside": (lambda x: fnp.imag(fnp.sin(x) * (np.complex64(1j) * HOLES)), X),
    "branch known": (lambda x: lax.switch(np.int32(9), [fnp.sin, lambda v: v * v[0]], x), X),
    "branches in lanes": (in_lanes_known, GRID),
    "stencil in a loop": (stencil_in_a_loop, X),
    "rows of a scan": (rows_by_known_indices, X),
    "carry of a scan": (carried, X),
    "turns known": (turns_until, X),
    "turns known in lanes": (turns_in_lanes, GRID),
    "mapped": (lambda x: lax.map(lambda v: v[0] * v[1:3], x), GRID),
    "called": (lambda x: ft.jit(lambda v: ft.checkpoint(fnp.sin)(v) * HOLES)(x), X),
    "means over lanes": (lambda x: ft.vmap(lambda v: v * lax.pmean(v, "i"), axis_name="i")(x), GRID),
    "own forward rule": (straight_through, X),
    "own backward rule": (turned, X),
    "gradient": (ft.grad(lambda x: fnp.sum(x[1:] ** 2 * x[:-1])), X),
    "gradient, computed again": (ft.grad(lambda x: fnp.sum(ft.checkpoint(lambda v: v[1:] ** 2 * v[:-1])(x))), X),
    "gradient in a scan": (ft.grad(lambda x: fnp.sum(lax.scan(lambda c, v: (c, v**3), 0.0, x)[1])), X),
    "scalar": (lambda x: x * x, np.float32(1.5)),
    "nothing": (lambda x: fnp.sin(x), np.zeros((0, 3), np.float32)),
    "nothing of something": (lambda x: x[:, :0] * 2.0, GRID),
    "constant": (lambda x: fnp.floor(x) + lax.stop_gradient(x), X),
}  # fmt: skip


LOW, HIGH = -np.float32(np.inf), np.float32(np.inf)
UNITED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {  # and what has the same pattern
    "largest of windows": (
        lambda x: lax.reduce_window(x, LOW, lax.max, (2, 3), (1, 2), "SAME"),
        lambda x: lax.reduce_window(x, np.float32(0), lax.add, (2, 3), (1, 2), "SAME"), GRID,
    ),
    "smallest of windows in lanes": (
        lambda x: ft.vmap(lambda v: lax.reduce_window(v, HIGH, lax.min, (3,), (2,), "VALID"))(x),
        lambda x: lax.reduce_window(x, np.float32(0), lax.add, (1, 3), (1, 2), "VALID"), GRID,
    ),
    "gradient of the largest of windows": (
        ft.grad(lambda x: fnp.sum(lax.reduce_window(x, LOW, lax.max, (3,), (3,), "VALID") ** 3)),
        lambda x: fnp.repeat(fnp.sum(x.reshape(2, 3), 1), 3), X,
    ),
    "branch either": (
        lambda x: lax.cond(x[0] > 0, lambda v: v[::-1] * 1.0, fnp.sin, x), lambda x: x + x[::-1] * HOLES[1], X
    ),
    "branches in lanes": (
        lambda x: ft.vmap(lambda v: lax.cond(v[0] > 0, fnp.sin, lambda u: u[::-1] * 2, v))(x),
        lambda x: x + x[:, ::-1], GRID,
    ),
    "chosen by value": (lambda x: fnp.maximum(x, fnp.roll(x, 1)), lambda x: x + fnp.roll(x, 1), X),
    "the largest": (lambda x: fnp.max(x, 1), lambda x: fnp.sum(x, 1), GRID),
    "cumulative maximum": (lambda x: lax.cummax(x), lambda x: fnp.cumsum(x), X),
    "spectra in lanes": (
        lambda x: fnp.linalg.eigvalsh(x.reshape((6, 2, 2)) + np.float32([[0, 1], [1, 3]])),
        lambda x: fnp.broadcast_to(fnp.sum(x.reshape((6, 4)), 1)[:, None], (6, 2)), GRID,
    ),
    "a loop of unknown length": (
        lambda x: lax.while_loop(lambda v: fnp.sum(v) < 9.0, lambda v: v * v + fnp.flip(v), x),
        lambda x: x + fnp.flip(x), X,
    ),
}  # fmt: skip
TINY = np.float32([1e-40, 0.0, 1.0, 1e-42, 2.0, -1e-40])
UNSURE: dict[str, tuple[Callable[[Any], Any], Any]] = {  # known values that NumPy and devices do not compute alike
    "smallest floats compared": (
        lambda x: lax.select(lax.rev(TINY, (0,)) > np.zeros(6, np.float32), x, fnp.roll(x, 1)), X
    ),
    "smallest floats cast": (lambda x: lax.select(lax.rev(TINY, (0,)).astype(bool), x, fnp.roll(x, 1)), X),
    "signs of smallest floats": (lambda x: x * lax.sign(lax.rev(TINY, (0,))), X),
    "no number cast": (lambda x: x[lax.rev(np.float32([np.nan, 1, 3e20]), (0,)).astype(np.int32)], X),
    "divided by zero": (lambda x: x[lax.div(np.int32([3, 4]), lax.rev(np.int32([2, 0]), (0,)))], X),
    "overflown": (lambda x: x[lax.mul(np.int32([2**30 + 5, 7]), lax.rev(np.int32([77, 5]), (0,))) % 6], X),
}  # fmt: skip
ASSUMED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any, str]] = {
    "rows sorted": (lambda x: fnp.sort(x, 1), lambda x: x + fnp.sum(x, 1)[:, None], GRID, "gather"),
    "indexed by values": (lambda x: x[fnp.argsort(x)[0]], lambda x: fnp.sum(x), X, "dynamic_slice"),
    "written by values": (
        lambda x: lax.dynamic_update_slice(fnp.zeros((3, 6)), x[None], (fnp.argmax(x) % 3, 0)),
        lambda x: fnp.broadcast_to(x, (3, 6)), X, "dynamic_update_slice",
    ),
    "added by values": (
        lambda x: fnp.zeros((4, 6)).at[fnp.argmax(x, 1)].add(x),
        lambda x: fnp.broadcast_to(fnp.sum(x, 0), (4, 6)), GRID, "scatter_add",
    ),
    "a primitive without a rule": (lambda x: ft.bind(Doubled(), x), lambda x: x + fnp.sum(x), X, "doubled"),
}  # fmt: skip


class Doubled(ft.Primitive):
    """An operation of the user's, which says nothing of its structure."""

    def infer(self, x: Any) -> Any:
        return x

    def impl(self, x: Any) -> Any:
        return 2 * x

    def jvp(self, primals: Any, tangents: Any) -> Any:
        return ft.bind(self, primals[0]), ft.bind(self, tangents[0])


@pytest.mark.parametrize("name", UNITED)
def test_the_pattern_holds_for_all_values_and_no_more(name: str) -> None:
    function, alike, x = UNITED[name]
    pattern = ft.sparsity(function)(x)
    assert pattern == ft.sparsity(alike)(x)
    assert pattern.assumed == ()


@pytest.mark.parametrize("name", UNSURE)
def test_known_values_are_those_of_the_device(name: str) -> None:
    function, x = UNSURE[name]
    found = np.asarray(ft.jit(ft.jacfwd(function))(x)) != 0
    assert not (found & ~ft.sparsity(function)(x).to_scipy().toarray()).any()


@pytest.mark.parametrize("name", ASSUMED)
def test_what_is_assumed_is_named(name: str) -> None:
    function, alike, x, operation = ASSUMED[name]
    pattern = ft.sparsity(function)(x)
    assert pattern == ft.sparsity(alike)(x)
    assert [text.split(" at ")[0] for text in pattern.assumed] == [operation]
    assert "test_sparsity.py" in pattern.assumed[0]


@pytest.mark.parametrize("name", EXACT)
def test_the_pattern_is_exact(name: str) -> None:
    function, x = EXACT[name]
    pattern = ft.sparsity(function)(x)
    np.testing.assert_array_equal(pattern.to_scipy().toarray(), nonzeros(lambda xs: function(*xs), [x]))
    assert pattern.assumed == ()
