"""Operations over mapped axes against NumPy: Psum, Pmax, Pmin, AllGather, ScatterLane (its transpose) and AxisIndex."""

from __future__ import annotations

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans.testing import check_grads

x = np.float32([[1.0, 5.0, 2.0], [4.0, 3.0, 6.5]])


def lanes(f, *args, **options):
    return np.asarray(ft.vmap(f, axis_name="i", **options)(*args))


@pytest.mark.parametrize(("collective", "reduce"), [(lax.psum, np.sum), (lax.pmax, np.max), (lax.pmin, np.min)])
def test_reductions_over_a_mapped_axis(collective, reduce) -> None:
    np.testing.assert_allclose(lanes(lambda v: collective(v, "i"), x), np.stack([reduce(x, 0)] * 2))


def test_a_reduction_of_what_is_not_mapped() -> None:
    np.testing.assert_allclose(lanes(lambda v: lax.add(v, lax.psum(np.float32(1.5), "i")), x), x + 3)
    np.testing.assert_allclose(lanes(lambda v: lax.add(v, lax.pmax(np.float32(1.5), "i")), x), x + 1.5)


def test_axis_index_numbers_the_lanes() -> None:
    np.testing.assert_array_equal(lanes(lambda v: lax.axis_index("i"), x), [0, 1])


@pytest.mark.parametrize("axis", [0, 1])
def test_all_gather(axis: int) -> None:
    np.testing.assert_allclose(lanes(lambda v: lax.all_gather(v, "i", axis=axis), x), np.stack([np.stack(x, axis)] * 2))
    tiled = lanes(lambda v: lax.all_gather(v, "i", tiled=True), x)
    np.testing.assert_allclose(tiled, np.stack([x.reshape(-1)] * 2))


def test_names_nest_and_reduce_together() -> None:
    y = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    both = ft.vmap(ft.vmap(lambda v: lax.psum(v, ("i", "j")), axis_name="j"), axis_name="i")(y)
    np.testing.assert_allclose(both, np.broadcast_to(y.sum((0, 1)), y.shape))
    outer = ft.vmap(ft.vmap(lambda v: lax.psum(v, "i"), axis_name="j"), axis_name="i")(y)
    np.testing.assert_allclose(outer, np.broadcast_to(y.sum(0), y.shape))


@pytest.mark.parametrize(
    "f",
    [
        lambda v: lax.mul(lax.psum(lax.sin(v), "i"), v),
        lambda v: lax.mul(lax.reduce_sum(lax.mul(lax.all_gather(v, "i"), lax.all_gather(lax.sin(v), "i")), (0,)), v),
    ],
    ids=["Psum", "AllGather and ScatterLane"],
)
def test_derivatives_through_collectives(f) -> None:
    check_grads(ft.vmap(f, axis_name="i"), (x,), order=2)
