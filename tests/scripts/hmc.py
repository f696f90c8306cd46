"""Hamiltonian Monte Carlo for Bayesian logistic regression, chains by vmap."""

import jax
import jax.numpy as jnp
from jax import random
from jax.scipy import stats


def log_posterior(beta, X, y):
    logits = X @ beta
    likelihood = jnp.sum(y * logits - jnp.logaddexp(0.0, logits))
    return likelihood + jnp.sum(stats.norm.logpdf(beta, 0.0, 2.0))


def leapfrog(q, p, grad_u, eps, steps):
    def body(_, state):
        q, p = state
        p = p - 0.5 * eps * grad_u(q)
        q = q + eps * p
        p = p - 0.5 * eps * grad_u(q)
        return q, p

    return jax.lax.fori_loop(0, steps, body, (q, p))


def make_kernel(potential, eps, steps):
    grad_u = jax.grad(potential)

    def kernel(q, key):
        k1, k2 = random.split(key)
        p = random.normal(k1, q.shape)
        new_q, new_p = leapfrog(q, p, grad_u, eps, steps)
        energy = lambda q, p: potential(q) + 0.5 * jnp.dot(p, p)
        log_accept = energy(q, p) - energy(new_q, new_p)
        accept = jnp.log(random.uniform(k2)) < log_accept
        q = jnp.where(accept, new_q, q)
        return q, (q, accept)

    return kernel


def main():
    k0, k1, k2 = random.split(random.key(0), 3)
    X = random.normal(k0, (40, 3))
    y = (X @ jnp.array([1.0, -2.0, 0.5]) + 0.3 * random.normal(k1, (40,)) > 0).astype(jnp.float32)
    kernel = make_kernel(lambda q: -log_posterior(q, X, y), 0.1, 5)

    @jax.jit
    @jax.vmap
    def chain(key):
        return jax.lax.scan(kernel, jnp.zeros(3), random.split(key, 30))[1]

    samples, accepted = chain(random.split(k2, 4))
    return {"mean": samples.mean((0, 1)), "rate": accepted.mean(), "last": samples[:, -1]}
