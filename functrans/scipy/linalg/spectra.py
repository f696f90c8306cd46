"""Spectra of matrices, and what is made of them, under the names of ``jax.scipy.linalg``."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransValueError
from functrans.numpy.promotion import promote_dtypes, strengthened
from functrans.trace.frames import here

Array = Any
ArrayLike = Any


def _matrices(operation: str, a: ArrayLike, square: bool = False) -> Any:
    (x,) = promote_dtypes(operation, fnp.asarray(a), inexact=True)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise FunctransValueError(f"{operation}: {kind} are needed, got shape {tuple(x.shape)} at {here()}")
    return x


def _product(*factors: Any) -> Any:
    first, *rest = factors
    for x in rest:
        first = fnp.matmul(first, x, precision="highest")
    return first


def _adjoint(x: Any) -> Any:
    return fnp.conj(fnp.matrix_transpose(x))


def eigh(
    a: ArrayLike, b: ArrayLike | None = None, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
    overwrite_b: bool = False, turbo: bool = True, eigvals: None = None, type: int = 1, check_finite: bool = True,
) -> Any:  # fmt: skip
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices given by one triangle.

    Args:
      a: ``[..., n, n]``.
      b, eigvals, type: not supported, as in JAX: None, None and 1.
      lower: which triangle is read.
      eigvals_only: return the eigenvalues alone.
      overwrite_a, overwrite_b, turbo, check_finite: have no effect.

    Returns:
      eigenvalues ``[..., n]``, eigenvectors ``[..., n, n]``.

    Raises:
      NotImplementedError: b, eigvals or type. ValueError: no square matrices.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> linalg.eigh(np.float32([[2, 0], [0, 1]]), eigvals_only=True).tolist()
    [1.0, 2.0]
    """
    if b is not None or eigvals is not None or type != 1:
        raise NotImplementedError(
            f"eigh: b, eigvals and type are not supported, got b={b}, eigvals={eigvals}, type={type}"
        )
    x = _matrices("eigh", a, square=True)
    vectors, values = lax.linalg.eigh(x, lower=lower, symmetrize_input=False)
    return values if eigvals_only else (values, vectors)


def svd(
    a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
    check_finite: bool = True, lapack_driver: str = "gesdd",
) -> Any:  # fmt: skip
    """Singular values and vectors, as ``numpy.linalg.svd``; the last three arguments have no effect.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> linalg.svd(np.float32([[0, 2], [1, 0]]), compute_uv=False).tolist()
    [2.0, 1.0]
    """
    found = lax.linalg.svd(_matrices("svd", a), full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(found) if compute_uv else found


def schur(a: ArrayLike, output: str = "real") -> tuple[Array, Array]:
    """The Schur form, on CPU: a = Z T Z^H.

    Args:
      a: ``[..., n, n]``.
      output: 'real', or 'complex' for a T that is upper triangular for real matrices too.

    Returns:
      T and Z ``[..., n, n]``; they have no derivative.

    Raises:
      ValueError: no square matrices, or another output.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> linalg.schur(np.float32([[2, 1], [0, 3]]))[0].tolist()
    [[2.0, 1.0], [0.0, 3.0]]
    """
    if output not in ("real", "complex"):
        raise FunctransValueError(f"schur: output must be 'real' or 'complex', got {output!r}")
    x = _matrices("schur", a, square=True)
    if output == "complex" and x.dtype.kind != "c":
        x = lax.convert_element_type(x, np.result_type(x.dtype, np.complex64))
    t, z = map(strengthened, lax.linalg.schur(x))
    return t, z


def hessenberg(a: ArrayLike, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The Hessenberg form, on CPU: a = Q H Q^H with zeros below the first subdiagonal of H.

    Args:
      a: ``[..., n, n]``.
      calc_q: also return Q.
      overwrite_a, check_finite: have no effect.

    Raises:
      ValueError: no square matrices.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> linalg.hessenberg(np.eye(2, dtype=np.float32)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    x = _matrices("hessenberg", a, square=True)
    n = x.shape[-1]
    if not n:
        return (x, x) if calc_q else x
    packed, taus = lax.linalg.hessenberg(x)
    h = fnp.triu(packed, -1)
    if not calc_q:
        return h
    inner = lax.linalg.householder_product(packed[..., 1:, :-1], taus)
    edges = [(0, 0, 0)] * (x.ndim - 2) + [(1, 0, 0), (1, 0, 0)]
    q = lax.pad(inner, inner.dtype.type(0), edges)
    corner = lax.pad(fnp.ones((1, 1), x.dtype), x.dtype.type(0), [(0, n - 1, 0), (0, n - 1, 0)])
    return h, fnp.add(q, corner)


def polar(
    a: ArrayLike, side: str = "right", *, method: str = "qdwh", eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The polar decomposition a = U P (side 'right') or P U ('left'), U with orthonormal columns or rows.

    Args:
      a: ``[..., m, n]``.
      side: where P stands.
      method: 'qdwh' or 'svd': singular values compute both, and give derivatives where they are repeated, too.
      eps, max_iterations: have no effect.

    Returns:
      U ``[..., m, n]`` and P ``[..., n, n]`` or ``[..., m, m]``, Hermitian and positive semidefinite.

    Raises:
      ValueError: no matrices, another side or another method.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> np.abs(linalg.polar(np.float32([[0, 2], [1, 0]]))[0]).round(4).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if side not in ("right", "left"):
        raise FunctransValueError(f"polar: side must be 'right' or 'left', got {side!r}")
    if method not in ("qdwh", "svd"):
        raise FunctransValueError(f"polar: method must be 'qdwh' or 'svd', got {method!r}")
    x = _matrices("polar", a)
    u, _, vh = lax.linalg.svd(x, full_matrices=False)
    unitary = _product(u, vh)
    # U^H a, and not V s V^H: a derivative through vectors and values together is NaN where values are repeated
    other = _product(_adjoint(unitary), x) if side == "right" else _product(x, _adjoint(unitary))
    return unitary, fnp.multiply(fnp.add(other, _adjoint(other)), 0.5)


def sqrtm(A: ArrayLike, blocksize: int = 1) -> Array:
    """The principal square root of a square matrix ``[n, n]``, complex, on CPU; it has no derivative.

    By the Schur form (Björck and Hammarling 1983), a column of the triangular root at a time.

    Raises:
      ValueError: no square matrix. NotImplementedError: a blocksize other than 1, as in JAX.

    >>> import numpy as np
    >>> from functrans.scipy import linalg
    >>> linalg.sqrtm(np.float32([[4, 0], [0, 9]])).real.tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    if blocksize > 1:
        raise NotImplementedError(f"sqrtm: blocksize={blocksize} is not supported; it must be 1")
    x = _matrices("sqrtm", A, square=True)
    if x.ndim != 2:
        raise FunctransValueError(f"sqrtm: one matrix is needed, got shape {tuple(x.shape)}; use functrans.vmap")
    t, z = schur(x, output="complex")
    roots = fnp.sqrt(fnp.diagonal(t))
    places = fnp.arange(t.shape[0])

    def column(j: Any, found: Any) -> Any:
        before = places < j
        block = fnp.where(before[:, None] & before[None, :], found, 0.0) + fnp.diag(fnp.where(before, roots[j], 1.0))
        known = fnp.where(before, t[:, j], 0.0)
        # where U_ii + U_jj is 0 the root, if there is one, is not unique: take the one with a zero there
        solved = lax.linalg.triangular_solve(block, known[:, None], left_side=True)[:, 0]
        solved = fnp.where(before & fnp.any(known != 0.0), solved, 0.0)
        return found.at[:, j].set(fnp.where(places == j, roots[j], solved))

    root = lax.fori_loop(0, t.shape[0], column, fnp.zeros_like(t))
    return _product(z, root, _adjoint(z))


__all__ = ["eigh", "hessenberg", "polar", "schur", "sqrtm", "svd"]
