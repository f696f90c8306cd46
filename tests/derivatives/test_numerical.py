"""Numerical derivatives against closed forms and mpmath, with honest estimates of their errors."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.derivatives import Estimate, derivative_along, gradient, jacobian, valley
from functrans.derivatives.lines import stencil
from tests.errors.refusal import refusal

HONEST = 5  # the true error is at most this many times the estimated one
EVERYWHERE = {
    "sin": (np.sin, mpmath.sin),
    "exp": (np.exp, mpmath.exp),
    "tanh": (np.tanh, mpmath.tanh),
    "cube": (lambda x: x**3, lambda x: x**3),
    "bell": (lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + x * x)),
    "wavy": (lambda x: np.sin(x * x) * np.exp(-x), lambda x: mpmath.sin(x * x) * mpmath.exp(-x)),
    "fast": (lambda x: np.sin(50 * x), lambda x: mpmath.sin(50 * x)),
    "on a hill": (lambda x: np.sin(x) + 1000, lambda x: mpmath.sin(x) + 1000),
    "cancelling": (lambda x: (1 + x) - 1, lambda x: x),
}
POSITIVE = {
    "log": (np.log, mpmath.log),
    "sqrt": (np.sqrt, mpmath.sqrt),
    "reciprocal": (lambda x: 1 / x, lambda x: 1 / x),
    "entropy": (lambda x: x * np.log(x), lambda x: x * mpmath.log(x)),
}
POINTS = [0.0, 1e-8, -1e-3, 0.3, -0.7, 1.0, 2.5, 5.0, -8.0, 30.0]
POSITIVE_POINTS = [1e-8, 1e-3, 0.1, 0.5, 1.0, 3.0, 1e3, 1e6, 1e10]
GRID = [(name, x) for name in EVERYWHERE for x in POINTS] + [(name, x) for name in POSITIVE for x in POSITIVE_POINTS]


def grid(dtype, order, **options):
    """(function and point, value, error, exact value) of every derivative of the grid."""
    for name, point in GRID:
        f, exact = (EVERYWHERE | POSITIVE)[name]
        x = dtype(point)
        value, error = derivative_along(f, (x,), (1.0,), order=order, **options)
        with mpmath.workdps(50):
            yield (name, point), value, error, float(mpmath.diff(exact, mpmath.mpf(float(x)), order))


@pytest.mark.parametrize(
    ("dtype", "order"), [(np.float64, n) for n in (1, 2, 3, 4)] + [(np.float32, n) for n in (1, 2)]
)
def test_estimates_are_honest_at_every_scale(dtype, order):
    for case, value, error, exact in grid(dtype, order):
        if (dtype, order, case) == (np.float32, 2, ("fast", 1e-8)):
            continue  # eight turns to each side of a point where the values are 1e-7 look like rounding
        assert abs(value - exact) <= HONEST * error + 1e-40, (case, value, error, exact)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_among_many_elements_none_has_a_small_error_by_accident(dtype):
    """A polynomial whose values hold the rounding errors of large terms, at 100,000 points."""
    polynomial = lambda x: ((((x - 1) * x + 2) * x - 3) * x + 4) * x - 5 - x**5
    slope = lambda x: ((-4 * x + 6) * x - 6) * x + 4
    x = np.random.default_rng(0).uniform(-8, 8, 100_000).astype(dtype)
    value, error = derivative_along(polynomial, (x,), (np.ones_like(x),))
    assert np.all(np.abs(value - slope(x.astype(float))) <= HONEST * error)
    assert np.median(error) < 1e5 * np.finfo(dtype).eps  # of derivatives of about 300


@pytest.mark.parametrize(
    ("dtype", "order", "digits", "share"),
    [(np.float64, 1, 9, 0.95), (np.float64, 2, 6, 0.9), (np.float64, 4, 2, 0.75), (np.float32, 1, 3, 0.85)],
)
def test_derivatives_are_accurate_nearly_everywhere(dtype, order, digits, share):
    """An estimate of infinity is honest, too: most of the grid has the digits that the precision can give."""
    good = [
        abs(value - exact) <= 10.0**-digits * abs(exact) or abs(exact) < 1e-40 >= abs(value) - 1e-6
        for _, value, _, exact in grid(dtype, order)
    ]
    assert np.mean(good) >= share


def test_no_method_needs_more_than_python():
    for method in ("automatic", "central", "richardson"):
        value, error = derivative_along(lambda x: math.exp(x) if x > 0 else 1.0, (1.0,), (1.0,), method=method)
        assert abs(value - math.e) <= HONEST * error < 1e-8


@pytest.mark.parametrize("accuracy", [2, 4, 6, 8])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_stencils_are_exact_for_polynomials_and_no_longer_than_needed(order, accuracy):
    weights = stencil(order, accuracy)
    m = len(weights) // 2
    assert len(weights) == 2 * ((order + 1) // 2 + accuracy // 2) - 1
    moments = [sum(w * k**power for k, w in enumerate(weights, -m)) for power in range(order + accuracy + 1)]
    expected = [math.factorial(order) if power == order else 0 for power in range(order + accuracy)]
    np.testing.assert_allclose(moments[:-1], expected, atol=1e-9)
    assert abs(moments[-1]) > 0.1


@pytest.mark.parametrize("accuracy", [2, 4, 6, 8])
def test_the_truncation_error_falls_with_the_power_that_is_asked_for(accuracy):
    wide, narrow = (
        abs(derivative_along(np.exp, (0.0,), (1.0,), method="central", accuracy=accuracy, step=h).value - 1)
        for h in (0.5, 0.25)
    )
    assert math.log2(wide / narrow) == pytest.approx(accuracy, abs=0.2)


def test_richardson_gains_on_the_difference_that_it_starts_from():
    options = {"step": 0.1}
    plain = derivative_along(np.sin, (1.0,), (1.0,), method="central", **options)
    better = derivative_along(np.sin, (1.0,), (1.0,), method="richardson", **options)
    assert abs(plain.value - math.cos(1.0)) > 1e-4
    assert abs(better.value - math.cos(1.0)) <= HONEST * better.error < 1e-11


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_complex_step_loses_no_digits(dtype):
    for name in ("sin", "exp", "tanh", "cube", "bell", "log", "sqrt", "reciprocal", "entropy"):
        f, exact = (EVERYWHERE | POSITIVE)[name]
        for point in (1e-3, 0.5, 2.5):
            x = dtype(point)
            value, error = derivative_along(f, (x,), (1.0,), method="complex")
            with mpmath.workdps(50):
                slope = float(mpmath.diff(exact, mpmath.mpf(float(x))))
            assert abs(value - slope) <= HONEST * error <= 100 * np.finfo(dtype).eps * max(abs(slope), 0.1), (name, x)


def test_functions_of_functrans_and_jax_jitted_or_not_are_differentiated():
    x, t = np.linspace(0.2, 0.9, 4, dtype=np.float32), np.float32([1, -1, 2, 0.5])
    for f in (fnp.tanh, ft.jit(fnp.tanh), jnp.tanh, jax.jit(jnp.tanh), np.tanh):
        for method in ("automatic", "complex"):
            value, error = derivative_along(f, (x,), (t,), method=method)
            assert np.all(np.abs(value - t / np.cosh(x.astype(float)) ** 2) <= HONEST * error)
            assert error.max() < 1e-4


def test_a_python_number_is_taken_at_the_precision_of_the_function():
    value, error = derivative_along(fnp.sin, (0.1,), (1.0,))
    assert abs(value - math.cos(0.1)) <= HONEST * error < 1e-4


def test_an_array_of_jax_arrives_as_one():
    value, _ = derivative_along(lambda x: jnp.sum(x.at[0].set(0.0) ** 2), (jnp.arange(3.0),), (jnp.ones(3),))
    assert value == pytest.approx(6.0, abs=1e-3)


def test_the_gradient_and_the_jacobian_have_the_trees_of_functrans():
    parameters = {"w": np.float32([[1, 2], [3, 4]]), "b": np.float32([0.5, -0.5])}
    x = np.float32([0.3, 0.7])

    def layer(p, x):
        return {"y": fnp.tanh(p["w"] @ x + p["b"]), "n": 3}

    def loss(p, x):
        return fnp.sum(layer(p, x)["y"] ** 2)

    found, expected = gradient(loss, (0, 1))(parameters, x), ft.grad(loss, (0, 1))(parameters, x)
    _close(found, expected)
    _close(gradient(loss)(parameters, x=x), expected[0])
    outer = lambda p, x: {"y": layer(p, x)["y"]}
    _close(jacobian(outer)(parameters, x), ft.jacfwd(outer)(parameters, x))
    assert jacobian(layer, 1)(parameters, x).value["n"].dtype == ft.float0


def _close(found: Estimate, expected) -> None:
    assert jax.tree.structure(found.value) == jax.tree.structure(expected) == jax.tree.structure(found.error)
    for value, error, right in zip(*map(jax.tree.leaves, (*found, expected)), strict=True):
        assert value.shape == right.shape and value.dtype in (np.float64, np.complex128)
        assert np.all(np.abs(value - right) <= HONEST * error + 1e-6)
        assert error.max() < 1e-3


def test_complex_numbers_in_and_out():
    z = np.complex64(0.5 - 1.5j)
    value, error = derivative_along(np.sin, (z,), (np.complex64(2 + 1j),))
    assert abs(value - np.cos(complex(z)) * (2 + 1j)) <= HONEST * error < 1e-3
    _close(gradient(lambda z: fnp.real(z * z * z))(z), ft.grad(lambda z: fnp.real(z * z * z))(z))
    _close(jacobian(lambda x: fnp.exp(1j * x))(np.float32([0.1, 2.0])), np.diag(1j * np.exp(1j * np.float32([0.1, 2]))))


def test_what_has_no_elements_and_what_does_not_move():
    empty = np.zeros((0, 2))
    assert derivative_along(np.sin, (empty,), (empty,)).value.shape == (0, 2)
    assert gradient(np.sum)(empty).value.shape == (0, 2)
    assert jacobian(np.cos)(empty).value.shape == (0, 2, 0, 2)
    assert gradient(lambda nothing: 1.0)(()).value == ()
    assert derivative_along(np.sin, (1.0,), (0.0,)) == (0.0, 0.0)
    value, _ = derivative_along(lambda x, n: x**n, (2.0, 3), (1.0, np.zeros((), ft.float0)))
    assert value == pytest.approx(12.0, abs=1e-9)
    assert derivative_along(lambda x: 3, (1.0,), (1.0,)).value.dtype == ft.float0


def test_values_that_are_not_finite():
    masked = derivative_along(lambda x: np.array([-np.inf, x * x]), (1.0,), (1.0,))
    np.testing.assert_allclose(masked.value, [0.0, 2.0], atol=1e-9)
    assert masked.error[0] == np.inf and masked.error[1] < 1e-9
    value, error = derivative_along(np.sqrt, (0.0,), (1.0,))
    assert np.isnan(value) and error == np.inf


def test_steps_out_of_the_domain_are_passed_over():
    value, error = derivative_along(math.log, (1e-6,), (1.0,))
    assert abs(value - 1e6) <= HONEST * error < 1e-3


def test_the_valley_has_two_walls_and_the_complex_step_one():
    steps, errors = valley(np.exp, (1.0,), (1.0,), exact=math.e)
    assert {"central 2", "central 4", "central 6", "central 8", "richardson", "complex"} == errors.keys()
    at = lambda method, h: errors[method][np.argmin(np.abs(np.log(steps / h)))]
    for method, lowest in (("central 2", 1e-5), ("central 8", 1e-2), ("richardson", 1e-2)):
        assert at(method, lowest) < 1e-3 * min(at(method, 1e-13), 1e-3)
    assert at("central 2", 1e-1) > 1e5 * at("central 2", 1e-5)
    assert at("central 2", 1e-2) > 1e5 * at("central 8", 1e-2)
    assert np.all(errors["complex"][steps < 1e-9] < 1e-15)
    assert "complex" not in valley(math.exp, (1.0,), (1.0,), order=2, steps=(0.1, 0.01)).errors
    assert "complex" not in valley(math.exp, (1.0,), (1.0,), steps=(0.1, 0.01)).errors


def test_the_valley_measures_from_the_automatic_derivative_where_none_is_given():
    _, errors = valley(np.sin, (np.ones(2),), (np.ones(2),), steps=[1e-2])
    assert errors["central 2"][0] == pytest.approx(1e-4 / 6, rel=1e-2)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_a_function_that_takes_no_complex_numbers_is_named():
    along = lambda f: derivative_along(f, (1.0,), (1.0,), method="complex")  # blame
    refusal(TypeError, lambda: along(lambda x: math.sin(x))).says(
        "derivative_along", "sin", "complex numbers", "'automatic'"
    )


@pytest.mark.parametrize(
    "f", [np.abs, lambda x: x * np.abs(x), lambda x: np.real(x) ** 2], ids=["abs", "x abs", "real"]
)
def test_a_function_that_is_not_analytic_is_refused_with_both_values(f):
    found = refusal(ValueError, lambda: derivative_along(f, (2.0,), (1.0,), method="complex"))  # blame
    found.says("not analytic", "complex step", "real line", "automatic")


def test_the_complex_step_is_for_real_functions_and_first_derivatives():
    z = np.complex64(1j)
    refusal(TypeError, lambda: derivative_along(np.sin, (z,), (z,), method="complex")).says("real", "automatic")
    refusal(TypeError, lambda: derivative_along(lambda x: x * 1j, (1.0,), (1.0,), method="complex")).says("real")
    refusal(ValueError, lambda: derivative_along(np.sin, (1.0,), (1.0,), 2, "complex")).says("first", "order=2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "forward"}, ("'forward'", "richardson")),
        ({"order": 0}, ("order", "0")),
        ({"order": 1.5}, ("order", "1.5")),
        ({"accuracy": 3}, ("accuracy", "3")),
        ({"step": -1.0}, ("step", "-1.0")),
        ({"step": "small"}, ("step", "'small'")),
    ],
)
def test_options_that_there_are_not_are_named(options, said):
    refusal(ValueError, lambda: derivative_along(np.sin, (1.0,), (1.0,), **options)).says("derivative_along", *said)


def test_arguments_of_the_wrong_kind_are_named():
    v = np.ones(3)
    refusal(TypeError, lambda: derivative_along(3, (1.0,), (1.0,))).says("derivative_along", "function", "3")
    refusal(TypeError, lambda: derivative_along(np.sin, 1.0, (1.0,))).says("primals", "tuple", "1.0")
    refusal(TypeError, lambda: derivative_along(np.sin, (1.0,), (1.0, 2.0))).says("tree")
    refusal(TypeError, lambda: derivative_along(np.sin, (1,), (1.0,))).says("int", "1.0 for 1")
    refusal(TypeError, lambda: derivative_along(np.sin, (1.0,), (1j,))).says("complex tangent")
    refusal(ValueError, lambda: derivative_along(np.sin, (v,), (1.0,))).says("(3,)", "()")
    refusal(TypeError, lambda: gradient(np.sin)(v)).says("gradient", "scalar", "float64[3]", "jacobian")
    refusal(TypeError, lambda: gradient(lambda x: np.sum(x) * 1j)(v)).says("real scalar", "complex128")
    refusal(TypeError, lambda: jacobian(np.sin)(np.arange(3))).says("jacobian", "int")
    refusal(TypeError, lambda: jacobian(lambda z: z)(v * 1j)).says("jacobian", "complex", "derivative_along")
    refusal(ValueError, lambda: jacobian(np.sin, 1)(v)).says("jacobian", "argnums=1")
    refusal(ValueError, lambda: valley(np.sin, (1.0,), (0.0,))).says("valley", "zero")
    refusal(ValueError, lambda: valley(np.sin, (1.0,), (1.0,), steps=[0.0])).says("steps", "positive")
    refusal(TypeError, lambda: valley(np.sin, (1.0,), (1.0,), exact=v)).says("exact", "(3,)")


def test_a_result_that_changes_its_shape_is_refused():
    refusal(TypeError, lambda: derivative_along(lambda x: [x] * (2 if x > 1 else 1), (1.0,), (1.0,))).says("beside it")


def test_a_function_that_fails_at_every_step_says_with_what():
    def only_here(x):
        if x != 1.0:
            raise ValueError("nowhere else")
        return x

    refusal(ValueError, lambda: derivative_along(only_here, (1.0,), (1.0,))).says(
        "every step", "nowhere else", "only_here"
    )


def test_an_error_of_the_function_at_the_point_is_the_users_own():
    with pytest.raises(ZeroDivisionError):
        derivative_along(lambda x: 1 / x, (0.0,), (1.0,))


def test_a_traced_point_is_refused():
    refusal(TypeError, lambda: ft.jit(lambda x: derivative_along(np.sin, (x,), (1.0,)).value)(1.0)).says("jit")
