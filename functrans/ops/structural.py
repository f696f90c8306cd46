"""Operations that rearrange or retype elements, and their adjoint, the sum: all linear.

``broadcast_in_dim``, ``reshape``, ``transpose``, ``reduce_sum``, ``convert_element_type``, ``stop_gradient``; and
``iota``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError, warn
from functrans.ir.program import Literal
from functrans.ir.types import (
    ArrayType,
    Shape,
    array_type,
    canonical_dtype,
    float0,
    is_differentiable,
    is_key_dtype,
    kind_of,
    short_dtype,
    static_shape,
    type_of,
)
from functrans.trace.binding import as_operand, bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Combination, Fusion, Lanes, Primitive, Tangent, Value
from functrans.trace.tracer import Tracer, producer_of, tracer_for

Axes = tuple[int, ...]


class LinearUnary(Primitive):
    """An operation that is linear in its one operand: jvp applies it to the tangent."""

    smooth = True

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])


def axis_left(axis: int | None, reduced: Axes) -> int | None:
    """Where an axis is when others have been reduced; None if it is among them."""
    if axis is None or axis in reduced:
        return None
    return axis - sum(a < axis for a in reduced)


class BroadcastInDim(LinearUnary):
    """Put operand axis i at axis ``dims[i]`` of ``shape`` and repeat along the others (and along axes of size 1)."""

    moves = True
    cheap = True
    fusion = Fusion.MOVING
    repeats_operand = True
    shape: Shape
    dims: Axes

    def infer(self, x: ArrayType) -> ArrayType:
        dims, shape = self.dims, self.shape
        placed = len(dims) == x.ndim == len(set(dims)) and (not dims or (min(dims) >= 0 and max(dims) < len(shape)))
        if not placed or any(n not in (1, shape[d]) for n, d in zip(x.shape, dims, strict=True)):
            raise FunctransValueError(
                f"broadcast_in_dim: an operand of shape {x.shape} cannot be placed at axes {dims} of {shape}"
            )
        return array_type(self.shape, x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        assert axis is not None
        place = self.dims[axis]
        return place if types[0].shape[axis] == self.shape[place] else None

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        shape = [1] * len(self.shape)
        for n, d in zip(np.shape(x), self.dims, strict=True):
            shape[d] = n
        return np.broadcast_to(np.reshape(x, shape), self.shape)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        kept = {d for n, d in zip(x.shape, self.dims, strict=True) if n == self.shape[d]}
        summed = tuple(d for d in range(len(self.shape)) if d not in kept)
        return [reshape(reduce_sum(cotangent, summed), x.shape)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return broadcast_in_dim(operands[0], (lanes.size, *self.shape), (0, *[d + 1 for d in self.dims])), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        dims = ", ".join(map(str, self.dims))
        return emitter.op(f"stablehlo.broadcast_in_dim {operands[0]}, dims = [{dims}]", in_types, out_types[0])


class Reshape(LinearUnary):
    """The same elements in row-major order under another shape."""

    moves = True
    cheap = True
    fusion = Fusion.MOVING
    shape: Shape

    def infer(self, x: ArrayType) -> ArrayType:
        if math.prod(self.shape) != x.size:
            raise FunctransTypeError(f"reshape: cannot reshape {x.shape} ({x.size} elements) to {self.shape}")
        return array_type(self.shape, x.dtype, x.weak_type)

    def fold(self, x: Any) -> Any:
        producer = producer_of(x)
        if producer is None or type(producer.op) is not Reshape or type(producer.inputs[0]) is Literal:
            return None
        return reshape(tracer_for(x, producer.inputs[0]), self.shape)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        assert axis is not None
        before, size = math.prod(types[0].shape[:axis]), types[0].shape[axis]
        products = [math.prod(self.shape[:i]) for i in range(len(self.shape))]
        found = [i for i, n in enumerate(products) if n == before and self.shape[i] == size]
        return found[-1] if found else None

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        return np.reshape(x, self.shape)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [reshape(cotangent, x.shape)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return reshape(operands[0], (lanes.size, *self.shape)), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(f"stablehlo.reshape {operands[0]}", in_types, out_types[0])


class Transpose(LinearUnary):
    """Result axis i is operand axis ``permutation[i]``."""

    moves = True
    cheap = True
    fusion = Fusion.MOVING
    permutation: Axes

    def infer(self, x: ArrayType) -> ArrayType:
        if sorted(self.permutation) != list(range(x.ndim)):
            raise FunctransValueError(f"transpose: {self.permutation} is not a permutation of the axes of {x.shape}")
        return array_type(tuple([x.shape[p] for p in self.permutation]), x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        assert axis is not None
        return self.permutation.index(axis)

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        return np.transpose(x, self.permutation)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [transpose(cotangent, tuple(int(i) for i in np.argsort(self.permutation)))]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return transpose(operands[0], (0, *[p + 1 for p in self.permutation])), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        dims = ", ".join(map(str, self.permutation))
        return emitter.op(f"stablehlo.transpose {operands[0]}, dims = [{dims}]", in_types, out_types[0])


class ReduceSum(LinearUnary):
    """The sum over ``axes``, accumulated in the operand's dtype."""

    fusion = Fusion.REDUCING
    axes: Axes

    def infer(self, x: ArrayType) -> ArrayType:
        check_axes("reduce_sum", x, self.axes)
        if x.dtype == np.bool_:
            raise FunctransTypeError(
                "reduce_sum: a bool operand cannot be summed; convert it to an integer dtype first"
            )
        return array_type(tuple([n for i, n in enumerate(x.shape) if i not in self.axes]), x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        return axis_left(axis, self.axes)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        return detection.reduced(operands[0].sets, self.axes)

    def sums_over(self, place: int) -> Axes:
        return self.axes

    def by_element(self, place: int, scale: Any, operands: Sequence[Any]) -> Any:
        x = operands[0]
        kept = tuple([a for a in range(x.ndim) if a not in self.axes])
        shape = (math.prod([x.shape[a] for a in self.axes]), *[x.shape[a] for a in kept])
        if scale is None:
            return full(shape, 1, x.dtype)
        return reshape(transpose(scale, (*self.axes, *kept)), shape)

    def impl(self, x: Any) -> Any:
        return np.sum(x, axis=self.axes, dtype=np.asarray(x).dtype)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        kept = tuple(i for i in range(x.ndim) if i not in self.axes)
        return [broadcast_in_dim(cotangent, x.shape, kept)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return reduce_sum(operands[0], tuple(a + 1 for a in self.axes)), True

    def reduction(self) -> tuple[Combination, Sequence[int]]:
        return Combination.SUM, self.axes

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.reduce("add", operands[0], emitter.scalar(0, in_types[0]), self.axes, in_types[0], out_types[0])


class ConvertElementType(Primitive):
    """The same values in another dtype (complex to real drops the imaginary part)."""

    elementwise = True
    smooth = True
    cheap = True
    fusion = Fusion.CHEAP
    to: np.dtype[Any]
    weak_type: bool = False

    def infer(self, x: ArrayType) -> ArrayType:
        if is_key_dtype(x.dtype) != is_key_dtype(self.to):
            raise FunctransTypeError(
                f"convert_element_type: {x} cannot become {short_dtype(self.to)}; functrans.random.key_data(keys) and "
                "wrap_key_data(words) convert between random keys and numbers"
            )
        return array_type(x.shape, self.to, self.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        return axis

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def over_numbers(self) -> ConvertElementType:
        return ConvertElementType(np.dtype(np.int32))

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        if x.dtype.kind == "c" and self.to.kind != "c" and self.to != np.bool_:
            x = x.real
        return x.astype(self.to)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, primals[0])
        return out, bind(self, tangents[0]) if is_differentiable(self.to) else None

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [convert(cotangent, x.dtype, x.type.weak_type)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        source, to = in_types[0].dtype, self.to
        name = operands[0]
        if source == to:
            return name
        if source.kind == "c" and to.kind != "c":
            if to == np.bool_:
                zero = emitter.splat(0, in_types[0])
                return emitter.op(
                    f"stablehlo.compare NE, {name}, {zero}, FLOAT", (in_types[0], in_types[0]), out_types[0]
                )
            real = in_types[0].update(
                dtype=np.dtype(np.float32 if source.itemsize == 8 else np.float64), weak_type=False
            )
            name = emitter.op(f"stablehlo.real {name}", in_types, real)
            if real.dtype == to:
                return name
            return emitter.op(f"stablehlo.convert {name}", (real,), out_types[0])
        if to == np.bool_:
            zero = emitter.splat(0, in_types[0])
            compare = f"stablehlo.compare NE, {name}, {zero}, {compare_kind(source)}"
            return emitter.op(compare, (in_types[0], in_types[0]), out_types[0])
        return emitter.op(f"stablehlo.convert {name}", in_types, out_types[0])


class StopGradient(Primitive):
    """The operand itself, with a zero derivative."""

    moves = True
    cheap = True
    fusion = Fusion.CHEAP
    locally_constant = True

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return x

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return operands[0]


STOP_GRADIENT = StopGradient()


class Iota(Primitive):
    """0, 1, 2 ... along one axis."""

    cheap = True
    fusion = Fusion.MOVING
    dtype: np.dtype[Any]
    shape: Shape
    dimension: int

    def infer(self) -> ArrayType:
        if not 0 <= self.dimension < len(self.shape):
            raise FunctransValueError(
                f"iota: dimension {self.dimension} is not an axis of an array of shape {self.shape}"
            )
        if min(self.shape) < 0:
            raise FunctransValueError(f"iota: sizes cannot be negative, got {self.shape}")
        return array_type(self.shape, self.dtype, False)

    def impl(self) -> Any:
        numbers = np.arange(self.shape[self.dimension]).astype(self.dtype)
        shape = [-1 if i == self.dimension else 1 for i in range(len(self.shape))]
        return np.broadcast_to(numbers.reshape(shape), self.shape)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.raw(f"stablehlo.iota dim = {self.dimension} : {emitter.text(out_types[0])}")


def iota(dtype: Any, size: int) -> Any:
    """0, 1 ... size - 1."""
    return broadcasted_iota(dtype, (index(size),), 0)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int, *, out_sharding: Any = None) -> Any:
    """0, 1, 2 ... along the axis ``dimension`` of an array of this shape."""
    if out_sharding is not None:
        refuse("broadcasted_iota", out_sharding=out_sharding)
    try:
        sizes = tuple(map(index, shape))
    except TypeError:
        sizes = static_shape("broadcasted_iota", shape)
    return bind(Iota(canonical_dtype(dtype), sizes, int(dimension)))


def compare_kind(dtype: np.dtype[Any]) -> str:
    """How StableHLO compares values of this dtype."""
    if dtype == np.bool_ or dtype.kind == "u" or dtype.name.startswith("uint"):
        return "UNSIGNED"
    return "SIGNED" if dtype.kind == "i" or dtype.name.startswith("int") else "FLOAT"


def check_axes(what: str, x: ArrayType, axes: Sequence[int]) -> None:
    """Raise unless ``axes`` are distinct axes of ``x``."""
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise FunctransValueError(f"{what}: axes {tuple(axes)} are not distinct axes of an array of shape {x.shape}")


def broadcast_in_dim(
    operand: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int] = (), *, out_sharding: Any = None
) -> Any:
    """Put operand axis i at axis ``broadcast_dimensions[i]`` of ``shape``; repeat along the rest."""
    if out_sharding is not None:
        refuse("broadcast_in_dim", out_sharding=out_sharding)
    try:
        shape = tuple(map(index, shape))
    except TypeError:
        shape = static_shape("broadcast_in_dim", shape)
    dims = tuple(broadcast_dimensions)
    type_ = type_of(operand)
    if type_.shape == shape and dims == tuple(range(len(shape))) and type(operand) is Tracer:
        return operand
    producer = producer_of(operand)
    if producer is not None and type(producer.op) is BroadcastInDim and type(producer.inputs[0]) is not Literal:
        inner = producer.op
        if len(dims) == len(inner.shape) and all(shape[d] == n for n, d in zip(inner.shape, dims, strict=True)):
            source = tracer_for(operand, producer.inputs[0])
            return bind(BroadcastInDim(shape, tuple([dims[d] for d in inner.dims])), source)
    return bind(BroadcastInDim(shape, dims), operand)


def broadcast(operand: Any, sizes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """New leading axes of these sizes."""
    if out_sharding is not None:
        refuse("broadcast", out_sharding=out_sharding)
    shape = type_of(operand).shape
    return broadcast_in_dim(operand, (*sizes, *shape), tuple(range(len(sizes), len(sizes) + len(shape))))


def spread(operand: Any, size: int) -> Any:
    """The operand repeated along a new mapped axis 0."""
    shape = type_of(operand).shape if type(operand) is not Literal else ()
    return broadcast_in_dim(operand, (size, *shape), tuple(range(1, len(shape) + 1)))


def zeros_like(x: Any) -> Any:
    """An array of zeros of the type of x (anything with a shape and a dtype)."""
    return full(x.shape, 0, x.dtype)


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None, *, sharding: Any = None) -> Any:
    """An array of this shape filled with a scalar."""
    if sharding is not None:
        refuse("full", sharding=sharding)
    type_ = type_of(fill_value)
    if type_.ndim:
        raise FunctransTypeError(f"full: the fill value has shape {type_.shape}; it must be a scalar")
    if dtype is None:
        to, weak = type_.dtype, type_.weak_type
    else:
        to, weak = canonical_dtype(dtype), False
    if isinstance(fill_value, bool | int | float | complex | np.generic):
        value = scalar_literal(fill_value, to, weak)
    else:
        warn_of_parts(type_.dtype, to)
        value = convert(fill_value, to, weak)
    try:
        sizes = tuple(map(index, shape))
    except TypeError:
        sizes = static_shape("full", shape)
    return broadcast_in_dim(value, sizes, ())


def whole_numbers(sizes: Sequence[Any]) -> tuple[int, ...]:
    """Sizes, axes or positions as a tuple of them; of an array of them, whose elements are arrays, as Python ints."""
    return tuple(sizes) if isinstance(sizes, tuple | list) else tuple(map(index, sizes))


def zeros(shape: Sequence[int], like: ArrayType) -> Any:
    """Zeros of this shape with the dtype and the weak flag of a type."""
    return broadcast_in_dim(scalar_literal(0, like.dtype, like.weak_type), tuple(shape), ())


def scalar_literal(value: Any, dtype: np.dtype[Any], weak_type: bool = False) -> Literal:
    """``value`` as a literal of ``dtype``: the Python number that converts to it."""
    kind = dtype.kind
    if kind == "b":
        value = bool(value)
    elif kind in "iu" or (kind == "V" and kind_of(dtype) in "iu"):
        if isinstance(value, complex | np.complexfloating):
            value = real_part(value, dtype)
        value = int(np.asarray(value).astype(dtype)) if not isinstance(value, int) else int(value)
        if not isinstance(value, bool) and dtype.itemsize and not _fits(value, dtype):
            raise OverflowError(f"Python integer {value} is out of bounds for {short_dtype(dtype)}")
    elif kind == "c":
        value = complex(value)
    else:
        value = float(real_part(value, dtype) if isinstance(value, complex | np.complexfloating) else value)
    return Literal(value, array_type((), dtype, weak_type))


def real_part(value: Any, dtype: np.dtype[Any]) -> Any:
    """What a complex number is in a real dtype: as in JAX, NumPy's loses its imaginary part with NumPy's warning, and
    Python's is refused.
    """
    if not isinstance(value, np.complexfloating):
        raise FunctransTypeError(
            f"the complex number {value} does not fit into {short_dtype(dtype)}\nGive its real part, or ask for a "
            "complex dtype."
        )
    warn_of_parts(np.dtype(np.complex64), dtype)
    return value.real


def warn_of_parts(source: Any, to: Any) -> None:
    """NumPy's warning, as in JAX, where a user's conversion loses imaginary parts."""
    if kind_of(source) == "c" and kind_of(to) not in "cb":
        warn("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning)


def _fits(value: int, dtype: np.dtype[Any]) -> bool:
    bits: int = dtype.itemsize * 8
    low, high = (0, 1 << bits) if dtype.kind == "u" else (-(1 << bits - 1), 1 << bits - 1)
    return low <= value < high


def reshape(operand: Any, new_sizes: Sequence[int]) -> Any:
    """The same elements in row-major order under another shape."""
    try:
        shape = tuple(map(index, new_sizes))
    except TypeError:
        shape = static_shape("reshape", new_sizes)
    type_ = type_of(operand)
    if type_.shape == shape and type(operand) is Tracer:
        return operand
    return bind(Reshape(shape), operand)


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """Result axis i is operand axis ``permutation[i]``."""
    permutation = whole_numbers(permutation)
    if permutation == tuple(range(len(permutation))) and type(operand) is Tracer and operand.ndim == len(permutation):
        return operand
    producer = producer_of(operand)
    if producer is not None and type(producer.op) is Transpose and len(permutation) == len(producer.op.permutation):
        inner = producer.op.permutation
        return transpose(tracer_for(operand, producer.inputs[0]), tuple([inner[p] for p in permutation]))
    return bind(Transpose(permutation), operand)


def reduce_sum(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The sum over ``axes``."""
    if out_sharding is not None:
        refuse("reduce_sum", out_sharding=out_sharding)
    axes = tuple(axes)
    if not axes and type(operand) is Tracer:
        return operand
    return bind(ReduceSum(axes), operand)


def convert(operand: Any, dtype: np.dtype[Any], weak_type: bool = False) -> Any:
    """The operand in another dtype; itself when it has it already."""
    type_ = type_of(operand)
    if type_.dtype == dtype and type_.weak_type == weak_type and type(operand) is Tracer:
        return operand
    if isinstance(operand, bool | int | float | complex):
        return scalar_literal(operand, dtype, weak_type)
    if isinstance(operand, Literal):
        value = operand.value
        if isinstance(value, complex) and dtype.kind not in "bc":
            value = value.real
        return scalar_literal(value, dtype, weak_type)
    return bind(ConvertElementType(dtype, weak_type), operand)


def as_declared(x: Any, type_: ArrayType) -> Any:
    """A result of a rule with the weak flag of the variable that it is for: the rule may have made it another way."""
    if type(x) is not Tracer:
        return as_operand(x, type_)
    if x.type is type_ or x.type.weak_type == type_.weak_type:
        return x
    return convert(x, x.type.dtype, type_.weak_type)


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The operand in another dtype (strong)."""
    to = canonical_dtype(new_dtype)
    if not isinstance(operand, complex):
        warn_of_parts(type_of(operand).dtype, to)
    out = convert(operand, to, False)
    return bind(BroadcastInDim((), ()), out) if type(out) is Literal else out  # users see arrays, not literals


def stop_gradient(x: Any) -> Any:
    """The operand itself, with a zero derivative."""
    type_ = type_of(x)
    # A NumPy array of integers becomes an array too: what is computed with it later follows our promotion, not NumPy's.
    host = isinstance(x, np.ndarray | np.generic) and type_.dtype != float0
    return bind(STOP_GRADIENT, x) if host or is_differentiable(type_.dtype) else x
