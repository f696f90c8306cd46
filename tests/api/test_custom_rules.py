"""Either custom rule serves forward mode, reverse mode, Hessians and vmap; rules may close over traced values."""

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
from functrans.errors import NotLinearError
from tests.agreement import assert_same

pytestmark = pytest.mark.usefixtures("x64")
x0 = np.array([0.3, 0.7])


@pytest.fixture
def wave() -> Any:
    """sin, with three times its derivative as the rule, so that a rule not used shows."""

    @ft.custom_vjp
    def wave(x: Any) -> Any:
        return fnp.sin(x)

    wave.defvjp(lambda x: (wave(x), x), lambda x, cotangent: (3.0 * fnp.cos(x) * cotangent,))
    return wave


def test_a_vjp_rule_serves_forward_mode(wave: Any) -> None:
    np.testing.assert_allclose(ft.jvp(wave, (x0,), (x0,))[1], 3 * np.cos(x0) * x0, rtol=1e-14)
    np.testing.assert_allclose(ft.linearize(wave, x0)[1](x0), 3 * np.cos(x0) * x0, rtol=1e-14)
    np.testing.assert_allclose(ft.jacfwd(wave)(x0), np.diag(3 * np.cos(x0)), rtol=1e-14)
    np.testing.assert_allclose(ft.jit(ft.jacfwd(wave))(x0), np.diag(3 * np.cos(x0)), rtol=1e-14)


def test_a_vjp_rule_serves_second_derivatives_in_every_order(wave: Any) -> None:
    expected = np.diag(-3 * np.sin(x0))
    total = lambda x: fnp.sum(wave(x))
    for second in (
        ft.hessian(total),
        ft.jacrev(ft.grad(total)),
        ft.jacrev(ft.jacfwd(total)),
        ft.jacfwd(ft.jacfwd(total)),
    ):
        np.testing.assert_allclose(second(x0), expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(ft.hvp(total, (x0,), (x0,)), expected @ x0, rtol=1e-13)


def test_a_vjp_rule_serves_vmap_and_loops(wave: Any) -> None:
    np.testing.assert_allclose(ft.vmap(ft.grad(wave))(x0), 3 * np.cos(x0), rtol=1e-14)
    np.testing.assert_allclose(ft.vmap(lambda x: ft.jvp(wave, (x,), (x,))[1])(x0), 3 * np.cos(x0) * x0, rtol=1e-14)

    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: (wave(c), None), x, None, length=2)[0]

    x = 0.4
    expected = 9 * np.cos(np.sin(x)) * np.cos(x)
    assert float(ft.grad(loop)(x)) == pytest.approx(expected, rel=1e-13)
    assert float(ft.jvp(loop, (x,), (1.0,))[1]) == pytest.approx(expected, rel=1e-13)


def test_a_jvp_rule_serves_every_mode() -> None:
    @ft.custom_jvp
    def wave(x: Any) -> Any:
        return fnp.sin(x)

    wave.defjvp(lambda primals, tangents: (wave(*primals), 3.0 * fnp.cos(primals[0]) * tangents[0]))
    total = lambda x: fnp.sum(wave(x))
    np.testing.assert_allclose(ft.grad(total)(x0), 3 * np.cos(x0), rtol=1e-14)
    np.testing.assert_allclose(ft.jacrev(wave)(x0), np.diag(3 * np.cos(x0)), rtol=1e-14)
    np.testing.assert_allclose(ft.hessian(total)(x0), np.diag(-3 * np.sin(x0)), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(ft.vmap(ft.grad(wave))(x0), 3 * np.cos(x0), rtol=1e-14)


def test_the_primal_function_runs_alone_without_derivatives(wave: Any) -> None:
    np.testing.assert_allclose(wave(x0), np.sin(x0), rtol=1e-14)
    np.testing.assert_allclose(ft.jit(wave)(x0), np.sin(x0), rtol=1e-14)
    np.testing.assert_allclose(ft.vmap(wave)(x0), np.sin(x0), rtol=1e-14)


@pytest.mark.parametrize("outer", ["grad", "jvp"])
def test_a_jvp_rule_may_close_over_a_value_being_differentiated(outer: str) -> None:
    def function(scale: Any) -> Any:
        @ft.custom_jvp
        def scaled(y: Any) -> Any:
            return y * scale

        scaled.defjvp(lambda primals, tangents: (scaled(*primals), 2.0 * scale * tangents[0]))
        return ft.grad(scaled)(1.5)  # 2 scale by the rule

    derivative = ft.grad(function)(0.7) if outer == "grad" else ft.jvp(function, (0.7,), (1.0,))[1]
    assert float(derivative) == pytest.approx(2.0)


@pytest.mark.parametrize("outer", ["grad", "jvp", "vmap", "jit"])
def test_a_vjp_rule_may_close_over_a_traced_value(outer: str) -> None:
    def function(scale: Any) -> Any:
        @ft.custom_vjp
        def scaled(y: Any) -> Any:
            return y * y * scale

        scaled.defvjp(lambda y: (scaled(y), y), lambda y, cotangent: (4.0 * y * scale * cotangent,))
        return ft.grad(scaled)(1.5)  # 6 scale

    results = {
        "grad": lambda: ft.grad(function)(0.7),
        "jvp": lambda: ft.jvp(function, (0.7,), (1.0,))[1],
        "vmap": lambda: ft.vmap(function)(np.array([1.0, 1.0]))[1],
        "jit": lambda: ft.jit(function)(1.0),
    }
    assert float(results[outer]()) == pytest.approx(6.0)


def test_a_backward_rule_need_not_be_linear() -> None:
    @ft.custom_vjp
    def clipped(x: Any) -> Any:
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, cotangent: (fnp.clip(cotangent, -1.0, 1.0),))
    np.testing.assert_array_equal(ft.grad(lambda x: fnp.sum(10.0 * clipped(x)))(x0), [1.0, 1.0])
    np.testing.assert_array_equal(ft.jit(ft.grad(lambda x: fnp.sum(-10.0 * clipped(x))))(x0), [-1.0, -1.0])
    np.testing.assert_array_equal(ft.vmap(ft.grad(lambda x: 0.5 * clipped(x)))(x0), [0.5, 0.5])


def _clipped(library: Any, np_: Any) -> Any:
    clipped = library.custom_vjp(lambda x: x * 1.0)
    clipped.defvjp(lambda x: (x * 1.0, None), lambda _, cotangent: (np_.clip(cotangent, -1.0, 1.0),))
    return clipped


TWICE: dict[str, Callable[[Any, Any, Any], Callable[[Any], Any]]] = {
    "written out": lambda t, np_, c: c,
    "jit": lambda t, np_, c: t.jit(c),
    "made in jit": lambda t, np_, c: t.jit(lambda x: _clipped(t, np_)(x)),
    "vmap": lambda t, np_, c: t.vmap(c),
    "checkpoint": lambda t, np_, c: t.checkpoint(c),
    "scan": lambda t, np_, c: lambda x: t.lax.scan(lambda s, _: (c(s), None), x, None, length=2)[0],
    "cond": lambda t, np_, c: lambda x: t.lax.cond(x[0] > 0, c, lambda x: x, x),
    "under a jvp": lambda t, np_, c: lambda x: t.jvp(lambda y: y * x * c(x), (x,), (x,))[1],
}


@pytest.mark.parametrize("how", TWICE)
@pytest.mark.parametrize("jitted", [False, True], ids=["un-jitted", "jit"])
def test_each_of_two_equal_applications_pulls_back_its_own_cotangent(how: str, jitted: bool) -> None:
    def gradient(t: Any, np_: Any) -> Any:
        once = TWICE[how](t, np_, _clipped(t, np_))
        found = t.grad(lambda x: np_.sum(once(x) * 0.75 + once(x) * 0.5))
        return (t.jit(found) if jitted else found)(np.array([2.0, -3.0], np.float32))

    np.testing.assert_allclose(gradient(ft, fnp), gradient(jax, jnp), rtol=1e-6)



PULLED_BACK: dict[str, Callable[[Any, Any], Callable[[Any], Any]]] = {
    "grad": lambda t, f: t.grad(f),
    "jit": lambda t, f: t.jit(t.grad(f)),
    "vjp": lambda t, f: lambda x: t.vjp(f, x)[1](np.float32(3.0)),
    "scan": lambda t, f: t.grad(lambda x: t.lax.scan(lambda s, _: (2.0 * f(s), None), x, None, length=2)[0]),
    "checkpoint": lambda t, f: t.grad(t.checkpoint(f)),
}


@pytest.mark.parametrize("how", PULLED_BACK)
def test_a_rule_that_pushes_tangents_through_a_nonlinear_backward_rule_is_pulled_back(how: str) -> None:
    def gradient(t: Any, np_: Any) -> Any:
        clipped = _clipped(t, np_)
        f = t.custom_jvp(lambda x: clipped(x) * 2.0)
        f.defjvp(lambda primals, tangents: t.jvp(lambda x: clipped(x) * 2.0, primals, tangents))
        return PULLED_BACK[how](t, f)(np.float32(0.9))

    np.testing.assert_allclose(gradient(ft, fnp), gradient(jax, jnp), rtol=1e-6)
    with pytest.raises(NotLinearError, match="forward mode through the custom_vjp function <lambda> needs"):
        ft.jvp(_clipped(ft, fnp), (0.9,), (1.0,))


def test_none_in_place_of_a_cotangent_is_zero() -> None:
    @ft.custom_vjp
    def product(x: Any, y: Any) -> Any:
        return x * y

    product.defvjp(lambda x, y: (x * y, (x, y)), lambda residuals, cotangent: (residuals[1] * cotangent, None))
    first, second = ft.grad(lambda x, y: fnp.sum(product(x, y)), argnums=(0, 1))(x0, x0 + 1)
    np.testing.assert_allclose(first, x0 + 1)
    np.testing.assert_array_equal(second, [0.0, 0.0])


@jax.tree_util.register_static
class Nothing:
    """A node without children."""

    def __repr__(self) -> str:
        return "Nothing()"


@pytest.mark.parametrize("empty", [(), [], {}, None, Nothing(), {"a": (Nothing(), [()])}], ids=repr)
@pytest.mark.parametrize("returned", [True, False])
def test_the_cotangent_of_an_argument_without_leaves_is_such_a_tree_or_none(empty: Any, returned: bool) -> None:
    def slope(of: Any) -> Any:
        f = of.custom_vjp(lambda x, e: 2 * x["x"])
        f.defvjp(
            lambda x, e: (2 * x["x"], e),
            lambda e, ct: ({"x": 3 * ct, "e": e if returned else None}, e if returned else None),
        )
        x = {"x": np.float32(1.0), "e": empty}
        return of.grad(f)(x, empty)["x"]

    assert float(slope(ft)) == float(slope(jax)) == 3.0


def test_rules_with_trees_static_arguments_and_keywords() -> None:
    def apply(function: Any, parameters: Any, x: Any = 2.0) -> Any:
        return {"y": function(parameters["w"]) * x}

    custom = ft.custom_vjp(apply, nondiff_argnums=(0,))
    custom.defvjp(
        lambda function, parameters, x: (apply(function, parameters, x), (parameters, x)),
        lambda function, residuals, cotangent: ({"w": residuals[1] * cotangent["y"] * 5.0}, 0.0 * residuals[1]),
    )
    gradient = ft.grad(lambda p: custom(fnp.exp, p, x=3.0)["y"])({"w": 0.5})
    assert float(gradient["w"]) == 15.0
    assert float(custom(fnp.exp, {"w": 0.0})["y"]) == 2.0


def test_integer_arguments_of_rules_have_float0_tangents() -> None:
    @ft.custom_vjp
    def power(x: Any, n: Any) -> Any:
        return x**n

    power.defvjp(lambda x, n: (x**n, (x, n)), lambda r, ct: (ct * r[1] * r[0] ** (r[1] - 1), None))
    assert float(ft.grad(power)(2.0, 3)) == 12.0
    assert float(ft.jit(ft.grad(power))(2.0, 3)) == 12.0


def test_a_custom_function_inside_a_custom_rule() -> None:
    @ft.custom_jvp
    def inner(x: Any) -> Any:
        return x * x

    inner.defjvp(lambda primals, tangents: (inner(*primals), 5.0 * tangents[0] * primals[0]))

    @ft.custom_jvp
    def outer(x: Any) -> Any:
        return fnp.sin(x)

    outer.defjvp(lambda primals, tangents: (outer(*primals), inner(primals[0]) * tangents[0]))
    assert float(ft.grad(outer)(2.0)) == 4.0
    assert float(ft.grad(ft.grad(outer))(2.0)) == 10.0
    assert float(ft.grad(ft.grad(ft.grad(outer)))(2.0)) == 5.0


def applied_by_linear_call(function: Any) -> Any:
    return lambda x: ft.custom_derivatives.linear_call(lambda _, x: function(x), lambda _, ct: ct, (), x)


def batched_by_a_rule(function: Any) -> Any:
    mapped = ft.custom_batching.custom_vmap(function)
    mapped.def_vmap(lambda size, batched, x: (function(x), True))
    return mapped


def with_a_vjp_rule(function: Any) -> Any:
    wrapped = ft.custom_vjp(function)
    wrapped.defvjp(lambda x: (function(x), None), lambda _, ct: (ct,))
    return wrapped


def with_a_jvp_rule(function: Any) -> Any:
    wrapped = ft.custom_jvp(function)
    wrapped.defjvp(lambda primals, tangents: (function(*primals), *tangents))
    return wrapped


WRAPPED = {
    "custom_jvp": with_a_jvp_rule, "custom_vjp": with_a_vjp_rule, "custom_vmap": batched_by_a_rule,
    "linear_call": applied_by_linear_call, "checkpoint": ft.checkpoint,
    "custom_gradient": lambda f: ft.custom_gradient(lambda x: (f(x), lambda ct: ct)),
}  # fmt: skip
OF_ONE_NUMBER: dict[str, Callable[[Any], Any]] = {
    "quotient": lambda x: x / x,
    "reciprocal": lambda x: x**-1.0,
    "remainder": lambda x: x % x,
    "large": lambda x: (x + 1e30) * 1e30,
    "methods": lambda x: x.sum() + x.astype("int32"),
    "dtype": lambda x: np.ones(2, x.dtype) * x,
}


@pytest.mark.parametrize("number", [0.0, -0.0, 0, 2, np.float32(0.0), np.zeros(2), [0.0, 0.0]], ids=repr)
@pytest.mark.parametrize("name", OF_ONE_NUMBER)
@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_called_by_itself_it_computes_with_arrays_as_it_does_in_a_program(wrap: Any, name: str, number: Any) -> None:
    function = OF_ONE_NUMBER[name]
    if isinstance(number, list):  # of a pytree each leaf
        assert_same(wrap(lambda xs: [*map(function, xs)])(number), jax.jit(lambda xs: [*map(function, xs)])(number))
    else:
        assert_same(wrap(function)(number), jax.jit(function)(number))
