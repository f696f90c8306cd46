"""Scenarios from machine learning: MLP, transformer block, recurrent networks, convolutional network."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy

from benchmarks.namespaces import convolve
from benchmarks.scenario import WITHOUT_HESSIAN, Namespace, Program, normal, scenario


@scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
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
        (normal(generator, rows, columns, scale=rows**-0.5), numpy.zeros(columns, numpy.float32))
        for rows, columns in itertools.pairwise(sizes)
    ]
    labels = numpy.eye(10, dtype=numpy.float32)[generator.integers(0, 10, 32)]
    return f, (parameters, normal(generator, 32, 64), labels)


@scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
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
        "attention_in": normal(generator, channels, 3 * channels, scale=scale),
        "attention_out": normal(generator, channels, channels, scale=scale),
        "gain2": numpy.ones(channels, numpy.float32),
        "offset2": numpy.zeros(channels, numpy.float32),
        "layer_in": normal(generator, channels, 4 * channels, scale=scale),
        "bias_in": numpy.zeros(4 * channels, numpy.float32),
        "layer_out": normal(generator, 4 * channels, channels, scale=scale / 2),
    }
    return f, (parameters, normal(generator, tokens, channels), normal(generator, tokens, channels))


@scenario(mapped=(None, 0, 0), variants=WITHOUT_HESSIAN)
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
        "input": normal(generator, features, units, scale=features**-0.5),
        "recurrent": normal(generator, units, units, scale=units**-0.5),
        "bias": numpy.zeros(units, numpy.float32),
        "output": normal(generator, units, 1, scale=units**-0.5),
    }
    return f, (parameters, normal(generator, steps, batch, features), normal(generator, batch, 1))


@scenario(
    mapped=(None, 0, 0),
    variants=WITHOUT_HESSIAN,
    samples=5,
    sizes=({"layers": 2, "steps": 3}, {"layers": 2, "steps": 6}, {"layers": 2, "steps": 12}),
)
def lstm(np: Namespace, layers: int = 2, steps: int = 3, width: int = 14) -> Program:
    """Mean loss of a long short-term memory that predicts each letter from those before it, as in ADBench.

    A letter is a vector of bits. Every weight matrix is diagonal, stored as a vector, and the logarithm that normalises
    a prediction has 2 added to its sum; both are ADBench's. The state starts at given values.
    """

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-x))

    def cell(weights: Any, bias: Any, hidden: Any, memory: Any, x: Any) -> Any:
        """weights, bias: [4, width], of the gates that forget, write and read, and of the content."""
        forget = sigmoid(x * weights[0] + bias[0])
        write = sigmoid(hidden * weights[1] + bias[1])
        read = sigmoid(x * weights[2] + bias[2])
        memory = forget * memory + write * np.tanh(hidden * weights[3] + bias[3])
        return read * np.tanh(memory), memory

    def f(parameters: Any, letters: Any, start: Any) -> Any:
        state = [(start[layer, 0], start[layer, 1]) for layer in range(layers)]
        total = 0.0
        for step in range(steps - 1):
            x = letters[step] * parameters["input"]
            for layer in range(layers):
                state[layer] = cell(parameters["weights"][layer], parameters["bias"][layer], *state[layer], x)
                x = state[layer][0]
            prediction = x * parameters["output"] + parameters["offset"]
            normalised = prediction - np.log(np.sum(np.exp(prediction)) + 2.0)
            total = total + np.sum(letters[step + 1] * normalised)
        return -total / ((steps - 1) * width)

    generator = numpy.random.default_rng(10)
    parameters = {
        "weights": normal(generator, layers, 4, width),
        "bias": normal(generator, layers, 4, width),
        "input": normal(generator, width),
        "output": normal(generator, width),
        "offset": normal(generator, width),
    }
    letters = generator.integers(0, 2, (steps, width)).astype(numpy.float32)
    return f, (parameters, letters, normal(generator, layers, 2, width))


@scenario(mapped=(None, 0, 0), variants=("f", "grad", "vmap(grad)"), samples=5)
def convnet(np: Namespace) -> Program:
    """Cross entropy of a network of two 3 x 3 convolutions, a mean over each channel and a dense layer.

    Four images of 16 x 16 pixels; eight channels, then sixteen.
    """

    def f(parameters: Any, images: Any, labels: Any) -> Any:
        hidden = np.tanh(convolve(np, images, parameters["kernel1"]))
        hidden = np.tanh(convolve(np, hidden, parameters["kernel2"]))
        logits = np.mean(hidden, axis=(2, 3)) @ parameters["dense"] + parameters["bias"]
        shifted = logits - np.max(logits, axis=-1, keepdims=True)
        log_probabilities = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
        return -np.mean(np.sum(labels * log_probabilities, axis=-1))

    generator = numpy.random.default_rng(5)
    parameters = {
        "kernel1": normal(generator, 8, 1, 3, 3, scale=1 / 3),
        "kernel2": normal(generator, 16, 8, 3, 3, scale=1 / 8),
        "dense": normal(generator, 16, 10, scale=1 / 4),
        "bias": numpy.zeros(10, numpy.float32),
    }
    labels = numpy.eye(10, dtype=numpy.float32)[generator.integers(0, 10, 4)]
    return f, (parameters, normal(generator, 4, 1, 16, 16), labels)
