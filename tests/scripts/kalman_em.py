"""Kalman filter and smoother as scans, the transition fitted by EM, the likelihood's gradient for comparison."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import multivariate_normal


def kalman(params, ys):
    A, Q, C, R = params

    def step(state, y):
        m, P = state
        m_pred, P_pred = A @ m, A @ P @ A.T + Q
        S = C @ P_pred @ C.T + R
        K = jnp.linalg.solve(S, C @ P_pred).T
        ll = multivariate_normal.logpdf(y, C @ m_pred, S)
        m, P = m_pred + K @ (y - C @ m_pred), P_pred - K @ S @ K.T
        return (m, P), (m, P, m_pred, P_pred, ll)

    start = jnp.zeros(2), jnp.eye(2)
    return jax.lax.scan(step, start, ys)[1]


def smoother(params, filtered):
    A = params[0]
    ms, Ps, mps, Pps, _ = filtered

    def step(carry, inputs):
        m_next, P_next = carry
        m, P, mp, Pp = inputs
        G = jnp.linalg.solve(Pp, A @ P).T
        m_s, P_s = m + G @ (m_next - mp), P + G @ (P_next - Pp) @ G.T
        return (m_s, P_s), (m_s, P_s, P_next @ G.T)

    last = ms[-1], Ps[-1]
    _, (m, P, cross) = jax.lax.scan(step, last, (ms[:-1], Ps[:-1], mps[1:], Pps[1:]), reverse=True)
    return jnp.vstack([m, ms[-1:]]), jnp.concatenate([P, Ps[-1:]]), cross


@jax.jit
def em_step(params, ys):
    filtered = kalman(params, ys)
    m, P, cross = smoother(params, filtered)
    S11 = jnp.einsum("ti,tj->ij", m[1:], m[:-1]) + cross.sum(0)
    S00 = jnp.einsum("ti,tj->ij", m[:-1], m[:-1]) + P[:-1].sum(0)
    A = jnp.linalg.solve(S00.T, S11.T).T
    return (A, *params[1:]), jnp.sum(filtered[-1])


def main():
    rng = np.random.default_rng(9)
    A, C = np.array([[0.99, 0.1], [-0.1, 0.99]]), np.array([[1.0, 0.0]])
    x, ys = np.array([1.0, 0.0]), []
    for _ in range(40):
        x = A @ x + 0.05 * rng.normal(size=2)
        ys.append(C @ x + 0.1 * rng.normal(size=1))
    ys = jnp.array(np.stack(ys), jnp.float32)
    params = (0.9 * jnp.eye(2), 0.01 * jnp.eye(2), jnp.array(C, jnp.float32), 0.02 * jnp.eye(1))
    history = []
    for _ in range(5):
        params, value = em_step(params, ys)
        history.append(value)
    slope = jax.grad(lambda A: jnp.sum(kalman((A, *params[1:]), ys)[-1]))(params[0])
    return {"history": jnp.array(history), "A": params[0], "slope": slope}
