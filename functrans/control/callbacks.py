"""Calls of Python functions from compiled code.

    y:f32[3] = pure_callback[callback=f results=(f32[3],) vmap_method=None] x

A pure function may be called more or less often than it is written; input and output happen exactly once, and in the
order of the program where that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.host_functions import HostFunction, as_host_array
from functrans.control.lanes import lane_by_lane
from functrans.errors import MissingRuleError
from functrans.ir.effects import INPUT_OUTPUT, ORDERED_INPUT_OUTPUT, Effects
from functrans.ir.types import ArrayType
from functrans.ops.structural import broadcast_in_dim, spread
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized", None)


class _Callback(Primitive):
    """A call of a Python function that returns arrays of the types ``results``."""

    callback: HostFunction
    results: tuple[ArrayType, ...]
    multiple = True
    what = ""

    def infer(self, *types: ArrayType) -> Any:
        return list(self.results)

    def impl(self, *arrays: Any) -> Any:
        return list(self.callback.results([as_host_array(x) for x in arrays], self.results, self.what))

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return bind_all(self, operands)

    def _no_derivative(self) -> MissingRuleError:
        host = self.callback
        return MissingRuleError(
            f"{self.what} has no derivative: functrans cannot look into the Python function {host.name}, called at "
            f"{describe_place(host.where)}\nGive the derivative with functrans.custom_jvp (or custom_vjp) around the "
            "call, or stop it with functrans.lax.stop_gradient on the arguments."
        )

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        raise self._no_derivative()

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        raise self._no_derivative()

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        callback, results, what = self.callback, self.results, self.what
        return emitter.host_callback(
            lambda *arrays: callback.results(arrays, results, what),
            operands,
            in_types,
            out_types,
            what=what,
            effect=bool(self.effects),
            ordered=any(effect.ordered for effect in self.effects),
        )


class PureCallback(_Callback):
    """A Python function without side effects."""

    vmap_method: str | None
    what = "pure_callback"

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        method = self.vmap_method
        if method is None:
            raise MissingRuleError(
                f"vmap of pure_callback needs to know how to call {self.callback.name} for many lanes, at "
                f"{describe_place(self.callback.where)}\nPass vmap_method='sequential' (a call for each lane), or "
                "'expand_dims' or 'broadcast_all' where the function takes a leading axis."
            )
        if method in ("sequential", "sequential_unrolled"):
            return lane_by_lane(self, lanes, operands, mapped, lanes.size if method == "sequential_unrolled" else 1)
        if method == "broadcast_all":
            operands = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        elif method == "expand_dims":
            operands = [
                x if m else broadcast_in_dim(x, (1, *x.type.shape), tuple(range(1, x.type.ndim + 1)))
                for x, m in zip(operands, mapped, strict=True)
            ]
        results = tuple([t.update(shape=(lanes.size, *t.shape)) for t in self.results])
        return bind_all(PureCallback(self.callback, results, method), operands), True


class IoCallback(_Callback):
    """A Python function with side effects."""

    ordered: bool
    what = "io_callback"

    @property
    def effects(self) -> Effects:  # type: ignore[override]
        return frozenset((ORDERED_INPUT_OUTPUT if self.ordered else INPUT_OUTPUT,))

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return lane_by_lane(self, lanes, operands, mapped)
