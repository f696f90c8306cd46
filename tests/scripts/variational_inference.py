"""Black-box variational inference: a mean-field normal for a funnel-shaped posterior, by reparametrised gradients."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm


def log_density(z):
    return norm.logpdf(z["mu"], 0.0, 1.35) + jnp.sum(norm.logpdf(z["x"], 0.0, jnp.exp(z["mu"])))


def elbo(params, key, unravel, samples=16):
    mean, log_std = params

    def one(key):
        eps = jr.normal(key, mean.shape)
        z = mean + jnp.exp(log_std) * eps
        return log_density(unravel(z)) - jnp.sum(norm.logpdf(z, mean, jnp.exp(log_std)))

    return jnp.mean(jax.vmap(one)(jr.split(key, samples)))


def main():
    flat, unravel = ravel_pytree({"mu": jnp.zeros(()), "x": jnp.zeros(3)})
    params = flat, -jnp.ones_like(flat)
    objective = jax.jit(jax.value_and_grad(lambda p, key: -elbo(p, key, unravel)))
    key, history = jr.key(4), []
    for _ in range(15):
        key, sub = jr.split(key)
        value, grads = objective(params, sub)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)
        history.append(value)
    return {"history": history, "mean": params[0], "log_std": params[1]}
