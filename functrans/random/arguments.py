"""What the samplers share: checks of their arguments, and ``drawn``, the one way from them to a compiled sampler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.api.compilation import jit
from functrans.api.custom_rules import custom_jvp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import is_differentiable, promote, type_of
from functrans.numpy.promotion import common_shape, requested_dtype, shape_argument, to_dtype
from functrans.random.keys import default_float, typed_key
from functrans.trace.frames import here

Array = Any
ArrayLike = Any


def floating(name: str, dtype: Any, complex_too: bool = False) -> Any:
    """The dtype of samples that a user asked for; raises ValueError unless it is floating."""
    found = default_float() if dtype is None else requested_dtype(name, dtype)
    if not is_differentiable(found) or (found.kind == "c" and not complex_too):
        raise FunctransValueError(
            f"{name}: the dtype of samples must be {'floating or complex' if complex_too else 'floating'}, got {found} "
            f"at {here()}"
        )
    return found


def sample_shape(name: str, shape: Any, *parameters: tuple[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of the samples: as asked for, or that of the parameters together; raises ValueError where they do not
    fit.
    """
    shapes = [s for _, s in parameters]
    if shape is None:
        return common_shape(name, *shapes) if shapes else ()
    found = shape_argument(name, shape)
    for what, own in parameters:
        try:
            together = common_shape(name, found, own)
        except ValueError:
            together = ()
        if together != found:
            raise FunctransValueError(
                f"{name}: {what} of shape {own} does not broadcast to the shape of the samples, {found}, at {here()}"
            )
    return found


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a parameter."""
    return type_of(fnp.asarray(x) if isinstance(x, list | tuple) else x).shape


def parameter(name: str, what: str, x: Any, dtype: Any) -> Any:
    """A parameter in the dtype of the samples; raises TypeError where that would lose more than precision."""
    x = fnp.asarray(x)
    type_ = type_of(x)
    if not type_.weak_type and promote(type_.strong(), type_of(np.zeros((), dtype)))[0] != dtype:
        raise FunctransTypeError(
            f"{name}: {what} has dtype {type_.dtype} and cannot become {dtype} safely, at {here()}\nPass "
            f"dtype={type_.dtype} or convert it."
        )
    return to_dtype(x, dtype)


def limits(dtype: Any) -> Any:
    """What numbers a floating dtype has."""
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def number(value: Any, dtype: Any) -> Any:
    """A number rounded to a dtype, as the Python float that is a literal of programs."""
    return float(np.asarray(value, dtype))


def with_logarithm(value: Any, logarithm: Any) -> Any:
    """The value, which moves as its logarithm says: (value, log(abs(value))) -> value.

    For numbers whose range is exceeded on the way to them, or to their derivatives, though not by these.
    """
    return _moving(lax.stop_gradient(value), logarithm)  # a cotangent of 0 would become NaN on the way of an infinity


@custom_jvp
def _moving(value: Any, logarithm: Any) -> Any:
    return value


@_moving.defjvp
def _moving_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    out = _moving(*primals)
    # A number beyond the dtype stays there: in a sum over samples, its infinity times a cotangent of 0 would be NaN.
    factor = lax.select(lax.is_finite(out), out, fnp.zeros(out.shape, out.dtype))
    return out, lax.mul(factor, tangents[1])


static = functools.partial(jit, static_argnames=("shape", "dtype"))


def drawn(
    sampler: Callable[..., Any], name: str, key: Any, shape: Any, dtype: Any, complex_too: bool = False,
    **parameters: Any,
) -> Any:  # fmt: skip
    """What ``sampler(key, *parameters, shape=..., dtype=...)`` gives for checked arguments: the parameters in the dtype
    of the samples, and together in their shape.
    """
    typed, _ = typed_key(name, key)
    dtype = floating(name, dtype, complex_too)
    if not parameters:
        return sampler(typed, shape=shape_argument(name, shape), dtype=dtype)
    sizes = sample_shape(name, shape, *[(what, shape_of(x)) for what, x in parameters.items()])
    converted = [parameter(name, what, x, dtype) for what, x in parameters.items()]
    return sampler(typed, *converted, shape=sizes, dtype=dtype)
