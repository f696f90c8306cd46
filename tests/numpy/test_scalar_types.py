"""``functrans.numpy.float32`` and its kin mean their dtype wherever one is asked for."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

NAMES = (
    "bool_ int2 int4 int8 int16 int32 int64 uint2 uint4 uint8 uint16 uint32 uint64 bfloat16 float16 float32 float64 "
    "float4_e2m1fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 "
    "float8_e5m2fnuz float8_e8m0fnu complex64 complex128"
).split()
STORED_ALONE = ["int1", "uint1", "float6_e2m3fn", "float6_e3m2fn"]  # XLA computes with them nowhere yet


@pytest.mark.parametrize("name", [*NAMES, *STORED_ALONE])
def test_a_scalar_type_equals_its_dtype_in_either_order(name: str) -> None:
    ours, theirs = getattr(fnp, name), getattr(jnp, name)
    dtype = np.dtype(theirs)
    for same in (dtype, dtype.type, theirs, dtype.name):
        assert ours == same
        assert same == ours
    assert ours in [dtype]
    assert dtype in [ours]
    assert {ours: 1}[dtype.type] == {dtype.type: 1}[ours] == {theirs: 1}[ours] == 1
    others = [getattr(fnp, other) for other in NAMES if np.dtype(getattr(fnp, other)) != dtype]
    assert ours not in others
    assert not any(np.dtype(other) == ours for other in others)
    for unequal in (None, 3, "no dtype", float, int, object()):
        assert ours != unequal
    assert np.dtype(ours) == dtype
    assert isinstance(dtype.type(1), ours)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_every_dtype_pass_through_a_program(name: str) -> None:
    dtype: Any = getattr(fnp, name)
    values = np.array([1, 0, 1, 1, 0]) if name not in ("float8_e8m0fnu",) else np.array([1, 2, 4, 0.5, 1])
    x = values.astype(np.dtype(dtype))

    @ft.jit
    def f(x: Any) -> Any:
        constant = fnp.asarray(values[::-1].astype(np.dtype(dtype)))
        return x, x[::-1], fnp.where(x == constant, x, constant), x.astype(fnp.float32), fnp.ones(2, dtype)

    with ft.enable_x64(True):
        same, turned, mixed, wide, ones = f(x)
    assert same.dtype == turned.dtype == mixed.dtype == ones.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(turned).astype(np.complex128), values[::-1])
    np.testing.assert_array_equal(np.asarray(mixed).astype(np.complex128), values[::-1])
    np.testing.assert_array_equal(wide, values.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(ones).astype(np.complex128), [1, 1])


@pytest.mark.parametrize("name", STORED_ALONE)
def test_a_dtype_that_xla_does_not_know_is_refused_in_words(name: str) -> None:
    with pytest.raises(TypeError, match=r"cannot be lowered to XLA"):
        ft.jit(lambda: fnp.ones(3, getattr(fnp, name)))()


@pytest.mark.parametrize("to", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn"])
def test_bits_smaller_than_a_byte_are_read_as_jax_reads_them(to: str) -> None:
    x = np.arange(-128, 128).astype(np.int8)
    found = ft.jit(lambda x: ft.lax.bitcast_convert_type(x, getattr(fnp, to)))(x)
    expected = jnp.asarray(x).view(getattr(jnp, to)).reshape(found.shape)
    np.testing.assert_array_equal(np.asarray(found).astype(float), np.asarray(expected).astype(float))
    back = ft.jit(lambda y: ft.lax.bitcast_convert_type(y, fnp.int8))(found)
    np.testing.assert_array_equal(back, x)
