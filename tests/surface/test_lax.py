"""Functions of ``jax.lax`` that JAX itself does not transform in every way: against what they mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.surface.test_by_the_crossing import transformed

X = np.float32([[0.3, -1.2, 0.8], [1.5, 0.4, -0.6]])
SIZES = np.int32([1, 1])
POSITIVE = np.float32([[2, 0.3, 0.1], [0, 1.5, 0.2], [0, 0, 1.2]])


def _rows(x: Any, matrices: Any) -> Any:
    return jnp.concatenate([x[:1] @ matrices[0], x[1:] @ matrices[1]])


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "composite": (lax.composite(lambda x: x**3, "my.cube"), lambda x: x**3),
    "stage": (lambda x: lax.stage(x) * lax.stage(2.0), lambda x: x * 2.0),
    "ragged_dot": (
        lambda x: lax.ragged_dot(x, jnp.stack([x.T, 2 * x.T]), SIZES), lambda x: _rows(x, jnp.stack([x.T, 2 * x.T])),
    ),
    "ragged_dot, rows behind": (
        lambda x: lax.ragged_dot(x, jnp.stack([x.T, 2 * x.T]), np.int32([1, 0])),
        lambda x: _rows(x * np.float32([[1], [0]]), jnp.stack([x.T, 2 * x.T])),
    ),
    "cholesky_update": (
        lambda x: lax.linalg.cholesky_update(POSITIVE, x[0]),
        lambda x: jnp.linalg.cholesky(POSITIVE.T @ POSITIVE + jnp.outer(x[0], x[0])).T,
    ),
    "cholesky_update_p": (
        lambda x: lax.linalg.cholesky_update_p.bind(POSITIVE, x[0]),
        lambda x: jnp.linalg.cholesky(POSITIVE.T @ POSITIVE + jnp.outer(x[0], x[0])).T,
    ),
    "symmetric_product_p": (
        lambda x: lax.linalg.symmetric_product_p.bind(x, jnp.diag(x[:, 0]), alpha=2.0, beta=0.5),
        lambda x: 2 * x @ x.T + 0.5 * jnp.diag(x[:, 0]),
    ),
    "symmetric_product": (
        lambda x: lax.linalg.symmetric_product(x, jnp.diag(x[:, 0]), alpha=2.0, beta=0.5),
        lambda x: 2 * x @ x.T + 0.5 * jnp.diag(x[:, 0]),
    ),
    "symmetric_product, in a batch": (
        lambda x: lax.linalg.symmetric_product(x[:, :, None], jnp.zeros((2, 3, 3)), symmetrize_output=True),
        lambda x: x[:, :, None] * x[:, None],
    ),
    "scaled_dot": (
        lambda x: lax.scaled_dot(x, x.T, lhs_scale=x[:, :1], rhs_scale=x.T, preferred_element_type=np.float32),
        lambda x: x * x[:, :1] @ (x.T * x.T),
    ),
    "scaled_dot, in a batch": (
        lambda x: lax.scaled_dot(x[:, None], x[..., None], lhs_scale=x[:, :1, None], preferred_element_type=np.float32),
        lambda x: jnp.einsum("bmk,bkn,b->bmn", x[:, None], x[..., None], x[:, 0]),
    ),
    "log2": (lambda x: lax.log2(x * x + 1), lambda x: jnp.log2(x * x + 1)),
    "one_minus_square": (lax.one_minus_square, lambda x: 1 - x**2),
    "polynomial": (lambda x: lax.polynomial(x, (1.0, x, 2.0)), lambda x: 1 + x * x + 2 * x * x),
    "numpy.minmax": (
        lambda x: fnp.minmax(x, 1, initial=(1.0, -1.0)), lambda x: (x.min(1, initial=1.0), x.max(1, initial=-1.0)),
    ),
    "numpy.top_k": (lambda x: fnp.top_k(x, 2)[0], lambda x: -jnp.sort(-x)[:, :2]),
    "numpy.top_k, smallest": (lambda x: fnp.top_k(x, 1, axis=0, mode="smallest")[0], lambda x: jnp.sort(x, 0)[:1]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_mean_what_is_said(name: str) -> None:
    ours, meaning = FUNCTIONS[name]
    assert_same(transformed(ft, ours, X), transformed(jax, meaning, X), 512, weak=False, context=name)


# lhs, rhs, ((contracting axes), (batch axes)), the ragged axis, axes of groups, sizes: the ragged axis is free (after a
# batch and another free axis), contracted (after another contracted one), in a batch.
RAGGED: dict[str, tuple[Any, ...]] = {
    "free": ((5, 4), (3, 4, 2), (((1,), (1,)), ((), ())), 0, [0], (3,)),
    "free, groups last": ((4, 5), (4, 2, 3), (((0,), (0,)), ((), ())), 1, [2], (3,)),
    "free, one size for all": ((2, 3, 5, 4), (2, 3, 4, 2), (((3,), (2,)), ((0,), (0,))), 2, [1], (3,)),
    "free, in a batch": ((2, 3, 5, 4), (2, 3, 4, 2), (((3,), (2,)), ((0,), (0,))), 2, [1], (2, 3, 3)),
    "contracted": ((4, 5), (5, 2), (((1,), (0,)), ((), ())), 1, [], (3,)),
    "contracted, in a batch": ((3, 2, 4, 5), (5, 2, 3, 2), (((0, 3), (2, 0)), ((1,), (1,))), 3, [], (2, 3, 3)),
    "batch": ((5, 4, 3), (3, 2, 5), (((2,), (0,)), ((0,), (2,))), 0, [], (3,)),
}


@pytest.mark.parametrize("name", RAGGED)
@pytest.mark.parametrize("total", [5, 3])
def test_products_of_groups(name: str, total: int) -> None:
    left, right, axes, ragged, groups, of_sizes = RAGGED[name]
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype(np.float32) for shape in (left, right))
    sizes = rng.multinomial(total, [0.4, 0.3, 0.3], of_sizes[:-1]).astype(np.int32)
    numbers, theirs = (of.RaggedDotDimensionNumbers(axes, [ragged], groups) for of in (lax, jax.lax))
    ours = lambda x, y: lax.ragged_dot_general(x, y, sizes, numbers)
    theirs = functools.partial(
        jax.lax.ragged_dot_general, group_sizes=sizes, ragged_dot_dimension_numbers=theirs
    )
    v, w, v2, w2 = (rng.normal(size=z.shape).astype(np.float32) for z in (x, y, x, y))
    by = theirs(v, y), theirs(x, w)  # a bilinear function: JAX has not all its derivatives
    slope = lambda x, y: ft.jvp(ours, (x, y), (v, w))[1]
    value, pullback = ft.vjp(ours, x, y)
    c = rng.normal(size=value.shape).astype(np.float32)
    for found, wanted in (
        (value, theirs(x, y)),
        (ft.jit(ours)(x, y), theirs(x, y)),
        (slope(x, y), by[0] + by[1]),
        ([fnp.vdot(sent, z) for sent, z in zip(pullback(c), (v, w), strict=True)], [jnp.vdot(c, z) for z in by]),
        (ft.jvp(slope, (x, y), (v2, w2))[1], theirs(v, w2) + theirs(v2, w)),
        (ft.vmap(ours, (0, None))(np.stack([x, 2 * x]), y), jnp.stack([theirs(x, y), theirs(2 * x, y)])),
        (ft.vmap(ours, (None, -1))(x, np.stack([y, 2 * y], -1)), jnp.stack([theirs(x, y), theirs(x, 2 * y)])),
    ):
        assert_same(found, wanted, 2000, weak=False, context=name)


def test_products_of_groups_that_overflow() -> None:
    x, y = np.float32([[1, np.inf], [2, 3]]), np.float32([[1], [np.inf]])
    numbers = lax.RaggedDotDimensionNumbers((((1,), (0,)), ((), ())), [1], [])
    assert lax.ragged_dot_general(x, y, np.int32([1, 1]), numbers)[..., 0].tolist() == [[1, 2], [np.inf, np.inf]]


def test_scaled_products_of_narrow_numbers() -> None:
    dtype = jnp.float8_e4m3fn
    x, scale = np.random.default_rng(0).normal(size=(4, 64)).astype(dtype), np.float32([[2, 0.5]] * 4)
    wide = (x.astype(np.float32).reshape(4, 2, 32) * scale[..., None]).reshape(4, 64)
    found = lax.scaled_dot(x, x.T, lhs_scale=scale, rhs_scale=scale.T, preferred_element_type=np.float32)
    np.testing.assert_allclose(found, wide @ wide.T, rtol=1e-5)
    assert lax.scaled_dot(x, x.T).dtype == jnp.bfloat16


def test_polar_decompositions_of_jax() -> None:
    """``qdwh`` is JAX's own loop of unknown length: there is forward mode, and no reverse mode, there as here."""
    x, v = np.float32([[0.3, -1.2, 0.8], [1.5, 0.4, -0.6], [0.2, 0.1, 2.0]]), np.eye(3, dtype=np.float32)[::-1]
    for options in ({}, {"is_hermitian": True}):
        given = x @ x.T if options else x
        parts = lambda x, options=options: lax.linalg.qdwh(x, **options)[:2]
        found, wanted = (
            of.jit(lambda x: [parts(x), of.jvp(parts, (x,), (v,)), of.vmap(parts)(jnp.stack([x, 2 * x]))])(given)  # noqa: B023
            for of in (ft, jax)
        )
        assert_same(found, wanted, 512, weak=False)
        assert_same(found[0][0] @ found[0][1], given, 512, weak=False)
    for of in (ft, jax):
        with pytest.raises(ValueError, match=r"(?i)reverse"):
            of.grad(lambda x: lax.linalg.qdwh(x)[0].sum())(x)


def test_the_highest_accuracy_is_there_already() -> None:
    for mode in lax.AccuracyMode:
        assert ft.jit(functools.partial(lax.tanh, accuracy=mode))(X).tolist() == lax.tanh(X).tolist()


def test_algorithms_of_products() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float16)
    algorithm = lax.DotAlgorithm(np.float16, np.float16, np.float32)
    ours = lax.dot(x, x, precision=algorithm, preferred_element_type=np.float32)
    by_name = lax.dot(x, x, precision="F16_F16_F32", preferred_element_type=np.float32)
    assert ours.dtype == np.float32 and ours.tolist() == by_name.tolist()
    program = ft.make_jaxpr(lambda x: lax.dot(x, x, precision=algorithm))(x)
    assert "F16_F16_F32" in str(program)
    for wrong in (algorithm._replace(lhs_precision_type=np.int8), algorithm._replace(num_primitive_operations=2)):
        with pytest.raises(ValueError, match="is none of the algorithms"):
            lax.dot(x, x, precision=wrong)


def test_decompositions_by_a_routine_of_choice() -> None:
    linalg, x = lax.linalg, np.float32([[2, 1], [1, 3]])
    assert linalg.svd(x, algorithm=linalg.SvdAlgorithm.DEFAULT)[1].shape == (2,)
    assert linalg.eig(x, implementation=linalg.EigImplementation.LAPACK)[0].shape == (2,)
    for call in (
        lambda: linalg.svd(x, algorithm=linalg.SvdAlgorithm.JACOBI),
        lambda: linalg.eigh(x, implementation=linalg.EighImplementation.QDWH),
        lambda: linalg.eig(x, implementation=linalg.EigImplementation.MAGMA),
    ):
        with pytest.raises(NotImplementedError, match="which kernel computes is given by the platform"):
            call()


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.uint8, np.int8, np.int16])
def test_the_upper_half_of_products(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    x, y = (rng.integers(limits.min, limits.max, 200, dtype, endpoint=True) for _ in range(2))
    corners = np.array([limits.min, limits.max, 0, 1], dtype)
    x, y = np.concatenate([x, np.repeat(corners, 4)]), np.concatenate([y, np.tile(corners, 4)])
    wanted = ((x.astype(object) * y.astype(object)) >> limits.bits).astype(dtype)
    np.testing.assert_array_equal(lax.mulhi(x, y), wanted)
    np.testing.assert_array_equal(ft.vmap(lax.mulhi, (0, None))(x, y[5]), lax.mulhi(x, np.full_like(x, y[5])))


SIZED: dict[str, Callable[[Any, Any], Any]] = {
    "full": lambda n, s: lax.full(s, 1.0),
    "full_like": lambda n, s: lax.full_like(X, 1.0, shape=s),
    "empty": lambda n, s: lax.empty(s, np.float32),
    "broadcast": lambda n, s: lax.broadcast(1.0, s),
    "broadcast_in_dim": lambda n, s: lax.broadcast_in_dim(1.0, s, ()),
    "broadcasted_iota": lambda n, s: lax.broadcasted_iota(np.int32, s, 0),
    "iota": lambda n, s: fnp.outer(lax.iota(np.int32, n), fnp.ones(3)),
    "reshape": lambda n, s: lax.reshape(X, s),
    "slice": lambda n, s: lax.slice(np.ones((4, 5), np.float32), (0, 0), s),
    "dynamic_slice": lambda n, s: lax.dynamic_slice(np.ones((4, 5), np.float32), (0, 0), s),
    "rng_bit_generator": lambda n, s: lax.rng_bit_generator(np.zeros(4, np.uint32), s)[1],
}  # fmt: skip


@pytest.mark.parametrize("name", SIZED)
def test_a_size_is_any_integer(name: str) -> None:
    sized = SIZED[name]
    for n in (2, np.int32(2), np.uint8(2), np.array(2), jnp.array(2)):
        for shape in ((n, 3), [n, 3], (n, np.int64(3))):
            assert sized(n, shape).shape == ft.eval_shape(lambda n=n, s=shape: sized(n, s)).shape == (2, 3)
    for wrong in (2.0, np.float32(2), "2", None):
        for call in (lambda n=wrong: sized(n, (n, 3)), lambda n=wrong: ft.make_jaxpr(lambda: sized(n, (n, 3)))()):
            with pytest.raises(TypeError):
                call()


@pytest.mark.parametrize("name", ["full", "full_like", "empty", "broadcasted_iota", "rng_bit_generator"])
def test_one_integer_is_a_shape(name: str) -> None:
    for n in (2, np.int32(2), np.array(2)):
        assert SIZED[name](None, n).shape == (2,)
    with pytest.raises(TypeError, match=r"a shape is an integer or a sequence of integers, got 2\.5 of type float"):
        SIZED[name](None, 2.5)


@pytest.mark.parametrize("call", [
    lambda: lax.concatenate([X, X], 0.5), lambda: lax.top_k(X, 1.5), lambda: lax.slice_in_dim(X, 0, 1.5),
    lambda: lax.split(X, (0.5, 1.5)), lambda: lax.reduce_precision(X, 5, 2.5), lambda: fnp.eye(2.5),
    lambda: fnp.tril_indices(2.5), lambda: fnp.diag_indices(2.5),
])  # fmt: skip
def test_a_float_is_not_cut_to_an_integer(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="integer"):
        call()


@pytest.mark.parametrize("compare", [lax.lt, lax.le, lax.gt, lax.ge])
def test_complex_numbers_have_no_order(compare: Any) -> None:
    z = X.astype(np.complex64)
    for call in (lambda: compare(z, z), lambda: compare(z, 1.0), lambda: compare(2j, z), lambda: ft.jit(compare)(z, z)):
        with pytest.raises(TypeError, match=r"complex numbers have no order[\s\S]*test_lax.py"):
            call()


def test_the_angle_of_complex_points_and_the_conjugate_of_real_numbers() -> None:
    x, y = (X + 0.5j * X**2).astype(np.complex64), (X - 1j).astype(np.complex64)
    for of in (lax.atan2, fnp.arctan2):
        np.testing.assert_allclose(of(x, y), jnp.arctan2(x, y), rtol=1e-5)
        ours, theirs = (
            lib.jvp(f, (x, y), (y, x))[1] for lib, f in ((ft, of), (jax, jnp.arctan2))
        )  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert lax.conj(X).dtype == np.complex64 and fnp.conj(X).dtype == np.float32
    np.testing.assert_array_equal(lax.conj(X), jax.lax.conj(X))
    with pytest.raises(TypeError, match="conj does not accept"):
        lax.conj(np.int32(1))


def _numbers(ragged: list[int], groups: list[int]) -> Any:
    return lax.RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), ragged, groups)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: lax.mulhi(X, X), TypeError, "integer dtype"),
        (lambda: lax.ragged_dot(X, X, SIZES), ValueError, "group_sizes"),
        (lambda: lax.ragged_dot(X, X[None], SIZES, group_offset=1), NotImplementedError, "group_offset"),
        (lambda: lax.ragged_dot_general(X, X, SIZES, _numbers([0], [])), ValueError, "one axis of groups"),
        (lambda: lax.ragged_dot_general(X, X, SIZES, _numbers([2], [])), ValueError, "one ragged axis"),
        (lambda: lax.ragged_dot_general(X, X, X[0].reshape(1, 3), _numbers([1], [])), ValueError, "shape .g. or"),
        (lambda: lax.scaled_dot(X, X.T, lhs_scale=X[:, :2]), ValueError, "does not divide"),
        (lambda: lax.exp(X, accuracy=lax.Tolerance(ulps=1)), NotImplementedError, "accuracy"),
        (lambda: lax.linalg.cholesky_update(X, X[0]), ValueError, "upper triangular"),
        (lambda: lax.linalg.symmetric_product(X, X), ValueError, "symmetric_product"),
        (lambda: lax.platform_dependent(X, gpu=jnp.sin), ValueError, "'cuda' or 'rocm'"),
        (lambda: lax.platform_dependent(X, other=jnp.sin), ValueError, "no branch for the platform"),
        (lambda: lax.platform_dependent(X, cpu=3), TypeError, "must be a function"),
        (lambda: lax.polynomial(X, ()), ValueError, "at least one coefficient"),
        (lambda: lax.log2(X, accuracy=1), NotImplementedError, "accuracy"),
        (lambda: fnp.top_k(X, 4), ValueError, "k=4"),
        (lambda: fnp.top_k(X, 1, mode="other"), ValueError, "mode must be"),
        (lambda: lax.composite(3, "x"), TypeError, "a function is needed"),
    ],
)
def test_wrong_use_is_refused(call: Callable[[], Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_digits_near_the_ends() -> None:
    x = np.float32([1 - 2**-20, 1e-8])
    wanted = 1 - x.astype(np.float64) ** 2
    np.testing.assert_allclose(lax.one_minus_square(x), wanted, rtol=3e-7)
    np.testing.assert_allclose(ft.grad(lambda x: fnp.sum(lax.one_minus_square(x)))(x), -2 * x, rtol=3e-7)
