"""``error_if`` and ``check``: errors about values, raised by compiled code after the call."""

from __future__ import annotations

from typing import Any

from functrans.control.checks import BOOLEAN, Check, Message
from functrans.control.host_functions import HostFunction, flatten_arguments
from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, describe, type_of
from functrans.jaxlib_compat.tracing import evaluates
from functrans.ops.logic import bitwise_not, ne
from functrans.ops.reductions import reduce_or
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, here, where
from functrans.trace.state import current_place


@api_boundary
def error_if(pred: Any, message: str, *args: Any, **kwargs: Any) -> None:
    """Raise an error after the call if ``pred`` is true anywhere.

    Works un-jitted, in ``jit``, in branches and loops, under ``grad`` (once, in the forward pass) and under ``vmap``
    (if it is true in any lane). Costs a test of one number while nothing is wrong.

    Args:
      pred: bools or numbers of any shape.
      message: the text of the error, a format string if there are further arguments.
      args, kwargs: pytrees of arrays, filled into the message when it is raised.

    Raises:
      CheckError: a ValueError, with the line of this call.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> def root(x):
    ...     ft.error_if(x < 0, "no root of {x}", x=x)
    ...     return fnp.sqrt(x)
    >>> try:
    ...     ft.jit(root)(-2.0)
    ... except ValueError as error:
    ...     print(str(error).splitlines()[0])
    no root of -2.0
    """
    _check(_failed(pred, "error_if"), message, "error_if", args, kwargs)


@api_boundary
def check(pred: Any, message: str, *args: Any, **kwargs: Any) -> None:
    """Raise an error after the call unless ``pred`` is true everywhere; otherwise as ``error_if``.

    >>> import functrans as ft, numpy as np
    >>> ft.check(np.array([True, True]), "positive")
    """
    type_ = _pred_type(pred, "check")
    holds = pred if type_.dtype == BOOLEAN else ne(pred, 0)
    fails = not holds if isinstance(holds, bool) else bitwise_not(holds)
    _check(_failed(fails, "check"), message, "check", args, kwargs)


def _pred_type(pred: Any, what: str) -> ArrayType:
    try:
        return type_of(pred)
    except FunctransTypeError:
        raise FunctransTypeError(f"{what} needs a bool or an array of them, got {describe(pred)} at {here()}") from None


def _failed(pred: Any, what: str) -> Any:
    """A bool scalar: whether any of ``pred`` is true."""
    type_ = _pred_type(pred, what)
    if type_.dtype != BOOLEAN:
        pred = ne(pred, 0)
    return reduce_or(pred, tuple(range(type_.ndim))) if type_.ndim else pred


def _check(failed: Any, message: Any, what: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not isinstance(message, str):
        raise FunctransTypeError(f"{what} needs a text as its second argument, got {describe(message)} at {here()}")
    arrays, fixed, tree = flatten_arguments(args, kwargs)
    place = current_place() or where(3)
    op = Check(HostFunction(Message(message, what, place), tree, place, None, fixed))
    if evaluates():
        op.impl(failed, *arrays)
    else:
        bind_all(op, [failed, *arrays])
