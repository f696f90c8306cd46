"""What a function closes over lives as long as the function: no collection of cycles is needed to free its memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

HOST, DEVICE = np.ones(10, np.float32), jnp.ones(10)


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    yield
    if was:
        gc.enable()


def custom(f: Any) -> Any:
    g = ft.custom_vjp(f)
    g.defvjp(lambda x: (f(x), x), lambda r, c: (c,))
    return ft.jit(ft.jacrev(g))


def compiled(f: Any) -> Any:
    return lambda *args: ft.jit(f).lower(*args).compile()(*args)


CASES: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "jit": (ft.jit, (DEVICE,)),
    "jit of NumPy": (ft.jit, (HOST,)),
    "jit of both": (ft.jit, (HOST, DEVICE)),
    "static numbers": (lambda f: ft.jit(f, static_argnums=0), (3, DEVICE)),
    "static names": (lambda f: ft.jit(lambda x, n: f(x), static_argnames="n"), (DEVICE, 2)),
    "donated": (lambda f: ft.jit(f, donate_argnums=1), (2.0, HOST)),
    "jit of jit": (lambda f: ft.jit(ft.jit(f)), (DEVICE,)),
    "refused arguments": (ft.jit, ("no",)),
    "an error in the function": (lambda f: ft.jit(lambda x: f(x).nothing), (DEVICE,)),
    "grad": (lambda f: ft.grad(lambda x: fnp.sum(f(x))), (DEVICE,)),
    "an error under grad": (lambda f: ft.grad(lambda x: f(x).nothing), (DEVICE,)),
    "grad, compiled": (lambda f: ft.jit(ft.grad(lambda x: fnp.sum(f(x)))), (DEVICE,)),
    "vmap": (lambda f: ft.vmap(f), (DEVICE,)),
    "jacobian": (lambda f: ft.jacobian(lambda x: f(x) ** 3), (DEVICE,)),
    "scan": (lambda f: ft.jit(lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=3)[0]), (DEVICE,)),
    "checkpoint": (lambda f: ft.jit(ft.checkpoint(f)), (DEVICE,)),
    "a custom rule": (custom, (DEVICE,)),
    "a compiled stage": (compiled, (DEVICE,)),
    "vjp": (lambda f: lambda x: ft.vjp(f, x)[1](x), (DEVICE,)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_closed_over_is_freed_with_the_function(case: str) -> None:
    make, args = CASES[case]
    array = jnp.ones(10)
    f = (lambda held: lambda *xs: held + sum(xs))(array)
    g = make(f)
    alive = weakref.ref(array)
    del array
    for _ in range(3):
        try:
            g(*args)
        except (TypeError, AttributeError):
            assert "error" in case or "refused" in case
    del f
    assert alive() is not None
    if "error" not in case and "refused" not in case:
        g(*args)
    del g
    assert alive() is None


def test_the_methods_of_a_function_that_is_gone() -> None:
    lower, forget = (lambda g: (g.lower, g.clear_cache))(ft.jit(lambda x: x * 2.0))
    assert float(lower(1.0).compile()(3.0)) == 6.0
    forget()
    assert float(ft.jit(lambda x: x * 2.0)(HOST)[0]) == 2.0  # called by nobody who keeps it
