"""JAX's operations that are objects with rules of their own (``jax.hijax.HiPrim``): what ``expand`` computes, under the
derivative that the object has in JAX, which in most of these tests is deliberately another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.extend.core as jax_core
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.interpreters import ad, batching, mlir

import functrans as ft
import functrans.lax
from functrans.control.checkpoint import Checkpoint
from functrans.interop.custom_rules import TwoModes
from functrans.interop.jax_tracing import operation_object
from functrans.ir.program import all_equations
from functrans.jaxlib_compat.jax_programs import OPERATION_OBJECT


class _Squared(OPERATION_OBJECT):  # type: ignore[misc, valid-type]
    """x -> x**2."""

    def __init__(self, aval: Any) -> None:
        self.in_avals, self.out_aval, self.params = (aval,), aval, {"aval": aval}
        super().__init__()

    def expand(self, x: Any) -> Any:
        return x * x

    def batch(self, axis_data: Any, args: Any, dims: Any) -> Any:
        return type(self)(jax.typeof(args[0]))(*args), dims[0]


class Jvp(_Squared):
    """Derivative 5 x, itself differentiated as it stands."""

    def jvp(self, primals: Any, tangents: Any) -> Any:
        return self(*primals), 5.0 * primals[0] * tangents[0]


class Linearized(_Squared):
    """Derivative 5 x, given as a linear map and its residual."""

    def lin(self, nonzero: Any, x: Any) -> Any:
        return self(x), x

    def linearized(self, residual: Any, tangent: Any) -> Any:
        return 5.0 * residual * tangent


class Vjp(_Squared):
    """Derivative 5 x, given for reverse mode."""

    def vjp_fwd(self, nonzero: Any, x: Any) -> Any:
        return self(x), x

    def vjp_bwd_retval(self, residual: Any, cotangent: Any) -> Any:
        return (5.0 * residual * cotangent,)


class Halved(_Squared):
    """x -> x / 2 for normal numbers, by their bits; its own derivative, transposed by a rule."""

    def expand(self, x: Any) -> Any:
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, np.uint32) - np.uint32(1 << 23), np.float32)

    def jvp(self, primals: Any, tangents: Any) -> Any:
        return self(*primals), self(*tangents)

    def transpose(self, cotangent: Any, accumulator: Any) -> None:
        accumulator.accum(self(cotangent))


def _apply(kind: Any) -> Callable[[Any], Any]:
    return lambda x: jnp.sin(kind(jax.typeof(x))(x))


def _sine_of(slope: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """sin(x**2) in JAX, where the derivative of x**2 is ``slope(x)``."""

    @jax.custom_jvp
    def squared(x: Any) -> Any:
        return x * x

    squared.defjvp(lambda primals, tangents: (squared(*primals), slope(primals[0]) * tangents[0]))
    return lambda x: jnp.sin(squared(x))


DOORS = {"from_jax": ft.from_jax, "in passing": lambda f: f}
through_both = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


@through_both
@pytest.mark.parametrize("kind", [Jvp, Linearized, Vjp])
def test_the_rule_of_the_object_is_the_rule(kind: Any, door: Any) -> None:
    function, expected = door(_apply(kind)), _sine_of(lambda x: 5.0 * x)
    x, t = np.float32(0.7), np.float32(1.3)
    np.testing.assert_allclose(function(x), expected(x), rtol=1e-6)
    np.testing.assert_allclose(ft.grad(function)(x), jax.grad(expected)(x), rtol=1e-6)
    np.testing.assert_allclose(ft.jvp(function, (x,), (t,)), jax.jvp(expected, (x,), (t,)), rtol=1e-6)
    np.testing.assert_allclose(ft.grad(ft.grad(function))(x), jax.grad(jax.grad(expected))(x), rtol=1e-5)
    xs = np.linspace(-1, 1, 5, dtype=np.float32)
    np.testing.assert_allclose(
        ft.jit(ft.vmap(ft.grad(function)))(xs), jax.vmap(jax.grad(expected))(xs), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        ft.vmap(ft.jacfwd(ft.grad(function)))(xs), jax.vmap(jax.hessian(expected))(xs), rtol=1e-5, atol=1e-6
    )


class _OfTwo(OPERATION_OBJECT):  # type: ignore[misc, valid-type]
    """sin(x) * y, whose slopes are 5 times too large in forward mode and 7 times in reverse mode."""

    def __init__(self, x: Any, y: Any) -> None:
        self.in_avals, self.out_aval, self.params = (x, y), x, {"x": x, "y": y}
        super().__init__()

    def expand(self, x: Any, y: Any) -> Any:
        return jnp.sin(x) * y

    def jvp(self, primals: Any, tangents: Any) -> Any:
        (x, y), (x_dot, y_dot) = primals, tangents  # which it does not ask whether they are zeros
        return self(x, y), 5 * (jnp.cos(x) * x_dot * y + jnp.sin(x) * y_dot)

    def vjp_fwd(self, nonzero: Any, x: Any, y: Any) -> Any:
        return self(x, y), (x, y)

    def vjp_bwd_retval(self, residuals: Any, cotangent: Any) -> Any:
        x, y = residuals
        return 7 * jnp.cos(x) * y * cotangent, 7 * jnp.sin(x) * cotangent


@through_both
def test_each_mode_has_its_rule(door: Any) -> None:
    """The rule for forward mode served both, and failed where an argument has no tangent."""
    f = door(lambda x, y: _OfTwo(jax.typeof(x), jax.typeof(y))(x, y))
    x, y, lanes = np.float32(0.7), np.float32(1.3), lambda v: np.full(3, v, np.float32)
    by_x, by_y = np.cos(x) * y, np.sin(x)
    assert any(isinstance(eqn.op, TwoModes) for eqn in all_equations(ft.make_jaxpr(f)(x, y)))
    for i, slope in enumerate((by_x, by_y)):
        for grad in (ft.grad(f, i), ft.jit(ft.grad(f, i)), ft.jacrev(f, i)):
            np.testing.assert_allclose(grad(x, y), 7 * slope, rtol=1e-6)
        np.testing.assert_allclose(ft.vmap(ft.grad(f, i))(lanes(x), lanes(y)), lanes(7 * slope), rtol=1e-6)
        np.testing.assert_allclose(ft.jacfwd(f, i)(x, y), 5 * slope, rtol=1e-6)
        in_lanes = lambda x, y: ft.vmap(f, (0, None))(x, y)
        tangents = [np.ones_like(v) if i == k else np.zeros_like(v) for k, v in enumerate((lanes(x), y))]
        for jvp in (ft.jvp, ft.jit(ft.jvp, static_argnums=0)):
            np.testing.assert_allclose(jvp(in_lanes, (lanes(x), y), tuple(tangents))[1], lanes(5 * slope), rtol=1e-6)
    np.testing.assert_allclose(ft.jvp(f, (x, y), (1.0, 2.0))[1], 5 * (by_x + 2 * by_y), rtol=1e-6)
    np.testing.assert_allclose(ft.grad(ft.grad(f))(x, y), -7 * np.sin(x) * y, rtol=1e-5)


@through_both
def test_an_object_without_rules_is_what_it_computes(door: Any) -> None:
    function = door(_apply(_Squared))
    np.testing.assert_allclose(ft.grad(function)(0.7), 2 * 0.7 * np.cos(0.49), rtol=1e-6)


def _cube_root(p: Any) -> Any:
    def newton(f: Any, start: Any) -> Any:
        return lax.fori_loop(0, 30, lambda _, t: t - (t**3 - lax.stop_gradient(p)) / (3 * t**2), start)

    return lax.custom_root(lambda t: t**3 - p, p, newton, lambda g, y: y / g(jnp.ones_like(y)))


@through_both
def test_custom_root_has_the_derivative_of_the_root_and_not_of_the_steps(door: Any) -> None:
    function, p = door(_cube_root), np.float32(2)
    first, second = 1 / 3 * 2 ** (-2 / 3), -2 / 9 * 2 ** (-5 / 3)
    np.testing.assert_allclose(function(p), 2 ** (1 / 3), rtol=1e-6)
    np.testing.assert_allclose(ft.grad(function)(p), first, rtol=1e-6)
    np.testing.assert_allclose(ft.jvp(function, (p,), (np.float32(1),))[1], first, rtol=1e-6)
    np.testing.assert_allclose(ft.grad(ft.grad(function))(p), second, rtol=1e-5)
    np.testing.assert_allclose(ft.jacfwd(ft.grad(function))(p), second, rtol=1e-5)
    ps = np.linspace(1, 3, 4, dtype=np.float32)
    np.testing.assert_allclose(ft.vmap(ft.grad(function))(ps), jax.vmap(jax.grad(_cube_root))(ps), rtol=1e-6)
    np.testing.assert_allclose(ft.grad(lambda ps: ft.vmap(function)(ps).sum())(ps), 1 / 3 * ps ** (-2 / 3), rtol=1e-6)


@through_both
@pytest.mark.parametrize("function", [lambda x: jnp.ldexp(x, 3), lambda x: jnp.frexp(x)[0]], ids=["ldexp", "frexp"])
def test_operations_on_the_bits_of_a_number_have_their_derivative(function: Any, door: Any) -> None:
    x = np.array([0.3, -5.0, 1.7], np.float32)
    expected = jax.vmap(jax.grad(function))(x)
    assert np.all(expected != 0)
    np.testing.assert_array_equal(ft.vmap(ft.grad(door(function)))(x), expected)
    slope = ft.jvp(door(function), (x,), (np.ones_like(x),))[1]
    np.testing.assert_array_equal(slope, expected)


# -- JAX's own functions in the form they have under a flag, tomorrow without ------------------------------------------


@pytest.fixture
def flag(request: pytest.FixtureRequest) -> Iterator[None]:
    if not hasattr(jax.config, request.param):
        pytest.skip(f"this version has no {request.param}")
    before = getattr(jax.config, request.param)
    jax.config.update(request.param, True)
    yield
    jax.config.update(request.param, before)


def _reversed() -> Any:
    function = jax.custom_vjp(lambda x, y: x * x * y)
    function.defvjp(lambda x, y: (function(x, y), (x, y)), lambda r, ct: (5.0 * r[0] * ct, 7.0 * r[1] * ct))
    return function


def _forward() -> Any:
    function = jax.custom_jvp(lambda x, y: x * x * y)
    function.defjvp(lambda p, t: (function(*p), 5.0 * p[0] * t[0] + 7.0 * p[1] * t[1]))
    return function


@pytest.mark.parametrize(
    ("flag", "make"), [("jax_custom_vjp3", _reversed), ("jax_custom_jvp3", _forward)], indirect=["flag"]
)
def test_custom_rules_that_are_objects(flag: None, make: Callable[[], Any]) -> None:
    function = make()

    def loss(x: Any, y: Any) -> Any:
        return jnp.sin(function(x, y))

    x, y = np.float32(0.7), np.float32(0.3)
    assert operation_object(jax.make_jaxpr(function)(x, y).eqns[0]) is not None
    ours = ft.from_jax(loss)
    np.testing.assert_allclose(ft.grad(ours, (0, 1))(x, y), jax.grad(loss, (0, 1))(x, y), rtol=1e-6)
    np.testing.assert_allclose(
        ft.grad(lambda x: ft.grad(ours)(x, y))(x), jax.grad(lambda x: jax.grad(loss)(x, y))(x), rtol=1e-5
    )
    xs = np.linspace(-1, 1, 4, dtype=np.float32)
    np.testing.assert_allclose(
        ft.vmap(ft.grad(ours), (0, None))(xs, y), jax.vmap(jax.grad(loss), (0, None))(xs, y), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("flag", ["jax_custom_vjp3"], indirect=True)
def test_a_custom_vjp_object_may_hold_an_array(flag: None) -> None:
    weights = jnp.arange(3.0)

    @jax.custom_vjp
    def weighted(x: Any) -> Any:
        return x * weights

    weighted.defvjp(lambda x: (weighted(x), None), lambda _, ct: (7.0 * ct,))
    np.testing.assert_allclose(ft.grad(lambda x: ft.from_jax(weighted)(x).sum())(np.ones(3, np.float32)), [7, 7, 7])


@pytest.mark.parametrize("flag", ["jax_remat3"], indirect=True)
def test_checkpoints_that_are_objects_compute_again(flag: None) -> None:
    layer = jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))
    (equation,) = ft.make_jaxpr(ft.grad(ft.from_jax(layer)))(0.7).equations
    assert isinstance(equation.op, Checkpoint) and equation.op.differentiated
    np.testing.assert_allclose(ft.grad(ft.from_jax(layer))(0.7), jax.grad(layer)(0.7), rtol=1e-6)


# -- operations of other libraries, by JAX's older interface -----------------------------------------------------------


def _refused_in_lanes() -> Callable[[Any], Any]:
    """x -> x; an operation of JAX that may not be mapped, as Equinox has one."""
    operation = jax_core.Primitive("refused_in_lanes")
    operation.def_impl(lambda x: x)
    operation.def_abstract_eval(lambda x: x)
    mlir.register_lowering(operation, mlir.lower_fun(lambda x: x, multiple_results=False))

    def refuse(args: Any, dims: Any) -> Any:
        raise RuntimeError("its steps were mapped")

    batching.primitive_batchers[operation] = refuse
    return operation.bind


def _solve_by_steps(while_loop: Any = lax.while_loop) -> Callable[[Any, Any], Any]:
    """(a, b) -> b / a as an operation of JAX that iterates; its rules say what its steps cannot: it is linear in b, and
    its lanes are solved together.
    """
    operation, result, half = jax_core.Primitive("solved_by_steps"), _refused_in_lanes(), jnp.float32(0.5)

    def steps(a: Any, b: Any) -> Any:
        start = (jnp.int32(0), 0 * b)
        return result(
            while_loop(lambda s: s[0] < 60, lambda s: (s[0] + 1, s[1] + half * (b - a * s[1])), start)[1]
        )

    def forward(primals: Any, tangents: Any) -> Any:
        (a, b), (a_t, b_t) = primals, tangents
        x = operation.bind(a, b)
        right = 0 * b if isinstance(b_t, ad.Zero) else b_t
        return x, operation.bind(a, right if isinstance(a_t, ad.Zero) else right - a_t * x)

    operation.def_impl(steps)
    operation.def_abstract_eval(lambda a, b: b)
    mlir.register_lowering(operation, mlir.lower_fun(steps, multiple_results=False))
    ad.primitive_jvps[operation] = forward
    ad.primitive_transposes[operation] = lambda ct, a, b: [None, operation.bind(a, ct)]
    batching.primitive_batchers[operation] = lambda args, dims: (
        operation.bind(*[x if d == 0 else jnp.broadcast_to(x, args[dims.index(0)].shape)
                         for x, d in zip(args, dims, strict=True)]), 0,
    )  # fmt: skip
    return operation.bind


@pytest.mark.parametrize("while_loop", [lax.while_loop, ft.lax.while_loop], ids=["loop of jax", "loop of functrans"])
@pytest.mark.parametrize("kept", [True, False], ids=["from_jax", "as it stands"])
def test_an_operation_is_transposed_and_mapped_by_its_own_rules(while_loop: Any, kept: bool) -> None:
    """JaxOperation: the steps are a while_loop, which reverse mode could not go through."""
    solve = _solve_by_steps(while_loop)
    code, plain = lambda a, b: jnp.sin(solve(a, b)).sum(), lambda a, b: jnp.sin(b / a).sum()
    function = ft.from_jax(code) if kept else code
    a, b = np.float32([0.9, 1.2]), np.float32([0.4, -0.3])
    for transform in (
        lambda m, f: m.grad(f, (0, 1))(a, b),
        lambda m, f: m.jvp(f, (a, b), (b, a)),
        lambda m, f: m.hessian(f, (0, 1))(a, b),
        lambda m, f: m.jacrev(m.grad(f, 1), (0, 1))(a, b),
        lambda m, f: m.jit(m.jacrev(m.jit(m.grad(f, 1)), (0, 1)))(a, b),
        lambda m, f: m.vmap(m.grad(f, (0, 1)), (None, 0))(a, np.stack([b, 2 * b])),
        lambda m, f: m.vmap(m.grad(f, (0, 1)), (0, None))(np.stack([a, 1.1 * a]), b),
        lambda m, f: m.jit(m.grad(lambda a: m.vmap(f, (None, 0))(a, np.stack([b, 2 * b])).sum()))(a),
    ):
        expected = jax.tree.leaves(jax.jit(lambda transform=transform: transform(jax, plain))())
        for actual, wanted in zip(jax.tree.leaves(transform(ft, function)), expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=2e-5, atol=2e-6)


def test_an_operation_with_a_transpose_of_its_own_is_transposed_by_it() -> None:
    """What it computes moves bits, which nothing could transpose."""
    function = ft.from_jax(_apply(Halved))
    x, xs = np.float32(0.7), np.float32([0.3, 1.7])
    np.testing.assert_allclose(ft.grad(function)(x), np.cos(0.35) / 2, rtol=1e-6)
    np.testing.assert_allclose(ft.jit(ft.grad(function))(x), np.cos(0.35) / 2, rtol=1e-6)
    np.testing.assert_allclose(ft.vmap(ft.grad(function))(xs), np.cos(xs / 2) / 2, rtol=1e-6)
    np.testing.assert_allclose(ft.grad(ft.grad(function))(x), -np.sin(0.35) / 4, rtol=1e-6)
    np.testing.assert_allclose(ft.jacfwd(ft.grad(function))(x), -np.sin(0.35) / 4, rtol=1e-6)
