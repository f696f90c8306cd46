"""Wrong arguments of taylor, jet, derivatives and solution_coefficients, and functions that are wrong along a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.derivatives import derivatives, solution_coefficients
from functrans.errors import FunctransTypeError as WrongType
from functrans.errors import FunctransValueError as WrongValue
from functrans.errors import TracerBoolConversionError
from functrans.experimental.jet import jet
from tests.errors.refusal import refusal

vector = np.ones(3, np.float32)
either = pytest.mark.parametrize("taylor", [ft.taylor, jet])


@either
def test_what_is_no_function_is_shown(taylor: Any) -> None:
    refusal(WrongType, lambda: taylor(3, (1.0,), ([1.0],))).says(f"{taylor.__name__} needs a function", "3")  # blame


@either
def test_primals_and_series_must_be_tuples_or_lists(taylor: Any) -> None:
    name = taylor.__name__
    refusal(WrongType, lambda: taylor(fnp.sin, 1.0, ([1.0],))).says(  # blame
        f"{name}: primals must be a tuple or list", "1.0 of type float"
    )
    refusal(WrongType, lambda: taylor(fnp.sin, (1.0,), 2.0)).says(  # blame
        f"{name}: series must be a tuple or list", "2.0 of type float"
    )
    refusal(WrongType, lambda: taylor(fnp.sin, (1.0,), (2.0,))).says(  # blame
        f"{name}: series 0 must be a tuple or list of coefficients", "2.0 of type float"
    )


@either
def test_series_must_be_as_many_as_primals_and_of_one_length(taylor: Any) -> None:
    refusal(WrongType, lambda: taylor(fnp.sin, (1.0,), ([1.0], [1.0]))).says("1 primals and 2 series")  # blame
    refusal(WrongValue, lambda: taylor(fnp.add, (1.0, 2.0), ([1.0], [1.0, 0.0]))).says(  # blame
        "series 0 has 1, series 1 has 2", "None for a coefficient that is zero"
    )


def test_a_coefficient_must_have_the_tree_of_its_argument() -> None:
    refusal(WrongType, lambda: ft.taylor(lambda d: d["a"], ({"a": 1.0},), ([None, {"b": 1.0}],))).says(  # blame
        "coefficient 2", "{'a': *}", "{'b': *}"
    )


def test_a_coefficient_must_have_the_shape_and_dtype_of_its_argument() -> None:
    refusal(WrongValue, lambda: ft.taylor(fnp.sin, (vector,), ([vector, vector[:2]],))).says(  # blame
        "order-2 coefficient", "(2,)", "(3,)"
    )
    refusal(WrongType, lambda: ft.taylor(fnp.sin, (vector,), ([vector.astype(np.float16)],))).says(  # blame
        "order-1 coefficient", "f16", "f32", ".astype('float32')"
    )
    refusal(WrongType, lambda: ft.taylor(fnp.sin, (3,), ([1.0],))).says("integer", "float0")  # blame


def test_what_is_no_array_is_named() -> None:
    refusal(WrongType, lambda: ft.taylor(fnp.sin, ("a",), ([1.0],))).says("primals[0] of taylor", "'a'")  # blame
    refusal(WrongType, lambda: ft.taylor(fnp.sin, (1.0,), (["a"],))).says("order-1 coefficient", "'a'")  # blame
    refusal(WrongType, lambda: ft.taylor(lambda x: "a", (1.0,), ([1.0],))).says("returned 'a'")  # blame


@pytest.mark.parametrize("of", [lambda n: derivatives(fnp.sin, n), lambda n: solution_coefficients(fnp.sin, 1.0, n)])
def test_the_order_must_be_a_whole_number_and_not_negative(of: Any) -> None:
    refusal(WrongValue, lambda: of(-1)).says("order must be 0 or more, got -1")
    refusal(WrongType, lambda: of(1.5)).says("order must be a whole number, got 1.5 of type float")
    refusal(WrongType, lambda: of(True)).says("order must be a whole number, got True")
    refusal(WrongType, lambda: ft.jit(lambda n: of(n))(3)).says("concrete value", "traced by jit")


def test_derivatives_are_of_a_function_of_a_scalar() -> None:
    refusal(WrongType, lambda: derivatives(3, 1)).says("derivatives needs a function, got 3")  # blame
    refusal(WrongType, lambda: derivatives(fnp.sin, 2)(vector)).says("floating or complex scalar", "vmap")  # blame
    refusal(WrongType, lambda: derivatives(fnp.sin, 2)(3)).says("floating or complex scalar", "3")  # blame
    refusal(WrongType, lambda: derivatives(fnp.sin, 2)("a")).says("the argument of derivatives", "'a'")  # blame


def test_the_initial_value_and_time_are_floating() -> None:
    refusal(WrongType, lambda: solution_coefficients(3, 1.0, 1)).says("needs a function, got 3")  # blame
    refusal(WrongType, lambda: solution_coefficients(fnp.sin, 1, 2)).says("1 of type int")  # blame
    refusal(WrongType, lambda: solution_coefficients(fnp.sin, ["a"], 2)).says("initial value[0]", "'a'")  # blame
    refusal(WrongType, lambda: solution_coefficients(lambda t, x: x, 1.0, 2, 0)).says("0 of type int")  # blame
    refusal(WrongValue, lambda: solution_coefficients(lambda t, x: x, 1.0, 2, vector)).says("a scalar")  # blame


def test_the_right_hand_side_returns_what_the_initial_value_is() -> None:
    def solve(f: Any, x: Any) -> Any:
        return solution_coefficients(f, x, 3)  # blame

    def halves(x: Any) -> Any:
        return x.astype(np.float16)

    refusal(WrongType, lambda: solve(lambda s: (s[0],), (1.0, 2.0))).says("tree", "(*, *)", "(*,)")
    refusal(WrongValue, lambda: solve(fnp.sum, vector)).says("sum returned f32[]", "f32[3]")
    refusal(WrongType, lambda: solve(halves, vector)).says("halves returned f16[3]", "f32[3]")
    refusal(WrongType, lambda: solve(lambda s: "a", vector)).says("right-hand side", "'a' of type str")


def test_a_branch_on_values_under_jit_names_its_line() -> None:
    def f(x: Any) -> Any:
        return x if x > 0 else -x  # blame

    run = ft.jit(lambda x: ft.taylor(f, (x,), ([1.0],)))
    refusal(TracerBoolConversionError, lambda: run(1.0)).says("concrete value")


def test_an_operation_on_wrong_shapes_names_its_line() -> None:
    def f(x: Any) -> Any:
        return x + np.ones(4, np.float32)  # blame

    refusal((TypeError, ValueError), lambda: ft.taylor(f, (vector,), ([vector],))).says("(3,)", "(4,)")
    refusal((TypeError, ValueError), lambda: solution_coefficients(f, vector, 2)).says("(3,)", "(4,)")
