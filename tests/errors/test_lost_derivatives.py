"""A value that is being differentiated leaves the trace as a number: refused where its derivative would be lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.custom_derivatives import SymbolicZero
from functrans.errors import DifferentiatedValueError, TracerArrayConversionError
from tests.errors.refusal import caught, refusal

LEAVING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "float": (lambda x: float(x), "float()"),
    "complex": (lambda x: complex(x).real, "complex()"),
    "item": (lambda x: x.item(), ".item()"),
    "tolist": (lambda x: x.tolist(), ".tolist()"),
    "asarray": (lambda x: np.asarray(x), "functrans.numpy.asarray"),
    "array": (lambda x: np.array([x, x]) @ np.ones(2), "functrans.numpy.array"),
    "float32": (lambda x: np.float32(x), "functrans.numpy.float32"),
    "full": (lambda x: np.full(3, x).sum(), "functrans.numpy.full"),
    "sin": (lambda x: math.sin(x), "functrans.numpy.sin"),
    "hypot": (lambda x: math.hypot(x, 1.0), "functrans.numpy.hypot"),
    "erf": (lambda x: math.erf(x), "functrans.scipy.special.erf"),
    "fsum": (lambda x: math.fsum([x, x]), "float()"),
    "isclose": (lambda x: math.isclose(x, 3.0) * x, "functrans.numpy.isclose"),
    "sum_of_a_list": (lambda x: np.sum([x, x]), "functrans.numpy.sum"),
    "of_another_library": (lambda x: scipy.linalg.expm(np.eye(2) * x).sum() + scipy.linalg.norm([x]), "np.asarray()"),
    "item_of_an_array": (lambda x: _stored(x).sum(), "float()"),
    "bounds_of_arange": (lambda x: fnp.sum(fnp.arange(x, x + 3.0)), "np.asarray()"),
}  # fmt: skip


def _stored(x: Any) -> Any:
    array = np.zeros(2)
    array[0] = x
    return array


def _square(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: x * f(x * 1.0)


TRANSFORMS: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "grad": lambda f: ft.grad(f)(3.0),
    "value_and_grad": lambda f: ft.value_and_grad(f)(3.0),
    "jvp": lambda f: ft.jvp(f, (3.0,), (1.0,)),
    "vjp": lambda f: ft.vjp(f, 3.0),
    "linearize": lambda f: ft.linearize(f, 3.0),
    "jacfwd": lambda f: ft.jacfwd(f)(3.0),
    "jacrev": lambda f: ft.jacrev(f)(3.0),
    "hessian": lambda f: ft.hessian(f)(3.0),
    "grad_of_grad": lambda f: ft.grad(ft.grad(f))(3.0),
    "grad_of_checkpoint": lambda f: ft.grad(ft.checkpoint(f))(3.0),
}


@pytest.mark.parametrize("name", LEAVING)
def test_the_message_names_the_line_the_function_and_stop_gradient(name: str) -> None:
    function, wording = LEAVING[name]
    found = caught(DifferentiatedValueError, lambda: ft.grad(_square(function))(3.0))
    found.says(wording, "derivative would be lost", "test_lost_derivatives.py", "lax.stop_gradient", "grad of")
    assert "instead of functrans" not in found.text and "instead of fnp" not in found.text


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["float", "asarray"])
def test_every_derivative_refuses(transform: str, name: str) -> None:
    refusal(DifferentiatedValueError, lambda: TRANSFORMS[transform](_square(LEAVING[name][0])))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_constant_said_to_be_one_may_leave(transform: str) -> None:
    TRANSFORMS[transform](lambda x: x * float(lax.stop_gradient(x)) * np.asarray(lax.stop_gradient(x) + 1.0)[()])


def test_it_is_caught_as_what_it_was_before() -> None:
    assert issubclass(DifferentiatedValueError, TracerArrayConversionError)
    assert issubclass(DifferentiatedValueError, TypeError)


INNER: dict[str, tuple[Callable[[Any], Any], bool]] = {  # function of x, differentiated at 3; whether it is refused
    "outer_value_in_an_inner_grad": (lambda x: ft.grad(lambda y: y * y * float(x))(2.0), True),
    "inner_value_in_an_inner_grad": (lambda x: x * ft.grad(lambda y: y * float(y))(2.0), True),
    "outer_value_in_jit": (lambda x: ft.jit(lambda y: y * float(x))(2.0), True),
    "outer_value_in_vmap": (lambda x: fnp.sum(ft.vmap(lambda y: y * float(x))(fnp.ones(2))), True),
    "outer_value_in_scan": (lambda x: lax.scan(lambda c, _: (c * float(x), None), 1.0, None, 3)[0], True),
    "outer_value_in_checkpoint": (lambda x: ft.checkpoint(lambda y: y * float(x))(2.0), True),
    "made_of_constants": (lambda x: x * float(fnp.sum(fnp.ones(3))), False),
    "of_the_shape": (lambda x: x * float(fnp.zeros_like(x).size), False),
    "an_integer_of_it": (lambda x: x * float((x > 2).astype(int)), False),
    "locally_constant": (lambda x: x * float(fnp.floor(x)), False),
    "behind_stop_gradient": (lambda x: x * math.sin(fnp.exp(lax.stop_gradient(x)) + 1.0), False),
    "one_result_of_two": (lambda x: x * float(ft.jit(lambda a, b: (a, b))(x, 2.0)[1]), False),
    "a_loop_that_reads_only_its_counter": (
        lambda x: x * float(lax.scan(lambda c, _: ((c[0] * x, c[1] + 1.0), None), (x, 0.0), None, 3)[0][1]), False,
    ),
    "a_carry_of_a_loop": (lambda x: x * float(lax.scan(lambda c, _: (c * x, None), 1.0, None, 3)[0]), True),
    "a_branch": (lambda x: x * float(lax.cond(x > 0, lambda y: y, lambda y: 0.0, x)), True),
    "what_chose_the_branch": (lambda x: x * float(lax.cond(x > 0, lambda: 2.0, lambda: 3.0)), False),
}  # fmt: skip


@pytest.mark.parametrize("name", INNER)
def test_what_depends_on_the_argument_and_nothing_else_is_refused(name: str) -> None:
    function, refused = INNER[name]
    if refused:
        refusal(DifferentiatedValueError, lambda: ft.grad(function)(3.0))
    else:
        assert np.isfinite(ft.grad(function)(3.0))


def test_an_argument_that_is_not_differentiated_may_leave() -> None:
    assert ft.grad(lambda x, y: x * math.sin(y))(3.0, 0.5) == pytest.approx(math.sin(0.5))
    assert ft.jvp(lambda x, n: x * float(n), (3.0, 2), (1.0, np.zeros((), ft.float0)))[1] == 2.0


def test_derivatives_on_the_way_to_a_plain_number() -> None:
    """The derivative by y is complete where x leaves; that by x is not."""
    refusal(DifferentiatedValueError, lambda: ft.grad(lambda x: float(ft.grad(lambda y: y**3 * x)(2.0)) * x)(3.0))
    assert ft.grad(lambda x: float(ft.grad(lambda y: y**3)(2.0)) * x)(3.0) == 12.0


@pytest.mark.parametrize("kind", ["custom_jvp", "custom_vjp"])
class TestCustomRules:
    """NumPy in a function with a rule, and in the rule, works at first order, as in JAX; beyond, it would be wrong."""

    @staticmethod
    def function(kind: str) -> Any:
        if kind == "custom_jvp":
            with_jvp = ft.custom_jvp(lambda x: fnp.asarray(np.sin(np.asarray(x))))
            with_jvp.defjvp(lambda p, t: (with_jvp(*p), np.cos(np.asarray(p[0])) * t[0]))
            return with_jvp
        with_vjp = ft.custom_vjp(lambda x: fnp.asarray(np.sin(np.asarray(x))))
        with_vjp.defvjp(lambda x: (with_vjp(x), np.cos(np.asarray(x))), lambda cosine, ct: (cosine * ct,))
        return with_vjp

    def test_first_order(self, kind: str) -> None:
        f = self.function(kind)
        assert float(ft.grad(f)(1.0)) == pytest.approx(math.cos(1.0), rel=1e-6)
        assert float(ft.grad(lambda x: f(x * x))(1.0)) == pytest.approx(2 * math.cos(1.0), rel=1e-6)
        assert float(ft.grad(lambda x: ft.grad(lambda y: f(x) * y)(1.0))(1.0)) == pytest.approx(math.cos(1.0), rel=1e-6)

    @pytest.mark.parametrize("name", ["hessian", "grad_of_grad"])
    def test_second_order_is_refused(self, kind: str, name: str) -> None:
        refusal(DifferentiatedValueError, lambda: TRANSFORMS[name](self.function(kind)))

    def test_one_inside_another(self, kind: str) -> None:
        inner = self.function(kind)
        outer = ft.custom_jvp(lambda x: 2.0 * inner(x))
        outer.defjvp(lambda primals, tangents: (outer(*primals), 2.0 * np.cos(np.asarray(primals[0])) * tangents[0]))
        assert float(ft.grad(outer)(1.0)) == pytest.approx(2 * math.cos(1.0), rel=1e-6)
        refusal(DifferentiatedValueError, lambda: ft.grad(ft.grad(outer))(1.0))

    def test_a_derivative_taken_inside(self, kind: str) -> None:
        """The derivative taken in the function is its own, and no rule gives it."""
        loses = ft.custom_jvp(lambda x: ft.grad(lambda y: y * float(y))(x))
        loses.defjvp(lambda primals, tangents: (loses(*primals), tangents[0]))
        refusal(DifferentiatedValueError, lambda: ft.grad(loses)(1.0))


def test_numpy_on_the_residuals_in_bwd() -> None:
    f = ft.custom_vjp(lambda x: fnp.sin(x))
    f.defvjp(lambda x: (fnp.sin(x), x * 1.0), lambda x, ct: (np.cos(np.asarray(x)) * ct,))
    assert float(ft.grad(f)(1.0)) == pytest.approx(math.cos(1.0), rel=1e-6)
    assert float(ft.grad(lambda x: f(x * x))(1.0)) == pytest.approx(2 * math.cos(1.0), rel=1e-6)
    refusal(DifferentiatedValueError, lambda: ft.grad(ft.grad(f))(1.0))


def with_rule(kind: str, told_of_zeros: bool) -> Callable[[Any, Any], Any]:
    """x * c, whose rule turns c into a plain number."""
    if kind == "custom_jvp":
        f = ft.custom_jvp(lambda x, c: x * c)

        def rule(primals: Any, tangents: Any) -> tuple[Any, Any]:
            (x, c), (along, other) = primals, tangents
            parts = [(along, np.asarray(c)), (other, x)]
            return x * c, sum([t * slope for t, slope in parts if type(t) is not SymbolicZero])

        f.defjvp(rule, symbolic_zeros=told_of_zeros)
        return f
    g = ft.custom_vjp(lambda x, c: x * c)

    def forward(x: Any, c: Any) -> tuple[Any, Any]:
        x, c = (x.value, c.value) if told_of_zeros else (x, c)
        return x * c, (x, c)

    g.defvjp(forward, lambda kept, ct: (ct * np.asarray(kept[1]), ct * kept[0]), symbolic_zeros=told_of_zeros)
    return g


BY_THE_OTHER: dict[str, Callable[[Callable[[Any, Any], Any]], Any]] = {
    "grad": lambda f: ft.grad(lambda c: ft.grad(lambda x: f(x, c))(2.0)),
    "vjp": lambda f: ft.grad(lambda c: ft.vjp(lambda x: f(x, c), 2.0)[1](1.0)[0]),
    "jvp": lambda f: ft.grad(lambda c: ft.jvp(lambda x: f(x, c), (2.0,), (1.0,))[1]),
    "linearize": lambda f: ft.grad(lambda c: ft.linearize(lambda x: f(x, c), 2.0)[1](1.0)),
    "twice by one": lambda f: ft.grad(lambda c: ft.linearize(lambda x: f(x, x), c)[1](1.0)),
}


@pytest.mark.parametrize("told_of_zeros", [False, True])
@pytest.mark.parametrize("kind", ["custom_jvp", "custom_vjp"])
@pytest.mark.parametrize("name", BY_THE_OTHER)
def test_a_rule_may_lose_the_derivative_that_it_gives_and_no_other(name: str, kind: str, told_of_zeros: bool) -> None:
    """The rule is traced late where it is told of zeros: when the traces that differentiate have ended."""
    f = with_rule(kind, told_of_zeros)
    with pytest.raises(DifferentiatedValueError):
        BY_THE_OTHER[name](f)(3.0)
    assert ft.grad(f)(2.0, 3.0) == 3.0
    assert ft.grad(f, 1)(2.0, 3.0) == 2.0
    assert ft.grad(lambda x: ft.grad(lambda y: y * f(x, 3.0))(1.0))(2.0) == 3.0  # the rule's derivative is the outer


def test_the_cost_of_asking_grows_with_the_program() -> None:
    """Every equation is looked at once, however often values are asked for."""
    asked = 0

    def function(x: Any) -> Any:
        nonlocal asked
        constant = lax.stop_gradient(x)
        for _ in range(300):
            constant = constant * 1.001
            asked += float(constant) > 0
            x = x + constant
        looked_at = ft.trace.values.differentiators(x)
        assert len(x.builder.known.differentiators) <= 2 * len(x.builder.producers)
        assert looked_at == {x.builder}
        return x

    ft.grad(function)(1.0)
    assert asked == 300
