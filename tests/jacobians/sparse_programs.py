"""Random programs for the detection of sparsity: indexing, products, loops and branches, known and unknown.

A program is a seed. It draws its steps while it is traced, by the shapes of the values that it has so far, so that it
does the same at every call; the arrays that it closes over are drawn too, and hold zeros, duplicates and indices that
are out of bounds. ``exact`` says whether the steps that were drawn have a pattern that does not depend on values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import functrans.numpy as fnp
from functrans.api.jacobians import Options, taken
from functrans.trace.replay import evaluate
from functrans.transform.jvp import jvp_jaxpr

_LARGEST = 30  # elements of a value


class Pool(list[Any]):
    """The values that a program has so far; ``taken``: the names of its steps, those inside of others included."""

    def __init__(self, values: Sequence[Any], taken: list[str]) -> None:
        super().__init__(values)
        self.taken = taken

    def advance(self, random: np.random.Generator, names: Sequence[str]) -> None:
        """One more value, by one of these steps."""
        for _ in range(20):
            name = names[random.integers(len(names))]
            result = STEPS[name](random, self)
            if result is not None:
                self.append(result if np.prod(result.shape) <= _LARGEST else fnp.ravel(result)[:_LARGEST])
                self.taken.append(name)
                return
        self.append(self[-1] * 0.5)


Step = Callable[[np.random.Generator, Pool], Any]
STEPS: dict[str, Step] = {}
VALUE_DEPENDENT: set[str] = set()
NESTED: set[str] = set()


def step(function: Step) -> Step:
    STEPS[function.__name__] = function
    return function


def by_value(function: Step) -> Step:
    """A step which of whose elements go where depends on values."""
    VALUE_DEPENDENT.add(function.__name__)
    return step(function)


def nested(function: Step) -> Step:
    """A step that is not taken inside of others."""
    NESTED.add(function.__name__)
    return function


class SparseProgram:
    """A function of arrays ``inputs(k)``; ``names``: the steps that were taken at the last call."""

    def __init__(self, seed: int, length: int = 5, only: Sequence[str] | None = None) -> None:
        self.seed, self.length = seed, length
        self.only = None if only is None else list(only)
        random = np.random.default_rng([seed, 1])
        self.dtype = random.choice(["float32"] * 6 + ["float16", "bfloat16"])
        shapes = [(5,), (2, 3), (6,), (3, 1, 2), (4,), (1,), (), (0,), (2, 0), (3, 3)]
        count = 1 + (random.random() < 0.3)
        often = np.array([4, 4, 4, 2, 3, 1, 1, 0.3, 0.2, 2])
        self.shapes = [shapes[i] for i in random.choice(len(shapes), count, p=often / often.sum())]

    def inputs(self, point: int) -> tuple[Any, ...]:
        random = np.random.default_rng([self.seed, 2, point])
        dtype = fnp.bfloat16 if self.dtype == "bfloat16" else self.dtype
        return tuple([random.uniform(-1.5, 1.5, shape).astype(dtype) for shape in self.shapes])

    def __call__(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        random = np.random.default_rng([self.seed, 3])
        self.names: list[str] = []
        pool = Pool(inputs, self.names)
        for _ in range(self.length):
            pool.advance(random, self.only or list(STEPS))
        return tuple(pool[-1:]) if random.random() < 0.6 else tuple(pool[-2:])

    @property
    def exact(self) -> bool:
        return not VALUE_DEPENDENT.intersection(self.names)


def chosen(random: np.random.Generator, pool: Pool, rank: int = 0, least: int = 0) -> Any:
    """A value with so many axes at least, each of that length; preferably a late one; None where there is none."""
    found = [x for x in pool if len(x.shape) >= rank and all(n >= least for n in x.shape)]
    return found[-1 - min(random.geometric(0.6) - 1, len(found) - 1)] if found else None


def one_of(random: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[random.integers(len(choices))]


def some_axis(random: np.random.Generator, x: Any) -> int:
    return int(random.integers(len(x.shape)))


def with_gaps(random: np.random.Generator, shape: Sequence[int], dtype: Any, zeros: float = 0.5) -> Any:
    array = random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape)
    return np.where(random.random(shape) < zeros, 0.0, array).astype(dtype)


def short_body(random: np.random.Generator, outer: Pool) -> Callable[[list[Any]], Any]:
    """A short program of the values it is given: a function that may be traced any number of times."""
    seed = int(random.integers(2**31))
    simple = [name for name in STEPS if name not in NESTED]

    def run(values: list[Any]) -> Any:
        own, pool = np.random.default_rng(seed), Pool(values, outer.taken)
        for _ in range(2):
            pool.advance(own, simple)
        return pool[-1]

    return run


def shaped(x: Any, like: Any) -> Any:
    """The elements of ``x``, cut or repeated, in the shape and dtype of ``like``."""
    flat, size = fnp.ravel(x), int(np.prod(like.shape))
    if not flat.shape[0]:
        return fnp.zeros(like.shape, like.dtype)
    return fnp.reshape(fnp.resize(flat, (size,)), like.shape).astype(like.dtype)


def nonzeros(function: Any, inputs: Sequence[Any]) -> Any:
    """Where the Jacobian is not zero at this point: column by column, by the rules of jvp and NumPy's references."""
    call = taken(function, Options(), (tuple(inputs),), {}, "jacfwd", "jacfwd", values=False)
    program, has = jvp_jaxpr(call.jaxpr, call.wrt)
    given = [*map(np.asarray, call.captured), *inputs]
    columns = []
    for i, x in enumerate(inputs):
        for e in range(x.size):
            tangents = [np.zeros(y.size, y.dtype) for y in inputs]
            tangents[i][e] = 1
            shaped = [t.reshape(y.shape) for t, y in zip(tangents, inputs, strict=True)]
            with np.errstate(all="ignore"):
                slopes = iter(evaluate(program, [*given, *shaped])[len(call.jaxpr.outputs) :])
            rows = [np.float64(next(slopes)).ravel() if h else np.zeros(t.size) for h, t in zip(has, call.outs)]
            columns.append(np.concatenate([np.zeros(0), *rows]))
    matrix = np.stack(columns, 1) if columns else np.zeros((sum(t.size for t in call.outs), 0))
    return (matrix != 0) & np.isfinite(matrix)
