"""A function mapped over the leading axis of arrays, some rows at a time: a loop of chunks, each vectorised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.call import Call
from functrans.control.scan import Scan
from functrans.ir.program import Jaxpr
from functrans.ir.types import type_of
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import reshape
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes
from functrans.transform.vmap import vmap_jaxpr


def in_chunks(
    jaxpr: Jaxpr, consts: Sequence[Any], xs: Sequence[Any], length: int, size: int, name: str
) -> list[Any]:
    """The results ``[length, ...]`` of a program (consts, row of each of xs) for every row; ``size`` rows at a time."""
    mapped = [False] * len(consts) + [True] * len(xs)
    turns, left = divmod(length, size)
    parts = []
    if turns:
        chunk = vmap_jaxpr(jaxpr, Lanes(size), mapped, True)[0]
        whole = [reshape(slice_in_dim(x, 0, turns * size), (turns, size, *type_of(x).shape[1:])) for x in xs]
        results = bind_all(Scan(chunk, turns, False, 1, len(consts), 0), [*consts, *whole])
        parts.append([reshape(y, (turns * size, *type_of(y).shape[2:])) for y in results])
    if left or not turns:
        rest = vmap_jaxpr(jaxpr, Lanes(left), mapped, True)[0]
        tail = [slice_in_dim(x, length - left, length) for x in xs]
        parts.append(bind_all(Call(rest, name), [*consts, *tail]))
    return parts[0] if len(parts) == 1 else [concatenate(pair, 0) for pair in zip(*parts, strict=True)]
