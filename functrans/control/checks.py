"""``error_if`` and ``check``: errors about values, raised by compiled code after the call.

    check[callback=error_if] failed x

Nothing is called while the values are as they should be: the Python function stands in a branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.control.host_functions import HostFunction, flatten_arguments
from functrans.errors import CheckError, FunctransTypeError
from functrans.ir.effects import CHECK
from functrans.ir.program import Where
from functrans.ir.types import ArrayType, describe, type_of
from functrans.ops.dynamic_slicing import dynamic_slice
from functrans.ops.logic import bitwise_not, ne
from functrans.ops.reductions import argmax, reduce_or
from functrans.ops.structural import convert, reshape
from functrans.trace.builder import bind_all, state
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.frames import api_boundary, describe_place, here, where
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

_BOOLEAN = np.dtype(np.bool_)


class _Message:
    """The function behind a check: raises the error, with the values filled in."""

    def __init__(self, text: str, what: str, place: Where) -> None:
        self.text, self.what, self.place = text, what, place
        self.__name__ = what
        self.host_key = (text, what)  # the place is that of the HostFunction

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        text = self.text.format(*args, **kwargs) if args or kwargs else self.text
        raise CheckError(f"{text}\n    raised by {self.what} at {describe_place(self.place)}")


class Check(Primitive):
    """Operands ``(failed: bool[], *values)``: calls ``callback``, which raises, where ``failed`` is true."""

    callback: HostFunction
    multiple = True
    effects = frozenset((CHECK,))

    def infer(self, *types: ArrayType) -> Any:
        if types[0].shape or types[0].dtype != _BOOLEAN:
            raise FunctransTypeError(f"check: the flag must be a bool scalar, got {types[0]}")
        return []

    def impl(self, *arrays: Any) -> Any:
        if np.any(arrays[0]):
            self.callback.call([np.asarray(x) for x in arrays[1:]])
        return []

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), []

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        return [None] * len(operands)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """Any lane; the message shows the values of the first that fails."""
        failed, *values = operands
        lane = convert(argmax(failed, 0), np.dtype(np.int32)) if mapped[0] else 0
        shown = [_row(x, lane) if m else x for x, m in zip(values, mapped[1:], strict=True)]
        return bind_all(self, [reduce_or(failed, (0,)) if mapped[0] else failed, *shown]), []

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        callback = self.callback

        def call(*arrays: Any) -> tuple[Any, ...]:
            callback.call(arrays)
            return ()

        def raising(_: Any) -> list[str]:
            emitter.host_callback(call, operands[1:], in_types[1:], [], what="")
            return []

        fails, passes = emitter.region([], raising, []), emitter.region([], lambda _: [], [])
        return emitter.raw_many(f'"stablehlo.if"({operands[0]}) ({fails}, {passes}) : (tensor<i1>) -> ()', 0)


def _row(x: Any, i: Any) -> Any:
    rest = x.type.shape[1:]
    return reshape(dynamic_slice(x, [i, *[0] * len(rest)], (1, *rest)), rest)


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
    holds = pred if type_.dtype == _BOOLEAN else ne(pred, 0)
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
    if type_.dtype != _BOOLEAN:
        pred = ne(pred, 0)
    return reduce_or(pred, tuple(range(type_.ndim))) if type_.ndim else pred


def _check(failed: Any, message: Any, what: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not isinstance(message, str):
        raise FunctransTypeError(f"{what} needs a text as its second argument, got {describe(message)} at {here()}")
    arrays, fixed, tree = flatten_arguments(args, kwargs)
    place = state.where or where(3)
    op = Check(HostFunction(_Message(message, what, place), tree, place, None, fixed))
    if state.builder is None:
        op.impl(failed, *arrays)
    else:
        bind_all(op, [failed, *arrays])

