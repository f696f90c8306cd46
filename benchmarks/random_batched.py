"""Random small functions of products, elementwise operations, sums and indexing, and their Jacobians in every lane.

A program is a list of steps over arrays of rank 1 to 3 with axes of 2 to 6, drawn without running it; a step reads
earlier values, and all values that nobody else reads enter the result, a vector. Values stay of size one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from benchmarks.cases import Build, Case, Namespace, Transforms, against_jax

PROGRAMS = 40
LANES = 500
STEPS = 8
SIZES = (2, 3, 4, 6)

Shape = tuple[int, ...]

ELEMENTWISE: tuple[Callable[[Namespace, Any], Any], ...] = (
    lambda np, x: np.tanh(x),
    lambda np, x: np.sin(x),
    lambda np, x: np.exp(-x * x),
    lambda np, x: x / (1.0 + x * x),
    lambda np, x: np.sqrt(1.0 + x * x),
    lambda np, x: np.log1p(x * x),
)


class Step(NamedTuple):
    """``apply(np, values, weight)`` of the values at these places."""

    places: tuple[int, ...]
    apply: Callable[..., Any]
    weight: Any = None


class Draw:
    """Draws the steps of one program; ``f(np, x, weights)`` runs them."""

    def __init__(self, seed: int) -> None:
        self.random = numpy.random.default_rng([41, seed])
        self.inputs = int(self.random.integers(3, 9))
        self.shapes: list[Shape] = [(self.inputs,)]
        self.used: set[int] = set()
        self.steps: list[Step] = []
        first = (self._size(), self._size())
        self._product_with_weight(0, first)
        kinds = [self._weight, self._product, self._elementwise, self._binary, self._sum, self._gather, self._moved]
        chances = numpy.asarray([3, 3, 3, 2, 2, 2, 1]) / 16
        while len(self.steps) < STEPS:
            kinds[self.random.choice(len(kinds), p=chances)]()
        self.ends = [place for place in range(1, len(self.shapes)) if place not in self.used]
        count = sum(int(numpy.prod(self.shapes[place])) for place in self.ends)
        self.last = self._normal(count, int(self.random.integers(1, 6)), scale=count**-0.5)

    @property
    def weights(self) -> list[Any]:
        """Matrices and indices by step, and the last matrix."""
        return [*[step.weight for step in self.steps], self.last]

    def __call__(self, np: Namespace, x: Any, weights: Any) -> Any:
        values = [x]
        for step, weight in zip(self.steps, weights, strict=False):
            values.append(step.apply(np, *[values[place] for place in step.places], weight))
        return np.concatenate([np.reshape(values[place], (-1,)) for place in self.ends]) @ weights[-1]

    def lanes(self) -> Any:
        return self._normal(LANES, self.inputs, scale=1.0)

    def _size(self) -> int:
        return int(self.random.choice(SIZES))

    def _normal(self, *shape: int, scale: float) -> Any:
        return (scale * self.random.standard_normal(shape)).astype(numpy.float32)

    def _place(self) -> int:
        """One of the later values, more often than an early one."""
        return len(self.shapes) - 1 - int(self.random.geometric(0.4) - 1) % len(self.shapes)

    def _add(self, places: tuple[int, ...], apply: Callable[..., Any], shape: Shape, weight: Any = None) -> None:
        self.used.update(places)
        self.shapes.append(shape)
        self.steps.append(Step(places, apply, weight))

    def _product_with_weight(self, place: int, new: Shape) -> None:
        """Contract an axis with a matrix or an array of rank three."""
        shape = self.shapes[place]
        axis = int(self.random.integers(0, len(shape)))
        weight = self._normal(shape[axis], *new, scale=shape[axis] ** -0.5)
        kept = tuple(n for i, n in enumerate(shape) if i != axis)
        if self.random.random() < 0.5:
            self._add((place,), lambda np, x, w: np.tensordot(x, w, ((axis,), (0,))), (*kept, *new), weight)
        else:
            self._add((place,), lambda np, x, w: np.tensordot(w, x, ((0,), (axis,))), (*new, *kept), weight)

    def _weight(self) -> None:
        self._product_with_weight(self._place(), (self._size(),))

    def _product(self) -> None:
        """Of two values along a common axis, or of one with itself."""
        one, other = self._place(), self._place()
        pairs = [
            (i, j)
            for (i, n), (j, m) in itertools.product(enumerate(self.shapes[one]), enumerate(self.shapes[other]))
            if n == m
        ]
        if not pairs or len(self.shapes[one]) + len(self.shapes[other]) > 5:
            return
        i, j = pairs[int(self.random.integers(0, len(pairs)))]
        scale = numpy.float32(self.shapes[one][i] ** -0.5)
        shape = tuple(
            n for which, axis in ((one, i), (other, j)) for k, n in enumerate(self.shapes[which]) if k != axis
        )
        if shape:
            self._add((one, other), lambda np, x, y, _: scale * np.tensordot(np.tanh(x), y, ((i,), (j,))), shape)

    def _elementwise(self) -> None:
        place, function = self._place(), ELEMENTWISE[int(self.random.integers(0, len(ELEMENTWISE)))]
        self._add((place,), lambda np, x, _: function(np, x), self.shapes[place])

    def _binary(self) -> None:
        """With a value of the same shape or one that is spread over it."""
        place = self._place()
        shape = self.shapes[place]
        fitting = [i for i, s in enumerate(self.shapes) if i != place and s == shape[len(shape) - len(s) :]]
        if fitting:
            other = fitting[int(self.random.integers(0, len(fitting)))]
            self._add((place, other), lambda np, x, y, _: np.sin(x) * y - 0.5 * x, shape)

    def _sum(self) -> None:
        place = self._place()
        shape = self.shapes[place]
        if len(shape) < 2:
            return
        axis, mean = int(self.random.integers(0, len(shape))), bool(self.random.random() < 0.3)
        kept = tuple(n for i, n in enumerate(shape) if i != axis)
        if mean:
            self._add((place,), lambda np, x, _: x - np.mean(x, axis=axis, keepdims=True), shape)
        else:
            self._add((place,), lambda np, x, _: np.sum(x * x, axis=axis), kept)

    def _gather(self) -> None:
        place = self._place()
        shape = self.shapes[place]
        axis = int(self.random.integers(0, len(shape)))
        indices = self.random.integers(0, shape[axis], self._size()).astype(numpy.int32)
        found = (*shape[:axis], len(indices), *shape[axis + 1 :])
        self._add((place,), lambda np, x, indices: np.take(x, indices, axis=axis), found, indices)

    def _moved(self) -> None:
        place = self._place()
        order = tuple(int(i) for i in self.random.permutation(len(self.shapes[place])))
        self._add((place,), lambda np, x, _: np.transpose(x, order), tuple(self.shapes[place][i] for i in order))


def derivative(seed: int, mode: str) -> Build:
    """``vmap(mode(f))`` of a random program; the Hessian of the sum of its squares."""

    def build(transforms: Transforms, np: Namespace) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        drawn = Draw(seed)
        args = drawn.lanes(), drawn.weights
        if mode == "hessian":
            return transforms.vmap(transforms.hessian(lambda x, w: 0.5 * np.sum(drawn(np, x, w) ** 2)), (0, None)), args
        return transforms.vmap(getattr(transforms, mode)(lambda x, w: drawn(np, x, w)), (0, None)), args

    return build


MODES = "jacrev", "jacfwd", "hessian"
CASES: list[Case] = [
    against_jax(f"vmap({mode}), random program {seed}", derivative(seed, mode))
    for seed in range(PROGRAMS)
    for mode in MODES
]
