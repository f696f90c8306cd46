"""Lennard-Jones particles in a periodic box: forces by grad, velocity Verlet in a scan, radial distances."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

BOX = 4.0


def displacement(a, b):
    d = a - b
    return d - BOX * jnp.round(d / BOX)


def pair_energy(r2):
    inv6 = jnp.where(r2 > 0, 1.0 / jnp.where(r2 > 0, r2, 1.0) ** 3, 0.0)
    return 4.0 * (inv6**2 - inv6)


def energy(positions):
    d = jax.vmap(jax.vmap(displacement, (None, 0)), (0, None))(positions, positions)
    r2 = jnp.sum(d**2, -1)
    mask = 1 - jnp.eye(len(positions))
    return 0.5 * jnp.sum(mask * jnp.where(r2 < 4.0, pair_energy(r2), 0.0))


force = jax.grad(lambda r: -energy(r))


@partial(jax.jit, static_argnums=2)
def simulate(positions, velocities, steps, dt=0.002):
    def step(state, _):
        r, v, f = state
        v = v + 0.5 * dt * f
        r = jnp.mod(r + dt * v, BOX)
        f = force(r)
        v = v + 0.5 * dt * f
        return (r, v, f), energy(r) + 0.5 * jnp.sum(v**2)

    return jax.lax.scan(step, (positions, velocities, force(positions)), None, length=steps)


def main():
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 2), -1).reshape(-1, 2) * (BOX / 3)
    key1, key2 = jax.random.split(jax.random.PRNGKey(0))
    positions = jnp.asarray(grid, jnp.float32) + 0.05 * jax.random.normal(key1, grid.shape)
    velocities = 0.2 * jax.random.normal(key2, grid.shape)
    (r, *_), totals = simulate(positions, velocities, 40)
    distances = jnp.sqrt(jnp.sum(displacement(r[:, None], r[None]) ** 2, -1))
    counts, _ = jnp.histogram(distances[jnp.triu_indices(len(r), 1)], bins=8, range=(0.0, 3.0))
    return {"positions": r, "energies": totals, "counts": counts}
