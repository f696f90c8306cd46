"""Systems of linear equations, determinants and direct factorisations, as ``jax.numpy.linalg`` has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.numpy import factorised
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_operand,
    broadcast,
    common_shape,
    promote_dtypes,
    strengthened,
)
from functrans.ops.elementwise import real_dtype
from functrans.ops.matrices import adjoint
from functrans.ops.orthogonal import geqrf
from functrans.trace.binding import bind

__all__ = ["cholesky", "det", "inv", "qr", "slogdet", "solve", "tensorinv", "tensorsolve"]


class QRResult(NamedTuple):
    """Q with orthonormal columns and R upper triangular."""

    Q: Array
    R: Array


class SlogdetResult(NamedTuple):
    """The sign of a determinant (of modulus 1 for complex matrices) and the logarithm of its modulus."""

    sign: Array
    logabsdet: Array


def matrices(operation: str, *operands: ArrayLike, square: bool = False) -> list[Any]:
    """The operands as arrays of one floating or complex dtype; the first must hold matrices.

    float16 and bfloat16 are refused by the kernels, with their names.
    """
    found = promote_dtypes(operation, *[asarray(as_operand(operation, x)) for x in operands], inexact=True)
    shape = type_of(found[0]).shape
    if len(shape) < 2 or (square and shape[-1] != shape[-2]):
        kind = "square matrices [..., n, n]" if square else "matrices [..., m, n]"
        raise FunctransValueError(f"{operation}: {kind} are needed, got shape {shape}")
    return found


@one_program("upper", "symmetrize_input")
def cholesky(a: ArrayLike, *, upper: bool = False, symmetrize_input: bool = True) -> Array:
    """The triangular factors of Hermitian positive definite matrices.

    Args:
      a: ``[..., n, n]``.
      upper: return U with U^H U = A instead of L with L L^H = A.
      symmetrize_input: factorise (A + A^H) / 2. If False the lower triangle alone (the upper, with ``upper``) is read,
        and has a derivative.

    Returns:
      ``[..., n, n]``; NaN for a matrix that is not positive definite.

    Raises:
      ValueError: matrices that are not square. TypeError: a dtype other than float32, float64, complex64, complex128.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.cholesky(fnp.array([[4., 2.], [2., 10.]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    (x,) = matrices("cholesky", a, square=True)
    factor = lax.linalg.cholesky(adjoint(x) if upper else x, symmetrize_input=bool(symmetrize_input))
    return adjoint(factor) if upper else factor


@one_program()
def solve(a: ArrayLike, b: ArrayLike) -> Array:
    """The solutions X of A X = B.

    Derivatives are those of the equation; one LU factorisation serves the value and derivatives of every order.

    Args:
      a: ``[..., n, n]``.
      b: one vector ``[n]``, or ``[..., n, k]``; leading axes broadcast.

    Returns:
      ``[..., n]`` for a vector, else ``[..., n, k]``. A singular matrix gives infinities or NaN.

    Raises:
      ValueError: shapes that do not fit. TypeError: a dtype other than float32, float64, complex64, complex128.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.solve(fnp.array([[2., 0.], [0., 4.]]), fnp.array([2., 8.])).tolist()
    [1.0, 2.0]
    """
    x, y = matrices("solve", a, b, square=True)
    shape, given = type_of(x).shape, type_of(y).shape
    vector = len(given) == 1
    if not given or given[0 if vector else -2] != shape[-1]:
        raise FunctransValueError(
            f"solve: A of shape {shape} needs a right-hand side [n] or [..., n, k], got shape {given}"
        )
    y = lax.reshape(y, (*given, 1)) if vector else y
    if len(shape) > 2:
        batch = common_shape("solve", shape[:-2], type_of(y).shape[:-2])
        x, y = broadcast(x, (*batch, *shape[-2:])), broadcast(y, (*batch, *type_of(y).shape[-2:]))
    out = factorised.solve(x, y)
    return lax.reshape(out, out.shape[:-1]) if vector else out


@one_program()
def inv(a: ArrayLike) -> Array:
    """The inverses of square matrices ``[..., n, n]``; a singular matrix gives infinities or NaN.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.inv(fnp.array([[2., 0.], [0., 4.]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    (x,) = matrices("inv", a, square=True)
    packed, _, order = factorised.factors(x)
    return bind(factorised.INVERSE, x, packed, order)


@one_program()
def det(a: ArrayLike) -> Array:
    """The determinants of square matrices: ``[..., n, n]`` -> ``[...]``.

    The first and second derivatives are finite and right for singular matrices too (the second: of rank n - 1 or n).

    >>> import functrans.numpy as fnp
    >>> float(fnp.linalg.det(fnp.array([[1., 2.], [3., 4.]])))
    -2.0
    """
    (x,) = matrices("det", a, square=True)
    n = type_of(x).shape[-1]
    if n == 0:
        return lax.full(type_of(x).shape[:-2], 1, x.dtype)
    if n <= 3:
        return _polynomial(x, tuple(range(n)))
    packed, pivots, _ = factorised.factors(x)
    return bind(factorised.DETERMINANT, x, packed, pivots)


def _polynomial(x: Any, columns: tuple[int, ...]) -> Any:
    """The determinant of the last rows in these columns, along the first of these rows."""
    n = x.shape[-1]
    row = n - len(columns)
    total: Any = None
    for i, column in enumerate(columns):
        low, high = [0] * x.ndim, list(x.shape)
        low[-2:], high[-2:] = [row, column], [row + 1, column + 1]
        term = lax.reshape(lax.slice(x, low, high), x.shape[:-2])
        rest = columns[:i] + columns[i + 1 :]
        term = lax.mul(term, _polynomial(x, rest)) if rest else term
        total = term if total is None else lax.sub(total, term) if i % 2 else lax.add(total, term)
    return total


@one_program("method")
def slogdet(a: ArrayLike, *, method: str | None = None) -> SlogdetResult:
    """The signs of determinants and the logarithms of their moduli: ``[..., n, n]`` -> ``[...]`` each.

    A singular matrix has sign 0 and logarithm -inf. ``method``: None or 'lu'.

    >>> import functrans.numpy as fnp
    >>> sign, logabsdet = fnp.linalg.slogdet(fnp.array([[1., 0.], [0., -2.]]))
    >>> float(sign), round(float(logabsdet), 4)
    (-1.0, 0.6931)
    """
    if method not in (None, "lu", "qr"):
        raise FunctransValueError(f"slogdet: method must be None, 'lu' or 'qr', got {method!r}")
    (x,) = matrices("slogdet", a, square=True)
    shape, part = type_of(x).shape, real_dtype(x.dtype)
    if shape[-1] == 0:
        return SlogdetResult(lax.full(shape[:-2], 1, x.dtype), lax.full(shape[:-2], 0, part))
    packed, pivots, order = factorised.factors(x)
    sign = bind(factorised.SIGN_OF_DETERMINANT, x, packed, order, pivots)
    return SlogdetResult(strengthened(sign), strengthened(bind(factorised.LOG_DETERMINANT, x, packed, order)))


@one_program("mode")
def qr(a: ArrayLike, mode: str = "reduced") -> Any:
    """QR factorisations: Q with orthonormal columns, R upper triangular, Q R = A.

    Args:
      a: ``[..., m, n]``.
      mode: 'reduced': Q ``[..., m, k]`` and R ``[..., k, n]``, k = min(m, n); 'complete': Q ``[..., m, m]`` and R
        ``[..., m, n]``; 'r': R of the reduced one alone; 'raw': Householder vectors ``[..., n, m]`` and their factors.

    Raises:
      ValueError: another mode, or an operand of less than two axes. TypeError: a dtype other than float32, float64,
        complex64, complex128.

    >>> import functrans.numpy as fnp
    >>> Q, R = fnp.linalg.qr(fnp.array([[3., 1.], [4., 2.]]))
    >>> bool(fnp.allclose(Q @ R, fnp.array([[3., 1.], [4., 2.]]), atol=1e-6))
    True
    """
    (x,) = matrices("qr", a)
    if mode == "raw":
        packed, taus = geqrf(x)
        axes = tuple(range(packed.ndim))
        return QRResult(lax.transpose(packed, (*axes[:-2], axes[-1], axes[-2])), taus)
    if mode not in ("reduced", "r", "full", "complete"):
        raise FunctransValueError(f"qr: mode must be 'reduced', 'complete', 'r' or 'raw', got {mode!r}")
    q, r, *_ = lax.linalg.qr(x, full_matrices=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


@one_program("ind")
def tensorinv(a: ArrayLike, ind: int = 2) -> Array:
    """The inverse of an array as a linear map from its last axes to its first ``ind`` ones.

    Raises ValueError unless ``ind`` is positive and both groups of axes have the same number of elements.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.tensorinv(fnp.eye(4).reshape(2, 2, 4)).shape
    (4, 2, 2)
    """
    if ind <= 0:
        raise FunctransValueError(f"tensorinv: ind must be a positive number of axes, got {ind}")
    (x,) = promote_dtypes("tensorinv", asarray(as_operand("tensorinv", a)), inexact=True)
    shape = type_of(x).shape
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if rows != columns:
        raise FunctransValueError(
            f"tensorinv: the first {ind} axes of shape {shape} have {rows} elements and the others {columns}; they "
            "must be equally many"
        )
    return lax.reshape(inv(lax.reshape(x, (rows, columns))), (*shape[ind:], *shape[:ind]))


@one_program("axes")
def tensorsolve(a: ArrayLike, b: ArrayLike, axes: Sequence[int] | None = None) -> Array:
    """x with tensordot(a, x, x.ndim) = b.

    Args:
      a: its first axes are those of ``b``, its last ones those of x, equally many elements.
      b: an array.
      axes: axes of ``a`` to move to its end first.

    Raises:
      ValueError: numbers of elements that do not fit.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.tensorsolve(2. * fnp.eye(4).reshape(2, 2, 4), fnp.ones((2, 2))).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    x, y = promote_dtypes("tensorsolve", *[asarray(as_operand("tensorsolve", v)) for v in (a, b)], inexact=True)
    rank = type_of(x).ndim
    if axes is not None:
        last = [axis % rank for axis in axes]
        x = lax.transpose(x, [*[axis for axis in range(rank) if axis not in last], *last])
    shape = type_of(x).shape[type_of(y).ndim :]
    count = math.prod(shape)
    if type_of(x).size != count**2 or type_of(y).size != count:
        raise FunctransValueError(
            f"tensorsolve: a of shape {type_of(x).shape} must be square as a map from {shape} to the shape of b, "
            f"{type_of(y).shape}"
        )
    return lax.reshape(solve(lax.reshape(x, (count, count)), lax.reshape(y, (count,))), shape)


