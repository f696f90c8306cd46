"""Traced values used where they mean nothing, in any mix of the libraries: an error with the user's line, no value."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)


def leaked(transform: Any) -> Any:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return (x * x).sum()

    transform(f)(X)
    return kept[0]


def leaked_from_inside(outer: Any, inner: Any) -> Any:
    """A tracer of ``inner`` is returned while the trace of ``outer`` is open, and used by ``use`` there."""

    def run(use: Callable[[Any], Any]) -> Any:
        def f(x: Any) -> Any:
            kept: list[Any] = []

            def g(y: Any) -> Any:
                kept.append(y)
                return (y * y).sum()

            inner(g)(x)
            return fnp.sum(use(kept[0]) * x)

        return outer(f)(X)

    return run


USES: dict[str, Callable[[Any], Any]] = {
    "operator": lambda t: t + 1.0,
    "operator of an array": lambda t: jnp.ones(3) * t,
    "method": lambda t: t.sum(),
    "jax.numpy": lambda t: jnp.sin(t),
    "jax.lax": lambda t: jax.lax.sin(t),
    "functrans.numpy": lambda t: fnp.sin(t),
    "argument of jax.jit": lambda t: jax.jit(lambda y: y * y)(t),
    "argument of functrans.jit": lambda t: ft.jit(lambda y: y * y)(t),
    "argument of jax.grad": lambda t: jax.grad(lambda y: (y * y).sum())(t),
    "argument of functrans.grad": lambda t: ft.grad(lambda y: (y * y).sum())(t),
    "closure of jax.jit": lambda t: jax.jit(lambda y: y * t)(X),
    "closure of functrans.jit": lambda t: ft.jit(lambda y: y * t)(X),
    "closure of jax.grad": lambda t: jax.grad(lambda y: (y * t).sum())(X),
    "closure of functrans.grad": lambda t: ft.grad(lambda y: (y * t).sum())(X),
    "closure of jax.vmap": lambda t: jax.vmap(lambda y: y * t)(X),
    "closure of functrans.vmap": lambda t: ft.vmap(lambda y: y * t)(X),
    "closure of scan": lambda t: jax.lax.scan(lambda c, y: (c * t, y), X, X)[0],
}
TRANSFORMS: dict[str, Any] = {
    "grad": ft.grad,
    "jit": ft.jit,
    "jax.grad": jax.grad,
    "jax.jit": jax.jit,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_tracer_used_after_its_trace_is_refused(transform: str, use: str) -> None:
    tracer = leaked(TRANSFORMS[transform])
    with pytest.raises((ft.errors.FunctransError, jax.errors.UnexpectedTracerError)) as refusal:
        USES[use](tracer)
    _names_the_line(refusal.value)


def _names_the_line(error: BaseException) -> None:
    """In the text, or, where no function of functrans was called, by the traceback."""
    told = "\n".join([str(error), *getattr(error, "__notes__", ())])
    frames = [f.name for f in traceback.extract_tb(error.__traceback__) if f.filename == __file__]
    ours = isinstance(error, ft.errors.FunctransError)
    assert "test_wrong_use.py" in told if ours else frames[-1] == "<lambda>", told


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("inner", TRANSFORMS)
@pytest.mark.parametrize("outer", TRANSFORMS)
def test_a_tracer_of_an_inner_trace_used_in_the_outer_one_is_refused(outer: str, inner: str, use: str) -> None:
    if outer.startswith("jax.") and inner.startswith("jax.") and "functrans" not in use:
        return  # JAX among itself
    with pytest.raises((ft.errors.FunctransError, jax.errors.UnexpectedTracerError)):
        leaked_from_inside(TRANSFORMS[outer], TRANSFORMS[inner])(USES[use])
    assert_same(ft.grad(lambda x: jnp.sum(x * x))(X), 2 * X)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("transform", ["grad", "jit"])
def test_a_tracer_of_another_thread_is_refused(transform: str, use: str) -> None:
    caught: list[BaseException | None] = []

    def f(x: Any) -> Any:
        def work() -> None:
            try:
                USES[use](x)
                caught.append(None)
            except Exception as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return fnp.sum(x * x)

    TRANSFORMS[transform](f)(X)
    (error,) = caught
    assert isinstance(error, ft.errors.FunctransError | jax.errors.UnexpectedTracerError)
    _names_the_line(error)


def test_the_error_of_jax_inside_our_trace_is_that_of_jax_and_the_trace_goes_on() -> None:
    def f(x: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            jax.jit(lambda y: 1 / 0)(x)
        with pytest.raises(TypeError, match="contract"):
            jax.grad(lambda y: (jnp.ones(3) @ (jnp.ones(4) * y[0])))(x)
        with pytest.raises(TypeError, match="incompatible shapes"):
            jnp.add(x, jnp.ones(4))
        return jnp.sum(x * x)

    assert_same(ft.grad(f)(X), 2 * X)
    assert_same(jax.grad(ft.jit(f))(X), 2 * X)
