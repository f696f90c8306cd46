"""A fixed-point layer with an implicit derivative by custom_vjp, inside a loss that is trained."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, random


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fixed_point(f, params, z0):
    def not_done(carry):
        previous, z, i = carry
        return (jnp.linalg.norm(previous - z) > 1e-5) & (i < 50)

    step = lambda carry: (carry[1], f(params, carry[1]), carry[2] + 1)
    return lax.while_loop(not_done, step, (z0, f(params, z0), 0))[1]


def fixed_point_fwd(f, params, z0):
    z = fixed_point(f, params, z0)
    return z, (params, z)


def fixed_point_bwd(f, residuals, ct):
    params, z = residuals
    _, vjp_z = jax.vjp(lambda z: f(params, z), z)
    u = fixed_point(lambda ct, u: ct + vjp_z(u)[0], ct, jnp.zeros_like(ct))
    _, vjp_params = jax.vjp(lambda p: f(p, z), params)
    return vjp_params(u)[0], jnp.zeros_like(z)


fixed_point.defvjp(fixed_point_fwd, fixed_point_bwd)


def layer(params, z):
    w, b, x = params
    return jnp.tanh(0.3 * w @ z + b + x)


def main():
    k1, k2, k3 = random.split(random.PRNGKey(14), 3)
    w, b = random.normal(k1, (4, 4)) / 2, jnp.zeros(4)
    xs, ys = random.normal(k2, (10, 4)), random.normal(k3, (10,))

    @jax.jit
    def loss(w, b):
        z = jax.vmap(lambda x: fixed_point(layer, (w, b, x), jnp.zeros(4)))(xs)
        return jnp.mean((z.sum(-1) - ys) ** 2)

    history = []
    for _ in range(8):
        value, (gw, gb) = jax.value_and_grad(loss, (0, 1))(w, b)
        w, b = w - 0.1 * gw, b - 0.1 * gb
        history.append(value)
    return {"history": history, "w": w, "b": b}
