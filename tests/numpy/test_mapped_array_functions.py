"""Sorting, searching, counting and transforming under vmap: as jax.numpy does under jax.vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree

A = np.round(np.random.default_rng(0).normal(size=(3, 4, 5)) * 2).astype(np.float32)


def cases(m: Any, vmap: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    functions: dict[str, Callable[..., Any]] = {
        "unique": lambda x: m.unique(x, size=6, return_counts=True, return_inverse=True),
        "searchsorted": lambda x: m.searchsorted(m.sort(x[0]), x[1]),
        "nonzero": lambda x: m.nonzero(x > 0, size=4),
        "quantile": lambda x: m.quantile(x, np.float32([0.2, 0.9]), axis=0),
        "nanmedian": lambda x: m.nanmedian(x, axis=1),
        "histogram": lambda x: m.histogram(x, 4)[0],
        "bincount": lambda x: m.bincount(m.abs(x[0]).astype(int), length=5),
        "interp": lambda x: m.interp(x[0], m.sort(x[1]), x[2]),
        "irfft2": lambda x: m.fft.irfft2(m.fft.rfft2(x), s=(4, 5)),
        "convolve": lambda x: m.convolve(x[0], x[1, :2]),
        "cov": lambda x: m.cov(x),
        "lexsort": lambda x: m.lexsort((x[0], x[1])),
        "isin": lambda x: m.isin(x, x[0]),
        "intersect1d": lambda x: m.intersect1d(x[0], x[1], size=3),
        "gcd": lambda x: m.gcd(x[0].astype(int), x[1].astype(int)),
        "put": lambda x: m.put(x, m.abs(x[0]).astype(int), 9.0, inplace=False),
        "cumprod": lambda x: m.cumprod(x, axis=1),
    }
    return {name: vmap(function) for name, function in functions.items()}


def test_mapped_functions_agree_with_jax() -> None:
    assert_cases_agree(cases(fnp, ft.vmap), cases(jnp, jax.vmap), A, operations=512, scale=10.0)
