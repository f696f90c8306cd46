"""A physics-informed network for Poisson's equation u'' = -pi^2 sin(pi x), trained by Adam written out."""

import jax
import jax.numpy as jnp
from jax import grad, jit, random, vmap


def init_params(key, sizes):
    keys = random.split(key, len(sizes) - 1)
    return [
        {"w": random.normal(k, (m, n)) * jnp.sqrt(2.0 / (m + n)), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:])
    ]


def network(params, x):
    h = jnp.array([x])
    for layer in params[:-1]:
        h = jnp.tanh(h @ layer["w"] + layer["b"])
    return (h @ params[-1]["w"] + params[-1]["b"])[0]


def residual(params, x):
    u_xx = grad(grad(network, argnums=1), argnums=1)(params, x)
    return u_xx + jnp.pi**2 * jnp.sin(jnp.pi * x)


def loss_fn(params, xs):
    interior = jnp.mean(vmap(residual, in_axes=(None, 0))(params, xs) ** 2)
    boundary = network(params, 0.0) ** 2 + network(params, 1.0) ** 2
    return interior + 10.0 * boundary


@jit
def update(params, m, v, step, xs):
    loss, grads = jax.value_and_grad(loss_fn)(params, xs)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, grads)
    scale = lambda p, m, v: p - 1e-3 * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return jax.tree.map(scale, params, m, v), m, v, loss


def main():
    params = init_params(random.PRNGKey(0), [1, 16, 16, 1])
    m = v = jax.tree_util.tree_map(jnp.zeros_like, params)
    xs = jnp.linspace(0.0, 1.0, 32)
    losses = []
    for i in range(20):
        params, m, v, loss = update(params, m, v, i + 1.0, xs)
        losses.append(float(loss))
    return {"losses": losses, "u": vmap(lambda x: network(params, x))(xs)}
