"""Operations on a matrix whose LU factors are known: solutions, inverse, determinant, logarithm of the determinant.

    x = solve[op=N] a packed order b         A X = B by the factors of A   =>   A dX = dB - dA X   by the same factors

The factors come from ``lu(stop_gradient(a))`` and have no derivative of their own: derivatives of every order, forward
and backward, are those of the equation that defines the result, and one factorisation serves all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.control.composite import Composite
from functrans.ir.types import type_of
from functrans.ops.complex_numbers import complex_, imag, real
from functrans.ops.factorisations import lu, lu_solve
from functrans.ops.matrices import INT32, adjoint, flip, identity, matmul
from functrans.ops.permutations import inverse_permutation, permute_columns, permute_rows
from functrans.ops.reductions import ReduceProd
from functrans.ops.structural import convert, spread, zeros_like
from functrans.ops.triangular import batched_columns, triangular_solve
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes, Tangent, Value, is_linear
from functrans.trace.series import Line, Series

_OTHER = {"N": "T", "T": "N"}


class OfMatrices(Composite):
    """An operation on [..., n, n] that stays itself under vmap."""

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *[x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]), True


class FactorisedSolve(OfMatrices):
    """(a, *factors, b) -> X with A X = B, or A^T X = B for ``op`` T; linear in b."""

    op: str

    def by_factors(self, factors: Sequence[Any], b: Any) -> Any:
        """X."""
        self.missing("by_factors", "tracing")

    def define(self, *operands: Any) -> Any:
        return self.by_factors(operands[1:-1], operands[-1])

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        a_t, right = tangents[0], tangents[-1]
        x = bind(self, *primals)
        if a_t is not None:
            moved = matmul(a_t if self.op == "N" else flip(a_t), x)
            right = lax.neg(moved) if right is None else lax.sub(right, moved)
        return x, None if right is None else bind(self, *primals[:-1], right)

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        a, *factors, b = operands
        if any(type(x) is Series for x in factors):
            return line.along(self, operands)
        system = [line.value(a), *factors]
        return line.solution(
            lambda right: bind(self, *system, right),
            lambda a, x: matmul(a if self.op == "N" else flip(a), x),
            b,
            a,
        )

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        *system, b = operands
        if not is_linear(b):
            return super().transpose(cotangent, *operands)
        return [*[None] * len(system), bind(type(self)(_OTHER[self.op]), *system, cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        if any(mapped[:-1]):
            return super().batch(lanes, operands, mapped)
        *system, b = operands
        return batched_columns(lambda columns: bind(self, *system, columns), b), True


class Solve(FactorisedSolve):
    """By (packed, order) of ``lu``."""

    name = "solve"

    def by_factors(self, factors: Sequence[Any], b: Any) -> Any:
        return lu_solve(factors[0], factors[1], b, self.op)


class SolvePositive(FactorisedSolve):
    """By the Cholesky factor L of a Hermitian positive definite matrix."""

    name = "solve_positive"

    def by_factors(self, factors: Sequence[Any], b: Any) -> Any:
        return by_cholesky(factors[0], b, True, self.op == "T")


def by_cholesky(factor: Any, b: Any, lower: bool, conjugate: bool = False) -> Any:
    """X with L L^H X = B (U^H U X = B unless ``lower``), or with the conjugate matrix."""
    for back in (not lower, lower):
        b = triangular_solve(
            factor, b, left_side=True, lower=lower, transpose_a=back, conjugate_a=back != conjugate
        )
    return b


class Inverse(OfMatrices):
    """(a, packed, order) -> A^-1."""

    name = "inv"

    def define(self, a: Any, packed: Any, order: Any) -> Any:
        return lu_solve(packed, order, identity(packed))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x = bind(self, *primals)
        return x, None if tangents[0] is None else lax.neg(matmul(matmul(x, tangents[0]), x))


class LogDeterminant(OfMatrices):
    """(a, packed, order) -> log |det A|: -inf for a singular matrix."""

    name = "log_abs_det"

    def define(self, a: Any, packed: Any, order: Any) -> Any:
        return lax.reduce_sum(lax.log(lax.abs(diagonal_of(packed))), (packed.ndim - 2,))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        return out, None if tangents[0] is None else _real(_relative_slope(primals, tangents[0]))


class SignOfDeterminant(OfMatrices):
    """(a, packed, order, pivots) -> det A / |det A|: 0 for a singular matrix."""

    name = "sign_of_det"

    def define(self, a: Any, packed: Any, order: Any, pivots: Any) -> Any:
        on_diagonal = lax.sign(diagonal_of(packed))
        return lax.mul(_product(on_diagonal), parity(pivots, packed.dtype))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        if tangents[0] is None or out.dtype.kind != "c":
            return out, None
        turned = imag(_relative_slope(primals[:3], tangents[0]))
        return out, lax.mul(out, complex_(zeros_like(turned), turned))


def _relative_slope(primals: Sequence[Any], a_t: Any) -> Any:
    """The trace of A^-1 dA."""
    return _inner(flip(bind(INVERSE, *primals)), a_t)


class Determinant(OfMatrices):
    """(a, packed, pivots) -> det A, whose derivative is the matrix of cofactors, of singular matrices too."""

    name = "det"

    def define(self, a: Any, packed: Any, pivots: Any) -> Any:
        return lax.mul(_product(diagonal_of(packed)), parity(pivots, packed.dtype))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        return out, None if tangents[0] is None else _inner(bind(COFACTORS, primals[0]), tangents[0])


class Cofactors(OfMatrices):
    """The derivative of the determinant by each element."""

    name = "cofactors"

    def define(self, a: Any) -> Any:
        scale, last, regular, right, left = adjugate_parts(a)
        return flip(_scaled(lax.add(_scaled(regular, last), matmul(right, left)), scale))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), bind(COFACTOR_SLOPE, primals[0], tangents[0])


class CofactorSlope(OfMatrices):
    """(a, y) -> the derivative of the cofactors in the direction y; linear in y and its own transpose.

    The second derivative of a determinant is (tr(A^-1 X) tr(A^-1 Y) - tr(A^-1 X A^-1 Y)) det A. With the adjugate as
    ``adjugate_parts`` has it the terms that det A divides cancel, and what is left is finite for singular matrices.
    Pivots beside the last that are 0 (a rank below n - 1) are taken to be a rounding error instead: the result is a
    polynomial of the elements, and changes by as little.
    """

    name = "cofactor_slope"

    def define(self, a: Any, y: Any) -> Any:
        scale, last, regular, right, left = adjugate_parts(a, rounded=True)
        trace = _inner(flip(regular), y)
        across = matmul(matmul(left, y), right)
        moved = matmul(regular, y)
        terms = [
            lax.mul(regular, _spread(across, regular)),
            _scaled(matmul(right, left), trace),
            lax.neg(matmul(matmul(moved, right), left)),
            lax.neg(matmul(right, matmul(left, matmul(y, regular)))),
            _scaled(lax.sub(_scaled(regular, trace), matmul(moved, regular)), last),
        ]
        total = terms[0]
        for term in terms[1:]:
            total = lax.add(total, term)
        return flip(_scaled(total, scale))

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        return [None, bind(self, operands[0], cotangent)]


def adjugate_parts(a: Any, rounded: bool = False) -> tuple[Any, Any, Any, Any, Any]:
    """(scale, last, S [n, n], w [n, 1], z [1, n]): the adjugate is scale (last S + w z), the determinant scale last.

    ``rounded``: other pivots than the last that are 0 are replaced by the smallest that does not vanish in rounding.

    The column with the smallest pivot is moved to the end and the matrix factorised again: ``last``, its pivot, is then
    the only one that a matrix of rank n - 1 has zero. S and w come from U with its last row and column left out.
    """
    n = a.shape[-1]
    packed = lu(a)[0]
    smallest = lax.argmin(lax.abs(diagonal_of(packed)), packed.ndim - 2, INT32)
    numbers = lax.broadcasted_iota(INT32, packed.shape[:-1], packed.ndim - 2)
    chosen = lax.broadcast_in_dim(smallest, numbers.shape, tuple(range(numbers.ndim - 1)))
    columns = lax.select(
        lax.eq(numbers, n - 1), chosen, lax.select(lax.ge(numbers, chosen), lax.add(numbers, 1), numbers)
    )
    packed, pivots, order = lu(permute_columns(a, columns))
    rows, places = (lax.broadcasted_iota(INT32, packed.shape, axis) for axis in (packed.ndim - 2, packed.ndim - 1))
    on_diagonal, at_end = lax.eq(rows, places), lax.eq(places, n - 1)
    values = diagonal_of(packed)
    leading = lax.select(lax.eq(numbers, n - 1), 1.0, values)
    if rounded:
        leading = lax.add(leading, lax.select(lax.eq(leading, 0.0), _rounding_error(values), 0.0))
    scale = lax.mul(_product(leading), parity(pivots, a.dtype))
    odd = lax.bitwise_and(lax.sub(n - 1, smallest), 1)
    scale = lax.select(lax.eq(odd, 1), lax.neg(scale), scale)
    last = lax.reduce_sum(lax.select(lax.eq(numbers, n - 1), values, 0.0), (values.ndim - 1,))
    safe = lax.select(lax.eq(leading, 0.0), 1.0, leading)  # of a smaller rank: the scale is 0
    upper = lax.select(at_end, 0.0, packed)
    upper = lax.select(on_diagonal, lax.broadcast_in_dim(safe, upper.shape, tuple(range(safe.ndim))), upper)
    inverse = triangular_solve(
        packed, permute_rows(identity(packed), order), left_side=True, lower=True, unit_diagonal=True
    )
    bottom = lax.eq(rows, n - 1)
    left = lax.slice_in_dim(inverse, n - 1, n, axis=inverse.ndim - 2)
    regular = lax.select(bottom, 0.0, triangular_solve(upper, inverse, left_side=True))
    column = lax.slice_in_dim(lax.select(bottom, 0.0, packed), n - 1, n, axis=packed.ndim - 1)
    end = lax.slice_in_dim(identity(packed), n - 1, n, axis=packed.ndim - 1)
    right = lax.sub(end, triangular_solve(upper, column, left_side=True))
    back = inverse_permutation(columns)
    return scale, last, permute_rows(regular, back), permute_rows(right, back), left


def _rounding_error(pivots: Any) -> Any:
    """What is lost beside the largest pivot [..., n], repeated n times; of a matrix of zeros, beside 1."""
    sizes = lax.abs(pivots)
    largest = lax.reduce_max(sizes, (sizes.ndim - 1,))
    largest = lax.select(lax.eq(largest, 0.0), 1.0, largest)
    error = lax.mul(largest, float(np.finfo(largest.dtype).eps))
    repeated = lax.broadcast_in_dim(error, sizes.shape, tuple(range(error.ndim)))
    return lax.convert_element_type(repeated, pivots.dtype)


SOLVE, SOLVE_POSITIVE = Solve("N"), SolvePositive("N")
INVERSE, LOG_DETERMINANT, SIGN_OF_DETERMINANT = Inverse(), LogDeterminant(), SignOfDeterminant()
DETERMINANT, COFACTORS, COFACTOR_SLOPE = Determinant(), Cofactors(), CofactorSlope()


def factors(a: Any) -> tuple[Any, Any, Any]:
    """The LU factors, pivots and order of rows of a matrix, without derivatives."""
    return lu(lax.stop_gradient(a))


def solve(a: Any, b: Any, positive: str = "") -> Any:
    """X with A X = B for a [..., n, n] and b [..., n, k] of one dtype and batch; one matrix may serve a batch of b.

    ``positive``: A is Hermitian positive definite, and the value reads its triangle "lower" or "upper".
    """
    if positive:
        triangle = lax.stop_gradient(a)
        triangle = adjoint(triangle) if positive == "upper" else triangle
        op: FactorisedSolve = SOLVE_POSITIVE
        found: tuple[Any, ...] = (lax.linalg.cholesky(triangle, symmetrize_input=False),)
    else:
        packed, _, order = factors(a)
        op, found = SOLVE, (packed, order)
    shape = type_of(b).shape
    if type_of(a).ndim < len(shape):
        flat = lax.reshape(b, (math.prod(shape[:-2]), *shape[-2:]))
        return lax.reshape(batched_columns(lambda columns: bind(op, a, *found, columns), flat), shape)
    return bind(op, a, *found, b)


def diagonal_of(x: Any) -> Any:
    """The diagonals [..., n] of square matrices."""
    rows, columns = (lax.broadcasted_iota(INT32, x.shape, axis) for axis in (x.ndim - 2, x.ndim - 1))
    return lax.reduce_sum(lax.select(lax.eq(rows, columns), x, 0.0), (x.ndim - 1,))


def parity(pivots: Any, dtype: np.dtype[Any]) -> Any:
    """1 or -1: the determinant of the permutation that the pivots stand for."""
    axis = pivots.ndim - 1
    swaps = lax.ne(pivots, lax.broadcasted_iota(INT32, pivots.shape, axis))
    odd = lax.bitwise_and(lax.reduce_sum(convert(swaps, INT32), (axis,)), 1)
    return convert(lax.sub(1, lax.mul(odd, 2)), dtype)


def _product(x: Any) -> Any:
    return bind(ReduceProd((x.ndim - 1,)), x)


def _inner(x: Any, y: Any) -> Any:
    """The sum of products of corresponding elements of matrices."""
    product = lax.mul(x, y)
    return lax.reduce_sum(product, (product.ndim - 2, product.ndim - 1))


def _real(x: Any) -> Any:
    return real(x) if x.dtype.kind == "c" else x


def _scaled(x: Any, factor: Any) -> Any:
    """Matrices times a number each."""
    return lax.mul(x, lax.broadcast_in_dim(factor, x.shape, tuple(range(factor.ndim))))


def _spread(x: Any, like: Any) -> Any:
    """[..., 1, 1] repeated to the shape of matrices."""
    return lax.broadcast_in_dim(x, like.shape, tuple(range(like.ndim)))
