"""The room of private jaxlib names keeps its promises: exact types, named errors, the C++ path where it is allowed."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from functrans.trace.builder import Builder, state
from functrans.xla import jaxlib_compat as compat
from functrans.xla.compilation import compile_text
from tests.xla.doubling import F32, F32X3, I32, Type, text

ROOT = Path(__file__).resolve().parents[2]

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


def test_a_trace_opened_by_the_sweep_behind_a_value_leaves_the_marker_to_the_outer_one():
    marker = compat.tracing_marker
    with Builder("outer"):
        saved, state.builder = state.builder, None  # as the sweep does
        with Builder("inner"):
            assert marker.active()
        assert marker.active()
        assert not gc.isenabled()
        state.builder = saved
    assert not marker.active()
    assert gc.isenabled()


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
    monkeypatch.setattr(compat, "_PRIVATE_NAMES", {"jaxlib._gone": ("x",), "jaxlib._jax": ("pjit", "not_there")})
    with pytest.raises(ImportError, match=r'\._gone is missing; jaxlib\._jax\.not_there is missing\..*0\.13"$'):
        compat.check_supported()


@pytest.mark.parametrize("version", ["0.4.38", "0.9.2", "0.13.0", "1.0.0.dev20270101"])
@pytest.mark.parametrize("package", ["jax", "jaxlib"])
def test_a_version_never_tried_is_refused_by_name(package, version, monkeypatch):
    monkeypatch.setattr(f"{package}.__version__", version)
    text = (
        rf"functrans does not support jax \S+ with jaxlib \S+: {package} {re.escape(version)} has never been tried. "
        r'Supported: jax and jaxlib 0\.10\.x, 0\.11\.x and 0\.12\.x.*pip install "jax>=0.10,<0.13"'
    )
    with pytest.raises(ImportError, match=text):
        compat.check_supported()


def test_a_version_never_tried_runs_where_the_user_says_so_and_no_name_is_missing(monkeypatch):
    monkeypatch.setattr("jax.__version__", "0.13.0")
    with pytest.raises(ImportError, match=r"jax 0\.13\.0 has never been tried\..*or set FUNCTRANS_UNTRIED_JAX=1 to"):
        compat.check_supported()
    monkeypatch.setenv("FUNCTRANS_UNTRIED_JAX", "1")
    compat.check_supported()
    monkeypatch.setattr(compat, "_PRIVATE_NAMES", {"jaxlib._jax": ("not_there",)})
    with pytest.raises(ImportError, match=r'never been tried; jaxlib\._jax\.not_there is missing\..*0\.13"$'):
        compat.check_supported()


@pytest.mark.parametrize("version", ["0.9.2", "0.13.0", "1.0.0"])
def test_importing_on_an_unsupported_version_says_so_first(version):
    """Before any other name of JAX is asked for: the rest of the package is not imported."""
    program = (
        f"import sys, jax; jax.__version__ = {version!r}\n"
        "try:\n    import functrans\n"
        "except ImportError as error:\n    print(error, 'functrans.ir' in sys.modules, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith(f"functrans does not support jax {version} with jaxlib "), done.stderr
    assert done.stdout.endswith("|False\n")


def test_the_versions_supported_are_those_that_the_package_asks_for(monkeypatch):
    requirement = f"jax>={'.'.join(map(str, compat._FIRST))},<{'.'.join(map(str, compat._PAST_LAST))}"
    assert requirement in (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert requirement in compat._unsupported("", "")
    for version in ("0.10.0", "0.11.2", "0.12.0.1", "0.12.9rc1"):
        monkeypatch.setattr("jax.__version__", version)
        monkeypatch.setattr("jaxlib.__version__", version)
        compat.check_supported()


# compilation


def test_compile_accepts_text_and_bytes_and_options():
    device = compat.default_device()
    for source in (text("f32"), text("f32").encode()):
        executable = compile_text(
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
        return compile_text(chain, device, disable_fusion=disable).hlo_modules()[0].to_string().count(" fusion(")

    assert kernels(False) == 1
    assert kernels(True) == (3 if device.platform == "cpu" else 1)


def test_extra_options_reach_the_compiler_and_unknown_ones_are_refused():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
        compile_text(text("f32"), compat.default_device(), extra_options={"xla_no_such_option": "1"})


def test_wrong_text_raises_the_message_of_xla():
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_operation"):
        compile_text(
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


# jit_function


def jitted(function=None, *, name="f", key=(), static_argnums=(), static_argnames=(), attribute="", type_=F32):
    """A jit of ``lambda x: x + x`` whose misses are counted in ``.misses``."""
    device = compat.default_device()
    executable = compile_text(text("f32" if type_ is F32 else "3xf32", 1, attribute), device)
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
