"""RngBitGenerator and threefry2x32 give the bits of the primitives of JAX."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from tests.random.test_against_jax import same

KEY = np.uint32([1, 2, 3, 4])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("algorithm", ["RNG_DEFAULT", "RNG_THREE_FRY", "RNG_PHILOX"])
def test_bits(dtype: str, algorithm: str) -> None:
    ours = lax.rng_bit_generator(KEY, (2, 3), dtype, lax.RandomAlgorithm[algorithm])
    theirs = jax.lax.rng_bit_generator(KEY, (2, 3), dtype, jax.lax.RandomAlgorithm[algorithm])
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


def test_bits_by_lanes() -> None:
    keys = KEY + np.arange(3, dtype=np.uint32)[:, None]
    ours = ft.vmap(lambda k: lax.rng_bit_generator(k, (2,)))(keys)
    theirs = jax.vmap(lambda k: jax.lax.rng_bit_generator(k, (2,)))(keys)
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)


def test_a_key_of_another_form_is_refused() -> None:
    with pytest.raises(TypeError, match="the key must be u32"):
        lax.rng_bit_generator(np.uint32([1, 2]), (3,))
