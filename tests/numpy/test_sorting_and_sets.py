"""Sorting, quantiles, running sums, searches and sets: as jax.numpy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree, grad_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4)).astype(np.float32)
N = A.copy()
N[0, 1] = np.nan
N[2] = np.nan
INPUTS = {
    "float32": A,
    "with nans": N,
    "int32": RNG.integers(-3, 4, (3, 4)).astype(np.int32),
    "bfloat16": A.astype(jnp.bfloat16),
    "uint8": RNG.integers(0, 4, (3, 4)).astype(np.uint8),
    "bool": A > 0,
    "complex64": (A + 1j * A[::-1]).astype(np.complex64),
}
Cases = dict[str, Callable[..., Any]]


def with_options(m: Any, names: tuple[str, ...], options: list[dict[str, Any]]) -> Cases:
    return {f"{n} {o}": lambda x, n=n, o=o: getattr(m, n)(x, **o) for n in names for o in options}


def sorting(m: Any) -> Cases:
    return {
        **with_options(
            m,
            ("sort", "argsort"),
            [{}, {"axis": 0}, {"axis": None}, {"descending": True}, {"axis": 0, "descending": True}, {"stable": False}]
            + [{"axis": 2}, {"kind": "quicksort"}, {"order": "x"}],
        ),
        "sort_complex": lambda x: m.sort_complex(x),
        "lexsort": lambda x: [m.lexsort((x[0], x[1])), m.lexsort((x, x > 0)), m.lexsort(x[:2])],
        "partition": lambda x: m.partition(x if x.dtype != bool else x * 1, 2)[..., 2],
        "partition bounds": lambda x: m.partition(x, 4),
    }


def running(m: Any) -> Cases:
    return {
        **with_options(
            m,
            ("cumsum", "cumprod", "nancumsum", "nancumprod"),
            [{}, {"axis": 1}, {"dtype": np.complex64}, {"dtype": bool}, {"axis": 5}],
        ),
        **with_options(
            m,
            ("cumulative_sum", "cumulative_prod"),
            [{}, {"axis": 1}, {"axis": 0, "include_initial": True}, {"axis": 1, "dtype": np.complex64}],
        ),
        "of vectors": lambda x: [f(x[0], include_initial=True) for f in (m.cumulative_sum, m.cumulative_prod)],
    }


QUANTILE_OPTIONS: list[dict[str, Any]] = [
    {}, {"axis": 1, "keepdims": True}, {"axis": 0, "method": "lower"}, {"axis": 1, "method": "higher"},
    {"method": "nearest"}, {"axis": 1, "method": "midpoint"}, {"axis": 1, "method": "inverted_cdf"}, {"method": "x"},
]  # fmt: skip


def quantiles(m: Any) -> Cases:
    names = ("quantile", "nanquantile", "percentile", "nanpercentile")
    w = np.float32([1, 2, 0, 3])
    cases = with_options(
        m, ("median", "nanmedian"),
        [{}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}, {"axis": (1,), "keepdims": True}, {"keepdims": True}],
    )  # fmt: skip
    for n in names:
        f = getattr(m, n)
        scale = 100.0 if "percent" in n else 1.0
        for o in QUANTILE_OPTIONS if scale == 1.0 else QUANTILE_OPTIONS[:2]:
            for q in (0.3, np.float32([0.0, 0.25, 1.0]), np.float32([[0.1]])) if not o else (np.float32([0.1, 0.6]),):
                cases[f"{n} {q} {o}"] = lambda x, f=f, q=q * scale, o=o: f(x, q, **o)
        q = np.float32([0.2, 0.8]) * scale
        cases[f"{n} weights"] = lambda x, f=f, q=q: f(x, q, axis=1, method="inverted_cdf", weights=w)
        cases[f"{n} weights refused"] = lambda x, f=f, q=q: f(x, q, axis=1, weights=w)
    return cases


def searches(m: Any) -> Cases:
    cases: Cases = {
        f"searchsorted {side} {method}": lambda x, side=side, method=method: [
            m.searchsorted(m.sort(x[0]), x, side, method=method),
            m.searchsorted(m.sort(x, axis=None), 2, side, method=method),
        ]
        for side in ("left", "right")
        for method in ("scan", "scan_unrolled", "sort", "compare_all")
    }
    cases["sorter"] = lambda x: m.searchsorted(x[0], x[1], sorter=m.argsort(x[0]))
    cases["digitize"] = lambda x: [
        m.digitize(x, np.array([-1, 0, 1])), m.digitize(x, np.array([1, 0, -1]), right=True), m.digitize(x[0], x[1][:0])
    ]  # fmt: skip
    cases["positions"] = lambda x: [
        m.nonzero(x > 0, size=5), m.nonzero(x > 0, size=20, fill_value=9), m.nonzero(x, size=3, fill_value=(1, 2)),
        m.flatnonzero(x > 0, size=4), m.argwhere(x > 0, size=4), m.where(x > 0, size=3),
    ]  # fmt: skip
    return cases


UNIQUE_OPTIONS: list[dict[str, Any]] = [
    {}, {"fill_value": 7}, {"return_index": True, "return_inverse": True, "return_counts": True}, {"axis": 0},
    {"equal_nan": False, "return_counts": True}, {"axis": 1, "return_inverse": True},
]  # fmt: skip


def sets(m: Any) -> Cases:
    cases: Cases = {
        f"unique {o} {size}": lambda x, o=o, size=size: m.unique(x, size=size, **o)
        for o in UNIQUE_OPTIONS
        for size in ((2, 7, 15) if not o else (7,))
    }
    cases["unique_all"] = lambda x: tuple(m.unique_all(x, size=5))
    cases["isin"] = lambda x: [
        m.isin(x, x[0]), m.isin(x, x[0], invert=True), m.isin(x, x[0], method="sort"),
        m.isin(x, x[1], method="binary_search"),
    ]  # fmt: skip
    for s in (2, 7):
        cases[f"union1d {s}"] = lambda x, s=s: m.union1d(x[0], x[1], size=s)
        cases[f"positions {s}"] = lambda x, s=s: m.intersect1d(x[0], x[1:], return_indices=True, size=s)
        for f in (None,) if s == 2 else (1,):
            cases[f"intersect1d {s} {f}"] = lambda x, s=s, f=f: m.intersect1d(x[0], x[1:], size=s, fill_value=f)
            cases[f"setdiff1d {s} {f}"] = lambda x, s=s, f=f: m.setdiff1d(x[:2], x[2], size=s, fill_value=f)
            cases[f"setxor1d {s} {f}"] = lambda x, s=s, f=f: m.setxor1d(x[:2], x[2], size=s, fill_value=f)
    return cases


@pytest.mark.parametrize("kind", INPUTS)
def test_sorting_and_running_sums_agree_with_jax(kind: str) -> None:
    both = [{**sorting(m), **running(m)} for m in (fnp, jnp)]
    assert_cases_agree(*both, INPUTS[kind])


@pytest.mark.parametrize("kind", ["float32", "with nans", "int32"])
def test_quantiles_agree_with_jax(kind: str) -> None:
    assert_cases_agree(quantiles(fnp), quantiles(jnp), INPUTS[kind])


@pytest.mark.parametrize("kind", ["float32", "with nans", "int32"])
def test_searches_and_sets_agree_with_jax(kind: str) -> None:
    both = [{**searches(m), **sets(m)} for m in (fnp, jnp)]
    assert_cases_agree(*both, INPUTS[kind])


def test_sets_without_size_agree_with_numpy() -> None:
    x, y = np.array([3, 1, 3, 7, 1]), np.array([7, 2, 3])
    for found, expected in (
        (fnp.unique(x), np.unique(x)),
        (fnp.unique(x, True, True, True), np.unique(x, True, True, True)),
        (fnp.union1d(x, y), np.union1d(x, y)),
        (fnp.intersect1d(x, y, return_indices=True), np.intersect1d(x, y, return_indices=True)),
        (fnp.setdiff1d(x, y), np.setdiff1d(x, y)),
        (fnp.setxor1d(x, y), np.setxor1d(x, y)),
        (fnp.unique(np.array([], np.float32)), np.array([], np.float32)),
    ):
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_unjitted_gradients_know_the_values_that_decide_shapes() -> None:
    assert ft.grad(lambda x: (fnp.unique(x * 2.0) ** 2).sum())(np.float32([3, 1, 3])).tolist() == [24.0, 8.0, 0.0]


def test_gradients_agree_with_jax() -> None:
    def cases(m: Any) -> Cases:
        return {
            "sort": lambda x: m.sort(x, axis=0, descending=True),
            "median": lambda x: [m.median(x), m.median(x, axis=1)],
            "quantile": lambda x: [m.quantile(x, np.float32([0.1, 0.7]), axis=1), m.nanquantile(x, 0.3)],
            "by q": lambda x: m.quantile(A, x[0, :2] * 0.1 + 0.4),
            "cumprod": lambda x: m.cumprod(m.round(x), axis=1),
            "nancumsum": lambda x: m.nancumsum(x),
            "take sorted": lambda x: m.take_along_axis(x, m.argsort(x, axis=1), axis=1),
        }

    def cotangent(out: Any) -> Any:
        return np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)

    assert_cases_agree(grad_of(cases(fnp), ft.vjp, cotangent), grad_of(cases(jnp), jax.vjp, cotangent), A)


def test_infinite_neighbours_do_not_make_a_quantile_nan() -> None:
    assert float(fnp.quantile(np.float32([1, np.inf, np.inf]), 1.0)) == np.inf
    assert float(fnp.quantile(np.float32([-np.inf, 1, 2]), 0.5)) == 1.0


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: fnp.sort(A, kind="heapsort"), TypeError, r"sort: kind='heapsort' is not supported; say stable=True"),
        (lambda: fnp.sort(A, axis=2), ValueError, "sort: axis 2 is out of bounds for an array of 2 dimensions"),
        (lambda: fnp.lexsort((A, A[0])), ValueError, r"lexsort: keys must have one shape, got \(3, 4\) and \(4,\)"),
        (lambda: fnp.searchsorted(A, 1.0), ValueError, r"searchsorted: a must be a vector, got shape \(3, 4\)"),
        (lambda: fnp.searchsorted(A[0], 1.0, "middle"), ValueError, "side must be 'left' or 'right', got 'middle'"),
        (lambda: fnp.quantile(A, 0.5, method="cubic"), ValueError, r"quantile: method must be one of .* got 'cubic'"),
        (lambda: fnp.quantile(A[:, :0], 0.5), ValueError, r"the axes \(0, 1\) of shape \(3, 0\) hold no element"),
        (lambda: fnp.median(A + 1j), ValueError, "median: complex numbers have no order"),
        (lambda: fnp.cumulative_sum(A), ValueError, r"cumulative_sum: an array of rank 1, or an axis, is needed"),
        (lambda: ft.jit(fnp.unique)(A), TypeError, r"pass size= to fix the length\): the array must be known"),
        (lambda: fnp.partition(A, 9, 1), ValueError, "partition: kth counted along axis 1: axis 9 is out of bounds"),
    ],
)
def test_refusals_say_what_and_why(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
