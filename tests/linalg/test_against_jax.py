"""functrans.numpy.linalg, scipy.linalg and lax.linalg against JAX: values, both modes, second order, batches, dtypes.

The operations by known factors (Solve, SolvePositive, Inverse, Determinant, LogDeterminant, SignOfDeterminant,
Cofactors, CofactorSlope) take a matrix and its factors, which are not independent: checked by the functions they serve.
"""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
import functrans.scipy.linalg
from functrans import lax
from functrans.numpy import equations
from tests.ops.matrix_samples import matrices, positive

NUMPY, SCIPY, LAX = (
    (fnp.linalg, jnp.linalg), (functrans.scipy.linalg, jax.scipy.linalg), (lax.linalg, jax.lax.linalg),
)  # fmt: skip


SCIPY_NAMES = (
    "block_diag cho_factor cho_solve cholesky circulant companion det expm hankel inv lu lu_factor lu_solve qr solve "
    "solve_triangular toeplitz"
).split()
LAX_NAMES = (
    "cholesky householder_product lu lu_pivots_to_permutation ormqr qr triangular_solve tridiagonal_solve"
).split()


def hermitian(x):
    return x @ x.conj().swapaxes(-1, -2)


def right(x):
    """Other matrices of the shape of x."""
    return matrices(x.shape, x.dtype, 7)


def first(x):
    """One matrix of a batch, for what JAX cannot batch."""
    return x[0] if x.ndim > 2 else x


def alone(pair, function):
    """name: (the two modules, a function of one of them and a matrix)."""
    return pair, function


CALLS = {
    "cholesky": alone(NUMPY, lambda m, a: m.cholesky(hermitian(a))),
    "cholesky upper": alone(NUMPY, lambda m, a: m.cholesky(hermitian(a), upper=True)),
    "solve": alone(NUMPY, lambda m, a: m.solve(a, right(a))),
    "solve a vector": alone(NUMPY, lambda m, a: m.solve(a, np.arange(1.0, a.shape[-1] + 1))),
    "solve for what is given": alone(NUMPY, lambda m, a: m.solve(right(a), a)),
    "inv": alone(NUMPY, lambda m, a: m.inv(a)),
    "det": alone(NUMPY, lambda m, a: m.det(a)),
    "det of 3 columns": alone(NUMPY, lambda m, a: m.det(a[..., :3, :3])),
    "slogdet": alone(NUMPY, lambda m, a: tuple(m.slogdet(a))),
    "qr": alone(NUMPY, lambda m, a: tuple(m.qr(a))),
    "qr complete": alone(NUMPY, lambda m, a: tuple(m.qr(a[..., :2], mode="complete"))),
    "qr wide": alone(NUMPY, lambda m, a: tuple(m.qr(a[..., :2, :]))),
    "matrix_power": alone(NUMPY, lambda m, a: m.matrix_power(a, -3)),
    "cho_solve": alone(SCIPY, lambda m, a: m.cho_solve(m.cho_factor(hermitian(a)), right(a))),
    "solve positive": alone(SCIPY, lambda m, a: m.solve(hermitian(first(a)), right(first(a)), assume_a="pos")),
    "solve_triangular": alone(SCIPY, lambda m, a: m.solve_triangular(a, right(a), trans="C", lower=True)),
    "lu": alone(SCIPY, lambda m, a: m.lu(first(a)[:, :3])),
    "lu_solve": alone(SCIPY, lambda m, a: m.lu_solve(m.lu_factor(a), right(a), trans=2)),
    "qr pivoted": alone(SCIPY, lambda m, a: m.qr(first(a), pivoting=True)),
    "expm": alone(SCIPY, lambda m, a: m.expm(a)),
    "tridiagonal_solve": alone(
        LAX, lambda m, a: m.tridiagonal_solve(a[..., 0], a[..., 0] + 5, a[..., 1], right(a))
    ),
    "triangular_solve": alone(LAX, lambda m, a: m.triangular_solve(a, right(a), conjugate_a=True)),
}  # fmt: skip


def total(function):
    """A real number that depends on every inexact result, real and imaginary parts alike."""

    def of(a):
        outs = [x for x in jax.tree.leaves(function(a)) if x.dtype.kind in "fc"]
        weights = [np.cos(np.arange(x.size) + k).reshape(x.shape) for k, x in enumerate(outs)]
        return sum(((x * w) * x.conj()).real.sum() + (x * w).imag.sum() for x, w in zip(outs, weights, strict=True))

    return of


def assert_alike(actual, expected, rtol=1e-9):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = np.max(np.abs(np.asarray(b)), initial=1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["f", "c"])
def test_values_and_derivatives_of_jax(name: str, kind: str) -> None:
    (ours, theirs), call = CALLS[name]
    with jax.enable_x64(True):
        shape, dtype = ((2, 4, 4), np.float64) if kind == "f" else ((4, 4), np.complex128)
        a, t = matrices(shape, dtype), matrices(shape, dtype, 3)
        f, g = (lambda a: call(ours, a)), (lambda a: call(theirs, a))
        if (name, kind) == ("solve positive", "c"):  # JAX takes a Hermitian matrix for its own transpose
            g = lambda a: jnp.linalg.solve(hermitian(a), right(a))

        def everything(package, function, grad, jvp):
            slope = grad(total(function))
            return lambda a, t: (function(a), slope(a), *jvp(slope, (a,), (t,)))

        actual = ft.jit(everything(ft, f, ft.grad, ft.jvp))(a, t)
        expected = jax.jit(everything(jax, g, jax.grad, jax.jvp))(a, t)
        assert_alike(actual, expected)
        inexact = [x.dtype.kind in "fc" for x in jax.tree.leaves(actual[0])]
        if all(inexact):
            assert_alike(ft.jvp(f, (a,), (t,))[1], jax.jit(lambda a, t: jax.jvp(g, (a,), (t,))[1])(a, t))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_products_with_reflections(shape: tuple[int, ...], dtype: type, transpose: bool, left: bool) -> None:
    with jax.enable_x64(True):
        packed, taus = fnp.linalg.qr(matrices(shape, dtype), mode="raw")
        c = matrices((*shape[:-2], shape[-2], 2) if left else (*shape[:-2], 2, shape[-2]), dtype, 5)

        def product(m: Any, c: Any) -> Any:
            return m.ormqr(packed.swapaxes(-1, -2), taus, c, left=left, transpose=transpose)

        assert_alike(product(lax.linalg, c), product(jax.lax.linalg, c))
        (back,) = ft.linear_transpose(lambda c: product(lax.linalg, c), c)(c)
        adjoint = lax.linalg.ormqr(packed.swapaxes(-1, -2), taus, c.conj(), left=left, transpose=not transpose).conj()
        assert_alike(back, adjoint)


@pytest.mark.parametrize("name", ["solve", "det", "slogdet", "inv", "qr", "cholesky", "lu_solve", "cho_solve"])
def test_float32_agrees_with_jax_and_lanes_with_a_loop(name: str) -> None:
    (ours, theirs), call = CALLS[name]
    a = matrices((3, 4, 4), np.float32)
    single = ft.jit(lambda a: call(ours, a))
    assert_alike(single(a), jax.jit(lambda a: call(theirs, a))(a), 2e-5)
    lanes = ft.vmap(lambda a: call(ours, a))(a)
    for i in range(3):
        lane = jax.tree.map(lambda x, i=i: x[i], lanes)
        assert_alike(lane, single(a[i]), 2e-5)


@pytest.mark.parametrize("name", ["solve", "det", "slogdet", "inv", "solve positive", "expm"])
def test_gradients_through_vmap_are_those_of_differences(name: str) -> None:
    (ours, _), call = CALLS[name]
    with jax.enable_x64(True):
        a, t = matrices((2, 4, 4), np.float64), matrices((2, 4, 4), np.float64, 3)
        step = 1e-6
        f = total(ft.vmap(lambda a: call(ours, a)))
        difference = (f(a + step * t) - f(a - step * t)) / (2 * step)
        np.testing.assert_allclose((ft.grad(f)(a) * t).sum(), difference, rtol=1e-6)
        np.testing.assert_allclose(ft.jvp(f, (a,), (t,))[1], difference, rtol=1e-6)


@pytest.mark.parametrize(("n", "batch"), [(0, ()), (1, ()), (0, (2,)), (3, (0,))])
@pytest.mark.parametrize("name", ["cholesky", "solve", "inv", "det", "slogdet", "qr"])
def test_degenerate_shapes(name: str, n: int, batch: tuple[int, ...]) -> None:
    (ours, theirs), call = CALLS[name]
    a = matrices((*batch, n, n), np.float32)
    assert_alike(call(ours, a), call(theirs, a), 1e-5)


@pytest.mark.parametrize("shape", [(3, 0), (0, 3)])
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_qr_of_nothing(shape: tuple[int, int], mode: str) -> None:
    a = np.zeros(shape, np.float32)
    assert_alike(fnp.linalg.qr(a, mode), jnp.linalg.qr(a, mode))


def test_what_has_no_answer_is_nan_or_infinite_as_in_jax() -> None:
    singular, indefinite = np.float32([[1, 2], [2, 4]]), np.float32([[1, 2], [2, 1]])
    for function in ("cholesky", "inv", "slogdet", "det"):
        for a in (singular, indefinite, np.full((2, 2), np.nan, np.float32)):
            ours, theirs = (getattr(m, function)(a) for m in (fnp.linalg, jnp.linalg))
            for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                assert np.array_equal(np.isfinite(x), np.isfinite(y)), (function, a)
    assert not np.isfinite(fnp.linalg.solve(singular, np.ones(2, np.float32))).any()
    mixed = np.stack([indefinite, 4 * np.eye(2, dtype=np.float32)])
    found = fnp.linalg.cholesky(mixed)
    assert np.isnan(found[0]).any() and np.array_equal(found[1], 2 * np.eye(2))


def cofactors(a):
    n = len(a)
    minors = [[np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(n)] for i in range(n)]
    return np.array(minors) * (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


SINGULAR = {
    "last pivot": np.diag([1.0, 2, 3, 0]),
    "middle pivot": np.diag([1.0, 0, 3, 2]),
    "no pivot in a column": np.eye(4, k=1),
    "dense": (lambda x: x @ np.diag([1.0, 1, 1, 1, 0]) @ x.T)(matrices((5, 5), np.float64)),
    "regular": matrices((4, 4), np.float64),
    "two pivots": np.diag([1.0, 2, 0, 0]),
    "two pivots apart": 1e3 * np.diag([1.0, 0, 3, 0]),
    "two columns without pivots": np.eye(4, k=2),
    "three pivots": np.diag([2.0, 0, 0, 0]),
    "dense, rank 2 of 4": matrices((4, 2), np.float64) @ matrices((2, 4), np.float64, 3),
    "ones": np.ones((4, 4)),
    "nothing": np.zeros((3, 3)),
    "nothing, 2 x 2": np.zeros((2, 2)),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_determinants_of_singular_matrices_have_their_derivatives(name: str) -> None:
    a = SINGULAR[name]
    with jax.enable_x64(True):
        np.testing.assert_allclose(ft.grad(fnp.linalg.det)(a), cofactors(a), atol=1e-9)
        t = matrices(a.shape, np.float64, 1)
        expected = cofactors(a + 1e-20j * t).imag / 1e-20  # no difference is taken, so nothing cancels
        tolerance = {"rtol": 1e-9, "atol": 1e-12 * max(1.0, np.abs(expected).max())}
        np.testing.assert_allclose(ft.jvp(ft.grad(fnp.linalg.det), (a,), (t,))[1], expected, **tolerance)
        second = ft.grad(lambda a: (ft.grad(fnp.linalg.det)(a) * t).sum())(a)
        np.testing.assert_allclose(second, expected, **tolerance)


def test_a_solution_and_its_derivatives_share_one_factorisation() -> None:
    a, b = matrices((4, 4), np.float32), matrices((4, 3), np.float32, 1)

    def loss(a, b):
        return (fnp.linalg.solve(a, b) ** 2).sum()

    for f in (ft.value_and_grad(loss, (0, 1)), lambda a, b: ft.jvp(ft.grad(loss), (a, b), (a, b))):
        assert ft.jit(f).lower(a, b).as_text().count("lapack_sgetrf_ffi") == 1
    lanes = ft.jit(ft.vmap(fnp.linalg.solve, (None, 0))).lower(a, np.stack([b] * 5)).as_text()
    assert lanes.count("lapack_sgetrf_ffi(") == 1 and "tensor<4x15xf32>" in lanes


def test_triangles_that_are_read_alone_have_the_derivatives() -> None:
    with jax.enable_x64(True):
        a, b = positive((3, 3), np.float64), matrices((3, 2), np.float64)
        linalg = functrans.scipy.linalg
        lower = ft.grad(lambda a: linalg.cholesky(a, lower=True).sum())(a)
        assert np.array_equal(np.triu(lower, 1), np.zeros((3, 3)))
        slope = ft.grad(lambda a: linalg.solve(a, b, assume_a="pos").sum())(a)
        np.testing.assert_allclose(slope, ft.grad(lambda a: fnp.linalg.solve(a, b).sum())(a), atol=1e-10)


def test_structured_matrices_agree_with_jax() -> None:
    c, r = np.float32([1, 2, 3]), np.float32([9, 5, 6, 7])
    ours, theirs = SCIPY
    for name, args in (
        ("toeplitz", (c, r)), ("toeplitz", (c * 1j,)), ("toeplitz", (np.stack([c, c]), np.stack([r, r]))),
        ("hankel", (c, r)), ("hankel", (c,)), ("circulant", (r,)), ("companion", (r,)), ("block_diag", (c, 2.0, r)),
        ("block_diag", ()), ("expm", (np.zeros((2, 0, 0), np.float32),)), ("expm", (9 * np.eye(2, dtype=np.float32),)),
        ("lu", (np.stack([c, c + 1]),)), ("inv", (np.eye(2, dtype=np.int32),)), ("det", (np.eye(4, dtype=np.int32),)),
    ):  # fmt: skip
        assert_alike(getattr(ours, name)(*args), getattr(theirs, name)(*args), 1e-5)
    assert_alike(ours.expm(np.triu(matrices((3, 3), np.float32)), upper_triangular=True),
                 theirs.expm(np.triu(matrices((3, 3), np.float32)), upper_triangular=True), 1e-5)  # fmt: skip


def test_tensor_equations() -> None:
    a = matrices((6, 6), np.float32).reshape(2, 3, 6)
    assert_alike(fnp.linalg.tensorinv(a), jnp.linalg.tensorinv(a), 1e-4)
    b = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_alike(fnp.linalg.tensorsolve(a, b), jnp.linalg.tensorsolve(a, b), 1e-4)
    moved = np.moveaxis(a, 2, 0)
    assert_alike(fnp.linalg.tensorsolve(moved, b, axes=(0,)), jnp.linalg.tensorsolve(moved, b, axes=(0,)), 1e-4)


@pytest.mark.parametrize("pair", [NUMPY, SCIPY, LAX], ids=["numpy", "scipy", "lax"])
def test_signatures_are_those_of_jax(pair) -> None:
    ours, theirs = pair
    names = {NUMPY: equations.__all__, SCIPY: SCIPY_NAMES, LAX: LAX_NAMES}[pair]
    for name in names:
        expected = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(inspect.signature(getattr(ours, name)).parameters) == expected, name
