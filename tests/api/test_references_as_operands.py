"""Mutable references given to transforms and control flow: each case is one program, run by functrans and by JAX."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import functrans as ft
from functrans import lax as ft_lax
from functrans import numpy as fnp

f32 = np.float32
OURS = SimpleNamespace(J=ft, np=fnp, lax=ft_lax)
JAX = SimpleNamespace(J=jax, np=jnp, lax=jax.lax)

Case = Callable[[Any, Callable[[Any], Any]], Any]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """A program of a library and of ``w``, its jit or nothing, that returns what it computes and what references hold.
    """
    CASES[function.__name__] = function
    return function


def new(m: Any, *shape: int) -> Any:
    """A reference to 1, 2, 3, ..."""
    return m.J.new_ref(array(m, *shape))


def array(m: Any, *shape: int) -> Any:
    return m.np.arange(1, 1 + np.prod(shape, dtype=int), dtype=f32).reshape(shape)


def add(r: Any, x: Any) -> None:
    r[...] = r[...] + x


def plain(x: Any) -> Any:
    """References as what they hold."""
    is_reference = lambda v: isinstance(v, ft.Ref | jax.Ref)
    return jax.tree.map(lambda v: np.asarray(v[...] if is_reference(v) else v), x, is_leaf=is_reference)


# -- control flow ------------------------------------------------------------------------------------------------------


@case
def scanned_slices_are_written_to(m: Any, w: Any) -> Any:
    r = new(m, 3, 2)

    def body(c: Any, x: Any) -> Any:
        i, part = x
        part[0] = part[1] * 2 + c
        return c + part[...].sum() + i, part[0] + 1

    run = lambda r: m.lax.scan(body, f32(0), (array(m, 3), r), reverse=True)
    return w(run)(r), r


@case
def scanned_slices_are_read(m: Any, w: Any) -> Any:
    r = new(m, 3)
    return w(lambda r: m.lax.scan(lambda c, part: (c + part[...], None), f32(0), r))(r), r


@case
def one_branch_alone_writes(m: Any, w: Any) -> Any:
    r = new(m)
    f = w(lambda p, r, x: m.lax.cond(p, lambda r, x: (add(r, x), x)[1], lambda r, x: r[...] * x, r, x))
    return f(True, r, f32(2)), f(False, r, f32(3)), f(True, r, f32(4)), r


@case
def branches_write_to_different_references(m: Any, w: Any) -> Any:
    a, b = new(m, 2), new(m)
    branches = [lambda a, b: add(a, 1.0), lambda a, b: add(b, 10.0), lambda a, b: None]
    f = w(lambda i, a, b: m.lax.switch(i, branches, a, b))
    for i in (0, 1, 5, 1):
        f(i, a, b)
    return a, b


@case
def loops_write_to_references_from_outside(m: Any, w: Any) -> Any:
    a, b = new(m), new(m, 2)

    def run(a: Any, b: Any) -> Any:
        last = m.lax.while_loop(lambda c: c < 3, lambda c: (add(a, b[0]), c + 1)[1], 0)
        return m.lax.fori_loop(0, 3, lambda i, c: (add(b, c * 1.0), c + 1)[1], last)

    return w(run)(a, b), a, b


@case
def a_value_that_a_reference_began_with_stays_in_a_loop(m: Any, w: Any) -> Any:
    def run(x: Any) -> Any:
        r = m.J.new_ref(x)
        return m.lax.scan(lambda c, _: (add(r, 1.0), (c + x + r[...], None))[1], f32(0), None, 3)[0], r[...]

    return w(run)(f32(5))


@case
def trees_of_references(m: Any, w: Any) -> Any:
    d = {"a": new(m, 3), "b": new(m)}
    w(lambda d, x: (add(d["a"], x), add(d["b"], x))[:0])(d, f32(2))
    m.lax.cond(True, lambda d: add(d["a"], 1.0), lambda d: add(d["b"], 1.0), d)
    return d


# -- vmap --------------------------------------------------------------------------------------------------------------


@case
def lanes_of_a_mapped_reference(m: Any, w: Any) -> Any:
    r, s = new(m, 3), new(m, 2, 3)
    f = lambda r, x, q: (add(r, x), q[...] * 2, r[...] * 2)[1:]
    y = w(lambda r, x, s: m.J.vmap(f, in_axes=(0, 0, None))(r, x, s))(r, array(m, 3), s)
    m.J.vmap(m.J.vmap(lambda s, x: add(s, x), in_axes=(0, None)))(s, array(m, 2))
    m.J.vmap(lambda x, r: add(r, x))(array(m, 3), r=r)
    return y, r, s


@case
def lanes_read_one_reference(m: Any, w: Any) -> Any:
    r = new(m)
    f = m.J.vmap(lambda r, x: r[...] * x, in_axes=(None, 0))
    y = w(f)(r, array(m, 3))
    add(r, 1.0)
    return y, w(f)(r, array(m, 3)), m.J.vmap(lambda r: r[...] * 2, in_axes=None, axis_size=3)(r)


# -- derivatives -------------------------------------------------------------------------------------------------------


@case
def gradients_read_and_write(m: Any, w: Any) -> Any:
    r, n = new(m), m.J.new_ref(m.np.asarray(0))

    def f(x: Any, r: Any) -> Any:
        add(r, 1.0)
        add(n, 1)
        add(r, m.lax.stop_gradient(x))
        return x * x * r[...]

    return w(m.J.value_and_grad(f))(f32(2), r), w(m.J.grad(m.J.grad(f)))(f32(2), r), r, n


@case
def gradients_of_loops_that_count(m: Any, w: Any) -> Any:
    n = m.J.new_ref(m.np.asarray(0))
    f = lambda x: m.lax.scan(lambda c, _: (add(n, 1), (c * 1.5, None))[1], x, None, 3)[0]
    return w(m.J.grad(f))(f32(2)), n


@case
def other_derivatives_read_and_write(m: Any, w: Any) -> Any:
    r, x = new(m), f32(2)

    def f(x: Any) -> Any:
        add(r, 1.0)
        return x * x * r[...]

    pulled, pushed = m.J.vjp(f, x)[1](f32(1)), m.J.linearize(f, x)[1](f32(1))
    return pulled, pushed, w(lambda x: m.J.jvp(f, (x,), (x,)))(x), w(m.J.jacrev(f))(array(m, 2)), r


@case
def linear_maps_keep_what_references_held(m: Any, w: Any) -> Any:
    r = new(m)

    def run(x: Any) -> Any:
        push = m.J.linearize(lambda x: x * x * r[...], x)[1]
        add(r, 100.0)
        return push(f32(1))

    return w(run)(f32(2)), r


@case
def a_reference_with_its_tangent(m: Any, w: Any) -> Any:
    r, s = new(m), new(m, 1)[0]
    t = m.J.new_ref(s)
    run = lambda r, t: m.J.jvp(lambda r: (add(r, r[...] ** 2), r[...] ** 3)[1], (r,), (t,))
    return w(run)(r, t), r, t


@case
def cotangents_added_to_references(m: Any, w: Any) -> Any:
    total = new(m, 3)

    def run(x: Any, y: Any, total: Any) -> Any:
        pullback = m.J.vjp(lambda x, y: (x**2 * y).sum(), x, y)[1]
        return pullback.with_refs(total, jax.ad.GradValue())(f32(1))[1]

    return w(run)(array(m, 3), array(m, 3), total), w(run)(array(m, 3), array(m, 3), total), total


@case
def checkpoints_read(m: Any, w: Any) -> Any:
    r = new(m)
    return w(m.J.grad(m.J.checkpoint(lambda x, r: m.np.sin(x) * r[...])))(f32(2), r), r


@case
def checkpoints_write(m: Any, w: Any) -> Any:
    r = m.J.new_ref(array(m), kind="no_grad_no_remat")
    f = m.J.checkpoint(lambda x, r: (add(r, x * x), m.np.sin(x))[1])
    return w(m.J.grad(f))(f32(2), r), w(f)(f32(2), r), r


# -- rules -------------------------------------------------------------------------------------------------------------


def stash(m: Any, update: Callable[[Any, Any], None]) -> Any:
    """The identity, of which the cotangent is written to a reference."""

    @m.J.custom_vjp
    def f(r: Any, x: Any) -> Any:
        return x

    def backward(r: Any, ct: Any) -> Any:
        update(r, ct)
        return None, ct

    f.defvjp(lambda r, x: (x, r), backward)
    return f


def replace(r: Any, ct: Any) -> None:
    r[...] = ct


def accumulate(r: Any, ct: Any) -> None:
    r[...] = r[...] * 3 + ct * ct


@case
def cotangents_are_written_out(m: Any, w: Any) -> Any:
    s, a, r = stash(m, replace), stash(m, accumulate), new(m)
    f = w(lambda r, x: m.np.sin(a(r, m.np.sin(s(r, m.np.sin(x))))))
    return f(r, f32(1)), m.J.grad(f, 1)(r, f32(1)), r, m.J.value_and_grad(w(lambda x: f(r, x)))(f32(2)), r[...]


@case
def gradients_under_jit_write_cotangents_out(m: Any, w: Any) -> Any:
    a, r, q = stash(m, accumulate), new(m), new(m)
    g = w(m.J.grad(lambda r, x: m.np.sin(a(r, m.np.sin(x))), 1))
    return g(r, f32(1)), g(r, f32(2)), g(q, f32(2)), r, q


@case
def loops_write_cotangents_out(m: Any, w: Any) -> Any:
    a, r = stash(m, accumulate), new(m)

    def body(x: Any, _: Any) -> Any:
        return m.np.sin(a(r, m.np.sin(x))), None

    f = w(lambda x: m.lax.scan(body, x, None, 3)[0])
    once = w(lambda x: m.lax.scan(m.J.checkpoint(body), x, None, 3)[0])
    return m.J.grad(f)(f32(1)), r[...], m.J.grad(once)(f32(1)), r


@case
def lanes_write_cotangents_out(m: Any, w: Any) -> Any:
    a, r = stash(m, accumulate), new(m, 3)
    g = lambda r, x: m.J.grad(lambda x: m.np.sin(a(r, m.np.sin(x))))(x)
    return w(m.J.vmap(g))(r, array(m, 3)), r


@case
def pullbacks_write_cotangents_out_at_each_call(m: Any, w: Any) -> Any:
    a, r = stash(m, accumulate), new(m)
    pullback = m.J.vjp(w(lambda x: m.np.sin(a(r, m.np.sin(x)))), f32(1))[1]
    return pullback(f32(1)), r[...], pullback(f32(2)), r


@case
def a_history_that_scales_the_cotangent(m: Any, w: Any) -> Any:
    history = m.J.new_ref(m.np.zeros(4, f32))

    @m.J.custom_vjp
    def scaled(x: Any, history: Any) -> Any:
        return x

    def backward(history: Any, ct: Any) -> Any:
        shifted = m.np.roll(history[:], 1).at[0].set(abs(ct).max())
        history[:] = shifted
        return ct / history[:].max(), None

    scaled.defvjp(lambda x, history: (x, history), backward)
    g = w(m.J.grad(lambda x, y: scaled(x * y, history).sum(), (0, 1)))
    return [g(k * array(m, 3), array(m, 3)) for k in (1.0, 2.0, 3.0)], history


@case
def an_unused_result_pulls_nothing_back(m: Any, w: Any) -> Any:
    s, r = stash(m, replace), new(m)
    f = w(lambda r, x: (s(r, x), x * 2)[1])
    return m.J.grad(f, 1)(r, f32(1)), m.J.grad(lambda x: s(r, f32(3)) * x)(f32(2)), r


@case
def functions_with_rules_read_and_write(m: Any, w: Any) -> Any:
    r = new(m)

    @m.J.custom_vjp
    def f(x: Any, r: Any) -> Any:
        add(r, x)
        return x * r[...]

    def forward(x: Any, r: Any) -> Any:
        add(r, 10 * x)
        return x * r[...], r[...]

    f.defvjp(forward, lambda held, ct: (ct * held, None))
    g = w(lambda x: f(x, r))
    return g(f32(2)), r[...], m.J.grad(g)(f32(2)), r


@case
def a_rule_gives_the_cotangent_of_a_reference(m: Any, w: Any) -> Any:
    @m.J.custom_vjp
    def f(r: Any) -> Any:
        return r[...]

    f.defvjp(lambda r: (r[...], None), lambda _, ct: (7 * ct,))
    return m.J.grad(w(lambda x: f(m.J.new_ref(x))))(f32(3))


# -- compiled ----------------------------------------------------------------------------------------------------------


@case
def one_jitted_function_of_many_references(m: Any, w: Any) -> Any:
    f = m.J.jit(lambda r: (add(r, 1), r[...].sum())[1])
    refs = [new(m, 3), new(m, 2, 2), m.J.new_ref(m.np.arange(3)), new(m, 3)]
    return [f(r) for r in [*refs, *refs]], f(refs[0]), refs


@case
def ahead_of_time(m: Any, w: Any) -> Any:
    a, b, c = new(m, 3), new(m, 3), new(m)
    lowered = m.J.jit(lambda r, x: (add(r, x), add(c, 1.0), r[...])[2]).lower(a, f32(2))
    untouched = a[...], c[...]
    compiled = lowered.compile()
    return untouched, compiled(a, f32(2)), compiled(b, f32(5)), a, b, c


@case
def tracing_alone_writes_nothing(m: Any, w: Any) -> Any:
    a, b = new(m), new(m)
    f = w(lambda a: (add(a, 1.0), add(b, 1.0), a[...] + b[...])[2])
    m.J.make_jaxpr(f)(a)
    assert m.J.eval_shape(f, a).shape == ()
    return a, b


# -- nests -------------------------------------------------------------------------------------------------------------


@case
def gradient_of_a_loop_over_slices(m: Any, w: Any) -> Any:
    r, s = new(m, 3), new(m, 3)

    def body(c: Any, x: Any) -> Any:
        i, scale = x
        part = scale[...]
        scale[...] = i * 2.0
        return c * part + r[0], None

    f = lambda x, s: m.lax.scan(body, x, (m.np.arange(3), s))[0]
    return w(m.J.grad(f))(f32(2), s), s, r


@case
def lanes_of_gradients_of_loops(m: Any, w: Any) -> Any:
    r = new(m, 3)

    def lane(r: Any, x: Any) -> Any:
        loss = lambda x: m.lax.fori_loop(0, 3, lambda i, c: (add(r, 1.0), c * r[...])[1], x)
        return m.J.grad(loss)(x)

    return w(m.J.vmap(lane))(r, array(m, 3)), r


@case
def a_jitted_function_in_a_loop_under_a_gradient(m: Any, w: Any) -> Any:
    r = new(m)
    step = m.J.jit(lambda r, x: (add(r, 2.0), x * r[...])[1])
    f = lambda x: m.lax.scan(lambda c, _: (step(r, c), None), x, None, 3)[0]
    return w(m.J.grad(f))(f32(1)), w(f)(f32(1)), r


@pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])
@pytest.mark.parametrize("name", CASES)
def test_a_program_does_what_it_does_in_jax(name: str, jit: bool) -> None:
    found, expected = (
        plain(CASES[name](m, m.J.jit if jit else lambda f: f)) for m in (OURS, JAX)
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=2e-6)


# -- what JAX does not take, by plain Python ---------------------------------------------------------------------------


def wrapped(jit: bool) -> Callable[[Any], Any]:
    return ft.jit if jit else lambda f: f


both = pytest.mark.parametrize("jit", [False, True], ids=["", "jit"])


@both
def test_lanes_of_loops_of_branches(jit: bool) -> None:
    r, x = ft.new_ref(np.arange(6, dtype=f32).reshape(2, 3)), np.array([1, -1, 2], f32)

    def lane(part: Any, x: Any) -> Any:
        def body(c: Any, slot: Any) -> Any:
            ft_lax.cond(x > 0, lambda s: add(s, c + x), lambda s: None, slot)
            return c + slot[...], None

        return ft_lax.scan(body, f32(0), part)[0]

    found = wrapped(jit)(ft.vmap(lane, in_axes=(1, 0)))(r, x)
    held = np.arange(6, dtype=f32).reshape(2, 3)
    totals = np.zeros(3, f32)
    for i in range(2):
        held[i] += np.where(x > 0, totals + x, 0)
        totals += held[i]
    np.testing.assert_allclose(found, totals)
    np.testing.assert_allclose(r[...], held)


@both
def test_the_condition_of_a_loop_reads_what_its_body_writes(jit: bool) -> None:
    r = ft.new_ref(f32(1))
    run = lambda r: ft_lax.while_loop(lambda c: r[...] < 3, lambda c: (add(r, 1.0), c + 1)[1], 0)
    assert (int(wrapped(jit)(run)(r)), float(r[...])) == (2, 3.0)


@both
def test_a_checkpointed_function_writes_once(jit: bool) -> None:
    r = ft.new_ref(f32(3))
    f = ft.checkpoint(lambda x, r: (add(r, 1.0), fnp.sin(x) * r[...])[1])
    np.testing.assert_allclose(wrapped(jit)(ft.grad(f))(f32(2), r), 4 * np.cos(f32(2)), rtol=1e-6)
    assert float(r[...]) == 4.0


@both
def test_derivatives_that_map_write_once(jit: bool) -> None:
    r = ft.new_ref(f32(3))
    f = lambda x: (add(r, 1.0), (x**3).sum() * r[...])[1]
    np.testing.assert_allclose(wrapped(jit)(ft.hessian(f))(array(OURS, 2)), np.diag([24.0, 48.0]))
    np.testing.assert_allclose(wrapped(jit)(ft.jacfwd(f))(array(OURS, 2)), [15.0, 60.0])
    assert float(r[...]) == 5.0


@both
def test_branches_write_cotangents_out(jit: bool) -> None:
    s, r = stash(OURS, accumulate), ft.new_ref(f32(1))
    f = lambda x: ft_lax.cond(x > 0, lambda x: fnp.sin(s(r, fnp.sin(x))), lambda x: x * x, x)
    g = wrapped(jit)(ft.grad(f))
    np.testing.assert_allclose(g(f32(-2)), -4.0)
    assert float(r[...]) == 1.0
    np.testing.assert_allclose(g(f32(1)), np.cos(np.sin(1)) * np.cos(1), rtol=1e-6)
    np.testing.assert_allclose(r[...], 3 + np.cos(np.sin(1)) ** 2, rtol=1e-6)


def test_a_jitted_function_is_traced_again_where_its_rules_may_write() -> None:
    s, r = stash(OURS, accumulate), ft.new_ref(f32(1))
    f = ft.jit(lambda x: fnp.sin(s(r, x)))
    with pytest.raises(TypeError, match="Take it by grad"):
        ft.jvp(f, (f32(1),), (f32(1),))
    np.testing.assert_allclose(ft.grad(f)(f32(1)), np.cos(f32(1)), rtol=1e-6)
    np.testing.assert_allclose(r[...], 3 + np.cos(1) ** 2, rtol=1e-6)


def test_the_backward_pass_begins_with_what_the_function_wrote() -> None:
    s, r = stash(OURS, accumulate), ft.new_ref(f32(10))
    layer = ft.jit(lambda r, x: s(r, x * x))
    refs = [ft.new_ref(f32(i)) for i in range(3)]

    def f(x: Any) -> Any:
        add(r, 5.0)
        if s(r, x) > 0:  # it has a value
            add(r, 1.0)
        for q in refs:
            x = layer(q, x)
        return x

    value, slope = ft.value_and_grad(f)(f32(1.5))
    np.testing.assert_allclose([value, slope], [1.5**8, 8 * 1.5**7], rtol=1e-6)
    assert float(r[...]) == 16.0  # the result of its rule is not used
    cotangents = [4 * 1.5**6, 2 * 1.5**4, 1]
    np.testing.assert_allclose([q[...] for q in refs], [3 * i + c**2 for i, c in enumerate(cotangents)], rtol=1e-6)


def test_python_runs_once_where_a_reference_from_outside_is_used() -> None:
    r, runs = ft.new_ref(f32(1)), []

    def f(x: Any) -> Any:
        runs.append(1)
        add(r, 1.0)
        return x * r[...]

    for transform in (ft.grad, ft.jit, lambda f: lambda x: ft_lax.cond(True, f, f, x), ft.checkpoint):
        runs.clear()
        transform(f)(f32(2))
        assert len(runs) == (2 if "lambda" in transform.__name__ else 1)


def test_a_donated_reference_keeps_what_it_holds() -> None:
    r, x = new(OURS, 3), array(OURS, 3)
    read = ft.jit(lambda r, x: r[...] + x, donate_argnums=(0, 1))
    read(r, x)
    np.testing.assert_array_equal(read(r, array(OURS, 3)), [2, 4, 6])
    assert x.is_deleted()


def test_threads_do_not_see_what_another_one_traces() -> None:
    r, entered, seen = ft.new_ref(f32(1)), threading.Event(), threading.Event()
    found: list[float] = []

    def other() -> None:
        entered.wait(10)
        found.append(float(r[...]))
        found.append(float(ft.jit(lambda: r[...] * 2)()))
        seen.set()

    def f(x: Any) -> Any:
        add(r, 5.0)
        entered.set()
        seen.wait(10)
        return x * r[...]

    thread = threading.Thread(target=other)
    thread.start()
    assert float(ft.jit(f)(f32(2))) == 12.0
    thread.join()
    assert found == [1.0, 2.0]
    assert float(r[...]) == 6.0


def message(function: Callable[[], Any]) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        function()
    assert "test_references_as_operands.py" in str(caught.value)
    return str(caught.value)


def test_what_is_refused_says_where_and_what_to_do() -> None:
    r, x = new(OURS, 3), array(OURS, 3)
    total = new(OURS)
    twice = "a reference was given twice to"
    assert twice + " jitted" in message(lambda: ft.jit(lambda a, b: None)(r, r))
    assert twice + " vmap" in message(lambda: ft.vmap(lambda a, b: None)(r, r))
    assert twice + " scan" in message(lambda: ft_lax.scan(lambda c, x: (c, None), 0, (r, r)))
    assert twice + " cond" in message(lambda: ft_lax.cond(True, lambda a, b: None, lambda a, b: None, r, r))
    besides = "uses it from outside besides"
    assert besides in message(lambda: ft.jit(lambda a: a[...] + r[...])(r))
    assert besides in message(lambda: ft_lax.scan(lambda c, part: (c + r[0], part[...]), f32(0), r))
    assert "cannot be carried" in message(lambda: ft_lax.scan(lambda c, x: (c, None), (r, 0), None, 3))
    assert "cannot be carried" in message(lambda: ft_lax.fori_loop(0, 3, lambda i, c: c, r))
    assert "use what it holds, ref[...]" in message(lambda: ft.grad(lambda r: r[0])(r))
    assert "use what it holds, ref[...]" in message(lambda: ft.jit(lambda r: r)(r))
    assert "use what it holds, ref[...]" in message(lambda: ft_lax.scan(lambda c, x: (c, ft.new_ref(c)), 0, x))
    assert "Give it as an argument that is mapped" in message(lambda: ft.vmap(lambda x: add(total, x))(x))
    assert "Give it as an argument that is mapped" in message(lambda: ft.vmap(ft.jit(lambda x: add(total, 1.0)))(x))
    assert "stop_gradient(value)" in message(lambda: ft.grad(lambda x: (add(total, x), x)[1])(f32(2)))
    step = lambda c, _: (add(total, c), (c, None))[1]
    assert "stop_gradient(value)" in message(lambda: ft.grad(lambda x: ft_lax.scan(step, x, None, 2)[0])(f32(2)))
    s = stash(OURS, replace)
    assert "Take it by grad" in message(lambda: ft.jacrev(lambda x: s(total, x))(x[0]))
    slices = lambda x: ft_lax.scan(lambda c, part: (s(part, c), None), x, r)[0]
    assert "one that scan or vmap has cut" in message(lambda: ft.grad(slices)(f32(2)))
    compiled = ft.jit(lambda r: add(r, 1.0)).lower(r).compile()
    assert "takes a mutable reference as args[0]" in message(lambda: compiled(x))
    np.testing.assert_array_equal(r[...], [1, 2, 3])
    assert float(total[...]) == 1.0


def test_a_reference_that_leaked_is_refused() -> None:
    kept: list[Any] = []
    ft.vmap(kept.append)(new(OURS, 3))
    ft.jit(lambda r: kept.append(r))(new(OURS, 3))
    ft_lax.scan(lambda c, part: (kept.append(part), (c, None))[1], 0, new(OURS, 3))
    for r in kept:
        assert "was used outside of it" in message(lambda r=r: r[...])
        assert "was used outside of it" in message(lambda r=r: ft.jit(lambda: add(r, 1.0))())
