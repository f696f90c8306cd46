"""Bases as structure: a linear program on many directions at once, whose seeds are not multiplied while they are seeds.

    push : (a -o b), directions of a -> [directions, b]

Each element of a basis is hit by one direction: all by their own (the standard basis), or many by one that they share
(a colouring). What only moves elements moves the numbers of their directions; what scales them leaves the numbers and
scales the ones. So the first product of a network's Jacobian is the weight itself, and an elementwise function's is a
diagonal. Where an operation needs more, the seeds are written out and the rest is vmap.

    y = dot x W;  z = mul y c      x: identity        y: [d, j] = W[d, j]        z: [d, j] = W[d, j] * c[j]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import ArrayType, Typed
from functrans.ops.constants import Constant
from functrans.ops.elementwise import add
from functrans.ops.logic import eq, select
from functrans.ops.slicing import pad
from functrans.ops.structural import (
    as_declared,
    broadcast_in_dim,
    convert,
    full,
    iota,
    reshape,
    scalar_literal,
    spread,
)
from functrans.trace.binding import as_operand, bind, bind_all
from functrans.trace.primitive import Lanes
from functrans.trace.replay import emit, replay_into

INDEX = np.dtype(np.int32)


class Seeds(Typed):
    """A value in many directions: element e is ``scale[e]`` (None: one) in direction ``directions[e]`` (-1: in none)
    and zero in the others."""

    __slots__ = ("array", "directions", "scale", "type")

    def __init__(self, directions: Any, scale: Any, type: ArrayType) -> None:
        self.directions = directions
        self.scale = scale
        self.type = type
        self.array: Any = None  # written out, once somebody has asked


class Spread(NamedTuple):
    """A value in many directions, along axis 0."""

    value: Any


Known = Mapping[Any, Any]  # by variable, NumPy arrays
MANY = frozenset((Seeds, Spread))  # what differs from direction to direction


def standard(types: Sequence[ArrayType]) -> list[Seeds]:
    """The standard basis of the space of these arrays: one direction for each element, one array after the other."""
    result, first = [], 0
    for t in types:
        result.append(Seeds(np.arange(first, first + t.size, dtype=INDEX).reshape(t.shape), None, t))
        first += t.size
    return result


def standard_arrays(types: Sequence[ArrayType]) -> list[Any]:
    """The standard basis written out: for each array ``[total size, *shape]``."""
    total = sum(t.size for t in types)
    return [written_out(seeds, total) for seeds in standard(types)]


def coloured(types: Sequence[ArrayType], colours: Any) -> list[Seeds]:
    """Elements of one colour share a direction; ``colours``: an int for each element, -1 for those without."""
    result, first = [], 0
    for t in types:
        own = np.asarray(colours[first : first + t.size], INDEX).reshape(t.shape)
        result.append(Seeds(own, None, t))
        first += t.size
    return result


def push(jaxpr: Jaxpr, number: int, inputs: Sequence[Any], known: Sequence[Any] = ()) -> list[Any]:
    """The program's outputs, each a value that is the same in all directions, ``Seeds`` or ``Spread``, as its inputs
    are. It is linear in those of the latter kinds. ``known``: the values of the first inputs, None where they are not
    known while the program is made: seeds that are taken by known indices are still seeds."""
    lanes = Lanes(number)
    found = {v: k for v, k in zip(jaxpr.inputs, known, strict=False) if k is not None}
    values: dict[Any, Any] = {
        v: x if type(x) in MANY else as_operand(x, v.type)
        for v, x in zip(jaxpr.inputs, inputs, strict=True)
    }
    values = replay_into(values, jaxpr.equations, lambda eqn, operands: _applied(eqn, operands, lanes, found))
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def only_direction(seeds: Seeds) -> Any:
    """The seeds, without scale, in direction 0 where that is the only one: no axis of directions."""
    hit = seeds.directions == 0
    if not hit.all():
        return convert(eq(array_of(seeds.directions), 0), seeds.type.dtype, seeds.type.weak_type)
    one = scalar_literal(1, seeds.type.dtype, seeds.type.weak_type)
    return broadcast_in_dim(one, seeds.shape, ()) if seeds.shape else one


def chunk_of(seeds: Seeds, first: Any, size: int) -> Any:
    """The seeds, without scale, in the directions ``first``, first + 1 ... as an array ``[size, ...]``."""
    shape = (size, *seeds.shape)
    numbers = broadcast_in_dim(add(iota(INDEX, size), broadcast_in_dim(first, (size,), ())), shape, (0,))
    own = broadcast_in_dim(array_of(seeds.directions), shape, tuple(range(1, len(shape))))
    return convert(eq(numbers, own), seeds.type.dtype, seeds.type.weak_type)


def written_out(x: Any, number: int) -> Any:
    """Any of the three as an array with an axis 0 of directions."""
    if type(x) is Spread:
        return x.value
    if type(x) is not Seeds:
        return spread(x, number)
    if x.array is None:
        x.array = _as_array(x, number)
    return x.array


def _as_array(x: Seeds, number: int) -> Any:
    shape = (number, *x.type.shape)
    behind = tuple(range(1, len(shape)))
    zero = scalar_literal(0, x.type.dtype, x.type.weak_type)
    one = scalar_literal(1, x.type.dtype, x.type.weak_type)
    scale = one if x.scale is None else broadcast_in_dim(x.scale, shape, behind)
    if not (x.directions >= 0).any():
        return broadcast_in_dim(zero, shape, ())
    if number == 1 and (x.directions == 0).all():
        return broadcast_in_dim(one, shape, ()) if x.scale is None else scale
    hits = eq(
        broadcast_in_dim(iota(INDEX, number), shape, (0,)),
        broadcast_in_dim(array_of(x.directions), shape, behind),
    )
    if x.scale is None:
        return convert(hits, x.type.dtype, x.type.weak_type)
    return select(hits, scale, zero)


def array_of(directions: Any) -> Any:
    """NumPy integers in the program: counted where they count, else a constant."""
    flat = directions.ravel()
    first = int(flat[0]) if flat.size else 0
    if np.array_equal(flat, np.arange(first, first + flat.size)):
        counted = iota(INDEX, flat.size)
        return reshape(add(counted, first) if first else counted, directions.shape)
    return bind(Constant(INDEX, directions.shape, np.ascontiguousarray(directions, INDEX).tobytes()))


def _applied(eqn: Equation, operands: list[Any], lanes: Lanes, known: Known) -> Sequence[Any]:
    op = eqn.op
    if not any(type(x) in MANY for x in operands):
        return emit(eqn, operands)
    if any(type(x) is Seeds for x in operands):
        placed = op.in_place(operands) if op.transparent else None
        if placed is not None:  # a call
            own = {id(x): known[a] for a, x in zip(eqn.inputs, operands, strict=True) if a in known}
            return push(placed[0], lanes.size, placed[1], [own.get(id(x)) for x in placed[1]])
        if not any(type(x) is Spread for x in operands):
            found = kept(eqn, operands, known) or _by_element(eqn, operands, lanes.size)
            if found is not None:
                return found
    mapped = [type(x) in MANY for x in operands]
    arrays = [written_out(x, lanes.size) if m else x for x, m in zip(operands, mapped, strict=True)]
    outs, outs_mapped = op.batch(lanes, arrays, mapped)
    if not op.multiple:
        outs, outs_mapped = [outs], [outs_mapped]
    flags = [outs_mapped] * len(outs) if isinstance(outs_mapped, bool) else outs_mapped
    declared = [as_declared(x, v.type) for v, x in zip(eqn.outputs, outs, strict=True)]
    return [Spread(x) if m else x for x, m in zip(declared, flags, strict=True)]


def kept(eqn: Equation, operands: Sequence[Any], known: Known) -> list[Seeds] | None:
    """The results as seeds, where they are."""
    op = eqn.op
    places = op.moving(len(operands))
    if places and all(i in places or type(x) is Literal or eqn.inputs[i] in known for i, x in enumerate(operands)):
        return moved(eqn, operands, places, known)
    if not op.elementwise or op.multiple:
        return None
    seeds = [x for x in operands if type(x) is Seeds]
    if any(not np.array_equal(x.directions, seeds[0].directions) for x in seeds[1:]):
        return None
    if any(type(x) is not Literal and x.shape not in ((), seeds[0].shape) for x in operands):
        return None
    (t,) = [v.type for v in eqn.outputs]
    scale = bind(op, *[_scale(x) if type(x) is Seeds else x for x in operands])
    if type(scale) is Literal and scale.value == 1 and scale.type.dtype == t.dtype:
        return [Seeds(seeds[0].directions, None, t)]
    if scale.shape != t.shape:
        scale = broadcast_in_dim(scale, t.shape, ())
    return [Seeds(seeds[0].directions, as_declared(scale, t), t)]


def _scale(x: Seeds) -> Any:
    return scalar_literal(1, x.type.dtype, x.type.weak_type) if x.scale is None else x.scale


def moved(eqn: Equation, operands: Sequence[Any], places: Sequence[int], known: Known) -> list[Seeds]:
    """Among operands that are not seeds only zeros stand at these places: the program is linear."""
    op = eqn.op
    types = [v.type for v in eqn.outputs]
    numbers = [
        x.directions + INDEX.type(1) if type(x) is Seeds else np.zeros(x.shape, INDEX) if i in places else x
        for i, x in enumerate(operands)
    ]
    directions = [n - INDEX.type(1) for n in numbers_moved(eqn, numbers, known)]
    if all(type(x) is not Seeds or x.scale is None for x in operands):
        return [Seeds(d, None, t) for d, t in zip(directions, types, strict=True)]
    arrays = [
        full(x.type.shape, 1, x.type.dtype) if type(x) is Seeds and x.scale is None
        else x.scale if type(x) is Seeds else x
        for x in operands
    ]  # fmt: skip
    scales = bind_all(op, arrays) if op.multiple else [bind(op, *arrays)]
    return [Seeds(d, as_declared(s, t), t) for d, s, t in zip(directions, scales, types, strict=True)]


def numbers_moved(eqn: Equation, operands: Sequence[Any], known: Known) -> list[Any]:
    """What an operation that moves elements makes of numbers: NumPy arrays in the places of these, else operands that
    are literals or known."""
    op = eqn.op
    numbers = [
        np.asarray(x) if isinstance(x, np.ndarray | np.generic)
        else np.asarray(x.value if type(x) is Literal else known[eqn.inputs[i]], x.type.dtype)
        for i, x in enumerate(operands)
    ]  # fmt: skip
    found = op.over_numbers().impl(*numbers)
    return [np.asarray(n, INDEX) for n in (found if op.multiple else [found])]


def _by_element(eqn: Equation, operands: Sequence[Any], number: int) -> list[Any] | None:
    """The products with a basis of the axes that an operation sums over are the other factor's elements."""
    op = eqn.op
    places = [i for i, x in enumerate(operands) if type(x) is Seeds]
    if len(places) != 1 or op.multiple:
        return None
    (place,) = places
    x, axes = operands[place], op.sums_over(place)
    if not axes or any(type(v) is Literal for v in operands):
        return None
    kept = [a for a in range(x.directions.ndim) if a not in axes]
    by_axis = np.transpose(x.directions, (*kept, *axes))
    count = int(np.prod([x.directions.shape[a] for a in axes]))
    rows = by_axis.reshape((-1, count)) if by_axis.size else by_axis.reshape((0, 0))
    if not rows.size:
        return None
    first = int(rows[0, 0])
    if first < 0 or not (rows == np.arange(first, first + count)).all():
        return None
    (t,) = [v.type for v in eqn.outputs]
    out = op.by_element(place, x.scale, operands)
    if count != number:
        around = [(first, number - first - count, 0), *[(0, 0, 0)] * (out.ndim - 1)]
        out = pad(out, scalar_literal(0, out.dtype), around)
    return [Spread(as_declared(out, t))]
