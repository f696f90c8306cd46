"""Copies are copies: what is asked for as one stays whole when the original is given away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

COPIES: dict[str, Callable[[Any], Any]] = {
    "array": fnp.array,
    "array of its dtype": lambda x: fnp.array(x, x.dtype),
    "array of its rank": lambda x: fnp.array(x, ndmin=1),
    "copy": fnp.copy,
    "asarray": lambda x: fnp.asarray(x, copy=True),
    "asarray of its dtype": lambda x: fnp.asarray(x, x.dtype, copy=True),
    "astype": lambda x: fnp.astype(x, x.dtype, copy=True),
    "method copy": lambda x: x.copy(),
    "method astype": lambda x: x.astype(x.dtype, copy=True),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_outlives_its_original(name: str) -> None:
    original = jax.device_put(np.arange(64.0, dtype=np.float32))
    copy = COPIES[name](original)
    assert copy.unsafe_buffer_pointer() != original.unsafe_buffer_pointer()
    ft.jit(lambda x: x * 0, donate_argnums=0)(original)
    assert original.is_deleted()
    np.testing.assert_array_equal(copy, np.arange(64.0))


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_made_while_tracing_is_one(name: str) -> None:
    original, kept = jax.device_put(np.arange(64.0, dtype=np.float32)), []

    def f(x: Any) -> Any:
        kept.append(COPIES[name](original))
        return fnp.sum(x * kept[-1])

    np.testing.assert_array_equal(ft.grad(f)(original), np.arange(64.0))
    if isinstance(kept[0], jax.Array) and not isinstance(kept[0], jax.core.Tracer):
        assert kept[0].unsafe_buffer_pointer() != original.unsafe_buffer_pointer()
    np.testing.assert_array_equal(ft.jit(COPIES[name])(original), np.arange(64.0))


def test_what_is_no_copy_shares() -> None:
    original = jax.device_put(np.arange(64.0, dtype=np.float32))
    same_dtype = fnp.asarray(original, np.float32), fnp.float32(original), fnp.astype(original, "f4")
    for same in (fnp.asarray(original), *same_dtype):
        assert same.unsafe_buffer_pointer() == original.unsafe_buffer_pointer()


def test_copies_keep_kind_and_weakness() -> None:
    key = ft.random.key(3)
    assert fnp.array(key).dtype == key.dtype
    weak = fnp.asarray(2.0)
    assert weak.weak_type
    assert fnp.array(weak).weak_type
