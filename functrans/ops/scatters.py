"""Scatters that combine otherwise than by addition: differences, products and extrema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ops.elementwise import add, div, mul, neg
from functrans.ops.indexing import ScatterAdd, ScatterFamily, scatter_with
from functrans.ops.logic import eq, select
from functrans.ops.structural import convert, zeros_like
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
        if updates_t is not None:
            if not self.writes_once(indices):
                raise NotImplementedError(
                    "the derivative of scatter_mul by its updates is defined only for unique indices: pass "
                    "unique_indices=True if no element is multiplied twice"
                )
            spreading = bind(self.with_op(ScatterAdd, True), zeros_like(x), indices, updates_t)
            total = mul(spreading, x) if total is None else add(total, mul(spreading, x))
        return out, total

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        return [bind(self, cotangent, indices, updates), None, None]


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
