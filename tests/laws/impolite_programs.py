"""Random programs that are not polite: they alias, capture, duplicate, return constants, and write numbers everywhere.

A program is data, a tree of statements that any part can be taken out of; `source` writes it as Python code, the same
for both libraries, in which a body is a nested function that closes over what stands outside of it. `draw` makes a
program, its arguments, a stack of transforms over it and a way of calling it from one number.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import ml_dtypes
import numpy as np

from tests.laws.libraries import Library
from tests.laws.values import wave

# -- what statements say -------------------------------------------------------------------------------------------

UNARY = {
    "sin": "o.np.sin({a})",
    "cos": "o.np.cos({a})",
    "tanh": "o.np.tanh({a})",
    "decay": "o.np.exp(-o.np.abs({a}))",
    "square": "{a} * {a}",
    "cube": "{a} ** 3",
    "halve": "{a} * 0.5",
    "shift": "{a} + 1.25",
    "negate": "0 - {a}",
    "bell": "1.0 / (1.0 + {a} * {a})",
    "root": "o.np.sqrt(1.0 + o.np.abs({a}))",
    "log": "o.np.log1p(o.np.abs({a}))",
    "abs": "o.np.abs({a})",
    "sign": "o.np.sign(o.real({a}))",
    "floor": "o.np.floor(o.real({a}))",
    "relu": "o.np.maximum(o.real({a}), 0.0)",
    "clip": "o.np.clip(o.real({a}), -0.5, 0.75)",
    "where": "o.np.where(o.real({a}) > 0.3, {a} * 2, o.np.sin({a}))",
    "sigmoid": "o.lax.logistic(o.np.asarray(o.inexact(o.real({a}))))",
    "conjugate": "o.np.conj({a})",
    "turned": "{a} * 0.5j",
    "constant": "o.lax.stop_gradient({a})",
    "power": "(o.np.abs({a}) + 0.5) ** 1.5",
    "to_a_number": "(o.np.abs({a}) + 0.5) ** K",
    "bare_root": "o.np.sqrt(o.np.abs({a}))",
    "bare_log": "o.np.log(o.np.abs({a}))",
    "logsumexp": "o.np.log(o.np.sum(o.np.exp(o.np.tanh(o.real({a})))))",
}
IDENTITY = {
    "reshaped": "o.np.reshape({a}, o.np.shape({a}))",
    "raveled": "o.np.reshape(o.np.ravel({a}), o.np.shape({a}))",
    "transposed": "o.np.transpose(o.np.transpose({a}))",
    "copied": "o.np.array({a})",
    "plus_zero": "{a} + 0",
    "times_one": "{a} * 1",
    "minus_zero": "{a} - 0.0",
    "plus_minus_zero": "{a} + -0.0",
    "negated_twice": "-(0 - {a})",
    "converted": "o.np.asarray({a}).astype(o.np.asarray({a}).dtype)",
    "itself": "{a}",
    "largest_of_both": "o.np.maximum(o.real({a}), o.real({a}))",
    "either": "o.np.where(True, {a}, {a})",
    "divided": "{a} / 1",
    "to_the_first": "{a} ** 1",
    "of_both": "{a} - {a} + {a}",
    "conjugated_twice": "o.np.conj(o.np.conj({a}))",
}
STRUCTURAL = {
    "sum": "o.np.sum({a})",
    "sum_of_axis": "o.np.sum({a}, axis=0) if o.np.ndim({a}) else {a}",
    "mean": "o.np.mean({a}) if o.np.size({a}) else {a}",
    "transpose": "o.np.transpose({a})",
    "flat": "o.np.ravel({a})",
    "new_axis": "o.small({a})[None] if 0 < o.np.ndim({a}) < 3 else {a}",
    "reversed": "{a}[..., ::-1] if o.np.ndim({a}) else {a}",
    "every_other": "{a}[..., ::2] if o.np.ndim({a}) else {a}",
    "first": "{a}[0] if o.np.ndim({a}) and o.np.shape({a})[0] else {a}",
    "last": "{a}[..., -1] if o.np.ndim({a}) and o.np.shape({a})[-1] else {a}",
    "gathered": "{a}[np.array([0, 0])] if o.np.ndim({a}) and o.np.shape({a})[0] else {a}",
    "set": "o.np.asarray({a}).at[0].set(1.5) if o.np.ndim({a}) and o.np.shape({a})[0] else {a}",
    "added_at": "o.np.asarray({a}).at[0].add(o.np.sum({a})) if o.np.ndim({a}) and o.np.shape({a})[0] else {a}",
    "twice": "o.np.concatenate([o.np.ravel(o.small({a})), o.np.ravel(o.small({a}))])",
    "cumulative": "o.np.cumsum({a}, axis=-1) if o.np.ndim({a}) else {a}",
    "product": "o.np.prod({a})",
    "largest": "o.np.max(o.real({a})) if o.np.size({a}) else {a}",
    "indexed": "o.np.ravel({a})[o.np.asarray(o.true({a})).astype(np.int32)] if o.np.size({a}) > 1 else {a}",
    "sorted": "o.np.sort(o.real({a}), axis=-1) if o.np.ndim({a}) else {a}",
    "matrix": "o.np.matmul({a}, o.np.transpose({a})) if o.np.ndim({a}) == 2 else {a}",
    "ones": "o.np.ones_like({a})",
    "zeros": "o.np.zeros(o.np.shape({a}))",
    "empty": "o.np.ravel({a})[:0]",
}  # fmt: skip
CONVERSION = {
    name: f"o.np.asarray({{a}}).astype(o.dtype('{name}'))" if name == "complex64" else
    f"o.np.asarray(o.real({{a}})).astype(o.dtype('{name}'))"
    for name in ("float32", "float16", "bfloat16", "int32", "bool", "complex64")
}  # fmt: skip
BINARY = {
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "damped": "o.np.tanh(a) * b",
    "divide": "a / (2.0 + o.np.sin(b))",
    "maximum": "o.np.maximum(o.real(a), o.real(b))",
    "minimum": "o.np.minimum(o.real(a), o.real(b))",
    "chosen": "o.np.where(o.real(a) > o.real(b), a, b)",
    "masked": "o.np.where(o.real(b) > 0, a, 0)",
    "power": "(o.np.abs(a) + 0.5) ** o.np.tanh(o.real(b))",
    "angle": "o.np.arctan2(o.real(a), 1.5 + o.np.abs(b))",
    "hypotenuse": "o.np.sqrt(o.np.abs(a) ** 2 + o.np.abs(b) ** 2 + 0.5)",
    "inner": "o.np.sum(a * b)",
    "dot": "o.np.dot(o.np.ravel(a + 0 * b), o.np.ravel(b + 0 * a))",
    "outer": "o.np.outer(o.small(a), o.small(b))",
    "stacked": "o.np.stack([a + 0 * b, b + 0 * a]) if o.np.size(a) < 4 and o.np.size(b) < 4 else a - b",
    "quotient": "a / b",
    "of_sum": "o.np.sin(a + b)",
    "ratio": "o.np.true_divide(a, 1.5 + o.np.abs(b))",
}
BODIES = {
    "grad": 1, "jvp": 1, "vjp": 1, "linearize": 1, "vmap": 1, "jit": 1, "checkpoint": 1, "call": 1, "scan": 1,
    "while_loop": 1, "fori_loop": 1, "cond": 2, "switch": 2, "custom_jvp": 1, "custom_vjp": 1, "jacfwd": 1, "jacrev": 1,
    "hessian": 1,
}  # fmt: skip
ON_VALUES = {
    "if": "{f}({a}, {b}) if o.true({a}) else {g}({b}, {a})",
    "int": "{a} * int(o.np.sum(o.np.abs(o.real({a}))) > 0.5)",
    "times": "{a} * (2.0 if bool(o.np.sum(o.real({b})) > 0.1) else 3.0)",
}
ON_VALUES_BODIES = {"if": 2}
LITERALS = [
    "0", "0.0", "-0.0", "1", "1.0", "True", "False", "2", "2.0", "0.5", "-1.5", "3", "1j", "0.5 - 0.25j", "K", "K", "K",
    "np.float32(0.5)", "np.float64(0.75)", "np.float16(1.5)", "bfloat16(0.5)", "np.int32(2)", "np.int64(3)",
    "np.int8(2)", "np.uint8(3)", "np.bool_(True)", "np.complex64(1 + 1j)", "np.array(1.25)",
    "np.array(0.75, np.float32)", "L[0]", "L[1]",
]  # fmt: skip
CONSTANTS = [
    "array((3,), 'float32')", "array((3,), 'float64')", "array((2, 3), 'float32')", "array((), 'float32')",
    "array((2, 3), 'float64', 'fortran')", "array((3,), 'float32', 'reversed')", "array((3,), 'float32', 'strided')",
    "array((3,), 'float32', 'big_endian')", "array((3,), 'float32', 'read_only')", "array((3,), 'int64')",
    "array((3,), 'int8')", "array((2, 3), 'uint8')", "array((3,), 'bool')", "array((3,), 'float16')",
    "array((3, 1), 'bfloat16')", "array((3,), 'complex64')", "array((0,), 'float32')", "array((1, 3), 'float32')",
    "device((3,), 'float32')", "device((), 'float32')", "device((2, 3), 'float32')", "device((3,), 'int32')",
    "device((3,), 'float16')", "weak()", "L[2]",
]  # fmt: skip
ARGUMENTS = [
    *["array((3,), 'float32')"] * 4, *["array((), 'float32')"] * 2, "array((2, 3), 'float32')",
    "device((3,), 'float32')", "device((2, 3), 'float32')", "device((), 'float32')", "array((1,), 'float32')",
    "array((0,), 'float32')", "array((3, 1), 'float32')", "array((1, 3), 'float32')", "0.75", "-1.25", "2", "True",
    "0.5 + 0.25j", "np.float32(0.75)", "np.float64(0.75)", "np.int32(2)", "np.array(0.75)", "array((3,), 'float64')",
    "array((2, 3), 'float32', 'fortran')", "array((3,), 'float32', 'reversed')",
    "array((3,), 'float32', 'read_only')", "array((3,), 'float32', 'strided')", "array((3,), 'float16')",
    "device((3,), 'bfloat16')", "array((3,), 'complex64')", "array((3,), 'int32')", "array((3,), 'bool')",
    "array((2, 3), 'int64')", "weak()", "None", "()", "{}", "twice(array((3,), 'float32'))",
    "twice(device((), 'float32'))", "{'a': array((3,), 'float32'), 'n': None}", "[array((2, 3), 'float32'), ()]",
    "(0.5, array((3,), 'float32'))",
]  # fmt: skip
WIDE_ARGUMENTS = [
    "array((3,), 'float64')", "array((2, 3), 'int64')", "array((3,), 'uint8')", "array((3,), 'complex128')",
]  # fmt: skip
FACTORY_NUMBERS = [
    ("1", "1.0", "True", "1"), ("0.0", "-0.0", "0", "0.0"), ("3.0", "5.0", "3.0"), ("2", "3", "2"),
    ("np.float32(1.0)", "1.0", "np.float32(1.0)"), ("0.5", "0.25", "0.125", "0.5"), ("False", "0", "False"),
    ("device((3,), 'float32')", "device((3,), 'float32', 2)", "device((3,), 'float32')"),
    ("array((3,), 'float32')", "array((3,), 'int8')", "array((3,), 'float16')", "array((3,), 'float32')"),
]  # fmt: skip
STEPS = {
    "jit": 0, "checkpoint": 0, "vmap": 0, "grad": 1, "jvp": 1, "linearize": 1, "vjp": 1, "jacfwd": 1, "jacrev": 1,
    "hessian": 2,
}  # fmt: skip
"""The transforms of a stack, with the order of the derivative that each takes."""
REMEMBER = {"jit", "checkpoint"}  # what they close over is read once
FORWARD = {"jvp", "linearize", "jacfwd", "hessian"}
REVERSE = {"grad", "vjp", "jacrev", "hessian"}
RESULTS = [
    "{a}", "{a}", "({a}, {b})", "({a}, {a})", "{{'x': {a}, 'n': None, 'y': {b}}}", "({a}, p0)", "[{a}, 2.0]",
    "({a}, np.array([1.0, 2.0, 3.0], np.float32))", "({a}, ())", "{{'a': {a}, 'b': {{'a': {a}}}}}", "({a}, K, {b})",
    "({b}, {a}, {b})", "({a}, 3)", "({a}, np.float64(0.5))",
]  # fmt: skip

Operand = int | str


@dataclass(frozen=True)
class Statement:
    """``v = kind(operands)``: variables by number (counted from the latest), anything else as Python code."""

    kind: str
    operands: tuple[Operand, Operand]
    choice: int = 0
    bodies: tuple[tuple[Statement, ...], ...] = ()


@dataclass(frozen=True)
class Draw:
    """All that one comparison needs."""

    arguments: tuple[str, ...]
    statements: tuple[Statement, ...]
    result: str = "{a}"
    stack: tuple[tuple[str, int], ...] = ()
    constants: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ("1.5",)
    """The values of ``K``, one call each, of functions that one factory makes."""
    mutation: str = ""
    """What happens between two calls: to "arguments" or to what is "captured"."""
    x64: bool = False

    @property
    def on_values(self) -> bool:
        """Whether Python asks for values of what is traced."""
        return any(s.kind in ON_VALUES for s in all_statements(self.statements))


    @property
    def differentiates(self) -> bool:
        """Whether a derivative is taken anywhere."""
        kinds = {s.kind for s in all_statements(self.statements)} | {name for name, _ in self.stack}
        return bool(kinds & {"grad", "jvp", "vjp", "linearize", "jacfwd", "jacrev", "hessian"})


def all_statements(statements: Sequence[Statement]) -> list[Statement]:
    return [t for s in statements for t in (s, *[u for body in s.bodies for u in all_statements(body)])]


# -- as Python code -------------------------------------------------------------------------------------------------


@dataclass
class _Writer:
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def name(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def operand(self, operand: Operand, known: Sequence[str]) -> str:
        return known[-1 - operand % len(known)] if isinstance(operand, int) else f"({operand})"

    def body(self, statements: Sequence[Statement], known: Sequence[str], indent: str, alone: bool) -> str:
        if alone:
            known = []
        name, x, y = self.name("f"), self.name("x"), self.name("y")
        self.lines.append(f"{indent}def {name}({x}, {y}):")
        inside = self.statements(statements, [*known, y, x], f"{indent}    ")
        self.lines.append(f"{indent}    return {inside[-1]}")
        return name

    def statements(self, statements: Sequence[Statement], known: Sequence[str], indent: str) -> list[str]:
        known = list(known)
        for s in statements:
            a, b = (self.operand(operand, known) for operand in s.operands)
            alone = s.kind in ("custom_jvp", "custom_vjp") and s.choice % 4 != 0  # what they close over has no rule
            names = [self.body(body, known, indent, alone) for body in s.bodies]
            new = self.name("v")
            self.lines.append(f"{indent}{new} = {self.expression(s, a, b, names)}")
            known.append(new)
        return known

    def expression(self, s: Statement, a: str, b: str, names: Sequence[str]) -> str:
        for table in (UNARY, IDENTITY, STRUCTURAL, CONVERSION):
            if s.kind in table:
                return table[s.kind].format(a=a)
        if s.kind in BINARY:
            return f"(lambda a, b: {BINARY[s.kind]})(*o.fit({a}, {b}))"
        if s.kind in ON_VALUES:
            f, g = [*names, "", ""][:2]
            return ON_VALUES[s.kind].format(a=a, b=b, f=f, g=g)
        return f"o.{s.kind}({', '.join(names)}, {s.choice}, {a}, {b})"


def source(draw: Draw) -> str:
    """``make(o, K, C, L) -> program`` as Python code."""
    writer = _Writer()
    parameters = [f"p{i}" for i in range(len(draw.arguments))]
    known = []
    lines = [f"def make(o, K, C, L):\n    def program({', '.join(parameters)}):"]
    for p in reversed(parameters):
        lines.append(f"        {p}_first, {p}_last = o.leaf({p}, 0), o.leaf({p}, -1)")
        known += [f"{p}_last", f"{p}_first"]
    known = writer.statements(draw.statements, known, "        ")
    lines += writer.lines
    lines.append(f"        return {draw.result.format(a=known[-1], b=known[-2])}\n    return program")
    return "\n".join(lines)


# -- arguments and constants ----------------------------------------------------------------------------------------


def array(shape: tuple[int, ...], dtype: str, style: str = "", seed: int = 0, wide: bool = False) -> np.ndarray:
    """A NumPy array of this shape and dtype, in memory as the style says."""
    kind = np.dtype(getattr(ml_dtypes, dtype) if dtype == "bfloat16" else dtype)
    if wide and (kind.kind == "f" or dtype == "bfloat16" or kind.kind == "c"):
        kind = np.dtype(np.complex128 if kind.kind == "c" else np.float64)
    values = wave(shape, np.float64, 0.7 + seed) * 1.25
    if kind.kind in "iu":
        values = np.abs(np.round(values * 2)) if kind.kind == "u" else np.round(values * 2)
    if kind.kind == "b":
        values = values > 0.2
    if kind.kind == "c":
        values = values + 0.5j * wave(shape, np.float64, 2.0 + seed)
    if kind.kind in "fc" or dtype == "bfloat16":
        narrow = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}.get(dtype)
        if narrow is not None:
            values = values.astype(narrow)
    result = values.astype(kind)
    if style == "fortran":
        return np.asfortranarray(result)
    if style == "reversed":
        return np.ascontiguousarray(result[..., ::-1])[..., ::-1]
    if style == "strided":
        wider = np.zeros((*shape[:-1], shape[-1] * 2), kind)
        wider[..., ::2] = result
        return wider[..., ::2]
    if style == "big_endian":
        return result.astype(kind.newbyteorder(">"))
    if style == "read_only":
        result.flags.writeable = False
    return result


def environment(wide: bool, seed: int = 0) -> dict[str, Any]:
    """The names that arguments, constants and numbers are written with."""

    def make(shape: Any, dtype: str, style: Any = "", more: int = 0) -> np.ndarray:
        return array(shape, dtype, style, seed + more, wide)

    return {
        "np": np, "array": make, "twice": lambda x: {"a": x, "b": (x, x)}, "bfloat16": ml_dtypes.bfloat16,
        "device": lambda shape, dtype, more=0: jax.numpy.asarray(make(shape, dtype, "", more)),
        "leaf": lambda tree: (jax.tree.leaves(tree) or [1.5])[-1], "weak": lambda: jax.numpy.asarray(0.625),
    }  # fmt: skip


# -- drawing --------------------------------------------------------------------------------------------------------


class Drawer:
    """Draws from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.random.randrange(len(items))]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def operand(self, literal: float = 0.12, captured: float = 0.06) -> Operand:
        if self.chance(literal):
            return self.pick(LITERALS)  # type: ignore[no-any-return]
        if self.chance(captured):
            return f"C[{self.random.randrange(3)}]"
        return min(int(self.random.expovariate(0.45)), 8)

    def statement(self, depth: int, on_values: bool) -> Statement:
        r = self.random.random()
        inner = 0.32 if depth else 0.0
        bodies: tuple[tuple[Statement, ...], ...] = ()
        first = self.operand()
        second = first if self.chance(0.35) else self.operand()
        if on_values and self.chance(0.35):
            kind = self.pick(list(ON_VALUES))
            bodies = tuple(self.body(0, False) for _ in range(ON_VALUES_BODIES.get(kind, 0)))
        elif r < inner:
            kind = self.pick(list(BODIES))
            inside = on_values and kind in ("grad", "call", "jvp")
            bodies = tuple(self.body(depth - 1, inside) for _ in range(BODIES[kind]))
        elif r < inner + 0.27:
            kind = self.pick(list(BINARY))
        elif r < inner + 0.40:
            kind = self.pick(list(IDENTITY))
        elif r < inner + 0.50:
            kind = self.pick(list(STRUCTURAL))
        elif r < inner + 0.54:
            kind = self.pick(list(CONVERSION))
        else:
            kind = self.pick(list(UNARY))
        return Statement(kind, (first, second), self.random.randrange(60), bodies)

    def body(self, depth: int, on_values: bool) -> tuple[Statement, ...]:
        return tuple(self.statement(depth, on_values) for _ in range(self.pick([1, 1, 2, 2, 3])))

    def argument(self, earlier: int, x64: bool) -> str:
        if earlier and self.chance(0.12):
            return f"A[{self.random.randrange(earlier)}]"
        return self.pick(WIDE_ARGUMENTS if x64 and self.chance(0.3) else ARGUMENTS)  # type: ignore[no-any-return]

    def stack(self, statements: Sequence[Statement], captures_change: bool) -> tuple[tuple[str, int], ...]:
        kinds = {s.kind for s in all_statements(statements)}
        without: set[str] = set(REMEMBER) if captures_change else set()
        if not self.chance(0.1):  # of what one of the libraries refuses only a little
            without |= REVERSE if "while_loop" in kinds else set()
            without |= FORWARD if "custom_vjp" in kinds else set()
            without |= {"jit", "vmap", "checkpoint", "jacfwd", "jacrev", "hessian"} if kinds & set(ON_VALUES) else set()
        names = [name for name in STEPS if name not in without] or ["grad", "jvp"]
        while True:
            depth = self.pick([1] * 8 + [2] * 9 + [3] * 6 + [4] * 3 + [0])
            stack = tuple((self.pick(names), self.random.randrange(60)) for _ in range(depth))
            matrices = sum(name in ("jacfwd", "jacrev", "hessian") for name, _ in stack)
            if sum(STEPS[name] for name, _ in stack) <= 3 and matrices <= 1:
                return stack

    def draw(self) -> Draw:
        x64 = self.chance(0.2)
        arguments: list[str] = []
        for _ in range(self.random.randint(1, 3)):
            arguments.append(self.argument(len(arguments), x64))
        constants = tuple(
            f"leaf(A[{self.random.randrange(len(arguments))}])" if self.chance(0.25) else self.pick(CONSTANTS)
            for _ in range(3)
        )
        on_values = self.chance(0.06)
        statements = tuple(self.statement(2, on_values) for _ in range(self.pick([2, 2, 3, 3, 4, 5])))
        mode = self.random.random()
        numbers = self.pick(FACTORY_NUMBERS) if mode < 0.15 else ("1.5",)
        mutation = self.pick(["arguments", "captured"]) if 0.15 < mode < 0.25 else ""
        shared = any("A[" in text for text in constants)
        captures_change = mutation == "captured" or (mutation == "arguments" and shared)
        result, stack = self.pick(RESULTS), self.stack(statements, captures_change)
        return Draw(tuple(arguments), statements, result, stack, constants, numbers, mutation, x64)


def draw(seed: int) -> Draw:
    """The draw of this number, always the same."""
    return Drawer(seed).draw()


# -- smaller draws ------------------------------------------------------------------------------------------------


def _smaller_statements(statements: tuple[Statement, ...]) -> list[tuple[Statement, ...]]:
    """Each way to take a part away: a statement, a statement's body in its place, a part of a body."""
    result = []
    for i, s in enumerate(statements):
        before, after = statements[:i], statements[i + 1 :]
        result.append((*before, *after))
        result += [(*before, *body, *after) for body in s.bodies]
        for j, body in enumerate(s.bodies):
            for smaller in _smaller_statements(body):
                bodies = (*s.bodies[:j], smaller, *s.bodies[j + 1 :])
                result.append((*before, replace(s, bodies=bodies), *after))
        plain = ("sin", "multiply")
        simple = [replace(s, kind=kind, bodies=()) for kind in plain if s.kind not in (*plain, "itself")]
        if s.kind == "call" or s.bodies:
            simple.append(replace(s, kind="itself", bodies=()))
        simple += [replace(s, operands=(1, s.operands[1]))] if isinstance(s.operands[0], str) else []
        simple += [replace(s, operands=(s.operands[0], 1))] if isinstance(s.operands[1], str) else []
        simple += [replace(s, choice=c) for c in (0, 1) if s.bodies and s.choice > c]
        result += [(*before, new, *after) for new in simple]
    return result


def smaller(draw: Draw) -> list[Draw]:
    """Draws with one part taken away or made simpler, the largest parts first."""
    result = []
    if draw.mutation:
        result.append(replace(draw, mutation=""))
    for i in range(len(draw.numbers)):
        if len(draw.numbers) > 1:
            result.append(replace(draw, numbers=(*draw.numbers[:i], *draw.numbers[i + 1 :])))
    for i, (name, choice) in enumerate(draw.stack):
        if len(draw.stack) > 1:
            result.append(replace(draw, stack=(*draw.stack[:i], *draw.stack[i + 1 :])))
        for c in (0, 1):
            if choice > c:
                result.append(replace(draw, stack=(*draw.stack[:i], (name, c), *draw.stack[i + 1 :])))
    result += [replace(draw, statements=statements) for statements in _smaller_statements(draw.statements)]
    if len(draw.arguments) > 1:
        for i in range(len(draw.arguments)):
            rest = (*draw.arguments[:i], *draw.arguments[i + 1 :])
            if not any("A[" in text for text in (*rest, *draw.constants)):
                result.append(replace(draw, arguments=rest))
    for i, text in enumerate(draw.arguments):
        for simple in ("array((3,), 'float32')", "array((), 'float32')"):
            if text != simple and text != "array((), 'float32')":
                result.append(replace(draw, arguments=(*draw.arguments[:i], simple, *draw.arguments[i + 1 :])))
    for i, text in enumerate(draw.constants):
        if text != "array((3,), 'float32')":
            result.append(
                replace(draw, constants=(*draw.constants[:i], "array((3,), 'float32')", *draw.constants[i + 1 :]))
            )
    if draw.result != "{a}":
        result.append(replace(draw, result="{a}"))
    if draw.x64:
        result.append(replace(draw, x64=False))
    return result


Make = Callable[[Library, Any, Sequence[Any], list[Any]], Callable[..., Any]]


def compiled(text: str, env: dict[str, Any]) -> Make:
    """The factory that the code defines."""
    scope = dict(env)
    exec(compile(text, "<random program>", "exec"), scope)
    return scope["make"]  # type: ignore[no-any-return]
