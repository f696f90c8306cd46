"""Programs on random keys -> the same programs on the keys' words, for the compiler, which knows no keys.

    k:key<fry>[3] = random_split[shape=(3,)] a:key<fry>[];  c:key<fry>[] = dynamic_slice k i        becomes
    k:u32[3,2] = ... threefry2x32 ... a:u32[2];             c:u32[2] = dynamic_slice k i 0

Operations on keys say what they do to words (``physical``). Those that only move elements (``moves``) move each word
like every other: that is done to all the words at once, by the rule that vectorizes them. Others are refused. Held
programs are rewritten in the same way; the axis of the words is the last one, so that loops over keys slice the words
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.program import Equation, Jaxpr, all_equations, with_programs
from functrans.ir.types import ArrayType, array_type, is_key_dtype
from functrans.ops.key_implementations import partitionable
from functrans.ops.keys import words_of
from functrans.ops.structural import transpose
from functrans.trace.binding import located
from functrans.trace.primitive import Lanes
from functrans.trace.replay import emit, replay, trace

_UINT32 = np.dtype(np.uint32)


def physical_type(type: ArrayType) -> ArrayType:
    """The type of the words of an array of keys; any other type itself."""
    if not is_key_dtype(type.dtype):
        return type
    return array_type((*type.shape, words_of(type.dtype)), _UINT32, False)


def has_keys(jaxpr: Jaxpr) -> bool:
    """Whether the program works on random keys."""
    def look() -> bool:
        return any(is_key_dtype(v.type.dtype) for v in jaxpr.inputs) or any(
            is_key_dtype(v.type.dtype) for eqn in all_equations(jaxpr) for v in eqn.outputs
        )

    return jaxpr.remember("has keys", look)


def on_words(jaxpr: Jaxpr) -> Jaxpr:
    """The program with every array of keys replaced by its words. Remembered on the program."""
    if not has_keys(jaxpr):
        return jaxpr
    return jaxpr.remember(("on words", partitionable()), lambda: _on_words(jaxpr))


def _on_words(jaxpr: Jaxpr) -> Jaxpr:
    types = [physical_type(t) for t in jaxpr.in_types]
    program, captured = trace(lambda *words: replay(jaxpr, words, _rule), types, "a program on random keys")
    assert not captured
    return program


def _rule(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
    op = eqn.op
    types = [a.type for a in eqn.inputs]
    words = op.physical(operands, types)
    if words is not None:
        return words if op.multiple else [words]
    if op.holds_jaxprs:
        return emit(Equation(with_programs(op, on_words), eqn.inputs, eqn.outputs, eqn.where), operands)
    keys = [t.dtype for t in types if is_key_dtype(t.dtype)]
    if not keys:
        return emit(eqn, operands)
    program = op.program(types)
    if program is not None:
        return replay(program, operands, _rule)
    if not op.moves:
        error = FunctransTypeError(f"{op.name} does not accept random keys, got {', '.join(map(str, types))}")
        raise located(error, eqn.where)
    lanes = Lanes(words_of(keys[0]))
    mapped = [is_key_dtype(t.dtype) for t in types]
    outs, outs_mapped = op.batch(lanes, [_front(x) if m else x for x, m in zip(operands, mapped, strict=True)], mapped)
    if not op.multiple:
        return [_back(outs)] if outs_mapped else [outs]
    flags = [outs_mapped] * len(outs) if isinstance(outs_mapped, bool) else outs_mapped
    return [_back(x) if m else x for x, m in zip(outs, flags, strict=True)]


def _front(x: Any) -> Any:
    rank = len(x.shape)
    return transpose(x, (rank - 1, *range(rank - 1)))


def _back(x: Any) -> Any:
    return transpose(x, (*range(1, len(x.shape)), 0))
