"""What the transforms ask of their arguments, in one place: callables, argnums, leaves, results, tangents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.api.staging import tree_structure
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import (
    ArrayType,
    as_its_type,
    describe,
    float0,
    is_differentiable,
    kind_of,
    short_dtype,
    type_of,
)
from functrans.jaxlib_compat import array_values, configuration
from functrans.ops.structural import scalar_literal, zeros
from functrans.trace.frames import function_name, here
from functrans.trace.leaves import Name, leaf_type, named
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer


def differentiation_order() -> int:
    """How many derivatives may still be taken of what a new differentiating trace records."""
    builder = current_builder()
    return 1 if builder is None else builder.order + 1


def check_callable(fun: Any, what: str) -> None:
    """Raise unless the first argument is a function."""
    if not callable(fun):
        raise FunctransTypeError(f"{what} needs a function, got {describe(fun)} at {here()}")


def check_chunk_size(chunk_size: Any, what: str) -> int | None:
    """Raise unless it is None or a positive integer."""
    if chunk_size is None:
        return None
    if not isinstance(chunk_size, int | np.integer) or isinstance(chunk_size, bool):
        given = describe(chunk_size)
        raise FunctransTypeError(f"{what}: chunk_size must be an integer or None, got {given} at {here()}")
    if chunk_size < 1:
        raise FunctransValueError(
            f"{what}: chunk_size={chunk_size} at a time is nothing, at {here()}\nGive a positive number, or "
            "None for all at once."
        )
    return int(chunk_size)


def argument_numbers(argnums: Any, what: str) -> tuple[int, ...]:
    """argnums as a tuple; raises TypeError when it is neither an int nor a sequence of ints."""
    if isinstance(argnums, int | np.integer):
        return (int(argnums),)
    if not isinstance(argnums, Sequence) or not all(hasattr(i, "__index__") for i in argnums):
        raise FunctransTypeError(
            f"argnums of {what} must be an int or a sequence of ints, got {describe(argnums)} at {here()}"
        )
    return tuple(int(i) for i in argnums)


def check_argnums(wanted: tuple[int, ...], args: Sequence[Any], what: str, fun: Any) -> tuple[int, ...]:
    """argnums made non-negative; raises ValueError or TypeError when they do not fit the call."""
    result = []
    for i in wanted:
        if not hasattr(i, "__index__"):
            raise FunctransTypeError(
                f"argnums of {what} must be an int or a sequence of ints, got {wanted!r} at {here()}"
            )
        if not -len(args) <= i < len(args):
            raise FunctransValueError(
                f"{what} of {function_name(fun)} was asked to differentiate by positional argument {i} (argnums="
                f"{wanted[0] if len(wanted) == 1 else wanted}), and the call has {len(args)} positional argument(s). "
                f"At {here()}\nKeyword arguments cannot be differentiated by: pass the argument by position."
            )
        result.append(i % len(args))
    if len(set(result)) != len(result):
        raise FunctransValueError(f"argnums={wanted} of {what} names an argument twice, at {here()}")
    return tuple(result)


def entering_inputs(
    leaves: Sequence[Any], tree: Any, what: str, holomorphic: bool, allow_int: bool
) -> tuple[list[Any], list[ArrayType]]:
    """The leaves that are differentiated by, as ``entering`` has them; raises TypeError when one has no derivative."""
    name = named("the argument", tree)
    types = [check_input(x, i, name, what, holomorphic, allow_int) for i, x in enumerate(leaves)]
    return [as_its_type(x, t) for x, t in zip(leaves, types, strict=True)], types


def check_input(x: Any, i: int, name: Name, what: str, holomorphic: bool, allow_int: bool) -> ArrayType:
    """The type of differentiated leaf i; raises TypeError when it has no derivative."""
    kind = type(x)
    if kind is float and not holomorphic:
        return type_of(x)
    if kind is array_values.ArrayImpl and kind_of(x.dtype) == "f" and not holomorphic:
        return type_of(x)
    type_ = leaf_type(x, i, lambda i: f"{name(i)} of {what}")
    dtype = type_.dtype
    if holomorphic:
        if kind_of(dtype) != "c":
            raise FunctransTypeError(
                f"{what} with holomorphic=True needs complex inputs, and {name(i)} has "
                f"dtype {dtype.name} at {here()}\nConvert it with .astype(complex)."
            )
    elif kind_of(dtype) == "c":
        return type_
    elif not is_differentiable(dtype) and not allow_int:
        raise FunctransTypeError(
            f"{what} needs real or complex floating inputs, and {name(i)} has dtype "
            f"{short_dtype(dtype)} ({type_}) at {here()}\nConvert it to a float (3.0 instead of 3, x.astype(float)), "
            "or pass allow_int=True to get a zero derivative of dtype float0."
        )
    return type_


def check_scalar(result: Any, what: str, holomorphic: bool) -> Any:
    """The function's value; raises TypeError unless it is a floating scalar."""
    if type(result) is not Tracer:
        try:
            type_ = type_of(result)
        except FunctransTypeError:
            raise FunctransTypeError(
                f"{what} needs a function with a scalar result, and it returned {describe(result)} at {here()}\n"
                "Return one number; with extra results, return (value, extra) and pass has_aux=True."
            ) from None
    else:
        type_ = result.type
    if type_.shape != ():
        raise FunctransTypeError(
            f"{what} needs a function with a scalar result, and it returned an array of shape {type_.shape} ({type_}) "
            f"at {here()}\nReduce it (sum or mean), or use jacrev or jacfwd for the derivative of an array."
        )
    kind = kind_of(type_.dtype)
    if holomorphic and kind != "c":
        raise FunctransTypeError(f"{what} with holomorphic=True needs a complex result, got {type_} at {here()}")
    if not holomorphic and not (is_differentiable(type_.dtype) and kind != "c"):
        fix = "Pass holomorphic=True, or return its real part." if kind == "c" else "Convert it to a float."
        raise FunctransTypeError(f"{what} needs a function with a real floating result, got {type_} at {here()}\n{fix}")
    return result


def check_tangent(what: str, word: str, t: Any, wanted: ArrayType, i: int) -> bool:
    """Whether a tangent (or cotangent) is given and not float0; raises when its type is wrong."""
    if isinstance(t, np.ndarray) and t.dtype == float0:
        if wanted.dtype == float0 and t.shape == wanted.shape:
            return False
        raise FunctransTypeError(f"{what}: {word} {i} has dtype float0 and its primal needs {wanted} at {here()}")
    type_ = leaf_type(t, i, lambda i: f"{word} {i} of {what}")
    if wanted.dtype == float0:
        # float0 is an argument of a function that is traced; a cotangent of anything else says nothing
        if type_.shape == wanted.shape and (type_.dtype == float0 or word == "cotangent"):
            return False
        raise FunctransTypeError(
            f"{what}: {word} {i} has type {type_}, and the value it belongs to is integer or bool, whose {word}s have "
            f"dtype float0, at {here()}\nPass np.zeros({wanted.shape}, functrans.float0)."
        )
    if type_.shape != wanted.shape:
        raise FunctransValueError(
            f"{what}: {word} {i} has shape {type_.shape} and the value it belongs to has shape {wanted.shape}, at "
            f"{here()}"
        )
    if type_.dtype != wanted.dtype and not isinstance(t, bool | int | float):
        raise FunctransTypeError(
            f"{what}: {word} {i} has dtype {short_dtype(type_.dtype)} and the value it belongs to has dtype "
            f"{short_dtype(wanted.dtype)}, at {here()}\nConvert it with .astype({wanted.dtype.name!r})."
        )
    return True


def as_type(t: Any, wanted: ArrayType) -> Any:
    """A tangent or cotangent with exactly this dtype (Python numbers and weak types adapt).

    While something is traced a number stays a number: as an array it would be captured, and nothing would fold.
    """
    if isinstance(t, bool | int | float | complex):
        if current_builder() is not None:
            return scalar_literal(t, wanted.dtype, wanted.weak_type)
        return np.asarray(t, wanted.dtype)
    return as_its_type(t, wanted)


def as_array(x: Any) -> Any:
    """A residual as an array (arguments may be Python numbers)."""
    return x if isinstance(x, jax.Array) else array_values.put(x, type_of(x), configuration.default_device())


def zero_value(type_: ArrayType) -> Any:
    """A zero tangent or cotangent of this type, as the user sees it (float0 for integers)."""
    if type_.dtype == float0 or not is_differentiable(type_.dtype):
        return np.zeros(type_.shape, float0)
    return zeros(type_.shape, type_)


def split_aux(result: Any, what: str, sizes: list[int]) -> Any:
    """Check a (result, auxiliary) pair and note how many leaves belong to the result; objects are set aside."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise FunctransTypeError(
            f"with has_aux=True the function given to {what} must return a pair (result, auxiliary), it returned "
            f"{describe(result)} at {here()}"
        )
    sizes.append(tree_structure(result[0]).num_leaves)
    return result[0], hold_objects(result[1])


@jax.tree_util.register_pytree_node_class
class _Held:
    """An auxiliary result that is no array: it passes through a transform untouched."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten(self) -> Any:
        return (), (id(self.value), self.value)

    @classmethod
    def tree_unflatten(cls, static: Any, _: Any) -> _Held:
        return cls(static[1])


def hold_objects(aux: Any) -> Any:
    """The auxiliary result with its leaves that are no arrays set aside in the tree: numbers stay numbers."""
    return jax.tree_util.tree_map(
        lambda x: x if type(x) is Tracer or isinstance(x, jax.Array | np.ndarray | np.generic) else _Held(x), aux
    )


def release_objects(result: Any) -> Any:
    """The result with the objects set aside by ``hold_objects`` back in their places."""
    return jax.tree_util.tree_map(
        lambda x: x.value if type(x) is _Held else x, result, is_leaf=lambda x: type(x) is _Held
    )


def tuple_of(value: Any, kind: type, what: str) -> tuple[Any, ...]:
    """One number or name (``kind``) or several, as a tuple."""
    kinds = (int, np.integer) if kind is int else (kind,)
    if value is None:
        return ()
    if isinstance(value, kinds):
        return (kind(value),)
    if isinstance(value, Iterable) and not isinstance(value, str):
        result = tuple(value)
        if all(isinstance(v, kinds) for v in result):
            return tuple(map(kind, result))
    raise FunctransTypeError(f"jit: {what} must be one {kind.__name__} or a sequence of them, got {describe(value)}")


def resolve_names(fun: Callable[..., Any], nums: tuple[int, ...], names: tuple[str, ...], what: str) -> tuple[Any, Any]:
    """argnums and argnames completed from each other by the function's signature, and checked against it."""
    if not nums and not names:  # a signature costs 50 us, and the usual function needs none
        return nums, names
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        return nums, names
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    by_keyword = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for i in nums:
        if not variadic and not -len(positional) <= i < len(positional):
            raise FunctransValueError(
                f"jit: {what}argnums has {i}, and {function_name(fun)} takes {len(positional)} positional argument(s)"
            )
    for name in names:
        own = any(p.name == name for p in parameters)
        if name not in by_keyword and (own or not any(p.kind is p.VAR_KEYWORD for p in parameters)):
            raise FunctransValueError(
                f"jit: {what}argnames has {name!r}, and {function_name(fun)} "
                + ("takes that by position alone" if own else "has no argument of that name")
            )
    order = [p.name for p in positional]
    extra_nums = {order.index(n) for n in names if n in order}
    extra_names = {order[i] for i in nums if -len(order) <= i < len(order) and order[i] in by_keyword}
    return tuple(dict.fromkeys([*nums, *sorted(extra_nums)])), tuple(dict.fromkeys([*names, *sorted(extra_names)]))
