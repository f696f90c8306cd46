"""What XLA's parser says of a program, said of the user's line.

Operations refuse wrong operands themselves (``Primitive.infer``). Where one has let something pass, the parser's
message names a line of our text; that line, written again with places, names the user's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import jax

from functrans.errors import FunctransTypeError
from functrans.trace.frames import source_line

_MESSAGE = re.compile(r"-:(\d+):\d+: error: (.*)")
_OPERATION = re.compile(r"(?:stablehlo|chlo)\.(\w+)")
_PLACE = re.compile(r'"([^"]*)":(\d+):\d+\)')


def refused(error: jax.errors.JaxRuntimeError, located: Callable[[], str]) -> FunctransTypeError | None:
    """The error about the user's line, where the parser has refused a line of the program; ``located``: the text of the
    program with places, line for line."""
    found = _MESSAGE.search(str(error))
    if found is None or "parse" not in str(error).lower():
        return None
    lines = located().splitlines()
    number, reason = int(found[1]), found[2].strip()
    line = lines[number - 1] if number <= len(lines) else ""
    operation, place = _OPERATION.search(line), _PLACE.search(line)
    what = operation[1] if operation else "an operation"
    at = "an unknown place" if place is None else f"{place[1]}:{place[2]}{source_line(place[1], int(place[2]))}"
    types = line.partition(" : ")[2].partition(" loc(")[0]
    return FunctransTypeError(f"{what}: XLA refuses its parameters or operands ({reason}), at {at}\n{types}".rstrip())
