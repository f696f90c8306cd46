"""dtype and weak type of every result, cotangent and tangent are JAX's, over functions, transforms and arguments.

JAX's side is traced only (``jax.eval_shape``). Ours is called, since un-jitted transforms have ways of their own, with
programs that answer with ones of the types that an executable of theirs gives: nothing is compiled.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
from functrans import numpy as fnp
from functrans.jaxlib_compat import array_values, configuration
from functrans.xla import execute
from tests.turns import covering_share

F32, F16 = np.array([1.0, 2.0], np.float32), np.array([1.0, 2.0], np.float16)
float0 = jax.dtypes.float0

ARGUMENTS: dict[str, Callable[[], Any]] = {
    "float": lambda: 2.0,
    "complex": lambda: 1.0 + 2.0j,
    "np.float64": lambda: np.float64(2.0),
    "np.float16": lambda: np.float16(2.0),
    "float64 of rank 0": lambda: np.array(2.0),
    "weak array": lambda: jnp.asarray(2.0),
    "bfloat16": lambda: jnp.asarray(2.0, ml_dtypes.bfloat16),
    "float64": lambda: np.array([1.0, 2.0]),
    "float32": lambda: F32,
    "float16": lambda: F16,
    "complex128": lambda: np.array([1.0 + 1.0j, 2.0]),
    "weak vector": lambda: jnp.broadcast_to(jnp.asarray(2.0), (2,)),
}

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "x": lambda m, x: x,
    "x * 2.0": lambda m, x: x * 2.0,
    "x + 1": lambda m, x: x + 1,
    "x * x": lambda m, x: x * x,
    "sin": lambda m, x: m.sin(x),
    "x * sum(f32)": lambda m, x: x * m.sum(F32),
    "x * f16": lambda m, x: x * m.asarray(F16),
    "x * np.float32": lambda m, x: x * np.float32(3.0),
    "sum": lambda m, x: m.sum(x),
    "stack": lambda m, x: m.stack([x, x]),
    "constant": lambda m, x: 1.5,
    "pair": lambda m, x: (x * 2, 2.0),
    "astype": lambda m, x: m.asarray(x).astype(np.complex64),
}


def total(f: Any, m: Any) -> Callable[[Any], Any]:
    def g(x: Any) -> Any:
        leaves = jax.tree_util.tree_leaves(f(x))
        return m.sum(leaves[0]).real

    return g


def ones(y: Any) -> Any:
    return jax.tree_util.tree_map(lambda a: np.ones(np.shape(a), jnp.result_type(a)), y)


def value_and_cotangents(lib: Any, f: Any, x: Any, given: Callable[[Any], Any]) -> Any:
    y, pullback = lib.vjp(f, x)
    return y, pullback(given(y))


def value_and_tangents(lib: Any, f: Any, x: Any) -> Any:
    y, push = lib.linearize(f, x)
    return y, push(x)


def with_jvp_rule(lib: Any, f: Any) -> Any:
    g = lib.custom_jvp(lambda x: f(x))
    g.defjvp(lambda primals, tangents: lib.jvp(f, primals, tangents))
    return g


def with_vjp_rule(lib: Any, f: Any) -> Any:
    g = lib.custom_vjp(lambda x: f(x))
    g.defvjp(lambda x: lib.vjp(f, x), lambda pullback, ct: pullback(ct))
    return g


TRANSFORMS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "jit": lambda lib, m, f, x: lib.jit(f)(x),
    "grad": lambda lib, m, f, x: lib.grad(total(f, m))(x),
    "value_and_grad": lambda lib, m, f, x: lib.value_and_grad(total(f, m))(x),
    "jvp": lambda lib, m, f, x: lib.jvp(f, (x,), (x,)),
    "linearize": lambda lib, m, f, x: value_and_tangents(lib, f, x),
    "vjp, strong cotangents": lambda lib, m, f, x: value_and_cotangents(lib, f, x, ones),
    "vjp, its own cotangents": lambda lib, m, f, x: value_and_cotangents(lib, f, x, lambda y: y),
    "vjp under jit": lambda lib, m, f, x: lib.jit(lambda x: value_and_cotangents(lib, f, x, ones))(x),
    "jacfwd": lambda lib, m, f, x: lib.jacfwd(f)(x),
    "jacrev": lambda lib, m, f, x: lib.jacrev(f)(x),
    "hessian": lambda lib, m, f, x: lib.hessian(total(f, m))(x),
    "hvp": lambda lib, m, f, x: lib.jvp(lib.grad(total(f, m)), (x,), (x,)),
    "vmap": lambda lib, m, f, x: lib.vmap(f)(x),
    "vmap of nothing": lambda lib, m, f, x: lib.vmap(f, in_axes=None, axis_size=2)(x),
    "grad of jit": lambda lib, m, f, x: lib.grad(total(lib.jit(f), m))(x),
    "checkpoint": lambda lib, m, f, x: lib.grad(total(lib.checkpoint(f), m))(x),
    "custom_jvp": lambda lib, m, f, x: lib.value_and_grad(total(with_jvp_rule(lib, f), m))(x),
    "custom_vjp": lambda lib, m, f, x: value_and_cotangents(lib, with_vjp_rule(lib, f), x, lambda y: y),
    "scan": lambda lib, m, f, x: lib.lax.scan(lambda c, _: (c * 1, f(c)), x, None, length=2),
    "carry of scan": lambda lib, m, f, x: lib.lax.scan(lambda c, _: (f(c), None), x, None, length=2),
    "while_loop": lambda lib, m, f, x: lib.lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, f(c[1])), (0, x)),
    "cond": lambda lib, m, f, x: lib.jit(lambda x, p: lib.lax.cond(p, f, f, x))(x, True),
    "grad of cond": lambda lib, m, f, x: lib.grad(lambda x: lib.lax.cond(True, total(f, m), total(f, m), x))(x),
}


def described(tree: Any) -> Any:
    return [
        (str(x.dtype), bool(getattr(x, "weak_type", False)), tuple(x.shape))
        for x in (x if hasattr(x, "dtype") else fnp.asarray(x) for x in jax.tree_util.tree_leaves(tree))
    ]


def outcome(function: Callable[[], Any], run: Callable[[Callable[[], Any]], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return described(run(function))
        except (TypeError, ValueError, NotImplementedError, IndexError):
            return "refused"


def ones_of_its_types(program: execute.Program, *_: Any) -> list[Any]:
    device = configuration.default_device()
    return [
        np.zeros(t.shape, float0) if t.dtype == float0 else array_values.put(np.ones(t.shape, t.dtype), t, device)
        for t in program.jaxpr.out_types
    ]


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(execute.Program, "unchecked", ones_of_its_types)
    monkeypatch.setattr(execute.Program, "record", lambda *_: None)
    yield
    ft.clear_caches()


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("wide", [False, True], ids=["x64 off", "x64 on"])
def test_dtypes_and_weak_types_are_those_of_jax(transform: str, wide: bool) -> None:
    evaluate = TRANSFORMS[transform]
    differing = {}
    product = list(itertools.product(FUNCTIONS.items(), ARGUMENTS.items()))
    offset = 2 * list(TRANSFORMS).index(transform) + wide  # each with other pairs: all pairs in every run
    with jax.enable_x64(wide):
        for (name, f), (kind, make) in covering_share(product, 5, offset=offset):  # 5 divides neither factor
            x = make()
            expected = outcome(lambda f=f, x=x: evaluate(jax, jnp, lambda a: f(jnp, a), x), jax.eval_shape)
            found = outcome(lambda f=f, x=x: evaluate(ft, fnp, lambda a: f(fnp, a), x), lambda run: run())
            if found != expected:
                differing[name, kind] = (found, expected)
    assert not differing


def test_a_tangent_has_the_type_of_its_value() -> None:
    # On purpose: where a function returns its argument, JAX hands back the very tangent, strong beside a weak value.
    value, slope = ft.jvp(lambda x: x, (2.0,), (np.float32(1.0),))
    assert fnp.asarray(value).weak_type
    assert slope.weak_type


def test_a_product_of_a_weak_cotangent_keeps_the_narrow_dtype() -> None:
    _, pullback = ft.vjp(lambda x: x * fnp.sum(F32), 2.0)
    (weak,) = pullback(np.float32(1.0))
    assert (weak * np.float16(1.0)).dtype == np.float16
    _, pullback = ft.vjp(lambda x: x * 2.0, 2.0)
    (strong,) = pullback(np.float32(1.0))
    assert (strong * jnp.float16(1.0)).dtype == np.float32
