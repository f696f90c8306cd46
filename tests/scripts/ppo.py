"""Proximal policy optimisation on a point that is to be brought to the origin: rollouts, advantages, clipped steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random


class Batch(NamedTuple):
    obs: jax.Array
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    value: jax.Array


def init(key):
    k1, k2, k3 = random.split(key, 3)
    return {
        "hidden": {"w": random.normal(k1, (2, 16)) * 0.5, "b": jnp.zeros(16)},
        "logits": random.normal(k2, (16, 3)) * 0.1,
        "value": random.normal(k3, (16,)) * 0.1,
    }


def apply(params, obs):
    h = jnp.tanh(obs @ params["hidden"]["w"] + params["hidden"]["b"])
    return jax.nn.log_softmax(h @ params["logits"]), h @ params["value"]


def rollout(params, key, steps=16):
    def step(carry, key):
        position, velocity = carry
        obs = jnp.stack([position, velocity])
        logits, value = apply(params, obs)
        action = random.categorical(key, logits)
        velocity = 0.9 * velocity + 0.1 * (action - 1)
        position = position + velocity
        return (position, velocity), Batch(obs, action, logits[action], -jnp.abs(position), value)

    key, sub = random.split(key)
    return lax.scan(step, (random.uniform(sub), jnp.zeros(())), random.split(key, steps))[1]


def advantages(batch, gamma=0.95, lam=0.9):
    next_values = jnp.append(batch.value[1:], 0.0)
    deltas = batch.reward + gamma * next_values - batch.value
    step = lambda a, d: (d + gamma * lam * a,) * 2
    return lax.scan(step, 0.0, deltas, reverse=True)[1]


def ppo_loss(params, batch, adv):
    logits, values = jax.vmap(apply, (None, 0))(params, batch.obs)
    log_prob = jnp.take_along_axis(logits, batch.action[:, None], 1)[:, 0]
    ratio = jnp.exp(log_prob - lax.stop_gradient(batch.log_prob))
    normalised = (adv - adv.mean()) / (adv.std() + 1e-8)
    policy = -jnp.minimum(ratio * normalised, jnp.clip(ratio, 0.8, 1.2) * normalised).mean()
    entropy = -jnp.sum(jnp.exp(logits) * logits, -1).mean()
    return policy + 0.5 * jnp.mean((values - (adv + batch.value)) ** 2) - 0.01 * entropy


@jax.jit
def update(params, key):
    batch = jax.vmap(rollout, (None, 0))(params, random.split(key, 8))
    adv = jax.vmap(advantages)(batch)
    batch, adv = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (batch, adv))

    def epoch(params, _):
        loss, grads = jax.value_and_grad(ppo_loss)(params, batch, adv)
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, grads), loss

    params, losses = lax.scan(epoch, params, None, length=3)
    return params, (losses, batch.reward.mean())


def main():
    params, key = init(random.PRNGKey(10)), random.PRNGKey(11)
    history = []
    for i in range(3):
        params, info = update(params, random.fold_in(key, i))
        history.append(info)
    return {"history": history, "params": params}
