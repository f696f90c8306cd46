"""The inspection of the array API standard; its own test suite runs against ``functrans.numpy``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.jax_version import JAX

X = np.arange(3.0, dtype=np.float32)


def test_the_namespace_says_what_it_has() -> None:
    info = fnp.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}
    assert info.default_device() is None
    assert info.devices()[0] is None
    assert ft.devices()[0] in info.devices()
    assert info.default_dtypes()["real floating"] == np.float32
    assert sorted(info.dtypes(kind=("bool", "real floating"))) == ["bool", "float32"]
    with ft.enable_x64(True):
        assert info.default_dtypes()["integral"] == np.int64
        assert sorted(info.dtypes(kind="complex floating")) == ["complex128", "complex64"]
        assert set(info.dtypes(kind="numeric")) == set(info.dtypes()) - {"bool"}
        assert all(fnp.zeros(1, t).dtype == t for t in info.dtypes().values())
    with pytest.raises(ValueError, match="unknown kind 'number'"):
        info.dtypes(kind="number")


def test_traced_values_name_their_namespace() -> None:
    def f(x: Any) -> Any:
        xp = x.__array_namespace__(api_version="2024.12")
        assert xp is fnp
        with pytest.raises(ValueError, match=r"no version '1999'"):
            x.__array_namespace__(api_version="1999")
        return xp.sum(xp.sin(x) ** 2)

    x = np.arange(3.0, dtype=np.float32)
    np.testing.assert_allclose(ft.jit(ft.grad(f))(x), np.sin(2 * x), rtol=1e-6)


@pytest.mark.parametrize(
    "results",
    [
        lambda xp: xp.meshgrid(X, X),
        lambda xp: xp.meshgrid(),
        lambda xp: xp.broadcast_arrays(X, 1.0),
        lambda xp: xp.broadcast_arrays(),
        lambda xp: xp.atleast_1d(X, X),
        lambda xp: xp.atleast_2d(X, X),
        lambda xp: xp.atleast_3d(X, X),
        lambda xp: xp.split(X, 3),
        lambda xp: xp.unstack(X),
        lambda xp: xp.nonzero(X),
        lambda xp: xp.__array_namespace_info__().devices(),
    ],
)
def test_several_results_are_held_as_in_jax(results: Callable[[Any], Any]) -> None:
    assert fnp.__array_api_version__ == jnp.__array_api_version__
    if (0, 11) <= JAX < (0, 12):  # on its way from lists to tuples
        assert type(results(fnp)) in (list, tuple)
    else:
        assert type(results(fnp)) is type(results(jnp))


def test_what_has_no_axis_has_no_positions() -> None:
    with pytest.raises(ValueError, match=r"rank 0 has no positions"):
        fnp.nonzero(fnp.asarray(3.0))
