"""Programs drawn at random, under transforms drawn at random: their effects are those of Python, in its order."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import functrans as ft
from tests.effects.programs import Log, agree, library, python_log

Step = tuple[Any, ...]


def steps(depth: int) -> st.SearchStrategy[list[Step]]:
    """A list of statements about one number x; those that hold others are ``depth`` deep at most."""
    tags = st.sampled_from("abcdef")
    simple = [
        st.tuples(st.just("note"), tags),
        st.tuples(st.just("sin")),
        st.tuples(st.just("scale"), st.sampled_from([0.5, 1.25, -0.75])),
    ]
    if depth == 0:
        return st.lists(st.one_of(simple), min_size=1, max_size=3)
    inner = steps(depth - 1)
    holding = [
        st.tuples(st.just("cond"), inner, inner),
        st.tuples(st.just("switch"), inner, inner, inner),
        st.tuples(st.just("scan"), inner, st.integers(1, 3), st.booleans()),
        st.tuples(st.just("fori"), inner, st.integers(0, 3)),
        st.tuples(st.just("jit"), inner),
    ]
    return st.lists(st.one_of(*holding, *holding, *simple), min_size=1, max_size=3)


def interpret(o: Any, program: list[Step], x: Any) -> Any:
    """Run the statements with the operations of a library."""
    for name, *parts in program:
        run = [lambda v, part=part: interpret(o, part, v) for part in parts if isinstance(part, list)]
        if name == "note":
            o.note(parts[0], x)
        elif name == "sin":
            x = o.sin(x) + 0.25
        elif name == "scale":
            x = x * parts[0]
        elif name == "cond":
            x = o.cond(x > 0.31, run[0], run[1], x)
        elif name == "switch":
            index = int(x * 3.0) if isinstance(x, float) else (x * 3.0).astype("int32")
            x = o.switch(index, run, x)
        elif name == "scan":
            body = lambda c, a, go=run[0]: (lambda y: (y, y * a))(go(c + a * 0.1))
            x, total = o.scan(body, x, [0.5, 1.5, 2.5][: parts[1]], reverse=parts[2])
            x = x + total * 0.01
        elif name == "fori":
            x = o.fori(0, parts[1], lambda i, c, go=run[0]: go(c), x)
        else:
            x = o.jit(run[0])(x)
    return x * 1.0


TRANSFORMS: dict[str, Any] = {
    "jit": ft.jit,
    "grad": ft.grad,
    "jvp": lambda f: lambda x: ft.jvp(f, (x,), (1.0,))[1],
    "vjp": lambda f: lambda x: ft.vjp(f, x)[1](1.0)[0],
    "checkpoint": ft.checkpoint,
}


@given(
    program=steps(2), stack=st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=3),
    x=st.sampled_from([0.3, 0.9, -0.4]), kind=st.sampled_from(["debug", "io"]),
)  # fmt: skip
def test_ordered_effects_are_those_of_python(program: list[Step], stack: list[str], x: float, kind: str) -> None:
    log: Log = []
    o = library(log, ordered=True, kind=kind)
    f: Any = lambda v: interpret(o, program, v)
    for name in stack:
        f = TRANSFORMS[name](f)
    f(x)
    agree(log, python_log(lambda p, v: interpret(p, program, v), [x]))


@given(program=steps(2), stack=st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=2), in_jit=st.booleans())
def test_lanes_do_what_python_does(program: list[Step], stack: list[str], in_jit: bool) -> None:
    log: Log = []
    o = library(log, ordered=False)
    f: Any = lambda v: interpret(o, program, v)
    for name in stack:
        f = TRANSFORMS[name](f)
    f = ft.vmap(f)
    points = np.array([0.3, 0.9, -0.4], np.float32)
    (ft.jit(f) if in_jit else f)(points)
    agree(log, python_log(lambda p, v: interpret(p, program, v), [float(v) for v in points]), in_order=False)
