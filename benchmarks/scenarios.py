"""The scenario table: six numerical programs, each written once for any NumPy-like namespace.

`build(np)` returns `(f, args)`: a scalar function and its example arguments as float32 NumPy arrays. The same source
runs under `jax.numpy`, `functrans.numpy` and plain NumPy, so benchmarks and tests compare like with like. Derivatives
are taken with respect to the first argument, which may be a pytree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

Namespace = Any  # a module with NumPy's functions: jax.numpy, functrans.numpy, numpy
Program = tuple[Callable[..., Any], tuple[Any, ...]]

VARIANTS = ("f", "grad", "vmap(grad)", "hvp", "hessian")
WITHOUT_HESSIAN = VARIANTS[:-1]


@dataclass(frozen=True)
class Scenario:
    """A program, the arguments that `vmap` maps (as `in_axes`), and the transforms that make sense for it."""

    name: str
    build: Callable[[Namespace], Program]
    mapped: tuple[int | None, ...]
    variants: tuple[str, ...]


SCENARIOS: dict[str, Scenario] = {}


def _scenario(mapped: tuple[int | None, ...], variants: tuple[str, ...] = VARIANTS) -> Callable[..., Any]:
    def register(build: Callable[[Namespace], Program]) -> Callable[[Namespace], Program]:
        SCENARIOS[build.__name__] = Scenario(build.__name__, build, mapped, variants)
        return build

    return register


def _normal(generator: numpy.random.Generator, *shape: int, scale: float = 1.0) -> numpy.ndarray:
    return (scale * generator.standard_normal(shape)).astype(numpy.float32)


@_scenario(mapped=(0,))
def chain(np: Namespace) -> Program:
    """Forty elementwise operations on a vector, then a sum."""

    def f(x: Any) -> Any:
        y = x
        for round_number in range(5):
            y = np.tanh(y) * (0.9 - 0.1 * round_number) + np.sin(y * x)
            y = y / (1.0 + np.exp(-y))
        return np.sum(y)

    return f, (_normal(numpy.random.default_rng(0), 128),)


@_scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
def mlp(np: Namespace) -> Program:
    """Cross entropy of a classifier with two hidden layers of 64 units, on a batch of 32 vectors of 64 numbers."""

    def f(parameters: Any, inputs: Any, labels: Any) -> Any:
        hidden = inputs
        for weights, bias in parameters[:-1]:
            hidden = np.tanh(hidden @ weights + bias)
        weights, bias = parameters[-1]
        logits = hidden @ weights + bias
        shifted = logits - np.max(logits, axis=-1, keepdims=True)
        log_probabilities = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
        return -np.mean(np.sum(labels * log_probabilities, axis=-1))

    generator = numpy.random.default_rng(1)
    sizes = (64, 64, 64, 10)
    parameters = [
        (_normal(generator, rows, columns, scale=rows**-0.5), numpy.zeros(columns, numpy.float32))
        for rows, columns in itertools.pairwise(sizes)
    ]
    labels = numpy.eye(10, dtype=numpy.float32)[generator.integers(0, 10, 32)]
    return f, (parameters, _normal(generator, 32, 64), labels)


@_scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
def transformer(np: Namespace) -> Program:
    """One pre-norm transformer block: causal attention with four heads, a GELU layer, squared error to a target.

    Sixteen tokens of 32 channels.
    """
    tokens, channels, heads = 16, 32, 4
    width = channels // heads

    def normalise(x: Any, gain: Any, offset: Any) -> Any:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-5) * gain + offset

    def split_heads(x: Any) -> Any:
        return np.transpose(np.reshape(x, (tokens, heads, width)), (1, 0, 2))

    def softmax(x: Any) -> Any:
        exponentials = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return exponentials / np.sum(exponentials, axis=-1, keepdims=True)

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))

    causal = numpy.tril(numpy.ones((tokens, tokens), bool))

    def f(parameters: Any, x: Any, target: Any) -> Any:
        normalised = normalise(x, parameters["gain1"], parameters["offset1"])
        projected = normalised @ parameters["attention_in"]
        query = split_heads(projected[:, :channels])
        key = split_heads(projected[:, channels : 2 * channels])
        value = split_heads(projected[:, 2 * channels :])
        scores = query @ np.transpose(key, (0, 2, 1)) / math.sqrt(width)
        attention = softmax(np.where(causal, scores, -1e9))
        mixed = np.reshape(np.transpose(attention @ value, (1, 0, 2)), (tokens, channels))
        x = x + mixed @ parameters["attention_out"]
        normalised = normalise(x, parameters["gain2"], parameters["offset2"])
        x = x + gelu(normalised @ parameters["layer_in"] + parameters["bias_in"]) @ parameters["layer_out"]
        difference = x - target
        return np.mean(difference * difference)

    generator = numpy.random.default_rng(2)
    scale = channels**-0.5
    parameters = {
        "gain1": numpy.ones(channels, numpy.float32),
        "offset1": numpy.zeros(channels, numpy.float32),
        "attention_in": _normal(generator, channels, 3 * channels, scale=scale),
        "attention_out": _normal(generator, channels, channels, scale=scale),
        "gain2": numpy.ones(channels, numpy.float32),
        "offset2": numpy.zeros(channels, numpy.float32),
        "layer_in": _normal(generator, channels, 4 * channels, scale=scale),
        "bias_in": numpy.zeros(4 * channels, numpy.float32),
        "layer_out": _normal(generator, 4 * channels, channels, scale=scale / 2),
    }
    return f, (parameters, _normal(generator, tokens, channels), _normal(generator, tokens, channels))


@_scenario(mapped=(None, 0))
def gmm(np: Namespace) -> Program:
    """Log-likelihood of a Gaussian mixture with a Wishart prior, as in ADBench.

    Srajer, Kukelova, Fitzgibbon: "A benchmark of selected algorithmic differentiation tools on some problems in
    computer vision and machine learning", 2018, section on GMM. The inverse covariance factor of a component is a
    lower triangular matrix with exponentiated diagonal, stored as a row of `inverse_factors`.
    """
    components, dimension, count = 5, 4, 100
    wishart_gamma, wishart_m = 1.0, 0

    def log_sum_exp(x: Any) -> Any:
        largest = np.max(x, axis=-1, keepdims=True)
        return np.sum(largest, axis=-1) + np.log(np.sum(np.exp(x - largest), axis=-1))

    def strictly_lower(entries: Any) -> Any:
        """entries: [components, dimension * (dimension - 1) / 2], column by column, to [components, row, column]."""
        columns, start = [], 0
        for column in range(dimension):
            length = dimension - column - 1
            zeros = np.zeros((components, column + 1), numpy.float32)
            columns.append(np.concatenate([zeros, entries[:, start : start + length]], axis=1))
            start += length
        return np.stack(columns, axis=2)

    def log_gamma_distribution(a: float) -> float:
        products = sum(math.lgamma(a + 0.5 * (1 - j)) for j in range(1, dimension + 1))
        return 0.25 * dimension * (dimension - 1) * math.log(math.pi) + products

    def log_wishart_prior(diagonals: Any, log_determinants: Any, entries: Any) -> Any:
        degrees = dimension + wishart_m + 1
        squares = np.sum(diagonals * diagonals, axis=1) + np.sum(entries * entries, axis=1)
        constant = degrees * dimension * (math.log(wishart_gamma) - 0.5 * math.log(2.0))
        constant -= log_gamma_distribution(0.5 * degrees)
        prior = 0.5 * wishart_gamma * wishart_gamma * squares - wishart_m * log_determinants
        return np.sum(prior) - components * constant

    def f(parameters: Any, x: Any) -> Any:
        alphas, means, inverse_factors = parameters
        log_determinants = np.sum(inverse_factors[:, :dimension], axis=1)
        diagonals = np.exp(inverse_factors[:, :dimension])
        entries = inverse_factors[:, dimension:]
        lower = strictly_lower(entries)
        centred = np.reshape(x, (count, 1, dimension)) - means
        product = np.sum(lower * np.reshape(centred, (count, components, 1, dimension)), axis=3)
        whitened = diagonals * centred + product
        inner = alphas + log_determinants - 0.5 * np.sum(whitened * whitened, axis=2)
        likelihood = np.sum(log_sum_exp(inner)) - count * log_sum_exp(alphas)
        constant = -count * dimension * 0.5 * math.log(2.0 * math.pi)
        return constant + likelihood + log_wishart_prior(diagonals, log_determinants, entries)

    generator = numpy.random.default_rng(3)
    parameters = (
        _normal(generator, components),
        _normal(generator, components, dimension),
        _normal(generator, components, dimension * (dimension + 1) // 2, scale=0.5),
    )
    return f, (parameters, _normal(generator, count, dimension))


@_scenario(mapped=(0, 0, 0, 0))
def camera(np: Namespace) -> Program:
    """Squared reprojection error of one observation in bundle adjustment, as in ADBench.

    The camera is [rotation (3), centre (3), focal length, principal point (2), radial distortion (2)]; the rotation is
    an axis-angle vector applied by the formula of Rodrigues, which has its limit at angle zero.
    """

    def cross(a: Any, b: Any) -> Any:
        return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])

    def rotate(rotation: Any, point: Any) -> Any:
        squared_angle = np.dot(rotation, rotation)
        is_zero = squared_angle == 0.0
        angle = np.sqrt(np.where(is_zero, 1.0, squared_angle))
        cosine, sine = np.cos(angle), np.sin(angle)
        axis = rotation / angle
        turned = point * cosine + cross(axis, point) * sine + axis * (np.dot(axis, point) * (1.0 - cosine))
        return np.where(is_zero, point + cross(rotation, point), turned)

    def project(camera: Any, point: Any) -> Any:
        in_camera = rotate(camera[:3], point - camera[3:6])
        projected = in_camera[:2] / in_camera[2]
        squared_radius = np.dot(projected, projected)
        distortion = 1.0 + camera[9] * squared_radius + camera[10] * squared_radius * squared_radius
        return projected * distortion * camera[6] + camera[7:9]

    def f(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        residual = weight * (project(camera, point) - feature)
        weight_residual = 1.0 - weight * weight
        return np.dot(residual, residual) + weight_residual * weight_residual

    parameters = [0.1, -0.2, 0.3, 0.5, 0.1, -4.0, 1.3, 0.02, -0.01, 0.05, -0.02]
    point, weight, feature = [0.3, -0.4, 1.5], 0.8, [0.1, 0.2]
    return f, tuple(numpy.asarray(value, numpy.float32) for value in (parameters, point, weight, feature))


@_scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
def rnn(np: Namespace) -> Program:
    """Squared error of a recurrent network of 24 units, unrolled by a Python loop over 24 steps, batch of eight."""
    steps, batch, features, units = 24, 8, 8, 24

    def f(parameters: Any, inputs: Any, target: Any) -> Any:
        state = np.zeros((batch, units), numpy.float32)
        for step in range(steps):
            state = np.tanh(inputs[step] @ parameters["input"] + state @ parameters["recurrent"] + parameters["bias"])
        difference = state @ parameters["output"] - target
        return np.mean(difference * difference)

    generator = numpy.random.default_rng(4)
    parameters = {
        "input": _normal(generator, features, units, scale=features**-0.5),
        "recurrent": _normal(generator, units, units, scale=units**-0.5),
        "bias": numpy.zeros(units, numpy.float32),
        "output": _normal(generator, units, 1, scale=units**-0.5),
    }
    return f, (parameters, _normal(generator, steps, batch, features), _normal(generator, batch, 1))
