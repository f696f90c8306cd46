"""A neural ODE fitted to a spiral: Runge-Kutta in a scan, gradients through it."""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def rk4(f, y, t, dt):
    k1 = f(y, t)
    k2 = f(y + dt / 2 * k1, t + dt / 2)
    k3 = f(y + dt / 2 * k2, t + dt / 2)
    k4 = f(y + dt * k3, t + dt)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def odeint(f, y0, ts):
    def step(y, interval):
        t, dt = interval
        y_next = rk4(f, y, t, dt)
        return y_next, y_next

    _, ys = lax.scan(step, y0, (ts[:-1], jnp.diff(ts)))
    return jnp.concatenate([y0[None], ys])


def dynamics(params, y, t):
    h = jnp.tanh(params["w1"] @ y + params["b1"])
    return params["w2"] @ h


@functools.partial(jax.jit, static_argnames=("steps",))
def train(params, y0, ts, target, steps=10):
    def loss(params):
        return jnp.mean((odeint(functools.partial(dynamics, params), y0, ts) - target) ** 2)

    def body(i, carry):
        params, history = carry
        value, grads = jax.value_and_grad(loss)(params)
        params = jax.tree_util.tree_map(lambda p, g: p - 0.02 * g, params, grads)
        return params, history.at[i].set(value)

    return lax.fori_loop(0, steps, body, (params, jnp.zeros(steps)))


def main():
    spiral = jnp.array([[-0.1, 2.0], [-2.0, -0.1]])
    ts, y0 = jnp.linspace(0.0, 1.0, 20), jnp.array([1.0, 0.0])
    target = odeint(lambda y, t: spiral @ y**3, y0, ts)
    k1, k2 = jax.random.split(jax.random.PRNGKey(1))
    params = {
        "w1": 0.3 * jax.random.normal(k1, (12, 2)), "b1": jnp.zeros(12), "w2": 0.3 * jax.random.normal(k2, (2, 12)),
    }
    params, history = train(params, y0, ts, target)
    return {"history": history, "end": odeint(functools.partial(dynamics, params), y0, ts)[-1]}
