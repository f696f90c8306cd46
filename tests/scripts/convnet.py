"""A convolutional classifier of drawn shapes with batch statistics, dropout and momentum; saliency of one picture."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random


def pictures(n=24, size=12):
    rng = np.random.default_rng(3)
    images, labels = 0.1 * rng.normal(size=(n, size, size, 1)), rng.integers(0, 3, n)
    for image, label in zip(images, labels):
        a, b = rng.integers(2, size - 3, 2)
        if label == 0:
            image[a, :] += 1
        elif label == 1:
            image[:, b] += 1
        else:
            image[a - 1 : a + 2, b - 1 : b + 2] += 1
    return jnp.asarray(images, jnp.float32), jnp.asarray(labels)


def conv(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def forward(params, x, key=None):
    x = conv(x, params["conv1"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    x = max_pool(jax.nn.relu((x - mean) * lax.rsqrt(var + 1e-5)))
    x = max_pool(jax.nn.relu(conv(x, params["conv2"])))
    x = x.reshape(x.shape[0], -1)
    if key is not None:
        keep = random.bernoulli(key, 0.8, x.shape)
        x = jnp.where(keep, x / 0.8, 0)
    return x @ params["dense"]


def loss(params, x, y, key):
    logp = jax.nn.log_softmax(forward(params, x, key))
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 3) * logp, axis=-1))


@jax.jit
def step(params, momentum, x, y, key):
    value, grads = jax.value_and_grad(loss)(params, x, y, key)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
    return jax.tree.map(lambda p, m: p - 0.02 * m, params, momentum), momentum, value


def main():
    init = jax.nn.initializers.he_normal()
    k1, k2, k3, key = random.split(random.key(13), 4)
    params = {"conv1": init(k1, (3, 3, 1, 4)), "conv2": init(k2, (3, 3, 4, 8)), "dense": init(k3, (72, 3))}
    momentum = jax.tree.map(jnp.zeros_like, params)
    x, y = pictures()
    history = []
    for i in range(6):
        params, momentum, value = step(params, momentum, x, y, random.fold_in(key, i))
        history.append(value)
    saliency = jax.grad(lambda im: forward(params, jnp.concatenate([im[None], x[1:]]))[0, y[0]])(x[0])
    return {"history": history, "saliency": saliency, "accuracy": jnp.mean(forward(params, x).argmax(-1) == y)}
