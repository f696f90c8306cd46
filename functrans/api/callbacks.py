"""``pure_callback`` and ``io_callback``: Python functions called from compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import tree_unflatten

from functrans.control.callbacks import VMAP_METHODS, IoCallback, PureCallback
from functrans.control.host_functions import HostFunction, flatten_arguments, promised_types
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.snapshots import snapshot
from functrans.ir.types import describe
from functrans.jaxlib_compat.tracing import evaluates
from functrans.trace.binding import bind_all, located
from functrans.trace.frames import api_boundary, here, where
from functrans.trace.state import current_place


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
    host = HostFunction(callback, in_tree, current_place() or where(3), out_tree)
    op = kind(host, tuple(types), option)
    if evaluates():
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
        Random keys come as their words, uint32.
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
    if vmap_method not in VMAP_METHODS:
        methods = ", ".join(map(repr, VMAP_METHODS))
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
        Random keys come as their words, uint32.
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
