"""Indices of every integer dtype reach every position, on axes longer than the dtype counts; positions from the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.turns import covering_share

DTYPES = [fnp.int4, fnp.uint4, *[f"{kind}{bits}" for bits in (8, 16, 32, 64) for kind in ("int", "uint")]]
CASES = [(dtype, traced) for traced in (True, False) for dtype in DTYPES]
LENGTHS = 5, 100, 200, 300


def positions(dtype: Any, n: int) -> np.ndarray:
    """Some that both the dtype and the axis have."""
    limits = fnp.iinfo(dtype)
    wanted = (0, 1, 3, n - 1, -1, -n, 127, 128, 200, 255)
    return np.array([i for i in wanted if limits.min <= i <= limits.max and -n <= i < n], np.dtype(dtype))


@pytest.mark.filterwarnings("ignore::UserWarning")  # 64-bit indices are narrowed
@pytest.mark.parametrize(("dtype", "traced"), covering_share(CASES, 4), ids=str)
def test_every_position_is_reached(dtype: Any, traced: bool) -> None:
    ours, expected, given = {}, {}, {}
    for n in LENGTHS:
        index = given[n] = positions(dtype, n)
        plain = index.astype(np.int64)
        counted = np.bincount(plain % n, minlength=n)
        ahead = np.bincount(plain[plain >= 0], minlength=n)
        ours[n] = lambda i, n=n: _results(fnp.arange(n), i, n, len(i))
        expected[n] = [
            *[np.arange(n)[plain]] * 9, counted, np.minimum(counted, 1), counted, ahead, ahead,
            np.stack([np.arange(n) == k for k in plain]), (-plain) % n, np.clip(plain, 0, 2),
        ]  # fmt: skip
    if traced:
        found = ft.jit(lambda given: {n: ours[n](given[n]) for n in LENGTHS})(given)
    else:
        found = {n: ours[n](given[n]) for n in LENGTHS}
    for n in LENGTHS:
        for k, (result, wanted) in enumerate(zip(found[n], expected[n], strict=True)):
            np.testing.assert_array_equal(result, wanted, err_msg=f"result {k} for an axis of {n}")


def _results(x: Any, i: Any, n: int, count: int) -> list[Any]:
    vector = lax.GatherDimensionNumbers((), (0,), (0,))
    places = lax.ScatterDimensionNumbers((), (0,), (0,))
    by_hand = fnp.asarray(i).astype(fnp.int32) % n
    one_by_one = range(count)
    x = ft.jit(lambda x: x)(x) if not isinstance(i, ft.Tracer) else x
    return [
        fnp.take(x, i, mode="wrap"),
        fnp.take(x, i),
        fnp.take_along_axis(x, i, 0),
        lax.index_take(x, (i,), (0,)),
        lax.gather(x, by_hand[:, None], vector, (1,)),
        fnp.stack([lax.dynamic_slice(x, (i[k],), (1,))[0] for k in one_by_one]),
        fnp.stack([lax.dynamic_index_in_dim(x, i[k], 0, False) for k in one_by_one]),
        ft.vmap(lambda k: lax.dynamic_slice(x, (k,), (1,))[0])(i),
        ft.jit(lambda x, i: x[i])(x, i),
        ft.jit(lambda i: fnp.zeros(n, int).at[i].add(1))(i),
        ft.jit(lambda i: fnp.zeros(n, int).at[i].set(1))(i),
        ft.grad(lambda x: fnp.sum(ft.jit(lambda x, i: x[i])(x, i)))(fnp.zeros(n)),
        lax.segment_sum(fnp.ones(count), i, n),
        lax.scatter_add(fnp.zeros(n, int), i[:, None], fnp.ones(count, int), places),
        ft.nn.one_hot(i, n),
        ft.jit(lambda i: fnp.stack([fnp.roll(x, i[k])[0] for k in one_by_one]))(i),
        fnp.stack([lax.switch(i[k], [lambda: 0, lambda: 1, lambda: 2]) for k in one_by_one]),
    ]
