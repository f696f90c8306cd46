"""Numbers of 64 bits, in every spelling: the same value as JAX has, or an error of the same kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
from functrans import numpy as fnp
from tests.turns import covering_share

WIDE = 2**40 + 3

VALUES: dict[str, Callable[[], Any]] = {
    "a Python integer of 41 bits": lambda: WIDE,
    "a Python integer below -2**31": lambda: -(2**31) - 1,
    "a Python integer of 32 bits": lambda: 2**32 - 1,
    "a Python integer of 71 bits": lambda: 2**70,
    "the largest int32": lambda: 2**31 - 1,
    "np.int64": lambda: np.int64(WIDE),
    "np.uint64": lambda: np.uint64(2**63 + 5),
    "an array of int64": lambda: np.array([WIDE]),
    "an array of uint64": lambda: np.array([2**63 + 5], np.uint64),
    "an array of rank 0": lambda: np.array(WIDE),
    "np.float64": lambda: np.float64(0.1),
    "an array of float64": lambda: np.array([0.1, 2.0]),
    "an array of complex128": lambda: np.array([0.1j]),
    "np.bool": lambda: np.bool_(True),
    "np.float16": lambda: np.float16(1.5),
    "an array of bfloat16": lambda: np.ones(2, ml_dtypes.bfloat16),
    "an array with a negative stride": lambda: np.arange(10.0)[::-2],
    "a matrix": lambda: np.matrix([[1.0, 2.0]]),
    "an array that repeats one number": lambda: np.broadcast_to(np.float64(0.1), (3,)),
    "an array of the other byte order": lambda: np.array([1, 2], np.dtype(np.int32).newbyteorder()),
    "a structured array": lambda: np.zeros(2, [("a", "f4")]),
    "an array of objects": lambda: np.array([None]),
    "an array of dates": lambda: np.array(["2020-01-01"], "M8[D]"),
    "an array of np.longdouble": lambda: np.array([1.0], np.longdouble),
    "a masked array": lambda: np.ma.array([1.0, 2.0], mask=[False, True]),
}

one = np.ones((), np.int32)
two = np.float32(2.0)


def _loop(lax: Any, v: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] * 1), (0, v))[1]


SPELLINGS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "asarray": lambda f, m, v: m.asarray(v),
    "argument of jit": lambda f, m, v: f.jit(lambda a: a * 1)(v),
    "captured by jit": lambda f, m, v: f.jit(lambda: m.asarray(v))(),
    "factor under jit": lambda f, m, v: f.jit(lambda y: y * v)(one),
    "floating factor under jit": lambda f, m, v: f.jit(lambda y: y * v)(two),
    "factor": lambda f, m, v: m.asarray(one) * v,
    "floating factor": lambda f, m, v: m.asarray(two) * v,
    "argument of vmap": lambda f, m, v: f.vmap(lambda a, b: a * b, (None, 0))(v, np.ones(2, np.int32)),
    "captured by grad": lambda f, m, v: f.grad(lambda x: m.sum(x * v).real)(two),
    "other argument of grad": lambda f, m, v: f.grad(lambda x, a: m.sum(x * a).real)(two, v),
    "captured by jvp": lambda f, m, v: f.jvp(lambda x: x * v, (two,), (two,)),
    "captured by vjp": lambda f, m, v: f.vjp(lambda x: m.sum(x * v).real, two)[0],
    "captured by linearize": lambda f, m, v: f.linearize(lambda x: x * v, two)[1](two),
    "captured by checkpoint": lambda f, m, v: f.jit(f.checkpoint(lambda y: y * v))(one),
    "carry of scan": lambda f, m, v: f.lax.scan(lambda c, _: (c * 1, None), v, None, length=2)[0],
    "captured by scan": lambda f, m, v: f.lax.scan(lambda c, _: (c, m.asarray(v)), one, None, length=2)[1],
    "carry of fori_loop": lambda f, m, v: f.lax.fori_loop(0, 2, lambda i, c: c * 1, v),
    "carry of while_loop": lambda f, m, v: _loop(f.lax, v),
    "operand of cond": lambda f, m, v: f.lax.cond(True, lambda a: a * 1, lambda a: a * 1, v),
    "alternative of where": lambda f, m, v: f.jit(lambda p: m.where(p, v, v))(True),
    "returned by jit": lambda f, m, v: f.jit(lambda: v)(),
    "compared under jit": lambda f, m, v: f.jit(lambda a: (a * v) == (v * a))(one),
    "stored under jit": lambda f, m, v: f.jit(lambda a: a.at[0].set(m.ravel(m.asarray(v))[0].real))(
        np.zeros(2, np.float32)
    ),
}
ERRORS = (OverflowError, TypeError, ValueError)


def _result(function: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            leaves = jax.tree_util.tree_leaves(function())
        except ERRORS as error:
            return next(kind for kind in ERRORS if isinstance(error, kind))
    # A comparison of weak numbers is a weak bool in JAX, which means nothing.
    return [(x.dtype, x.weak_type and x.dtype != bool, np.asarray(x).tolist()) for x in map(jnp.asarray, leaves)]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("wide", [False, True], ids=["x64 off", "x64 on"])
def test_a_number_means_the_same_in_every_spelling(spelling: str, wide: bool) -> None:
    evaluate = SPELLINGS[spelling]
    differing = {}
    offset = 2 * list(SPELLINGS).index(spelling) + wide  # each with other values: all values in every run
    with jax.enable_x64(wide):
        for name, make in covering_share(list(VALUES.items()), 3, offset=offset):
            expected = _result(lambda make=make: evaluate(jax, jnp, make()))
            found = _result(lambda make=make: evaluate(ft, fnp, make()))
            if found != expected:
                differing[name] = (found, expected)
    assert not differing


@pytest.mark.parametrize("call", [lambda f, x: ft.grad(f)(x), lambda f, x: ft.jit(f)(x), lambda f, x: ft.vjp(f, x)])
def test_a_dtype_that_cannot_be_computed_with_is_named(call: Callable[..., Any]) -> None:
    total = fnp.sum
    with pytest.raises(TypeError, match=r"dtype (float128|longdouble)"):
        call(total, np.array([1.0], np.longdouble))


def test_another_byte_order_is_refused_with_the_fix() -> None:
    swapped = np.array([1.0], np.dtype(np.float32).newbyteorder())
    with pytest.raises(TypeError, match=r"byte order.*\n.*astype\('float32'\)"):
        ft.grad(fnp.sum)(swapped)
    assert ft.grad(fnp.sum)(swapped.astype("float32")).tolist() == [1.0]


def test_a_mask_is_never_dropped() -> None:
    masked = np.ma.array(np.ones(2, np.float32), mask=[False, True])
    for call in (
        lambda: fnp.sum(masked),
        lambda: fnp.asarray(masked),
        lambda: ft.grad(fnp.sum)(masked),
        lambda: ft.jit(lambda y: y * masked)(two),
        lambda: ft.vmap(lambda a: a)(masked),
        lambda: ft.lax.scan(lambda c, x: (c, x), 0.0, masked),
        lambda: ft.jit(lambda: masked)(),
        lambda: ft.vmap(lambda x: masked)(np.ones(2)),
        lambda: ft.jvp(lambda x: masked, (1.0,), (1.0,)),
        lambda: ft.lax.cond(True, lambda: masked, lambda: masked),
        lambda: ft.lax.scan(lambda c, _: (c, masked), 0.0, None, length=2),
    ):
        with pytest.raises(ValueError, match="mask"):
            call()


def test_numpy_data_is_converted_where_it_enters_a_transform() -> None:
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaled = ft.jit(lambda y: y * ft.grad(fnp.max)(np.array([1.0, 2.0])))(1.0)
        assert scaled.tolist() == [0.0, 1.0]
        seen = []
        ft.grad(lambda x: seen.append(np.asarray(ft.lax.stop_gradient(x)).dtype) or fnp.sum(x))(np.ones(2))
        assert seen == [np.float32]


def test_an_array_captured_many_times_is_one_input() -> None:
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = np.arange(3.0)

        def f(x: Any) -> Any:
            for _ in range(4):
                x = ft.lax.mul(x, data)
            return x

        assert len(ft.make_jaxpr(f)(np.ones(3, np.float32)).inputs) == 2


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "uint32"])
def test_a_number_beyond_a_narrow_dtype_is_that_of_jax(dtype: str) -> None:
    x = np.array([1, 100], dtype)
    functions: dict[str, Callable[[Any, Any, int], Any]] = {
        "+": lambda m, a, n: a + n, "r-": lambda m, a, n: n - a, "*": lambda m, a, n: a * n,
        ">": lambda m, a, n: a > n, "<=": lambda m, a, n: a <= n, "==": lambda m, a, n: a == n,
        "&": lambda m, a, n: a & n, "add": lambda m, a, n: m.add(a, n), "greater": lambda m, a, n: m.greater(a, n),
        "maximum": lambda m, a, n: m.maximum(a, n), "where": lambda m, a, n: m.where(a > 5, a, n),
    }  # fmt: skip
    for number in (-200, -128, -2, -1, 127, 128, 200, 300):
        for name, f in functions.items():
            expected = _result(lambda f=f, n=number: jax.jit(lambda a: f(jnp, a, n))(x))
            found = _result(lambda f=f, n=number: ft.jit(lambda a: f(fnp, a, n))(x))
            assert found == expected, (name, number)


@pytest.mark.parametrize("constant", [np.arange(2), np.array([1.5, 2.0]), np.array([1j, 2.0])], ids=str)
def test_a_constant_of_a_trace_keeps_the_dtype_that_it_had_there(constant: np.ndarray[Any, Any]) -> None:
    """It was given to the program in the dtype that it has where the program is called."""

    def function(x: Any) -> Any:
        with jax.enable_x64(True):
            return x + constant

    with jax.enable_x64(False):
        for transformed in (ft.jit(function), ft.jit(ft.jit(function)), ft.jit(ft.vmap(ft.jit(function)))):
            found = transformed(np.ones((2, 2), np.int32))
            assert found.dtype == constant.dtype
            np.testing.assert_array_equal(found, [1 + constant] * 2)


@pytest.mark.parametrize("number", [2, 2.5, 0.0, 2j], ids=repr)
@pytest.mark.parametrize("argument", [3, 3.0, 3j, np.int32(3), np.float32(3)], ids=repr)
def test_a_number_beside_a_weak_value_of_the_other_setting(argument: Any, number: Any) -> None:
    """The function itself switches 64 bits on: its numbers are wide, its argument is not."""
    functions: list[Callable[[Any, Any], Any]] = [
        lambda m, a: number + a, lambda m, a: a * number, lambda m, a: a == number, lambda m, a: m.add(number, a),
        lambda m, a: m.asarray(number) + a, lambda m, a: m.multiply(a, number), lambda m, a: m.maximum(m.real(a), 2.5),
        lambda m, a: m.where(a == 3, a, number), lambda m, a: m.stack([m.asarray(number), a]), lambda m, a: number / a,
    ]  # fmt: skip

    def switched(m: Any, function: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        def result(a: Any) -> Any:
            with jax.enable_x64(True):
                return function(m, a)

        return result

    with jax.enable_x64(False):
        for i, function in enumerate(functions):
            expected = jax.jit(switched(jnp, function))(argument)
            found = ft.jit(switched(fnp, function))(argument)
            assert found.dtype == expected.dtype, i
            assert found.dtype == np.bool_ or found.aval.weak_type == expected.aval.weak_type, i
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=str(i))


def test_complex_values_written_into_real_places_are_cut_alike_by_an_array_and_in_a_trace() -> None:
    """Python's complex number was refused in a trace and cut by an array, whose method is JAX's."""
    write = lambda x: x.at[1].set(1 + 2j)
    for update in (write, ft.jit(write), lambda x: ft.vmap(write)(x[None])[0]):
        with (
            pytest.warns(FutureWarning, match="values of dtype c64 do not fit|cannot safely cast value"),
            pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"),
        ):
            np.testing.assert_array_equal(update(fnp.zeros(3)), [0, 1, 0])


def test_a_complex_number_is_no_real_one() -> None:
    """Its imaginary part was lost without a word."""
    like = np.ones(2, np.float32)
    for made in (
        lambda v: ft.lax.full((2,), v, np.float32), lambda v: ft.lax.full_like(like, v),
        lambda v: fnp.full((2,), v, np.float32), lambda v: fnp.full_like(like, v), lambda v: fnp.array(v, np.float32),
        lambda v: ft.lax.convert_element_type(v, np.float32),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"the complex number \(1\+2j\) does not fit into f32"):
            made(1 + 2j)
        for value in (np.complex64(1 + 2j), fnp.asarray(np.complex64(1 + 2j))):
            with pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"):
                real = made(value)
            np.testing.assert_array_equal(real, np.ones(real.shape))


def test_complex_squares_and_sinc_at_the_ends_of_the_range() -> None:
    x = np.complex64([1e30 + 1e30j, 1e19 + 2e19j, 1e20j, 1e-30 + 1e-30j, complex(np.inf, 1), 3 - 4j])
    np.testing.assert_allclose(fnp.square(x), jnp.square(x), rtol=3e-7)
    y = np.complex64([28j, 28.5j, 0.5 + 28.3j, 1e-3j, 3.25 - 2j])
    np.testing.assert_allclose(fnp.sinc(y), np.sinc(y.astype(np.complex128)), rtol=1e-5)  # 100 * eps * |pi y|
