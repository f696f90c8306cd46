"""The room of private jaxlib names keeps its promises: exact types, named errors, the C++ path where it is allowed."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout

from functrans.xla import jaxlib_compat as compat

two_devices = pytest.mark.skipif(len(jax.devices()) < 2, reason="runs in a process of its own with two CPU devices")


class Type(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    weak_type: bool = False


F32 = Type((), np.dtype(np.float32))
F32X3 = Type((3,), np.dtype(np.float32))
I32 = Type((), np.dtype(np.int32))


def text(type_: str, count: int = 1, attribute: str = "") -> str:
    arguments = ", ".join(f"%a{i}: tensor<{type_}>{attribute}" for i in range(count))
    body = "\n".join(f"%r{i} = stablehlo.add %a{i}, %a{i} : tensor<{type_}>" for i in range(count))
    results = ", ".join(f"%r{i}" for i in range(count))
    types = ", ".join([f"tensor<{type_}>"] * count)
    returned = f"{results} : {types}" if count else ""
    return f"module @double {{ func.func public @main({arguments}) -> ({types}) {{\n{body}\nreturn {returned} }} }}"


def doubling(type_: str, array_type: Type, count: int = 1, device=None, out_type: Type | None = None):
    device = device or compat.default_device()
    executable = compat.compile_text(text(type_, count), device)
    return compat.executor(executable, [array_type] * count, [out_type or array_type] * count, device, "double")


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


# configuration


def test_readers_follow_the_configuration():
    before = compat.trace_context()
    assert compat.x64_enabled() is False
    assert compat.matmul_precision() is None
    with jax.enable_x64(True):
        assert compat.x64_enabled() is True
        assert compat.trace_context() != before
    with jax.default_matmul_precision("highest"):
        assert compat.matmul_precision() == "highest"
        assert compat.trace_context() != before
    assert compat.trace_context() == before
    assert hash(compat.trace_context()) == hash(before)


def test_marker_is_per_thread_nests_and_restores():
    marker = compat.tracing_marker
    assert not marker.active()
    outer = marker.enter()
    inner = marker.enter()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(marker.active()))
    thread.start()
    thread.join()
    assert seen == [False]
    marker.exit(inner)
    assert marker.active()
    marker.exit(outer)
    assert not marker.active()


def test_marker_does_not_make_jax_trace_again():
    traces = []

    @jax.jit
    def f(x):
        traces.append(1)
        return x + 1

    f(jnp.float32(1))
    previous = compat.tracing_marker.enter()
    try:
        f(jnp.float32(1))
    finally:
        compat.tracing_marker.exit(previous)
    assert len(traces) == 1


def test_marker_is_not_part_of_our_key():
    before = compat.trace_context()
    previous = compat.tracing_marker.enter()
    try:
        assert compat.trace_context() == before
    finally:
        compat.tracing_marker.exit(previous)


def test_unsupported_version_names_version_and_name(monkeypatch):
    monkeypatch.setattr(compat, "_PRIVATE_NAMES", {"jaxlib._jax": ("no_such_name.at_all",)})
    with pytest.raises(ImportError, match=r"jaxlib 0\.\d+.*jaxlib\._jax\.no_such_name\.at_all is missing.*0\.10\.x"):
        compat.check_supported()
    monkeypatch.setattr(compat, "_PRIVATE_NAMES", {"jaxlib._gone": ("x",)})
    with pytest.raises(ImportError, match=r"jaxlib\._gone is missing"):
        compat.check_supported()


# compilation


def test_compile_accepts_text_and_bytes_and_options():
    device = compat.default_device()
    for source in (text("f32"), text("f32").encode()):
        executable = compat.compile_text(
            source, device, disable_fusion=True, extra_options={"xla_disable_hlo_passes": "cse_barrier_expander"}
        )
        (out,) = compat.executor(executable, [F32], [F32], device, "double")(2.0)
        assert out == 4.0


def test_disable_fusion_leaves_no_fusion():
    device = compat.default_device()
    chain = """module @m { func.func public @main(%a: tensor<64xf32>) -> tensor<64xf32> {
      %0 = stablehlo.sine %a : tensor<64xf32>
      %1 = stablehlo.multiply %0, %a : tensor<64xf32>
      %2 = stablehlo.cosine %1 : tensor<64xf32>
      return %2 : tensor<64xf32> } }"""

    def kernels(disable: bool) -> int:
        return compat.compile_text(chain, device, disable_fusion=disable).hlo_modules()[0].to_string().count(" fusion(")

    assert kernels(False) == 1
    assert kernels(True) == (3 if device.platform == "cpu" else 1)


def test_extra_options_reach_the_compiler_and_unknown_ones_are_refused():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
        compat.compile_text(text("f32"), compat.default_device(), extra_options={"xla_no_such_option": "1"})


def test_wrong_text_raises_the_message_of_xla():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_operation"):
        compat.compile_text(
            text("f32").replace("stablehlo.add", "stablehlo.no_such_operation"), compat.default_device()
        )


# values


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint64", "bfloat16", "float16", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_put_keeps_type_and_value_exactly(dtype, shape):
    dtype = jnp.dtype(dtype)
    value = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    array = compat.put(value, Type(shape, dtype, True), compat.default_device())
    assert (array.shape, array.dtype, array.weak_type, array.committed) == (shape, dtype, True, False)
    np.testing.assert_array_equal(np.asarray(array), value)


def test_put_of_transposed_and_swapped_arrays():
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(compat.put(value, Type((3, 2), value.dtype), compat.default_device()), value)
    swapped = np.arange(3).astype(">f4")
    np.testing.assert_array_equal(compat.put(swapped, F32X3, compat.default_device()), swapped)


def test_put_copies_so_that_the_source_may_be_written_to():
    raw = np.zeros(64 + 256, np.uint8)
    offset = -raw.ctypes.data % 64
    value = raw[offset : offset + 256].view(np.float32)  # aligned: the runtime would share it
    array = compat.put(value, Type((64,), value.dtype), compat.default_device())
    value[:] = 7
    np.testing.assert_array_equal(array, np.zeros(64))


def test_put_refuses_what_loses_the_kind_of_number():
    device = compat.default_device()
    with pytest.raises(TypeError, match=r"3\.7 of dtype float64 cannot become int32"):
        compat.put(3.7, I32, device)
    with pytest.raises(TypeError, match="complex128 cannot become float32"):
        compat.put(np.ones((), np.complex128), F32, device)
    with pytest.raises(TypeError, match="cannot become float32"):
        compat.put("text", F32, device)
    with pytest.raises(ValueError, match=r"shape \(2,\) cannot become float32\[3\]"):
        compat.put(np.ones(2), F32X3, device)
    assert compat.put(True, F32, device) == 1.0


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
        assert out.sharding == jax.sharding.SingleDeviceSharding(compat.default_device())
        assert out.committed is False


def test_executor_results_are_committed_where_an_argument_is():
    call = doubling("f32", F32, 2)
    committed = jax.device_put(jnp.float32(1), compat.default_device())
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
    with pytest.raises(TypeError, match="argument 0 of double is being traced by JAX"):
        jax.jit(lambda x: call(x))(1.0)


def test_executor_names_a_deleted_array():
    call = doubling("f32", F32, 2)
    array = jnp.float32(1) + 0
    call(1.0, array)
    array.delete()
    with pytest.raises(RuntimeError, match=r"argument '1 of double', float32\[\], has been deleted"):
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
    previous = compat.tracing_marker.enter()
    try:
        call(1.0)
        assert python_calls(call, 1.0) == 0
    finally:
        compat.tracing_marker.exit(previous)


def test_executor_is_collected():
    call = doubling("f32", F32)
    call(1.0)
    reference = weakref.ref(call)
    del call
    gc.collect()
    assert reference() is None


def test_executor_reads_arrays_of_other_layout():
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    column_major = Format(Layout((1, 0)), jax.sharding.SingleDeviceSharding(compat.default_device()))
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
    assert compat.placement([]) == compat.default_device()
    assert compat.placement([1.0, np.ones(2), jnp.ones(2)]) == compat.default_device()


def test_deleted_argument_error_names_the_first():
    array = jnp.ones(2)
    assert compat.deleted_argument_error([1.0, array]) is None
    array.delete()
    error = compat.deleted_argument_error([1.0, array], ["x", "y"])
    assert isinstance(error, RuntimeError)
    assert "argument 'y', float32[2], has been deleted: it was donated" in str(error)


@two_devices
def test_two_devices_placement():
    first, second = jax.devices()[:2]
    on_second = jax.device_put(1.0, second)
    assert compat.placement([1.0, jnp.ones(2), on_second]) == second
    with jax.default_device(second):
        assert compat.default_device() == second
        assert compat.placement([jnp.ones(2)]) == second
    with pytest.raises(
        ValueError, match=r"argument 'x' is committed to .*0.* and argument 'z' to .*1.*jax\.device_put"
    ):
        compat.placement([jax.device_put(1.0, first), 1.0, on_second], ["x", "y", "z"])


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
        compat.placement([1.0, _sharded()])
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
    assert compat.placement([array]) == jax.devices()[0]


@pytest.mark.skipif(len(jax.devices()) > 1, reason="this is the process with two devices")
def test_two_device_promises_hold_in_a_process_with_two_devices():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_two_devices_"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "5 passed" in result.stdout and "skipped" not in result.stdout, result.stdout


# jit_function


def jitted(function=None, *, name="f", key=(), static_argnums=(), static_argnames=(), attribute="", type_=F32):
    """A jit of ``lambda x: x + x`` whose misses are counted in ``.misses``."""
    device = compat.default_device()
    executable = compat.compile_text(text("f32" if type_ is F32 else "3xf32", 1, attribute), device)
    run = compat.executor(executable, [type_], [type_], device, name)
    tree = jax.tree_util.tree_structure({"out": 0})
    misses = []

    def miss(*args, **kwargs):
        misses.append((args, kwargs))
        leaves = jax.tree_util.tree_leaves((args, kwargs))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return "staged", None, False
        if leaves and isinstance(leaves[0], str):
            raise ValueError("no strings")
        (out,) = run(leaves[0])
        kept = [i == 0 for i in range(len(leaves))]
        record = compat.fast_path_record(executable, tree, [type_] * len(leaves), [type_], device, kept)
        return {"out": out}, record, False

    call = compat.jit_function(name, function or (lambda x: x), miss, static_argnums, static_argnames, key)
    call.misses = misses
    return call


class Tracer:
    """Stand-in of our tracer: slots, no pytree, unknown to JAX."""

    __slots__ = ("dtype", "shape")

    def __init__(self):
        self.dtype = np.dtype(np.float32)
        self.shape = ()


def test_jit_runs_in_cpp_after_the_first_call():
    call = jitted()
    for argument in (1.0, 2.0, jnp.float32(3), jnp.float32(4)):
        assert call(argument)["out"] == 2 * float(argument)
    assert len(call.misses) == 2  # weak and strong float32


def test_jit_flattens_pytrees_keywords_and_drops_what_is_not_kept():
    call = jitted()
    for _ in range(2):
        assert call({"a": 1.0}, [2.0, (3.0,)], b=4.0)["out"] == 2.0
    assert len(call.misses) == 1


def test_tracers_reach_cache_miss_each_time():
    call = jitted()
    tracer = Tracer()
    for _ in range(2):
        assert call(tracer) == "staged"
        assert call({"a": [1.0, tracer]}, k=tracer) == "staged"
    assert len(call.misses) == 4
    assert call.misses[0][0][0] is tracer


def test_calls_under_the_marker_miss_and_leave_no_entry():
    call = jitted()
    call(1.0)
    call(1.0)
    previous = compat.tracing_marker.enter()
    try:
        for _ in range(3):
            call(1.0)
    finally:
        compat.tracing_marker.exit(previous)
    assert len(call.misses) == 4
    call(1.0)
    assert len(call.misses) == 4


def test_an_error_in_cache_miss_leaves_the_signature_fast():
    call = jitted()
    real = jnp.float32(1) + 0
    deleted = jnp.float32(1) + 0
    deleted.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        call(deleted)
    call(real)
    count = len(call.misses)
    call(real)
    assert len(call.misses) == count


def test_jit_static_arguments_are_part_of_the_signature():
    call = jitted(lambda x, n, mode: x, static_argnums=(1,), static_argnames=("mode",))
    for n, mode in ((1, "a"), (2, "a"), (1, "b"), (1, "a")):
        call(1.0, n, mode=mode)
    assert len(call.misses) == 3
    with pytest.raises(ValueError, match="hashable"):
        call(1.0, [], mode="a")


def test_jit_of_equal_function_and_key_shares_signatures_and_clear_forgets():
    def function(x):
        return x

    first, second, other = jitted(function), jitted(function), jitted(function, key=("donate", 0))
    first(1.0)
    second(1.0)
    assert (len(first.misses), len(second.misses)) == (1, 0)
    other(1.0)
    assert len(other.misses) == 1
    compat.clear(first)
    first(1.0)
    assert len(first.misses) == 2


def test_jit_takes_methods_and_unhashable_callables():
    class Model:
        __hash__ = None

        def method(self, x):
            return x

        def __call__(self, x):
            return x

    class Holder:
        double = jitted(lambda self, x: x)

    for callable_ in (Model(), Model().method, len):
        call = jitted(callable_)
        call(1.0)
        assert call(2.0)["out"] == 4.0
        assert len(call.misses) == 1
    holder = Holder()
    assert holder.double.__self__ is holder


def test_x64_is_part_of_the_signature():
    call = jitted()
    call(np.float32(1))
    with jax.enable_x64(True):
        call(np.float32(1))
    assert len(call.misses) == 2


def test_donation_deletes_the_argument_on_the_fast_path_too():
    call = jitted(attribute=" {jax.buffer_donor = true}", type_=F32X3)
    for _ in range(3):
        array = jnp.arange(3.0) + 0
        np.testing.assert_array_equal(call(array)["out"], [0, 2, 4])
        assert array.is_deleted()
    assert len(call.misses) == 1
    with pytest.raises((ValueError, RuntimeError), match=r"argument 0.*deleted or donated|has been deleted"):
        call(array)
    assert "has been deleted" in str(compat.deleted_argument_error([array]))


def test_jit_function_is_collected_with_its_cache():
    call = jitted()
    call(1.0)
    reference = weakref.ref(call)
    del call
    gc.collect()
    assert reference() is None
