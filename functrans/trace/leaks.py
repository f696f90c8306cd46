"""Traced values that outlive their trace: looked for at the end of a block of ``jax.checking_leaks``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType, GeneratorType

from functrans.errors import EscapedTracerError
from functrans.trace.frames import describe_place
from functrans.trace.tracer import Tracer, producer_of


def watched() -> Callable[[], None]:
    """What raises EscapedTracerError if a value that is traced from now on outlives its trace: with the value, where it
    was made and what holds it. Not where the block is left by another error, whose frames hold values.
    """
    # Held until the end: no other value may have the address of one of these.
    before = [x for x in gc.get_objects() if type(x) is Tracer]
    handled = sys.exc_info()[1]

    def end() -> None:
        if sys.exc_info()[1] is not handled:
            return
        known = set(map(id, before))
        gc.collect()
        for x in gc.get_objects():
            if type(x) is Tracer and id(x) not in known and not x.builder.open:
                raise EscapedTracerError(_leak(x))

    return end


def _leak(x: Tracer) -> str:
    holders = [r for r in gc.get_referrers(x) if not isinstance(r, FrameType | GeneratorType)]
    kinds = sorted({type(r).__name__ for r in holders})
    producer = producer_of(x)
    made = "an argument or a captured value" if producer is None else f"made at {describe_place(producer.where)}"
    return (
        f"Leaked trace: a traced value of type {x.type} outlives {x.builder.purpose}, held by {_listed(kinds)}\n{made}"
        "\nReturn it from the function that is transformed (has_aux=True carries extra results out)."
    )


def _listed(kinds: list[str]) -> str:
    return " and ".join(f"{'an' if k[0] in 'aeiou' else 'a'} {k}" for k in kinds) or "what is no object of Python"
