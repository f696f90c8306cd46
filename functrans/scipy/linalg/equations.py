"""Factorisations and the equations they solve, with the conventions of ``jax.scipy.linalg``.

``overwrite_a`` and its kin, ``check_finite`` and ``lwork`` are accepted and change nothing.
"""

from __future__ import annotations

from typing import Any

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.numpy import equations, factorised
from functrans.numpy.equations import matrices
from functrans.numpy.families import one_program
from functrans.numpy.promotion import Array, ArrayLike, broadcast, common_shape
from functrans.ops import matrices as parts
from functrans.ops.elementwise import real_dtype
from functrans.ops.factorisations import lu_solve as lu_solve_by_factors
from functrans.ops.permutations import inverse_permutation, permute_rows


@one_program("lower", "overwrite_a", "check_finite")
def cholesky(a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The triangular factor of Hermitian positive definite matrices: U with U^H U = A, if ``lower`` L with L L^H = A.

    The triangle that it is named after is read. NaN for a matrix that is not positive definite.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.cholesky(fnp.array([[4., 2.], [2., 10.]])).tolist()
    [[2.0, 1.0], [0.0, 3.0]]
    """
    (x,) = matrices("cholesky", a, square=True)
    factor = lax.linalg.cholesky(x if lower else parts.adjoint(x), symmetrize_input=False)
    return factor if lower else parts.adjoint(factor)


def cho_factor(
    a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, bool]:
    """What ``cho_solve`` takes: the factor of ``cholesky`` and whether it is lower triangular.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> factor = linalg.cho_factor(fnp.array([[4., 0.], [0., 9.]]))
    >>> linalg.cho_solve(factor, fnp.array([4., 18.])).tolist()
    [1.0, 2.0]
    """
    return cholesky(a, lower=lower), lower


def cho_solve(
    c_and_lower: tuple[ArrayLike, bool], b: ArrayLike, overwrite_b: bool = False, check_finite: bool = True
) -> Array:
    """The solutions of A X = B by what ``cho_factor`` gave for A; b is ``[..., n]`` or ``[..., n, k]``."""
    c, lower = c_and_lower
    return _cho_solve(c, b, bool(lower))


@one_program("lower")
def _cho_solve(c: ArrayLike, b: ArrayLike, lower: bool) -> Array:
    factor, right, vector = _system("cho_solve", c, b)
    out = factorised.by_cholesky(factor, right, lower)
    return _like(out, vector)


def _system(operation: str, a: ArrayLike, b: ArrayLike) -> tuple[Any, Any, bool]:
    """Square matrices and right-hand sides of one batch, and whether these were vectors: one axis less."""
    x, y = matrices(operation, a, b, square=True)
    shape, given = type_of(x).shape, type_of(y).shape
    vector = len(given) == 1 or (len(given) == len(shape) - 1 and given[-1] == shape[-1])
    if not given or given[-1 if vector else -2] != shape[-1]:
        raise FunctransValueError(
            f"{operation}: a matrix of shape {shape} needs a right-hand side of {shape[-1]} rows, got shape {given}"
        )
    y = lax.reshape(y, (*given, 1)) if vector else y
    batch = common_shape(operation, shape[:-2], type_of(y).shape[:-2])
    return broadcast(x, (*batch, *shape[-2:])), broadcast(y, (*batch, *type_of(y).shape[-2:])), vector


def _like(x: Any, vector: bool) -> Any:
    return lax.reshape(x, x.shape[:-1]) if vector else x


@one_program("lower", "overwrite_a", "overwrite_b", "debug", "check_finite", "assume_a")
def solve(
    a: ArrayLike, b: ArrayLike, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    debug: bool = False, check_finite: bool = True, assume_a: str = "gen",
) -> Array:  # fmt: skip
    """The solutions of A X = B.

    Args:
      a: ``[..., n, n]``.
      b: ``[..., n]`` or ``[..., n, k]``.
      lower: with ``assume_a`` 'pos', read the lower triangle of A instead of the upper (derivatives are of all of A).
      assume_a: 'gen', or 'pos' for Hermitian positive definite matrices (by Cholesky); 'sym', 'her' are as 'gen'.

    Raises:
      ValueError: another ``assume_a``, or shapes that do not fit.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.solve(fnp.array([[4., 0.], [0., 16.]]), fnp.array([4., 32.]), assume_a='pos').tolist()
    [1.0, 2.0]
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise FunctransValueError(f"solve: assume_a must be 'gen', 'sym', 'her' or 'pos', got {assume_a!r}")
    x, right, vector = _system("solve", a, b)
    triangle = "lower" if lower else "upper"
    return _like(factorised.solve(x, right, triangle if assume_a == "pos" else ""), vector)


@one_program("trans", "lower", "unit_diagonal", "overwrite_b", "debug", "check_finite")
def solve_triangular(
    a: ArrayLike, b: ArrayLike, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, debug: Any = None, check_finite: bool = True,
) -> Array:  # fmt: skip
    """The solutions of op(A) X = B for a triangle A.

    Args:
      a: ``[..., n, n]``: the upper triangle is read, or the lower one.
      b: ``[..., n]`` or ``[..., n, k]``.
      trans: op: 0 or 'N' A itself, 1 or 'T' transposed, 2 or 'C' conjugate transposed.
      unit_diagonal: the diagonal is taken for ones.

    Raises:
      ValueError: another ``trans``, or shapes that do not fit.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.solve_triangular(fnp.array([[2., 0.], [1., 1.]]), fnp.array([2., 3.]), lower=True).tolist()
    [1.0, 2.0]
    """
    transposed = _transposition("solve_triangular", trans)
    x, right, vector = _system("solve_triangular", a, b)
    out = lax.linalg.triangular_solve(
        x, right, left_side=True, lower=lower, transpose_a=transposed != "N", conjugate_a=transposed == "C",
        unit_diagonal=unit_diagonal,
    )  # fmt: skip
    return _like(out, vector)


def _transposition(operation: str, trans: int | str) -> str:
    found = {0: "N", 1: "T", 2: "C", "N": "N", "T": "T", "C": "C"}.get(trans)
    if found is None:
        raise FunctransValueError(f"{operation}: trans must be 0 ('N'), 1 ('T') or 2 ('C'), got {trans!r}")
    return found


def inv(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The inverses of square matrices ``[..., n, n]``."""
    return equations.inv(a)


def det(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The determinants of square matrices: ``[..., n, n]`` -> ``[...]``."""
    return equations.det(a)


@one_program("overwrite_a", "check_finite")
def lu_factor(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Array, Array]:
    """LU factors in one array ``[..., m, n]``, and the row each row changed places with, int32.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> packed, pivots = linalg.lu_factor(fnp.array([[1., 3.], [2., 4.]]))
    >>> packed.tolist(), pivots.tolist()
    ([[2.0, 4.0], [0.5, 1.0]], [1, 1])
    """
    (x,) = matrices("lu_factor", a)
    packed, pivots, _ = lax.linalg.lu(x)
    return packed, pivots


def lu_solve(
    lu_and_piv: tuple[ArrayLike, ArrayLike], b: ArrayLike, trans: int = 0, overwrite_b: bool = False,
    check_finite: bool = True,
) -> Array:  # fmt: skip
    """The solutions of op(A) X = B by what ``lu_factor`` gave for A; op as in ``solve_triangular``.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> factors = linalg.lu_factor(fnp.array([[0., 2.], [4., 0.]]))
    >>> linalg.lu_solve(factors, fnp.array([2., 8.])).tolist()
    [2.0, 1.0]
    """
    packed, pivots = lu_and_piv
    return _lu_solve(packed, pivots, b, _transposition("lu_solve", trans))


@one_program("op")
def _lu_solve(packed: Any, pivots: Any, b: Any, op: str) -> Any:
    n = type_of(packed).shape[-1]
    x, right, vector = _system("lu_solve", packed, b)
    order = lax.linalg.lu_pivots_to_permutation(pivots, n)
    return _like(lu_solve_by_factors(x, broadcast(order, (*x.shape[:-2], n)), right, op), vector)


@one_program("permute_l", "overwrite_a", "check_finite")
def lu(
    a: ArrayLike, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, Array] | tuple[Array, Array, Array]:
    """P, L, U with P L U = A, or P L and U if ``permute_l``; k = min(m, n) columns of L, rows of U.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> P, L, U = linalg.lu(fnp.array([[1., 3.], [2., 4.]]))
    >>> (P @ L @ U).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    (x,) = matrices("lu", a)
    packed, _, order = lax.linalg.lu(x)
    m, n = packed.shape[-2:]
    k, rank = min(m, n), packed.ndim
    inside = parts.tril(lax.slice_in_dim(packed, 0, k, axis=rank - 1), -1)
    rows, columns = (lax.broadcasted_iota(parts.INT32, inside.shape, axis) for axis in (rank - 2, rank - 1))
    lower = lax.select(lax.eq(rows, columns), 1.0, inside)
    upper = parts.triu(lax.slice_in_dim(packed, 0, k, axis=rank - 2))
    back = inverse_permutation(order)
    if permute_l:
        return permute_rows(lower, back), upper
    wide = (*packed.shape[:-1], m)
    numbers = lax.broadcasted_iota(parts.INT32, wide, rank - 1)
    unit = lax.eq(lax.broadcast_in_dim(back, wide, tuple(range(rank - 1))), numbers)
    return lax.convert_element_type(unit, real_dtype(packed.dtype)), lower, upper


@one_program("overwrite_a", "lwork", "mode", "pivoting", "check_finite")
def qr(
    a: ArrayLike, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
    check_finite: bool = True,
) -> Any:  # fmt: skip
    """Q with orthonormal columns and R upper triangular with Q R = A.

    Args:
      a: ``[..., m, n]``.
      mode: 'full': Q ``[..., m, m]``; 'economic': ``[..., m, min(m, n)]``; 'r': R (of the full one) alone.
      pivoting: also return the order p of columns, with Q R = A[:, p] and a falling diagonal of R.

    Raises:
      ValueError: another mode.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> Q, R, p = linalg.qr(fnp.array([[1., 3.], [2., 4.]]), pivoting=True)
    >>> p.tolist()
    [1, 0]
    """
    if mode not in ("full", "economic", "r"):
        raise FunctransValueError(f"qr: mode must be 'full', 'economic' or 'r', got {mode!r}")
    if not isinstance(pivoting, bool):
        raise FunctransTypeError(f"qr: pivoting must be True or False, got {pivoting!r}")
    (x,) = matrices("qr", a)
    q, *rest = lax.linalg.qr(x, pivoting=pivoting, full_matrices=mode != "economic")
    return tuple(rest) if mode == "r" else (q, *rest)
