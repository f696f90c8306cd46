"""What once went wrong: infinite factors of derivatives that are not asked for, right-hand sides that are powers,
effects that happened twice, empty arguments, and numbers near the ends of their range."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import derivatives, differential_operator, directional, laplacian, solution_coefficients
from functrans.experimental.jet import jet
from functrans.trace.effects import without_effects

pytestmark = pytest.mark.usefixtures("x64")

POINT = np.array([[0.3, -0.2], [0.7, 0.4], [0.1, 1.1]])


# -- powers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.5, 1.5, -1.5, -1, -2, 2.5])
def test_reverse_mode_over_derivatives_of_powers_is_the_next_derivative(power: float) -> None:
    def f(x: Any) -> Any:
        return (1.2 + fnp.cos(x)) ** power

    with mpmath.workdps(30):
        exact = float(mpmath.diff(lambda x: (mpmath.mpf("1.2") + mpmath.cos(x)) ** power, mpmath.mpf(0.7), 3))
    for third in (
        ft.grad(lambda x: derivatives(f, 2)(x)[2]),
        ft.grad(laplacian(f)),
        ft.grad(lambda x: 2 * ft.taylor(f, (x,), ([1.0, None],))[1][1]),
    ):
        assert float(third(0.7)) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("power", [0.5, 1.5, -1.5, -1, -2, -3])
def test_a_solution_whose_right_hand_side_is_a_power(power: float) -> None:
    """x' = x^p from x(0) = 1 is x = (1 + (1 - p) t)^(1 / (1 - p))."""
    with mpmath.workdps(30):
        p = mpmath.mpf(power)
        exact = mpmath.taylor(lambda t: (1 + (1 - p) * t) ** (1 / (1 - p)), 0, 5)
    found = solution_coefficients(lambda x: x**power, 1.0, 5)
    np.testing.assert_allclose(np.array(found, float), np.array(exact, float), rtol=1e-12, atol=1e-12)


# -- effects ---------------------------------------------------------------------------------------------------------


def _plain(tick: Callable[..., Any], x: Any) -> Any:
    ft.debug.callback(tick, x.sum())
    return fnp.sum(fnp.sin(x) ** 2)


def _scan(tick: Callable[..., Any], x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        ft.debug.callback(tick, carry)
        return carry * fnp.sum(row) + fnp.sin(carry), None

    return lax.scan(step, fnp.sum(fnp.sin(x)), x)[0]


def _while(tick: Callable[..., Any], x: Any) -> Any:
    def step(state: Any) -> Any:
        ft.debug.callback(tick, state[1])
        return state[0] + 1, fnp.sin(state[1])

    return lax.while_loop(lambda state: state[0] < 3, step, (0, x.sum()))[1]


def _cond(tick: Callable[..., Any], x: Any) -> Any:
    def taken(x: Any) -> Any:
        ft.debug.callback(tick, x.sum())
        return fnp.sum(x**3)

    return lax.cond(x.sum() > 0, taken, fnp.sum, fnp.sin(x))


OPERATORS: dict[str, Any] = {
    "laplacian": laplacian,
    "orders 0, 1 and 2": differential_operator({(2, *[0] * 5): 1.0, (0, 1, *[0] * 4): 2.0, (0,) * 6: 1.0}),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize(("function", "times"), [(_plain, 1), (_scan, 3), (_while, 3), (_cond, 1)])
def test_effects_happen_once_though_lines_and_their_sum_go_through_apart(
    operator: Any, function: Any, times: int
) -> None:
    ticks: list[Any] = []
    for transform in (lambda f: f, ft.jit):
        ticks.clear()
        transform(operator(lambda x: function(lambda value: ticks.append(value), x)))(POINT)
        ft.effects_barrier()
        assert len(ticks) == times


@pytest.mark.parametrize(("function", "times"), [(_plain, 1), (_scan, 3), (_while, 3), (_cond, 1)])
def test_effects_of_a_right_hand_side_happen_once_for_all_orders(function: Any, times: int) -> None:
    ticks: list[Any] = []
    solution_coefficients(lambda x: function(lambda value: ticks.append(value), x * POINT), 0.3, 4)
    ft.effects_barrier()
    assert len(ticks) == times


def test_a_program_without_effects_is_itself() -> None:
    jaxpr = ft.make_jaxpr(fnp.sin)(1.0)
    assert without_effects(jaxpr) is jaxpr


# -- arguments -------------------------------------------------------------------------------------------------------


def test_an_argument_without_leaves_has_a_gradient_without_leaves() -> None:
    assert ft.grad(lambda x: 1.0)(()) == ()
    assert ft.value_and_grad(lambda x: 2.0)({}) == (2.0, {})
    assert ft.jit(ft.grad(lambda x: 1.0))(()) == ()


def test_an_argument_without_leaves_has_coefficients_zero() -> None:
    assert ft.taylor(lambda x: 3.0, ((),), ([(), ()],)) == (3.0, [0.0, 0.0])


# -- nests -----------------------------------------------------------------------------------------------------------


def _slope(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: ft.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("order", [2, 3])
def test_a_collapsed_nest_of_forward_mode_goes_through_a_loop_of_unknown_length(order: int) -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, fnp.sin(s[1]) * x), (0, x))[1]

    def nested(x: Any) -> Any:
        g = f
        for _ in range(order):
            g = _slope(g)
        return float(g(x))

    written_out = nested(0.7)
    ft.collapse_nests(True)
    try:
        assert nested(0.7) == pytest.approx(written_out, rel=1e-12)
    finally:
        ft.collapse_nests(None)


@pytest.mark.parametrize("order", [8, 9, 12, 20])
def test_high_orders_in_half_precision_are_as_finite_as_the_derivatives(order: int) -> None:
    """20! is far beyond the largest number of float16, and 1 / 8! below its smallest normal one."""
    x = np.float16(0.5)
    exact = float(np.sin(0.5 + order * np.pi / 2))
    nested: Callable[[Any], Any] = fnp.sin
    for _ in range(order):
        nested = ft.grad(nested)
    found = [
        nested(x), derivatives(fnp.sin, order)(x)[order], directional(fnp.sin, np.float16(1.0), order)(x),
        jet(fnp.sin, (x,), ([np.float16(1.0), *[np.float16(0.0)] * (order - 1)],))[1][-1],
        differential_operator({(order,): 1.0})(lambda v: fnp.sin(v[0]))(np.array([x])) if order <= 12 else exact,
    ]  # fmt: skip
    np.testing.assert_allclose(np.array(found, float), exact, rtol=3e-3)


def test_the_orders_do_not_end_where_their_factorials_do() -> None:
    assert float(derivatives(fnp.sin, 171)(0.5)[-1]) == pytest.approx(-np.cos(0.5), rel=1e-12)


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sin", "cos", "sinh", "cosh"])
@pytest.mark.parametrize(("dtype", "large"), [(np.complex128, [709.9, 710.2]), (np.complex64, [88.9, 89.3])])
def test_complex_functions_are_finite_as_long_as_their_value_is(name: str, dtype: Any, large: list[float]) -> None:
    part = np.finfo(dtype).dtype.type
    for a in (0.0, 1e-20, 0.3, 2.0):
        for b in large:
            for sign in (1, -1):
                z = dtype(complex(sign * b, a) if name in ("sinh", "cosh") else complex(a, sign * b))
                with mpmath.workdps(40):
                    exact = getattr(mpmath, name)(mpmath.mpc(float(z.real), float(z.imag)))
                found = np.asarray(getattr(fnp, name)(z))
                wanted = np.array([part(exact.real), part(exact.imag)])
                np.testing.assert_allclose([found.real, found.imag], wanted, rtol=16 * np.finfo(dtype).eps)
