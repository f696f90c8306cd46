"""Spectra of matrices: values as in JAX, derivatives against JAX, differences, and what mathematics says where JAX has
none: at repeated and at vanishing eigenvalues and singular values.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.interop import from_jax
from functrans.scipy import linalg as scipy_like

RANDOM = np.random.default_rng(7)


def draw(*shape: int, dtype: str = "float64"):
    x = RANDOM.standard_normal(shape)
    return (x + 1j * RANDOM.standard_normal(shape) if dtype[0] == "c" else x).astype(dtype)


def hermitian(x):
    return (x + np.swapaxes(x.conj(), -1, -2)) / 2


def turned(values, seed=3, dtype="float64"):
    """A Hermitian matrix with these eigenvalues, in a basis of no special kind."""
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0].astype(dtype)
    return hermitian((q * np.asarray(values)) @ q.conj().T)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def close(ours, theirs, tolerance=1e-10) -> None:
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert [(x.shape, x.dtype) for x in ours] == [(x.shape, x.dtype) for x in theirs]
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


SQUARE = [
    ("eigh", {}), ("eigh", {"UPLO": "U", "symmetrize_input": False}), ("eigvalsh", {}), ("eig", {}), ("eigvals", {}),
    ("svd", {"hermitian": True}), ("pinv", {"hermitian": True}), ("cond", {"p": 1}),
]  # fmt: skip
ANY = [
    ("svd", {}), ("svd", {"full_matrices": False}), ("svdvals", {}), ("pinv", {}), ("pinv", {"rtol": 0.3}),
    ("matrix_rank", {}), ("matrix_rank", {"tol": 1.0}), ("cond", {}), ("cond", {"p": -2}),
    ("norm", {"ord": 2, "axis": (-2, -1)}), ("norm", {"ord": -2, "axis": (-1, -2), "keepdims": True}),
    ("norm", {"ord": "nuc", "axis": (-2, -1)}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("name", "options"), SQUARE + ANY)
def test_values_are_those_of_jax(name, options, dtype) -> None:
    tolerance = 3e-4 if dtype in ("float32", "complex64") else 1e-10
    for shape in [(3, 3), (2, 4, 4)] if (name, options) in SQUARE else [(4, 2), (2, 2, 4)]:
        a = draw(*shape, dtype=dtype)
        close(getattr(fnp.linalg, name)(a, **options), getattr(jnp.linalg, name)(a, **options), tolerance)


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "eig", "eigvals", "svd", "svdvals", "pinv"])
@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (0, 2, 2), (2, 0, 0)])
def test_degenerate_shapes(name, shape) -> None:
    a = np.ones(shape)
    close(getattr(fnp.linalg, name)(a), getattr(jnp.linalg, name)(a))
    closed = ft.grad(lambda x: sum(fnp.sum(abs(y) ** 2) for y in jax.tree.leaves(getattr(fnp.linalg, name)(x))))(a)
    assert closed.shape == shape


# functions of matrices, written for both libraries: (what they are of, the function of the library and the matrix)
FUNCTIONS = {
    "eigh": lambda np_, x: np_.sum(np_.sin(np_.linalg.eigh(x)[1])) + np_.sum(np_.linalg.eigh(x)[0] ** 3),
    "eigvals": lambda np_, x: np_.sum(np_.cos(abs(np_.linalg.eigvals(x)))),
    "svd": lambda np_, x: np_.sum(np_.sin(sum(np_.sum(y**3) for y in np_.linalg.svd(x, full_matrices=False)))),
    "pinv": lambda np_, x: np_.sum(np_.sin(np_.linalg.pinv(x))),
    "nuclear": lambda np_, x: np_.linalg.norm(x, "nuc") ** 2,
    "lstsq": lambda np_, x: np_.sum(np_.sin(np_.linalg.lstsq(x, np.arange(1.0 * x.shape[0]))[0])),
    "cond": lambda np_, x: np_.linalg.cond(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 4)])
def test_derivatives_are_those_of_jax(name, shape) -> None:
    if name in ("eigh", "eigvals") and shape[0] != shape[1]:
        pytest.skip("of square matrices only")
    shape = (2, 2) if name == "eigvals" else shape
    a = np.linspace(-1, 2, shape[0] * shape[1]).reshape(shape) ** 2 + np.eye(*shape)
    ours, theirs = (lambda x, n=n: FUNCTIONS[name](n, x) for n in (fnp, jnp))
    gradient = jax.jit(jax.grad(theirs))
    close(ft.grad(ours)(a), gradient(a))
    close(ft.jacfwd(ours)(a), gradient(a))
    if name == "eigvals":  # JAX refuses its second derivative
        moved = [(ft.grad(ours)(a + 1e-6 * e) - ft.grad(ours)(a - 1e-6 * e)) / 2e-6 for e in np.eye(4).reshape(4, 2, 2)]
        np.testing.assert_allclose(ft.hessian(ours)(a).reshape(4, 2, 2), moved, atol=1e-7)
    elif shape[0] == shape[1]:
        close(ft.hessian(ours)(a), jax.jit(jax.hessian(theirs))(a), 1e-8)
    many = np.stack([a, 2 * a + 0.1])
    close(ft.vmap(ft.grad(ours))(many), jax.jit(jax.vmap(gradient))(many))


def test_eigenvectors_of_general_matrices_have_the_derivatives_of_jax() -> None:
    a = draw(3, 3)

    def f(linalg, np_):
        return lambda x: sum(np_.sum(np_.sin(y.real) + y.imag ** 3) for y in linalg.eig(x, enable_eigvec_derivs=True))

    ours, theirs = f(lax.linalg, fnp), f(jax.lax.linalg, jnp)
    close(ft.grad(ours)(a), jax.jit(jax.grad(theirs))(a), 1e-8)
    close(ft.hessian(ours)(a), jax.jit(jax.hessian(theirs))(a), 1e-6)


def differences(f, a, step=1e-5):
    """The gradient of f by central differences."""
    flat = [
        (f(a + step * e.reshape(a.shape)) - f(a - step * e.reshape(a.shape))) / (2 * step) for e in np.eye(a.size)
    ]
    return np.array(flat).reshape(a.shape)


REPEATED = [np.eye(3), turned([1.0, 1.0, 2.0]), turned([1.0, 2.0, 2.0, 2.0]), np.zeros((2, 2))]


@pytest.mark.parametrize("a", REPEATED)
def test_sums_over_repeated_eigenvalues_have_a_derivative(a) -> None:
    def ours(x):
        return fnp.sum(fnp.sin(fnp.linalg.eigh(x)[0]))

    expected = differences(lambda x: np.sum(np.sin(np.linalg.eigvalsh(hermitian(x)))), a)
    np.testing.assert_allclose(ft.grad(ours)(a), expected, atol=1e-9)
    np.testing.assert_allclose(ft.jacfwd(ours)(a), expected, atol=1e-9)
    np.testing.assert_allclose(ft.jit(ft.grad(ours))(a), expected, atol=1e-9)
    np.testing.assert_allclose(ft.hessian(lambda x: fnp.sum(fnp.linalg.eigvalsh(x)))(a), 0.0, atol=1e-12)


@pytest.mark.parametrize("first", [np.ones(2), np.arange(2.0)])
def test_a_projector_on_the_space_of_repeated_eigenvalues_has_a_derivative(first) -> None:
    if first[0] == first[1]:
        a, count = turned([1.0, 1.0, 3.0, 3.0]), 2
    else:
        a, count = turned([0.0, 1.0, 2.0, 2.0]), 2
    weights = draw(4, 4)

    def f(eigh, x):
        vectors = eigh(x)[1][:, :count]
        return (weights * (vectors @ vectors.T)).sum()

    expected = differences(lambda x: f(lambda y: np.linalg.eigh(hermitian(y)), x), a)
    np.testing.assert_allclose(ft.grad(lambda x: f(fnp.linalg.eigh, x))(a), expected, atol=1e-8)
    np.testing.assert_allclose(ft.jacfwd(lambda x: f(fnp.linalg.eigh, x))(a), expected, atol=1e-8)


def test_a_function_of_repeated_eigenvalues_and_their_vectors_is_nan_and_not_wrong() -> None:
    def square(x):  # x @ x: its derivative at 1 is not what eigenvalues and eigenvectors apart can say
        values, vectors = fnp.linalg.eigh(x)
        return ((vectors * values**2) @ vectors.T)[0, 1]

    for a in (np.eye(3), turned([1.0, 1.0, 2.0])):
        assert np.isnan(ft.grad(square)(a)).any()
        assert np.isnan(ft.jacfwd(square)(a)).any()
    a = turned([1.0, 2.0, 4.0])
    expected = differences(lambda x: (hermitian(x) @ hermitian(x))[0, 1], a)
    np.testing.assert_allclose(ft.grad(square)(a), expected, atol=1e-8)
    hessian = ft.hessian(lambda x: fnp.sum(fnp.linalg.eigvalsh(x) ** 2))(np.eye(2))
    assert np.isnan(hessian).any()  # zeros off the diagonal would be wrong: the function is the sum of squares of x


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 3)])
def test_the_polar_factor_and_the_nuclear_norm_at_repeated_singular_values(shape) -> None:
    a, weights = 2.0 * np.eye(*shape), draw(*shape)

    def ours(x):
        return fnp.sum(weights * scipy_like.polar(x)[0])

    expected = differences(lambda x: np.sum(weights * scipy.linalg.polar(x)[0]), a)
    np.testing.assert_allclose(ft.grad(ours)(a), expected, atol=1e-9)
    np.testing.assert_allclose(ft.jacfwd(ours)(a), expected, atol=1e-9)
    norm = lambda x: fnp.linalg.norm(x, "nuc")
    np.testing.assert_allclose(ft.grad(norm)(a), np.eye(*shape), atol=1e-12)
    gradient = lambda x: np.linalg.svd(x, full_matrices=False)
    moved = differences(lambda x: np.sum(weights * (gradient(x)[0] @ gradient(x)[2])), a)
    product = ft.jvp(ft.grad(norm), (a,), (weights,))[1]
    np.testing.assert_allclose(product, moved, atol=1e-8)


def test_leading_singular_vectors_of_matrices_without_full_rank() -> None:
    u, v, weights = draw(5, 2), draw(2, 4), draw(5, 5)
    a = u @ v

    def f(svd, x):
        vectors = svd(x)[0][:, :2]
        return (weights * (vectors @ vectors.T)).sum()

    expected = differences(lambda x: f(lambda y: np.linalg.svd(y, full_matrices=False), x), a)
    ours = lambda x: f(lambda y: fnp.linalg.svd(y, full_matrices=False), x)
    np.testing.assert_allclose(ft.grad(ours)(a), expected, atol=1e-7)
    values = ft.grad(lambda x: fnp.sum(fnp.linalg.svdvals(x) ** 2))(a)
    np.testing.assert_allclose(values, 2 * a, atol=1e-10)


def test_the_pseudo_inverse_of_a_matrix_of_deficient_rank_moves_along_matrices_of_that_rank() -> None:
    u, v = draw(4, 2), draw(2, 3)
    du = draw(4, 2)
    step = 1e-6
    expected = (np.linalg.pinv((u + step * du) @ v) - np.linalg.pinv((u - step * du) @ v)) / (2 * step)
    found = ft.jvp(lambda x: fnp.linalg.pinv(x @ v), (u,), (du,))[1]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_full_unitary_factors_have_derivatives() -> None:
    a, weights = draw(5, 2), draw(5, 5)

    def f(svd, x):
        rest = svd(x)[0][:, 2:]
        return (weights * (rest @ rest.T)).sum()

    expected = differences(lambda x: f(np.linalg.svd, x), a)
    np.testing.assert_allclose(ft.grad(lambda x: f(fnp.linalg.svd, x))(a), expected, atol=1e-8)
    np.testing.assert_allclose(ft.jacfwd(lambda x: f(fnp.linalg.svd, x.T.T))(a), expected, atol=1e-8)


def test_complex_matrices_have_derivatives_that_do_not_depend_on_phases() -> None:
    a, weights = draw(3, 3, dtype="complex128"), draw(3, 3)

    def of_eigh(eigh, x):
        values, vectors = eigh(x)
        return (weights @ abs(vectors) ** 2 @ values).sum()

    def of_svd(svd, x):
        u, s, vh = svd(x)
        return ((weights * abs(u) ** 2) @ s).sum() + (weights * (u @ vh).real).sum()

    for f, ours, theirs in (
        (of_eigh, fnp.linalg.eigh, lambda x: np.linalg.eigh(hermitian(x))), (of_svd, fnp.linalg.svd, np.linalg.svd),
    ):  # fmt: skip
        for part in (1.0, 1j):
            expected = differences(lambda x: f(theirs, a + part * x), np.zeros((3, 3)))  # noqa: B023
            found = ft.grad(lambda x: f(ours, a + part * x))(np.zeros((3, 3)))  # noqa: B023
            np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("name", ["hessenberg", "schur", "eigh", "svd", "polar", "sqrtm"])
def test_scipy_functions_put_the_matrix_together_again(name) -> None:
    a = draw(4, 4)
    options = {"calc_q": True} if name == "hessenberg" else {}
    found = getattr(scipy_like, name)(hermitian(a) if name == "eigh" else a, **options)
    if name == "sqrtm":
        again = found @ found
    elif name == "eigh":
        again, a = (found[1] * found[0]) @ found[1].T, hermitian(a)
    elif name == "svd":
        again = (found[0] * found[1]) @ found[2]
    elif name == "polar":
        again = found[0] @ found[1]
        assert (np.linalg.eigvalsh(found[1]) > 0).all()
    else:
        middle, q = found
        np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-12)
        assert not np.tril(middle, -2).any()
        again = q @ middle @ q.T
    np.testing.assert_allclose(again, a, atol=1e-10)


@pytest.mark.parametrize("name", ["eigh", "svd", "eig", "schur", "hessenberg", "tridiagonal"])
def test_jax_programs_with_spectra_come_over(name) -> None:
    a = draw(2, 3, 3)
    theirs = getattr(jax.lax.linalg, name)
    close(from_jax(lambda x: theirs(x))(a), theirs(a))


REFUSED = {
    "no square": (lambda: fnp.linalg.eigh(np.ones((2, 3))), ValueError, "eigh: square matrices [..., n, n] are needed"),
    "a vector": (lambda: fnp.linalg.svd(np.ones(3)), ValueError, "svd: matrices are needed, got shape (3,)"),
    "a triangle": (lambda: fnp.linalg.eigh(np.eye(2), "X"), ValueError, "UPLO must be 'L' or 'U', got 'X'"),
    "half precision": (lambda: lax.linalg.svd(np.ones((2, 2), np.float16)), TypeError, "svd: operand 0 has dtype f16"),
    "a part": (
        lambda: lax.linalg.eigh(np.eye(3), subset_by_index=(0, 1)), ValueError, "asks for a part of the 3 values",
    ),
    "two tolerances": (lambda: fnp.linalg.pinv(np.eye(2), 0.1, rcond=0.1), ValueError, "only one of rtol and rcond"),
    "an empty matrix": (lambda: fnp.linalg.cond(np.ones((0, 2))), ValueError, "matrices that are not empty"),
    "rows that do not fit": (
        lambda: fnp.linalg.lstsq(np.eye(2), np.ones(3)), ValueError, "lstsq: a has 2 rows and b 3",
    ),
    "a derivative of a Schur form": (
        lambda: ft.grad(lambda x: lax.linalg.schur(x)[0].sum())(np.eye(2)), NotImplementedError, "Schur.jvp",
    ),
    "another platform": (
        lambda: ft.jit(fnp.linalg.eig).trace(np.eye(2)).lower(lowering_platforms=("tpu",)), TypeError,
        "eig cannot be compiled for tpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
