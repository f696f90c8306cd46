"""custom_vmap: the rule is what vmap does, and what derivatives of the mapped function are derivatives of."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

pytestmark = pytest.mark.usefixtures("x64")
xs, ys = np.linspace(0.2, 1.1, 3), np.array([1.5, -0.5, 0.7])


@ft.custom_batching.custom_vmap
def product(x: Any, y: Any) -> Any:
    return fnp.sin(x) * y


@product.def_vmap
def product_rule(size: int, in_batched: Any, x: Any, y: Any) -> Any:
    """Three times what the function says, so that a rule not used shows."""
    return 3.0 * fnp.sin(x) * y, in_batched[0] or in_batched[1]


def tripled(x: Any, y: Any) -> Any:
    return 3.0 * jnp.sin(x) * y


AXES = [(0, 0), (0, None), (None, 0)]
DERIVATIVES = {
    "value": lambda o, f: f,
    "jvp": lambda o, f: lambda x, y: o.jvp(f, (x, y), (0.3 * x, 0.7 * y)),
    "jvp by one": lambda o, f: lambda x, y: o.jvp(lambda y: f(x, y), (y,), (1.0 + 0.0 * y,)),
    "linearize": lambda o, f: lambda x, y: o.linearize(f, x, y)[1](0.3 * x, 0.7 * y),
    "grad": lambda o, f: o.grad(f, (0, 1)),
    "grad by one": lambda o, f: o.grad(f, 1),
    "hessian": lambda o, f: o.hessian(f, (0, 1)),
    "grad of grad": lambda o, f: lambda x, y: o.grad(lambda x, y: sum(o.grad(f, (0, 1))(x, y)), (0, 1))(x, y),
    "jvp of grad": lambda o, f: lambda x, y: o.jvp(o.grad(f), (x, y), (x, y))[1],
}


@pytest.mark.parametrize(("name", "axes"), list(itertools.product(DERIVATIVES, AXES)), ids=str)
def test_lanes_of_derivatives_are_derivatives_of_the_rule(name: str, axes: Any) -> None:
    arguments = [v if axis == 0 else v[0] for v, axis in zip((xs, ys), axes, strict=True)]
    derivative = DERIVATIVES[name]
    expected = jax.jit(jax.vmap(derivative(jax, tripled), axes))(*arguments)
    assert_same(ft.vmap(derivative(ft, product), axes)(*arguments), expected, weak=False)
    assert_same(ft.jit(ft.vmap(derivative(ft, product), axes))(*arguments), expected, weak=False)


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_derivatives_of_lanes_are_derivatives_of_the_rule(axes: Any) -> None:
    arguments = [v if axis == 0 else v[0] for v, axis in zip((xs, ys), axes, strict=True)]
    total = lambda o, np_, f: lambda *args: np_.sum(np_.cos(o.vmap(f, axes)(*args)))
    expected = jax.jit(jax.hessian(total(jax, jnp, tripled), (0, 1)))(*arguments)
    assert_same(ft.hessian(total(ft, fnp, product), (0, 1))(*arguments), expected, weak=False)


def test_without_vmap_the_function_speaks() -> None:
    assert_same(product(xs, ys), jnp.sin(xs) * ys, weak=False)
    assert_same(ft.grad(product)(0.3, 2.0), 2.0 * np.cos(0.3), weak=False)
    assert_same(ft.jit(ft.grad(product, 1))(0.3, 2.0), np.sin(0.3), weak=False)


def test_several_tangents_or_cotangents_at_one_point_are_no_lanes_of_the_function() -> None:
    plain = lambda x, y: jnp.sin(x) * y
    for jacobian in ("jacfwd", "jacrev", "hessian"):
        expected = jax.jit(getattr(jax, jacobian)(plain, (0, 1)))(xs, ys)
        assert_same(getattr(ft, jacobian)(product, (0, 1))(xs, ys), expected, weak=False)
    pull = ft.vjp(product, 0.3, 2.0)[1]
    assert_same(ft.vmap(pull)(xs), jax.vmap(jax.vjp(plain, 0.3, 2.0)[1])(xs), weak=False)
    # Lanes of Jacobians are lanes of the function again.
    assert_same(ft.vmap(ft.jacfwd(product))(xs, ys), jax.jit(jax.vmap(jax.jacfwd(tripled)))(xs, ys), weak=False)


def test_each_of_two_axes_is_mapped_in_turn() -> None:
    """The inner vmap asks the rule; what the rule wrote is mapped over the outer axis as any other program."""
    table = ft.vmap(ft.vmap(product, (None, 0)), (0, None))(xs, ys)
    assert_same(table, 3.0 * jnp.sin(xs)[:, None] * ys, weak=False)


@pytest.mark.parametrize("place", ["scan", "cond", "jit", "while_loop"])
def test_the_rule_is_asked_inside_control_flow(place: str) -> None:
    def f(x: Any, y: Any) -> Any:
        if place == "scan":
            return lax.scan(lambda c, _: (product(c, y), None), x, None, length=2)[0]
        if place == "cond":
            return lax.cond(y > 100.0, lambda: x, lambda: product(product(x, y), y))
        if place == "jit":
            return ft.jit(lambda x: product(product(x, y), y))(x)
        return lax.while_loop(lambda c: c[1] < 2, lambda c: (product(c[0], y), c[1] + 1), (x, 0))[0]

    expected = tripled(tripled(xs, ys), ys)
    assert_same(ft.vmap(f)(xs, ys), expected, weak=False)
    if place != "while_loop":
        slopes = jax.grad(lambda x: jnp.sum(tripled(tripled(x, ys), ys)))(xs)
        assert_same(ft.vmap(ft.grad(f))(xs, ys), slopes, weak=False)


def test_a_rule_receives_trees_and_says_what_is_batched() -> None:
    seen: list[Any] = []

    @ft.custom_batching.custom_vmap
    def f(tree: Any, z: Any) -> Any:
        return {"s": tree["a"] + tree["b"], "z": z}

    @f.def_vmap
    def rule(size: int, in_batched: Any, tree: Any, z: Any) -> Any:
        seen.append((size, in_batched, tree["a"].shape, tree["b"].shape, z.shape))
        return {"s": tree["a"] - tree["b"], "z": z}, {"s": True, "z": in_batched[1]}

    out = ft.vmap(f, ({"a": 0, "b": None}, None), {"s": 0, "z": None})({"a": xs, "b": 2.0}, ys)
    assert seen == [(3, [{"a": True, "b": False}, False], (3,), (), (3,))]
    assert_same(out, {"s": jnp.asarray(xs - 2.0), "z": jnp.asarray(ys)}, weak=False)


def test_function_and_rule_may_close_over_a_value_of_the_outer_trace() -> None:
    def f(w: Any) -> Any:
        @ft.custom_batching.custom_vmap
        def scaled(x: Any) -> Any:
            return w * x

        scaled.def_vmap(lambda size, in_batched, x: (2.0 * w * x, True))
        return fnp.sum(ft.vmap(scaled)(xs)) + scaled(1.0)

    assert_same(ft.jit(f)(3.0), 6.0 * np.sum(xs) + 3.0, weak=False)
    assert_same(ft.grad(f)(3.0), 2.0 * np.sum(xs) + 1.0, weak=False)


def test_a_sequential_function_runs_lane_by_lane() -> None:
    looped = ft.custom_batching.sequential_vmap(lambda x, tree: {"p": fnp.sin(x) * tree["y"], "n": tree["k"] + 1})
    lanes = ft.vmap(looped, (0, {"y": None, "k": 0}))
    out = lanes(xs, {"y": 2.0, "k": np.arange(3)})
    assert_same(out, {"p": 2.0 * jnp.sin(xs), "n": jnp.arange(3) + 1}, weak=False)
    printed = str(ft.make_jaxpr(lanes)(xs, {"y": 2.0, "k": np.arange(3)}))
    assert "scan" in printed
    gradient = ft.vmap(ft.grad(lambda x, y: looped(x, {"y": y, "k": 1})["p"], (0, 1)), (0, None))
    assert_same(gradient(xs, 2.0), (2.0 * jnp.cos(xs), jnp.sin(xs)), weak=False)


def test_a_program_with_a_rule_prints_the_same_when_traced_again() -> None:
    def trace() -> str:
        return str(ft.make_jaxpr(ft.grad(lambda x: product(x, 2.0)))(1.0))

    assert trace() == trace()
    assert "custom_vmap_call" in trace() and "vmap rule of product" in trace() and "0x" not in trace()


def factorial(x: Any, step: Any) -> Any:
    """x (x - step) (x - 2 step) ...: a loop that ends where x is 1 plus a multiple of the step, and nowhere else."""
    return lax.while_loop(lambda c: c[0] != 1.0, lambda c: (c[0] - step, c[1] * c[0]), (x, 1.0 + 0.0 * x))[1]


looped = ft.custom_batching.custom_vmap(factorial)


@looped.def_vmap
def looped_rule(size: int, in_batched: Any, x: Any, step: Any) -> Any:
    assert in_batched[0]
    return ft.vmap(factorial, (0, 0 if in_batched[1] else None))(x, step), True


LOOPING = {"rule": looped, "sequential": ft.custom_batching.sequential_vmap(factorial), "jit": ft.jit(looped)}


def in_a_branch(f: Any, x: Any, step: Any) -> Any:
    return lax.cond(x >= 1.0, f, lambda x, step: -x * step, x, step)


WHERE_LANES_ARE_DONE: dict[str, Any] = {
    "cond": in_a_branch,
    "switch": lambda f, x, step: lax.switch((x >= 1.0).astype(int), [lambda x, _: x, f], x, step),
    "while": lambda f, x, step: lax.while_loop(
        lambda c: c[0] >= 1.0, lambda c: (c[0] - step, c[1] + f(c[0], step)), (x, 0.0 * x)
    )[1],
    "jvp of cond": lambda f, x, step: ft.jvp(lambda x: in_a_branch(f, x, step), (x,), (1.0 + 0.0 * x,)),
    "cond of jvp": lambda f, x, step: lax.cond(
        x >= 1.0, lambda x: ft.jvp(lambda x: f(x, step), (x,), (2.0 + 0.0 * x,)), lambda x: (x, x), x
    ),
    "jacfwd of cond": lambda f, x, step: ft.jacfwd(lambda v: in_a_branch(f, v[0] * v[1], step))(
        fnp.stack([x, 1.0 + 0.0 * x])
    ),
}


@pytest.mark.parametrize("axes", [(0, None), (0, 0)], ids=str)
@pytest.mark.parametrize("place", WHERE_LANES_ARE_DONE)
@pytest.mark.parametrize("name", LOOPING)
def test_a_loop_of_the_rule_that_would_not_end_in_lanes_that_are_done_does_not_run_there(
    name: str, place: str, axes: Any
) -> None:
    program, f = WHERE_LANES_ARE_DONE[place], LOOPING[name]
    for x in (np.array([3.0, -1.5, 5.0, 0.25]), np.array([-1.5, 0.25])):
        step = np.array([1.0, 2.0, 2.0, 0.5][: len(x)]) if axes[1] == 0 else 1.0
        lanes = [program(factorial, v, np.broadcast_to(step, len(x))[i]) for i, v in enumerate(x)]
        expected = jax.tree.map(lambda *rows: jnp.stack(rows), *lanes)
        mapped = ft.vmap(lambda x, step: program(f, x, step), axes)
        assert_same(mapped(x, step), expected, weak=False)
        assert_same(ft.jit(mapped)(x, step), expected, weak=False)
