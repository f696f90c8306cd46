"""The table of JAX's operations across the lanes of a named axis, and ``shard_map``, whose shards are such lanes.

``shard_map`` over a mesh with axes i and j is ``vmap`` over i and j of its body on blocks of the operands: the blocks
come from the shapes alone, so the program is the same on one device and on many, and its derivatives are ours.

    x: f32[6, 4], P("i")   ->   blocks f32[2, 3, 4], vmap(body, axis_name="i")   ->   f32[2, 3, 4]   ->   f32[6, 4]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.sharding import AxisType

import functrans.numpy as fnp
from functrans import lax
from functrans.api.vectorization import vmap
from functrans.interop.translation import Application, Emit
from functrans.ir.types import type_of


def _reduction(over_names: Callable[..., Any], over_axes: Callable[..., Any]) -> Emit:
    """A reduction over named axes, and over those that JAX's own vmap made axes of the operand already."""

    def emit(application: Application) -> Any:
        params = application.params
        places = [a for a in params["axes"] if isinstance(a, int)]
        names = tuple([a for a in params["axes"] if not isinstance(a, int)])
        results = [over_axes(x, places) if places else x for x in application.operands]
        if names:
            groups = params.get("axis_index_groups")
            results = [over_names(x, names, axis_index_groups=groups) for x in results]
        return results

    return emit


def _axis_name(application: Application) -> Any:
    names = application.params["axis_name"]
    return names[0] if isinstance(names, tuple) and len(names) == 1 else names


def _along(function: Callable[..., Any], groups: bool = True, **options: str) -> Emit:
    """A function of lax on named axes; ``options``: its keyword -> the name of JAX's parameter."""

    def emit(application: Application) -> Any:
        params = application.params
        keywords = {ours: params[theirs] for ours, theirs in options.items()}
        if groups:
            keywords["axis_index_groups"] = params["axis_index_groups"]
        return function(application.operands[0], _axis_name(application), **keywords)

    return emit


def _all_to_all(x: Any, axis_name: Any, **options: Any) -> Any:
    """The operation of JAX is the tiled exchange; jax.lax.all_to_all puts axes of size 1 around it for the other."""
    return lax.all_to_all(x, axis_name, tiled=True, **options)


def _ragged_all_to_all(application: Application) -> Any:
    """Rows of every lane's operand, where each lane says which of its own go to which place of whose result."""
    operand, output, starts, sizes, places, _ = application.operands
    name, groups = _axis_name(application), application.params["axis_index_groups"]
    lanes = lax.axis_size(name)
    count, length = type_of(starts).shape[0], type_of(operand).shape[0]
    if count % lanes:
        raise application.refuse(f"{count} pieces do not divide among {lanes} lanes")
    rows = lax.all_gather(operand, name, axis_index_groups=groups, tiled=True)
    starts, sizes, places = [
        lax.all_to_all(x, name, 0, 0, axis_index_groups=groups, tiled=True) for x in (starts, sizes, places)
    ]
    senders = np.arange(count) // (count // lanes) * length
    at = np.arange(type_of(output).shape[0])
    inside = fnp.logical_and(at >= places[:, None], at < (places + sizes)[:, None])
    piece = fnp.max(fnp.where(inside, np.arange(count)[:, None], -1), 0)  # the last one that is written there
    source = fnp.take(starts + senders - places, fnp.maximum(piece, 0)) + at
    received = fnp.take(rows, source, axis=0, mode="clip") if length else output
    return fnp.where((piece >= 0).reshape((-1,) + (1,) * (type_of(output).ndim - 1)), received, output)


# -- shard_map ---------------------------------------------------------------------------------------------------------


def _names_by_dimension(spec: Any, rank: int) -> list[tuple[Any, ...]]:
    """The mesh axes that split each dimension, the outermost first."""
    entries = [*spec, *[None] * (rank - len(spec))]
    return [() if e is None else e if isinstance(e, tuple) else (e,) for e in entries]


def _blocks(x: Any, spec: Any, sizes: dict[Any, int]) -> tuple[Any, list[Any]]:
    """The operand as [one axis for each mesh axis that splits it, the block], and the names of these axes."""
    shape = type_of(x).shape
    parts: list[int] = []
    front: list[tuple[Any, int]] = []
    rest: list[int] = []
    for size, names in zip(shape, _names_by_dimension(spec, len(shape)), strict=True):
        for name in names:
            front.append((name, len(parts)))
            parts.append(sizes[name])
            size //= sizes[name]
        rest.append(len(parts))
        parts.append(size)
    front.sort(key=lambda item: list(sizes).index(item[0]))
    return lax.transpose(lax.reshape(x, parts), (*[place for _, place in front], *rest)), [name for name, _ in front]


def _joined(x: Any, spec: Any, sizes: dict[Any, int]) -> Any:
    """The result from [one axis for each mesh axis, the block]: axes that do not split it hold equal lanes."""
    names = list(sizes)
    rank = type_of(x).ndim - len(names)
    by_dimension = _names_by_dimension(spec, rank)
    used = {name for entry in by_dimension for name in entry}
    for place, name in reversed(list(enumerate(names))):
        if name not in used:
            x = lax.index_in_dim(x, 0, place, False)
    kept = [name for name in names if name in used]
    order: list[int] = []
    shape: list[int] = []
    block = type_of(x).shape[len(kept) :]
    for d, entry in enumerate(by_dimension):
        order += [*[kept.index(name) for name in entry], len(kept) + d]
        total = block[d]
        for name in entry:
            total *= sizes[name]
        shape.append(total)
    return lax.reshape(lax.transpose(x, order), shape)


def _check_what_types_say(application: Application, sizes: dict[Any, int]) -> None:
    """Refuse what JAX knows by the types of its own values, which say how an array is spread, and not of ours."""
    params = application.params
    mesh = params["mesh"]
    explicit = [
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind is AxisType.Explicit and sizes.get(name, 1) > 1
    ]
    if explicit:
        raise application.refuse(
            f"the mesh axes {', '.join(map(repr, explicit))} are explicit, and whether a value is spread over them is "
            "part of JAX's types and not of functrans' (make the mesh with AxisType.Auto, which computes the same)"
        )


def _shard_map(application: Application) -> Any:
    params = application.params
    mesh, jaxpr = params["mesh"], params["jaxpr"]
    manual = params.get("newly_manual_axes", mesh.axis_names)
    sizes = {name: size for name, size in mesh.shape.items() if name in manual}
    _check_what_types_say(application, sizes)
    blocks = [_blocks(x, s, sizes) for x, s in zip(application.operands, params["in_specs"], strict=True)]

    def body(*shards: Any) -> list[Any]:
        return application.translator.run(getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ()), shards)

    function: Callable[..., Any] = body
    for name in reversed(sizes):
        axes = tuple([0 if name in split else None for _, split in blocks])
        function = vmap(function, axes if axes else 0, axis_name=name, axis_size=sizes[name])
    outs: Sequence[Any] = function(*[x for x, _ in blocks])
    return [_joined(x, s, sizes) for x, s in zip(outs, params["out_specs"], strict=True)]


COLLECTIVES: dict[str, Emit] = {
    **dict.fromkeys(("psum", "psum_invariant", "unreduced_psum"), _reduction(lax.psum, lax.reduce_sum)),
    "pmax": _reduction(lax.pmax, lax.reduce_max),
    "pmin": _reduction(lax.pmin, lax.reduce_min),
    "all_gather": _along(lax.all_gather, axis="all_gather_dimension", tiled="tiled"),
    "all_gather_invariant": _along(lax.all_gather, False, axis="all_gather_dimension", tiled="tiled"),
    "all_to_all": _along(_all_to_all, split_axis="split_axis", concat_axis="concat_axis"),
    "reduce_scatter": _along(lax.psum_scatter, scatter_dimension="scatter_dimension", tiled="tiled"),
    "ppermute": _along(lax.ppermute, False, perm="perm"),
    "ragged_all_to_all": _ragged_all_to_all,
    "pbroadcast": _along(lax.pbroadcast, False, source="source"),
    "axis_index": lambda a: lax.axis_index(_axis_name(a)),
    "shard_map": _shard_map,
}
