"""Operations that only JAX can lower go over the bridge as the module that JAX makes of them, with JAX's rules."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.extend.core
import jax.interpreters.mlir
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas

import functrans as ft
from functrans.interop.opaque import Opaque, OpaqueWithState
from functrans.ir.program import all_equations
from tests.agreement import assert_same

A = np.float32([[4, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 5]])
LANES = np.stack([A, 2 * A])
Function = Callable[..., Any]


def _sine(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = jnp.sin(x_ref[...]) * 2


def kernel(x: Any) -> Any:
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return pallas.pallas_call(_sine, out_shape=shape, interpret=True)(x)


def compiled_kernel(x: Any) -> Any:
    return pallas.pallas_call(_sine, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


@jax.custom_vjp
def differentiable_kernel(x: Any) -> Any:
    return kernel(x)


differentiable_kernel.defvjp(lambda x: (kernel(x), x), lambda x, ct: (2 * jnp.cos(x) * ct,))
exported = jax.export.deserialize(
    jax.export.export(jax.jit(lambda x: jnp.sin(x) * x.T))(A).serialize(vjp_order=2)
)  # fmt: skip


def factor(x: Any) -> Any:
    """The Cholesky factor by LAPACK's own function, as the library of another would be called."""
    layouts = [(0, 1) if x.ndim == 2 else (1, 2, 0), () if x.ndim == 2 else (0,)]
    shapes = (jax.ShapeDtypeStruct(x.shape, x.dtype), jax.ShapeDtypeStruct(x.shape[:-2], np.int32))
    call = jax.ffi.ffi_call(
        "lapack_spotrf_ffi", shapes, vmap_method="broadcast_all", input_layouts=layouts[:1], output_layouts=layouts
    )
    return jnp.tril(call(x, uplo=np.uint8(ord("L")))[0])


def sent_back(x: Any, source: Any = None) -> Any:
    """The numbers of ``source`` at the largest element of each window of x: what is said of the operation's parts."""
    scalar = jax.ShapeDtypeStruct((), x.dtype)
    larger, total = (jax.make_jaxpr(f)(scalar, scalar).jaxpr for f in (jax.lax.ge, jax.lax.add))
    return jax.lax.select_and_scatter_p.bind(
        x, x[:2, :1] if source is None else source, jnp.zeros((), x.dtype), select_jaxpr=larger, select_consts=(),
        scatter_jaxpr=total, scatter_consts=(), window_dimensions=(2, 3), window_strides=(1, 1),
        padding=((0, 0), (0, 0)),
    )  # fmt: skip


VALUES: dict[str, Function] = {
    "kernel": kernel,
    "kernel with a pullback": differentiable_kernel,
    "exported function": exported.call,
    "foreign function": factor,
    "select_and_scatter": sent_back,
}


@pytest.mark.parametrize("name", VALUES)
def test_values_and_lanes(name: str) -> None:
    """Where JAX has no rule for vmap, the lanes run one after the other."""
    function = VALUES[name]
    bridged = ft.from_jax(function)
    assert Opaque in {type(e.op) for e in all_equations(ft.make_jaxpr(bridged)(A))}
    assert_same(bridged(A), jax.jit(function)(A), 8)
    assert_same(ft.jit(lambda x: bridged(x) * 2)(A), 2 * function(A), 8)
    assert_same(ft.vmap(bridged)(LANES), jnp.stack([function(x) for x in LANES]), 8)
    assert_same(ft.vmap(ft.vmap(bridged))(LANES[None]), jnp.stack([function(x) for x in LANES])[None], 8)


def test_forward_mode_of_a_kernel() -> None:
    bridged = ft.from_jax(kernel)
    assert_same(ft.jvp(bridged, (A,), (LANES[1],)), jax.jvp(kernel, (A,), (LANES[1],)), 8)
    assert_same(ft.vmap(lambda t: ft.jvp(bridged, (A,), (t,))[1])(LANES), 2 * np.cos(A) * LANES, 8)


@pytest.mark.parametrize(("function", "plain"), [
    (differentiable_kernel, lambda x: 2 * jnp.sin(x)), (exported.call, lambda x: jnp.sin(x) * x.T),
], ids=["kernel", "exported"])  # fmt: skip
def test_reverse_mode(function: Function, plain: Function) -> None:
    def results(transforms: Any, function: Function) -> Any:
        def loss(x: Any) -> Any:
            return (function(x) * A).sum()

        gradient = transforms.grad(loss)
        return gradient(A), transforms.vmap(gradient)(LANES), transforms.jacrev(gradient)(A)

    assert_same(results(ft, ft.from_jax(function)), results(jax, plain), 64)


@pytest.mark.parametrize(("function", "text"), [
    (
        lambda: ft.grad(lambda x: ft.from_jax(kernel)(x).sum())(A),
        "(JAX does not transpose it|no rule for reverse mode).*jax.custom_vjp around",
    ),
    (lambda: ft.jvp(ft.from_jax(factor), (A,), (A,)), "JAX does not differentiate it.*lapack_spotrf_ffi"),
    (lambda: ft.jvp(ft.from_jax(sent_back), (A,), (A,)), "JAX has no rule for differentiation"),
    (
        lambda: ft.from_jax(compiled_kernel)(A), "JAX makes no program for cpu",
    ),
    (lambda: ft.jit(ft.vmap(compiled_kernel))(A), "JAX makes no program for cpu"),
    (lambda: ft.grad(lambda x: jax.lax.rng_uniform(0.0, x, (2,)).sum())(1.0), "no rule for differentiation"),
], ids=["transpose", "foreign", "places", "compiled kernel", "compiled kernel in passing", "limits"])  # fmt: skip
def test_what_jax_does_not_do_is_named_with_its_line(function: Any, text: str) -> None:
    with pytest.raises(NotImplementedError, match=f"(?s){text}") as refusal:
        function()
    assert "test_opaque.py:" in str(refusal.value)


def test_what_calls_python_from_inside_is_run_by_jax() -> None:
    """The module that JAX makes of it holds the address of a function that nobody would keep alive."""
    operation = jax.extend.core.Primitive("calls_python")
    operation.def_abstract_eval(lambda x: x)
    called = jax.interpreters.mlir.lower_fun(
        lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x), multiple_results=False
    )
    jax.interpreters.mlir.register_lowering(operation, called)
    function = ft.from_jax(lambda x: operation.bind(x))
    for call in (function, ft.jit(function), lambda x: ft.vmap(function)(x)):
        gc.collect()
        np.testing.assert_allclose(call(A), np.sin(A), rtol=1e-6)
    np.testing.assert_allclose(ft.jit(lambda x: operation.bind(x * 2.0) + 1.0)(A), np.sin(A * 2.0) + 1.0, rtol=1e-6)
    with pytest.raises(NotImplementedError, match="JAX has no rule for differentiation"):
        ft.jvp(function, (A,), (A,))


def test_numbers_without_a_key_are_other_ones_each_time() -> None:
    """Each place in a program where they are made, and each run of it, draws anew; one that is read twice is one."""
    draw = lambda: ft.lax.rng_uniform(np.float32(2), np.float32(3), (40,))
    assert [type(eqn.op) for eqn in ft.make_jaxpr(draw)().equations] == [OpaqueWithState]
    run = ft.jit(lambda x: (draw() * x, draw() * x, ft.lax.scan(lambda c, _: (c, draw()), 0, None, length=3)[1]))
    found = [x for _ in range(2) for a, b, more in [run(np.ones(40, np.float32))] for x in (a, b, *more)]
    assert len({float(x[0]) for x in found}) == len(found)
    assert all(x.min() >= 2 and x.max() < 3 and x.std() > 0.1 for x in found)
    loss = lambda x: ft.checkpoint(lambda x: draw() * x * x)(x).sum()
    value, slope = ft.jit(ft.value_and_grad(loss))(np.float32(1))
    np.testing.assert_allclose(slope, 2 * value, rtol=1e-6)  # what was drawn is kept, not drawn again
    lanes, limits = ft.vmap(lambda x: ft.lax.rng_uniform_p.bind(x, 2 * x, shape=(50,))), np.float32([1, 100])
    for run, given in ((lanes, limits), (ft.jit(ft.vmap(lanes)), np.stack([limits, 2 * limits]))):
        found = np.asarray(run(given)) / given[..., None]
        assert ((found >= 1) & (found < 2)).all() and found.std(-1).min() > 0.1
    un_jitted = ft.grad(lambda x: (draw() * x).sum())(np.ones(40, np.float32))
    assert ((un_jitted >= 2) & (un_jitted < 3)).all()


def test_tokens_order_nothing_and_do_no_harm() -> None:
    """They are of JAX where a function is traced; a function of functrans takes and returns none."""

    def f(x: Any) -> Any:
        ft.lax.after_all(ft.lax.create_token(), ft.lax.create_token(x))
        ft.lax.after_all_p.bind(ft.lax.create_token_p.bind())
        return jnp.sin(x)

    assert type(ft.lax.after_all(ft.lax.create_token())) is type(jax.lax.create_token())
    for g in (f, jax.jit(f), ft.from_jax(f), ft.jit(f)):
        assert_same(ft.jit(g)(A), jnp.sin(A), 8)
        assert_same(ft.vmap(ft.grad(lambda x, g=g: g(x).sum()))(LANES), jnp.cos(LANES), 8)
        assert_same(jax.jit(jax.grad(lambda x, g=g: g(x).sum()))(A), jnp.cos(A), 8)
    with pytest.raises(TypeError, match="not a number or an array"):
        ft.jit(lambda x: (x, ft.lax.create_token()))(A)
    with pytest.raises(TypeError, match=r"AbstractToken.* is no array.*test_opaque\.py"):
        ft.jit(jax.jit(lambda x: (x, jax.lax.create_token())))(A)
