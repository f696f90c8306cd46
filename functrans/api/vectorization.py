"""vmap: JAX's name, signature and meaning."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.experimental.sparse import BCOO
from jax.tree_util import keystr, tree_flatten_with_path, tree_map

from functrans.api.arguments import check_callable, check_chunk_size
from functrans.api.references import Given, check_given_once, is_reference, put
from functrans.api.staging import (
    api_boundary,
    apply,
    stage,
    tree_flatten,
    tree_structure,
    tree_unflatten,
)
from functrans.control.chunks import in_chunks
from functrans.control.holding import jaxpr_axis_names, permuted
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, array_type, describe
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import reshape, spread, transpose
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.keywords import takes
from functrans.trace.leaves import entering
from functrans.trace.primitive import Lanes
from functrans.trace.state import axis_scope
from functrans.transform.vmap import vmap as vmap_replay
from functrans.transform.vmap import vmap_jaxpr

_REMEDY = (
    "Under vmap a value stands for many at once. Use functrans.lax.cond or functrans.numpy.where to choose, "
    "functrans.lax.while_loop to repeat, or pass the argument unmapped (in_axes=None) or by closure if it is the same "
    "for all."
)


def is_none(x: Any) -> bool:
    """Leaf test for trees of axes, where None is a leaf."""
    return x is None


@takes(sum_match=False)
def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable | None = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that maps ``fun`` over axes of its arguments, by one batched program instead of a loop.

    Args:
      fun: a function of arrays or pytrees of them.
      in_axes: which axis of each positional argument to map: an int (negative from the end), None (not mapped: handed
        on as it is, a number as a number), or a tuple with an entry for each argument, each a tree prefix of it.
        Keyword arguments are mapped along axis 0.
      out_axes: where the mapped axis goes in each result: an int, None for a result that is the same for all lanes, or
        a tree prefix of the result.
      axis_name: a name for the axis, for ``lax.psum`` and its like.
      axis_size: the size of the axis, needed when nothing is mapped.
      chunk_size: so many lanes at a time, chunk after chunk, so that temporary arrays are those of a chunk; None: all
        at once. Lanes do not meet then: no collective may name the axis.
      spmd_axis_name: refused unless None: no operation of functrans constrains how values are laid out over devices.

    Returns:
      The batched function.

    Raises:
      ValueError: sizes of the mapped axes differ, an axis is out of range, in_axes or out_axes do not fit the trees;
        chunk_size is below one, or lanes speak with each other.

    >>> import numpy as np, functrans as ft
    >>> ft.vmap(lambda x: x * 2.0)(np.arange(3.0, dtype=np.float32)).tolist()
    [0.0, 2.0, 4.0]
    """
    check_callable(fun, "vmap")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, int | tuple)) or isinstance(in_axes, bool):
        raise FunctransTypeError(f"vmap: in_axes must be an int, None or a tuple, got {describe(in_axes)} at {here()}")
    if spmd_axis_name is not None:
        raise FunctransTypeError(
            f"vmap: spmd_axis_name={spmd_axis_name!r} says over which axis of a device mesh the lanes are spread where "
            "the function constrains how its values are laid out over devices, and no operation of functrans does "
            f"that, at {here()}\nLeave it out: the results are the same without it. Where the function uses the lanes' "
            "axis by name (psum, axis_index), pass axis_name."
        )

    chunk = check_chunk_size(chunk_size, "vmap")

    @functools.partial(named_as, fun)
    @api_boundary
    def batched(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise FunctransValueError(
                f"vmap: in_axes has {len(in_axes)} entries and the call has {len(args)} positional argument(s), at "
                f"{here()}\n  in_axes: {in_axes}"
            )
        leaves, tree = tree_flatten((args, kwargs))
        sparse = _holds_sparse(tree)
        axes: list[Any] = [*prefix_axes("in_axes", in_axes, args), *[0] * (len(leaves) - len(tree_flatten(args)[0]))]
        places = [i for i, axis in enumerate(axes) if axis is not None]
        check_given_once("vmap", leaves)
        given = Given("vmap", [leaves[i] for i in places], sliced=True)
        if given.places:
            leaves = [x._read() if axis is not None and is_reference(x) else x for x, axis in zip(leaves, axes)]
        arrays, types = entering([leaves[i] for i in places], lambda i: "an argument of vmap")
        if len(places) < len(leaves):  # what is handed on may be no array, but no mask is to be lost on its way
            entering([x for x in leaves if isinstance(x, np.ma.MaskedArray)], lambda i: "an argument of vmap")
        size = mapped_size(axes, dict(zip(places, types, strict=True)), (args, kwargs), axis_size)
        lanes: list[ArrayType] = []
        for i, t in zip(places, types, strict=True):
            axis = axes[i] = axes[i] % t.ndim
            lanes.append(array_type(t.shape[:axis] + t.shape[axis + 1 :], t.dtype, t.weak_type))

        def of_a_lane(*inputs: Any) -> Any:
            if given.places:
                result = of_its_arguments(given.enter(inputs))
                return given.leave(), result
            return of_its_arguments(inputs)

        def of_its_arguments(inputs: Sequence[Any]) -> Any:
            for i, x in zip(places, inputs, strict=True):
                leaves[i] = x
            if not sparse:
                return call(fun, tree, leaves)  # what is not mapped is handed on as it is
            args, kwargs = tree_map(_in_lanes, tree_unflatten(tree, leaves), is_leaf=_is_sparse)
            return fun(*args, **kwargs)

        with axis_scope({} if axis_name is None else {axis_name: size}):
            purpose = f"vmap of {function_name(fun)}"
            named = axis_name is not None  # what concerns no argument may concern the lanes by their name
            staged = stage(of_a_lane, arrays, lanes, purpose, compiled=named, remedy=_REMEDY)
        jaxpr, captured, out_tree, *_ = staged
        ends: list[int] = []
        if given.places:
            ends_tree, out_tree = out_tree.children()
            numbers = tree_unflatten(ends_tree, range(ends_tree.num_leaves))
            ends = [axes[places[i]] for i, n in zip(given.places, numbers, strict=True) if n is not None]
        placed = [*ends, *out_prefix(out_axes, out_tree)]
        in_places = (*[None] * len(captured), *[axes[i] for i in places])
        mapped = [axis is not None for axis in in_places]

        def transformed(inputs: list[Any]) -> list[Any]:
            inputs = [x if a in (None, 0) else to_front(x, a) for x, a in zip(inputs, in_places, strict=True)]
            if chunk is None or chunk >= size:
                outs, outs_mapped = vmap_replay(jaxpr, Lanes(size, axis_name), inputs, mapped)
            else:
                outs, outs_mapped = _in_chunks(jaxpr, inputs, mapped, size, chunk, axis_name, fun)
            return [
                place_output(*o, size, out_tree)
                for o in zip(outs, outs_mapped, placed, range(-len(ends), len(outs) - len(ends)), strict=True)
            ]

        key = ("vmap", size, in_places, tuple(placed), axis_name, chunk)
        in_types = lambda: batched_types(jaxpr.in_types, size, in_places)
        results = apply(key, jaxpr, [*captured, *arrays], transformed, "vmap", in_types)
        if given.places:
            put([r for r, n in zip(given.outer, numbers, strict=True) if n is not None], results)
        tree = tree_unflatten(out_tree, results[len(ends) :])
        return tree_map(_in_lanes, tree, is_leaf=_is_sparse) if _holds_sparse(out_tree) else tree

    return batched


def _is_sparse(x: Any) -> bool:
    return isinstance(x, BCOO)


def _holds_sparse(tree: Any) -> bool:
    """Whether a sparse matrix is in a tree: it has leaves of its own."""
    if tree.num_leaves < 2:
        return False
    data = tree.node_data()
    return data is not None and (data[0] is BCOO or any(map(_holds_sparse, tree.children())))


def _in_lanes(x: Any) -> Any:
    """A sparse matrix of which data and indices have got axes of lanes has them too, and one of a lane has not."""
    if not _is_sparse(x):
        return x
    lead = x.indices.shape[:-2]
    shape = (*lead, *x.shape[len(x.shape) - (x.indices.shape[-1] + x.data.ndim - len(lead) - 1) :])
    known = {"shape": shape, "indices_sorted": x.indices_sorted, "unique_indices": x.unique_indices}
    return BCOO.tree_unflatten(known, (x.data, x.indices))  # type: ignore[no-untyped-call]


def _in_chunks(
    jaxpr: Jaxpr, inputs: Sequence[Any], mapped: Sequence[bool], size: int, chunk: int, axis_name: Any, fun: Any
) -> tuple[list[Any], list[bool]]:
    """As ``transform.vmap``, a chunk of lanes at a time."""
    if axis_name is not None and axis_name in jaxpr_axis_names(jaxpr):
        raise FunctransValueError(
            f"vmap: chunk_size={chunk} maps {chunk} of {size} lanes at a time, and the function speaks of all of them "
            f"by the name {axis_name!r}, at {here()}\nLeave chunk_size out, or reduce over the lanes after vmap."
        )
    order = sorted(range(len(inputs)), key=lambda i: mapped[i])  # what is shared stands first
    program = permuted(jaxpr, order, range(len(jaxpr.outputs)))
    shared = len(inputs) - sum(mapped)
    values = [inputs[i] for i in order]
    flags = vmap_jaxpr(program, Lanes(chunk), [i >= shared for i in range(len(order))], False)[1]
    results = in_chunks(program, values[:shared], values[shared:], size, chunk, function_name(fun))
    return [x if m else _first_row(x) for x, m in zip(results, flags, strict=True)], list(flags)


def _first_row(x: Any) -> Any:
    return reshape(slice_in_dim(x, 0, 1), x.shape[1:])


def call(fun: Callable[..., Any], tree: Any, inputs: Sequence[Any]) -> Any:
    """The function on unflattened arguments."""
    args, kwargs = tree_unflatten(tree, inputs)
    return fun(*args, **kwargs)


def batched_types(types: Sequence[ArrayType], size: int, places: Sequence[int | None]) -> list[ArrayType]:
    """Types of one lane -> those of all lanes, whose axis stands at these places (None: shared by all)."""
    return [
        t if a is None else t.update(shape=(*t.shape[:a], size, *t.shape[a:]))
        for t, a in zip(types, places, strict=True)
    ]


def to_front(x: Any, axis: int) -> Any:
    """The array with ``axis`` moved to place 0."""
    ndim = len(x.shape)
    return transpose(x, (axis, *[d for d in range(ndim) if d != axis]))


def place_output(x: Any, mapped: bool, axis: int | None, i: int, size: int, tree: Any) -> Any:
    """An output with its mapped axis at ``axis``."""
    if axis is None:
        if mapped:
            raise FunctransValueError(
                f"vmap: out_axes is None for result{output_name(tree, i)}, and that result is mapped (it differs "
                f"between lanes), at {here()}\nGive an int, or reduce over the lanes (functrans.lax.psum with "
                "axis_name)."
            )
        return x
    if not mapped:
        x = spread(x, size)
    ndim = len(x.shape)
    if not -ndim <= axis < ndim:
        raise FunctransValueError(
            f"vmap: out_axes {axis} is out of range for result{output_name(tree, i)}, which has {ndim} axes with the "
            f"mapped one, at {here()}"
        )
    axis %= ndim
    if axis == 0:
        return x
    order = [*range(1, axis + 1), 0, *range(axis + 1, ndim)]
    return transpose(x, order)


def output_name(tree: Any, i: int) -> str:
    """The path of a leaf of the result, for messages."""
    marks = tree_unflatten(tree, list(range(tree.num_leaves)))
    return next((keystr(path) for path, leaf in tree_flatten_with_path(marks)[0] if leaf == i), "")


def prefix_axes(what: str, prefix: Any, tree: Any) -> list[int | None]:
    """One axis for each leaf of ``tree`` from a tree prefix; raises ValueError when it is none."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * tree_structure(tree).num_leaves
    result: list[int | None] = []
    try:
        tree_map(
            lambda axis, part: result.extend([axis] * tree_structure(part).num_leaves), prefix, tree, is_leaf=is_none
        )
    except (ValueError, TypeError, KeyError):
        raise FunctransValueError(
            f"vmap: {what} must be a tree prefix of the {'arguments' if what == 'in_axes' else 'result'}, at {here()}\n"
            f"  {what}: {prefix}\n  tree:    {tree_structure(tree)}"
        ) from None
    for axis in result:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise FunctransTypeError(f"vmap: {what} must hold ints and None, got {describe(axis)} at {here()}")
    return result


def out_prefix(out_axes: Any, out_tree: Any) -> list[int | None]:
    """One axis for each leaf of the result."""
    if isinstance(out_axes, int):
        return [out_axes] * out_tree.num_leaves
    marks = tree_unflatten(out_tree, [0] * out_tree.num_leaves)
    return prefix_axes("out_axes", out_axes, marks)


def mapped_size(axes: Sequence[Any], types: Mapping[int, ArrayType], tree: Any, axis_size: int | None) -> int:
    """The common size of the mapped axes, ``types`` being those of the mapped arguments by their place; raises
    ValueError naming the arguments that disagree."""
    sizes: set[int] = set()
    for i, t in types.items():
        axis = axes[i]
        if not -t.ndim <= axis < t.ndim:
            name = argument_name(tree, i)
            raise FunctransValueError(
                f"vmap was asked to map axis {axis} of {name}, which has shape {t.shape} ({t.ndim} axes), at {here()}\n"
                f"Pass it unmapped with in_axes=None in its place, or give it that axis."
            )
        sizes.add(t.shape[axis])
    if axis_size is not None:
        sizes.add(axis_size)
    if len(sizes) == 1:
        return next(iter(sizes))
    if not sizes:
        raise FunctransValueError(
            f"vmap needs at least one mapped argument (or axis_size), and in_axes maps none, at {here()}"
        )
    lines = [
        f"  {argument_name(tree, i)} has size {t.shape[axes[i]]} along axis {axes[i]} (shape {t.shape})"
        for i, t in types.items()
    ]
    if axis_size is not None:
        lines.append(f"  axis_size is {axis_size}")
    raise FunctransValueError("vmap: the sizes of the mapped axes differ, at " + here() + "\n" + "\n".join(lines))


def argument_name(tree: Any, i: int) -> str:
    """``args[0]['w']`` for leaf i of (args, kwargs)."""
    path = tree_flatten_with_path(tree)[0][i][0]
    return ("args" if path[0].idx == 0 else "kwargs") + keystr(path[1:])


