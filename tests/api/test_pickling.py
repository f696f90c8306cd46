"""What goes to other processes: public functions by name, functions that were made by transforms by value."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp


@pytest.mark.parametrize(
    "module", "numpy numpy.fft numpy.linalg lax lax.linalg nn random scipy.special scipy.linalg".split()
)
def test_public_functions_are_pickled_by_name(module: str) -> None:
    home = importlib.import_module(f"functrans.{module}")
    functions = [x for n in home.__all__ if callable(x := getattr(home, n)) and not isinstance(x, type)]
    assert len(functions) > 10
    for function in functions:
        assert pickle.loads(pickle.dumps(function)) is function


def ruled(kind: Any, *rules: Callable[..., Any]) -> Any:
    function = kind(lambda x: x**2)
    (function.defjvp if kind is ft.custom_jvp else function.defvjp)(*rules)
    return function


MADE: dict[str, Callable[[], Any]] = {
    "jit": lambda: ft.jit(lambda x: x * 2),
    "static": lambda: ft.jit(lambda x, n=3: x * n, static_argnames="n"),
    "donating": lambda: ft.jit(lambda x: x + 1, donate_argnums=0),
    "jit of jit": lambda: ft.jit(lambda x: ft.jit(fnp.sin)(x) * 2),
    "grad": lambda: ft.grad(lambda x: x**3),
    "jit of grad": lambda: ft.jit(ft.grad(lambda x: x**3)),
    "hessian": lambda: ft.jit(ft.hessian(lambda x: x**3)),
    "vmap": lambda: ft.vmap(lambda x: x * 2, axis_size=1, in_axes=None),
    "checkpoint": lambda: ft.grad(ft.checkpoint(lambda x: fnp.sin(x))),
    "custom_jvp": lambda: ft.grad(ruled(ft.custom_jvp, lambda p, t: (p[0] ** 2, 3 * t[0]))),
    "custom_vjp": lambda: ft.grad(ruled(ft.custom_vjp, lambda x: (x**2, x), lambda r, g: (5 * g,))),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("called", [False, True])
def test_functions_that_transforms_made_go_through_cloudpickle(name: str, called: bool) -> None:
    function, x = MADE[name](), np.float32(2)
    if called:
        function(x)
    sent = pickle.loads(cloudpickle.dumps(function))
    for value in (x, np.float32(0.5)):
        np.testing.assert_array_equal(sent(value), function(value))


def test_a_jitted_function_that_was_sent_is_one() -> None:
    sent = pickle.loads(cloudpickle.dumps(ft.jit(lambda x: x * 2.0)))
    assert sent(np.float32([1, 2])).tolist() == [2.0, 4.0]
    assert ft.grad(sent)(1.0) == 2.0
