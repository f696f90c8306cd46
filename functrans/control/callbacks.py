"""Calls of Python functions from compiled code: ``pure_callback`` and ``io_callback``.

    y:f32[3] = pure_callback[callback=f results=(f32[3],) vmap_method=None] x

A pure function may be called more or less often than it is written; input and output happen exactly once, and in the
order of the program where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_unflatten

from functrans.control.host_functions import HostFunction, flatten_arguments, promised_types
from functrans.control.lanes import lane_by_lane
from functrans.errors import FunctransTypeError, FunctransValueError, MissingRuleError
from functrans.ir.effects import INPUT_OUTPUT, ORDERED_INPUT_OUTPUT, Effects
from functrans.ir.snapshots import snapshot
from functrans.ir.types import ArrayType, describe
from functrans.ops.structural import broadcast_in_dim
from functrans.trace.builder import bind_all, located, state
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.frames import api_boundary, describe_place, here, where
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.transform.vmap import spread_out

_VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized", None)


class _Callback(Primitive):
    """A call of a Python function that returns arrays of the types ``results``."""

    callback: HostFunction
    results: tuple[ArrayType, ...]
    multiple = True
    what = ""

    def infer(self, *types: ArrayType) -> Any:
        return list(self.results)

    def impl(self, *arrays: Any) -> Any:
        return list(self.callback.results([np.asarray(x) for x in arrays], self.results, self.what))

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
            operands = [x if m else spread_out(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
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


def check_function(callback: Any, what: str) -> None:
    """Raise TypeError unless the first argument is a function."""
    if not callable(callback):
        raise FunctransTypeError(f"{what} needs a function as its first argument, got {describe(callback)} at {here()}")


def _call(kind: Any, what: str, callback: Any, result_shape_dtypes: Any, args: Any, kwargs: Any, option: Any) -> Any:
    check_function(callback, what)
    types, out_tree = promised_types(result_shape_dtypes, what)
    arrays, fixed, in_tree = flatten_arguments(args, kwargs)
    if fixed:
        raise FunctransTypeError(
            f"{what} of {callback!r} got {describe(fixed[0][1])} among its arguments, which is not a number, an array "
            f"or a traced value, at {here()}\nClose over it instead: functools.partial(function, option)."
        )
    host = HostFunction(callback, in_tree, state.where or where(3), out_tree)
    op = kind(host, tuple(types), option)
    if state.builder is None:
        try:
            results = op.impl(*arrays)
        except FunctransTypeError as error:
            raise located(error, host.where) from None
        return tree_unflatten(out_tree, [jax.device_put(snapshot(x)) for x in results])
    return tree_unflatten(out_tree, bind_all(op, arrays))


@api_boundary
def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function without side effects from compiled code.

    It may be called more or less often than it is written. It has no derivative: put ``custom_jvp`` around it.

    Args:
      callback: a function of NumPy arrays in the trees of ``args`` and ``kwargs``, with results as promised.
      result_shape_dtypes: a pytree of ``ShapeDtypeStruct`` (or arrays): what the function returns.
      args, kwargs: pytrees of arrays.
      sharding: only None: the function is called on the host of the program.
      vmap_method: how it is called for the lanes of a vmap: 'sequential' and 'sequential_unrolled' for each lane;
        'expand_dims' once with a leading axis, of size 1 for what has no lanes; 'broadcast_all' with that axis
        repeated; 'legacy_vectorized' without an axis for what has no lanes. Without it vmap is refused.

    Returns:
      Arrays in the tree of ``result_shape_dtypes``.

    Raises:
      TypeError: the function returns another tree, shape or dtype. Its own exceptions are raised by the call.

    >>> import functrans as ft, numpy as np
    >>> shape = ft.ShapeDtypeStruct((3,), np.float32)
    >>> ft.jit(lambda x: ft.pure_callback(np.sort, shape, x))(np.array([3.0, 1.0, 2.0], np.float32)).tolist()
    [1.0, 2.0, 3.0]
    """
    if vmap_method not in _VMAP_METHODS:
        methods = ", ".join(map(repr, _VMAP_METHODS))
        raise FunctransValueError(
            f"pure_callback got vmap_method={vmap_method!r} at {here()}\nIt is one of {methods}."
        )
    _check_sharding("pure_callback", sharding)
    return _call(PureCallback, "pure_callback", callback, result_shape_dtypes, args, kwargs, vmap_method)


@api_boundary
def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function with side effects from compiled code, exactly as often as the program says.

    Args:
      callback: a function of NumPy arrays in the trees of ``args`` and ``kwargs``, with results as promised.
      result_shape_dtypes: a pytree of ``ShapeDtypeStruct`` (or arrays): what the function returns; None for nothing.
      args, kwargs: pytrees of arrays.
      sharding: only None: the function is called on the host of the program.
      ordered: keep the order of the program among all ordered effects. Ordered calls are refused under vmap; others are
        made lane by lane there.

    Returns:
      Arrays in the tree of ``result_shape_dtypes``.

    Raises:
      TypeError: the function returns another tree, shape or dtype. Its own exceptions are raised by the call.

    >>> import functrans as ft, numpy as np
    >>> seen = []
    >>> def double(x):
    ...     ft.io_callback(lambda v: seen.append(float(v)), None, x)
    ...     return x * 2.0
    >>> float(ft.jit(double)(3.0)), seen
    (6.0, [3.0])
    """
    _check_sharding("io_callback", sharding)
    return _call(IoCallback, "io_callback", callback, result_shape_dtypes, args, kwargs, bool(ordered))


def _check_sharding(what: str, sharding: Any) -> None:
    if sharding is not None:
        raise FunctransValueError(
            f"{what} got sharding={describe(sharding)} at {here()}\nThe function is called on the host of the program "
            "with whole arrays: leave sharding out."
        )
