"""Printing programs in the style of JAX, with names that do not depend on how the program was traced.

    { lambda ; a:f32[3] b:f32[]. let
        c:f32[3] = sin a
        d:f32[3] = mul c 2.0:f32[]
      in (d,) }

Names are given in the order of printing (a ... z, aa, ab ...), so a retraced program prints the same text. A program
that several equations hold is printed once, ahead of the one that holds it. Nothing recurses, and the cost is linear.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from typing import Any

import numpy as np

from functrans.ir.program import Equation, Jaxpr, Var, Where, subjaxprs
from functrans.ir.types import ArrayType


def format_jaxpr(jaxpr: Jaxpr, lines: bool = False) -> str:
    """The program as text.

    ``lines``: behind each equation, the user's file and line that it came from.
    """
    names = _Names(jaxpr)
    pieces: list[str] = []
    for shared in names.shared_order:
        pieces.append(f"let {names.shared[id(shared)]} = ")
        _write(pieces, shared, names, lines)
        pieces.append(" in\n")
    _write(pieces, jaxpr, names, lines)
    return "".join(pieces)


def format_equation(eqn: Equation, lines: bool = True) -> str:
    """One equation as text, with variables named by their numbers."""
    ins = " ".join(f"%{a.id}" if type(a) is Var else _literal(a) for a in eqn.inputs)
    outs = " ".join(f"%{v.id}:{v.type}" for v in eqn.outputs)
    held = "".join(f"{k}={_value(v)} " for k, v in _shown(eqn.op) if not _holds(v)).strip()
    text = f"{f'{outs} = ' if outs else ''}{eqn.op.name}{f'[{held}]' if held else ''} {ins}".rstrip()
    return f"{text}  # {location(eqn.where)}" if lines else text


def location(where: Where) -> str:
    """``file.py:12 (in f)`` of a recorded place in the user's code."""
    if where is None:
        return "an unknown place"
    code, offset = where
    found = code.co_firstlineno
    for start, end, line in code.co_lines():
        if start <= offset < end:
            found = line if line is not None else found
            break
    return f"{code.co_filename}:{found} (in {code.co_name})"


def source_line(where: Where) -> str:
    """The text of the user's line, empty if it cannot be read."""
    if where is None:
        return ""
    number = int(location(where).rpartition(":")[2].split(" ")[0])
    return linecache.getline(where[0].co_filename, number).strip()


class _Names:
    """Names of variables, given as they are asked for, and of programs that stand in more than one place."""

    def __init__(self, jaxpr: Jaxpr) -> None:
        self.count = 0
        self.variables: dict[Var, str] = {}
        self.shared: dict[int, str] = {}
        self.shared_order: list[Jaxpr] = []
        counts: dict[int, int] = {}
        done: list[Jaxpr] = []  # inner programs before the ones that hold them
        stack: list[tuple[Jaxpr, bool]] = [(jaxpr, False)]
        while stack:
            current, finished = stack.pop()
            if finished:
                done.append(current)
                continue
            counts[id(current)] = counts.get(id(current), 0) + 1
            if counts[id(current)] > 1:
                continue
            stack.append((current, True))
            held = [inner for eqn in current.equations if eqn.op.holds_jaxprs for inner in subjaxprs(eqn.op)]
            stack.extend((inner, False) for inner in reversed(held))
        for inner in done:
            if counts[id(inner)] > 1:
                self.shared[id(inner)] = f"program_{len(self.shared) + 1}"
                self.shared_order.append(inner)

    def name(self, variable: Any) -> str:
        found = self.variables.get(variable)
        if found is None:
            n, found = self.count, ""
            while n >= 0:
                found = chr(97 + n % 26) + found
                n = n // 26 - 1
            self.variables[variable] = found
            self.count += 1
        return found


def _write(pieces: list[str], jaxpr: Jaxpr, names: _Names, lines: bool) -> None:
    """Append the text of a program: a stack of half-written programs instead of recursion."""
    stack: list[Iterator[str | tuple[Jaxpr, int]]] = [_pieces(jaxpr, 0, names, lines)]
    while stack:
        piece = next(stack[-1], None)
        if piece is None:
            stack.pop()
        elif isinstance(piece, str):
            pieces.append(piece)
        else:
            stack.append(_pieces(*piece, names, lines))


def _pieces(jaxpr: Jaxpr, depth: int, names: _Names, lines: bool) -> Iterator[str | tuple[Jaxpr, int]]:
    """Text, and where a held program stands, that program and its indentation."""
    margin = "\n" + " " * depth
    read = {a for eqn in jaxpr.equations for a in eqn.inputs if type(a) is Var}
    read.update(a for a in jaxpr.outputs if type(a) is Var)
    inputs = " ".join(f"{names.name(v)}:{v.type}" for v in jaxpr.inputs)
    yield f"{{ lambda ; {inputs}. let"
    for eqn in jaxpr.equations:
        operands = [names.name(a) if type(a) is Var else _literal(a) for a in eqn.inputs]
        outs = " ".join(f"{names.name(v) if v in read else '_'}:{v.type}" for v in eqn.outputs)
        place = f"  # {location(eqn.where)}" if lines else ""
        shown = _shown(eqn.op)
        outs = f"{outs} = " if outs else ""
        if not any(_holds(v) for _, v in shown):
            parameters = f"[{' '.join(f'{k}={_value(v)}' for k, v in shown)}]" if shown else ""
            yield f"{margin}    {' '.join([f'{outs}{eqn.op.name}{parameters}', *operands])}{place}"
            continue
        yield f"{margin}    {outs}{eqn.op.name}["
        for key, value in shown:
            yield f"{margin}      {key}="
            if not _holds(value):
                yield _value(value)
                continue
            group = isinstance(value, tuple)
            yield "(" if group else ""
            for i, item in enumerate(value if group else (value,)):
                yield f"{margin}        " if group and i else ""
                label = names.shared.get(id(item)) if isinstance(item, Jaxpr) else _value(item)
                yield (item, depth + 6) if label is None else label
            yield ")" if group else ""
        yield f"{margin}    ] {' '.join(operands)}{place}".rstrip(" ")
    results = ", ".join(names.name(a) if type(a) is Var else _literal(a) for a in jaxpr.outputs)
    comma = "," if len(jaxpr.outputs) == 1 else ""
    yield f"{margin}  in ({results}{comma}) }}"


def _literal(a: Any) -> str:
    value = a.value.item() if isinstance(a.value, np.generic) and a.value.dtype.kind in "biufc" else a.value
    return f"{value}:{a.type}"


_REQUIRED = object()  # in place of the default of a parameter that has none


def _shown(op: Any) -> list[tuple[str, Any]]:
    """The parameters that differ from their defaults."""
    shown: list[tuple[str, Any]] = []
    for name, value in op.parameters().items():
        default = getattr(type(op), name, _REQUIRED)
        if type(default) is not type(value) or default != value:
            shown.append((name.rstrip("_"), value))
    return shown


def _holds(value: Any) -> bool:
    return isinstance(value, Jaxpr) or (isinstance(value, tuple) and any(isinstance(v, Jaxpr) for v in value))


def _value(value: Any) -> str:
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, tuple) and value and isinstance(value[0], ArrayType):
        return f"({', '.join(map(str, value))}{',' if len(value) == 1 else ''})"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value)


setattr(Jaxpr, "__str__", format_jaxpr)  # noqa: B010  (a plain assignment to a method is a type error)
setattr(Jaxpr, "__repr__", format_jaxpr)  # noqa: B010
