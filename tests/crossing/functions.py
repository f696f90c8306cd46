"""Functions of one array written with JAX, or with both libraries, to be differentiated by either.

Each takes ``x: f32[3]`` to a number and is smooth where it is asked. ``ft`` and ``fnp`` stand in some of them: to
JAX alone these are operations of one kind, ``functrans``, in its program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import ode, sparse

import functrans as ft
import functrans.lax
import functrans.numpy as fnp


@jax.custom_jvp
def jvp_rule(x: Any) -> Any:
    return jnp.sin(x)


jvp_rule.defjvps(lambda t, ans, x: 3 * t * x)


@jax.custom_vjp
def vjp_rule(x: Any) -> Any:
    return jnp.sin(x)


vjp_rule.defvjp(lambda x: (vjp_rule(x), x), lambda x, ct: (ct * 5 * x,))


@jax.custom_vjp
def rule_of_operators(x: Any) -> Any:
    return x * 2  # no call of JAX: what tells a tracer that there is a rule is the function itself


rule_of_operators.defvjp(lambda x: (x * 2, None), lambda _, ct: (ct * 3,))


def rule_made_inside(x: Any) -> Any:
    @jax.custom_jvp
    def f(y: Any) -> Any:
        return jnp.sin(y)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        return f(primals[0]), tangents[0] * 2 * primals[0]

    return jnp.sum(f(x))


def root(x: Any) -> Any:
    def newton(f: Any, guess: Any) -> Any:
        return lax.fori_loop(0, 20, lambda _, y: y - f(y) / (3 * y**2), guess)

    target = jnp.sum(x) ** 2
    return lax.custom_root(lambda y: y**3 - target, jnp.sum(x), newton, lambda g, y: y / g(1.0))


def linear_solution(x: Any) -> Any:
    matrix = jnp.diag(2 + x**2) + 0.1

    def solve(matvec: Any, b: Any) -> Any:
        return jnp.linalg.solve(jax.jacobian(matvec)(b), b)

    return jnp.sum(lax.custom_linear_solve(lambda v: matrix @ v, x, solve, symmetric=True) ** 2)


def reference(x: Any) -> Any:
    held = jax.new_ref(x)
    held[...] = held[...] * x
    held[0] += x[1]
    return jnp.sum(jax.freeze(held))


def reference_in_scan(x: Any) -> Any:
    held = jax.new_ref(jnp.zeros(()))

    def body(c: Any, t: Any) -> Any:
        held[...] += c * t
        return c * t, None

    jax.lax.scan(body, jnp.float32(1), x)
    return held[...]


def solved_in_time(x: Any) -> Any:
    return jnp.sum(ode.odeint(lambda y, t: -y * jnp.sum(x) * 0.1, x, jnp.array([0.0, 0.5]))[-1])


def solved_with_parameters(x: Any) -> Any:
    """Its rule solves an equation again, whose field is an argument there and was closed over here."""
    times = jnp.array([0.0, 0.3, 0.5])
    return jnp.sum(ode.odeint(lambda y, t, a: -y * jnp.sin(y) * jnp.sum(a), jnp.ones(2), times, x)[-1])


def sparse_product(x: Any) -> Any:
    return jnp.sum(sparse.BCOO((jnp.arange(3.0), jnp.array([[0, 1], [1, 0], [2, 2]])), shape=(3, 3)) @ x * x)


def printed(x: Any) -> Any:
    jax.debug.print("{}", jnp.sum(x), ordered=False)
    return jnp.sum(x**2)


def called_back(x: Any) -> Any:
    shape = jax.ShapeDtypeStruct((), np.int32)
    count = jax.pure_callback(lambda a: np.int32(a.size), shape, lax.stop_gradient(x), vmap_method="sequential")
    return jnp.sum(x**2) * count


def sharded(x: Any) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("shard",))
    spec = jax.sharding.PartitionSpec("shard")
    body = lambda y: y * lax.psum(jnp.sin(y), "shard")
    return jnp.sum(jax.shard_map(body, mesh=mesh, in_specs=spec, out_specs=spec)(x))


JAX_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: jnp.sum(jnp.sin(x) * x + jnp.exp(-x) / (1 + x * x)),
    "relu": lambda x: jnp.sum(jax.nn.relu(x) * x**2),
    "gelu and softmax": lambda x: jnp.sum(jax.nn.softmax(jax.nn.gelu(x)) * x),
    "logsumexp": lambda x: jax.scipy.special.logsumexp(x * x),
    "normal density": lambda x: jax.scipy.stats.norm.logpdf(x).sum() * x.sum(),
    "normal draws": lambda x: jnp.sum(jax.random.normal(jax.random.key(0), (3,)) * x * x),
    "lax": lambda x: lax.reduce(lax.mul(lax.tanh(x), x), np.float32(0), lax.add, (0,)),
    "solve": lambda x: jnp.sum(jnp.linalg.solve(jnp.eye(3) * 2 + jnp.outer(jnp.ones(3), x), jnp.ones(3) * x)),
    "einsum": lambda x: jnp.einsum("i,j,ij->", x, jnp.sin(x), jnp.eye(3) + 1),
    "update": lambda x: jnp.sum(jnp.zeros(3).at[1].set(jnp.sum(x)).at[jnp.array([0, 2])].add(x[0]) ** 2),
    "index": lambda x: jnp.sum(x[::-1] * x[jnp.array([0])]),
    "sort": lambda x: jnp.sum(jnp.sort(x) * x * jnp.arange(3)),
    "where": lambda x: jnp.sum(jnp.where(x > 1.5, x**2, x**3)),
    "interpolation": lambda x: jnp.sum(jnp.interp(x + 0.5, jnp.arange(5.0), jnp.arange(5.0) ** 2) * x),
    "fft": lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x * x)) ** 2),
    "convolution": lambda x: jnp.sum(jnp.convolve(x, jnp.array([1.0, 2.0])) ** 2),
    "NumPy constant": lambda x: jnp.sum(x * x * np.arange(3, dtype=np.float32)),
    "tree": lambda x: jnp.sum(jax.tree.map(lambda a: a * a, {"a": x, "b": None})["a"]),
    "clip": lambda x: jnp.sum(jnp.clip(x, 0.5, 2.5) * x),
    "stop_gradient": lambda x: jnp.sum(lax.stop_gradient(x) * x * x),
    "sparse": sparse_product,
    "cumsum": lambda x: jnp.sum(jnp.cumsum(x) ** 2),
}

JAX_TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "jit": lambda x: jnp.sum(jax.jit(lambda y: y * x)(x**2)),
    "grad": lambda x: jnp.sum(jax.grad(lambda y: jnp.sum(y**3 * x))(x)),
    "vjp": lambda x: jnp.sum(jax.vjp(lambda y: jnp.sin(y) * x, x)[1](x)[0]),
    "jvp": lambda x: jnp.sum(jax.jvp(lambda y: jnp.sin(y) * x, (x,), (x,))[1]),
    "linearize": lambda x: jnp.sum(jax.linearize(lambda y: jnp.sin(y) * x, x)[1](x)),
    "vmap": lambda x: jnp.sum(jax.vmap(lambda y: y * jnp.sum(x))(x)),
    "hessian": lambda x: jnp.sum(jax.hessian(lambda y: jnp.sum(y**3 * x))(x)),
    "jacfwd": lambda x: jnp.sum(jax.jacfwd(lambda y: y**3 * x)(x)),
    "checkpoint": lambda x: jnp.sum(jax.checkpoint(lambda y: jnp.sin(y) * x)(x)),
    "scan": lambda x: lax.scan(lambda c, t: (jnp.sin(c) * jnp.sum(x) + t, None), 1.0, x)[0],
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, c: c * jnp.sum(x), jnp.float32(1)),
    "map": lambda x: jnp.sum(lax.map(lambda t: t * jnp.sum(x), x)),
    "associative_scan": lambda x: jnp.sum(lax.associative_scan(jnp.multiply, x)),
    "cond": lambda x: lax.cond(jnp.sum(x) > 0, lambda y: jnp.sum(y * x), lambda y: jnp.sum(y), x),
    "cond without operands": lambda x: lax.cond(True, lambda: jnp.sum(x * x), lambda: jnp.float32(0)),
    "switch": lambda x: lax.switch(1, [lambda y: jnp.sum(y), lambda y: jnp.sum(y * x)], x),
    "custom_jvp": lambda x: jnp.sum(jvp_rule(x) * x),
    "custom_vjp": lambda x: jnp.sum(vjp_rule(x) * x),
    "custom_vjp without a call of JAX": lambda x: jnp.sum(rule_of_operators(rule_of_operators(x)) ** 2),
    "custom_jvp made inside": rule_made_inside,
    "custom_root": root,
    "custom_linear_solve": linear_solution,
    "eval_shape": lambda x: jnp.sum(x**2) * jax.eval_shape(lambda y: y * x, x).shape[0],
    "make_jaxpr": lambda x: jnp.sum(x**2) * len(jax.make_jaxpr(lambda y: jnp.sin(y) * x)(1.0).eqns),
    "new_ref": reference,
    "new_ref in scan": reference_in_scan,
    "closure_convert": solved_in_time,
    "odeint": solved_with_parameters,
    "debug.print": printed,
    "pure_callback": called_back,
    "shard_map": sharded,
}

BOTH: dict[str, Callable[[Any], Any]] = {
    "functrans in jax.jit": lambda x: jnp.sum(jax.jit(lambda y: fnp.sin(y) * fnp.cos(x))(x)),
    "functrans.grad in jax.grad": lambda x: jnp.sum(
        jax.grad(lambda y: ft.grad(lambda z: fnp.sum(z**3 * y * x))(x).sum())(x)
    ),
    "functrans.scan": lambda x: functrans.lax.scan(lambda c, t: (c * fnp.sum(x) + jnp.sin(t), None), 1.0, x)[0],
    "functrans.cond in jax.cond": lambda x: lax.cond(
        True,
        lambda: functrans.lax.cond(jnp.sum(x) > 0, lambda: jnp.sum(x * x), lambda: jnp.float32(0)),
        lambda: jnp.float32(0),
    ),
    "functrans.vmap in jax.vmap": lambda x: jnp.sum(
        jax.vmap(lambda y: ft.vmap(lambda z: z * y * jnp.sum(x))(x))(x)
    ),
    "functrans.jvp in jax.scan": lambda x: lax.scan(
        lambda c, t: (ft.jvp(lambda z: jnp.sin(z) * t, (c,), (t,))[1], None), jnp.sum(x), x
    )[0],
}

FUNCTIONS = {**JAX_FUNCTIONS, **JAX_TRANSFORMS, **BOTH}
WITHOUT_FORWARD_MODE = {name for name in FUNCTIONS if name.startswith("custom_vjp")} | {"closure_convert", "odeint"}
# A reference inside of two JAX transforms of which one is reverse mode is refused by JAX or by us.
ONCE = {"new_ref", "new_ref in scan"}
