"""functrans.nn against jax.nn: values, first and second derivatives, both also mapped, and refusals."""

from __future__ import annotations

from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
from functrans import nn
from tests.derivative_rows import assert_agree

RNG = np.random.default_rng(5)
X = np.array([[-30.0, -2.5, -1.001, -0.4], [0.3, 0.999, 2.0, 40.0]])
POSITIVE = np.array([1e-8, 0.01, 0.6, 0.7, 3.0, 30.0])
Q, K, V = (RNG.normal(size=shape) for shape in ((2, 3, 4, 5), (2, 6, 2, 5), (2, 6, 2, 5)))
BIAS, ONE_HEAD = RNG.normal(size=(2, 4, 3, 6)), RNG.normal(size=(1, 1, 3, 6))
MASK = RNG.uniform(size=(2, 4, 3, 6)) < 0.6
MASK[0, 0, 0] = False  # a query without keys

ELEMENTWISE: dict[str, Any] = {
    "glu": (lambda m: m.glu, [X]),
    "glu along rows": (lambda m: lambda x: m.glu(x, axis=0), [X]),
    "squareplus": (lambda m: m.squareplus, [X]),
    "squareplus b": (lambda m: m.squareplus, [X, np.float64(1.3)]),
    "sparse_plus": (lambda m: m.sparse_plus, [X]),
    "sparse_sigmoid": (lambda m: m.sparse_sigmoid, [X]),
    "log1mexp": (lambda m: m.log1mexp, [POSITIVE]),
    "logmeanexp": (lambda m: lambda x: [m.logmeanexp(x), m.logmeanexp(x, axis=1, keepdims=True)], [X]),
    "logmeanexp of some": (lambda m: lambda x: m.logmeanexp(x, axis=(0,), where=MASK[1, 1, :2, :4] | (X > 1)), [X]),
}

ATTENTION: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "bias": {"bias": BIAS, "scale": 0.3},
    "bias of one head": {"bias": ONE_HEAD, "is_causal": True},
    "mask": {"mask": MASK},
    "mask of one head": {"mask": MASK[:1, 1:2], "local_window_size": (1, 2)},
    "window": {"local_window_size": 1},
    "lengths": {"query_seq_lengths": np.int32([2, 3]), "key_value_seq_lengths": np.int32([6, 1])},
    "keys": {"key_value_seq_lengths": np.int32([4, 2]), "mask": MASK, "bias": BIAS, "implementation": "xla"},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_and_their_derivatives_are_those_of_jax(name: str, dtype: Any) -> None:
    function, operands = ELEMENTWISE[name]
    assert_agree(function(nn), function(jax.nn), operands, dtype, scale=3.0)


def test_functions_of_integers_and_python_numbers_have_jax_types() -> None:
    for name in ("squareplus", "sparse_plus", "sparse_sigmoid", "log1mexp", "logmeanexp"):
        for x in (2, 2.0, np.int32([1, 2]), np.float16([0.5, 2])):
            ours, theirs = getattr(nn, name)(x), getattr(jax.nn, name)(x)
            assert (name, ours.dtype, ours.shape) == (name, theirs.dtype, theirs.shape)
            np.testing.assert_allclose(np.float64(ours), np.float64(theirs), rtol=2e-3)


NUMBERS = {
    "bool": np.array([True, False, True, True]), "int8": np.int8([-3, 0, 2, 7]), "int32": np.int32([-2, 0, 1, 5]),
    "uint8": np.uint8([0, 1, 3, 9]), "complex64": np.complex64([1 + 2j, -0.5 + 0.3j, 0.2 - 0.1j, 2]),
}  # fmt: skip
ACTIVATIONS = """
    celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log1mexp log_sigmoid log_softmax logmeanexp
    logsumexp mish relu relu6 selu sigmoid silu soft_sign softmax softplus sparse_plus sparse_sigmoid squareplus
    standardize swish tanh
""".split()
# JAX negates, or subtracts from each other, numbers without a sign, which wrap around.
WRAPS = frozenset(["log1mexp", "log_sigmoid", "log_softmax", "softmax"])


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of JAX: a maximum of integers from -inf on
@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_integers_bools_and_complex_numbers(name: str, kind: str) -> None:
    x, function = jax.numpy.asarray(NUMBERS[kind]), getattr(jax.nn, name)
    try:
        expected = None if kind == "uint8" and name in WRAPS else function(x)
    except (TypeError, ValueError):
        expected = None
    if expected is None and kind == "complex64":
        return  # of which there is no order, here as there; or which a function of ours takes, too
    found = getattr(nn, name)(x)
    if expected is None:  # as of the same numbers in float32
        expected = function(x.astype(np.float32))
    else:
        assert (found.dtype, found.weak_type) == (expected.dtype, expected.weak_type)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def _attention(m: Any, options: dict[str, Any], **more: Any) -> Any:
    bias = options.get("bias")
    return lambda q, k, v: m.dot_product_attention(
        q, k, v, **{**options, **more, "bias": bias if bias is None else bias.astype(q.dtype)}
    )


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_and_its_derivatives_are_those_of_jax(name: str) -> None:
    both = [_attention(m, ATTENTION[name]) for m in (nn, jax.nn)]
    assert_agree(*both, [Q, K, V], order=2 if name in ("plain", "keys") else 1)


@pytest.mark.parametrize("name", ["plain", "mask", "lengths"])
def test_the_residual_is_that_of_jax(name: str) -> None:
    both = [_attention(m, ATTENTION[name], return_residual=True) for m in (nn, jax.nn)]
    assert_agree(*both, [Q, K, V], order=0)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_attention_of_half_precision(dtype: Any) -> None:
    operands = [x.astype(dtype) for x in (Q, K, V)]
    ours, theirs = (m.dot_product_attention(*operands, is_causal=True) for m in (nn, jax.nn))
    assert ours.dtype == theirs.dtype == dtype
    np.testing.assert_allclose(np.float32(ours), np.float32(theirs), atol=2.0**-7)


def test_attention_without_a_batch_and_to_double_precision() -> None:
    ours, theirs = (m.dot_product_attention(*np.float32((Q[0, :, :2], K[0, :3], V[0, :3]))) for m in (nn, jax.nn))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    with jax.enable_x64(True):
        q = Q.reshape(2, 3, 2, 2, 5)
        weights = np.exp(np.einsum("btkgh,bskh->bkgts", q, K) / np.sqrt(5))
        expected = np.einsum("bkgts,bskh->btkgh", weights / weights.sum(-1, keepdims=True), V).reshape(Q.shape)
        np.testing.assert_allclose(nn.dot_product_attention(Q, K, V), expected, rtol=1e-12, atol=1e-13)
        slope = ft.grad(lambda b: nn.dot_product_attention(Q, K, V, b)[0, 1, 2, 3])(BIAS)
        step = 1e-6 * BIAS[::-1]
        up, down = (nn.dot_product_attention(Q, K, V, BIAS + s * step)[0, 1, 2, 3] for s in (1, -1))
        np.testing.assert_allclose(np.sum(slope * step), (up - down) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda a: nn.glu(np.ones((2, 3))), "glu: axis -1 must have two halves, got size 3 of shape (2, 3)"),
        (lambda a: a(Q, K, V, implementation="cudnn"), "implementation must be None or 'xla', got 'cudnn'"),
        (lambda a: a(Q[0, 0], K, V), "query must have three or four axes, got shape (4, 5)"),
        (lambda a: a(Q, K, V[:, :2]), "got shapes (2, 3, 4, 5), (2, 6, 2, 5) and (2, 2, 2, 5)"),
        (lambda a: a(Q.astype(np.float16), K, V), "must have one dtype, got float16, float64 and float64"),
        (lambda a: a(Q[:, :, :3], K, V), "a multiple of that of key and value, got 3 and 2"),
        (lambda a: a(Q, K, V, BIAS[:, :2]), "bias must broadcast to [B, N, T, S], here (2, 4, 3, 6), got shape (2, 2,"),
        (lambda a: a(Q, K, V, mask=BIAS), "mask must hold bools, got dtype float64"),
        (lambda a: a(Q, K, V, query_seq_lengths=np.int32([1])), "query_seq_lengths must be int32 of shape (2,), got"),
        (lambda a: a(Q, K, V, local_window_size=(1, 2, 3)), "an integer or two, (left, right), got (1, 2, 3)"),
    ],
)
def test_refusals(call: Any, text: str) -> None:
    with jax.enable_x64(True), pytest.raises((ValueError, TypeError)) as caught:
        call(nn.dot_product_attention)
    assert text in str(caught.value)
