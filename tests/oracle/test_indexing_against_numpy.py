"""Reading and updating by every kind of index gives what NumPy gives, and derivatives that follow from it."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

import functrans as ft
import functrans.numpy as fnp

pytestmark = pytest.mark.usefixtures("x64")
laws = hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))


def _values(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(-2.0, 2.0, shape)


@st.composite
def indexed_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape and an index into it: slices, integers, None, Ellipsis, integer arrays, boolean masks, mixed."""
    shape = draw(numpy_strategies.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["basic", "integer_arrays", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(numpy_strategies.basic_indices(shape, allow_newaxis=True, max_dims=4))
    if kind == "mask":
        rank = draw(st.integers(1, len(shape)))
        return shape, draw(numpy_strategies.arrays(bool, shape[:rank]))
    result_shape = numpy_strategies.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    if kind == "integer_arrays":
        return shape, draw(numpy_strategies.integer_array_indices(shape, result_shape=result_shape))
    broadcast = draw(result_shape)
    index: list[Any] = []
    for size in shape[: draw(st.integers(1, len(shape)))]:
        item = draw(st.sampled_from(["slice", "integer", "array", "reversed"]))
        if item == "slice":
            index.append(draw(st.slices(size)))
        elif item == "reversed":
            index.append(slice(None, None, -1))
        elif item == "integer":
            index.append(draw(st.integers(-size, size - 1)))
        else:
            index.append(draw(numpy_strategies.arrays(np.int64, broadcast, elements=st.integers(-size, size - 1))))
    return shape, tuple(index)


@laws
@given(indexed_shapes())
def test_reading_gives_what_numpy_gives(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = _values(shape)
    np.testing.assert_array_equal(ft.jit(lambda x: x[index])(x), x[index])


@laws
@given(indexed_shapes())
def test_the_gradient_of_reading_adds_where_numpy_reads(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = _values(shape)
    weights = _values(np.shape(x[index]), seed=1)
    expected = np.zeros(shape)
    np.add.at(expected, index, weights)
    gradient = ft.grad(lambda x: fnp.sum(weights * x[index]))(x)
    np.testing.assert_allclose(gradient, expected, rtol=0.0, atol=16 * 2.0**-52 * 32)
    # Forward mode reads the tangent by the same index.
    tangent = _values(shape, seed=2)
    np.testing.assert_array_equal(ft.jvp(lambda x: x[index], (x,), (tangent,))[1], tangent[index])


UFUNCS: dict[str, np.ufunc] = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}


@laws
@given(indexed_shapes(), st.sampled_from(sorted(UFUNCS)))
def test_updates_accumulate_as_ufunc_at_does(case: tuple[tuple[int, ...], Any], method: str) -> None:
    shape, index = case
    x = _values(shape)
    updates = _values(np.shape(x[index]), seed=1)
    expected = x.copy()
    UFUNCS[method].at(expected, index, updates)
    actual = ft.jit(lambda x, updates: getattr(x.at[index], method)(updates))(x, updates)
    np.testing.assert_allclose(actual, expected, rtol=64 * 2.0**-52, atol=64 * 2.0**-52)


@laws
@given(indexed_shapes())
def test_setting_gives_what_assignment_gives(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = _values(shape)
    # One value for all, so that the order in which repeated places are written does not matter.
    expected = x.copy()
    expected[index] = 7.5
    np.testing.assert_array_equal(ft.jit(lambda x: x.at[index].set(7.5))(x), expected)
    kept = np.ones(shape)
    kept[index] = 0.0
    gradient = ft.grad(lambda x: fnp.sum(x.at[index].set(7.5) * 3.0))(x)
    np.testing.assert_array_equal(gradient, 3.0 * kept)


@laws
@given(indexed_shapes().filter(lambda case: not _has_mask(case[1])))
def test_traced_indices_read_as_static_ones(case: tuple[tuple[int, ...], Any]) -> None:
    """Integers and integer arrays of the index become arguments; slices have to stay static."""
    shape, index = case
    x = _values(shape)
    parts = index if isinstance(index, tuple) else (index,)
    places = [i for i, part in enumerate(parts) if isinstance(part, int | np.integer | np.ndarray)]

    def read(x: Any, *traced: Any) -> Any:
        full = list(parts)
        for place, value in zip(places, traced, strict=True):
            full[place] = value
        return x[tuple(full)]

    np.testing.assert_array_equal(ft.jit(read)(x, *(parts[place] for place in places)), x[index])


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, np.ndarray) and part.dtype == bool for part in parts)


@laws
@given(indexed_shapes().filter(lambda case: not _has_mask(case[1])))
def test_vmap_of_reading_reads_in_every_lane(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    xs = _values((2, *shape))
    np.testing.assert_array_equal(ft.vmap(lambda x: x[index])(xs), np.stack([x[index] for x in xs]))
