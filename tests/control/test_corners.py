"""Loops and branches that hold custom rules, collectives, pullbacks, indexing, and loops with nothing in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

X = np.linspace(0.2, 1.0, 3, dtype=np.float32)
Corner = Callable[[Any, Any, Any, Any], Any]


def custom_jvp_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    @f.custom_jvp
    def h(a: Any) -> Any:
        return n.sin(a)

    h.defjvp(lambda p, t: (n.sin(p[0]), 3.0 * n.cos(p[0]) * t[0]))
    return l.scan(lambda c, a: (h(c) * a, h(a)), x[0], x)


def custom_vjp_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    @f.custom_vjp
    def h(a: Any) -> Any:
        return n.sin(a)

    h.defvjp(lambda a: (n.sin(a), a), lambda r, g: (2.0 * n.cos(r) * g,))
    return l.scan(lambda c, a: (h(c) * a, h(a)), x[0], x)


def collectives_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    def lane(a: Any) -> Any:
        def step(c: Any, b: Any) -> Any:
            c = n.sin(c) * l.psum(b * c, "i")
            return c, l.axis_index("i") * c

        return l.scan(step, a, n.cos(X))

    return f.vmap(lane, axis_name="i")(x)


def pullback_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    _, pullback = f.vjp(lambda a: n.sin(a) * a, x)
    return l.scan(lambda c, _: (pullback(c)[0], None), x, None, length=3)[0]


def pullback_as_operand(f: Any, l: Any, n: Any, x: Any) -> Any:
    _, pullback = f.vjp(lambda a: n.sin(a) * a, x)
    return l.cond(x[0] > 0, lambda p: p(x)[0], lambda p: x, pullback)


def scan_without_carry(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.scan(lambda c, a: ((), n.sin(a)), (), x)


def scan_of_nothing(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.scan(lambda c, a: ((), None), (), x), n.sin(x)


def branches_of_nothing(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.cond(x[0] > 0, lambda: None, lambda: None), n.sin(x)


def while_of_nothing(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.while_loop(lambda c: False, lambda c: c, ()), n.sin(x)


def repeated_and_constant_results(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.scan(lambda c, a: ((c[1], c[0]), (c[0], c[0], a, 1.0, x)), (x[0], x[1]), x)


def constant_carry(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.scan(lambda c, a: ((1.0, a), c[0] * c[1] * n.sin(a)), (x[0], x[1]), x)


def jit_in_scan_in_jit(f: Any, l: Any, n: Any, x: Any) -> Any:
    return f.jit(lambda w: l.scan(lambda c, a: (f.jit(lambda u: n.sin(u) * w)(c), f.jit(n.cos)(a)), w, x))(x)


def hessian_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.scan(lambda c, a: (f.hessian(lambda u: n.sum(n.sin(u) * u * a))(c) @ c, None), x, x)


def jacobians_of_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    def g(w: Any) -> Any:
        return l.scan(lambda c, a: (n.sin(c) * w * a, None), w, x)[0]

    return f.jacfwd(g)(x), f.jacrev(g)(x)


def switch_in_scan(f: Any, l: Any, n: Any, x: Any) -> Any:
    indices = np.array([0, 2, 1, 5], np.int32)
    return l.scan(lambda c, i: (l.switch(i, [n.sin, n.cos, lambda u: u * c], c), c), x, indices)


def indexing_with_the_counter(f: Any, l: Any, n: Any, x: Any) -> Any:
    y = n.sin(x)
    return l.fori_loop(0, 3, lambda i, c: c.at[i].set(y[i] * n.sin(c[i] * c[0])), y * 2.0)


def fori_in_fori(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.fori_loop(0, 2, lambda i, c: l.fori_loop(0, 3, lambda j, d: n.sin(d) * x + i * j, c), x)


def map_in_map(f: Any, l: Any, n: Any, x: Any) -> Any:
    return l.map(lambda a: l.map(lambda b: n.sin(a * b), x), x)


def lanes_that_stop_at_different_steps(f: Any, l: Any, n: Any, x: Any) -> Any:
    stops = np.array([0, 1, 4], np.int32)
    final = f.vmap(lambda k: l.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, c[1] * 2.0), (0, 1.0))[1])(stops)
    return final * x


CORNERS: list[Corner] = [
    custom_jvp_in_scan, custom_vjp_in_scan, collectives_in_scan, pullback_in_scan, pullback_as_operand,
    scan_without_carry, scan_of_nothing, branches_of_nothing, while_of_nothing, repeated_and_constant_results,
    constant_carry, jit_in_scan_in_jit, hessian_in_scan, jacobians_of_scan, switch_in_scan, indexing_with_the_counter,
    fori_in_fori, map_in_map, lanes_that_stop_at_different_steps,
]  # fmt: skip


def total(n: Any, corner: Corner, *libraries: Any) -> Callable[[Any], Any]:
    return lambda x: sum(n.sum(n.sin(leaf)) for leaf in jax.tree.leaves(corner(*libraries, x)))


@pytest.mark.parametrize("corner", CORNERS, ids=lambda c: c.__name__)
def test_value_and_derivatives_agree_with_jax(corner: Corner) -> None:
    ours, theirs = (ft, lax, fnp), (jax, jax.lax, jnp)
    f, g = total(fnp, corner, *ours), total(jnp, corner, *theirs)
    assert_same(corner(*ours, X), jax.jit(lambda x: corner(*theirs, x))(X), weak=False, operations=512)
    assert_same(ft.grad(f)(X), jax.jit(jax.grad(g))(X), weak=False, operations=512)
    if corner is custom_vjp_in_scan:  # JAX has no forward mode through custom_vjp; ours agrees with its gradient
        np.testing.assert_allclose(ft.jvp(f, (X,), (X,))[1], jax.grad(g)(X) @ X, rtol=1e-5)
    else:
        assert_same(ft.jvp(f, (X,), (X,)), jax.jit(lambda x: jax.jvp(g, (x,), (x,)))(X), weak=False, operations=512)
    spread = np.stack([0.5 * X, X, 2.0 * X])
    assert_same(ft.vmap(ft.grad(f))(spread), jax.jit(jax.vmap(jax.grad(g)))(spread), weak=False, operations=512)
    if not corner.__name__.startswith("custom"):
        wanted = jax.jit(lambda x: jax.jvp(jax.grad(g), (x,), (x,)))(X)
        assert_same(ft.jvp(ft.grad(f), (X,), (X,)), wanted, weak=False, operations=4096)


def test_a_custom_rule_means_the_same_in_a_scan_and_written_out() -> None:
    """JAX's own second derivative differs between the two; ours may not."""

    def repeated(x: Any, steps: int, looped: bool) -> Any:
        @ft.custom_jvp
        def h(a: Any) -> Any:
            return fnp.sin(a)

        h.defjvp(lambda p, t: (h(p[0]), 3.0 * fnp.cos(p[0]) * t[0]))
        if looped:
            return lax.scan(lambda c, _: (h(c), None), x, None, length=steps)[0]
        for _ in range(steps):
            x = h(x)
        return x

    for transform in (ft.grad, lambda f: ft.grad(ft.grad(f))):
        looped, written = (transform(lambda x, way=way: repeated(x, 3, way))(0.7) for way in (True, False))
        np.testing.assert_allclose(looped, written, rtol=1e-5)


def _linearized(library: Any, f: Any) -> Any:
    def g(x: Any) -> Any:
        value, pushforward = library.linearize(f, x)
        return value, pushforward(0.75 * x)

    return g


@pytest.mark.parametrize("how", ["jvp", "linearize"])
def test_a_while_loop_gives_the_value_that_a_custom_rule_gives(how: str) -> None:
    """The rule's value is differentiated again, not the function: the derivative of one is three times the other's."""

    def first_and_second(library: Any, numpy: Any, loop: str) -> Any:
        h = library.custom_jvp(numpy.sin)
        h.defjvp(lambda p, t: (numpy.sin(p[0]), 3.0 * numpy.cos(p[0]) * t[0]))

        def f(x: Any) -> Any:
            if loop == "while":
                x = library.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, h(c[1])), (0, x))[1]
            elif loop == "scan":
                x = library.lax.scan(lambda c, _: (h(c), None), x, None, length=2)[0]
            else:
                x = h(h(x))
            return x * x

        inner = _linearized(library, f) if how == "linearize" else lambda x: library.jvp(f, (x,), (0.75 * x,))
        return library.jvp(inner, (np.float32(0.7),), (np.float32(0.5),)), _linearized(library, inner)(np.float32(0.7))

    wanted = first_and_second(jax, jnp, "while")
    for loop in ("while", "scan", "written out"):
        assert_same(first_and_second(ft, fnp, loop), wanted, operations=64)
