"""functrans.nn.initializers give, key for key, what jax.nn.initializers give."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans.nn import initializers

KEY = jax.random.key(11)
SCALING = [
    f"{name}_{kind}" for name in ("glorot", "xavier", "lecun", "he", "kaiming") for kind in ("uniform", "normal")
]
ROWS: dict[str, Any] = {
    "zeros": lambda m: m.zeros,
    "ones": lambda m: m.ones,
    "constant": lambda m: m.constant(-7.0),
    "constants": lambda m: m.constant(np.float32([1, 2, 3, 4, 5, 6])),
    "uniform": lambda m: m.uniform(10.0),
    "normal": lambda m: m.normal(0.3),
    "truncated_normal": lambda m: m.truncated_normal(0.3, lower=-1.0, upper=2.5),
    "orthogonal": lambda m: m.orthogonal(2.0),
    "orthogonal rows": lambda m: m.orthogonal(column_axis=0),
    "orthogonal middle": lambda m: m.orthogonal(column_axis=-2),
    "delta_orthogonal": lambda m: m.delta_orthogonal(1.5),
    **{name: lambda m, name=name: getattr(m, name)() for name in SCALING},
    "of axes": lambda m: m.he_normal(in_axis=(0, 1), out_axis=2, batch_axis=-1),
    **{
        f"{mode} {kind}": lambda m, mode=mode, kind=kind: m.variance_scaling(1.7, mode, kind)
        for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
        for kind in ("truncated_normal", "normal", "uniform")
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_the_same_key_gives_the_same_weights(name: str) -> None:
    ours, theirs = (ROWS[name](m) for m in (initializers, jax.nn.initializers))
    for shape, dtype in (((3, 2, 4, 6), None), ((3, 4, 6), np.float16)):
        if (name in ("constants", "of axes") and dtype) or ("orthogonal" in name and dtype):
            continue
        found, expected = ours(KEY, shape, dtype or np.float32), theirs(KEY, shape, dtype or np.float32)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        precision = 2e-3 if dtype else 1e-6
        np.testing.assert_allclose(np.float32(found), np.float32(expected), rtol=precision, atol=precision / 8)


@pytest.mark.parametrize("kind", ["truncated_normal", "normal", "uniform"])
def test_complex_weights(kind: str) -> None:
    ours, theirs = (
        m.variance_scaling(1.7, "fan_in", kind)(KEY, (40, 6), np.complex64) for m in (initializers, jax.nn.initializers)
    )
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_weights_of_double_precision_and_under_transforms() -> None:
    with jax.enable_x64(True):
        ours, theirs = (m.glorot_normal()(KEY, (3, 4)) for m in (initializers, jax.nn.initializers))
        assert ours.dtype == theirs.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    keys = jax.random.split(KEY, 3)
    make = initializers.he_uniform()
    mapped = ft.jit(ft.vmap(lambda key: make(key, (4, 5))))(keys)
    np.testing.assert_array_equal(mapped, np.stack([make(key, (4, 5)) for key in keys]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.variance_scaling(1.0, "fan", "normal"), "mode must be one of 'fan_in', 'fan_out', 'fan_avg'"),
        (lambda m: m.variance_scaling(1.0, "fan_in", "gamma"), "distribution must be 'truncated_normal', 'normal' or"),
        (lambda m: m.he_normal()(KEY, (3,)), "weights of shape (3,) cannot be told apart; give at least two axes"),
        (lambda m: m.he_normal(in_axis=4)(KEY, (3, 3)), "in_axis=4, out_axis=-1 or batch_axis=() is no axis of"),
        (lambda m: m.orthogonal()(KEY, (3,)), "orthogonal: weights with at least two axes are needed, got shape (3,)"),
        (lambda m: m.delta_orthogonal()(KEY, (3, 4, 2)), "no more inputs than outputs is needed, got (3, 4, 2)"),
    ],
)
def test_refusals(call: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(initializers)
    assert text in str(caught.value)
