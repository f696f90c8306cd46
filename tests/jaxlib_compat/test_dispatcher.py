"""The C++ function behind the public jit: signatures kept where they may be, forgotten where they must."""

from __future__ import annotations

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from functrans.jaxlib_compat import array_values, configuration, dispatcher, executors
from functrans.trace.builder import Builder
from functrans.xla.compilation import compile_text
from tests.jaxlib_compat.doubling import F32, F32X3, text


def jitted(function=None, *, name="f", key=(), static_argnums=(), static_argnames=(), attribute="", type_=F32):
    """A jit of ``lambda x: x + x`` whose misses are counted in ``.misses``."""
    device = configuration.default_device()
    executable = compile_text(text("f32" if type_ is F32 else "3xf32", 1, attribute), device)
    run = executors.executor(executable, [type_], [type_], device, name)
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
        record = executors.fast_path_record(executable, tree, [type_] * len(leaves), [type_], device, kept)
        return {"out": out}, record, False

    call = dispatcher.jit_function(name, function or (lambda x: x), miss, static_argnums, static_argnames, key)
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


def test_calls_in_a_trace_miss_and_leave_no_entry():
    call = jitted()
    call(1.0)
    call(1.0)
    with Builder():
        for _ in range(3):
            call(1.0)
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
    dispatcher.clear(first)
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
    assert "has been deleted" in str(array_values.deleted_argument_error([array]))


def test_jit_function_is_collected_with_its_cache():
    call = jitted()
    call(1.0)
    reference = weakref.ref(call)
    del call
    gc.collect()
    assert reference() is None
