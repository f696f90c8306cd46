"""docs/derivatives.md: every derivative and transpose in one table, read off the classes by running their rules.

    python -m tests.project.derivative_table --write

Each class is asked at its first sample with a floating operand (``tests.ops.samples``); what its rule emits is written
as a formula. ``tests/project/test_derivative_table.py`` fails where the page is not what the classes say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from functrans.ir.program import Equation, Jaxpr, Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, type_of
from functrans.ops.arithmetic import IntegerPow
from functrans.ops.logic import Compare
from functrans.ops.structural import BroadcastInDim, ConvertElementType
from functrans.trace.primitive import Linear, Primitive
from functrans.trace.replay import trace
from tests.ops.matrix_samples import ROWS as MATRIX_ROWS
from tests.ops.samples import ROWS, Row
from tests.ops.spectral_samples import ROWS as SPECTRAL_ROWS

PAGE = Path(__file__).resolve().parents[2] / "docs/derivatives.md"
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
COMPARISONS = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
LETTERS = "xyzuvw"
LONGEST_NAME = 48  # characters of an operation with its parameters; the parameters of longer ones are left out
LONGEST = 700  # characters of a formula; longer ones are counted

HEAD = """# Every derivative

Made from the classes by `python -m tests.project.derivative_table --write`: what each operation's `jvp` emits for the
tangent of one operand (`dx` of `x`), at its first sample in `tests/ops`, and what its `transpose` emits for the
cotangent `ct` of its result where it is linear in an operand. `out` is the result itself. Reverse mode has no rules of
its own: it is the transpose of the tangents' program. An operation that holds programs (`scan`, `cond`, `while`, `jit`,
custom rules) transforms those, and has no formula. Long formulas are counted, long parameters left out (`[...]`).

| operation | operands | tangent | transpose |
|---|---|---|---|
"""


def sampled() -> Iterator[Row]:
    """Of each class the first sample with a floating operand of some size; a power of 2 or more for ``integer_pow``."""
    found: dict[type, Row] = {}
    for row in [*ROWS, *MATRIX_ROWS, *SPECTRAL_ROWS]:
        if row.op.holds_jaxprs or type(row.op) in found or (isinstance(row.op, IntegerPow) and row.op.y < 2):
            continue
        if any(_is_smooth(x) and np.size(x) for x in row.operands):
            found[type(row.op)] = row
    yield from found.values()


def _is_smooth(x: Any) -> bool:
    return isinstance(x, np.ndarray | jax.Array) and is_differentiable(x.dtype)


def tangent(op: Primitive, operands: Sequence[Any], which: int) -> str:
    """The formula of the tangent of the result by operand number ``which``."""
    types = [type_of(x) for x in operands]

    def rule(*inputs: Any) -> list[Any]:
        tangents: list[Any] = [None] * len(types)
        tangents[which] = inputs[-1]
        slopes = op.jvp(inputs[:-1], tangents)[1]
        return [t for t in (slopes if op.multiple else [slopes]) if t is not None]

    return _formula(op, rule, [*types, types[which]], [*LETTERS[: len(types)], f"d{LETTERS[which]}"], len(types))


def transposed(op: Primitive, operands: Sequence[Any], which: int) -> str:
    """The formula of the cotangent of operand number ``which``, which the operation is linear in."""
    types = [type_of(x) for x in operands]
    results = op.infer(*types)
    results = list(results) if op.multiple else [results]

    def rule(*inputs: Any) -> list[Any]:
        values: list[Any] = list(inputs[: len(types)])
        values[which] = Linear(types[which])
        given = list(inputs[len(types) :])
        return [op.transpose(given if op.multiple else given[0], *values)[which]]

    names = ["ct"] if len(results) == 1 else [f"ct{i}" for i in range(len(results))]
    return _formula(op, rule, [*types, *results], [*LETTERS[: len(types)], *names], 0)


def _formula(
    op: Primitive, rule: Callable[..., list[Any]], types: Sequence[ArrayType], names: Sequence[str], count: int
) -> str:
    program, captured = trace(rule, [array_type(t.shape, t.dtype, t.weak_type) for t in types], "a derivative")
    if not program.outputs:
        return "0"
    known: dict[Any, str] = dict(zip(program.inputs[len(captured) :], names, strict=True))
    known.update(dict.fromkeys(program.inputs[:len(captured)], "an array"))
    primals = program.inputs[len(captured) :][:count]
    return written(program, op, list(primals), known)


def written(program: Jaxpr, op: Primitive, primals: Sequence[Any], known: dict[Any, str]) -> str:
    """A program as one formula; what is used more than once is named behind it."""
    uses: dict[Any, int] = {}
    for eqn in program.equations:
        for a in eqn.inputs:
            uses[a] = uses.get(a, 0) + 1
    definitions: list[str] = []
    texts: dict[Any, str] = dict(known)

    def text_of(a: Any, inside: bool = False) -> str:
        if type(a) is Literal:
            return f"{a.value:g}" if isinstance(a.value, float) else str(a.value)
        text = texts[a]
        return f"({text})" if inside and " " in text and not text.endswith("]") else text

    for eqn in program.equations:
        if eqn.op == op and list(eqn.inputs) == primals:
            for i, v in enumerate(eqn.outputs):
                texts[v] = "out" if len(eqn.outputs) == 1 else f"out{i}"
            continue
        text = _applied(eqn, text_of)
        for i, v in enumerate(eqn.outputs):
            part = text if len(eqn.outputs) == 1 else f"{text}[{i}]"
            if uses.get(v, 0) > 1 and len(part) > 6:
                name = f"t{len(definitions) + 1}"
                definitions.append(f"{name} = {part}")
                texts[v] = name
            else:
                texts[v] = part
    result = "; ".join([*[text_of(a) for a in program.outputs], *definitions])
    return result if len(result) <= LONGEST else f"{len(program.equations)} operations"


def _applied(eqn: Equation, text_of: Callable[..., str]) -> str:
    op, operands = eqn.op, eqn.inputs
    if op.name in INFIX:
        a, b = operands
        return f"{text_of(a, True)} {INFIX[op.name]} {text_of(b, True)}"
    if op.name == "neg":
        return f"-{text_of(operands[0], True)}"
    if isinstance(op, Compare):
        return f"{text_of(operands[0], True)} {COMPARISONS[op.direction]} {text_of(operands[1], True)}"
    if isinstance(op, BroadcastInDim | ConvertElementType) and type(operands[0]) is Literal:
        return text_of(operands[0])
    if isinstance(op, ConvertElementType):
        return f"{op.to}({text_of(operands[0])})"
    name = str(op) if len(str(op)) <= LONGEST_NAME else f"{op.name}[...]"
    return f"{name}({', '.join(map(text_of, operands))})".replace("\n", " ")


def rows() -> Iterator[str]:
    """The lines of the table, by name."""
    for row in sorted(sampled(), key=lambda row: row.op.name):
        with jax.enable_x64(True):
            yield _row(row)


def _row(row: Row) -> str:
    op, operands = row.op, row.operands
    types = ", ".join(f"{name}: {type_of(x)}" for name, x in zip(LETTERS, operands, strict=False))
    slopes, sent = [], []
    for i, x in enumerate(operands):
        if not _is_smooth(x) or i >= len(LETTERS):
            continue
        slopes.append(_asked(lambda i=i: tangent(op, operands, i)))
        if type(op).transpose is not Primitive.transpose:
            formula = _asked(lambda i=i: transposed(op, operands, i))
            sent.append(formula)
    cells = [op.name, types, "<br>".join(f"`{s}`" for s in slopes), "<br>".join(f"`{s}`" for s in sent if s != "none")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _asked(rule: Callable[[], str]) -> str:
    try:
        return rule()
    except Exception:  # it is not linear in this operand, or refuses to be differentiated by it
        return "none"


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(rows()) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
