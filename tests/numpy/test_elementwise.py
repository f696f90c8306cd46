"""Elementwise functions: value, dtype, weak type, refusal and derivative are those of jax.numpy."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.jax_version import JAX
from tests.numpy.many import assert_cases_agree, assert_types_agree, jvp_of

UNARY = """
abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_count bitwise_invert
bitwise_not cbrt ceil conj conjugate cos cosh deg2rad degrees exp exp2 expm1 fabs floor imag invert iscomplex isfinite
isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not modf negative positive rad2deg radians real
reciprocal rint round sign signbit sin sinc sinh sqrt square tan tanh trunc angle nan_to_num
""".split()
BINARY = """
add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide divmod equal
float_power floor_divide fmax fmin fmod greater greater_equal heaviside hypot isclose left_shift less less_equal
logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum mod multiply nextafter not_equal power remainder
right_shift subtract true_divide
""".split()
SMOOTH_UNARY = """
abs arccos arccosh arcsin arcsinh arctan arctanh cbrt cos cosh deg2rad exp exp2 expm1 log log10 log1p log2 negative
rad2deg reciprocal sign sin sinc sinh sqrt square tan tanh floor ceil round trunc real imag conj angle nan_to_num
""".split()
SMOOTH_BINARY = """
add arctan2 divide float_power fmod heaviside hypot logaddexp logaddexp2 maximum minimum multiply power remainder
subtract copysign fmax fmin
""".split()
# JAX extends these to complex numbers; functrans refuses them with a TypeError.
REAL_ONLY = ["arctan2", "atan2", "logaddexp", "logaddexp2"]
DTYPES = ["float32", "bfloat16", "float16", "complex64", "int32", "int8", "uint8", "uint32", "bool"]


def of(module: Any, names: list[str]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def sample(dtype: str, shape: tuple[int, ...], seed: int = 0, low: float = -3.0, high: float = 3.0) -> Any:
    """Values of a dtype, away from the integers of most functions' kinks, NumPy array."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if dtype.startswith("complex"):
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if dtype.startswith("uint"):
        return rng.integers(0, 7, shape).astype(dtype)
    if dtype.startswith("int"):
        return rng.integers(-5, 6, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(jnp.dtype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_unary_functions_agree_with_jax_for_each_dtype(dtype: str) -> None:
    names = [n for n in UNARY if (n, dtype) != ("round", "bool")]  # JAX has no rounding of bools
    assert_cases_agree(of(fnp, names), of(jnp, names), sample(dtype, (7,)))


@pytest.mark.parametrize("number", [1.5, 2, True, 0.5 + 1j], ids=repr)
def test_unary_functions_of_a_weak_scalar_agree_with_jax(number: Any) -> None:
    names = [n for n in UNARY if (n, type(number)) != ("round", bool)]
    assert_cases_agree(of(fnp, names), of(jnp, names), number)


def test_unary_functions_agree_with_jax_at_special_values() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 2.5, 1e30, 1e-30], np.float32)
    assert_cases_agree(of(fnp, UNARY), {**of(jnp, UNARY), "sinc": _sinc_of_jax}, special)


def _sinc_of_jax(x: Any) -> Any:
    """0 at infinity in every version: before jax 0.11 it is NaN there."""
    return jnp.sinc(x) if JAX >= (0, 11) else jnp.where(jnp.isinf(x), 0, jnp.sinc(x))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3, 2)], ids=str)
def test_unary_functions_keep_every_shape(shape: tuple[int, ...]) -> None:
    assert_cases_agree(of(fnp, UNARY), of(jnp, UNARY), sample("float32", shape))


def binary_names(*operands: Any) -> list[str]:
    """The functions to compare: without those for real numbers where one operand is complex, and without fmod of bools,
    which JAX lets divide by zero."""
    dtypes = [np.asarray(x).dtype for x in operands]
    names = [n for n in BINARY if not any(d.kind == "c" for d in dtypes) or n not in REAL_ONLY]
    return [n for n in names if n != "fmod" or not all(d == np.bool_ for d in dtypes)]


@pytest.mark.parametrize("first", DTYPES)
def test_binary_functions_promote_as_jax_does(first: str) -> None:
    for second in DTYPES:
        x, y = sample(first, (2,)), sample(second, (2,), seed=1)
        names = binary_names(x, y)
        assert_types_agree(of(fnp, names), of(jnp, names), x, y)


@pytest.mark.parametrize(
    "pair",
    [(d, d) for d in DTYPES] + [("int8", "float32"), ("bfloat16", "int32"), ("uint8", "int8"), ("bool", "complex64")],
    ids="-".join,
)
def test_values_of_binary_functions_agree_with_jax(pair: tuple[str, str]) -> None:
    x, y = sample(pair[0], (7,)), sample(pair[1], (7,), seed=1)
    names = binary_names(x, y)
    assert_cases_agree(of(fnp, names), of(jnp, names), x, y)


@pytest.mark.parametrize("number", [2.5, 3, True, 1 + 2j], ids=repr)
def test_binary_functions_with_a_python_number_agree_with_jax(number: Any) -> None:
    def cases(module: Any, names: list[str]) -> dict[str, Any]:
        functions = of(module, names)
        right = {f"{n}(x, c)": lambda x, f=f: f(x, number) for n, f in functions.items()}
        return right | {f"{n}(c, x)": lambda x, f=f: f(number, x) for n, f in functions.items()}

    for dtype in DTYPES:
        x = sample(dtype, (5,))
        names = binary_names(x, number)
        assert_types_agree(cases(fnp, names), cases(jnp, names), x)
        if dtype in ("float32", "int32", "bool"):
            assert_cases_agree(cases(fnp, names), cases(jnp, names), x)


@pytest.mark.parametrize(
    "pair", [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((4, 1, 2), (3, 1)), ((0, 3), (1, 3))], ids=str
)
def test_binary_functions_broadcast_as_jax_does(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    assert_cases_agree(of(fnp, BINARY), of(jnp, BINARY), sample("float32", pair[0]), sample("float32", pair[1], seed=1))


def test_binary_functions_agree_with_jax_at_special_values() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.0, 2.5], np.float32)
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    # power(x, y) of these is XLA's, on both sides; hypot, heaviside and the remainders are compositions of ours
    assert_cases_agree(of(fnp, BINARY), of(jnp, BINARY), x, y)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_tangents_of_unary_functions_agree_with_jax(dtype: str) -> None:
    x, t = sample(dtype, (9,), low=0.05, high=0.9), sample(dtype, (9,), seed=2)
    # The derivative of sign of a complex number is not zero, which JAX says it is.
    names = [n for n in SMOOTH_UNARY if dtype == "float32" or n not in ("floor", "ceil", "trunc", "round", "sign")]
    assert_cases_agree(jvp_of(of(fnp, names), ft.jvp), jvp_of(of(jnp, names), jax.jvp), x, t, operations=256)


@pytest.mark.parametrize("argnum", [0, 1])
def test_tangents_of_binary_functions_agree_with_jax_at_ties_too(argnum: int) -> None:
    x, y, t = sample("float32", (9,), low=0.1), sample("float32", (9,), seed=1), sample("float32", (9,), seed=2)
    y[:3] = x[:3]  # ties of maximum, minimum; integer quotients
    ours, theirs = jvp_of(of(fnp, SMOOTH_BINARY), ft.jvp, argnum), jvp_of(of(jnp, SMOOTH_BINARY), jax.jvp, argnum)
    assert_cases_agree(ours, theirs, x, y, t, operations=512)


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2", "hypot", "sinc"])
def test_second_derivatives_are_those_of_the_smooth_function(name: str) -> None:
    if name == "sinc":
        for x in (0.0, 1e-30, 1e-8, 1e-3):
            near_zero = -(np.pi**2) / 3 + np.pi**4 * x * x / 10
            assert ft.grad(ft.grad(fnp.sinc))(x) == pytest.approx(near_zero, rel=1e-6)
        assert ft.grad(ft.grad(ft.grad(ft.grad(fnp.sinc))))(0.0) == pytest.approx(np.pi**4 / 5, rel=1e-6)
        return
    for x, y in ((1.0, 1.0), (-1.0, 1.0), (0.3, 2.0), (0.0, 2.0), (3.0, 0.5)):
        ours = ft.grad(ft.grad(getattr(fnp, name)))(x, y)
        # hypot by its formula: at equal operands, and at a zero, JAX before 0.12 has 0 where this is smooth
        theirs = y**2 / np.hypot(x, y) ** 3 if name == "hypot" else float(jax.grad(jax.grad(getattr(jnp, name)))(x, y))
        assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, 2.0], ids=repr)
def test_power_of_a_static_exponent_agrees_with_jax_in_value_and_both_derivatives(exponent: Any) -> None:
    x, t = np.array([-1.5, 0.0, 0.5, 2.0], np.float32), np.ones(4, np.float32)
    value = {"power": lambda x: x**exponent}
    assert_cases_agree(value, value, x)
    first, first_of_jax = jvp_of(value, ft.jvp), jvp_of(value, jax.jvp)
    assert_cases_agree(first, first_of_jax, x, t)


def test_power_refuses_a_negative_static_exponent_of_integers() -> None:
    with pytest.raises(TypeError, match=r"integers of dtype int32 cannot be raised to the negative power -2; convert"):
        ft.jit(lambda n: n**-2)(np.arange(3))


def test_power_of_a_traced_integer_exponent_is_differentiable_at_zero() -> None:
    ours = ft.jit(ft.grad(lambda x, n: x**n))(0.0, 1)
    assert ours == jax.jit(jax.grad(lambda x, n: x**n))(0.0, 1) == 1.0


@pytest.mark.parametrize("name", ["add", "maximum", "arctan2", "where"])
def test_shapes_that_do_not_broadcast_are_named(name: str) -> None:
    x, y = np.ones((2, 3), np.float32), np.ones((4,), np.float32)
    call = (lambda: fnp.where(x > 0, x, y)) if name == "where" else (lambda: getattr(fnp, name)(x, y))
    with pytest.raises(
        ValueError,
        match=rf"{name}: shapes \(2, 3\) and \(4,\) cannot be broadcast together: .* axis -1 has sizes 3 and 4",
    ):
        call()


def test_a_list_is_refused_with_the_way_to_make_it_an_array() -> None:
    with pytest.raises(
        TypeError, match=r"sin: an array or a number is needed, got \[1.0, 2.0\] of type list. Make it an array"
    ):
        fnp.sin([1.0, 2.0])


def test_a_python_number_costs_no_equation_of_its_own() -> None:
    program = ft.make_jaxpr(lambda x: fnp.maximum(2.0 * x + 1, 0) / 3 - x**2)(np.ones(3, np.float32))
    assert len(program.equations) == 6  # mul, add, max, div, mul, sub


@pytest.mark.parametrize("function", [
    lambda m, a, b: m.where(True, a, b), lambda m, a, b: m.where(False, a, b), lambda m, a, b: m.copysign(a, b),
    lambda m, a, b: m.add(a, b),
])  # fmt: skip
def test_a_result_is_weak_only_where_all_operands_are(function: Any) -> None:
    operands = [0.5, jnp.asarray(0.5), np.float32(0.5), np.float32([1.0, 2.0]), jnp.asarray(2), np.int32([1, 2])]
    for a, b in itertools.product(operands, repeat=2):
        expected = jax.eval_shape(lambda a=a, b=b: function(jnp, a, b))
        for found in (function(fnp, a, b), ft.jit(functools.partial(function, fnp))(a, b)):
            assert (found.dtype, found.weak_type) == (expected.dtype, expected.weak_type), (a, b)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_square_of_a_complex_number_keeps_the_digits_of_its_real_part(dtype: str) -> None:
    with jax.enable_x64(dtype == "complex128"):
        parts = np.array([1 / 3, np.nextafter(np.float32(1 / 3), 1, dtype=np.float32), -1 / 3, 7, 1e-12, 1e12])
        z = (parts[:, None] + 1j * parts).astype(dtype)
        a, b = z.real.astype(np.longdouble), z.imag.astype(np.longdouble)
        for found in (fnp.square(z), ft.jit(fnp.square)(z), lax.square(z)):
            np.testing.assert_allclose(np.real(found), (a - b) * (a + b), rtol=4 * np.finfo(dtype).eps)
            np.testing.assert_allclose(np.imag(found), 2 * a * b, rtol=4 * np.finfo(dtype).eps)


def test_isscalar_of_what_becomes_an_array() -> None:
    class Held:
        def __init__(self, value: Any) -> None:
            self.value = jnp.asarray(value)

        def __jax_array__(self) -> Any:
            return self.value

    assert [fnp.isscalar(Held(x)) for x in (1, [1])] == [jnp.isscalar(Held(x)) for x in (1, [1])] == [True, False]
