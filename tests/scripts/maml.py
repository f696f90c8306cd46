"""MAML on sinusoids: the gradient of a loss after gradient steps, tasks by vmap."""

import jax
import jax.numpy as jnp
from jax import grad, jit, random, vmap
from jax.tree_util import tree_map


def net(params, x):
    (w1, b1), (w2, b2) = params
    return jnp.dot(jnp.tanh(jnp.outer(x, w1) + b1), w2) + b2


def loss(params, x, y):
    return jnp.mean((net(params, x) - y) ** 2)


def adapt(params, x, y, lr=0.1, steps=2):
    for _ in range(steps):
        params = tree_map(lambda p, g: p - lr * g, params, grad(loss)(params, x, y))
    return params


def task_loss(params, task):
    x1, y1, x2, y2 = task
    return loss(adapt(params, x1, y1), x2, y2)


@jit
def meta_step(params, tasks):
    batched = lambda p: jnp.mean(vmap(lambda t: task_loss(p, t))(tasks))
    value, grads = jax.value_and_grad(batched)(params)
    return tree_map(lambda p, g: p - 0.01 * g, params, grads), value


def sample_tasks(key, n, points=10):
    k1, k2, k3 = random.split(key, 3)
    amplitude, phase = random.uniform(k1, (n, 1), minval=0.5, maxval=2.0), random.uniform(k2, (n, 1)) * jnp.pi
    x = random.uniform(k3, (n, 2 * points), minval=-3.0, maxval=3.0)
    y = amplitude * jnp.sin(x + phase)
    return x[:, :points], y[:, :points], x[:, points:], y[:, points:]


def main():
    k1, k2, k3 = random.split(random.PRNGKey(8), 3)
    params = (random.normal(k1, (20,)), jnp.zeros(20)), (random.normal(k2, (20,)) / 5, jnp.zeros(()))
    history = []
    for i in range(8):
        params, value = meta_step(params, sample_tasks(random.fold_in(k3, i), 6))
        history.append(value)
    return {"history": history, "params": params}
