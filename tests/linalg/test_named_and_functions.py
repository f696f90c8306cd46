"""Named matrices and functions of matrices of scipy.linalg against JAX and SciPy, and their derivatives."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest
import scipy.linalg

import functrans as ft
import functrans.numpy as fnp
from functrans.scipy import linalg
from tests.derivative_rows import assert_agree

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(5)
A, B, C = RNG.normal(size=(4, 4)), RNG.normal(size=(3, 3)) + 4 * np.eye(3), RNG.normal(size=(4, 3))
VECTOR, BATCH = RNG.normal(size=5) + 3.0, RNG.normal(size=(2, 4)) + 3.0

OF_ORDERS = {
    "hilbert": [(1,), (5,)], "invhilbert": [(1,), (6,)], "pascal": [(1,), (6,), (4, "lower"), (4, "upper")],
    "invpascal": [(5,), (4, "lower"), (4, "upper")], "helmert": [(1, True), (5,), (4, True)],
    "hadamard": [(1,), (8,)], "dft": [(1,), (6,), (5, "sqrtn"), (4, "n")],
}  # fmt: skip
OF_VECTORS: dict[str, list[tuple[Any, ...]]] = {
    "leslie": [(VECTOR, VECTOR[1:]), (BATCH, BATCH[:, 1:])],
    "fiedler": [(VECTOR,), (BATCH,)],
    "fiedler_companion": [(VECTOR,), (VECTOR[:2],), (VECTOR[:1],), (VECTOR[:4],), (BATCH,)],
    "convolution_matrix": [(VECTOR, n, mode) for n in (2, 5, 9) for mode in ("full", "same", "valid")] + [(BATCH, 3)],
}


def test_every_function_of_jax_is_here() -> None:
    public = {name for name in dir(jax.scipy.linalg) if not name.startswith("_")}
    assert not public - set(linalg.__all__)
    for name in sorted(public):
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (linalg, jax.scipy.linalg))
        assert list(ours.parameters) == list(theirs.parameters), name


@pytest.mark.parametrize("name", OF_ORDERS)
def test_matrices_of_an_order_are_those_of_jax(name: str) -> None:
    for args in OF_ORDERS[name]:
        ours, theirs, exact = (getattr(m, name)(*args) for m in (linalg, jax.scipy.linalg, scipy.linalg))
        assert ours.shape == theirs.shape and isinstance(ours, jax.Array)
        if name != "pascal":  # of float32 in JAX whatever the default is
            assert ours.dtype == theirs.dtype
        precision = 1e-14 if name == "dft" else 1e-15  # SciPy's powers of the root of unity
        np.testing.assert_allclose(ours, np.asarray(exact, ours.dtype), rtol=precision, atol=precision)
        with jax.enable_x64(False):
            assert getattr(linalg, name)(*args).dtype == getattr(jax.scipy.linalg, name)(*args).dtype


@pytest.mark.parametrize("name", OF_VECTORS)
def test_matrices_of_vectors_are_those_of_jax(name: str) -> None:
    for args in OF_VECTORS[name]:
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        rest = args[len(arrays) :]
        ours, theirs = ((lambda *x, m=m, rest=rest: getattr(m, name)(*x, *rest)) for m in (linalg, jax.scipy.linalg))
        found, wanted = ours(*arrays), theirs(*arrays)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
        if found.size and args is OF_VECTORS[name][-1]:
            assert_agree(ours, theirs, arrays)


def test_the_derivative_of_the_exponential_in_a_direction() -> None:
    e = RNG.normal(size=(4, 4))
    for ours, theirs in zip(linalg.expm_frechet(A, e), jax.scipy.linalg.expm_frechet(A, e), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
    alone = linalg.expm_frechet(np.stack([A, e]), np.stack([e, A]), compute_expm=False)
    expected = [scipy.linalg.expm_frechet(*pair, compute_expm=False) for pair in ((A, e), (e, A))]
    np.testing.assert_allclose(alone, expected, rtol=1e-11, atol=1e-12)
    # of the second order: the derivative of tr(W L(A, E)) by E is L(A^T, W)
    w = RNG.normal(size=(4, 4))
    slope = ft.grad(lambda e: fnp.sum(w * linalg.expm_frechet(A, e, compute_expm=False)))(e)
    np.testing.assert_allclose(slope, scipy.linalg.expm_frechet(A.T, w, compute_expm=False), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("is_complex", [False, True])
def test_the_complex_schur_form_of_a_real_one(is_complex: bool) -> None:
    t, z = linalg.schur(A + 1j * A.T if is_complex else A)
    found, around = linalg.rsf2csf(t, z)
    np.testing.assert_allclose(found, np.triu(found))
    np.testing.assert_allclose(around @ found @ np.conj(around).T, A + 1j * A.T if is_complex else A, atol=1e-13)
    np.testing.assert_allclose(np.conj(around).T @ around, np.eye(4), atol=1e-14)
    theirs = jax.scipy.linalg.rsf2csf(t, z)
    np.testing.assert_allclose(np.diag(found), np.diag(theirs[0]), atol=1e-13)
    batched = linalg.rsf2csf(np.stack([t, t]), np.stack([z, z]))
    np.testing.assert_allclose(batched[0][1], found, atol=1e-14)


def test_functions_of_matrices() -> None:
    for f, exact in ((fnp.exp, scipy.linalg.expm), (lambda x: x * x, lambda a: a @ a)):
        np.testing.assert_allclose(linalg.funm(A, f), exact(A), rtol=1e-11, atol=1e-11)
    ours, theirs = linalg.funm(A, fnp.sin, disp=False), jax.scipy.linalg.funm(A, jnp.sin, disp=False)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-11)
    assert ours[0].dtype == theirs[0].dtype and 0 < ours[1] < 1e-10
    np.testing.assert_allclose(ft.jit(lambda a: linalg.funm(a, fnp.exp))(A), scipy.linalg.expm(A), atol=1e-11)


@pytest.mark.parametrize("method", ["schur", "eigen"])
def test_equations_of_sylvester_and_their_derivatives(method: str) -> None:
    x = linalg.solve_sylvester(A, B, C, method=method)
    assert x.dtype == np.float64
    np.testing.assert_allclose(x, scipy.linalg.solve_sylvester(A, B, C), rtol=1e-11, atol=1e-12)
    z = linalg.solve_sylvester(A + 1j * A.T, B, C, method=method)
    np.testing.assert_allclose((A + 1j * A.T) @ z + z @ B, C, atol=1e-12)
    batched = linalg.solve_sylvester(A, np.stack([B, B.T]), C, method=method)
    np.testing.assert_allclose(batched[1], scipy.linalg.solve_sylvester(A, B.T, C), rtol=1e-11, atol=1e-12)
    singular = linalg.solve_sylvester(np.diag([1.0, 2.0, 3.0, 4.0]), np.diag([-2.0, 0.0, 1.0]), C, method=method)
    assert np.isnan(singular).all()

    def by_products(a: Any, b: Any, c: Any) -> Any:  # the same equation as one of vectors
        whole = fnp.kron(a, np.eye(3)) + fnp.kron(np.eye(4), fnp.matrix_transpose(b))
        return fnp.reshape(fnp.linalg.solve(whole, fnp.reshape(c, (12,))), (4, 3))

    for i in range(3):
        weight = RNG.normal(size=(4, 3))
        ours, theirs = (
            ft.grad(lambda *x, f=f, weight=weight: fnp.sum(weight * f(*x)), i)
            for f in (lambda *x: linalg.solve_sylvester(*x, method=method), by_products)
        )
        np.testing.assert_allclose(ours(A, B, C), theirs(A, B, C), rtol=1e-9, atol=1e-11)
        direction = RNG.normal(size=A.shape)
        tangents = [ft.jvp(lambda a, g=g: g(a, B, C), (A,), (direction,))[1] for g in (ours, theirs)]
        np.testing.assert_allclose(*tangents, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("mode", ["left", "right"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_products_with_the_orthogonal_factor(mode: str, shape: tuple[int, int]) -> None:
    a, k = RNG.normal(size=shape) + 1j * RNG.normal(size=shape), min(shape)
    c = RNG.normal(size=(k, 2) if mode == "left" else (2, shape[0]))
    for options in ({}, {"conjugate": True}, {"pivoting": True}):
        ours, theirs = (m.qr_multiply(a, c, mode, **options) for m in (linalg, jax.scipy.linalg))
        for found, wanted in zip(ours, theirs, strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, atol=1e-13)
    vector = c[:, 0] if mode == "left" else c[0]
    ours, theirs = (m.qr_multiply(a, vector, mode) for m in (linalg, jax.scipy.linalg))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-13)


def test_tridiagonal_matrices() -> None:
    d, e = RNG.normal(size=5), RNG.normal(size=4)
    values, vectors = linalg.eigh_tridiagonal(d, e)
    np.testing.assert_allclose(values, scipy.linalg.eigh_tridiagonal(d, e)[0], atol=1e-13)
    whole = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, whole, atol=1e-13)
    some = linalg.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 3))
    theirs = jax.scipy.linalg.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 3))
    np.testing.assert_allclose(some, theirs, atol=1e-12)
    slope = ft.grad(lambda d: linalg.eigh_tridiagonal(d, e, eigvals_only=True)[0])(d)
    np.testing.assert_allclose(slope, np.asarray(vectors)[:, 0] ** 2, atol=1e-13)
    z = e + 1j * e[::-1]
    hermitian = np.diag(d) + np.diag(z, 1) + np.diag(np.conj(z), -1)
    values, vectors = map(np.asarray, linalg.eigh_tridiagonal(d, z))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(hermitian), atol=1e-13)
    np.testing.assert_allclose(vectors @ np.diag(values) @ np.conj(vectors.T), hermitian, atol=1e-13)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: linalg.hadamard(6), ValueError, "hadamard: the order must be a power of two, got 6"),
        (lambda: linalg.pascal(3, "both"), ValueError, "kind must be 'symmetric', 'lower' or 'upper', got 'both'"),
        (lambda: linalg.helmert(0), ValueError, "helmert: the order n must be at least 1, got 0"),
        (lambda: linalg.dft(3, "m"), ValueError, "dft: scale must be None, 'sqrtn' or 'n', got 'm'"),
        (lambda: linalg.dft(3, dtype=float), ValueError, "dft: the dtype must be complex"),
        (lambda: linalg.leslie(np.ones(3), np.ones(3)), ValueError, "got shapes (3,) and (3,)"),
        (lambda: linalg.convolution_matrix(np.ones(3), 2, "all"), ValueError, "mode must be 'full', 'same' or 'valid'"),
        (lambda: linalg.expm_frechet(A, B), ValueError, "A and E must have one shape, got (4, 4) and (3, 3)"),
        (lambda: linalg.solve_sylvester(A, B, A), ValueError, "got shapes (4, 4), (3, 3) and (4, 4)"),
        (lambda: linalg.solve_sylvester(A, B, C, method="x"), ValueError, "method must be 'schur' or 'eigen'"),
        (lambda: linalg.qr_multiply(A, np.ones(3)), ValueError, "c must have 4 columns, got shape (3,)"),
        (lambda: linalg.eigh_tridiagonal(np.ones(3), np.ones(3)), ValueError, "d must be [n] and e [n - 1]"),
        (lambda: linalg.eigh_tridiagonal(np.ones(3), np.ones(2), select="v"), NotImplementedError, "select='v'"),
        (lambda: linalg.funm(np.ones((2, 3)), fnp.exp), ValueError, "funm: square matrices are needed"),
    ],
)
def test_refusals(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
