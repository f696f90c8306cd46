"""The same program written once for functrans and for JAX: the operations of each under one set of names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functrans
from functrans.api.conditional import cond, switch
from functrans.api.loops import fori_loop, map, scan, while_loop
from functrans.ops import elementwise, functions, logic
from functrans.ops.dynamic_slicing import dynamic_slice
from functrans.ops.structural import convert_element_type, full, reduce_sum, reshape, stop_gradient


def _sum(x: Any) -> Any:
    return reduce_sum(x, tuple(range(x.ndim)))


ours = SimpleNamespace(
    grad=functrans.grad, jvp=functrans.jvp, vjp=functrans.vjp, jit=functrans.jit, vmap=functrans.vmap,
    linearize=functrans.linearize, linear_transpose=functrans.linear_transpose,
    cond=cond, switch=switch, scan=scan, map=map, while_loop=while_loop, fori_loop=fori_loop,
    add=elementwise.add, sub=elementwise.sub, mul=elementwise.mul, sin=functions.sin, cos=functions.cos, exp=functions.exp, tanh=functions.tanh, neg=elementwise.neg,  # noqa: E501
    lt=logic.lt, gt=logic.gt,
    sum=_sum, full=full, convert=convert_element_type, reshape=reshape, stop_gradient=stop_gradient,
    item=lambda x, i: reshape(dynamic_slice(x, [i], [1]), ()),
)  # fmt: skip

theirs = SimpleNamespace(
    grad=jax.grad, jvp=jax.jvp, vjp=jax.vjp, jit=jax.jit, vmap=jax.vmap,
    linearize=jax.linearize, linear_transpose=jax.linear_transpose,
    cond=jax.lax.cond, switch=jax.lax.switch, scan=jax.lax.scan, map=jax.lax.map, while_loop=jax.lax.while_loop,
    fori_loop=jax.lax.fori_loop,
    add=jnp.add, sub=jnp.subtract, mul=jnp.multiply, sin=jnp.sin, cos=jnp.cos, exp=jnp.exp, tanh=jnp.tanh,
    neg=jnp.negative,
    lt=jnp.less, gt=jnp.greater,
    sum=jnp.sum, full=jnp.full, convert=jax.lax.convert_element_type, reshape=jnp.reshape,
    stop_gradient=jax.lax.stop_gradient,
    item=lambda x, i: jax.lax.dynamic_index_in_dim(x, i, keepdims=False),
)  # fmt: skip


def values(*shape: int, seed: int = 0) -> Any:
    """Numbers between 0.2 and 1, the same on each run."""
    return (0.2 + 0.8 * np.random.default_rng(seed + 17 * len(shape)).random(shape)).astype(np.float32)
