"""A Lagrangian network: accelerations of a double pendulum from derivatives of a learned Lagrangian."""

import jax
import jax.numpy as jnp
from jax import random


def mlp(params, x):
    for w, b in params[:-1]:
        x = jax.nn.softplus(jnp.dot(x, w) + b)
    w, b = params[-1]
    return jnp.dot(x, w)[0] + b[0]


def lagrangian(params, q, q_dot):
    state = jnp.concatenate([jnp.sin(q), jnp.cos(q), q_dot])
    return mlp(params, state) + 0.5 * jnp.sum(q_dot**2)


def acceleration(params, q, q_dot):
    L = lambda q, v: lagrangian(params, q, v)
    mass = jax.hessian(L, 1)(q, q_dot)
    force = jax.grad(L, 0)(q, q_dot) - jax.jacfwd(jax.grad(L, 1), 0)(q, q_dot) @ q_dot
    return jnp.linalg.pinv(mass) @ force


@jax.jit
def loss(params, q, q_dot, target):
    return jnp.mean((jax.vmap(acceleration, (None, 0, 0))(params, q, q_dot) - target) ** 2)


def main():
    keys = random.split(random.PRNGKey(3), 6)
    sizes = [6, 16, 16, 1]
    params = [
        (random.normal(k, (m, n)) / jnp.sqrt(m), 0.1 * jnp.ones(n)) for k, m, n in zip(keys, sizes[:-1], sizes[1:])
    ]
    q, q_dot = random.uniform(keys[3], (8, 2), minval=-1, maxval=1), random.normal(keys[4], (8, 2))
    target = -jnp.sin(q)
    values = []
    for _ in range(3):
        value, grads = jax.value_and_grad(loss)(params, q, q_dot, target)
        params = jax.tree.map(lambda p, g: p - 1e-3 * g, params, grads)
        values.append(value)
    return {"values": values, "acceleration": jax.jit(jax.vmap(acceleration, (None, 0, 0)))(params, q, q_dot)}
