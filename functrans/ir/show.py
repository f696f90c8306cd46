"""Printing jaxprs in the style of JAX's.

    { lambda ; a:f32[3]. let
        b:f32[3] = sin a
        c:f32[3] = mul b 2.0
      in (c,) }

Names are given in order of appearance, so they are the same when a function is traced again. Linear in the size of the
program, and iterative over its equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from functrans.ir.program import Equation, Jaxpr, Literal, Var, Where


def variable_names() -> Iterator[str]:
    """a, b, ..., z, ba, bb, ...: as JAX numbers them."""
    number = 0
    while True:
        text, n = "", number
        while True:
            n, digit = divmod(n, 26)
            text = chr(ord("a") + digit) + text
            if not n:
                break
        yield text
        number += 1


def line_text(where: Where) -> str:
    """``file.py:12`` of a recorded place, without the directory."""
    if where is None:
        return "?"
    code, offset = where
    line = next((n for start, end, n in code.co_lines() if start <= offset < end), code.co_firstlineno)
    return f"{code.co_filename.rsplit('/', 1)[-1]}:{line}"


def _literal(x: Literal) -> str:
    return f"{x.value}:{x.type}"


def _parameter(value: Any, indent: str, lines: bool) -> str:
    if isinstance(value, Jaxpr):
        return "\n".join(_format(value, indent + "    ", lines)).lstrip()
    if isinstance(value, tuple) and value and all(isinstance(v, Jaxpr) for v in value):
        inner = [("\n".join(_format(v, indent + "    ", lines))) for v in value]
        return "(\n" + "\n".join(inner) + f"\n{indent}  )"
    return str(value)


def _operation(eqn: Equation, indent: str, lines: bool) -> str:
    parameters = eqn.op.parameters()
    if not parameters:
        return eqn.op.name
    if not eqn.op.holds_jaxprs:
        return f"{eqn.op.name}[{' '.join(f'{k}={v}' for k, v in parameters.items())}]"
    inner = [f"{indent}    {k}={_parameter(v, indent + '    ', lines)}" for k, v in parameters.items()]
    return f"{eqn.op.name}[\n" + "\n".join(inner) + f"\n{indent}  ]"


def _format(jaxpr: Jaxpr, indent: str, lines: bool) -> list[str]:
    fresh = variable_names()
    names: dict[Any, str] = {}

    def declare(v: Var) -> str:
        name = names[v] = next(fresh)
        return f"{name}:{v.type}"

    def read(a: Any) -> str:
        return _literal(a) if type(a) is Literal else names.get(a, "?")

    used: set[Any] = {a for eqn in jaxpr.equations for a in eqn.inputs} | set(jaxpr.outputs)
    text = [f"{indent}{{ lambda ; {' '.join(declare(v) for v in jaxpr.inputs)}. let"]
    for eqn in jaxpr.equations:
        operands = " ".join(read(a) for a in eqn.inputs)
        results = " ".join(declare(v) if v in used else f"_:{v.type}" for v in eqn.outputs)
        row = f"{indent}    {results} = {_operation(eqn, indent + '  ', lines)} {operands}".rstrip()
        text.append(f"{row}    # {line_text(eqn.where)}" if lines else row)
    outs = ", ".join(read(a) for a in jaxpr.outputs)
    text.append(f"{indent}  in ({outs}{',' if len(jaxpr.outputs) == 1 else ''}) }}")
    return text


def format_jaxpr(jaxpr: Jaxpr, lines: bool = False) -> str:
    """The program as text; with ``lines``, each equation is followed by the user's file and line."""
    return "\n".join(_format(jaxpr, "", lines))


def format_equation(eqn: Equation) -> str:
    """One equation on its own, variables by number."""
    operands = " ".join(_literal(a) if type(a) is Literal else f"v{a.id}:{a.type}" for a in eqn.inputs)  # type: ignore[union-attr]
    results = " ".join(f"v{v.id}:{v.type}" for v in eqn.outputs)
    return f"{results} = {_operation(eqn, '', False)} {operands}".rstrip()


Jaxpr.__str__ = format_jaxpr  # type: ignore[method-assign, assignment]
Jaxpr.__repr__ = format_jaxpr  # type: ignore[method-assign, assignment]
