"""``to_jax``: our functions under JAX's transforms, of any order, inside and outside of jax.jit."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

X = np.linspace(-0.9, 0.8, 6, dtype=np.float32)


def ours(x, y):
    return fnp.tanh(x * y) + fnp.sum(fnp.sin(x)) * y


def theirs(x, y):
    return jnp.tanh(x * y) + jnp.sum(jnp.sin(x)) * y


TRANSFORMS = {
    "itself": lambda f: f,
    "jit": jax.jit,
    "grad": lambda f: jax.grad(lambda *a: f(*a).sum(), (0, 1)),
    "jvp": lambda f: lambda *a: jax.jvp(f, a, a),
    "hessian": lambda f: jax.hessian(lambda *a: f(*a).sum(), (0, 1)),
    "third order": lambda f: jax.jacfwd(jax.jacrev(jax.grad(lambda *a: f(*a).sum()))),
    "vmap": lambda f: lambda x, y: jax.vmap(f)(jnp.stack([x, y]), jnp.stack([y, x])),
    "vmap along the last axis": lambda f: lambda x, y: jax.vmap(f, (-1, None), -1)(jnp.stack([x, y], -1), y),
    "vmap of grad of vmap": lambda f: (
        lambda x, y: jax.vmap(jax.grad(lambda t: jax.vmap(f, (None, 0))(t, jnp.stack([y, x])).sum()))(jnp.stack([x, y]))
    ),
    "linearize": lambda f: lambda x, y: jax.linearize(f, x, y)[1](y, x),
    "linear_transpose of linearize": lambda f: lambda x, y: jax.linear_transpose(jax.linearize(f, x, y)[1], x, y)(x),
    "checkpoint": lambda f: jax.grad(lambda *a: jax.checkpoint(f)(*a).sum()),
    "scan": lambda f: jax.grad(lambda x, y: jax.lax.scan(lambda c, _: (f(c, y), c), x, None, length=3)[1].sum()),
    "cond": lambda f: jax.grad(lambda x, y: jax.lax.cond(x[0] > 0, f, lambda a, b: a, x, y).sum(), 1),
    "while_loop": lambda f: (
        lambda x, y: jax.jvp(
            lambda t: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, f(c[1], y)), (0, t))[1], (x,), (y,)
        )
    ),
    "custom_vjp around it": lambda f: jax.grad(lambda x, y: _doubled_gradient(functools.partial(f, y=y), x).sum()),
}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _doubled_gradient(f, x):
    return f(x)


_doubled_gradient.defvjp(lambda f, x: jax.vjp(f, x), lambda f, pullback, ct: (2 * pullback(ct)[0],))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
def test_jax_transforms_go_through_our_rules(name, jitted):
    wrap = jax.jit if jitted else lambda f: f
    transform = TRANSFORMS[name]
    assert_same(wrap(transform(ft.to_jax(ours)))(X, X + 1), jax.jit(transform(theirs))(X, X + 1), 512)


def test_trees_numbers_and_keyword_arguments():
    f = ft.to_jax(lambda tree, scale=1.0: {"out": (tree["a"] * scale, tree["n"] + 1), "none": None})
    tree = {"a": jnp.asarray(X), "n": 3}
    for run in (f, jax.jit(f)):
        result = run(tree, scale=2.0)
        assert_same(result["out"][0], X * 2)
        assert int(result["out"][1]) == 4
        assert result["none"] is None


def test_integer_and_boolean_arguments_have_float0_tangents():
    f = ft.to_jax(lambda x, i, b: (fnp.where(b, x, x * i), i + 1))
    i, b = np.arange(6, dtype=np.int32), X > 0
    _, tangents = jax.jvp(f, (X, i, b), (X, np.zeros(6, jax.dtypes.float0), np.zeros(6, jax.dtypes.float0)))
    assert tangents[1].dtype == jax.dtypes.float0
    assert_same(jax.grad(lambda x: f(x, i, b)[0].sum())(X), np.where(b, 1, i).astype(np.float32))
    gradients = jax.grad(lambda x, i: f(x, i, b)[0].sum(), (0, 1), allow_int=True)(X, i)
    assert gradients[1].dtype == jax.dtypes.float0


def test_a_function_may_close_over_what_jax_traces():
    @jax.jit
    def loss(w, x):
        return ft.to_jax(lambda t: fnp.sum(fnp.sin(t) * w))(x)

    def plain(w, x):
        return jnp.sum(jnp.sin(x) * w)

    assert_same(jax.grad(loss, (0, 1))(X, X * 2), jax.grad(plain, (0, 1))(X, X * 2))
    assert_same(jax.vmap(loss, (0, None))(np.stack([X, -X]), X), jax.vmap(plain, (0, None))(np.stack([X, -X]), X))


def test_transforms_of_functrans_inside_those_of_jax():
    def f(x):
        return fnp.sum(fnp.tanh(x) ** 3)

    both = jax.jit(jax.vmap(jax.grad(ft.to_jax(lambda x: fnp.sum(ft.grad(f)(x) ** 2)))))
    plain = jax.vmap(jax.grad(lambda x: jnp.sum(jax.grad(lambda t: jnp.sum(jnp.tanh(t) ** 3))(x) ** 2)))
    assert_same(both(np.stack([X, -X])), plain(np.stack([X, -X])))


def test_functrans_outside_jax_inside():
    inside = jax.jit(jax.grad(ft.to_jax(lambda x: fnp.sum(fnp.sin(x) * x))))
    outside = ft.hessian(lambda x: fnp.sum(ft.from_jax(inside)(x) ** 2))
    plain = jax.hessian(lambda x: jnp.sum(jax.grad(lambda t: jnp.sum(jnp.sin(t) * t))(x) ** 2))
    assert_same(outside(X), plain(X), 256)


def test_custom_rules_of_ours_serve_jax():
    @ft.custom_vjp
    def clip(x):
        return x

    clip.defvjp(lambda x: (x, x), lambda x, ct: (fnp.clip(ct, -0.5, 0.5) + x * 0,))

    @ft.custom_jvp
    def cube(x):
        return x * x * x

    cube.defjvp(lambda primals, tangents: (cube(*primals), 30.0 * primals[0] ** 2 * tangents[0]))
    assert_same(jax.grad(lambda x: (ft.to_jax(clip)(x) * 3).sum())(X), np.full(6, 0.5, np.float32))
    slope = jax.grad(ft.to_jax(cube))
    assert_same(jax.vmap(jax.jit(slope))(X), 30 * X**2)
    assert_same(jax.vmap(jax.grad(slope))(X), 60 * X)
    assert_same(jax.vmap(jax.grad(jax.grad(slope)))(X), np.full(6, 60, np.float32))


def test_control_flow_of_ours_serves_jax():
    def f(x):
        x = lax.scan(lambda c, _: (fnp.sin(c), c), x, None, length=3)[1].sum(0)
        return lax.cond(x[0] > 0, fnp.cos, lambda t: t * 2, x)

    def plain(x):
        x = jax.lax.scan(lambda c, _: (jnp.sin(c), c), x, None, length=3)[1].sum(0)
        return jax.lax.cond(x[0] > 0, jnp.cos, lambda t: t * 2, x)

    assert_same(jax.jit(jax.jacrev(ft.to_jax(f)))(X), jax.jit(jax.jacrev(plain))(X))
    lanes = np.stack([X, -X])
    assert_same(jax.vmap(jax.jacfwd(ft.to_jax(f)))(lanes), jax.jit(jax.vmap(jax.jacfwd(plain)))(lanes))


def test_random_keys_pass():
    def f(key, x):
        return x * ft.random.normal(key, x.shape)

    key = jax.random.key(2)
    expected = X * np.asarray(jax.random.normal(key, X.shape))
    assert_same(ft.to_jax(f)(key, X), expected)
    assert_same(jax.jit(ft.to_jax(f))(key, X), expected)
    assert_same(jax.grad(lambda x: ft.to_jax(f)(key, x).sum())(X), np.asarray(jax.random.normal(key, X.shape)))


def test_our_program_is_one_function_in_the_module_of_jax():
    text = jax.jit(ft.to_jax(ours)).lower(X, X).as_text()
    assert "call @functrans_ours" in text
    assert text.count("stablehlo.tanh") == 1
    assert "custom_call" not in text


def test_a_second_call_compiles_nothing():
    f = jax.jit(ft.to_jax(ours))
    f(X, X)
    assert f._cache_size() == 1
    f(X + 1, X)
    assert f._cache_size() == 1
    gradient = jax.grad(lambda x: ft.to_jax(ours)(x, X).sum())
    gradient(X)
    before = ft.compilation_count()
    gradient(X + 2)
    assert ft.compilation_count() == before


def test_exported_programs_hold_ours():
    exported = jax.export.export(jax.jit(ft.to_jax(ours)))(X, X)
    again = jax.export.deserialize(exported.serialize())
    assert_same(again.call(X, X + 1), theirs(X, X + 1))


def test_both_widths(both_widths):
    x = np.linspace(0.1, 1.0, 4)
    gradient = jax.jit(jax.grad(ft.to_jax(lambda t: fnp.sum(fnp.exp(t)))))
    assert_same(gradient(x), jax.grad(lambda t: jnp.sum(jnp.exp(t)))(x))


def test_inside_our_own_traces_the_function_is_called_as_it_is():
    assert_same(ft.grad(lambda x: fnp.sum(ft.to_jax(ours)(x, X)))(X), jax.grad(lambda x: theirs(x, X).sum())(X))


EFFECTS = {  # how often the function is called
    "itself": (lambda f: f, 1),
    "unused": (lambda f: lambda x: (f(x), x)[1], 1),
    "grad": (lambda f: jax.grad(lambda x: f(x).sum()), 1),
    "vmap": (lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x])), 2),
    "scan": (lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, None, length=3)[0], 3),
    "cond": (lambda f: lambda x: jax.lax.cond(x[0] < 0, f, lambda t: t, x), 1),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_calls_of_python_happen_inside_the_jax_program(name):
    seen = []

    def f(x):
        ft.debug.callback(lambda v: seen.append(v.shape), x)
        return fnp.sin(x)

    transform, times = EFFECTS[name]
    jax.block_until_ready(jax.jit(transform(ft.to_jax(f)))(X))
    jax.effects_barrier()
    assert seen == [(6,)] * times


def test_checks_raise_inside_the_jax_program():
    def root(x):
        ft.error_if(x < 0, "no root of {}", x.min())
        return fnp.sqrt(x)

    assert_same(jax.jit(jax.grad(lambda x: ft.to_jax(root)(x).sum()))(X + 1), 0.5 / np.sqrt(X + 1))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"no root of -0\.8"):
        jax.jit(ft.to_jax(root))(X)


def test_calls_of_python_in_the_order_of_the_program_keep_it(capsys):
    def f(x):
        ft.debug.print("first {}", x[0], ordered=True)
        ft.debug.print("second {}", x[1], ordered=True)
        return x * 2

    assert_same(jax.jit(ft.to_jax(f))(X), X * 2)
    jax.effects_barrier()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["first", "second"]


def test_the_function_is_traced_once_under_jit():
    traces = []

    def f(x):
        traces.append(1)
        return fnp.sin(x)

    jitted = jax.jit(ft.to_jax(f))
    for shift in range(3):
        jitted(X + shift)
    assert len(traces) == 1


def test_python_control_flow_on_values_is_refused_by_name():
    with pytest.raises(TypeError, match="while it is traced by to_jax of"):
        ft.to_jax(lambda x: x if x[0] > 0 else -x)(X)


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"an argument of to_jax\(<lambda>\) is 'a' of type str"):
        ft.to_jax(lambda x, name: x)(X, "a")
    with pytest.raises(TypeError, match="to_jax"):
        ft.to_jax(None)


def test_functions_and_transforms_of_functrans_met_by_a_tracer_of_jax_need_no_bridge():
    slope = jax.jit(lambda x: ft.grad(lambda t: fnp.sum(t * t))(x))
    assert_same(slope(X), 2 * X)
    assert_same(jax.jit(lambda x: fnp.sin(x))(X), np.sin(X))
