"""An exception or Ctrl-C at any point where one library calls the other leaves both as they were before the call."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.lax as flax
import functrans.numpy as fnp
from functrans.jaxlib_compat import compiler
from functrans.jaxlib_compat.tracing import EVALUATION, current_trace, mapped_axes
from functrans.trace.builder import Builder
from functrans.trace.state import current_builder, outside_of_traces, state
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)

# Names of the functions of either library at whose calls the exception comes: binding, processing, tracing, dispatch.
POINTS = frozenset(
    """bind bind_all bind_with_trace process_primitive process_custom_jvp_call process_custom_vjp_call process_call
    operation call apply_program run_operation apply_operation _translated held cache_miss _python_pjit_helper
    abstract_eval infer run unchecked finish __enter__ traced_by_jax make_jaxpr _infer_params trace_to_jaxpr
    trace_to_jaxpr_dynamic set_trace extend_axes linearize_jaxpr transpose_jaxpr vmap jvp""".split()
)
OURS = frozenset(("__enter__", "set_trace", "extend_axes"))  # functrans' only: JAX does not survive it at its own
CLOSING = frozenset(("__exit__",))


class Injected(Exception):
    pass


def injected_at(number: int, kind: type[BaseException], names: frozenset[str]) -> tuple[Any, list[int]]:
    """A profiler that raises at the ``number``-th call of one of these functions, and how many it has seen."""
    seen = [0]

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name in names:
            file = frame.f_code.co_filename
            ours = "/functrans/" in file and "/tests/" not in file
            if ours or ("/jax/_src/" in file and frame.f_code.co_name not in OURS | CLOSING):
                seen[0] += 1
                if seen[0] == number:
                    raise kind(f"at {frame.f_code.co_name}")

    return profile, seen


def ruled(x: Any) -> Any:
    f = jax.custom_vjp(lambda y: jnp.sin(y))
    f.defvjp(lambda y: (jnp.sin(y), y), lambda y, ct: (ct * y * 2,))
    return f(x)


MIXES: dict[str, Callable[[], Any]] = {
    "grad of jnp": lambda: ft.grad(lambda x: jnp.sum(jax.nn.relu(x) * jnp.sin(x)))(X),
    "grad of jax.grad of jax.jit": lambda: ft.grad(
        lambda x: jnp.sum(jax.grad(lambda y: jnp.sum(jax.jit(lambda z: z**3 * x)(y)))(x))
    )(X),
    "jax.grad of jit of jax.vmap": lambda: jax.grad(
        ft.jit(lambda x: fnp.sum(jax.vmap(lambda y: fnp.sin(y) * fnp.sum(x))(x)))
    )(X),
    "jax.jit of grad of rules": lambda: jax.jit(ft.grad(lambda x: jnp.sum(ruled(x))))(X),
    "vmap of collectives and loops": lambda: ft.vmap(
        lambda x: jax.lax.scan(lambda c, _: (jax.lax.psum(c, "i") * x, None), x, None, length=2)[0], axis_name="i"
    )(X),
    "jax.vmap of collectives and loops": lambda: jax.vmap(
        lambda x: flax.scan(lambda c, _: (flax.psum(c, "i") * x, None), x, None, length=2)[0], axis_name="i"
    )(X),
    "jax.jit of vmap": lambda: jax.jit(ft.vmap(lambda x: x * jax.lax.psum(x, "i"), axis_name="i"))(X + 0),
}


def _assert_at_rest() -> None:
    assert state.builder is None
    assert state.trace.builder is None
    assert state.place is None
    assert current_trace() is EVALUATION
    assert not mapped_axes()
    assert gc.isenabled()


@pytest.mark.parametrize("kind", [Injected, KeyboardInterrupt])
@pytest.mark.parametrize("name", MIXES)
def test_an_exception_at_any_point_leaves_nothing_open(name: str, kind: type[BaseException]) -> None:
    mix = MIXES[name]
    expected = mix()
    names = POINTS | CLOSING if kind is KeyboardInterrupt else POINTS
    number, met = 1, 0
    while True:  # once for each point that the call passes
        profile, seen = injected_at(number, kind, names)
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            mix()
        except (kind, jax.errors.JaxRuntimeError):
            met += 1
        except Exception as error:  # what an interrupted function of JAX makes of it
            chain = [error]
            while chain[-1] is not None:
                chain.append(chain[-1].__cause__ or chain[-1].__context__)  # type: ignore[arg-type]
            assert any(isinstance(e, kind) for e in chain), error
            met += 1
        finally:
            sys.setprofile(before)
        _assert_at_rest()
        if seen[0] < number:
            break
        number += 1
    assert met > 3
    assert_same(mix(), expected)


def test_an_exception_while_either_library_compiles_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax._src.compiler as jax_compiler

    def fails(*_: Any, **__: Any) -> Any:
        raise Injected("while compiling")

    for module, attribute in ((compiler, "compiled"), (jax_compiler, "compile_or_get_cached")):
        with monkeypatch.context() as patch:
            ft.clear_caches()
            jax.clear_caches()
            patch.setattr(module, attribute, fails)
            if module is compiler:
                from functrans.xla import compilation

                patch.setattr(compilation, "compiled", fails)
            failed = 0
            for mix in MIXES.values():
                try:
                    mix()
                except Injected:
                    failed += 1
                _assert_at_rest()
            assert failed >= 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(ft.grad(lambda x: jnp.sum(x * x))(X), 2 * X)


def test_a_function_of_the_user_that_raises_in_the_middle_of_both() -> None:
    def raises(_: Any) -> Any:
        raise Injected

    nests: list[Callable[[Any], Any]] = [
        lambda f: ft.grad(lambda x: jax.grad(f)(x).sum())(X),
        lambda f: jax.grad(lambda x: ft.grad(f)(x).sum())(X),
        lambda f: ft.jit(jax.jit(ft.vmap(jax.vmap(f))))(X[None]),
        lambda f: jax.jit(ft.jit(jax.vmap(ft.vmap(f))))(X[None]),
        lambda f: ft.grad(lambda x: jax.lax.scan(lambda c, t: (ft.jvp(f, (c,), (t,))[1], None), x[0], x)[0])(X),
        lambda f: flax.scan(lambda c, t: (jax.checkpoint(f)(c), None), X[0], X),
        lambda f: jax.lax.cond(True, ft.grad(f), lambda x: x, X[0]),
        lambda f: ft.vmap(lambda x: jax.jvp(ft.checkpoint(f), (x,), (x,))[1], axis_name="i")(X),
    ]
    for nest in nests:
        with pytest.raises(Injected):
            nest(raises)
        _assert_at_rest()

    def caught_inside(x: Any) -> Any:
        for nest in nests:
            with pytest.raises(Injected):
                nest(raises)
        return jnp.sum(x * x)

    assert_same(ft.grad(caught_inside)(X), 2 * X)
    assert_same(jax.grad(ft.jit(caught_inside))(X), 2 * X)
    _assert_at_rest()


def test_what_runs_outside_of_a_trace_leaves_it_open() -> None:
    with Builder("a trace") as builder:
        assert float(outside_of_traces(ft.jit(lambda x: x + 1.0), 2.0)) == 3.0
        assert current_builder() is builder
    assert current_builder() is None


@pytest.mark.parametrize("how", ["jvp", "jit", "make_jaxpr"])
def test_what_runs_outside_of_traces_inside_of_a_trace_of_jax_leaves_ours_around_it_open(how: str) -> None:
    """The trace that it opens is the one that the thread's outermost function has: that goes on after it."""

    def inner(t: Any) -> Any:
        def square(y: Any) -> Any:
            with ft.ensure_compile_time_eval():
                slope = ft.grad(lambda z: z * z)(3.0)
            return y * y * slope

        return ft.grad(square)(t)

    def f(x: Any) -> Any:
        found = {
            "jvp": lambda: jax.jvp(inner, (x,), (1.0,))[1],
            "jit": lambda: jax.jit(inner)(x) / x,
            "make_jaxpr": lambda: 12.0 * len(jax.make_jaxpr(inner)(x).out_avals),
        }[how]()
        return jnp.sin(x) * found

    np.testing.assert_allclose([f(1.0), ft.jit(f)(1.0), ft.grad(f)(1.0), ft.jit(ft.grad(f))(1.0)],
                               [12 * np.sin(1), 12 * np.sin(1), 12 * np.cos(1), 12 * np.cos(1)],
                               rtol=1e-6)  # fmt: skip
