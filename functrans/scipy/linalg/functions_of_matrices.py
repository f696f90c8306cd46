"""Functions of matrices, equations between them, and forms of them, under the names of ``jax.scipy.linalg``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.api.differentiation import jvp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.promotion import Array, ArrayLike, promote_dtypes
from functrans.scipy.linalg.equations import qr
from functrans.scipy.linalg.exponential import expm
from functrans.scipy.linalg.spectra import _adjoint as adjoint
from functrans.scipy.linalg.spectra import _matrices as matrices
from functrans.scipy.linalg.spectra import _product as product
from functrans.scipy.linalg.spectra import schur


def expm_frechet(
    A: ArrayLike, E: ArrayLike, *, method: str | None = None, compute_expm: bool = True
) -> Array | tuple[Array, Array]:
    """The exponential of matrices and its derivative in a direction, which is the tangent of ``expm``.

    Args:
      A: ``[..., n, n]``.
      E: the directions, of the shape of A.
      method, as in SciPy: has no effect.
      compute_expm: return the exponential too.

    Returns:
      exp(A) and its derivative along E, or the derivative alone.

    Raises:
      ValueError: no square matrices, or two shapes.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.expm_frechet(fnp.zeros((2, 2)), fnp.array([[0., 1.], [0., 0.]]), compute_expm=False).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    a, e = promote_dtypes("expm_frechet", fnp.asarray(A), fnp.asarray(E), inexact=True)
    a = matrices("expm_frechet", a, square=True)
    if tuple(fnp.shape(e)) != tuple(a.shape):
        raise FunctransValueError(
            f"expm_frechet: A and E must have one shape, got {tuple(a.shape)} and {tuple(fnp.shape(e))}"
        )
    value, tangent = jvp(expm, (a,), (fnp.asarray(e),))
    return (value, tangent) if compute_expm else tangent


def rsf2csf(T: ArrayLike, Z: ArrayLike, check_finite: bool = True) -> tuple[Array, Array]:
    """The complex Schur form of matrices with this real one: T upper triangular, with the same Z T Z^H.

    Args:
      T: ``[..., n, n]``, zero below blocks of two along the diagonal.
      Z: ``[..., n, n]``, unitary.
      check_finite: has no effect.

    Returns:
      T and Z, complex.

    Raises:
      ValueError: no square matrices of one order.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> t, z = linalg.rsf2csf(np.float32([[0, 1], [-1, 0]]), np.eye(2, dtype=np.float32))
    >>> np.diag(t).round(4).tolist()
    [1j, -1j]
    """
    t, z = matrices("rsf2csf", T, square=True), matrices("rsf2csf", Z, square=True)
    if t.shape[-1] != z.shape[-1]:
        raise FunctransValueError(
            f"rsf2csf: T and Z must have one order, got shapes {tuple(t.shape)} and {tuple(z.shape)}"
        )
    dtype = np.result_type(np.promote_types(t.dtype, z.dtype), np.complex64)
    t, z = fnp.astype(t, dtype), fnp.astype(z, dtype)
    return fnp.vectorize(_triangular, signature="(n,n),(n,n)->(n,n),(n,n)")(t, z)  # type: ignore[no-any-return]


def _triangular(t: Any, z: Any) -> tuple[Any, Any]:
    """Rotations of two rows and columns, from the last block to the first."""
    n = t.shape[0]
    if n < 2:
        return t, z

    def turn(k: Any, carry: Any) -> Any:
        t, z = carry
        top = n - 2 - k  # the block of rows top and top + 1
        block = lax.dynamic_slice(t, (top, top), (2, 2))
        a, b, c, d = block[0, 0], block[0, 1], block[1, 0], block[1, 1]
        half = 0.5 * (a - d)
        beyond = half + fnp.sqrt(half * half + b * c)  # an eigenvalue less d
        length = fnp.sqrt(fnp.real(beyond * fnp.conj(beyond) + c * fnp.conj(c)))
        plain = c == 0.0
        safe = fnp.astype(fnp.where(plain, 1.0, length), t.dtype)
        cosine, sine = fnp.where(plain, 1.0, beyond / safe), fnp.where(plain, 0.0, c / safe)
        rotation = fnp.stack([fnp.stack([fnp.conj(cosine), fnp.conj(sine)]), fnp.stack([-sine, cosine])])
        rows = product(rotation, lax.dynamic_slice(t, (top, 0), (2, n)))
        t = lax.dynamic_update_slice(t, rows, (top, 0))
        back = adjoint(rotation)
        t = lax.dynamic_update_slice(t, product(lax.dynamic_slice(t, (0, top), (n, 2)), back), (0, top))
        return t, lax.dynamic_update_slice(z, product(lax.dynamic_slice(z, (0, top), (n, 2)), back), (0, top))

    t, z = lax.fori_loop(0, n - 1, turn, (t, z))
    return fnp.triu(t), z


def funm(A: ArrayLike, func: Callable[[Any], Any], disp: bool = True) -> Array | tuple[Array, Array]:
    """A function of a square matrix [n, n], by its Schur form and the recurrence of Parlett (1976); complex, on CPU.

    Args:
      A: ``[n, n]``.
      func: of complex numbers, elementwise.
      disp: False: return an estimate of the relative error, too.

    Returns:
      func(A); it has no derivative. Eigenvalues that are equal or nearly so cost digits: ``expm`` and ``sqrtm`` have
      methods of their own.

    Raises:
      ValueError: no square matrix.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.funm(fnp.array([[1., 1.], [0., 2.]]), fnp.square).real.round(4).tolist()
    [[1.0, 3.0], [0.0, 4.0]]
    """
    x = matrices("funm", A, square=True)
    if x.ndim != 2:
        raise FunctransValueError(f"funm: one matrix is needed, got shape {tuple(x.shape)}; use functrans.vmap")
    t, z = schur(x, output="complex")
    n = t.shape[0]
    diagonal, places = fnp.diagonal(t), np.arange(n)
    start = fnp.diag(fnp.astype(func(diagonal), t.dtype))
    gaps = diagonal - diagonal[:, None]

    def superdiagonal(p: Any, f: Any) -> Any:
        """Those at distance p: T F - F T is 0."""
        inside = fnp.where(places[:, None] < places, 1.0, 0.0)
        beyond = product(t * inside, f * inside) - product(f * inside, t * inside)
        commuted = t * (fnp.diagonal(f) - fnp.diagonal(f)[:, None]) + beyond
        found = commuted / fnp.where(gaps == 0.0, 1.0, gaps)
        return fnp.where(places - places[:, None] == p, found, f)

    f = lax.fori_loop(1, n, superdiagonal, start)
    out = product(z, f, adjoint(z))
    if disp:
        return out
    eps = float(np.finfo(t.dtype).eps)
    least = fnp.min(fnp.where(places[:, None] < places, fnp.abs(gaps), np.inf)) if n > 1 else fnp.abs(t[0, 0])
    least = fnp.where(least == 0.0, eps, least)
    strict = fnp.max(fnp.sum(fnp.abs(fnp.triu(t, 1)), 0)) if n > 1 else fnp.zeros((), least.dtype)
    error = fnp.minimum(1.0, fnp.maximum(eps, eps / least * strict))
    return out, fnp.where(fnp.all(fnp.isfinite(out)), error, np.inf)


def solve_sylvester(
    A: ArrayLike, B: ArrayLike, C: ArrayLike, *, method: str = "schur", tol: float = 1e-8
) -> Array:
    """The solutions X of A X + X B = C, on CPU; differentiable by all three, to any order.

    Args:
      A: ``[..., m, m]``.
      B: ``[..., n, n]``.
      C: ``[..., m, n]``.
      method: 'schur' (Bartels and Stewart 1972), or 'eigen' by eigenvectors.
      tol: NaN where a sum of an eigenvalue of A and one of B is smaller: there is no solution, or more than one.

    Raises:
      ValueError: another method, or shapes that do not fit.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.solve_sylvester(fnp.array([[1.]]), fnp.array([[3.]]), fnp.array([[8.]])).round(4).tolist()
    [[2.0]]
    """
    if method not in ("schur", "eigen"):
        raise FunctransValueError(f"solve_sylvester: method must be 'schur' or 'eigen', got {method!r}")
    a, b, c = (
        fnp.asarray(x)
        for x in promote_dtypes("solve_sylvester", *[fnp.asarray(x) for x in (A, B, C)], inexact=True)
    )
    a, b, c = matrices("solve_sylvester", a, True), matrices("solve_sylvester", b, True), matrices("solve_sylvester", c)
    if c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise FunctransValueError(
            f"solve_sylvester: for A [m, m] and B [n, n] C must be [m, n], got shapes {tuple(a.shape)}, "
            f"{tuple(b.shape)} and {tuple(c.shape)}"
        )
    if 0 in c.shape:
        return c

    def one(a: Any, b: Any, c: Any) -> Any:
        def solve(_: Any, right: Any) -> Any:
            return _by_schur(a, b, right, tol) if method == "schur" else _by_eigenvectors(a, b, right, tol)

        def transposed(_: Any, right: Any) -> Any:
            a_t, b_t = fnp.matrix_transpose(a), fnp.matrix_transpose(b)
            return _by_schur(a_t, b_t, right, tol) if method == "schur" else _by_eigenvectors(a_t, b_t, right, tol)

        return lax.custom_linear_solve(lambda x: product(a, x) + product(x, b), c, solve, transposed)

    return fnp.vectorize(one, signature="(m,m),(n,n),(m,n)->(m,n)")(a, b, c)


def _like(x: Any, real: bool) -> Any:
    return fnp.real(x) if real else x


def _by_schur(a: Any, b: Any, c: Any, tol: float) -> Any:
    """R Y + Y S = F with triangular R and S, a column of Y at a time."""
    (r, u), (s, v) = schur(a, output="complex"), schur(b, output="complex")
    f = product(adjoint(u), fnp.astype(c, r.dtype), v)
    sums = fnp.diagonal(r)[:, None] + fnp.diagonal(s)[None, :]
    singular = fnp.min(fnp.abs(sums)) < tol
    unit = fnp.eye(a.shape[0], dtype=r.dtype)

    def column(j: Any, y: Any) -> Any:
        right = f[:, j] - product(y, s)[:, j]  # the columns from j on are still 0
        shifted = fnp.where(singular, unit, r + s[j, j] * unit)
        solved = lax.linalg.triangular_solve(shifted, right[:, None], left_side=True)[:, 0]
        return y.at[:, j].set(solved)

    y = lax.fori_loop(0, b.shape[0], column, fnp.zeros_like(f))
    x = _like(product(u, y, adjoint(v)), c.dtype.kind != "c")
    return fnp.where(singular, np.nan, x)


def _by_eigenvectors(a: Any, b: Any, c: Any, tol: float) -> Any:
    (r, u), (s, v) = fnp.linalg.eig(a), fnp.linalg.eig(b)
    sums = r[:, None] + s[None, :]
    f = product(fnp.linalg.solve(u, fnp.astype(c, u.dtype)), v)
    singular = fnp.min(fnp.abs(sums)) < tol
    y = product(u, f / fnp.where(singular, 1.0, sums))
    x = fnp.matrix_transpose(fnp.linalg.solve(fnp.matrix_transpose(v), fnp.matrix_transpose(y)))
    return fnp.where(singular, np.nan, _like(x, c.dtype.kind != "c"))


def qr_multiply(
    a: ArrayLike, c: ArrayLike, mode: str = "right", pivoting: bool = False, conjugate: bool = False,
    overwrite_a: bool = False, overwrite_c: bool = False,
) -> Any:  # fmt: skip
    """The product of Q (of Q R = a, with k = min(m, n) columns) and a matrix, and R.

    Args:
      a: ``[..., m, n]``.
      c: ``[..., k, p]`` for mode 'left', ``[..., p, m]`` for 'right', or a vector: one column, or one row.
      mode: 'left': Q c; 'right': c Q.
      pivoting: also return the order of columns, as ``qr`` does.
      conjugate: conj(Q) in the place of Q.
      overwrite_a, overwrite_c: have no effect.

    Returns:
      the product, R ``[..., k, n]``, and the order if ``pivoting``.

    Raises:
      ValueError: another mode, or shapes that do not fit.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> product, r = linalg.qr_multiply(fnp.eye(2), fnp.array([1., 2.]))
    >>> fnp.abs(product).tolist()
    [1.0, 2.0]
    """
    if mode not in ("right", "left"):
        raise FunctransValueError(f"qr_multiply: mode must be 'right' or 'left', got {mode!r}")
    first, second = (
        fnp.asarray(x) for x in promote_dtypes("qr_multiply", fnp.asarray(a), fnp.asarray(c), inexact=True)
    )
    x = matrices("qr_multiply", first)
    if not second.ndim:
        raise FunctransTypeError("qr_multiply: c must be a vector or a matrix, got a number")
    vector = second.ndim == 1
    if vector:
        second = second[:, None] if mode == "left" else second[None, :]
    m, k = x.shape[-2], min(x.shape[-2:])
    if second.shape[-2 if mode == "left" else -1] != (k if mode == "left" else m):
        raise FunctransValueError(
            f"qr_multiply: for a of shape {tuple(x.shape)} and mode {mode!r} c must have "
            f"{f'{k} rows' if mode == 'left' else f'{m} columns'}, got shape {tuple(fnp.shape(c))}"
        )
    q, *rest = qr(x, mode="economic", pivoting=pivoting)
    q = fnp.conj(q) if conjugate else q
    out = product(q, second) if mode == "left" else product(second, q)
    return fnp.reshape(out, (-1,)) if vector and out.ndim == 2 else out, *rest


def eigh_tridiagonal(
    d: ArrayLike, e: ArrayLike, *, eigvals_only: bool = False, select: str = "a", select_range: Any = None,
    tol: float | None = None, key: Any = None,
) -> Any:  # fmt: skip
    """Eigenvalues in ascending order, and eigenvectors, of a Hermitian tridiagonal matrix; differentiable.

    Args:
      d: the diagonal ``[n]``, whose real part is read.
      e: above the diagonal ``[n - 1]``, its conjugate below, as in JAX.
      eigvals_only: return the eigenvalues alone.
      select: 'a': all; 'i': those of numbers ``select_range[0]`` to ``select_range[1]``.
      select_range: two integers, for select 'i'.
      tol, key: as in JAX: have no effect. The matrix is decomposed whole, in O(n^3).

    Returns:
      eigenvalues ``[k]``, and eigenvectors ``[n, k]``.

    Raises:
      ValueError: shapes that do not fit, another select, or no range for it. NotImplementedError: select 'v', whose
        results have a number that depends on values.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.eigh_tridiagonal(fnp.array([2., 2.]), fnp.array([1.]), eigvals_only=True).round(4).tolist()
    [1.0, 3.0]
    """
    if select == "v":
        raise NotImplementedError("eigh_tridiagonal: select='v' is not supported: how many there are is not known")
    if select not in ("a", "i"):
        raise FunctransValueError(f"eigh_tridiagonal: select must be 'a', 'i' or 'v', got {select!r}")
    diagonal, above = (
        fnp.asarray(x) for x in promote_dtypes("eigh_tridiagonal", fnp.asarray(d), fnp.asarray(e), inexact=True)
    )
    if diagonal.ndim != 1 or above.shape != (max(diagonal.shape[0] - 1, 0),):
        raise FunctransValueError(
            f"eigh_tridiagonal: d must be [n] and e [n - 1], got shapes {tuple(diagonal.shape)} and "
            f"{tuple(above.shape)}"
        )
    n, first, last = diagonal.shape[0], 0, diagonal.shape[0] - 1
    if select == "i":
        if select_range is None or select_range[0] > select_range[1]:
            raise FunctransValueError(
                f"eigh_tridiagonal: select='i' needs a select_range of two numbers in order, got {select_range!r}"
            )
        first, last = int(select_range[0]), min(int(select_range[1]), n - 1)
    whole = fnp.diag(fnp.astype(fnp.real(diagonal), above.dtype)) + fnp.diag(fnp.conj(above), -1) + fnp.diag(above, 1)
    vectors, values = lax.linalg.eigh(whole, symmetrize_input=False)
    values, vectors = values[first : last + 1], vectors[:, first : last + 1]
    return values if eigvals_only else (values, vectors)


__all__ = [
    "eigh_tridiagonal", "expm_frechet", "funm", "qr_multiply", "rsf2csf", "solve_sylvester",
]  # fmt: skip
