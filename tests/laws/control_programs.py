"""Random programs with control flow: branches, loops, calls, transforms and custom rules, nested, with closures.

A program is data, a tree of statements, so that hypothesis can shrink and print it. Every variable is a vector of three
numbers; a body sees the variables outside of it. One interpreter runs it with functrans, with JAX, or unrolled: with
NumPy, where a branch is a Python ``if`` and a loop a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

SIZE = 3

UNARY: dict[str, Callable[[Any, Any], Any]] = {
    "sin": lambda np, x: np.sin(x),
    "tanh": lambda np, x: np.tanh(x),
    "halve": lambda np, x: x * 0.5,
    "shift": lambda np, x: x + 0.75,
    "bell": lambda np, x: 1.0 / (1.0 + x * x),
    "gauss": lambda np, x: np.exp(-x * x),
    "roll": lambda np, x: np.concatenate([x[1:], x[:1]]),
    "centre": lambda np, x: x - np.sum(x) * 0.25,
}
BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda np, x, y: x + y,
    "damped_product": lambda np, x, y: np.tanh(x) * y,
    "quotient": lambda np, x, y: x / (2.0 + np.sin(y)),
}
BODIES = {
    "cond": 2, "switch": 3, "scan": 2, "fori_loop": 1, "counted_loop": 1, "while_loop": 1, "map": 1, "jit": 1,
    "vmap": 1, "jvp": 1, "grad": 1, "custom_vjp": 1, "sequential_vmap": 1, "associative_scan": 0, "reduce": 0,
    "root": 0, "linear_solve": 0,
}  # fmt: skip
FORWARD_ONLY = {"while_loop", "counted_loop"}
NEEDS_TRANSFORMS = {"jvp", "grad"}
ALONE = {"custom_vjp", "sequential_vmap"}  # their rules speak of the arguments: the body closes over nothing


@dataclass(frozen=True)
class Statement:
    """``variable = kind(operands)``; ``number`` chooses between variants (a length, a direction, a threshold)."""

    kind: str
    operands: tuple[int, int]
    number: int = 0
    bodies: tuple[tuple[Statement, ...], ...] = ()

    def all_kinds(self) -> set[str]:
        return {self.kind}.union(*[s.all_kinds() for body in self.bodies for s in body])


@dataclass(frozen=True)
class ControlProgram:
    """A function of two vectors."""

    statements: tuple[Statement, ...]

    @property
    def kinds(self) -> set[str]:
        return set().union(*[s.all_kinds() for s in self.statements])

    def function(self, library: Any) -> Callable[[Any, Any], Any]:
        return lambda x, y: _run(library, self.statements, [x, y])


def inputs(seed: int = 0, lanes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reproducible arguments of size about one."""
    shape = (SIZE,) if lanes is None else (lanes, SIZE)
    generator = np.random.default_rng(seed)
    return generator.uniform(-1.5, 1.5, shape), generator.uniform(-1.5, 1.5, shape)


# -- the libraries ---------------------------------------------------------------------------------------------------


def _clamped(index: Any, count: int) -> int:
    return int(np.clip(index, 0, count - 1))


def _loop(carry: Any, test: Any, step: Any) -> Any:
    while test(carry):
        carry = step(carry)
    return carry


def _scanned(step: Any, carry: Any, xs: Any, reverse: bool = False, unroll: Any = 1) -> Any:
    rows: list[Any] = [None] * len(xs)
    for i in reversed(range(len(xs))) if reverse else range(len(xs)):
        carry, rows[i] = step(carry, xs[i])
    return carry, np.stack(rows)


def _counted(lower: int, upper: int, body: Any, carry: Any, unroll: Any = None) -> Any:
    for i in range(int(lower), int(upper)):
        carry = body(i, carry)
    return carry


def _prefixes(f: Any, xs: Any, reverse: bool = False) -> Any:
    rows = list(xs)[::-1] if reverse else list(xs)
    for i in range(1, len(rows)):
        rows[i] = f(rows[i - 1], rows[i])
    return np.stack(rows[::-1] if reverse else rows)


def _reduced(x: Any, start: Any, f: Any, axes: Any) -> Any:
    for element in x:
        start = f(start, element)
    return start


def _rows(f: Any, xs: Any, batch_size: Any = None) -> Any:
    return np.stack([f(x) for x in xs])


def _alone(f: Any) -> Any:
    """In place of a rule that says what the function does."""
    return f


def _ours_with_pullback(f: Any) -> Any:
    custom = ft.custom_vjp(f)
    custom.defvjp(lambda x: (custom(x), x), lambda x, ct: ft.vjp(f, x)[1](ct))
    return custom


OURS = SimpleNamespace(
    np=fnp, cond=lax.cond, switch=lax.switch, scan=lax.scan, while_loop=lax.while_loop, fori_loop=lax.fori_loop,
    map=lax.map, associative_scan=lax.associative_scan, reduce=lax.reduce, custom_root=lax.custom_root,
    custom_linear_solve=lax.custom_linear_solve, jit=ft.jit, vmap=ft.vmap, jvp=ft.jvp, grad=ft.grad,
    custom_vjp=_ours_with_pullback, sequential_vmap=ft.custom_batching.sequential_vmap,
)  # fmt: skip
THEIRS = SimpleNamespace(
    np=jax.numpy, cond=jax.lax.cond, switch=jax.lax.switch, scan=jax.lax.scan, while_loop=jax.lax.while_loop,
    fori_loop=jax.lax.fori_loop, map=jax.lax.map, associative_scan=jax.lax.associative_scan, reduce=jax.lax.reduce,
    custom_root=jax.lax.custom_root, custom_linear_solve=jax.lax.custom_linear_solve, jit=jax.jit, vmap=jax.vmap,
    jvp=jax.jvp, grad=jax.grad,
    # JAX has no forward mode for the one and no reverse mode for the other: it runs the functions without the rules.
    custom_vjp=_alone, sequential_vmap=_alone,
)  # fmt: skip
UNROLLED = SimpleNamespace(
    np=np, cond=lambda p, f, g, x: f(x) if p else g(x), switch=lambda i, fs, x: fs[_clamped(i, len(fs))](x),
    scan=_scanned, while_loop=lambda test, step, carry: _loop(carry, test, step), fori_loop=_counted, map=_rows,
    associative_scan=_prefixes, reduce=_reduced, custom_root=lambda f, guess, solve, _: solve(f, guess),
    custom_linear_solve=lambda matvec, b, solve, symmetric: solve(matvec, b), jit=_alone, vmap=lambda f: lambda xs: _rows(f, xs),  # noqa: E501
    custom_vjp=_alone, sequential_vmap=_alone,
)  # fmt: skip


# -- the interpreter ---------------------------------------------------------------------------------------------------


def _run(library: Any, statements: Sequence[Statement], variables: Sequence[Any]) -> Any:
    known = list(variables)
    for statement in statements:
        first, second = (known[i % len(known)] for i in statement.operands)
        known.append(_apply(library, statement, first, second, known))
    return known[-1]


def _apply(o: Any, s: Statement, a: Any, b: Any, known: Sequence[Any]) -> Any:
    np_ = o.np
    if s.kind in UNARY:
        return UNARY[s.kind](np_, a)
    if s.kind in BINARY:
        return BINARY[s.kind](np_, a, b)
    outer = [] if s.kind in ALONE else known
    bodies = [_body(o, body, outer) for body in s.bodies]
    return globals()[f"_{s.kind}"](o, s.number, a, b, bodies)


def _body(o: Any, statements: Sequence[Statement], outer: Sequence[Any]) -> Callable[..., Any]:
    return lambda *local: _run(o, statements, [*outer, *local])


def _cond(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.cond(o.np.sum(a) > 0.3 * n, *bodies, b)


def _switch(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.switch((o.np.sum(a) + 0.5 * n).astype(np.int32), bodies, b)


def _scan(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    first, second = bodies
    xs = o.np.stack([b, b * 0.5, o.np.cos(b), b + 0.25][: n + 1])
    carry, ys = o.scan(lambda c, x: (first(c, x), second(x, c)), a, xs, reverse=n % 2 == 1, unroll=1 + n // 2)
    return carry + o.np.sum(ys, axis=0)


def _fori_loop(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.fori_loop(0, n, lambda i, c: bodies[0](c) + 0.25 * i, a)


def _counted_loop(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    """As many steps as the data say."""
    steps = 1 + n // 2 + (o.np.sum(b) > 0).astype(np.int32)
    return o.fori_loop(0, steps, lambda i, c: bodies[0](c) + 0.25 * i, a)


def _while_loop(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    def going(carry: Any) -> Any:
        return (carry[0] < n + 1) & (o.np.sum(carry[1]) < 2.0 + o.np.sum(b))

    return o.while_loop(going, lambda carry: (carry[0] + 1, bodies[0](carry[1]) + 0.5), (np.int32(0), a))[1]


def _map(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    rows = o.map(bodies[0], o.np.stack([a, b, a * b]), batch_size=[None, 1, 2, 5][n])
    return rows[0] + rows[1] * rows[2]


def _jit(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.jit(bodies[0])(a)


def _vmap(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    rows = o.vmap(bodies[0])(o.np.stack([a, b]))
    return rows[0] * 0.5 + rows[1]


def _jvp(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.jvp(bodies[0], (a,), (b,))[1]


def _grad(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.grad(lambda v: o.np.sum(bodies[0](v) * b))(a)


def _custom_vjp(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.custom_vjp(bodies[0])(a)


def _sequential_vmap(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.sequential_vmap(bodies[0])(a) * b


def _associative_scan(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    weight = o.np.tanh(o.np.sum(b)) * 0.5
    combine = lambda p, q: p + q + weight * p * q
    rows = o.associative_scan(combine, o.np.stack([a, b, o.np.sin(a), b * 0.5])[: n + 1], reverse=n % 2 == 1)
    return o.np.sum(rows, axis=0) * 0.25


def _reduce(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    if n % 2:
        return a + o.reduce(b, b.dtype.type(0), lambda p, q: p + q + 0.5 * p * q, (0,))
    return a * o.reduce(o.np.tanh(b), b.dtype.type(1), lambda p, q: p * q, (0,))


def _root(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    """r with r + 0.3 sin(r) tanh(b) = a."""
    f = lambda r: r + 0.3 * o.np.sin(r) * o.np.tanh(b) - a
    solve = lambda f, start: o.fori_loop(0, 40, lambda _, r: r - f(r), start)
    return o.custom_root(f, a * 0.0, solve, lambda g, y: y / g(o.np.ones_like(y)))


def _linear_solve(o: Any, n: int, a: Any, b: Any, bodies: Any) -> Any:
    return o.custom_linear_solve(
        lambda v: v * (2.0 + o.np.sin(a)), b, lambda g, y: y / g(o.np.ones_like(y)), symmetric=True
    )


# -- drawing -----------------------------------------------------------------------------------------------------------


@st.composite
def statements(draw: st.DrawFn, kinds: Sequence[str], depth: int, most: int) -> tuple[Statement, ...]:
    """A few statements, those that hold bodies no deeper than ``depth``; the last one is never straight-line."""
    result = []
    count = draw(st.integers(1, most))
    for i in range(count):
        straight = sorted(UNARY) + sorted(BINARY)
        deep = [k for k in kinds if depth > 0 or BODIES[k] == 0]
        last = i == count - 1 and depth > 0
        kind = draw(st.sampled_from(deep if last else straight + deep))
        held = tuple(draw(statements(kinds, depth - 1, 2)) for _ in range(BODIES.get(kind, 0)))
        operands = (draw(st.integers(0, 5)), draw(st.integers(0, 5)))
        result.append(Statement(kind, operands, draw(st.integers(0, 3)) if kind in BODIES else 0, held))
    return tuple(result)


def control_programs(reverse: bool = True, unrolled: bool = False, depth: int = 2) -> st.SearchStrategy[ControlProgram]:
    """``reverse``: without loops of an unknown number of steps; ``unrolled``: without derivatives inside."""
    without = (FORWARD_ONLY if reverse else {"grad", "custom_vjp"}) | (NEEDS_TRANSFORMS if unrolled else set())
    kinds = [kind for kind in sorted(BODIES) if kind not in without]
    return statements(kinds, depth, 2).map(ControlProgram)
