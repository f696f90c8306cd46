"""``dot_general``: sums of products over chosen axes, the one operation behind dot, matmul, tensordot and einsum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import ml_dtypes
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, canonical_dtype, is_differentiable, type_of
from functrans.ops.elementwise import add, kind_of, mul, one_axis, real_dtype
from functrans.ops.structural import Axes, Transpose, broadcast_in_dim, convert, reshape, transpose
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.series import Line
from functrans.trace.tracer import producer_of, tracer_for

DotDimensionNumbers: TypeAlias = "tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]"


class DotGeneral(Primitive):
    """Contract ``lhs_contracting`` of the first operand with ``rhs_contracting`` of the second.

    Axes of the result: the batch axes, the other axes of the first operand, the other axes of the second.
    ``precision``: that of both operands, or of each as 'HIGH:DEFAULT', or the name of an algorithm.
    """

    smooth = True
    lhs_contracting: Axes
    rhs_contracting: Axes
    lhs_batch: Axes
    rhs_batch: Axes
    preferred_element_type: np.dtype[Any]
    precision: str = "DEFAULT"

    def with_axes(self, contracting: tuple[Axes, Axes], batch: tuple[Axes, Axes], swap: bool = False) -> DotGeneral:
        """The same product over other axes; ``swap``: its operands change places, and so do their precisions."""
        precision = ":".join(reversed(self.precision.split(":"))) if swap else self.precision
        return DotGeneral(*contracting, *batch, self.preferred_element_type, precision)

    def infer(self, x: ArrayType, y: ArrayType) -> ArrayType:
        for what, ours, theirs in (
            ("contracting", self.lhs_contracting, self.rhs_contracting), ("batch", self.lhs_batch, self.rhs_batch),
        ):  # fmt: skip
            fits = (
                len(ours) == len(theirs) and all(0 <= a < x.ndim for a in ours) and all(0 <= b < y.ndim for b in theirs)
            )
            if not fits or any(x.shape[a] != y.shape[b] for a, b in zip(ours, theirs, strict=True)):
                raise FunctransTypeError(
                    f"dot_general: {what} axes {ours} of shape {x.shape} and {theirs} of shape {y.shape} must pair "
                    "axes of equal size"
                )
        for axes in ((*self.lhs_contracting, *self.lhs_batch), (*self.rhs_contracting, *self.rhs_batch)):
            if len(set(axes)) != len(axes):
                raise FunctransTypeError(f"dot_general: axes {axes} name one axis twice")
        shape = (
            *[x.shape[a] for a in self.lhs_batch],
            *[x.shape[a] for a in free_axes(x.ndim, self.lhs_contracting, self.lhs_batch)],
            *[y.shape[a] for a in free_axes(y.ndim, self.rhs_contracting, self.rhs_batch)],
        )
        return array_type(shape, self.preferred_element_type, x.weak_type and y.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        x, y = axes
        places = {list(batch).index(a) for a, batch in ((x, self.lhs_batch), (y, self.rhs_batch)) if a in batch}
        if x is not None and y is not None and not (x in self.lhs_batch and y in self.rhs_batch):
            return None
        if places:
            return one_axis(list(places))
        x_free = free_axes(types[0].ndim, self.lhs_contracting, self.lhs_batch)
        y_free = free_axes(types[1].ndim, self.rhs_contracting, self.rhs_batch)
        first = len(self.lhs_batch)
        if y is None and x in x_free:
            return first + list(x_free).index(x)
        if x is None and y in y_free:
            return first + len(x_free) + list(y_free).index(y)
        return None

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Types) -> Any:
        x, y = operands
        contracting, batch = (self.lhs_contracting, self.rhs_contracting), (self.lhs_batch, self.rhs_batch)
        left = _factor_sets(detection, x, y, contracting, batch)
        right = _factor_sets(detection, y, x, contracting[::-1], batch[::-1])
        first, second = len(batch[0]), types[0].ndim - (y.ndim - len(batch[1]) - len(contracting[1]))
        order = [*range(first), *range(second, types[0].ndim), *range(first, second)]  # of the factors changed over

        def back(numbers: Any) -> Any:
            return np.moveaxis(numbers, range(numbers.ndim), order)

        return detection.union(left, detection.renumbered(right, back))

    def sums_over(self, place: int) -> Axes:
        return self.rhs_contracting if place else self.lhs_contracting

    def by_element(self, place: int, scale: Any, operands: Sequence[Any]) -> Any:
        x, y = operands
        axes = [(self.lhs_contracting, self.lhs_batch), (self.rhs_contracting, self.rhs_batch)]
        free = [free_axes(v.ndim, *own) for v, own in zip(operands, axes, strict=True)]
        count, b = math.prod([x.shape[a] for a in self.lhs_contracting]), len(self.lhs_batch)
        out = (count, *self.infer(x.type, y.type).shape)
        i = b + 1 + len(free[0])
        places = [(*range(b + 1), *range(b + 1, i)), (*range(b + 1), *range(i, len(out)))]

        def wide(v: Any, which: int) -> Any:  # [element, *result]
            v = transpose(v, (*axes[which][0], *axes[which][1], *free[which]))
            v = reshape(v, (count, *v.shape[len(axes[which][0]) :]))
            return convert(broadcast_in_dim(v, out, places[which]), self.preferred_element_type)

        other = wide(operands[1 - place], 1 - place)
        return other if scale is None else mul(wide(scale, place), other)

    def impl(self, x: Any, y: Any) -> Any:
        x, y = np.asarray(x), np.asarray(y)
        wide = np.result_type(*[np.float32 if v.dtype.kind == "V" else v.dtype for v in (x, y)])
        to = self.preferred_element_type
        if to.kind != "V" and to.kind != "b":
            wide = np.result_type(wide, to)
        x, y = x.astype(wide), y.astype(wide)
        x_free = free_axes(x.ndim, self.lhs_contracting, self.lhs_batch)
        y_free = free_axes(y.ndim, self.rhs_contracting, self.rhs_batch)
        batch, count = [x.shape[a] for a in self.lhs_batch], int(np.prod([x.shape[a] for a in self.lhs_contracting]))
        x_shape, y_shape = [x.shape[a] for a in x_free], [y.shape[a] for a in y_free]
        left = np.transpose(x, (*self.lhs_batch, *x_free, *self.lhs_contracting))
        right = np.transpose(y, (*self.rhs_batch, *self.rhs_contracting, *y_free))
        left = left.reshape((*batch, int(np.prod(x_shape)), count))
        right = right.reshape((*batch, count, int(np.prod(y_shape))))
        return np.matmul(left, right).reshape((*batch, *x_shape, *y_shape)).astype(self.preferred_element_type)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        left = bind(self, s, y) if s is not None else None
        right = bind(self, x, t) if t is not None else None
        return bind(self, x, y), left if right is None else right if left is None else add(left, right)

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        return line.product(self, x, y)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        if is_linear(x):
            dims = (self.lhs_contracting, self.rhs_contracting), (self.lhs_batch, self.rhs_batch)
            return [self._transposed(cotangent, x, y, *dims, first=True), None]
        dims = (self.rhs_contracting, self.lhs_contracting), (self.rhs_batch, self.lhs_batch)
        return [None, self._transposed(cotangent, y, x, *dims, first=False)]

    def _transposed(
        self, cotangent: Any, x: Any, y: Any, contracting: tuple[Axes, Axes], batch: tuple[Axes, Axes], first: bool
    ) -> Any:
        """The cotangent of x. Of the two orders of the product, the one that needs no transpose, if either does."""
        x_kept, y_kept = free_axes(x.ndim, contracting[0], batch[0]), free_axes(y.ndim, contracting[1], batch[1])
        count = len(batch[0])
        rest = tuple(range(count, count + len(x_kept) + len(y_kept)))
        ours = rest[len(x_kept) :] if first else rest[: len(y_kept)]  # y's axes in the cotangent
        summed = [contracting[0][i] for i in _order(contracting[1])]  # x's contracting axes, ordered as in y
        ahead, behind = (*batch[0], *x_kept, *summed), (*batch[0], *summed, *x_kept)
        batching = tuple(range(count))
        if behind == tuple(range(x.ndim)) and ahead != behind:
            op = self.with_axes((y_kept, ours), (batch[1], batching), swap=first)
            product, order = bind(_with_dtype(op, x.dtype), y, cotangent), behind
        else:
            op = self.with_axes((ours, y_kept), (batching, batch[1]), swap=not first)
            product, order = bind(_with_dtype(op, x.dtype), cotangent, y), ahead
        out = transpose(product, _order(order))
        return convert(out, x.dtype, x.type.weak_type) if out.dtype != x.dtype else out

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """The mapped axis moves to the front by a transpose of the result.

        Where the next product reads that, it takes the axes as they lie in memory: with the mapped axis moved back and
        forth, XLA would copy what lies between. Of the two orders of a product, the one whose last axes lie as wanted.
        """
        x, y = operands
        x_contracting, x_batch = (_shifted(a) if mapped[0] else a for a in (self.lhs_contracting, self.lhs_batch))
        y_contracting, y_batch = (_shifted(a) if mapped[1] else a for a in (self.rhs_contracting, self.rhs_batch))
        if all(mapped):
            x_batch, y_batch = (0, *x_batch), (0, *y_batch)
        shared = [("both", i) for i in range(len(x_batch))]
        x_free = [("x", a) for a in free_axes(x.ndim, x_contracting, x_batch)]
        y_free = [("y", a) for a in free_axes(y.ndim, y_contracting, y_batch)]
        wanted = [*shared, *x_free, *y_free]
        if not all(mapped):
            wanted.sort(key=lambda axis: axis != ("x" if mapped[0] else "y", 0))
        (x, x_places), (y, y_places) = _as_stored(x), _as_stored(y)
        x_free.sort(key=lambda axis: x_places[axis[1]])
        y_free.sort(key=lambda axis: y_places[axis[1]])
        x_contracting, x_batch = (tuple([x_places[a] for a in axes]) for axes in (x_contracting, x_batch))
        y_contracting, y_batch = (tuple([y_places[a] for a in axes]) for axes in (y_contracting, y_batch))
        found = [*shared, *x_free, *y_free]
        swapped = [*shared, *y_free, *x_free]
        if _equal_at_end(swapped, wanted) > _equal_at_end(found, wanted):
            op = self.with_axes((y_contracting, x_contracting), (y_batch, x_batch), swap=True)
            out, found = bind(op, y, x), swapped
        else:
            out = bind(self.with_axes((x_contracting, y_contracting), (x_batch, y_batch)), x, y)
        return transpose(out, [found.index(axis) for axis in wanted]), True

    def cost(self, in_types: Types, out_types: Types) -> int:
        return 2 * int(out_types[0].size) * math.prod([in_types[0].shape[axis] for axis in self.lhs_contracting])

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        batching = ""
        if self.lhs_batch:
            batching = f"batching_dims = {list(self.lhs_batch)} x {list(self.rhs_batch)}, "
        text = (
            f"stablehlo.dot_general {operands[0]}, {operands[1]}, {batching}"
            f"contracting_dims = {list(self.lhs_contracting)} x {list(self.rhs_contracting)}{self._precision_text()}"
        )
        return emitter.op(text, in_types, out_types[0])

    def _precision_text(self) -> str:
        if self.precision in _ALGORITHMS:
            left, right, accumulation, components, primitives = _ALGORITHMS[self.precision]
            return (
                f", algorithm = <lhs_precision_type = {left}, rhs_precision_type = {right}, "
                f"accumulation_type = {accumulation}, "
                f"lhs_component_count = {components}, rhs_component_count = {components}, "
                f"num_primitive_operations = {primitives}, allow_imprecise_accumulation = false>"
            )
        left, _, right = self.precision.partition(":")
        return f", precision = [{left}, {right or left}]"


def _factor_sets(
    detection: Detection, x: Entry, y: Entry, contracting: tuple[Axes, Axes], batch: tuple[Axes, Axes]
) -> Any:
    """The sets of a product by its factor x, with the axes (batch, free axes of x, free axes of y): all along the
    contracted axes, but where y is known to be zero."""
    x_free, y_free = free_axes(x.ndim, contracting[0], batch[0]), free_axes(y.ndim, contracting[1], batch[1])
    sizes = [[v.shape[a] for a in axes] for v, axes in ((x, batch[0]), (x, x_free), (y, y_free))]
    shape = tuple([n for own in sizes for n in own])
    b, i, j = (math.prod(own) for own in sizes)
    known = None if x.sets is None else y.holds()
    if known is not None:
        holds = np.transpose(known, (*batch[1], *contracting[1], *y_free)).reshape((b, -1, j))
        lanes, summed, columns = np.nonzero(holds)
        if lanes.size * i <= _PAIRS:
            k = holds.shape[1]
            places = np.transpose(_flat_positions(x.shape), (*batch[0], *x_free, *contracting[0])).reshape((b, i, k))
            rows = np.arange(i)[:, None]
            return detection.collected(
                x.sets, (lanes * i + rows) * j + columns, places[lanes, rows, summed], shape
            )
    reduced = detection.reduced(x.sets, contracting[0])  # the axes that are left keep their order
    left = [a for a in range(x.ndim) if a not in contracting[0]]
    order = [left.index(a) for a in (*batch[0], *x_free)]
    lead = tuple([x.shape[a] for a in (*batch[0], *x_free)])

    def widened(numbers: Any) -> Any:
        return np.broadcast_to(np.transpose(numbers, order).reshape((*lead, *[1] * len(y_free))), shape)

    return detection.renumbered(reduced, widened)


_PAIRS = 20_000_000  # products of single elements that are looked at


def _flat_positions(shape: Axes) -> Any:
    return np.arange(math.prod(shape)).reshape(shape)


def _with_dtype(op: DotGeneral, dtype: np.dtype[Any]) -> DotGeneral:
    """The product with results of this dtype, where the precision of the accumulation stays as it was."""
    if op.preferred_element_type == dtype or kind_of(op.preferred_element_type) == kind_of(dtype):
        return op
    return DotGeneral(op.lhs_contracting, op.rhs_contracting, op.lhs_batch, op.rhs_batch, dtype, op.precision)


def _order(axes: Axes) -> Axes:
    """The positions that sort ``axes``: the inverse, where they are a permutation."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def free_axes(ndim: int, contracting: Axes, batch: Axes) -> Axes:
    """The axes that are neither contracted nor batch axes."""
    return tuple([a for a in range(ndim) if a not in contracting and a not in batch])


def _shifted(axes: Axes) -> Axes:
    return tuple([a + 1 for a in axes])


def _as_stored(x: Any) -> tuple[Any, Axes]:
    """What a transpose was applied to, and the axis of it that each axis is."""
    producer = producer_of(x)
    if producer is None or type(producer.op) is not Transpose:
        return x, tuple(range(x.ndim))
    return tracer_for(x, producer.inputs[0]), producer.op.permutation


def _equal_at_end(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    pairs = zip(reversed(ours), reversed(theirs), strict=True)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


# -- precision -------------------------------------------------------------------------------------------------------

_PRECISIONS = {
    "default": "DEFAULT", "fastest": "DEFAULT", "bfloat16": "DEFAULT", "high": "HIGH", "tensorfloat32": "HIGH",
    "bfloat16_3x": "HIGH", "highest": "HIGHEST", "float32": "HIGHEST",
}  # fmt: skip

# name: types of the operands and of the accumulation, number of components, number of primitive operations
_ALGORITHMS: dict[str, tuple[str, str, str, int, int]] = {
    "F16_F16_F16": ("f16", "f16", "f16", 1, 1),
    "F16_F16_F32": ("f16", "f16", "f32", 1, 1),
    "BF16_BF16_BF16": ("bf16", "bf16", "bf16", 1, 1),
    "BF16_BF16_F32": ("bf16", "bf16", "f32", 1, 1),
    "BF16_BF16_F32_X3": ("bf16", "bf16", "f32", 1, 3),
    "BF16_BF16_F32_X6": ("bf16", "bf16", "f32", 1, 6),
    "BF16_BF16_F32_X9": ("bf16", "bf16", "f32", 1, 9),
    "TF32_TF32_F32": ("tf32", "tf32", "f32", 1, 1),
    "TF32_TF32_F32_X3": ("tf32", "tf32", "f32", 1, 3),
    "F32_F32_F32": ("f32", "f32", "f32", 1, 1),
    "F64_F64_F64": ("f64", "f64", "f64", 1, 1),
}


class DotAlgorithm(NamedTuple):
    """The arithmetic of a product by its parts: what its operands are rounded to, in what it adds, and in how many
    passes over how many parts of each. One that is none of ``lax.DotAlgorithmPreset`` is refused.
    """

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


_STORED = {t: np.dtype(name) for t, name in {"f16": "float16", "f32": "float32", "f64": "float64"}.items()}
_STORED["bf16"] = np.dtype(ml_dtypes.bfloat16)


def precision_name(precision: Any) -> str:
    """A precision of functrans or JAX, a string, a pair of them or None (the configured default) as a string."""
    if precision is None:
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        if precision is None:
            return "DEFAULT"
    if hasattr(precision, "lhs_precision_type"):
        return _algorithm_name(precision)
    if isinstance(precision, tuple | list):
        if len(precision) != 2:
            raise FunctransValueError(f"dot_general: precision must be one value or a pair, got {precision!r}")
        left, right = map(precision_name, precision)
        return left if left == right else f"{left}:{right}"
    name = precision if isinstance(precision, str) else getattr(precision, "name", None)
    if isinstance(name, str):
        known = _PRECISIONS.get(name.lower())
        if known is not None:
            return known
        if name.upper() in ("DEFAULT", *_ALGORITHMS):
            return name.upper()
    raise FunctransValueError(
        f"dot_general: unknown precision {precision!r}; use one of {', '.join(_PRECISIONS)} or an algorithm "
        f"({', '.join(_ALGORITHMS)})"
    )


def _algorithm_name(algorithm: DotAlgorithm) -> str:
    """The preset that says the same."""
    types = [
        np.dtype(t) for t in (algorithm.lhs_precision_type, algorithm.rhs_precision_type, algorithm.accumulation_type)
    ]
    for name, (left, right, accumulation, components, primitives) in _ALGORITHMS.items():
        same_types = types == [_STORED.get(t) for t in (left, right, accumulation)]
        counts = (algorithm.lhs_component_count, algorithm.rhs_component_count, algorithm.num_primitive_operations)
        if same_types and counts == (components, components, primitives) and not algorithm.allow_imprecise_accumulation:
            return name
    raise FunctransValueError(f"dot_general: {algorithm} is none of the algorithms {', '.join(_ALGORITHMS)}")


# -- functions -------------------------------------------------------------------------------------------------------


def _rank(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The order in which XLA picks the dtype of a product of two different ones."""
    part = real_dtype(dtype)
    if is_differentiable(part):
        limits: Any = ml_dtypes.finfo(part)  # type: ignore[no-untyped-call]
        return kind_of(dtype) == "c", int(limits.maxexp), int(limits.nmant), limits.bits, True
    return False, -1, -1, 1 if dtype == np.bool_ else dtype.itemsize * 8, kind_of(dtype) != "u"


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: DotDimensionNumbers,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Sums of products over the contracting axes.

    ``dimension_numbers``: ``((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))``.
    """
    if out_sharding is not None:
        refuse("dot_general", out_sharding=out_sharding)
    x, y = type_of(lhs), type_of(rhs)
    if preferred_element_type is not None:
        dtype = canonical_dtype(preferred_element_type)
    elif x.dtype == y.dtype:
        dtype = x.dtype
    else:
        dtype = max(x.dtype, y.dtype, key=_rank)
        if _rank(x.dtype) == _rank(y.dtype):
            raise FunctransTypeError(f"dot_general: no common dtype for {x} and {y}; convert one with .astype(...)")
    (x_contracting, y_contracting), (x_batch, y_batch) = dimension_numbers
    op = DotGeneral(
        _axes(x_contracting), _axes(y_contracting), _axes(x_batch), _axes(y_batch), dtype, precision_name(precision)
    )
    return bind(op, lhs, rhs)


def _axes(axes: Sequence[int]) -> Axes:
    return tuple([int(a) for a in axes])


def dot(
    lhs: Any, rhs: Any, precision: Any = None, preferred_element_type: Any = None, *,
    dimension_numbers: DotDimensionNumbers | None = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Vector and matrix products of operands of rank 1 or 2; with ``dimension_numbers``, ``dot_general``."""
    if out_sharding is not None:
        refuse("dot", out_sharding=out_sharding)
    if dimension_numbers is not None:
        return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)
    x, y = type_of(lhs), type_of(rhs)
    if not 1 <= x.ndim <= 2 or not 1 <= y.ndim <= 2 or x.shape[-1] != y.shape[0]:
        raise FunctransTypeError(f"dot: incompatible shapes {x.shape} and {y.shape}; vectors and matrices only")
    return dot_general(lhs, rhs, (((x.ndim - 1,), (0,)), ((), ())), precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Any:
    """Products of matrices along shared leading axes: [..., m, k], [..., k, n] -> [..., m, n]."""
    x, y = type_of(lhs), type_of(rhs)
    if x.ndim < 2 or y.ndim != x.ndim or x.shape[:-2] != y.shape[:-2]:
        raise FunctransTypeError(f"batch_matmul: shapes {x.shape} and {y.shape} must be [..., m, k] and [..., k, n]")
    batch = tuple(range(x.ndim - 2))
    return dot_general(lhs, rhs, (((x.ndim - 1,), (x.ndim - 2,)), (batch, batch)), precision)
