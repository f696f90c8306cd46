"""Scatters that combine otherwise than by addition: differences, products and extrema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ops.elementwise import add, div, kind_of, mul, neg
from functrans.ops.indexing import ScatterAdd, ScatterFamily, scatter_with
from functrans.ops.logic import eq, select
from functrans.ops.permutations import inverse_permutation
from functrans.ops.slicing import pad, rev, slice_
from functrans.ops.sorting import sort, take_along
from functrans.ops.structural import convert, full, iota, reshape, zeros_like
from functrans.trace.binding import bind
from functrans.trace.primitive import Tangent, Value, is_linear


class ScatterSub(ScatterFamily):
    """Updates are subtracted from the operand: linear in both."""

    combine = "subtract"

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return old - new

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        if updates_t is None:
            return out, x_t
        return out, bind(self, zeros_like(x) if x_t is None else x_t, indices, updates_t)

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        back = neg(bind(self.gather_back(x, updates), cotangent, indices)) if is_linear(updates) else None
        return [cotangent if is_linear(x) else None, None, back]


class ScatterMul(ScatterFamily):
    """Updates multiply elements of the operand."""

    combine = "multiply"

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return old * new

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        total = None if x_t is None else bind(self, x_t, indices, updates)
        if updates_t is not None and updates_t.type.size:
            once = self.writes_once(indices)
            if not once:
                updates_t = mul(updates_t, self._others(x, indices, updates))
            spreading = bind(self.with_op(ScatterAdd, once), zeros_like(x), indices, updates_t)
            total = mul(spreading, x) if total is None else add(total, mul(spreading, x))
        return out, total

    def _others(self, x: Any, indices: Any, updates: Any) -> Any:
        """For each element of the updates the product of the others that multiply the same element of the operand.

        No quotient, so that it is right where one of them is zero, and so are its derivatives. In order of the elements
        that they multiply, runs of those that multiply the same one are multiplied up from both sides.
        """
        place = np.dtype(np.int32 if x.size < 2**31 else np.int64)
        numbers = reshape(add(iota(place, x.size), 1), x.shape)  # 0 is outside
        target = reshape(bind(self.gather_back(x, updates)._of_tangents(), numbers, indices), (updates.size,))
        target, order = sort([target, iota(place, updates.size)])
        u = take_along(reshape(updates, (updates.size,)), order, 0)
        before, after = _products_before(target, u), rev(_products_before(rev(target, (0,)), rev(u, (0,))), (0,))
        found = take_along(mul(before, after), inverse_permutation(order), 0)
        return reshape(found, updates.shape)

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        return [bind(self, cotangent, indices, updates), None, None]


def _products_before(run: Any, u: Any) -> Any:
    """For each element the product of those before it in its run; runs have a number each. After Hillis and Steele
    ("Data parallel algorithms", 1986), in log2(n) steps."""
    (n,) = u.shape
    product, step = _behind(run, u, 1), 1
    while step < n:
        product, step = mul(product, _behind(run, product, step)), 2 * step
    return product


def _behind(run: Any, u: Any, step: int) -> Any:
    """The elements ``step`` places before, ones where another run is."""
    (n,) = u.shape
    if step >= n:
        return full(u.shape, 1, u.dtype)
    moved, own = (pad(slice_(v, (0,), (n - step,)), 0, [(step, 0, 0)]) for v in (u, run))
    return select(eq(own, run), moved, 1.0 if kind_of(u.dtype) in "fc" else 1)


class _ScatterExtremum(ScatterFamily):
    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        summing = self.with_op(ScatterAdd)
        remaining, won = eq(x, out), eq(updates, bind(self.gather_back(x, updates), out, indices))
        count = bind(summing, convert(remaining, x.dtype), indices, convert(won, x.dtype))
        x_t = zeros_like(x) if x_t is None else select(remaining, x_t, 0.0)
        if updates_t is not None:
            x_t = bind(summing, x_t, indices, select(won, updates_t, 0.0))
        return out, div(x_t, count)  # ties share equally


class ScatterMin(_ScatterExtremum):
    """The smaller of operand and updates; a derivative is shared among ties."""

    combine = "minimum"
    reference = staticmethod(np.minimum)


class ScatterMax(_ScatterExtremum):
    """The larger of operand and updates; a derivative is shared among ties."""

    combine = "maximum"
    reference = staticmethod(np.maximum)


scatter_mul = scatter_with(ScatterMul)
scatter_min = scatter_with(ScatterMin)
scatter_max = scatter_with(ScatterMax)
scatter_sub = scatter_with(ScatterSub)
