"""Mutable references: programs that write to them do what the same Python on NumPy arrays does, transformed too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, ref

x = np.arange(1.0, 4.0, dtype=np.float32)


def test_reads_and_writes_outside_of_traces() -> None:
    r = ft.new_ref(np.zeros((2, 3), np.float32))
    assert isinstance(r, ft.Ref)
    assert (r.shape, r.dtype, r.ndim, r.size, len(r)) == ((2, 3), np.float32, 2, 6, 2)
    r[0, 1], r[1], r[:, 2] = 1, x, x[:2]
    np.testing.assert_array_equal(r[...], [[0, 1, 1], [1, 2, 2]])
    r[...] += 1
    np.testing.assert_array_equal(r[1, ::-1], [3, 3, 2])
    assert float(ref.swap(r, (0, 0), 7.0)) == 1.0
    ref.addupdate(r, (0, np.array([0, 0])), np.ones(2, np.float32))
    assert float(ref.get(r, (0, 0))) == 9.0
    ref.set(r, None, 2.0)
    np.testing.assert_array_equal(ft.freeze(r), np.full((2, 3), 2.0))
    empty = ref.empty_ref(jax.ShapeDtypeStruct((2,), np.int32))
    assert empty[...].tolist() == [0, 0]


def steps(new: Callable[[Any], Any], r: Any, start: Any, control: Any) -> Any:
    """Each step writes the reference from a branch and from a function that is called."""
    own = new(start)

    def step(c: Any, i: Any) -> Any:
        def write(c: Any) -> Any:
            r[i] = r[i] + c
            return c + 1

        c = control.cond(i % 2 == 0, write, lambda c: c, c)

        def double() -> None:
            r[...] = r[...] * 2
            own[...] = own[...] + r[0]

        control.call(double)
        return c, r[0] * own[...]

    return control.scan(step, start, 3)


class Plain:
    """The same in Python."""

    @staticmethod
    def cond(test: Any, yes: Any, no: Any, c: Any) -> Any:
        return yes(c) if test else no(c)

    @staticmethod
    def scan(step: Any, c: Any, n: int) -> Any:
        ys = []
        for i in range(n):
            c, y = step(c, i)
            ys.append(y)
        return c, np.stack(ys)

    call = staticmethod(lambda f: f())


class Traced:
    cond = staticmethod(lax.cond)
    call = staticmethod(lambda f: ft.jit(f)())

    @staticmethod
    def scan(step: Any, c: Any, n: int) -> Any:
        return lax.scan(step, c, fnp.arange(n))


@pytest.mark.parametrize("jit", [False, True])
def test_nested_control_flow_writes_a_reference_from_outside(jit: bool) -> None:
    r, plain = ft.new_ref(np.zeros(3, np.float32)), np.zeros(3, np.float32)
    run = lambda start: steps(ft.new_ref, r, start, Traced)
    run = ft.jit(run) if jit else run
    for start in (1.0, 2.0, 3.0):
        found, expected = run(start), steps(np.array, plain, start, Plain)
        np.testing.assert_allclose(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
        np.testing.assert_allclose(r[...], plain, rtol=1e-6)


def power(x: Any) -> Any:
    """x^4, by products in a reference, in a loop."""
    r = ft.new_ref(fnp.ones(()))

    def step(i: Any, c: Any) -> Any:
        r[...] = r[...] * x
        return c

    lax.fori_loop(0, 4, step, 0)
    return r[...]


def test_functions_that_use_references_inside_are_transformed_like_any() -> None:
    np.testing.assert_allclose(ft.jit(ft.vmap(power))(x), x**4)
    np.testing.assert_allclose(ft.vmap(ft.grad(power))(x), 4 * x**3)
    np.testing.assert_allclose(ft.jit(ft.vmap(ft.hessian(power)))(x), 12 * x**2)
    assert ft.jvp(power, (2.0,), (1.0,))[1] == 32.0
    assert ft.jit(ft.grad(ft.checkpoint(power)))(2.0) == 32.0
    assert jax.jit(power)(2.0) == jax.grad(power)(2.0) / 2.0 == 16.0
    with ft.disable_jit():
        assert power(2.0) == 16.0


def test_a_loop_until_a_reference_has_a_value() -> None:
    total = ft.new_ref(0)

    def add(i: Any) -> Any:
        total[...] = total[...] + i
        return i + 1

    run = lambda n: lax.while_loop(lambda i: (i < n) & (total[...] < 100), add, 0)
    assert (int(ft.jit(run)(5)), int(total[...])) == (5, 10)
    assert (int(run(50)), int(total[...])) == (14, 101)


def test_a_jitted_function_of_references_is_compiled_once() -> None:
    traces = []

    @ft.jit
    def add(r: Any, y: Any) -> Any:
        traces.append(1)
        r[...] = r[...] + y
        return r[...] * 2

    one, other = ft.new_ref(np.zeros(3, np.float32)), ft.new_ref(np.ones(3, np.float32))
    for _ in range(3):
        add(one, x)
        doubled = add(other, x)
    assert len(traces) == 1
    np.testing.assert_array_equal(one[...], 3 * x)
    np.testing.assert_array_equal(doubled, 2 * (1 + 3 * x))
    captured = ft.jit(lambda y: add(one, y))
    captured(x)
    captured(x)
    np.testing.assert_array_equal(one[...], 5 * x)


def test_captured_references_change_between_calls() -> None:
    a, b = ft.new_ref(1.0), ft.new_ref(2.0)

    @ft.jit
    def exchange() -> None:
        a[...], b[...] = b[...], a[...]

    for _ in range(3):
        exchange()
    assert (float(a[...]), float(b[...])) == (2.0, 1.0)
    read = ft.jit(lambda x: x * a[...])
    assert float(read(1.0)) == 2.0
    a[...] = 5.0
    assert float(read(1.0)) == 5.0


def test_reads_from_outside_in_transforms() -> None:
    r = ft.new_ref(3.0)
    f = lambda x: x * r[...]
    for wrap in (lambda g: g, ft.jit):
        assert float(wrap(ft.grad(f))(2.0)) == float(r[...])
        np.testing.assert_array_equal(wrap(ft.vmap(f))(x), x * r[...])
        r[...] = 4.0
    step = lambda c, _: (c * r[...], None)
    inner = {
        "jit": ft.jit(f), "scan": lambda x: lax.scan(step, x, None, 1)[0],
        "cond": lambda x: lax.cond(True, f, lambda x: x, x),
        "argument": lambda x: ft.jit(lambda x, r: x * r[...])(x, r),
    }  # fmt: skip
    for g in inner.values():
        for _ in range(2):
            assert float(ft.grad(g)(2.0)) == 4.0
            np.testing.assert_array_equal(ft.vmap(g)(x), 4 * x)
            assert float(r[...]) == 4.0
            r[...] = 4.0


def test_wrong_uses_are_refused() -> None:
    r = ft.new_ref(np.zeros(2, np.float32))

    def writes(x: Any) -> Any:
        r[0] = x
        return x * x

    for transform in (ft.grad, lambda f: lambda x: ft.jvp(f, (x,), (x,)), lambda f: ft.grad(ft.jit(f))):
        with pytest.raises(TypeError, match=r"set to a value that depends on what is differentiated by"):
            transform(writes)(2.0)
    with pytest.raises(TypeError, match=r"written to in vmap of writes, which cannot hand the value on, at .*test_ref"):
        ft.vmap(writes)(x)
    np.testing.assert_array_equal(r[...], [0, 0])
    with pytest.raises(TypeError, match=r"dtype f32 was to be set to i32"):
        r[0] = fnp.arange(2)[1]
    with pytest.raises(ValueError, match=r"given twice"):
        ft.jit(lambda a, b: a[0] + b[0])(r, r)
    with pytest.raises(TypeError, match=r"reference to a reference"):
        ft.new_ref(r)
    with pytest.raises(TypeError, match=r"freeze takes a reference"):
        ft.freeze(x)
    with pytest.raises(ValueError, match=r"kind None or 'no_grad_no_remat'"):
        ft.new_ref(x, kind="anselm")  # type: ignore[arg-type]
    kept: list[Any] = []
    ft.jit(lambda x: kept.append(ft.new_ref(x)))(1.0)
    with pytest.raises(ValueError, match=r"used outside of it"):
        kept[0][...]
    ft.ref.free_ref(r)
    with pytest.raises(ValueError, match=r"after freeze"):
        r[0]


def test_an_error_leaves_the_reference_as_it_was() -> None:
    r = ft.new_ref(1.0)

    def fails(c: Any, _: Any) -> Any:
        r[...] = r[...] * 2
        raise RuntimeError("in the body")

    for call in (lambda: lax.scan(fails, 0.0, None, 3), ft.jit(lambda: lax.scan(fails, 0.0, None, 3))):
        with pytest.raises(RuntimeError, match=r"in the body"):
            call()
        assert float(r[...]) == 1.0
    assert jnp.isfinite(r[...])
