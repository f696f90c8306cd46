"""Custom rules where JAX's own break: under forward mode, on one another, with array arguments marked static."""

from __future__ import annotations

import functools
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

pytestmark = pytest.mark.usefixtures("x64")


# -- the Hessian of a function with a pullback of its own --------------------------------------------------------------


@ft.custom_vjp
def wave(x: Any, y: Any) -> Any:
    return fnp.sin(x) * y


def wave_forward(x: Any, y: Any) -> Any:
    return wave(x, y), (fnp.cos(x), fnp.sin(x), y)


def wave_backward(residuals: Any, ct: Any) -> Any:
    cosine, sine, y = residuals
    return cosine * ct * y, sine * ct


wave.defvjp(wave_forward, wave_backward)


@pytest.mark.parametrize("outer", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("inner", ["jacfwd", "jacrev"])
def test_second_derivatives_of_a_pullback_in_either_mode(outer: str, inner: str) -> None:
    by_rule = getattr(ft, outer)(getattr(ft, inner)(wave, (0, 1)), (0, 1))(1.0, 2.0)
    expected = jax.jit(jax.hessian(lambda x, y: jnp.sin(x) * y, (0, 1)))(1.0, 2.0)
    assert_same(by_rule, expected, weak=False)
    assert_same(ft.jit(ft.hessian(wave, (0, 1)))(1.0, 2.0), expected, weak=False)


def test_third_derivatives_and_lanes_of_a_pullback() -> None:
    xs = np.linspace(0.1, 1.0, 3)
    third = ft.vmap(ft.grad(ft.grad(ft.grad(wave))), (0, None))(xs, 2.0)
    np.testing.assert_allclose(third, -2.0 * np.cos(xs), rtol=1e-12)
    np.testing.assert_allclose(ft.vmap(ft.hessian(wave), (0, None))(xs, 2.0), -2.0 * np.sin(xs), rtol=1e-12)


# -- a forward and a reverse rule on one function ----------------------------------------------------------------------


def with_both_rules(pullback_outside: bool, calls: list[str]) -> Callable[[Any], Any]:
    """sin with both kinds of rule, each of which notes that it was used."""

    def jvp_rule(primals: Any, tangents: Any) -> Any:
        calls.append("jvp")
        return fnp.sin(primals[0]), fnp.cos(primals[0]) * tangents[0]

    def backward(x: Any, ct: Any) -> Any:
        calls.append("bwd")
        return (fnp.cos(x) * ct,)

    if pullback_outside:
        inner = ft.custom_jvp(fnp.sin)
        inner.defjvp(jvp_rule)
        outer = ft.custom_vjp(lambda x: inner(x))
        outer.defvjp(lambda x: (inner(x), x), backward)
        return outer
    within = ft.custom_vjp(lambda x: fnp.sin(x))
    within.defvjp(lambda x: (within(x), x), backward)
    outside = ft.custom_jvp(lambda x: within(x))
    outside.defjvp(jvp_rule)
    return outside


@pytest.mark.parametrize("pullback_outside", [True, False])
def test_a_function_may_have_both_kinds_of_rule(pullback_outside: bool) -> None:
    x = np.linspace(0.2, 1.4, 3)
    calls: list[str] = []
    f = with_both_rules(pullback_outside, calls)
    np.testing.assert_allclose(f(x), np.sin(x), rtol=1e-14)
    assert_same(ft.jacfwd(f)(x), np.diag(np.cos(x)), weak=False)
    assert_same(ft.jacrev(f)(x), np.diag(np.cos(x)), weak=False)
    assert ("bwd" if pullback_outside else "jvp") in calls
    total = lambda x: fnp.sum(f(x))
    for second in (ft.hessian(total), ft.jacrev(ft.grad(total)), ft.jacfwd(ft.jacfwd(total))):
        assert_same(second(x), np.diag(-np.sin(x)), weak=False)


# -- the Hessian of an integrator that has an adjoint ------------------------------------------------------------------

STEPS = 20


def runge_kutta(f: Any, y: Any, h: float) -> Any:
    a = f(y)
    b = f(y + h / 2 * a)
    c = f(y + h / 2 * b)
    return y + h / 6 * (a + 2 * b + 2 * c + f(y + h * c))


def integrate(f: Callable[..., Any], y: Any, h: float) -> Any:
    """y' = f(y) from 0 to 1, differentiated by integrating the adjoint equation backward."""
    converted, captured = ft.closure_convert(f, y)
    return _integrate(converted, h, y, *captured)


@functools.partial(ft.custom_vjp, nondiff_argnums=(0, 1))
def _integrate(f: Any, h: float, y: Any, *args: Any) -> Any:
    return lax.fori_loop(0, STEPS, lambda _, c: runge_kutta(lambda u: f(u, *args), c, h), y)


def _integrate_forward(f: Any, h: float, y: Any, *args: Any) -> Any:
    step = lambda c, _: (runge_kutta(lambda u: f(u, *args), c, h), c)
    last, before = lax.scan(step, y, None, length=STEPS)
    return last, (before, args)


def _integrate_backward(f: Any, h: float, residuals: Any, ct: Any) -> Any:
    before, args = residuals

    def step(carry: Any, y: Any) -> Any:
        ct, sums = carry
        _, pullback = ft.vjp(lambda y, *args: runge_kutta(lambda u: f(u, *args), y, h), y, *args)
        sent, *more = pullback(ct)
        return (sent, [a + b for a, b in zip(sums, more, strict=True)]), None

    (ct, sums), _ = lax.scan(step, (ct, [fnp.zeros_like(a) for a in args]), before, reverse=True)
    return (ct, *sums)


_integrate.defvjp(_integrate_forward, _integrate_backward)


def test_the_hessian_of_an_integrator_with_an_adjoint() -> None:
    def loss(parameters: Any) -> Any:
        growth, damping = parameters[0], parameters[1]
        field = lambda y: fnp.stack([y[1], growth * fnp.sin(y[0]) - damping * y[1]])
        return fnp.sum(integrate(field, fnp.stack([parameters[2], 0.3 * parameters[2]]), 1.0 / STEPS) ** 2)

    def direct(parameters: Any) -> Any:
        growth, damping = parameters[0], parameters[1]
        field = lambda y: jnp.stack([y[1], growth * jnp.sin(y[0]) - damping * y[1]])
        start = jnp.stack([parameters[2], 0.3 * parameters[2]])
        last = jax.lax.fori_loop(0, STEPS, lambda _, c: runge_kutta(field, c, 1.0 / STEPS), start)
        return jnp.sum(last**2)

    point = np.array([1.3, 0.4, 0.8])
    assert_same(ft.grad(loss)(point), jax.grad(direct)(point), 2048)
    wanted = jax.jit(jax.hessian(direct))(point)
    assert_same(ft.jit(ft.hessian(loss))(point), wanted, 4096)
    assert_same(ft.jacrev(ft.grad(loss))(point), wanted, 4096)


# -- a pullback inside the tangent of a custom_jvp ---------------------------------------------------------------------


def test_a_custom_vjp_inside_a_jvp_rule_is_transposed() -> None:
    @ft.custom_vjp
    def add(s: Any, t: Any) -> Any:
        return s + 2.0 * t

    # The rule of the linear map says 5 where the map says 2: it is the rule that reverse mode uses.
    add.defvjp(lambda s, t: (add(s, t), None), lambda _, ct: (ct, 5.0 * ct))

    @ft.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x + y

    @f.defjvp
    def f_jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (s, t) = primals, tangents
        return x + y, add(x * s, y * t)

    assert_same(ft.grad(f, (0, 1))(3.0, 4.0), (3.0, 20.0), weak=False)
    assert_same(ft.vmap(ft.grad(f, 1), (None, 0))(3.0, np.array([1.0, 2.0])), np.array([5.0, 10.0]), weak=False)
    assert_same(ft.grad(ft.grad(f, 1), 1)(3.0, 4.0), 5.0, weak=False)


# -- arrays in the place of static arguments ---------------------------------------------------------------------------


def test_a_traced_value_may_stand_in_the_place_of_a_static_argument() -> None:
    @functools.partial(ft.custom_jvp, nondiff_argnums=(1,))
    def pick(x: Any, places: Any) -> Any:
        return x[places]

    @pick.defjvp
    def pick_jvp(places: Any, primals: Any, tangents: Any) -> Any:
        return pick(primals[0], places), 2.0 * tangents[0][places]

    x, places = np.arange(10.0), np.array([1, 3, 5])
    wanted = 2.0 * np.eye(10)[places]
    for jacobian in (ft.jacfwd, ft.jacrev):
        assert_same(jacobian(ft.jit(pick))(x, places), wanted, weak=False)
        assert_same(ft.jit(jacobian(pick))(x, places), wanted, weak=False)
        rows = ft.vmap(jacobian(pick), (None, 0))(x, np.stack([places, places + 1]))
        assert_same(rows[1], 2.0 * np.eye(10)[places + 1], weak=False)


def test_a_value_of_a_loop_may_stand_in_the_place_of_a_static_argument() -> None:
    @functools.partial(ft.custom_jvp, nondiff_argnums=(1,))
    def masked(x: Any, mask: Any) -> Any:
        return x * mask

    @masked.defjvp
    def masked_jvp(mask: Any, primals: Any, tangents: Any) -> Any:
        return masked(primals[0], mask), 3.0 * tangents[0] * mask

    def loss(x: Any, mask: Any) -> Any:
        (x, _), _ = lax.scan(lambda c, _: ((masked(*c), c[1]), None), (x, mask), None, length=2)
        return fnp.sum(x)

    x, mask = np.ones(4), np.array([True, False, True, False])
    assert_same(ft.grad(loss)(x, mask), 9.0 * mask, weak=False)
    assert_same(ft.jit(ft.grad(loss))(x, mask), 9.0 * mask, weak=False)


def test_a_pullback_may_receive_a_traced_value_as_a_static_argument() -> None:
    @functools.partial(ft.custom_vjp, nondiff_argnums=(0,))
    def scaled(scale: Any, x: Any) -> Any:
        return scale * x

    scaled.defvjp(lambda scale, x: (scale * x, None), lambda scale, _, ct: (2.0 * scale * ct,))
    slope = ft.jit(lambda scale, x: ft.grad(lambda x: scaled(scale, x))(x))
    assert_same(slope(3.0, 1.0), 6.0, weak=False)
    assert_same(ft.vmap(slope, (0, None))(np.array([1.0, 2.0]), 1.0), np.array([2.0, 4.0]), weak=False)


def test_static_arguments_are_named_too() -> None:
    @functools.partial(ft.custom_jvp, nondiff_argnames=["power"])
    def raised(x: Any, power: int) -> Any:
        return x**power

    raised.defjvp(lambda power, primals, tangents: (raised(primals[0], power), float(power) * tangents[0]))
    assert_same(ft.grad(raised)(2.0, 3), 3.0, weak=False)
    assert_same(ft.grad(lambda x: raised(power=4, x=x))(2.0), 4.0, weak=False)


# -- a linear function whose rule applies it to the tangents -----------------------------------------------------------


def _product(transforms: Any, whole: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A bilinear function; ``whole`` is what is around it in the rule and outside (nothing, jit, a loop)."""

    @transforms.custom_jvp
    def product(a: Any, x: Any) -> Any:
        return a @ x

    product.defjvp(
        lambda primals, tangents: (
            product(*primals),
            whole(product)(tangents[0], primals[1]) + whole(product)(primals[0], tangents[1]),
        )
    )
    return product


@pytest.mark.parametrize("around", ["nothing", "jit", "scan"])
def test_a_rule_may_apply_its_function_to_the_tangents(around: str) -> None:
    def results(transforms: Any, scan: Any) -> Any:
        def once(f: Any) -> Any:
            return lambda a, x: scan(lambda c, _: (c + f(a, x), None), 0 * x, None, 1)[0]

        whole = {"nothing": lambda f: f, "jit": transforms.jit, "scan": once}[around]
        product = whole(_product(transforms, whole))

        def loss(a: Any, x: Any) -> Any:
            return (product(a, product(a, x)) ** 3).sum()

        a, x = np.float64([[1, 0.2], [0.3, 0.4]]), np.float64([0.3, 0.7])
        return (
            transforms.grad(loss, (0, 1))(a, x),
            transforms.jvp(loss, (a, x), (a, 2 * x)),
            transforms.jacfwd(transforms.grad(loss, 1), 1)(a, x),
            transforms.jacrev(transforms.grad(loss, 1), 0)(a, x),
            transforms.grad(lambda x: transforms.grad(lambda x: transforms.grad(loss, 1)(a, x)[0])(x)[1])(x),
            transforms.vmap(transforms.grad(loss), (None, 0))(a, np.stack([x, 2 * x])),
        )

    assert_same(results(ft, lax.scan), results(jax, jax.lax.scan), weak=False)


def test_what_a_rule_gives_beside_its_linear_part_has_no_tangent() -> None:
    """The first result of ``both`` does not depend on the tangent it is applied to."""

    @ft.custom_jvp
    def both(x: Any, t: Any) -> Any:
        return fnp.sin(x), fnp.cos(x) * t

    both.defjvp(lambda p, t: (both(*p), (both(*p)[1] / p[1] * t[0], both(p[0], t[1])[1] - fnp.sin(p[0]) * p[1] * t[0])))

    @ft.custom_jvp
    def sine(x: Any) -> Any:
        return fnp.sin(x)

    sine.defjvp(lambda p, t: both(p[0], t[0]))
    assert_same(ft.grad(sine)(0.3), np.cos(0.3), weak=False)
    assert_same(ft.grad(lambda x: both(0.4, x)[1])(0.3), np.cos(0.4), weak=False)
    assert_same(ft.jvp(ft.grad(sine), (0.3,), (1.0,))[1], -np.sin(0.3), weak=False)


def test_rules_of_several_kinds_are_given_to_the_outermost_function() -> None:
    @ft.custom_vjp
    @ft.custom_batching.custom_vmap
    def f(x: Any, y: Any) -> Any:
        return fnp.sin(x) * y

    @f.def_vmap
    def rule(axis_size: int, in_batched: Any, x: Any, y: Any) -> Any:
        return fnp.cos(x) * y, True

    f.defvjp(lambda x, y: (f(x, y), y), lambda y, g: (7.0 * g * y, 0.0 * g))
    xs = np.linspace(0, 1, 5, dtype=np.float32)
    np.testing.assert_allclose(ft.vmap(f)(xs, 2 * xs), np.cos(xs) * 2 * xs, rtol=1e-6)
    assert float(ft.grad(f)(0.3, 2.0)) == 14.0

    @ft.custom_batching.custom_vmap
    @ft.custom_jvp
    def g(x: Any) -> Any:
        return 2.0 * x

    g.defjvp(lambda p, t: (2.0 * p[0], 5.0 * t[0]))
    g.def_vmap(lambda size, batched, x: (3.0 * x, True))
    assert float(ft.grad(g)(1.0)) == 5.0
    np.testing.assert_allclose(ft.vmap(g)(xs), 3 * xs)
    with pytest.raises(AttributeError, match="'custom_jvp' object has no attribute 'def_something'"):
        ft.custom_jvp(lambda x: x).def_something
