"""Values, first and second derivatives of every elementwise function are right to a few units in the last place.

The error of a derivative is measured in the unit that a rounding of the argument, or of the result, makes of it:
ulp(f') + eps |x f''| for the first, ulp(f'') + eps |x f'''| for the second. Four of them are allowed at the first order
(and for a value that is our own composition), sixteen at the second; twice the error of the value, or of another
function of XLA that it is made of, where that is worse. Subnormal numbers are left out.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from mpmath import mp

import functrans as ft
import functrans.numpy as fnp
from tests.oracle import series
from tests.oracle.elementwise_table import ROWS, STILL_EXCEEDING, grid

pytestmark = pytest.mark.usefixtures("x64")
ALLOWED = (4, 4, 16)  # units, by the order of the derivative
DTYPES = {"float32": np.float32, "float64": np.float64}


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
    limits = np.finfo(DTYPES[dtype])
    x, results = found(name, dtype)
    worst = [(0.0, "")] * len(results)
    with mp.workdps(series.DIGITS):
        for i, at in enumerate(x):
            exact = ROWS[name].precise(series.variable(float(at))).derivatives()
            if 0 < abs(exact[0]) < limits.tiny:
                continue
            for order, result in enumerate(results):
                wanted, value = exact[order], float(result[i])
                if not limits.tiny <= abs(wanted) <= limits.max:
                    continue
                ulp = float(np.spacing(DTYPES[dtype](float(abs(wanted)))))
                unit = ulp + float(limits.eps) * abs(float(at) * exact[order + 1])
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_derivatives_are_right_to_the_last_digits(name: str, dtype: str) -> None:
    limits, complaints = allowed(name, dtype), []
    for order, ((error, where), most) in enumerate(zip(errors(name, dtype), limits, strict=True)):
        if error > most and (name, dtype, order) not in STILL_EXCEEDING:
            complaints.append(f"order {order}: {error:.3g} units, allowed {most:.3g}: {where}")
    assert not complaints, f"{name} in {dtype}: " + "\n".join(complaints)
