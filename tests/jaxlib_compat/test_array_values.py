"""Host values as arrays of exactly one type."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from functrans.jaxlib_compat import array_values, configuration
from tests.jaxlib_compat.doubling import F32, F32X3, I32, Type


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint64", "bfloat16", "float16", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_put_keeps_type_and_value_exactly(dtype, shape):
    dtype = jnp.dtype(dtype)
    value = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    array = array_values.put(value, Type(shape, dtype, True), configuration.default_device())
    assert (array.shape, array.dtype, array.weak_type, array.committed) == (shape, dtype, True, False)
    np.testing.assert_array_equal(np.asarray(array), value)


def test_put_of_transposed_and_swapped_arrays():
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    array = array_values.put(value, Type((3, 2), value.dtype), configuration.default_device())
    np.testing.assert_array_equal(array, value)
    swapped = np.arange(3).astype(">f4")
    np.testing.assert_array_equal(array_values.put(swapped, F32X3, configuration.default_device()), swapped)


def test_put_copies_so_that_the_source_may_be_written_to():
    raw = np.zeros(64 + 256, np.uint8)
    offset = -raw.ctypes.data % 64
    value = raw[offset : offset + 256].view(np.float32)  # aligned: the runtime would share it
    array = array_values.put(value, Type((64,), value.dtype), configuration.default_device())
    value[:] = 7
    np.testing.assert_array_equal(array, np.zeros(64))


def test_put_refuses_what_loses_the_kind_of_number():
    device = configuration.default_device()
    with pytest.raises(TypeError, match=r"3\.7 of dtype float64 cannot become int32"):
        array_values.put(3.7, I32, device)
    with pytest.raises(TypeError, match="complex128 cannot become float32"):
        array_values.put(np.ones((), np.complex128), F32, device)
    with pytest.raises(TypeError, match="cannot become float32"):
        array_values.put("text", F32, device)
    with pytest.raises(ValueError, match=r"shape \(2,\) cannot become float32\[3\]"):
        array_values.put(np.ones(2), F32X3, device)
    assert array_values.put(True, F32, device) == 1.0
