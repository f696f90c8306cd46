"""Values, first and second derivatives of every elementwise function are right to a few units in the last place.

The error of a derivative is measured in the unit that a rounding of the argument, or of the result, makes of it:
ulp(f') + eps |x f''| for the first, ulp(f'') + eps |x f'''| for the second. Four of them are allowed at the first order
(and for a value that is our own composition), sixteen at the second; twice the error of the value, or of another
function of XLA that it is made of, where that is worse. Subnormal numbers are left out.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from mpmath import mp

import functrans as ft
import functrans.numpy as fnp
from functrans import nn
from functrans.scipy import special, stats
from tests.oracle import elementwise_table, series
from tests.oracle.elementwise_table import grid
from tests.oracle.special_table import MEASURED, SPECIAL_ROWS
from tests.turns import covering_share

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.machine_code]
ROWS = {**elementwise_table.ROWS, **SPECIAL_ROWS}
STILL_EXCEEDING = {**elementwise_table.STILL_EXCEEDING, **MEASURED}
ALLOWED = (4, 4, 16)  # units, by the order of the derivative
DTYPES: dict[str, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}


@functools.cache
def found(name: str, dtype: str) -> tuple[Any, list[Any]]:
    """The points, and there the function with its derivatives."""
    function = ROWS[name].function

    def first(x: Any) -> Any:
        return ft.grad(lambda x: fnp.sum(function(x)))(x)

    def second(x: Any) -> Any:
        return ft.grad(lambda x: fnp.sum(first(x)))(x)

    x = grid(ROWS[name].intervals, DTYPES[dtype])
    return x, [np.asarray(y) for y in ft.jit(lambda x: [function(x), first(x), second(x)])(x)]


@functools.cache
def errors(name: str, dtype: str) -> tuple[tuple[float, str], ...]:
    """For each order the largest error in its units, and where it is."""
    limits: Any = ml_dtypes.finfo(DTYPES[dtype])
    eps, tiny, largest = float(limits.eps), float(limits.tiny), float(limits.max)
    x, results = found(name, dtype)
    worst = [(0.0, "")] * len(results)
    with mp.workdps(series.DIGITS):
        for i, at in enumerate(x):
            exact = ROWS[name].precise(series.variable(float(at))).derivatives()
            if 0 < abs(exact[0]) < tiny:
                continue
            for order, result in enumerate(results):
                wanted, value = exact[order], float(result[i])
                if not tiny <= abs(wanted) <= largest:
                    continue
                ulp = eps * 2.0 ** math.floor(mp.log(abs(wanted), 2))
                unit = ulp + eps * abs(float(at) * exact[order + 1])
                error = float(abs(value - wanted) / unit) if np.isfinite(value) else np.inf
                if error > worst[order][0]:
                    worst[order] = error, f"at {at!r} it is {value!r}, exactly {mp.nstr(wanted, 20)}"
    return tuple(worst)


def allowed(name: str, dtype: str) -> list[float]:
    """How many units, by the order of the derivative."""
    row, out = ROWS[name], list(map(float, ALLOWED))
    made_of = [errors(other, dtype)[0][0] for other in row.made_of]
    if not row.composition:
        made_of.append(errors(name, dtype)[0][0])
        out[0] = np.inf
    for order, units in enumerate(out):
        out[order] = max([units, *[2 * error for error in made_of if error > units]])
    return out


WHOLE, HALF = ["float32", "float64"], ["float16", "bfloat16"]
CASES = [
    (name, dtype)
    for name, row in elementwise_table.ROWS.items()
    for dtype in (*WHOLE, *(HALF if row.half else ()))
]
CASES += covering_share([(name, dtype) for name in SPECIAL_ROWS for dtype in WHOLE], 16)  # large programs


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_derivatives_are_right_to_the_last_digits(name: str, dtype: str) -> None:
    limits, complaints = allowed(name, dtype), []
    for order, ((error, where), most) in enumerate(zip(errors(name, dtype), limits, strict=True)):
        most = STILL_EXCEEDING.get((name, dtype, order), most)
        if error > most:
            complaints.append(f"order {order}: {error:.3g} units, allowed {most:.3g}: {where}")
    assert not complaints, f"{name} in {dtype}: " + "\n".join(complaints)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["tanh", "logistic", "softplus", "arctan", "expm1"])
def test_half_precision_is_computed_in_single(name: str, dtype: str) -> None:
    table: dict[str, Any] = {"softplus": nn.softplus, "logistic": nn.sigmoid}
    function = table.get(name) or getattr(fnp, name)
    x = np.linspace(-7, 7, 29).astype(np.dtype(dtype))
    slope = ft.grad(lambda x: fnp.sum(function(x)))
    half, single = np.asarray(slope(x)), np.asarray(slope(x.astype(np.float32)))
    eps = float(ml_dtypes.finfo(x.dtype).eps)
    np.testing.assert_allclose(
        half.astype(np.float32), single, rtol=8 * eps, atol=4 * float(ml_dtypes.finfo(x.dtype).tiny)
    )


def test_the_weights_of_logaddexp_add_to_one_at_infinities() -> None:
    inf = np.inf
    for point, weights in (
        ((inf, 0.0), (1, 0)),
        ((inf, inf), (0.5, 0.5)),
        ((inf, -inf), (1, 0)),
        ((-inf, 1.0), (0, 1)),
    ):
        assert ft.grad(fnp.logaddexp, (0, 1))(*point) == weights, point
        assert not np.asarray(ft.hessian(fnp.logaddexp, (0, 1))(*point)).any(), point


@pytest.mark.parametrize("f", [special.xlogy, lambda x, y: special.xlog1py(x, y - 1)], ids=["xlogy", "xlog1py"])
def test_a_weight_of_zero_has_derivatives_where_the_logarithm_is_infinite(f: Any) -> None:
    assert ft.grad(f, (0, 1))(0.0, 0.0) == (-np.inf, 0.0)
    assert [float(t) for t in ft.jvp(f, (0.0, 0.0), (0.0, 1.0))] == [0.0, 0.0]
    np.testing.assert_array_equal(ft.hessian(f, (0, 1))(0.0, 0.0), [[0.0, np.inf], [np.inf, 0.0]])
    np.testing.assert_allclose(ft.hessian(f, (0, 1))(0.0, 2.0), [[0.0, 0.5], [0.5, 0.0]])


def test_a_density_has_derivatives_at_the_end_of_its_support() -> None:
    found = np.asarray(ft.hessian(stats.gamma.logpdf, (0, 1))(0.0, 1.0))
    np.testing.assert_allclose(found, [[0.0, np.inf], [np.inf, -(np.pi**2) / 6]], rtol=1e-14)


def test_powers_have_a_symmetric_hessian_where_the_exponent_is_zero() -> None:
    log2 = float(np.log(2.0))
    np.testing.assert_allclose(
        ft.hessian(lambda x, y: x**y, (0, 1))(2.0, 0.0), [[0.0, 0.5], [0.5, log2**2]], rtol=1e-15
    )


@pytest.mark.parametrize("exponents", [np.arange(5), np.arange(5.0)], ids=["integers", "floats"])
@pytest.mark.parametrize("x", [0.0, 2.0, -1.5])
def test_powers_by_a_range_have_the_derivatives_of_a_polynomial(x: float, exponents: Any) -> None:
    derivative, polynomial = (lambda x: fnp.sum(x**exponents)), np.polynomial.Polynomial(np.ones(5))
    for order in range(5):
        np.testing.assert_allclose(derivative(x), polynomial.deriv(order)(x) if order else polynomial(x), rtol=1e-14)
        derivative = ft.grad(derivative)


@pytest.mark.parametrize("numerator", [1.0, -3.0, 0.1, 1e30, 1e-37, 0.0])
def test_the_slope_of_a_number_over_y_is_right_wherever_it_is_a_normal_number(numerator: float) -> None:
    limits = np.finfo(np.float32)
    y = (10.0 ** np.linspace(-37, 37, 149)).astype(np.float32)
    found = np.asarray(ft.jit(ft.vmap(ft.grad(lambda y: numerator / y)))(y))
    exact = -np.float64(np.float32(numerator)) / y.astype(np.float64) ** 2
    value = np.abs(np.float64(np.float32(numerator)) / y)
    normal = (np.abs(exact) > limits.tiny) & (np.abs(exact) < limits.max) & (value > limits.tiny) & (value < limits.max)
    np.testing.assert_allclose(found[normal], exact[normal], rtol=4 * limits.eps)
