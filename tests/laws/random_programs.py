"""Random programs: short straight-line functions of one or two arrays, with calls, branches and loops among them.

A program is data, a list of statements over numbered variables, so that hypothesis can shrink and print it; `run`
interprets it with the namespaces given. The operations keep values of size one at size one or a little above, and
have bounded derivatives, so that a finite difference means something for each program drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

Shape = tuple[int, ...]

UNARY: dict[str, Callable[[Any], Any]] = {
    "sin": lambda x: fnp.sin(x),
    "cos": lambda x: fnp.cos(x),
    "tanh": lambda x: fnp.tanh(x),
    "negative": lambda x: -x,
    "halve": lambda x: x * 0.5,
    "shift": lambda x: x + 1.25,
    "gauss": lambda x: fnp.exp(-x * x),
    "bell": lambda x: 1.0 / (1.0 + x * x),
    "log": lambda x: fnp.log1p(x * x),
    "root": lambda x: fnp.sqrt(1.0 + x * x),
    "softplus": lambda x: fnp.log(1.0 + fnp.exp(fnp.tanh(x))),
    "sigmoid": lambda x: lax.logistic(x),
}
KINKED: dict[str, Callable[[Any], Any]] = {
    "abs": lambda x: fnp.abs(x),
    "relu": lambda x: fnp.maximum(x, 0.0),
    "clip": lambda x: fnp.clip(x, -0.5, 0.75),
    "where": lambda x: fnp.where(x > 0.25, x * x, fnp.sin(x)),
    "floor": lambda x: fnp.floor(x) * x,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "damped_product": lambda x, y: fnp.tanh(x) * y,
    "quotient": lambda x, y: x / (2.0 + fnp.sin(y)),
    "sine_of_sum": lambda x, y: fnp.sin(x + y),
}


def _iterate(body: Callable[[Any], Any], x: Any) -> Any:
    return lax.scan(lambda carry, _: (body(carry), None), x, None, length=2)[0]


def _count(body: Callable[[Any], Any], x: Any) -> Any:
    return lax.fori_loop(0, 2, lambda _, value: body(value), x)


WRAPPERS: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "jit": lambda body, x: ft.jit(body)(x),
    "scan": _iterate,
    "fori_loop": _count,
    "cond": lambda body, x: lax.cond(fnp.sum(x) < 50.0, body, lambda y: y, x),
    "jvp": lambda body, x: ft.jvp(body, (x,), (fnp.cos(x),))[1],
    "vjp": lambda body, x: ft.vjp(body, x)[1](fnp.sin(x))[0],
    "vmap": lambda body, x: ft.vmap(body)(fnp.stack([x, x * 0.5]))[1],
}

STRUCTURAL: dict[str, Callable[[Any], Any]] = {
    "transpose": lambda x: fnp.transpose(x),
    "flatten": lambda x: fnp.reshape(x, (-1,)) if x.size else fnp.reshape(x, (0,)),
    "new_axis": lambda x: x[None],
    "last_dropped": lambda x: x[..., :-1],
    "every_other": lambda x: x[..., ::2],
    "reversed": lambda x: x[..., ::-1],
    "twice": lambda x: fnp.concatenate([x, x], axis=-1),
    "padded": lambda x: lax.pad(x, x.dtype.type(0), [(1, 0, 0)] * x.ndim),
    "sum_of_axis": lambda x: fnp.sum(x, axis=0),
    "mean_kept": lambda x: x - fnp.sum(x, axis=-1, keepdims=True) * 0.25,
    "gathered": lambda x: x[np.array([0, 0])],
    "scattered": lambda x: x.at[0].set(0.5),
    "added_at": lambda x: x.at[np.array([0, 0])].add(x[0] * 0.5),
}
NEEDS_AXIS = {"last_dropped", "every_other", "reversed", "twice", "sum_of_axis", "mean_kept"}
NEEDS_ELEMENTS = {"gathered", "scattered", "added_at"}
LINEAR = {"negative", "halve", "add", "subtract"} | (set(STRUCTURAL) - {"scattered"})


def _applicable(name: str, shape: Shape) -> bool:
    if name in NEEDS_ELEMENTS:
        return len(shape) > 0 and shape[0] > 0
    return name not in NEEDS_AXIS or len(shape) > 0


def _shape_after(name: str, shape: Shape) -> Shape:
    """The shape that the structural operation `name` gives, worked out by NumPy, not by the code under test."""
    array = np.zeros(shape)
    if name == "padded":
        return tuple(size + 1 for size in shape)
    by_numpy: dict[str, Callable[[Any], Any]] = {
        "transpose": np.transpose,
        "flatten": np.ravel,
        "new_axis": lambda x: x[None],
        "last_dropped": lambda x: x[..., :-1],
        "every_other": lambda x: x[..., ::2],
        "twice": lambda x: np.concatenate([x, x], axis=-1),
        "sum_of_axis": lambda x: np.sum(x, axis=0),
        "gathered": lambda x: x[np.array([0, 0])],
    }
    return tuple(np.shape(by_numpy[name](array))) if name in by_numpy else shape


@dataclass(frozen=True)
class Statement:
    """`variable = operation(operands)`; a wrapper applies its body, a list of unary names, inside a construct."""

    operation: str
    operands: tuple[int, ...]
    body: tuple[str, ...] = ()


@dataclass(frozen=True)
class RandomProgram:
    """A function of arrays of the shapes given; its results are the variables nobody else has used."""

    shapes: tuple[Shape, ...]
    statements: tuple[Statement, ...]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        variables = list(inputs)
        used: set[int] = set()
        for statement in self.statements:
            operands = [variables[i] for i in statement.operands]
            used.update(statement.operands)
            variables.append(_apply(statement, operands))
        return tuple(value for i, value in enumerate(variables) if i not in used and i >= len(self.shapes))

    def inputs(self, seed: int = 0, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
        """Reproducible arguments of size about one."""
        generator = np.random.default_rng([seed, *(size for shape in self.shapes for size in (len(shape), *shape))])
        return tuple(generator.uniform(-1.5, 1.5, shape).astype(dtype) for shape in self.shapes)


def _apply(statement: Statement, operands: list[Any]) -> Any:
    name = statement.operation
    if name in WRAPPERS:

        def body(x: Any) -> Any:
            for step in statement.body:
                x = (UNARY | KINKED)[step](x)
            return x

        return WRAPPERS[name](body, operands[0])
    return (UNARY | KINKED | BINARY | STRUCTURAL)[name](*operands)


def _broadcasts(first: Shape, second: Shape) -> Shape | None:
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return None


def shapes(min_rank: int = 0) -> st.SearchStrategy[Shape]:
    """Ranks up to two; a dimension is 0, 1, 2 or 3, and seldom 0, so that most programs hold numbers."""
    return st.lists(st.sampled_from([3, 2, 1, 2, 3, 0]), min_size=min_rank, max_size=2).map(tuple)


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    smooth: bool = True,
    linear: bool = False,
    wrappers: bool = True,
    max_statements: int = 5,
    max_inputs: int = 2,
) -> RandomProgram:
    """Programs of at most `max_statements`: smooth ones, or with kinks too, or linear ones."""
    input_shapes = tuple(draw(st.lists(shapes(), min_size=1, max_size=max_inputs)))
    variable_shapes = list(input_shapes)
    elementwise = sorted(UNARY) + ([] if smooth else sorted(KINKED))
    names = elementwise + sorted(BINARY) + sorted(STRUCTURAL)
    if linear:
        names = sorted(LINEAR)
    elif wrappers:
        names += sorted(WRAPPERS) * 2
    statements = []
    for _ in range(draw(st.integers(1, max_statements))):
        first = draw(st.integers(0, len(variable_shapes) - 1))
        shape = variable_shapes[first]
        name = draw(st.sampled_from([name for name in names if _applicable(name, shape)]))
        operands, body = (first,), ()
        if name in BINARY:
            partners = [i for i, other in enumerate(variable_shapes) if _broadcasts(shape, other) is not None]
            second = draw(st.sampled_from(partners))
            operands = (first, second)
            shape = np.broadcast_shapes(shape, variable_shapes[second])
        elif name in WRAPPERS:
            body = tuple(draw(st.lists(st.sampled_from(elementwise), min_size=1, max_size=2)))
        elif name in STRUCTURAL:
            shape = _shape_after(name, shape)
        if int(np.prod(shape)) > 64:
            continue
        statements.append(Statement(name, operands, body))
        variable_shapes.append(shape)
    if not statements:
        statements.append(Statement("negative", (0,)))
    return RandomProgram(input_shapes, tuple(statements))
