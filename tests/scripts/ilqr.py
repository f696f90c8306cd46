"""Iterative LQR for a pendulum: dynamics by jacfwd, quadratic costs by hessian, Riccati in a reverse scan."""

import jax
import jax.numpy as jnp
from jax import lax

HORIZON, DT = 20, 0.1


def dynamics(x, u):
    theta, omega = x
    return jnp.array([theta + DT * omega, omega + DT * (jnp.sin(theta) + u[0] - 0.1 * omega)])


def cost(x, u):
    return jnp.sum(x**2) * DT + 0.1 * jnp.sum(u**2) * DT


def final_cost(x):
    return 10.0 * jnp.sum(x**2)


def rollout(x0, us):
    def step(x, u):
        return dynamics(x, u), x

    last, xs = lax.scan(step, x0, us)
    return jnp.vstack([xs, last])


def total(x0, us):
    xs = rollout(x0, us)
    return jnp.sum(jax.vmap(cost)(xs[:-1], us)) + final_cost(xs[-1])


@jax.jit
def improve(x0, us):
    xs = rollout(x0, us)
    A, B = jax.vmap(jax.jacfwd(dynamics, (0, 1)))(xs[:-1], us)
    (qx, qu), ((qxx, _), (qux, quu)) = jax.vmap(lambda x, u: (
        jax.grad(cost, (0, 1))(x, u), jax.hessian(cost, (0, 1))(x, u)))(xs[:-1], us)

    def backward(carry, inputs):
        V, v = carry
        A, B, qx, qu, qxx, qux, quu = inputs
        Qx, Qu = qx + A.T @ v, qu + B.T @ v
        Qxx, Qux, Quu = qxx + A.T @ V @ A, qux + B.T @ V @ A, quu + B.T @ V @ B
        K = -jnp.linalg.solve(Quu, Qux)
        k = -jnp.linalg.solve(Quu, Qu)
        return (Qxx + Qux.T @ K, Qx + Qux.T @ k), (K, k)

    end = jax.hessian(final_cost)(xs[-1]), jax.grad(final_cost)(xs[-1])
    _, (K, k) = lax.scan(backward, end, (A, B, qx, qu, qxx, qux, quu), reverse=True)

    def forward(x, inputs):
        x_ref, u, K, k = inputs
        u = u + K @ (x - x_ref) + 0.5 * k
        return dynamics(x, u), u

    return lax.scan(forward, x0, (xs[:-1], us, K, k))[1]


def main():
    x0, us = jnp.array([1.0, 0.0]), jnp.zeros((HORIZON, 1))
    costs = [total(x0, us)]
    for _ in range(5):
        us = improve(x0, us)
        costs.append(total(x0, us))
    return {"costs": jnp.stack(costs), "controls": us}
