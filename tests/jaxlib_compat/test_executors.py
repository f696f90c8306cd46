"""A compiled program called on concrete values: C++ where it may, named errors where it must not."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout

from functrans.jaxlib_compat import array_values, configuration
from functrans.trace.builder import Builder
from tests.jaxlib_compat.doubling import F32, I32, Type, doubling

two_devices = pytest.mark.skipif(len(jax.devices()) < 2, reason="runs in a process of its own with two CPU devices")


def python_calls(function, *args):
    """How many calls of cache_miss of ours one call of a C++ function makes."""
    names = []

    def profile(frame, event, arg):
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return names.count("cache_miss")


# executor


@pytest.mark.parametrize("count", [0, 1, 2, 100])
@pytest.mark.parametrize("kind", [np.float32, float, jnp.float32, lambda x: np.asarray(x, np.float32)])
def test_executor_runs_every_kind_of_argument_and_stays_in_cpp(count, kind):
    call = doubling("f32", F32, count)
    values = [kind(i) for i in range(count)]
    for _ in range(2):
        outputs = call(*values)
        assert isinstance(outputs, list)
        np.testing.assert_array_equal(np.asarray(outputs), 2.0 * np.arange(count))
    assert python_calls(call, *values) == 0


def test_executor_converts_python_numbers_as_jax_does():
    (out,) = doubling("f32", F32)(1.5)
    assert out.dtype == np.float32
    (out,) = doubling("i32", I32)(3)
    assert (out.dtype, int(out)) == (np.int32, 6)
    boolean = Type((), np.dtype(bool))
    (out,) = doubling("i1", boolean)(True)
    assert out.dtype == bool
    (out,) = doubling("complex<f32>", Type((), np.dtype(np.complex64)))(1 + 2j)
    assert complex(out) == 2 + 4j


def test_executor_gives_numbers_the_type_of_the_parameter():
    (out,) = doubling("f32", F32)(3)
    assert (out.dtype, float(out)) == (np.float32, 6.0)
    (out,) = doubling("bf16", Type((), jnp.dtype(jnp.bfloat16)))(1.5)
    assert float(out) == 3.0
    f64 = Type((), np.dtype(np.float64))
    (out,) = doubling("f64", f64)(0.1)
    assert (out.dtype, float(out)) == (np.float64, 0.2)
    call = doubling("f64", f64)
    for _ in range(2):
        (out,) = call(np.float64(0.1))
        assert float(out) == 0.2


def test_executor_narrows_numpy_float64_as_jax_does_without_x64():
    call = doubling("f32", F32)
    for _ in range(2):
        (out,) = call(np.float64(0.1))
        assert out.dtype == np.float32
    with jax.enable_x64(True), pytest.raises(TypeError, match=r"argument 0 of double is float64\[\].*float32\[\]"):
        call(np.float64(0.1))


@pytest.mark.parametrize("weak_type", [False, True])
def test_executor_results_have_type_and_sharding(weak_type):
    call = doubling("f32", F32, out_type=Type((), np.dtype(np.float32), weak_type))
    for argument in (jnp.float32(1), jnp.float32(1), 1.0, 1.0):
        (out,) = call(argument)
        assert out.weak_type is weak_type
        assert out.sharding == jax.sharding.SingleDeviceSharding(configuration.default_device())
        assert out.committed is False


def test_executor_results_are_committed_where_an_argument_is():
    call = doubling("f32", F32, 2)
    committed = jax.device_put(jnp.float32(1), configuration.default_device())
    for _ in range(2):
        assert [x.committed for x in call(committed, 1.0)] == [True, True]
        assert [x.committed for x in call(jnp.float32(1), 1.0)] == [False, False]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (jnp.int32(1), r"argument 0 of double is int32\[\], and the program was compiled for float32\[\]"),
        (jnp.ones(3), r"argument 0 of double is float32\[3\]"),
        (np.ones(3, np.float32), r"argument 0 of double is float32\[3\]"),
        (np.int32(1), r"argument 0 of double is int32\[\]"),
        (1j, r"argument 0 of double is the Python number 1j"),
        ("text", r"argument 0 of double is of class str"),
        (None, r"takes 1 arguments and was given 1|of class NoneType"),
        ([1.0], r"argument 0 of double is of class list"),
        (jax.random.key(0), r"argument 0 of double is of class PRNGKeyArray and dtype key<fry>"),
    ],
)
def test_executor_names_a_wrong_argument(value, message):
    call = doubling("f32", F32)
    call(1.0)
    for _ in range(2):  # the second time too: nothing wrong may enter the fast path
        with pytest.raises(TypeError, match=message):
            call(value)


def test_executor_names_a_number_that_does_not_fit():
    with pytest.raises(OverflowError, match="argument 0 of double, the Python number 1099511627776, does not fit"):
        doubling("i32", I32)(2**40)


def test_executor_counts_arguments():
    with pytest.raises(TypeError, match="double takes 2 arguments and was given 1"):
        doubling("f32", F32, 2)(1.0)


def test_executor_refuses_values_that_jax_traces():
    call = doubling("f32", F32)
    with pytest.raises(TypeError, match="argument 0 of double is a value that JAX traced"):
        jax.jit(lambda x: call(x))(1.0)


def test_executor_names_a_deleted_array():
    call = doubling("f32", F32, 2)
    array = jnp.float32(1) + 0
    call(1.0, array)
    array.delete()
    with pytest.raises(RuntimeError, match=r"argument 1 of double, float32\[\], has been deleted"):
        call(1.0, array)


def test_an_error_does_not_put_a_signature_onto_the_slow_path():
    call = doubling("f32", F32)
    array = jnp.float32(1) + 0
    deleted = jnp.float32(2) + 0
    deleted.delete()
    with pytest.raises(RuntimeError):  # same signature as the good one
        call(deleted)
    call(array)
    assert python_calls(call, array) == 0


def test_executor_runs_while_a_trace_is_open():
    call = doubling("f32", F32)
    with Builder():
        call(1.0)
        assert python_calls(call, 1.0) == 0


def test_executor_is_collected():
    call = doubling("f32", F32)
    call(1.0)
    reference = weakref.ref(call)
    del call
    gc.collect()
    assert reference() is None


def test_executor_reads_arrays_of_other_layout():
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    column_major = Format(Layout((1, 0)), jax.sharding.SingleDeviceSharding(configuration.default_device()))
    array = jax.device_put(value, column_major)
    assert array.format.layout.major_to_minor == (1, 0)
    call = doubling("2x3xf32", Type((2, 3), np.dtype(np.float32)))
    call(value)
    call(jnp.asarray(value))  # the usual layout has its fast entry before
    for _ in range(2):
        np.testing.assert_array_equal(call(array)[0], 2 * value)


def test_threads_share_an_executor():
    call = doubling("f32", F32)
    failures = []

    def work(offset: int) -> None:
        for i in range(300):
            if float(call(jnp.float32(offset + i))[0]) != 2.0 * (offset + i):
                failures.append((offset, i))

    threads = [threading.Thread(target=work, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# placement


def test_placement_of_host_values_is_the_default_device():
    assert array_values.placement([]) == configuration.default_device()
    assert array_values.placement([1.0, np.ones(2), jnp.ones(2)]) == configuration.default_device()


def test_deleted_argument_error_names_the_first():
    array = jnp.ones(2)
    assert array_values.deleted_argument_error([1.0, array]) is None
    array.delete()
    error = array_values.deleted_argument_error([1.0, array], ["x", "y"])
    assert isinstance(error, RuntimeError)
    assert "argument 'y', float32[2], has been deleted: it was donated" in str(error)


@two_devices
def test_two_devices_placement():
    first, second = jax.devices()[:2]
    on_second = jax.device_put(1.0, second)
    assert array_values.placement([1.0, jnp.ones(2), on_second]) == second
    with jax.default_device(second):
        assert configuration.default_device() == second
        assert array_values.placement([jnp.ones(2)]) == second
    with pytest.raises(
        ValueError, match=r"argument 'x' is committed to .*0.* and argument 'z' to .*1.*jax\.device_put"
    ):
        array_values.placement([jax.device_put(1.0, first), 1.0, on_second], ["x", "y", "z"])


def _sharded(shape=(2,)):
    mesh = jax.make_mesh((2,), ("i",))
    return jax.device_put(
        np.arange(np.prod(shape), dtype=np.float32).reshape(shape),
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i")),
    )


@two_devices
def test_two_devices_sharded_array_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"argument 1, float32\[2\], is spread over 2 devices .*jax\.device_put\(x, jax"
    ):
        array_values.placement([1.0, _sharded()])
    call = doubling("2xf32", Type((2,), np.dtype(np.float32)))
    for _ in range(2):
        with pytest.raises(ValueError, match="spread over 2 devices"):
            call(_sharded())


@two_devices
def test_two_devices_executor_moves_uncommitted_and_refuses_committed():
    first, second = jax.devices()[:2]
    call = doubling("f32", F32)
    with jax.default_device(second):
        uncommitted = jnp.float32(3) + 0
    for _ in range(2):
        (out,) = call(uncommitted)
        assert (float(out), out.device, out.committed) == (6.0, first, False)
        with pytest.raises(ValueError, match=r"argument 0 of double, float32.*is committed to .*1.*and the program to"):
            call(jax.device_put(3.0, second))


@two_devices
def test_two_devices_executor_on_the_second():
    first, second = jax.devices()[:2]
    call = doubling("f32", F32, device=second)
    for argument in (1.0, np.float32(1), jnp.float32(1), jax.device_put(1.0, second)):
        for _ in range(2):
            (out,) = call(argument)
            assert (float(out), out.device) == (2.0, second)
    with pytest.raises(ValueError, match=r"is committed to"):
        call(jax.device_put(1.0, first))


@two_devices
def test_two_devices_one_device_mesh_is_accepted():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
    array = jax.device_put(np.float32(3), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    call = doubling("f32", F32)
    for _ in range(2):
        assert float(call(array)[0]) == 6.0
    assert array_values.placement([array]) == jax.devices()[0]


@pytest.mark.skipif(len(jax.devices()) > 1, reason="this is the process with two devices")
def test_two_device_promises_hold_in_a_process_with_two_devices():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_two_devices_"]
    result = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "5 passed" in result.stdout and "skipped" not in result.stdout, result.stdout
