"""A flow of affine couplings trained on two moons, with the log-determinant; sampled by its inverse."""

import jax
import jax.numpy as jnp
from jax import random


def init(key, layers=4, width=16):
    params = []
    for k in random.split(key, layers):
        k1, k2 = random.split(k)
        params.append((0.5 * random.normal(k1, (1, width)), jnp.zeros(width), 0.1 * random.normal(k2, (width, 2))))
    return params


def shift_and_scale(layer, x):
    w, b, out = layer
    shift, log_scale = jnp.split(jax.nn.relu(x @ w + b) @ out, 2)
    return shift, jnp.tanh(log_scale)


def forward(params, x):
    log_det = 0.0
    for layer in params:
        a, b = x[:1], x[1:]
        shift, log_scale = shift_and_scale(layer, a)
        x = jnp.concatenate([b * jnp.exp(log_scale) + shift, a])
        log_det += jnp.sum(log_scale)
    return x, log_det


def inverse(params, z):
    for layer in reversed(params):
        b, a = z[:1], z[1:]
        shift, log_scale = shift_and_scale(layer, a)
        z = jnp.concatenate([a, (b - shift) * jnp.exp(-log_scale)])
    return z


def moons(key, n):
    t = jnp.linspace(0, jnp.pi, n // 2)
    upper = jnp.stack([jnp.cos(t), jnp.sin(t)], 1)
    lower = jnp.stack([1 - jnp.cos(t), 0.5 - jnp.sin(t)], 1)
    return jnp.concatenate([upper, lower]) + 0.05 * random.normal(key, (n, 2))


@jax.jit
def step(params, x):
    def loss(params):
        z, log_det = jax.vmap(forward, (None, 0))(params, x)
        return -jnp.mean(jax.scipy.stats.multivariate_normal.logpdf(z, jnp.zeros(2), jnp.eye(2)) + log_det)

    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.05 * g, params, grads), value


def main():
    params, data = init(random.PRNGKey(5)), moons(random.PRNGKey(6), 64)
    history = []
    for _ in range(15):
        params, value = step(params, data)
        history.append(value)
    z = random.normal(random.PRNGKey(7), (10, 2))
    x = jax.vmap(inverse, (None, 0))(params, z)
    jacobian = jax.vmap(jax.jacrev(lambda x: forward(params, x)[0]))(x)
    return {"history": history, "x": x, "log_det": jnp.linalg.slogdet(jacobian)[1]}
