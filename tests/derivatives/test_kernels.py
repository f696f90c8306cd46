"""A high derivative of an elementwise function is few kernels: no coefficient has a division or exponential of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from tests.counts.measure import kernels

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.machine_code]
ORDER = 8
MORE = {"power": 3}  # whether the base is 0, the reciprocal of what is not, and the rest; others are one
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": fnp.exp, "log": fnp.log, "sqrt": fnp.sqrt, "sin": fnp.sin, "tanh": fnp.tanh, "arctan": fnp.arctan,
    "erf": lax.erf, "sigmoid": nn.sigmoid, "power": lambda x: x**2.5, "reciprocal": lambda x: 1 / (1 + x * x),
    "product": lambda x: fnp.tanh(x) * fnp.sin(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_eighth_coefficient_is_few_kernels(name: str) -> None:
    def coefficient(x: Any) -> Any:
        return ft.taylor(FUNCTIONS[name], (x,), ([fnp.ones_like(x), *[None] * (ORDER - 1)],))[1][-1]

    assert kernels(ft.jit(coefficient).lower(np.full(1000, 0.7)).compile().as_text()) == MORE.get(name, 1)
