"""Transforms as stackable steps, and the deterministic choice of the stacks that each program goes through."""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from tests.compose.table import Program

float0 = jax.dtypes.float0


class Namespaces(NamedTuple):
    """The modules a program is written against: functrans' own, or JAX's."""

    transforms: Any
    numpy: Any
    lax: Any


class Staged(NamedTuple):
    """A function and arguments that it can be called with."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Step = Callable[[Namespaces, Staged], Staged]


def _is_inexact(leaf: Any) -> bool:
    return bool(np.issubdtype(jax.dtypes.canonicalize_dtype(jax.dtypes.result_type(leaf)), np.inexact))


def _direction(leaf: Any) -> Any:
    """A fixed tangent or cotangent for `leaf`: float0 for integers, a Python scalar for a Python scalar."""
    if not _is_inexact(leaf):
        return np.zeros(np.shape(leaf), float0)
    if isinstance(leaf, float | complex):
        return 0.75
    shape, dtype = leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)
    wave = np.cos(0.3 + np.arange(int(np.prod(shape)), dtype=np.float64)).reshape(shape)
    return (wave - 0.5j * wave[..., ::-1] if shape and np.issubdtype(dtype, np.complexfloating) else wave).astype(dtype)


def _directions(tree: Any) -> Any:
    return jax.tree.map(_direction, tree)


def _without_float0(tree: Any) -> Any:
    """float0 leaves become None: a result that holds them cannot go through the next `jit` or `vmap`, in JAX either."""
    return jax.tree.map(lambda leaf: None if getattr(leaf, "dtype", None) == float0 else leaf, tree)


def _inexact_argnums(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(i for i, argument in enumerate(arguments) if all(map(_is_inexact, jax.tree.leaves(argument))))


def _inexact_results(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: [leaf for leaf in jax.tree.leaves(function(*arguments)) if _is_inexact(leaf)]


def _scalar_result(namespaces: Namespaces, function: Callable[..., Any]) -> Callable[..., Any]:
    """A weighted sum over every inexact result, so that `grad` applies and no result is forgotten."""

    def total(*arguments: Any) -> Any:
        numpy = namespaces.numpy
        result = 0.0
        for leaf in _inexact_results(function)(*arguments):
            weighted = numpy.sum(leaf * _direction(leaf))
            if np.issubdtype(weighted.dtype, np.complexfloating):
                weighted = numpy.real(weighted) + 0.5 * numpy.imag(weighted)
            result = result + weighted
        return result

    return total


def jvp(namespaces: Namespaces, staged: Staged) -> Staged:
    tangents = _directions(staged.arguments)

    def function(*arguments: Any) -> Any:
        value, tangent = namespaces.transforms.jvp(staged.function, arguments, tangents)
        return value, _without_float0(tangent)

    return Staged(function, staged.arguments)


def linearize(namespaces: Namespaces, staged: Staged) -> Staged:
    tangents = _directions(staged.arguments)

    def function(*arguments: Any) -> Any:
        value, pushforward = namespaces.transforms.linearize(staged.function, *arguments)
        return value, _without_float0(pushforward(*tangents))

    return Staged(function, staged.arguments)


def vjp(namespaces: Namespaces, staged: Staged) -> Staged:
    def function(*arguments: Any) -> Any:
        value, pullback = namespaces.transforms.vjp(staged.function, *arguments)
        return value, _without_float0(pullback(_directions(value)))

    return Staged(function, staged.arguments)


def grad(namespaces: Namespaces, staged: Staged) -> Staged:
    everything = tuple(range(len(staged.arguments)))
    scalar = _scalar_result(namespaces, staged.function)
    gradient = namespaces.transforms.grad(scalar, argnums=everything, allow_int=True)
    return Staged(lambda *arguments: _without_float0(gradient(*arguments)), staged.arguments)


def jit(namespaces: Namespaces, staged: Staged) -> Staged:
    return Staged(namespaces.transforms.jit(staged.function), staged.arguments)


def vmap(namespaces: Namespaces, staged: Staged) -> Staged:
    return Staged(namespaces.transforms.vmap(staged.function), _batched(staged.arguments))


def vmap_last(namespaces: Namespaces, staged: Staged) -> Staged:
    """The mapped axis last, in and out."""
    batched = jax.tree.map(lambda leaf: jax.numpy.moveaxis(leaf, 0, -1), _batched(staged.arguments))
    return Staged(namespaces.transforms.vmap(staged.function, in_axes=-1, out_axes=-1), batched)


def vmap_one(namespaces: Namespaces, staged: Staged) -> Staged:
    """The first argument mapped, the others shared by every lane."""
    first, *others = staged.arguments
    in_axes = (0,) + (None,) * len(others)
    return Staged(namespaces.transforms.vmap(staged.function, in_axes=in_axes), (*_batched((first,)), *others))


def _batched(arguments: Any) -> Any:
    """Three lanes that differ: floats are scaled, integers shifted towards zero, booleans flipped."""

    def lanes(leaf: Any) -> Any:
        array = jax.numpy.asarray(leaf)
        if array.dtype == bool:
            return jax.numpy.stack([array, ~array, array])
        if np.issubdtype(array.dtype, np.integer):
            return jax.numpy.stack([array, array // 2, array // 3])
        return jax.numpy.stack([array, array * 0.875, array * 1.125])

    return jax.tree.map(lanes, arguments)


def jacfwd(namespaces: Namespaces, staged: Staged) -> Staged:
    argnums = _inexact_argnums(staged.arguments)
    return Staged(namespaces.transforms.jacfwd(_inexact_results(staged.function), argnums), staged.arguments)


def jacrev(namespaces: Namespaces, staged: Staged) -> Staged:
    argnums = _inexact_argnums(staged.arguments)
    return Staged(namespaces.transforms.jacrev(_inexact_results(staged.function), argnums), staged.arguments)


def hessian(namespaces: Namespaces, staged: Staged) -> Staged:
    argnums = _inexact_argnums(staged.arguments)
    scalar = _scalar_result(namespaces, staged.function)
    return Staged(namespaces.transforms.hessian(scalar, argnums), staged.arguments)


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (jvp, grad, vjp, vmap, vmap_last, vmap_one, jit, linearize, jacfwd, jacrev, hessian)
}
NEEDS_FORWARD = {"jvp", "linearize", "jacfwd"}
NEEDS_REVERSE = {"grad", "vjp", "jacrev", "hessian"}
NEEDS_REAL = {"jacfwd", "jacrev", "hessian"}
NEEDS_BATCH = {"vmap", "vmap_last", "vmap_one"}
ORDER = {"hessian": 2, "jit": 0, "vmap": 0, "vmap_last": 0, "vmap_one": 0}
HIGHEST_ORDER = 3
JACOBIANS = {"jacfwd": 1, "jacrev": 1, "hessian": 2}
MOST_JACOBIANS = 2
"""Each Jacobian multiplies the size of the result by that of the arguments; a third one only costs compile time."""
STACKS_OF_DEPTH = {1: 4, 2: 3, 3: 2}
"""How many stacks of each depth a program goes through."""


def admissible(defined: frozenset[str], stack: tuple[str, ...]) -> bool:
    """True where all its steps are among those defined, and it tells something that a smaller stack does not."""
    if not defined.issuperset(stack):
        return False
    if any(outer == inner == "jit" for outer, inner in itertools.pairwise(stack)):
        return False
    if sum(JACOBIANS.get(name, 0) for name in stack) > MOST_JACOBIANS:
        return False
    return sum(ORDER.get(name, 1) for name in stack) <= HIGHEST_ORDER


def defined_steps(program: Program) -> frozenset[str]:
    """The steps that are defined for the program."""
    steps = set(STEPS)
    if not program.forward:
        steps -= NEEDS_FORWARD | {"hessian"}
    if not program.reverse:
        steps -= NEEDS_REVERSE
    if not program.jacobians:
        steps -= NEEDS_REAL
    if not program.vectorised:
        steps -= NEEDS_BATCH
    return frozenset(steps)


@functools.cache
def _admissible_stacks(defined: frozenset[str], depth: int) -> list[tuple[str, ...]]:
    return [stack for stack in itertools.product(STEPS, repeat=depth) if admissible(defined, stack)]


@functools.cache
def _chosen_stacks(name: str, defined: frozenset[str]) -> list[tuple[str, ...]]:
    def checksum(stack: tuple[str, ...]) -> int:
        return zlib.crc32("-".join((name, *stack)).encode())

    return [
        stack
        for depth, most in STACKS_OF_DEPTH.items()
        for stack in sorted(_admissible_stacks(defined, depth), key=checksum)[:most]
    ]


def chosen_stacks(program: Program) -> list[tuple[str, ...]]:
    """Of each depth the stacks that a checksum of the names puts first: a fixed choice, another for every program."""
    return _chosen_stacks(program.name, defined_steps(program))


def stacked(namespaces: Namespaces, program: Program, stack: tuple[str, ...]) -> Staged:
    """The program under the stack, whose first name is the outermost transform."""
    staged = Staged(program.build(*namespaces), program.arguments())
    for name in reversed(stack):
        staged = STEPS[name](namespaces, staged)
    return staged
