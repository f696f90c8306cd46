"""Regression by a Gaussian process: hyperparameters by gradient steps on the marginal likelihood, then predictions."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular


def rbf(params, x1, x2):
    scale, length = jnp.exp(params["log_scale"]), jnp.exp(params["log_length"])
    return scale**2 * jnp.exp(-0.5 * ((x1 - x2) / length) ** 2)


def gram(kernel, xs, ys):
    return jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(ys))(xs)


def neg_log_likelihood(params, x, y):
    K = gram(lambda a, b: rbf(params, a, b), x, x) + jnp.exp(2 * params["log_noise"]) * jnp.eye(len(x))
    c, low = cho_factor(K, lower=True)
    alpha = cho_solve((c, low), y)
    return 0.5 * y @ alpha + jnp.sum(jnp.log(jnp.diag(c))) + 0.5 * len(x) * jnp.log(2 * jnp.pi)


def predict(params, x, y, x_new):
    K = gram(lambda a, b: rbf(params, a, b), x, x) + jnp.exp(2 * params["log_noise"]) * jnp.eye(len(x))
    L = jnp.linalg.cholesky(K)
    Ks = gram(lambda a, b: rbf(params, a, b), x_new, x)
    v = solve_triangular(L, Ks.T, lower=True)
    mean = Ks @ jax.scipy.linalg.cho_solve((L, True), y)
    var = jnp.exp(2 * params["log_scale"]) - jnp.sum(v**2, axis=0)
    return mean, var


def main():
    x = jnp.linspace(-3, 3, 25)
    y = jnp.sin(2 * x) + 0.1 * jax.random.normal(jax.random.PRNGKey(2), x.shape)
    params = {"log_scale": jnp.zeros(()), "log_length": jnp.zeros(()), "log_noise": jnp.log(0.3)}
    step = jax.jit(jax.value_and_grad(neg_log_likelihood))
    history = []
    for _ in range(20):
        value, grads = step(params, x, y)
        params = jax.tree.map(lambda p, g: p - 0.01 * jnp.clip(g, -5, 5), params, grads)
        history.append(value)
    mean, var = jax.jit(predict)(params, x, y, jnp.linspace(-4, 4, 11))
    hess = jax.hessian(neg_log_likelihood)(params, x, y)
    return {"history": jnp.stack(history), "mean": mean, "var": var, "hess": jax.tree.leaves(hess)}
