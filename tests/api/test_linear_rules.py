"""A jvp rule has to be linear in its tangents: what is not is refused, and what is goes, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.extend.core
import numpy as np
import pytest
from jax.interpreters import ad, mlir

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.errors import NotLinearError


class Squared(ft.Composite):
    """x * x, as one operation."""

    def define(self, x: Any) -> Any:
        return x * x


def _pair(u: Any) -> Any:
    return fnp.stack([u, 2.0 * u])


def _doubled(u: Any) -> Any:
    """8 * u by a loop whose length is not known: it has no transpose."""
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2.0), (0, u))[1]


def _ruled(function: Callable[[Any], Any]) -> Any:
    ruled = ft.custom_jvp(function)
    ruled.defjvp(lambda primals, tangents: ft.jvp(function, primals, tangents))
    return ruled


_shifted = _ruled(lambda v: v + 1.0)  # its derivative is that of a linear function


def _refuse(cotangent: Any, x: Any) -> Any:
    raise NotImplementedError("no transpose here")


without_transpose = jax.extend.core.Primitive("without_transpose")
without_transpose.def_abstract_eval(lambda x: x)
without_transpose.def_impl(lambda x: x * 2.0)
mlir.register_lowering(without_transpose, mlir.lower_fun(lambda x: x * 2.0, multiple_results=False))
ad.primitive_jvps[without_transpose] = lambda primals, tangents: (
    without_transpose.bind(*primals), without_transpose.bind(ad.instantiate_zeros(tangents[0])),
)  # fmt: skip
ad.primitive_transposes[without_transpose] = _refuse


NONLINEAR: dict[str, Callable[[Any], Any]] = {
    "product": lambda u: u * u,
    "jit": lambda u: ft.jit(lambda v: v * v)(u),
    "scan": lambda u: lax.scan(lambda c, _: (c * u, None), u, None, 3)[0],
    "while_loop": lambda u: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * c[1]), (0, u))[1],
    "while_loop_behind": lambda u: _doubled(u * u),
    "while_loop_between": lambda u: _doubled(u) * u,
    "while_loop_of_steps": lambda u: _doubled(fnp.floor(u)),
    "refused_by_another_library": lambda u: without_transpose.bind(u * u),
    "while_condition": lambda u: lax.while_loop(lambda c: c < 3.0, lambda c: c + c + 1e-3, u),
    "branch": lambda u: lax.cond(True, lambda v: v * v, lambda v: v, u),
    "predicate": lambda u: lax.cond(u > 0, lambda v: v, lambda v: -v, u),
    "composite": lambda u: ft.bind(Squared(), u),
    "convolution": lambda u: fnp.convolve(_pair(u), _pair(u))[0],
    "matmul": lambda u: _pair(u) @ _pair(u),
    "checkpoint": lambda u: ft.checkpoint(lambda v: v * v)(u),
    "vmap": lambda u: fnp.sum(ft.vmap(lambda v: v * v)(_pair(u))),
    "divisor": lambda u: 1.0 / u,
    "select": lambda u: fnp.where(u > 0, u, -u),
    "select_between_constants": lambda u: fnp.where(u > 0, 1.0, 2.0),
    "abs": lambda u: fnp.abs(u),
    "maximum": lambda u: fnp.maximum(u, 0.0),
    "sort": lambda u: fnp.sort(_pair(u))[0],
    "index": lambda u: fnp.arange(3.0)[u.astype(int)],
    "offset": lambda u: u + 1.0,
    "offset_in_jit": lambda u: ft.jit(lambda v: 2.0 - v)(u),
    "offset_in_a_function_with_a_rule": lambda u: _shifted(u),
    "offset_in_such_a_function_in_jit": lambda u: ft.jit(lambda v: 2.0 * _shifted(v))(u),
    "offset_in_such_a_function_of_a_loop": lambda u: lax.scan(lambda c, _: (_shifted(c), None), u, None, 2)[0],
    "inner_gradient": lambda u: ft.grad(lambda v: v**3)(u),
    "solve": lambda u: fnp.linalg.solve(fnp.eye(2) * u, fnp.ones(2))[0],
    "function_of_steps_with_a_rule": lambda u: _ruled(fnp.floor)(u),
    "nothing_of_the_tangent": lambda u: fnp.ones_like(u) * 2.0,
    "nothing_of_it_in_a_program": lambda u: lax.scan(lambda c, _: (c + 1.0, None), 0.0 * fnp.ones_like(u), None, 2)[0],
}
LINEAR: dict[str, Callable[[Any], Any]] = {
    "jit": lambda u: ft.jit(lambda v: 3.0 * v)(u),
    "scan": lambda u: lax.scan(lambda c, _: (c * 2.0 + u, None), u, None, 3)[0],
    "while_loop": lambda u: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + u), (0, u))[1],
    "branch": lambda u: lax.cond(True, lambda v: 2.0 * v, lambda v: v, u),
    "convolution": lambda u: fnp.convolve(_pair(u), fnp.ones(3))[1],
    "matmul": lambda u: _pair(u) @ fnp.ones(2),
    "checkpoint": lambda u: ft.checkpoint(lambda v: v * 2.0)(u),
    "vmap": lambda u: fnp.sum(ft.vmap(lambda v: v * 3.0)(_pair(u))),
    "select": lambda u: fnp.where(np.array([True, False]), u, 0.0).sum(),
    "zeros_added_to": lambda u: (np.zeros(2, np.float32) + u).sum() + fnp.zeros(2).at[0].set(u)[0],
    "solve": lambda u: fnp.linalg.solve(fnp.eye(2) * 2.0, _pair(u))[0],
    "function_with_a_rule": lambda u: _ruled(lambda v: lax.cond(True, lambda w: 3.0 * w, lambda w: w, v))(u),
    "sort_of_something_else": lambda u: fnp.sort(fnp.arange(3.0))[1] * u,
}


def _with_rule(tangent: Callable[[Any], Any]) -> Any:
    function = ft.custom_jvp(lambda x: x * x)
    function.defjvp(lambda primals, tangents: (function(*primals), tangent(*tangents)))
    return function


REVERSE: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: ft.grad(f)(2.0),
    "jit_of_grad": lambda f: ft.jit(ft.grad(f))(2.0),
    "grad_of_jit": lambda f: ft.grad(ft.jit(f))(2.0),
    "linearize": lambda f: ft.linearize(f, 2.0)[1](1.0),
    "vmap_of_grad": lambda f: ft.vmap(ft.grad(f))(np.float32([2.0, 3.0]))[0],
}


@pytest.mark.parametrize("transform", REVERSE)
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_rule_that_is_not_linear_is_refused(name: str, transform: str) -> None:
    with pytest.raises(NotLinearError, match="the jvp rule of <lambda> must be linear") as refused:
        REVERSE[transform](_with_rule(NONLINEAR[name]))
    assert "test_linear_rules.py" in str(refused.value)


# A tangent that depends on none: right where it is zero, however that is written.
ZEROS: dict[str, Callable[[Any], Any]] = {
    "zeros_like": fnp.zeros_like,
    "number": lambda x: fnp.asarray(0.0),
    "product": lambda x: 0 * x,
    "difference": lambda x: fnp.sin(x) - fnp.sin(x),
    "jit": lambda x: ft.jit(lambda v: fnp.zeros_like(v))(x),
    "scan": lambda x: lax.scan(lambda c, _: (c * x, None), fnp.zeros_like(x), None, 2)[0],
    "infinite": lambda x: fnp.exp(100 * x) * 0.0,
}


@pytest.mark.parametrize("name", ZEROS)
def test_a_tangent_of_zero_is_not_accused(name: str) -> None:
    f = ft.custom_jvp(lambda x: x * x)
    f.defjvp(lambda primals, tangents: (f(*primals), ZEROS[name](*primals)))
    for transform in REVERSE.values():
        assert float(transform(f)) == 0.0


def test_a_rule_that_forgets_its_tangent_is_refused() -> None:
    f = ft.custom_jvp(lambda x, y: (x, fnp.sin(y)))
    f.defjvp(lambda p, t: (f(*p), (t[0], fnp.cos(p[1]))))
    for function in (lambda x: f(x, 1.0)[1], lambda x: ft.jit(f)(x, x)[0] * x, lambda x: ft.vmap(f)(x, x)[1].sum()):
        with pytest.raises(NotLinearError, match=r"depends on none of them and is not zero[\s\S]*test_linear_rules"):
            ft.grad(lambda x, function=function: fnp.sum(function(x)))(np.float32([1.0, 2.0]))


@pytest.mark.parametrize("name", ["while_loop", "refused_by_another_library"])
def test_a_linear_rule_without_a_transpose_is_not_accused(name: str) -> None:
    apply: Callable[[Any], Any] = _doubled if name == "while_loop" else without_transpose.bind
    f = ft.custom_jvp(lambda x: x)
    f.defjvp(lambda primals, tangents: (primals[0], apply(tangents[0])))
    expected = 24.0 if name == "while_loop" else 6.0
    assert ft.linearize(f, 2.0)[1](3.0) == ft.jvp(f, (2.0,), (3.0,))[1] == expected
    with pytest.raises(NotImplementedError):
        ft.grad(f)(2.0)


@pytest.mark.parametrize("name", LINEAR)
def test_a_rule_that_is_linear_is_followed(name: str) -> None:
    expected = float(LINEAR[name](1.0))
    f = _with_rule(LINEAR[name])
    assert float(ft.jvp(f, (2.0,), (1.0,))[1]) == pytest.approx(expected, rel=1e-6)
    assert float(ft.linearize(f, 2.0)[1](1.0)) == pytest.approx(expected, rel=1e-6)
    if name != "while_loop":  # forward mode alone
        assert float(ft.grad(f)(2.0)) == pytest.approx(expected, rel=1e-6)
        assert float(ft.jit(ft.grad(f))(2.0)) == pytest.approx(expected, rel=1e-6)


# Programs whose results do not all depend on the tangents of a rule that differentiates them, with something nonlinear
# applied to what does not.
MIXED: dict[str, Callable[[Any], Any]] = {
    "cond": lambda x: fnp.sin(lax.cond(x > 0, lambda v: v * v, lambda v: v, x)),
    "switch": lambda x: fnp.exp(lax.switch(1, [fnp.sin, fnp.cos], x)) ** 2,
    "scan_carry": lambda x: fnp.sin(lax.scan(lambda c, _: (c * x, c), x, None, 3)[0]) * 2.0,
    "scan_rows": lambda x: fnp.sum(fnp.sin(lax.scan(lambda c, _: (c * x, c), x, None, 3)[1])),
    "while_loop": lambda x: fnp.sin(lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * c[1]), (0, x))[1]),
    "checkpoint": lambda x: fnp.sin(ft.checkpoint(lambda v: v * v)(x)) ** 2,
    "jit": lambda x: fnp.sin(ft.jit(lambda v: v * v)(x)) ** 2,
    "nested": lambda x: fnp.sin(
        ft.jit(lambda v: lax.scan(lambda c, _: (lax.cond(c > 0, fnp.sin, fnp.cos, c), None), v, None, 3)[0])(x)
    ),
    "vmap_of_cond": lambda x: fnp.sum(
        fnp.sin(ft.vmap(lambda v: lax.cond(v > 1, lambda v: v * v, lambda v: v, v))(_pair(x)))
    ),
}  # fmt: skip
EVERY_WAY: dict[str, Callable[[Any], Any]] = {
    **REVERSE,
    "jvp": lambda f: ft.jvp(f, (0.7,), (1.0,))[1],
    "jacfwd": lambda f: ft.jacfwd(f)(0.7),
    "grad_of_grad": lambda f: ft.grad(ft.grad(f))(0.7),
    "hessian": lambda f: ft.hessian(f)(0.7),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_rule_that_differentiates_a_program_is_not_accused(name: str) -> None:
    plain = MIXED[name]
    ruled = ft.custom_jvp(plain)
    ruled.defjvp(lambda primals, tangents: ft.jvp(plain, primals, tangents))
    for how, transform in EVERY_WAY.items():
        if (name == "while_loop" and "grad" in how) or (name == "while_loop" and how == "hessian"):
            continue  # reverse mode through a loop of unknown length
        assert float(transform(ruled)) == pytest.approx(float(transform(plain)), rel=1e-5), how


def test_zeros_that_a_rule_adds_behind_a_loop_of_unknown_length_are_no_offset() -> None:
    """What a rule gives is tried at zero where it cannot be transposed: other numbers stood for these zeros."""
    f = ft.custom_jvp(lambda x: x * 2)

    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        doubled = lax.while_loop(lambda c: c[0] < fnp.sum(x > 0), lambda c: (c[0] + 1, c[1] * 2), (0, t))[1]
        return f(x), doubled + fnp.zeros(3)

    f.defjvp(rule)
    x = np.float32([1, -2, 3])
    np.testing.assert_array_equal(ft.linearize(f, x)[1](x), 4 * x)


def test_transposition_splits_an_operation_result_by_result() -> None:
    """A function is linear in t though one operation computes with x and with t."""

    def linear(t: Any) -> Any:
        (a, b), _ = lax.scan(lambda c, _: ((c[0] * 1.5, c[1] * c[0]), None), (2.0, t), None, 3)
        return fnp.sin(a) * b

    (sent,) = ft.linear_transpose(linear, 1.0)(1.0)
    assert float(sent) == pytest.approx(float(linear(1.0)), rel=1e-6)


def test_transposition_refuses_the_result_that_is_not_linear() -> None:
    def squared(t: Any) -> Any:
        return lax.scan(lambda c, _: ((c[0] * 1.5, c[1] * c[1]), None), (2.0, t), None, 3)[0][1]

    with pytest.raises(NotLinearError):
        ft.linear_transpose(squared, 1.0)(1.0)


def test_a_rule_that_applies_its_own_function_which_is_not_linear_is_refused() -> None:
    """Asked whether the function is linear, the rule asks the function: that ends, with the operation named."""

    @ft.custom_jvp
    def flipped(x: Any) -> Any:
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, np.uint32) ^ np.uint32(1), np.float32)

    flipped.defjvp(lambda primals, tangents: (flipped(*primals), flipped(*tangents)))
    for transform in [ft.grad(flipped), ft.jit(ft.grad(flipped)), ft.grad(ft.jit(flipped))]:
        with pytest.raises(NotLinearError, match="bitcast_convert_type"):
            transform(np.float32(1.5))
