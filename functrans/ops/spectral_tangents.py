"""Tangents of eigenvalues and eigenvectors, or singular values and vectors, where some values are repeated or zero.

With P the perturbation in the basis of the eigenvectors, V^H dA V, first-order perturbation theory says

    dw_i = P_ii        dV = V X,   X_ij = P_ij / (w_j - w_i),   X_ii = 0

and X has no value where w_i = w_j. What is defined there?

- A function of the eigenvalues that treats equal ones equally (a sum of f(w_i)): its derivative needs the trace of each
  block of equal eigenvalues only, which the diagonal of P gives in every basis.
- A function of the eigenvectors that does not change when those of equal eigenvalues are rotated among themselves (a
  projector): its derivative has no share of X inside a block, so X_ij = 0 there is right. For other functions of the
  eigenvectors it is a choice of basis (that of parallel transport), as the diagonal of X is.
- A function of both (V f(w) V^H): the derivative needs f'(w) P_ij off the diagonal of a block, which neither dw nor dV
  can carry. No number is right, so the result is NaN.

Whether both tangents are read is known when a program is finished, or transposed: ``SpectralSplit`` gives all results,
loses those that nobody reads (``narrowed``), and is NaN inside blocks if values and vectors are left.

Values count as equal, or as zero, when they differ by less than the error with which they were computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, array_type
from functrans.ops.arithmetic import abs_
from functrans.ops.complex_numbers import real
from functrans.ops.elementwise import add, div, mul, neg, real_dtype, sub
from functrans.ops.logic import and_, bitwise_not, eq, le, select
from functrans.ops.reductions import reduce_max
from functrans.ops.structural import broadcast_in_dim, broadcasted_iota, convert, reduce_sum, spread
from functrans.trace.binding import bind_all
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.replay import trace

_INT32 = np.dtype(np.int32)
VALUES = "values"  # x_ii
DIFFERENCES = "differences"  # x_ij / (w_j - w_i), nothing on the diagonal
SUMS = "sums"  # x_ij / (w_i + w_j)
COLUMNS = "columns"  # x_ij / w_j


def along(w: Any, shape: Sequence[int], axis: int) -> Any:
    """w [..., n] spread over matrices ``shape``, its elements along the axis -1 or -2."""
    batch = range(len(shape) - 2)
    return broadcast_in_dim(w, tuple(shape), (*batch, len(shape) + axis))


def _diagonal_mask(shape: Sequence[int]) -> Any:
    rank = len(shape)
    return eq(*(broadcasted_iota(_INT32, tuple(shape), axis) for axis in (rank - 2, rank - 1)))


def diagonal_part(x: Any) -> Any:
    """[..., n, n] -> [..., n]."""
    return reduce_sum(select(_diagonal_mask(x.shape), x, 0.0), (len(x.shape) - 1,))


def diagonal_matrix(w: Any) -> Any:
    """[..., n] -> [..., n, n], zeros off the diagonal."""
    shape = (*w.shape, w.shape[-1])
    return select(_diagonal_mask(shape), along(w, shape, -1), 0.0)


def in_dtype(w: Any, like: Any) -> Any:
    """Real values in the dtype of vectors that may be complex."""
    return w if w.dtype == like.dtype else convert(w, like.dtype)


def _divisors(kind: str, w: Any, shape: Sequence[int]) -> Any:
    right = along(w, shape, -1)
    if kind == COLUMNS:
        return right
    return (sub if kind == DIFFERENCES else add)(right, along(w, shape, -2))


def _negligible(divisors: Any, w: Any) -> Any:
    """Which sums and differences of the values are less than the error of the values."""
    eps = float(np.finfo(w.dtype).eps)
    bound = mul(reduce_max(abs_(w), (len(w.shape) - 1,)), 4.0 * math.sqrt(w.shape[-1]) * eps)
    return le(abs_(divisors), broadcast_in_dim(bound, divisors.shape, tuple(range(len(w.shape) - 1))))


def _quotient(kind: str, x: Any, w: Any, joint: bool) -> Any:
    """x divided by sums or differences of the values; linear in x, except that 0 / 0 is 0 and the rest of x / 0 NaN."""
    divisors = _divisors(kind, w, x.shape)
    small = _negligible(divisors, w)
    divisors = select(small, 1.0, divisors)
    found = div(x, divisors) if divisors.dtype == x.dtype else mul(x, convert(div(1.0, divisors), x.dtype))
    nan = complex(np.nan, np.nan) if x.dtype.kind == "c" else np.nan
    if joint:
        found = select(small, nan, found)
    elif kind == DIFFERENCES:
        found = select(small, 0.0, found)
    else:
        found = select(and_(small, bitwise_not(eq(x, 0.0))), nan, select(small, 0.0, found))
    if kind == DIFFERENCES or (kind == SUMS and x.dtype.kind != "c"):  # real skew matrices have no diagonal
        found = select(_diagonal_mask(x.shape), 0.0, found)
    return found


class SpectralSplit(Primitive):
    """(x_1, ..., x_r, w) -> what each kind makes of its x: the diagonal, or quotients by sums and differences of w.

    ``real_values``: of the diagonal the real part. ``joint``: values and vectors are both read, and quotients by what
    is negligible are NaN.
    """

    kinds: tuple[str, ...]
    real_values: bool
    joint: bool
    multiple = True

    @classmethod
    def of(cls, parts: Sequence[tuple[str, Any]], w: Any, real_values: bool = True) -> list[Any]:
        """The results for pairs (kind, x), as long as values and vectors are both read."""
        kinds = tuple([kind for kind, _ in parts])
        return bind_all(cls(kinds, real_values, VALUES in kinds and len(kinds) > 1), [*[x for _, x in parts], w])

    def infer(self, *types: ArrayType) -> list[ArrayType]:
        parts = {real_dtype(t.dtype) for t in types}
        if len(parts) > 1 or not parts <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise FunctransTypeError(f"{self.name}: operands of {', '.join(map(str, types))} do not fit together")
        return [
            array_type(x.shape[:-1], real_dtype(x.dtype) if self.real_values else x.dtype)
            if kind == VALUES
            else x.strong()
            for kind, x in zip(self.kinds, types[:-1], strict=True)
        ]

    def define(self, *operands: Any) -> list[Any]:
        """The operation in terms of others."""
        *xs, w = operands
        outs = []
        for kind, x in zip(self.kinds, xs, strict=True):
            if kind == VALUES:
                found = diagonal_part(x)
                outs.append(real(found) if self.real_values and x.dtype.kind == "c" else found)
            else:
                outs.append(_quotient(kind, x, w, self.joint))
        return outs

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        *xs, w = operands
        if w.sets is not None:
            return super().sparsity(detection, operands, types)
        diagonal = lambda numbers: np.diagonal(numbers, axis1=-2, axis2=-1)
        pairs = zip(self.kinds, xs, strict=True)
        return [detection.renumbered(x.sets, diagonal) if kind == VALUES else x.sets for kind, x in pairs]

    def impl(self, *arrays: Any) -> list[Any]:
        *xs, w = arrays
        outs = []
        tolerance = 4 * np.sqrt(w.shape[-1]) * np.finfo(w.dtype).eps * np.abs(w).max(-1, initial=0)[..., None, None]
        for kind, x in zip(self.kinds, xs, strict=True):
            if kind == VALUES:
                found = np.diagonal(x, axis1=-2, axis2=-1)
                outs.append(found.real if self.real_values else found)
                continue
            right, left = w[..., None, :], w[..., :, None]
            divisors = right - left if kind == DIFFERENCES else right + left if kind == SUMS else right + 0 * x.real
            small = np.abs(divisors) <= tolerance
            found = x / np.where(small, 1, divisors)
            fill = np.nan if self.joint else 0 if kind == DIFFERENCES else np.where(x == 0, 0, np.nan)
            found = np.where(small, fill, found)
            if kind == DIFFERENCES or (kind == SUMS and x.dtype.kind != "c"):
                found = np.where(np.eye(x.shape[-1], dtype=bool), 0, found)
            outs.append(found.astype(x.dtype))
        return outs

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        *_, w = primals
        *moved, moved_w = tangents
        outs = bind_all(self, primals)
        changes: list[Any] = []
        for kind, out, t in zip(self.kinds, outs, moved, strict=True):
            if moved_w is not None and kind != VALUES:  # d(x / d) = (dx - (x / d) dd) / d
                correction = mul(out, in_dtype(_divisors(kind, moved_w, out.shape), out))
                t = neg(correction) if t is None else sub(t, correction)
            changes.append(t)
        places = [i for i, t in enumerate(changes) if t is not None]
        slopes: list[Any] = [None] * len(changes)
        if places:
            kinds = tuple([self.kinds[i] for i in places])
            found = bind_all(SpectralSplit(kinds, self.real_values, self.joint), [*[changes[i] for i in places], w])
            for i, x in zip(places, found, strict=True):
                slopes[i] = x
        return outs, slopes

    def transpose(self, cotangents: Any, *operands: Any) -> Sequence[Any]:
        *xs, w = operands
        sent: list[Any] = [None] * len(operands)
        quotients: list[int] = []
        for i, (kind, ct) in enumerate(zip(self.kinds, cotangents, strict=True)):
            if ct is not None and kind == VALUES:
                sent[i] = in_dtype(diagonal_matrix(ct), xs[i])
            elif ct is not None:
                quotients.append(i)
        if quotients:
            # a quotient is its own transpose, and is as joint as the results are that anybody reads
            kinds = tuple([self.kinds[i] for i in quotients])
            reads_values = VALUES not in self.kinds or cotangents[self.kinds.index(VALUES)] is not None
            op = SpectralSplit(kinds, self.real_values, self.joint and reads_values)
            for i, x in zip(quotients, bind_all(op, [*[cotangents[i] for i in quotients], w]), strict=True):
                sent[i] = x
        return [ct if is_linear(x) else None for ct, x in zip(sent, operands, strict=True)]

    def narrowed(self, used: tuple[bool, ...]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        if all(used):
            return None
        kept = [i for i, u in enumerate(used) if u]
        kinds = tuple([self.kinds[i] for i in kept])
        joint = self.joint and (VALUES not in self.kinds or (VALUES in kinds and len(kinds) > 1))
        return SpectralSplit(kinds, self.real_values, joint), [*kept, len(used)], kept

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        whole = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        outs = bind_all(self, whole)
        return outs, [True] * len(outs)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        program, captured = trace(self.define, [t.strong() for t in in_types], self.name)
        assert not captured
        return emitter.inline(program, operands)
