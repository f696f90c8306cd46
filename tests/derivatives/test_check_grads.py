"""check_grads compares with numerical derivatives: right ones pass, wrong ones are named."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.testing import check_grads, check_jvp, check_vjp
from tests.errors.refusal import refusal

V = np.float32([0.3, 0.7, -1.2])


def with_slope(function, slope):
    """A function with a derivative rule of its own: the tangent times ``slope``."""
    wrapped = ft.custom_jvp(function)
    wrapped.defjvps(lambda t, out, x: t * slope(x))
    return wrapped


def sine_off_by(share):
    return with_slope(fnp.sin, lambda x: (1 + share) * fnp.cos(x))


wrong_cosine = with_slope(fnp.cos, lambda x: fnp.sin(x))  # the sign
right_at_first = with_slope(fnp.sin, lambda x: wrong_cosine(x))


@ft.custom_vjp
def wrong_backwards(x):
    return fnp.sum(x * x)


wrong_backwards.defvjp(lambda x: (wrong_backwards(x), x), lambda x, ct: (ct * x,))


@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")], ids=str)
def test_right_derivatives_pass(modes, both_widths):
    check_grads(lambda x, p: fnp.exp(-x) * p["a"] + fnp.sin(x * p["n"]), (V, {"a": V * 3, "n": 2}), 2, modes)


def test_half_precision_infinities_and_large_and_small_points_pass():
    check_grads(fnp.tanh, (fnp.asarray(V, fnp.bfloat16),), 1)
    check_grads(lambda x: fnp.where(x > 0, x * x, -fnp.inf), (V,), 1)
    for scale in (1e-6, 1e6):
        check_grads(lambda x, s=scale: fnp.sin(x / np.float32(s)), (V * np.float32(scale),), 1)


def test_complex_arguments_pass():
    z = np.complex64([0.5 + 1j, -0.3 - 0.2j])
    check_grads(lambda z: z * fnp.exp(z), (z,), 2)
    check_grads(lambda z: fnp.real(z) * fnp.sin(fnp.imag(z)) + fnp.abs(z), (z,), 2)


def test_what_has_no_elements_passes():
    check_grads(fnp.sin, (np.zeros((0, 2), np.float32),), 2)


def test_functions_of_jax_pass():
    check_grads(jax.jit(lambda x: jnp.sum(jnp.tanh(x) * x)), (V,), 2)


@pytest.mark.parametrize("share", [1e-3, -1.0, 1.0])
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_a_wrong_rule_is_caught_and_explained(mode, share):
    wrong = refusal(AssertionError, lambda: check_grads(sine_off_by(share), (V,), 1, (mode,)))  # blame
    wrong.says("order 1", f"mode '{mode}'", "sin", "functrans: ", "numerically: ", "estimated error", "custom_jvp")


def test_an_error_of_a_billionth_is_seen_in_double_precision(x64):
    refusal(AssertionError, lambda: check_grads(sine_off_by(1e-9), (np.float64(0.5),), 1)).says("order 1")
    check_grads(sine_off_by(1e-12), (np.float64(0.5),), 1)


def test_a_rule_that_is_wrong_in_reverse_is_caught_there():
    refusal(AssertionError, lambda: check_vjp(wrong_backwards, (V,))).says(
        "cotangents", "mode 'rev'", "wrong_backwards"
    )


@pytest.mark.parametrize("outer", ["fwd", "rev"])
@pytest.mark.parametrize("inner", ["fwd", "rev"])
def test_a_wrong_second_derivative_is_caught_at_the_second_order(outer, inner):
    check_grads(right_at_first, (V,), 1)
    modes = (inner, outer) if inner != outer else (inner,)
    found = refusal(AssertionError, lambda: check_grads(right_at_first, (V,), 2, modes))
    found.says("order 2", f"of {inner}'", "sin", "estimated error")


def test_a_kink_beside_the_point_is_told_from_a_wrong_rule():
    found = refusal(AssertionError, lambda: check_jvp(lambda x: fnp.sqrt(x), (np.float32(0.0),)))
    found.says("nan", "kink", "another point")


def test_tolerances_and_steps_are_the_callers():
    check_grads(sine_off_by(1e-3), (V,), 1, rtol=1e-2)
    check_grads(sine_off_by(1e-3), (V,), 1, atol=1e-2)
    refusal(AssertionError, lambda: check_grads(sine_off_by(0.05), (V,), 1, atol=1e-2)).says("0.01", "allowed")
    check_grads(fnp.sin, (V,), 1, eps=1e-2)
    refusal(AssertionError, lambda: check_grads(fnp.sin, (V,), 1, eps=1.0)).says("estimated error")


def test_wrong_arguments_are_named():
    refusal(TypeError, lambda: check_grads(3, (V,), 1)).says("check_grads", "function", "3")
    refusal(TypeError, lambda: check_grads(fnp.sin, V, 1)).says("check_grads", "args", "(x,)")
    refusal(ValueError, lambda: check_grads(fnp.sin, (V,), 0)).says("check_grads", "order", "0")
    refusal(ValueError, lambda: check_grads(fnp.sin, (V,), 1, ("forward",))).says("'forward'", "'fwd'")
    refusal(ValueError, lambda: check_grads(lambda n: n, (3,), 1)).says("check_grads", "floating")
