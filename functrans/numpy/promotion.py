"""From what a user passes to what ``functrans.lax`` takes: dtype promotion, broadcasting, and the checks on the way.

``lax`` operations want operands of one dtype and one shape, or Python scalars beside an array (they become literals of
the program and cost no equation). The functions here bring NumPy's looser conventions to that form with as few
equations as possible: a Python or NumPy scalar is never broadcast, and a weak array beside a strong one of the same
dtype is left as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import (
    ConcretizationError,
    DifferentiatedValueError,
    FunctransTypeError,
    FunctransValueError,
    warn,
)
from functrans.ir.types import (
    EXTENDED_FLOATS,
    SMALLER_THAN_A_BYTE,
    ArrayType,
    as_its_type,
    canonical_dtype,
    check_integer,
    describe,
    is_differentiable,
    kind_of,
    promote,
    refuse_mask,
    scalar_type,
    type_of,
    x64_enabled,
)
from functrans.jaxlib_compat.configuration import on_wide_dtypes, rank_promotion
from functrans.ops.structural import convert, real_part
from functrans.trace.tracer import Tracer
from functrans.trace.values import concrete

Array = Any  # a Tracer or a jax.Array
ArrayLike = Any  # an Array, a numpy.ndarray or a number
DType = np.dtype[Any]

BOOL: DType = np.dtype(np.bool_)
FLOATS: frozenset[DType] = EXTENDED_FLOATS.union([np.dtype(c) for c in "efd"])
COMPLEX: frozenset[DType] = frozenset([np.dtype(np.complex64), np.dtype(np.complex128)])
_INTEGERS = SMALLER_THAN_A_BYTE.union([np.dtype(f"{kind}{n}") for kind in "iu" for n in (1, 2, 4, 8)])
UNSIGNED: frozenset[DType] = frozenset([t for t in _INTEGERS if kind_of(t) == "u"])
SIGNED: frozenset[DType] = frozenset([t for t in _INTEGERS if kind_of(t) == "i"])
INTEGERS = SIGNED | UNSIGNED
INEXACT = FLOATS | COMPLEX
NUMERIC = INTEGERS | INEXACT

_FLOAT32, _FLOAT64, _INT32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)
_WIDE_INTEGERS = (np.dtype(np.int64), np.dtype(np.uint64))


def is_scalar(x: Any) -> bool:
    """Whether x is a Python or NumPy scalar (not a 0-d array): a literal, whose value may enter the program."""
    return isinstance(x, int | float | complex | np.generic)


def as_operand(operation: str, x: Any) -> Any:
    """``x`` itself if an operation can take it, else the array it stands for (``__jax_array__``).

    Raises TypeError, naming the operation, for lists, strings and everything else that is no array.
    """
    if type(x) is Tracer or isinstance(x, jax.Array | np.ndarray | np.generic | int | float | complex):
        return x
    stands_for = getattr(x, "__jax_array__", None)
    if stands_for is not None:
        return as_operand(operation, stands_for())
    hint = " Make it an array first, with functrans.numpy.asarray(...)." if isinstance(x, list | tuple) else ""
    raise FunctransTypeError(f"{operation}: an array or a number is needed, got {describe(x)}.{hint}")


def operand_type(operation: str, x: Any) -> ArrayType:
    """The type of an operand; a TypeError names the operation. OverflowError for a Python integer that is too large."""
    if type(x) is int:
        check_integer(x)
    try:
        return type_of(x)
    except FunctransTypeError as error:
        raise FunctransTypeError(f"{operation}: {error}") from None


def as_array(operation: str, x: Any) -> Any:
    """``x`` as something with ``shape`` and ``dtype`` that lax takes: scalars become 0-d arrays.

    A Python scalar becomes a weak jax.Array.
    """
    x = as_operand(operation, x)
    if isinstance(x, int | float | complex) and not isinstance(x, np.generic):
        return jax.device_put(x)
    if isinstance(x, np.ndarray | np.generic):
        operand_type(operation, x)
        return np.asarray(x, canonical_dtype(x.dtype))
    return x


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a number."""
    return () if is_scalar(x) else tuple(x.shape)


def scalar_of_kind(value: Any, dtype: DType) -> Any:
    """A Python or NumPy scalar as the Python number that is a literal of ``dtype``; integers wrap around. A large one
    of an unsigned dtype, which as a Python number would be refused, is NumPy's.
    """
    if isinstance(value, complex | np.complexfloating) and dtype != BOOL and dtype not in COMPLEX:
        value = real_part(value, dtype)
    if isinstance(value, np.generic):
        value = as_its_type(value, type_of(value)).item()
    if dtype == BOOL:
        return bool(value)
    if dtype in FLOATS:
        return float(value)
    if dtype in COMPLEX:
        return complex(value)
    if isinstance(value, int):
        wrapped = np.asarray(int(value)).astype(dtype)
        number = int(wrapped)
        return number if number <= _largest_integer() else wrapped[()]
    return int(value)


def _largest_integer() -> int:
    return int(np.iinfo(scalar_type(int).dtype).max)


def to_dtype(x: Any, dtype: DType, weak_type: bool = False) -> Any:
    """``x`` in another dtype, as an array. ``x`` itself when nothing changes."""
    if type(x) is not Tracer:
        if is_scalar(x):
            if weak_type:
                array = jax.device_put(scalar_of_kind(x, dtype))
                return array if array.dtype == dtype else convert(array, dtype, True)
            return np.asarray(scalar_of_kind(x, dtype) if not isinstance(x, np.generic) else x).astype(dtype)
        if isinstance(x, np.ndarray) and not weak_type:  # NumPy converts without an equation
            return x if x.dtype == dtype else (x.real if dtype not in COMPLEX and dtype != BOOL else x).astype(dtype)
        if x.dtype == dtype and type_of(x).weak_type == weak_type:
            return x
    return convert(x, dtype, weak_type)


def strengthened(x: Any) -> Any:
    """``x``, as an array of its dtype that is not weak: an operand of what JAX computes with a strong constant."""
    own = type_of(x)
    return to_dtype(x, own.dtype) if own.weak_type else x


def strengthened_array(x: Any) -> Any:
    """``strengthened``, but a single number as it is: JAX's constants are as weak as the number beside them."""
    return strengthened(x) if shape_of(x) else x


def inexact_dtype(dtype: DType) -> DType:
    """The floating dtype that results of transcendental functions of this dtype have."""
    if dtype in INEXACT:
        return dtype
    return _FLOAT64 if dtype in _WIDE_INTEGERS else _FLOAT32


def promote_operands(
    operation: str,
    *operands: Any,
    inexact: bool = False,
    numeric: bool = False,
) -> list[Any]:
    """The operands in their common dtype and shape, as lax takes them.

    Scalars stay Python scalars beside an array. ``inexact`` promotes further to a floating dtype, ``numeric`` makes
    integers of bools. Raises TypeError without a common dtype and ValueError without a common shape.
    """
    if all_alike(operands):
        shape = common_shape(operation, *[x.type.shape for x in operands])
        if rank_promotion() != "allow":
            check_ranks(operation, *[x.type.shape for x in operands])
        return [broadcast(x, shape) for x in operands]
    operands = tuple([as_operand(operation, x) for x in operands])
    dtype, weak = common_dtype(operation, *operands, inexact=inexact, numeric=numeric)
    if all(map(is_scalar, operands)):
        if weak:
            return [scalar_of_kind(x, dtype) for x in operands]
        return [_promoted(x, dtype, False) for x in operands]
    shape = common_shape(operation, *[shape_of(x) for x in operands])
    if rank_promotion() != "allow":
        check_ranks(operation, *[shape_of(x) for x in operands])
    if not weak and all(is_scalar(x) or type_of(x).weak_type for x in operands):
        # Beside weak arrays alone a NumPy scalar keeps its dtype: as a Python number it would leave the result weak.
        return [to_dtype(x, dtype) if is_scalar(x) else broadcast(_to_common(x, dtype, weak), shape) for x in operands]
    return [
        _number_beside(x, dtype, shape) if is_scalar(x) else broadcast(_to_common(x, dtype, weak), shape)
        for x in operands
    ]


def _number_beside(x: Any, dtype: DType, shape: tuple[int, ...]) -> Any:
    """The number that ``x`` is beside an array of this dtype; as an array, where no Python integer may be so large."""
    value = scalar_of_kind(x, dtype)
    if type(value) is int and value >= 1 << 31 and dtype in UNSIGNED and not x64_enabled():  # -1 beside uint32
        return broadcast(np.asarray(value, dtype), shape)
    return value


def all_alike(operands: Sequence[Any]) -> bool:
    """Whether all are traced, of one inexact dtype and none weak: promotion would leave them as they are."""
    first = operands[0]
    if type(first) is not Tracer or first.type.dtype not in INEXACT:
        return False
    dtype = first.type.dtype
    return all(type(x) is Tracer and x.type.dtype is dtype and not x.type.weak_type for x in operands)


def common_dtype(operation: str, *operands: Any, inexact: bool = False, numeric: bool = False) -> tuple[DType, bool]:
    """The dtype and weakness that JAX's promotion gives these operands."""
    types = [operand_type(operation, x) for x in operands]
    try:
        dtype, weak = promote(*types)
    except FunctransTypeError as error:
        raise FunctransTypeError(f"{operation}: {error}") from None
    if inexact and dtype not in INEXACT:
        dtype = inexact_dtype(dtype)
    elif numeric and dtype == BOOL:
        dtype = _INT32
    return dtype, weak


def _to_common(x: Any, dtype: DType, weak: bool) -> Any:
    """Convert, but leave weak beside strong: the result of the operation is strong in any case."""
    if x.dtype == dtype and (not weak or type_of(x).weak_type):
        return x
    return _promoted(x, dtype, weak)


def _promoted(x: Any, dtype: DType, weak: bool) -> Any:
    """``x`` in the dtype that promotion gives it: 64-bit integers wrap first where those are off."""
    if isinstance(x, np.ndarray | np.generic) and x.dtype in _WIDE_INTEGERS and dtype in INEXACT:
        x = as_its_type(x, type_of(x))
    return to_dtype(x, dtype, weak)


def promote_dtypes(operation: str, *operands: Any, inexact: bool = False, numeric: bool = False) -> list[Any]:
    """The operands as arrays in their common dtype, shapes as they are."""
    if all_alike(operands):
        return list(operands)
    operands = tuple([as_operand(operation, x) for x in operands])
    dtype, weak = common_dtype(operation, *operands, inexact=inexact, numeric=numeric)
    return [_promoted(x, dtype, weak) for x in operands]


def promote_one(operation: str, x: Any, inexact: bool = False, numeric: bool = False) -> Any:
    """One operand, in a floating (``inexact``) or at least integer (``numeric``) dtype."""
    x = as_operand(operation, x)
    type_ = operand_type(operation, x)
    dtype = type_.dtype
    weak = type_.weak_type
    if inexact and dtype not in INEXACT:
        dtype = inexact_dtype(dtype)
    elif numeric and dtype == BOOL:
        dtype = _INT32
    elif type(x) is Tracer or isinstance(x, jax.Array):
        return x
    if is_scalar(x):
        return scalar_of_kind(x, dtype) if weak else _promoted(x, dtype, False)
    return _promoted(x, dtype, weak)


def check_ranks(operation: str, *shapes: tuple[int, ...]) -> None:
    """What ``jax_numpy_rank_promotion`` asks for where it is not 'allow': an error or a warning for different ranks."""
    if len({len(shape) for shape in shapes if shape}) < 2:
        return
    listed = " and ".join(map(str, dict.fromkeys(shapes)))
    remedy = "Give the smaller one leading axes of size 1 (x[None]), or set jax_numpy_rank_promotion to 'allow'."
    if rank_promotion() == "raise":
        raise FunctransValueError(
            f"{operation}: shapes {listed} have different ranks, and jax_numpy_rank_promotion is 'raise'. {remedy}"
        )
    warn(f"{operation}: arrays of different ranks are broadcast, of shapes {listed}. {remedy}")


def common_shape(operation: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcast of shapes; a ValueError names the operation, the shapes and the axis that disagrees."""
    first = shapes[0]
    for other in shapes:
        if other != first:
            break
    else:
        return first
    rank = max(map(len, shapes))
    result: list[int] = []
    for axis in range(-rank, 0):
        size = 1
        for shape in shapes:
            n = shape[axis] if len(shape) >= -axis else 1
            if n == 1 or n == size:
                continue
            if size != 1:
                listed = " and ".join(map(str, dict.fromkeys(shapes)))
                raise FunctransValueError(
                    f"{operation}: shapes {listed} cannot be broadcast together: counted from the end, axis {axis} has "
                    f"sizes {size} and {n}. Sizes must be equal or 1; add an axis with x[:, None] or reshape one of "
                    "them."
                )
            size = n
        result.append(size)
    return tuple(result)


def broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` repeated to ``shape`` by NumPy's rules, in at most one equation."""
    own = x.shape
    if own == shape:
        return x
    return lax.broadcast_in_dim(x, shape, tuple(range(len(shape) - len(own), len(shape))))


def filled(shape: tuple[int, ...], value: Any, dtype: DType, weak_type: bool = False) -> Any:
    """An array of one number, weak if wanted."""
    value = scalar_of_kind(value, dtype)
    if weak_type and type(value) is not bool and scalar_type(type(value)).dtype == dtype:
        return lax.full(shape, value)
    result = lax.full(shape, value, dtype)
    return convert(result, dtype, True) if weak_type else result


def select(which: Any, on_true: Any, on_false: Any) -> Any:
    """``lax.select`` where one alternative may be a Python number; ``which`` has the shape of the other one."""
    if is_scalar(on_true):
        on_true = filled(tuple(on_false.shape), on_true, on_false.dtype, type_of(on_false).weak_type)
    elif is_scalar(on_false):
        on_false = filled(tuple(on_true.shape), on_false, on_true.dtype, type_of(on_true).weak_type)
    return lax.select(which, on_true, on_false)


def promote_arrays(
    operation: str, *operands: Any, inexact: bool = False, numeric: bool = False, strong: bool = False
) -> list[Any]:
    """As promote_operands, but Python numbers become arrays too, and with ``strong`` what has axes is not weak."""
    if all_alike(operands):
        shape = common_shape(operation, *[x.type.shape for x in operands])
        if rank_promotion() != "allow":
            check_ranks(operation, *[x.type.shape for x in operands])
        return [broadcast(x, shape) for x in operands]
    operands = tuple([as_operand(operation, x) for x in operands])
    dtype, weak = common_dtype(operation, *operands, inexact=inexact, numeric=numeric)
    shape = common_shape(operation, *[shape_of(x) for x in operands])
    if rank_promotion() != "allow":
        check_ranks(operation, *[shape_of(x) for x in operands])
    strong = strong and weak and shape != ()
    to_common = _promoted if strong else _to_common
    weak = weak and not strong
    return [
        filled(shape, x, dtype, weak) if is_scalar(x) else broadcast(to_common(x, dtype, weak), shape) for x in operands
    ]


# -- arguments that are not arrays ---------------------------------------------------------------------------------


def requested_dtype(operation: str, dtype: Any) -> DType:
    """A dtype that the user asked for, as it is under the x64 flag; asking for 64 bits without it warns."""
    canonical = canonical_dtype(dtype)
    if not x64_enabled() and not any(dtype is kind for kind in (int, float, complex)):
        asked = _named_dtype(dtype)
        if asked is not None and asked != canonical:
            if on_wide_dtypes() != "warn":
                _refuse_wide(operation, asked)
            warn(
                f"{operation}: dtype {asked.name} was asked for and {canonical.name} is used, because 64-bit types are "
                "off. Turn them on with functrans.config.update('jax_enable_x64', True) at the start of the program, "
                f"or ask for {canonical.name}."
            )
    return canonical


def _refuse_wide(operation: str, asked: DType) -> None:
    if on_wide_dtypes() == "error":
        raise FunctransValueError(
            f"{operation}: dtype {asked.name} was asked for, 64-bit types are off, and jax_explicit_x64_dtypes is "
            "'error'. Turn them on with functrans.config.update('jax_enable_x64', True) at the start of the program."
        )
    raise NotImplementedError(
        f"{operation}: dtype {asked.name} was asked for, and 64-bit types are off. jax_explicit_x64_dtypes='allow' is "
        "not there in functrans: turn 64-bit types on with functrans.config.update('jax_enable_x64', True)."
    )


def _named_dtype(dtype: Any) -> DType | None:
    """The NumPy dtype that an argument names, or None where it names none."""
    try:
        return np.dtype(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type | str) else dtype)
    except TypeError:
        return None


def axis_index(operation: str, axis: Any, rank: int) -> int:
    """One axis as a number in [0, rank); raises TypeError for what is no integer, ValueError out of range."""
    try:
        axis = operator.index(axis)
    except TypeError as error:
        if type(axis) is Tracer:
            raise
        raise FunctransTypeError(f"{operation}: axis must be an integer, got {describe(axis)}") from error
    if not -rank <= axis < rank:
        raise FunctransValueError(
            f"{operation}: axis {axis} is out of bounds for an array of {rank} dimension{'s' if rank != 1 else ''}"
        )
    return axis + rank if axis < 0 else axis  # type: ignore[no-any-return]


def axis_indices(operation: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Axes (an int, a sequence of distinct ints, or None for all) as numbers in [0, rank)."""
    if axis is None:
        return tuple(range(rank))
    if not isinstance(axis, tuple | list) and not (isinstance(axis, np.ndarray) and axis.ndim):
        return (axis_index(operation, axis, rank),)
    axes = tuple(axis_index(operation, a, rank) for a in axis)
    if len(set(axes)) != len(axes):
        raise FunctransValueError(f"{operation}: axis {tuple(axis)} names the same axis twice")
    return axes


def static_value(operation: str, name: str, x: Any) -> Any:
    """The concrete value of an argument that decides a shape; ConcretizationError for a traced one without a value."""
    if type(x) is not Tracer:
        return x
    value = concrete(x) if not is_differentiable(x.type.dtype) else None
    if value is not None:
        return value
    try:
        return np.asarray(x)  # an un-jitted call computes what it is asked for, unless a derivative would be lost
    except DifferentiatedValueError:
        raise
    except ConcretizationError:
        raise ConcretizationError(
            f"{operation}: {name} must be known while tracing, because it decides the shape of the result; it is "
            f"traced with type {x.type}. Pass a Python value, or mark the argument with static_argnums."
        ) from None


def static_array(operation: str, name: str, x: Any) -> np.ndarray[Any, Any]:
    """``static_value`` of an array, without a mask."""
    refuse_mask(x)
    return np.asarray(static_value(operation, name, x))


def shape_argument(operation: str, shape: Any) -> tuple[int, ...]:
    """A shape given as an int or a sequence of ints, checked."""
    if isinstance(shape, np.ndarray | jax.Array) or type(shape) is Tracer:
        shape = static_array(operation, "the shape", shape).tolist()
    sizes: Sequence[Any] = shape if isinstance(shape, Sequence) else (shape,)
    if isinstance(shape, str):
        raise FunctransTypeError(f"{operation}: a shape is an int or a sequence of ints, got {describe(shape)}")
    result: list[int] = []
    for n in sizes:
        try:
            size = operator.index(static_value(operation, "a size of the shape", n))
        except TypeError as error:
            if type(n) is Tracer:
                raise
            raise FunctransTypeError(
                f"{operation}: a shape is an int or a sequence of ints, got {describe(n)} in {describe(shape)}"
            ) from error
        result.append(size)
    return tuple(result)
