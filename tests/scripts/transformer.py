"""A character transformer: causal attention, layer norm, Adam by hand over a pytree, a generated line."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

TEXT = "the quick brown fox jumps over the lazy dog. "
CHARS = sorted(set(TEXT))
WIDTH, HEADS, CONTEXT = 16, 2, 12


def init(key):
    ks = iter(random.split(key, 8))
    dense = lambda *shape: random.normal(next(ks), shape) / np.sqrt(shape[0])
    return {
        "embed": dense(len(CHARS), WIDTH), "place": 0.1 * dense(CONTEXT, WIDTH), "qkv": dense(WIDTH, 3 * WIDTH),
        "out": dense(WIDTH, WIDTH), "up": dense(WIDTH, 4 * WIDTH), "down": dense(4 * WIDTH, WIDTH),
        "gain": jnp.ones((2, WIDTH)),
    }


def norm(x, gain):
    return gain * jax.nn.standardize(x, axis=-1)


def attention(p, x):
    t = x.shape[0]
    q, k, v = [y.reshape(t, HEADS, -1).swapaxes(0, 1) for y in jnp.split(x @ p["qkv"], 3, axis=-1)]
    scores = jnp.einsum("htd,hsd->hts", q, k) / jnp.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
    return jnp.einsum("hts,hsd->thd", jax.nn.softmax(scores), v).reshape(t, -1) @ p["out"]


def logits(p, tokens):
    x = p["embed"][tokens] + p["place"][: tokens.shape[0]]
    x = x + attention(p, norm(x, p["gain"][0]))
    x = x + jax.nn.gelu(norm(x, p["gain"][1]) @ p["up"]) @ p["down"]
    return x @ p["embed"].T


def loss(p, batch):
    out = jax.vmap(logits, (None, 0))(p, batch[:, :-1])
    picked = jnp.take_along_axis(jax.nn.log_softmax(out), batch[:, 1:, None], -1)
    return -jnp.mean(picked)


@jax.jit
def step(p, m, v, i, batch):
    value, g = jax.value_and_grad(loss)(p, batch)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * jnp.square(g), v, g)
    rate = 3e-3 * jnp.sqrt(1 - 0.99**i) / (1 - 0.9**i)
    return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-6), p, m, v), m, v, value


def main():
    tokens = np.array([CHARS.index(c) for c in TEXT * 2])
    p = init(random.PRNGKey(12))
    m = v = jax.tree.map(jnp.zeros_like, p)
    rng, history = np.random.default_rng(0), []
    for i in range(1, 9):
        starts = rng.integers(0, len(tokens) - CONTEXT - 1, 8)
        batch = jnp.array([tokens[s : s + CONTEXT + 1] for s in starts])
        p, m, v, value = step(p, m, v, float(i), batch)
        history.append(value)
    return {"history": history, "logits": jax.jit(logits)(p, jnp.array(tokens[:CONTEXT]))}
