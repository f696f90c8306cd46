"""``from_jax``: what it traces, remembers, captures and keeps, and what it says when it cannot."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.control.custom_rules import CustomJvp, CustomVjp
from functrans.ir.program import all_equations
from tests.agreement import assert_same

X = np.linspace(-0.9, 0.8, 6, dtype=np.float32)


def operations(function, *arguments):
    return [type(eqn.op).__name__ for eqn in ft.make_jaxpr(function)(*arguments).equations]


# -- signatures --------------------------------------------------------------------------------------------------------


def test_jax_traces_a_signature_once():
    traces = []

    def f(x):
        traces.append(x.shape)
        return jnp.sin(x).sum()

    bridged = ft.from_jax(f)
    for _ in range(3):
        bridged(X)
        ft.grad(bridged)(X)
        ft.vmap(bridged)(np.stack([X, X]))
        ft.hessian(bridged)(X)
    assert traces == [(6,)]
    bridged(X[:2])
    assert traces == [(6,), (2,)]


def test_the_width_of_numbers_is_part_of_the_signature():
    bridged = ft.from_jax(lambda x: x * 2)
    assert bridged(np.arange(2.0, dtype=np.float32)).dtype == np.float32
    with jax.enable_x64(True):
        assert bridged(np.arange(2.0)).dtype == np.float64


def test_static_arguments_by_position_and_by_name():
    def f(x, power, *, scale="one"):
        return x**power * (2.0 if scale == "two" else 1.0)

    bridged = ft.from_jax(f, static_argnums=1, static_argnames="scale")
    assert_same(bridged(X, 2), X**2)
    assert_same(bridged(X, 3, scale="two"), 2 * X**3)
    assert_same(ft.grad(lambda x: bridged(x, 2, scale="two").sum())(X), 4 * X)


def test_trees_go_in_and_come_out():
    def f(tree, *, offset):
        return {"sum": tree["a"] + tree["b"][0], "none": None, "more": (tree["a"] * offset, 3)}

    tree = {"a": X, "b": [X * 2, None]}
    assert_same(ft.from_jax(f)(tree, offset=2.0), jax.jit(f)(tree, offset=2.0))


def test_weak_types_are_those_of_jax():
    for arguments in ((2.0,), (X,), (2,), (np.float32(2),), (True,)):
        for f in (lambda x: x, lambda x: x * 2, lambda x: jnp.sin(x), lambda x: (x, 1.0, jnp.ones(()) * x)):
            assert_same(ft.from_jax(f)(*arguments), jax.jit(f)(*arguments))


def test_a_bridged_function_is_dropped_with_its_programs():
    class Model:
        def __call__(self, x):
            return jnp.sin(x)

    model = Model()
    bridged = ft.from_jax(model)
    bridged(X)
    gone = weakref.ref(model)
    del model, bridged
    gc.collect()
    ft.clear_caches()
    gc.collect()
    assert gone() is None


def test_the_bridge_is_loaded_when_it_is_asked_for():
    check = "import sys, functrans; assert 'functrans.interop' not in sys.modules; functrans.from_jax; functrans.to_jax"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="module 'functrans' has no attribute 'from_torch'"):
        ft.from_torch


# -- closures ----------------------------------------------------------------------------------------------------------


def test_arrays_closed_over_are_inputs_of_the_program():
    weights = jnp.arange(6.0)
    program = ft.make_jaxpr(ft.from_jax(lambda x: x * weights))(X)
    assert len(program.inputs) == 2
    assert_same(ft.grad(ft.from_jax(lambda x: (x * weights).sum()))(X), weights)


def test_arrays_closed_over_inside_loops_and_rules():
    weights = jnp.arange(6.0)

    @jax.custom_jvp
    def scaled(x):
        return x * weights

    scaled.defjvp(lambda primals, tangents: (scaled(*primals), tangents[0] * weights * 2))

    def f(x):
        return jax.lax.scan(lambda c, _: (scaled(c) * weights, None), x, None, length=2)[0].sum()

    assert_same(ft.grad(ft.from_jax(f))(X), jax.grad(f)(X))
    assert_same(ft.vmap(ft.grad(ft.from_jax(f)))(np.stack([X, -X])), jax.vmap(jax.grad(f))(np.stack([X, -X])))


@pytest.mark.parametrize(
    "function", [lambda x, w: jnp.sin(x) * w, lambda x, w: jnp.multiply(x, w)], ids=["by an operator", "by a function"]
)
def test_a_bridged_function_that_closes_over_a_traced_value_is_differentiated_by_it(function):
    def outer(w):
        return ft.from_jax(lambda x: function(x, w))(X).sum()

    expected = jax.grad(lambda w: function(X, w).sum())(2.0)
    assert_same(ft.grad(outer)(2.0), expected)
    assert_same(ft.jit(ft.grad(outer))(2.0), expected)
    assert_same(ft.grad(lambda w: ft.from_jax(function)(X, w).sum())(2.0), expected)


def test_a_bridged_function_works_between_functions_of_functrans():
    def f(x, y):
        inner = ft.vmap(ft.from_jax(lambda a: jnp.tanh(a) * 2))(fnp.sin(x))
        return fnp.sum(inner * y) + ft.from_jax(jnp.sum)(inner) * y[0]

    def plain(x, y):
        inner = jnp.tanh(jnp.sin(x)) * 2
        return jnp.sum(inner * y) + jnp.sum(inner) * y[0]

    assert_same(ft.hessian(f, (0, 1))(X, X + 1), jax.jit(jax.hessian(plain, (0, 1)))(X, X + 1), 256)


# -- structure ---------------------------------------------------------------------------------------------------------


def test_short_callees_are_written_in_place_and_long_ones_stay_calls():
    def long(x):
        for _ in range(10):
            x = jnp.sin(x) * 1.5
        return x

    layer = jax.jit(long)
    assert operations(ft.from_jax(lambda x: jax.nn.silu(x)), X) == ["Logistic", "Mul"]
    assert operations(ft.from_jax(lambda x: layer(layer(x))), X) == ["Call", "Call"]
    first, second = ft.make_jaxpr(ft.from_jax(lambda x: layer(layer(x))))(X).equations
    assert first.op == second.op


def test_control_flow_stays_control_flow():
    def f(x):
        x = jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=3)[0]
        x = jax.lax.while_loop(lambda c: c.sum() < 3, lambda c: c + 1, x)
        return jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)

    assert [name for name in operations(ft.from_jax(f), X) if name in ("Scan", "While", "Switch")] == [
        "Scan",
        "While",
        "Switch",
    ]


def test_rules_stay_rules():
    @jax.custom_jvp
    def f(x):
        return jnp.sin(x)

    f.defjvp(lambda primals, tangents: (f(*primals), 7 * tangents[0]))

    @jax.custom_vjp
    def g(x, n):
        return jnp.sin(x) * n, x

    g.defvjp(lambda x, n: (g(x, n), (x, n)), lambda r, ct: (ct[0] * r[0] * r[1] + ct[1], None))
    program = ft.make_jaxpr(ft.from_jax(lambda x: g(f(x), 3)[0]))(X)
    assert {CustomJvp, CustomVjp} <= {type(eqn.op) for eqn in all_equations(program)}
    for order in (ft.grad, lambda h: ft.grad(lambda x: ft.grad(h)(x).sum())):
        reference = jax.grad if order is ft.grad else lambda h: jax.grad(lambda x: jax.grad(h)(x).sum())
        assert_same(
            order(ft.from_jax(lambda x: (g(f(x), 3)[0] * x).sum()))(X),
            reference(lambda x: (g(f(x), 3)[0] * x).sum())(X),
        )


def test_a_rule_with_symbolic_zeros_is_told_what_is_differentiated():
    seen = []

    @jax.custom_vjp
    def f(x, y):
        return x * y

    def forward(x, y):
        seen.append((x.perturbed, y.perturbed))
        return x.value * y.value, (x.value, y.value)

    f.defvjp(forward, lambda r, ct: (ct * r[1], 3 * ct * r[0]), symbolic_zeros=True)
    bridged = ft.from_jax(f)
    assert_same(ft.grad(lambda x: bridged(x, X).sum())(X), X)
    assert seen[-1] == (True, False)
    assert_same(ft.grad(lambda y: bridged(X, y).sum())(X), 3 * X)
    assert seen[-1] == (False, True)
    for transform in (
        lambda T, h: T.vmap(T.grad(lambda x: h(x, x) * x)),
        lambda T, h: T.grad(lambda x: T.vmap(lambda t: h(t, t) * t)(x).sum()),
        lambda T, h: T.hessian(lambda x: (h(x, x) * x).sum()),
    ):
        assert_same(transform(ft, bridged)(X), transform(jax, f)(X))


def test_a_forward_rule_with_symbolic_zeros():
    @jax.custom_jvp
    def f(x, y):
        return x * y

    def rule(primals, tangents):
        (x, y), (dx, dy) = primals, tangents
        zero = jax.custom_derivatives.SymbolicZero
        dx, dy = [jnp.zeros_like(x) if type(t) is zero else t for t in (dx, dy)]
        return x * y, dx * y + 5 * x * dy

    f.defjvp(rule, symbolic_zeros=True)
    bridged = ft.from_jax(f)
    for transform in (
        lambda T, h: T.grad(lambda x: h(x, X).sum()),
        lambda T, h: T.vmap(T.grad(lambda x: h(x, x) * x)),
        lambda T, h: T.jit(T.grad(lambda x: T.vmap(lambda t: h(t, t) * t)(x).sum())),
    ):
        assert_same(transform(ft, bridged)(X), transform(jax, f)(X))


def test_a_rule_that_refuses_matters_only_to_who_differentiates():
    @jax.custom_jvp
    def f(x):
        return x * 2

    @f.defjvp
    def _(primals, tangents):
        raise RuntimeError("f has no derivative")

    bridged = ft.from_jax(lambda x, y: f(x) * y)
    assert_same(ft.grad(lambda y: bridged(X, y).sum())(X), X * 2)
    with pytest.raises(RuntimeError, match="f has no derivative"):
        ft.grad(lambda x: bridged(x, X).sum())(X)


def test_collectives_over_a_named_axis_of_vmap():
    def f(x):
        return x - jax.lax.pmean(x, "i") + jax.lax.pmax(x, "i") * jax.lax.axis_index("i") + jax.lax.psum(1, "i")

    expected = jax.vmap(f, axis_name="i")(X)
    assert_same(ft.vmap(ft.from_jax(f), axis_name="i")(X), expected)
    gather = ft.vmap(ft.from_jax(lambda x: jax.lax.all_gather(x, "i").sum()), axis_name="i")
    assert_same(gather(X), jax.vmap(lambda x: jax.lax.all_gather(x, "i").sum(), axis_name="i")(X))


def test_the_name_of_an_axis_holds_in_our_functions_that_a_jax_function_calls():
    counted = ft.from_jax(lambda x: x * ft.lax.axis_size("i"))
    assert_same(ft.vmap(counted, axis_name="i")(X), X * 6)
    summed = ft.from_jax(lambda x: 2.0 * ft.to_jax(lambda y: ft.lax.psum(y, "i"))(x))
    assert_same(ft.vmap(summed, axis_name="i")(X), np.full(6, 2.0 * X.sum(), np.float32), operations=8)


def test_keys_go_over_the_bridge():
    key = jax.random.key(3)
    bridged = ft.from_jax(lambda k, x: x * jax.random.normal(k, x.shape))
    assert_same(bridged(key, X), X * np.asarray(jax.random.normal(key, X.shape)))
    assert_same(ft.vmap(bridged, (0, None))(jax.random.split(key, 2), X).shape, (2, 6))
    made = ft.from_jax(lambda s: jax.random.split(jax.random.key(s)))(5)
    assert (jax.random.key_data(made) == jax.random.key_data(jax.random.split(jax.random.key(5)))).all()


def test_callbacks_and_prints_go_over_the_bridge(capsys):
    def f(x):
        jax.debug.print("x is {:.1f}", x[0])
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential") * 2

    ft.from_jax(f)(X)
    assert "x is -0.9" in capsys.readouterr().out
    assert_same(ft.vmap(ft.from_jax(f))(np.stack([X, X * 2])), 2 * np.sin(np.stack([X, X * 2])))
    seen = []

    def g(x):
        jax.debug.callback(lambda v: seen.append(float(v)), x.sum())
        return jax.experimental.io_callback(lambda v: np.float32(v.sum()), jax.ShapeDtypeStruct((), np.float32), x)

    assert_same(ft.from_jax(g)(X), X.sum())
    assert len(seen) == 1


def test_an_operation_of_another_library_is_what_its_implementation_does():
    twice = jax.extend.core.Primitive("twice")
    twice.def_impl(lambda x, *, by: jnp.sin(x) * by)
    twice.def_abstract_eval(lambda x, *, by: x)
    assert_same(ft.grad(ft.from_jax(lambda x: twice.bind(x, by=2.0).sum()))(X), 2 * np.cos(X))


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_an_operation_without_counterpart_is_named_with_its_line():
    unknown = jax.extend.core.Primitive("unheard_of")
    unknown.def_abstract_eval(lambda x: x)

    def model(x):
        return unknown.bind(jnp.sin(x))

    with pytest.raises(NotImplementedError, match="the JAX function model uses the operation unheard_of at") as refusal:
        ft.from_jax(model)(X)
    text = str(refusal.value)
    assert "test_from_jax.py" in text
    assert "return unknown.bind(jnp.sin(x))" in text
    assert "Compute that part outside of the function" in text


def test_an_accuracy_cannot_be_asked_for():
    f = ft.from_jax(lambda x: jax.lax.exp(x, accuracy=jax.lax.Tolerance(atol=1e-3)))
    with pytest.raises(NotImplementedError, match=r"a required accuracy .* cannot be asked for, in the operation exp"):
        f(X)


def test_arguments_that_are_no_arrays_are_named():
    with pytest.raises(TypeError, match=r"an argument of from_jax\(<lambda>\) is 'relu' of type str"):
        ft.from_jax(lambda x, name: x)(X, "relu")
    with pytest.raises(TypeError, match="from_jax"):
        ft.from_jax(3)


def test_an_error_of_jax_reaches_the_user():
    with pytest.raises(TypeError, match="incompatible shapes for broadcasting"):
        ft.from_jax(lambda x: x + jnp.ones(3))(X)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        ft.from_jax(lambda x: x if x.sum() > 0 else -x)(X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.sin(x),
        lambda x: jax.lax.sin(x),
        lambda x: jax.jit(lambda t: t * t)(x),
        lambda x: jax.grad(lambda y: (y * y * x).sum())(jnp.ones(6)),
        lambda x: jax.vmap(lambda t: t * x[0])(x),
        lambda x: jax.nn.relu(x),
    ],
    ids=["jax.numpy", "jax.lax", "jax.jit", "closure of jax.grad", "jax.vmap", "jax.nn"],
)
def test_jax_functions_that_meet_a_tracer_need_no_bridge(function):
    expected = jax.grad(lambda x: jnp.sum(function(x)))(X)
    assert_same(ft.grad(lambda x: fnp.sum(function(x)))(X), expected)
    assert_same(ft.grad(lambda x: fnp.sum(ft.from_jax(function)(x)))(X), expected)


COLLECTIVES = {
    "ppermute": lambda x: jax.lax.ppermute(x, "i", [(0, 1), (1, 0)]),
    "pshuffle": lambda x: jax.lax.pshuffle(x, "i", [1, 0]),
    "psum_scatter": lambda x: jax.lax.psum_scatter(x, "i"),
    "psum_scatter tiled": lambda x: jax.lax.psum_scatter(x, "i", tiled=True),
    "all_to_all": lambda x: jax.lax.all_to_all(x, "i", 0, 1),
    "all_gather tiled": lambda x: jax.lax.all_gather(x, "i", axis=1, tiled=True),
}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_exchanges_between_lanes(name):
    lanes = np.sin(np.arange(12, dtype=np.float32)).reshape(2, 2, 3)
    function = COLLECTIVES[name]
    expected = jax.vmap(function, axis_name="i")(lanes)
    assert_same(ft.vmap(ft.from_jax(function), axis_name="i")(lanes), expected)


def test_shard_map_is_a_vmap_over_its_blocks():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("i", "j"))
    spec = jax.sharding.PartitionSpec
    x = np.sin(np.arange(8, dtype=np.float32)).reshape(2, 4)

    def block(x, w):
        return jax.lax.psum(x, "i") * w, jax.lax.all_gather(x, "j"), x + jax.lax.axis_index("j")

    outs = (spec(None, "j"), spec("i", None, "j"), spec(("i", "j")))
    f = jax.shard_map(block, mesh=mesh, in_specs=(spec("i", "j"), spec()), out_specs=outs, check_vma=False)
    assert_same(ft.from_jax(f)(x, x[0]), jax.jit(f)(x, x[0]))
    slopes = jax.jit(jax.grad(lambda x, w: (f(x, w)[0] ** 2).sum(), (0, 1)))(x, x[0])
    assert_same(ft.grad(lambda x, w: (ft.from_jax(f)(x, w)[0] ** 2).sum(), (0, 1))(x, x[0]), slopes)


def test_shard_map_over_many_devices():
    check = """
import jax, numpy as np, functrans as ft
from jax import lax
from jax.sharding import PartitionSpec as P
mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 2), ("i", "j"))
x = np.sin(np.arange(32, dtype=np.float32)).reshape(4, 8)
def block(x, w):
    return lax.psum(x, "i") * w, lax.all_gather(x, "j"), lax.ppermute(x, "i", [(0, 1), (1, 0)])
specs = dict(in_specs=(P(("j", "i")), P()), out_specs=(P("j"), P("i", None, "j"), P(("j", "i"))), check_vma=False)
f = jax.shard_map(block, mesh=mesh, **specs)
for found, expected in zip(ft.from_jax(f)(x, x[0]), jax.jit(f)(x, x[0]), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
"""
    options = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False, env=options)
    assert done.returncode == 0, done.stderr


def test_a_vmap_rule_stays_the_rule():
    weights = jnp.arange(6.0)

    @jax.custom_batching.custom_vmap
    def f(x, tree):
        return jnp.sin(x) * tree["a"] * weights

    @f.def_vmap
    def _(size, batched, x, tree):
        assert size == 2
        scale = tree["a"] if batched[1]["a"] else tree["a"][None]
        return (jnp.cos(x) if batched[0] else x) * scale, True

    bridged, lanes = ft.from_jax(f), np.stack([X, -X])
    assert_same(bridged(X, {"a": X}), f(X, {"a": X}))
    for axes in ((0, 0), (0, None), (None, 0)):
        arguments = [lanes if axis == 0 else X for axis in axes]
        expected = jax.vmap(lambda x, a: f(x, {"a": a}), axes)(*arguments)
        assert_same(ft.vmap(lambda x, a: bridged(x, {"a": a}), axes)(*arguments), expected)
    slopes = ft.vmap(ft.grad(lambda x: bridged(x, {"a": X}).sum()))(lanes)
    assert_same(slopes, -np.sin(lanes) * X)  # of the rule


def test_references_inside_a_function_become_values():
    def f(x):
        total = jax.new_ref(x)

        def add(c, i):
            total[...] = total[...] * 2 + i
            return c, total[0]

        steps = jax.lax.scan(add, 0, jnp.arange(3.0))[1]
        total[1] += steps[0]
        return total[...], steps, jax.jit(lambda t: jax.freeze(jax.new_ref(t)) * 2)(x)

    bridged = ft.from_jax(f)
    assert_same(bridged(X), jax.jit(f)(X))
    assert_same(ft.grad(lambda x: bridged(x)[0].sum())(X), jax.grad(lambda x: f(x)[0].sum())(X))
    assert_same(ft.vmap(bridged)(np.stack([X, -X])), jax.vmap(f)(np.stack([X, -X])))


def test_a_reference_from_outside_is_refused():
    outside = jax.new_ref(jnp.ones(6))

    def f(x):
        outside[...] += x
        return x

    with pytest.raises(TypeError, match="the JAX function f closes over a reference made outside of it") as refusal:
        ft.from_jax(f)(X)
    assert "return what it is at the end (jax.freeze)" in str(refusal.value)


def test_a_rule_whose_function_closes_over_a_traced_value():
    def f(x, w):
        @jax.custom_vjp
        def g(x):
            return x * w

        g.defvjp(lambda x: (x * factor, None), lambda _, ct: (3 * ct,))
        return g(x) * jnp.sin(w)

    bridged, w, factor = ft.from_jax(f), np.float32(2), 2
    assert_same(ft.grad(lambda x: bridged(x, w).sum())(X), np.full(6, 3 * np.sin(w), np.float32))
    with pytest.raises(TypeError, match="differentiated with respect to a value it closes over"):
        ft.grad(lambda w: bridged(X, w).sum())(w)


def test_a_rule_that_closes_over_a_traced_value_is_refused():
    def f(x, w):
        @jax.custom_vjp
        def g(x):
            return x * w

        g.defvjp(lambda x: (x * w, None), lambda _, ct: (3 * ct,))
        return g(x)

    with pytest.raises(NotImplementedError, match="a derivative rule closes over a value that JAX traced"):
        ft.grad(lambda x: ft.from_jax(f)(x, 2.0).sum())(X)


def test_what_a_rule_computes_beside_its_tangents_need_not_be_linear():
    bridged = ft.from_jax(lambda x: jax.scipy.special.zeta(x + 3, 1.5).sum())
    expected = jax.jit(jax.grad(lambda x: jax.scipy.special.zeta(x + 3, 1.5).sum()))(X)
    assert_same(ft.grad(bridged)(X), expected, 256)
