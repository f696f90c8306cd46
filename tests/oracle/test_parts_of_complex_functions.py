"""Functions of complex numbers: each part is right, however small it is beside the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import functrans.numpy as fnp

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": lambda z: mpmath.log(1 + z),
    "sqrt": mpmath.sqrt,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh,
}
SMALL = 1e-20
POINTS = [0.5 + 1j * SMALL, SMALL + 0.5j, SMALL * (1 + 1j), 0.5 - 1e-9j, 1e-9 + 2j, 2 + 3j, -0.7 + 0.1j, 30 + 1e-8j]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_parts_are_right(name: str) -> None:
    found = np.asarray(getattr(fnp, name)(np.array(POINTS)))
    with mpmath.workdps(40):
        for point, z in zip(POINTS, found, strict=True):
            exact = FUNCTIONS[name](mpmath.mpc(point))
            for part, wanted in ((z.real, exact.real), (z.imag, exact.imag)):
                assert abs(mpmath.mpf(float(part)) - wanted) <= 8 * np.finfo(np.float64).eps * abs(wanted), (point, z)


@pytest.mark.parametrize(("name", "point", "expected"), [
    ("sin", 800j, complex(0, np.inf)), ("cos", 800j, complex(np.inf, 0)), ("sinh", 800, complex(np.inf, 0)),
    ("cosh", 800, complex(np.inf, 0)),
])  # fmt: skip
def test_nothing_times_infinity_is_nothing(name: str, point: complex, expected: complex) -> None:
    assert complex(getattr(fnp, name)(np.complex64(point))) == expected
