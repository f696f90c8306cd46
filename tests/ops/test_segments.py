"""lax.segment_sum and its kin against jax.ops."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans
import functrans as ft
from functrans import lax
from tests.derivative_rows import assert_agree

DATA = np.random.default_rng(1).normal(size=(7, 2))
IDS = np.int32([2, 0, -1, 2, 5, 0, 9])
NAMES = ["segment_sum", "segment_prod", "segment_max", "segment_min"]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "more": {"num_segments": 12},
    "fewer": {"num_segments": 3},
    "none": {"num_segments": 0},
    "buckets": {"bucket_size": 3, "num_segments": 6},
    "clip": {"num_segments": 4, "mode": "clip"},
    "mode of JAX": {"num_segments": 4, "mode": jax.lax.GatherScatterMode.FILL_OR_DROP},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", OPTIONS)
def test_values_of_every_dtype_are_those_of_jax(name: str, options: str) -> None:
    ours, theirs = getattr(lax, name), getattr(jax.ops, name)
    for dtype in (np.float32, np.int16, np.uint8, np.bool_):
        if dtype is np.bool_ and name in ("segment_sum", "segment_prod"):
            continue
        data = (DATA * 3).astype(np.int8).astype(dtype)
        for x, ids in ((data, IDS), (data[:, 0], IDS), (data[:0], IDS[:0]), (data, IDS.astype(np.int8))):
            if not len(ids) and (options == "buckets" or "num_segments" not in OPTIONS[options]):
                continue  # JAX has no largest of none
            found, expected = ours(x, ids, **OPTIONS[options]), theirs(x, ids, **OPTIONS[options])
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bucket", [None, 3])
def test_derivatives_and_batches_are_those_of_jax(name: str, bucket: int | None) -> None:
    options: dict[str, Any] = {"num_segments": 6, "bucket_size": bucket}
    ids = np.int32([2, 0, 1, 2, 5, 0, 9])
    if name == "segment_prod":
        ids, options = np.int32([3, 1, 0, 7, 2, 5, 4]), {"num_segments": 6, "unique_indices": True}
    # what a segment without rows holds may be infinite, and an infinity has no slope
    both = [lambda x, m=m: getattr(m, name)(x, ids, **options)[:3] ** 2 for m in (lax, jax.ops)]
    assert_agree(*both, [DATA])


def test_ids_may_be_traced_and_mapped() -> None:
    batch = np.stack([IDS, IDS[::-1]])
    mapped = [m.vmap(lambda ids, m=m, f=f: f(DATA.astype(np.float32), ids, 6))(batch)
              for m, f in ((ft, lax.segment_sum), (jax, jax.ops.segment_sum))]  # fmt: skip
    np.testing.assert_allclose(*mapped, rtol=1e-6)
    jitted = ft.jit(lax.segment_max, static_argnums=2)(DATA.astype(np.float32), IDS, 6)
    np.testing.assert_array_equal(jitted, jax.ops.segment_max(DATA.astype(np.float32), IDS, 6))


def test_names_of_jax_ops() -> None:
    for name in ("segment_sum", "segment_prod", "segment_max", "segment_min"):
        assert getattr(functrans.ops, name) is getattr(lax, name)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda f: f(np.ones(2, "f"), np.float32([0, 1])), TypeError, "segment_sum: segment_ids must be integers"),
        (lambda f: f(np.ones(2, "f"), IDS), ValueError, "got shapes (7,) of segment_ids and (2,) of data"),
        (lambda f: f(IDS, IDS, -1), ValueError, "segment_sum: num_segments must not be negative, got -1"),
        (lambda f: f(IDS, IDS, 3, bucket_size=0), ValueError, "bucket_size must be positive, got 0"),
        (lambda f: ft.jit(f)(IDS, IDS), TypeError, "segment_ids without num_segments must be known while tracing"),
    ],
)
def test_refusals(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        call(lax.segment_sum)
    assert text in str(caught.value)
