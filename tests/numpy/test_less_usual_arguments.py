"""Arguments that NumPy and JAX take and that are easily forgotten: against NumPy, traced and not."""

from __future__ import annotations

import array
import io
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

Function = Callable[..., Any]
X = np.arange(12, dtype=np.float32).reshape(3, 4) ** 1.5
V = np.array([1.0, -2.0, 0.5], np.float32)


# -- positions and counts that are traced ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 2, 3, 7])
@pytest.mark.parametrize("counts", [[2, 0, 1], [0, 0, 3], [1, 1, 0], [0, 0, 0], 2])
def test_traced_repeats_of_a_total_length(counts: Any, length: int) -> None:
    given = np.array(counts)
    for axis in (0, 1, None):
        x = X.T[:3].copy() if axis == 0 else X[:, :3]
        if axis is None:
            x = V
        repeated = ft.jit(lambda x, n, axis=axis: fnp.repeat(x, n, axis, total_repeat_length=length))
        wanted = jax.jit(lambda x, n, axis=axis: jnp.repeat(x, n, axis, total_repeat_length=length))
        np.testing.assert_array_equal(repeated(x, given), wanted(x, given))
        np.testing.assert_array_equal(fnp.repeat(x, given, axis, total_repeat_length=length), wanted(x, given))


def test_traced_repeats_have_a_derivative_and_lanes() -> None:
    counts = np.array([2, 0, 1])
    slope = ft.jit(ft.grad(lambda x, n: fnp.sum(fnp.repeat(x, n, total_repeat_length=5) ** 2)))(V, counts)
    np.testing.assert_allclose(slope, 2 * V * [2, 0, 3])
    lanes = ft.vmap(lambda n: fnp.repeat(V, n, total_repeat_length=4))(np.array([[1, 1, 1], [0, 3, 9]]))
    np.testing.assert_array_equal(lanes, [[*V, V[2]], [V[1], V[1], V[1], V[2]]])


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("at", [1, -2, [0, 2], [-1, 0], []])
def test_traced_positions_of_insert(at: Any, axis: int | None) -> None:
    places = np.array(at, np.int32)
    inserted = ft.jit(lambda x, i: fnp.insert(x, i, 7.0, axis))(X, places)
    np.testing.assert_array_equal(inserted, np.insert(X, places, 7.0, axis))


def test_traced_positions_of_delete() -> None:
    removed = ft.jit(lambda x, i: fnp.delete(x, i, 1, assume_unique_indices=True))
    for at in ([0], [-1, 1], []):
        np.testing.assert_array_equal(removed(X, np.array(at, np.int32)), np.delete(X, np.array(at, np.int32), 1))
    with pytest.raises(TypeError, match="positions must be known"):
        ft.jit(lambda x, i: fnp.delete(x, i, 1))(X, np.array([0]))


def test_a_traced_shape_of_unravel_index() -> None:
    found = ft.jit(fnp.unravel_index)(np.array([5, 0, 11]), (3, 4))
    np.testing.assert_array_equal(found, np.unravel_index([5, 0, 11], (3, 4)))


# -- axes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("num", [1, 2, 5])
def test_geometric_steps_along_an_axis(num: int, axis: int) -> None:
    start, stop = np.float32([[1.0, -2.0], [3.0, 4.0]]), np.float32([[8.0, -32.0], [3.0, 1.0]])
    np.testing.assert_allclose(
        fnp.geomspace(start, stop, num, axis=axis), np.geomspace(start, stop, num, axis=axis), rtol=1e-5
    )


@pytest.mark.parametrize("axis", [-2, -1])
def test_coordinates_of_fewer_axes_than_samples(axis: int) -> None:
    y = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(fnp.trapezoid(y, X, axis=axis), np.trapezoid(y, X, axis=axis), rtol=1e-4)
    np.testing.assert_allclose(fnp.trapezoid(y, dx=V[:, None]), np.trapezoid(y, dx=V[:, None]), rtol=1e-5)


# -- borders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["reflect", "symmetric"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_odd_reflections(n: int, mode: Any) -> None:
    for dtype in (np.float32, np.int32, np.uint8):
        x = (np.arange(n) ** 2 + 3).astype(dtype)
        for widths in ((0, 1), (2, 3), (7, 9), (20, 0)):
            found = fnp.pad(x, widths, mode, reflect_type="odd")
            np.testing.assert_array_equal(found, np.pad(x, widths, mode, reflect_type="odd"))
    with pytest.raises(ValueError, match="reflect_type is 'even' or 'odd'"):
        fnp.pad(X, 1, mode, reflect_type="strange")


def test_a_border_by_a_function() -> None:
    def numpys(vector: Any, widths: Any, axis: int, options: Any) -> None:
        vector[: widths[0]] = options["padder"] + axis
        vector[-widths[1] :] = vector[widths[0]]

    def ours(vector: Any, widths: Any, axis: int, options: Any) -> Any:
        vector = vector.at[: widths[0]].set(options["padder"] + axis)
        return vector.at[-widths[1] :].set(vector[widths[0]])

    widths = ((1, 2), (2, 1))
    np.testing.assert_array_equal(fnp.pad(X, widths, ours, padder=5), np.pad(X, widths, numpys, padder=5))
    with pytest.raises(ValueError, match="has to return the padded vector of 5 elements"):
        fnp.pad(X, 1, lambda *_: None)


# -- kinds of arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscripts", "operands"),
    [("aa", 1), ("a...a", 1), ("ab->", 1), ("...ab->...a", 1), ("ab,b->", 2), ("ab,bc->ac", 2), ("ab->b", 1)],
)
def test_sums_of_bools_are_bools(subscripts: str, operands: int) -> None:
    square = np.array([[True, False, False], [False, False, True], [False, False, False]])
    given = [square, square[0] if subscripts == "ab,b->" else square.T][:operands]
    found = fnp.einsum(subscripts, *given)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, np.einsum(subscripts, *given))


def test_what_is_a_scalar_and_what_is_complex() -> None:
    for x, scalar in ((3.0, True), (np.array(3.0), True), (fnp.array(3), True), ("a", True), (V, False), ([1], False)):
        assert fnp.isscalar(x) is scalar
    seen = ft.jit(lambda z: z * fnp.iscomplexobj([z, 1.0]))(2j)
    assert complex(seen) == 2j
    assert not fnp.isrealobj([1j])
    assert fnp.can_cast(np.float32, np.float64)
    assert not fnp.can_cast(fnp.float32, np.int32)
    assert ft.lax.dtype(np.int16) == np.int16


def test_complex_numbers_where_there_is_an_order() -> None:
    for call in (lambda: fnp.arange(1j), lambda: fnp.clip(1j, 0, 1), lambda: fnp.hypot(1j, 1.0)):
        with pytest.raises(ValueError, match="complex"):
            call()


def test_arrays_that_are_equal_when_broadcast() -> None:
    assert bool(fnp.array_equiv([1, 2], [[1, 2], [1, 2]]))
    assert not bool(fnp.array_equiv([1, 2], [1, 2, 3]))
    with ft.numpy_rank_promotion("raise"):
        assert bool(fnp.array_equiv([1, 1], 1))


@pytest.mark.parametrize("k", [-(2**70), -4, -1, 3, 5, 2**70])
def test_diagonals_far_away(k: int) -> None:
    far = max(-50, min(k, 50))
    np.testing.assert_array_equal(fnp.eye(3, 4, k), np.eye(3, 4, far))
    np.testing.assert_array_equal(fnp.tri(3, 4, k), np.tri(3, 4, far))


def test_memory_that_python_can_read() -> None:
    assert fnp.asarray(array.array("i", [1, 2])).tolist() == [1, 2]
    file = io.BytesIO()
    fnp.save(file, fnp.array([1.5, 2.0], ml_dtypes.bfloat16))
    file.seek(0)
    found = fnp.load(file)
    assert found.dtype == ml_dtypes.bfloat16
    assert found.tolist() == [1.5, 2.0]


def test_bins_of_different_counts() -> None:
    edges = [np.float32([0.0, 1.0, 5.0]), np.float32([0.0, 2.0, 4.0, 9.0])]
    for mine, numpys in zip(fnp.histogram2d(X[0], X[1], edges), np.histogram2d(X[0], X[1], edges), strict=True):
        np.testing.assert_allclose(mine, numpys)


def test_the_characteristic_polynomial_of_a_matrix() -> None:
    matrix = np.float32([[1.0, 2.0, 0.0], [3.0, 4.0, 1.0], [0.0, -1.0, 2.0]])
    np.testing.assert_allclose(fnp.poly(matrix), np.poly(matrix), rtol=1e-5, atol=1e-5)
    slope = ft.grad(lambda a: fnp.real(fnp.poly(a))[-1])(matrix)  # of minus the determinant
    np.testing.assert_allclose(slope, -np.linalg.det(matrix) * np.linalg.inv(matrix).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_spacing_of_subnormal_numbers(dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    given = np.array([0, tiny, -tiny, 3 * tiny, np.finfo(dtype).tiny, -np.finfo(dtype).tiny, 1, -1, -3.5], dtype)
    expected = np.spacing(given)
    bits = f"u{given.itemsize}"
    np.testing.assert_array_equal(np.asarray(fnp.spacing(given)).view(bits), expected.view(bits))
    assert np.isnan(fnp.spacing(dtype(np.inf)))


def test_zeros_are_read_outside_by_unit_vectors() -> None:
    at = np.array([[0, 9], [-1, 2], [1, -9]])
    found = fnp.take_along_axis(X, at, 1, mode="one_hot")
    np.testing.assert_allclose(found, [[X[0, 0], 0.0], [X[1, 3], X[1, 2]], [X[2, 1], 0.0]])


def test_universal_functions_are_values() -> None:
    made = fnp.frompyfunc(np.add, 2, 1, identity=0)
    assert made == fnp.frompyfunc(np.add, 2, 1, identity=0)
    assert hash(made) == hash(fnp.frompyfunc(np.add, 2, 1, identity=0))
    assert made != fnp.frompyfunc(np.add, 2, 1)
    with pytest.raises(AttributeError):
        made.nin = 3  # type: ignore[misc]
    assert fnp.remainder.reduce(np.zeros((3, 0), np.float32), 0).shape == (0,)
    assert made.accumulate(np.zeros((3, 0), np.float32), 0).shape == (3, 0)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, big: x + big, lambda x, big: big * x, lambda x, big: x < big, lambda x, big: x ^ big,
        lambda x, big: x.at[0].set(big), lambda x, big: x[1] - big,
    ],
)  # fmt: skip
def test_large_unsigned_numbers_of_numpy(function: Function, jitted: bool) -> None:
    """As Python numbers they would not fit the default integers."""
    x = np.array([1, 2**31 + 5], np.uint32)
    for big in (np.uint32(2**31), np.uint32(0x9E3779B9), np.uint32(2**32 - 1)):
        ours, theirs = lambda x, b=big: function(x, b), lambda x, b=big: function(x, b)
        if jitted:
            ours, theirs = ft.jit(ours), jax.jit(theirs)
        found = ours(fnp.asarray(x))
        np.testing.assert_array_equal(found, theirs(jnp.asarray(x)))
    assert ft.jit(lambda x: fnp.where(x > 2, np.uint32(2**31), x))(x).dtype == np.uint32
    assert int(ft.jit(lambda x: fnp.maximum(x, np.uint32(2**32 - 1))[0])(x)) == 2**32 - 1


@pytest.mark.parametrize("name", ["toeplitz", "hankel"])
def test_columns_and_rows_of_other_batches(name: str) -> None:
    ours, theirs = getattr(ft.scipy.linalg, name), getattr(jax.scipy.linalg, name)
    for c, r in (((4,), (4, 3)), ((2, 1, 5), (4, 4)), ((3, 0), (7,)), ((4, 7), (0,)), ((4,), (2, 4, 0))):
        column = np.arange(np.prod(c), dtype=np.float32).reshape(c)
        row = 100 + np.arange(np.prod(r), dtype=np.float32).reshape(r)
        np.testing.assert_array_equal(ours(column, row), theirs(column, row))
    with pytest.raises(ValueError, match=f"{name}: shapes .3,. and .2,. cannot be broadcast"):
        ours(np.zeros((3, 4), np.float32), np.zeros((2, 4), np.float32))


def test_pseudo_inverses_of_long_matrices() -> None:
    """No square of the long side is made, which would be 640 GB."""
    matrix = np.random.default_rng(0).normal(size=(400_000, 2)).astype(np.float32)
    for given in (matrix, matrix.T):
        slope = ft.grad(lambda a: fnp.sum(fnp.linalg.pinv(a) ** 2))(given)
        # of the trace of the inverse Gram matrix G: -2 G^-2 times the matrix
        gram = given.T @ given if given.shape[0] > 2 else given @ given.T
        twice = np.linalg.matrix_power(np.linalg.inv(gram.astype(np.float64)), 2)
        wanted = -2 * (given @ twice if given.shape[0] > 2 else twice @ given)
        np.testing.assert_allclose(slope, wanted, rtol=1e-3, atol=1e-15)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_norms_of_nothing(shape: tuple[int, int]) -> None:
    for kind in (1, 2, np.inf, "fro", "nuc"):
        assert float(fnp.linalg.matrix_norm(np.zeros(shape, np.float32), ord=kind)) == 0.0
    assert float(fnp.linalg.vector_norm(np.zeros(0, np.float32), ord=np.inf)) == 0.0


class Stands:
    """An object that stands for an array."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __jax_array__(self) -> Any:
        return self.x


@pytest.mark.parametrize("name", ["matmul", "dot", "add", "clip", "where"])
def test_objects_that_stand_for_arrays(name: str) -> None:
    square = fnp.asarray(X[:, :3])
    extra = {"clip": (0.0, 2.0), "where": (square, 0.0)}.get(name, (square,))
    np.testing.assert_array_equal(getattr(fnp, name)(Stands(square), *extra), getattr(fnp, name)(square, *extra))
    found = ft.jit(lambda x: getattr(fnp, name)(Stands(x), *extra))(square)
    np.testing.assert_allclose(found, getattr(fnp, name)(square, *extra), rtol=1e-6)


def test_lists_of_traced_numbers_are_indices() -> None:
    for index in (lambda i: ([i, 0],), lambda i: ([i, 0], slice(1, 3)), lambda i: ([[0, i]], [1, 2])):
        found = ft.jit(lambda x, i, index=index: fnp.asarray(x)[index(i)])(X, 2)
        np.testing.assert_array_equal(found, X[index(2)])
    slope = ft.grad(lambda x: fnp.sum(x[[0, fnp.argmax(x[:, 0])], 1]))(X)
    assert float(slope[2, 1]) == float(slope[0, 1]) == 1.0


def test_sizes_and_axes_given_as_arrays() -> None:
    whole = jnp.array
    assert ft.lax.dynamic_slice(X, [0, 1], whole([2, 2])).shape == (2, 2)
    assert ft.lax.transpose(X, whole([1, 0])).shape == (4, 3)
    assert ft.lax.reshape(X, whole([2, 6])).shape == (2, 6)
    assert ft.lax.full(whole([2, 1]), 0.0).shape == (2, 1)
    assert ft.lax.iota(np.int32, whole(3)).shape == (3,)
    assert ft.lax.broadcasted_iota(np.int32, whole([2, 3]), whole(1)).shape == (2, 3)
    assert isinstance(ft.lax.conj(1.5), jax.Array)
    with pytest.raises(ValueError, match="name one axis twice"):
        ft.lax.squeeze(X[None], (0, 0))


def test_axes_of_size_one_of_three_operands() -> None:
    a, b = np.full((3, 1), 0.5, np.float32), np.linspace(0.1, 0.9, 4, dtype=np.float32)[None]
    np.testing.assert_allclose(ft.lax.betainc(a, b, b), jax.lax.betainc(a, b, b), rtol=1e-5)
    assert ft.vmap(ft.lax.betainc, (0, None, None))(a, b[0], b[0]).shape == (3, 4)
    with pytest.raises(TypeError, match="different shapes"):
        ft.lax.betainc(a, np.ones((2, 4), np.float32), b)
