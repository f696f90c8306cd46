"""Random programs in which each operation and each transform is functrans' or JAX's: ``float64[3] -> float64[3]``.

A program is data, so that it can be printed and drawn again from its number: nested tuples (name, library, parts).
``run`` gives it a meaning; with ``alone`` everything is JAX's.

    python -m tests.crossing.mixed_programs --first 0 --count 1000       compares that many, prints those that differ
"""

from __future__ import annotations

import argparse
import random
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functrans as ft
import functrans.lax
import functrans.numpy as fnp
from tests.agreement import assert_same

Node = tuple[Any, ...]
Function = Callable[[Any], Any]
LIBRARIES = {"functrans": (ft, fnp, functrans.lax), "jax": (jax, jnp, jax.lax)}

LEAVES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sin": lambda np, x, w: np.sin(x),
    "tanh": lambda np, x, w: np.tanh(x) * 1.5,
    "product": lambda np, x, w: x * np.cos(w),
    "closure": lambda np, x, w: np.tanh(w) + x,
    "reversed": lambda np, x, w: x[::-1] * 0.5,
    "sum": lambda np, x, w: np.sum(np.tanh(x)) * w * 0.3,
    "where": lambda np, x, w: np.where(x > w, x, np.sin(w)),
    "update": lambda np, x, w: x.at[1].set(np.sum(w) * 0.2),
    "gather": lambda np, x, w: x[np.array([2, 0, 0])],
    "softmax": lambda np, x, w: np.exp(np.sin(x)) / np.sum(np.exp(np.sin(x))),
    "outer": lambda np, x, w: np.matmul(np.outer(np.tanh(x), np.tanh(w)), w) * 0.3,
}


def _ruled_forward(lib: Any, f: Function, w: Any) -> Function:
    del w
    ruled = lib.custom_jvp(lambda x: f(x))
    ruled.defjvp(lambda primals, tangents: (f(primals[0]), tangents[0] * 2 * jnp.cos(primals[0])))
    return ruled  # type: ignore[no-any-return]


def _ruled_backward(lib: Any, f: Function, w: Any) -> Function:
    del w
    ruled = lib.custom_vjp(lambda x: f(x))
    ruled.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * 2 * jnp.cos(x),))
    return ruled  # type: ignore[no-any-return]


# A transform of a function of one array, which closes over others: (library, numpy, lax, function, x, w) -> array.
TRANSFORMS: dict[str, Callable[..., Any]] = {
    "jit": lambda t, np, lax, f, x, w: t.jit(f)(x),
    "grad": lambda t, np, lax, f, x, w: t.grad(lambda y: np.sum(f(y) * w))(x),
    "value_and_grad": lambda t, np, lax, f, x, w: t.value_and_grad(lambda y: np.sum(f(y)))(x)[1] * w,
    "jvp": lambda t, np, lax, f, x, w: t.jvp(f, (x,), (w,))[1],
    "vjp": lambda t, np, lax, f, x, w: t.vjp(f, x)[1](np.sin(w))[0],
    "linearize": lambda t, np, lax, f, x, w: t.linearize(f, x)[1](np.cos(w)),
    "vmap": lambda t, np, lax, f, x, w: t.vmap(f)(np.stack([x, w]))[1],
    "vmap with an axis": lambda t, np, lax, f, x, w: t.vmap(
        lambda y: f(y) + lax.psum(np.tanh(y), "lane") * 0.1, axis_name="lane"
    )(np.stack([x, w]))[0],
    "scan": lambda t, np, lax, f, x, w: lax.scan(lambda c, u: (np.tanh(f(c)) + u, None), x, w)[0],
    "fori_loop": lambda t, np, lax, f, x, w: lax.fori_loop(0, 2, lambda i, c: np.tanh(f(c)), x),
    "cond": lambda t, np, lax, f, x, w: lax.cond(np.sum(w) > 0.5, f, lambda y: np.sin(y) * w, x),
    "checkpoint": lambda t, np, lax, f, x, w: t.checkpoint(f)(x),
    "jacfwd": lambda t, np, lax, f, x, w: np.matmul(t.jacfwd(f)(x), np.tanh(w)),
    "jacrev": lambda t, np, lax, f, x, w: np.matmul(t.jacrev(f)(x), np.tanh(w)),
}
RULES: dict[str, Callable[..., Function]] = {"custom_jvp": _ruled_forward, "custom_vjp": _ruled_backward}
NOT_FORWARD = {"jvp", "linearize", "jacfwd"}  # refused by JAX over a custom_vjp
DERIVATIVES = {"grad", "value_and_grad", "jvp", "vjp", "linearize", "jacfwd", "jacrev"}
MOST_DERIVATIVES = 2  # beside the outermost: JAX alone takes ten times as long for each


def draw(number: int, depth: int = 4) -> Node:
    """The program of this number: at most ``depth`` transforms in one another."""
    chance = random.Random(number)

    def library() -> str:
        return chance.choice(["functrans", "jax"])

    def leaves(count: int) -> Node:
        return ("chain", tuple((chance.choice(list(LEAVES)), library()) for _ in range(count)))

    def node(depth: int, forward: bool, derivatives: int) -> Node:
        if depth == 0:
            return leaves(2)
        inner: Node
        if chance.random() < 0.15:
            name = chance.choice(["custom_jvp"] if forward else list(RULES))
            inner = (name, library(), leaves(2))
        else:
            name = chance.choice([n for n in TRANSFORMS if derivatives < MOST_DERIVATIVES or n not in DERIVATIVES])
            inside = node(depth - 1, forward or name in NOT_FORWARD, derivatives + (name in DERIVATIVES))
            inner = (name, library(), inside)
        return ("chain", (leaves(1), inner, leaves(1)))

    return node(depth, False, 0)


def run(program: Node, alone: bool = False) -> Function:
    """The function of an array that a program is; ``alone``: with JAX in the place of functrans."""

    def meaning(node: Node, w: Any) -> Function:
        if node[0] == "chain":
            parts = [meaning(part, w) for part in node[1]]

            def chain(x: Any) -> Any:
                for part in parts:
                    x = part(x)
                return x

            return chain
        t, np, lax = LIBRARIES["jax" if alone else node[1]]
        if node[0] in LEAVES:
            return lambda x: LEAVES[node[0]](np, x, w)
        if node[0] in RULES:
            return lambda x: RULES[node[0]](t, meaning(node[2], CONSTANT), w)(x)
        transform = TRANSFORMS[node[0]]
        return lambda x: transform(t, np, lax, meaning(node[2], np.sin(x) + w * 0.5), x, w)

    return lambda x: meaning(program, jnp.cos(x))(x)


X = np.array([0.3, -0.7, 1.1])
CONSTANT = np.full(3, 0.7)  # what functions with rules close over: JAX refuses traced values there


def compare(number: int, depth: int = 4) -> None:
    """The program's value and a gradient of it: those of JAX alone."""
    program = draw(number, depth)
    mixed, alone = run(program), run(program, alone=True)
    outermost = [(ft.grad, jax.jit), (jax.jit, None), (ft.jit, None), (jax.grad, None)][number % 4]
    if outermost[0] in (ft.grad, jax.grad):
        found = outermost[0](lambda x: jnp.sum(mixed(x) ** 2))(X)
        expected = jax.jit(jax.grad(lambda x: jnp.sum(alone(x) ** 2)))(X)
    else:
        found, expected = outermost[0](mixed)(X), jax.jit(alone)(X)
    assert_same(found, expected, 1 << 16, context=f"mixed program {number}: {program}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--depth", type=int, default=4)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    failed = 0
    for number in range(options.first, options.first + options.count):
        try:
            compare(number, options.depth)
        except Exception:
            failed += 1
            print(number, draw(number, options.depth))
            traceback.print_exc()
        if number % 20 == 19:
            ft.clear_caches()
            jax.clear_caches()
    print(f"{options.count} programs, {failed} differ")


if __name__ == "__main__":
    main()
