"""What Python asks of a number, asked of a tracer: ``bool(x)``, ``float(x)``, ``int(x)``, ``print(x)``, ``hash(x)``.

A number that leaves a trace is a constant to it. Where that is locally true (``bool``, ``int``, printing) its value is
given (trace.values); where a derivative would be lost in silence (``float``, ``np.asarray``) an error is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from functrans.errors import (
    DifferentiatedValueError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
)
from functrans.ir.program import Where
from functrans.ir.types import kind_of
from functrans.trace.frames import describe_place, formats_text, users_call, where
from functrans.trace.tracer import Tracer
from functrans.trace.values import demand, losing, obtainable


def _number(x: Tracer, asked: str) -> np.ndarray[Any, Any]:
    """The value of x as a plain number or array, which has no derivative."""
    value = demand(x, asked, TracerArrayConversionError, _NUMBER, instead_of_call)
    lost = losing(x)
    if lost:
        place, instead = instead_of_call()
        fix = f"{instead} " if instead else ""
        raise DifferentiatedValueError(
            f"{asked} makes a constant of a value that is being differentiated "
            f"({', '.join(sorted(b.purpose for b in lost))}), and its derivative would be lost, at "
            f"{describe_place(place)}\n{fix}Keep it an array (functrans.numpy functions and operators take it); where "
            "a constant is meant, say so with functrans.lax.stop_gradient(x)."
        )
    return value


def instead_of_call() -> tuple[Where, str]:
    """Where the user's code is now; and the advice to take the namesake in functrans of what it calls there, if any."""
    place, called = users_call()
    counterpart = _counterpart(called) if called else None
    return place, f"Use {counterpart} instead of {called}." if counterpart else ""


def _no_counterpart(name: str) -> str | None:
    return None


_counterpart: Callable[[str], str | None] = _no_counterpart


def set_counterparts(find: Callable[[str], str | None]) -> None:
    """Install what knows the function of functrans for the name of one of NumPy or the math module."""
    global _counterpart
    _counterpart = find


_BRANCH = (
    "Use functrans.lax.cond or functrans.numpy.where to choose, functrans.lax.while_loop to repeat, or mark the "
    "argument with static_argnums if it is a plain Python value; combine conditions with & | ~ or "
    "functrans.numpy.logical_and, logical_or, logical_not. (Without jit, vmap or a loop around it, un-jitted grad, jvp "
    "and vjp do allow Python control flow on values.)"
)
_NUMBER = (
    "Keep it an array (functrans.numpy functions take it), return it as an extra result (has_aux=True), or mark the "
    "argument with static_argnums if it is a plain Python value."
)
_INDEX = (
    "A Python list, range or shape needs a static integer: make the list an array (functrans.numpy.asarray(list)[i]) "
    "or choose with functrans.lax.switch; use functrans.numpy indexing or functrans.lax.dynamic_slice, "
    "functrans.lax.fori_loop for the loop, or static_argnums for the argument."
)


def _bool(self: Tracer) -> bool:
    if self.type.size != 1:
        raise ValueError(
            f"the truth value of an array of shape {self.type.shape} is ambiguous at {describe_place(where())}\n"
            "Use functrans.numpy.any or functrans.numpy.all."
        )
    return bool(
        demand(self, "bool() (an `if`, `while`, `and`, `or`, `not`)", TracerBoolConversionError, _BRANCH).reshape(())
    )


def _check_scalar(self: Tracer, asked: str) -> None:
    if self.type.shape != ():
        raise TypeError(
            f"{asked} needs a scalar, and this array has shape {self.type.shape}, at {describe_place(where())}"
        )


def _float(self: Tracer) -> float:
    _check_scalar(self, "float()")
    if formats_text(1):  # "%f" % x: for the eye, like format()
        return float(demand(self, "float()", TracerArrayConversionError, _NUMBER)[()])
    return float(_number(self, "float()")[()])


def _int(self: Tracer) -> int:
    _check_scalar(self, "int()")
    return int(demand(self, "int()", TracerIntegerConversionError, _NUMBER)[()])


def _complex(self: Tracer) -> complex:
    _check_scalar(self, "complex()")
    return complex(_number(self, "complex()")[()])


def _index(self: Tracer) -> int:
    if kind_of(self.type.dtype) not in "iu":
        raise TypeError(f"only integer scalars can be used as an index; got {self.type} at {describe_place(where())}")
    _check_scalar(self, "an index or range()")
    return int(demand(self, "an index or range()", TracerIntegerConversionError, _INDEX)[()])


def _array(self: Tracer, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    value = _number(self, "np.asarray()")
    return value if dtype is None else value.astype(dtype)


def _item(self: Tracer, *args: int) -> Any:
    return _number(self, ".item()").item(*args)


def _tolist(self: Tracer) -> Any:
    return _number(self, ".tolist()").tolist()


def _format(self: Tracer, spec: str) -> str:
    if not spec:
        return str(self)
    return format(demand(self, f"format(x, {spec!r})", TracerArrayConversionError, _NUMBER)[()], spec)


def _repr(self: Tracer) -> str:
    value = obtainable(self) if self.builder.open else None
    if value is None:
        return f"Tracer<{self.type}>"
    text = np.array2string(value, separator=", ", prefix="Tracer<", threshold=200) if value.ndim else str(value)
    return f"Tracer<{self.type}, value={text}>"


def _no_hash(self: Tracer) -> NoReturn:
    raise TypeError(
        "a traced value cannot be hashed (arrays cannot either): its value is not known while tracing. Use a static "
        f"argument for dictionary keys. At {describe_place(where())}"
    )


def _no_pickle(self: Tracer, protocol: int) -> NoReturn:
    raise TypeError(
        f"a traced value of type {self.type} cannot be pickled: it means something only inside the trace, "
        f"{self.builder.purpose}, at {describe_place(where())}\nReturn it from the function and pickle the result."
    )


def _for_jax(self: Tracer) -> np.ndarray[Any, Any] | None:
    """The value for a function of JAX that has to know it, a count or a shape; None if it would lose a derivative."""
    value = obtainable(self) if self.reachable() else None
    return value if value is None or kind_of(self.type.dtype) in "biu" or not losing(self) else None


def _block_until_ready(self: Tracer) -> Tracer:
    return self


for _name, _method in {
    "__bool__": _bool, "__float__": _float, "__int__": _int, "__complex__": _complex, "__index__": _index,
    "__array__": _array, "item": _item, "tolist": _tolist, "__format__": _format, "__repr__": _repr,
    "__hash__": _no_hash, "__reduce_ex__": _no_pickle, "block_until_ready": _block_until_ready,
    "to_concrete_value": _for_jax,
}.items():  # fmt: skip
    setattr(Tracer, _name, _method)
