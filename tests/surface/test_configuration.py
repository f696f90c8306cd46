"""Every context of JAX's configuration is honoured, or refused by name."""

from __future__ import annotations

import logging

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import random

MATRIX, ROW = np.ones((2, 3), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize("operation", ["add", "maximum", "arctan2"])
def test_ranks_that_differ_are_refused(operation: str) -> None:
    calls = {
        "add": lambda: ft.make_jaxpr(lambda x: x + ROW)(MATRIX),
        "maximum": lambda: ft.jit(fnp.maximum)(MATRIX, ROW),
        "arctan2": lambda: ft.grad(lambda x: fnp.sum(fnp.arctan2(x, ROW)))(MATRIX),
    }
    calls[operation]()
    with ft.numpy_rank_promotion("raise"), pytest.raises(ValueError, match=r"different ranks.*'raise'"):
        calls[operation]()
    with ft.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="different ranks"):
        calls[operation]()


def test_numbers_and_equal_ranks_may_meet() -> None:
    with ft.numpy_rank_promotion("raise"):
        assert fnp.where(MATRIX > 0, ROW, 2 * ROW).shape == (2, 3)  # as in JAX
        assert (fnp.asarray(MATRIX) * 2.0 + MATRIX[:1]).shape == (2, 3)
        assert fnp.broadcast_arrays(MATRIX, ROW)[1].shape == (2, 3)


def test_a_static_index_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = fnp.asarray(ROW)
    assert float(x[7]) == 1.0
    jax.config.update("jax_check_static_indices", True)
    try:
        for index in (7, -4):
            with pytest.raises(IndexError, match=f"index {index} is out of bounds for axis 0 of size 3"):
                ft.make_jaxpr(lambda x, i=index: x[i])(ROW)
        with pytest.raises(IndexError, match="axis 1 of size 3"):
            ft.make_jaxpr(lambda x: x[:, 3])(MATRIX)
        assert float(x[-3]) == 1.0
        assert float(x.at[7].get(mode="clip")) == 1.0
    finally:
        jax.config.update("jax_check_static_indices", False)


def test_dtypes_that_differ_are_refused() -> None:
    with ft.numpy_dtype_promotion("strict"), pytest.raises((TypeError, ValueError)):
        fnp.add(ROW, np.ones(3, np.int32))


def test_wide_dtypes() -> None:
    for how, error in (("error", ValueError), ("allow", NotImplementedError)):
        jax.config.update("jax_explicit_x64_dtypes", how)
        try:
            with pytest.raises(error, match="float64 was asked for"):
                fnp.zeros(3, np.float64)
        finally:
            jax.config.update("jax_explicit_x64_dtypes", "warn")


def test_words_for_keys() -> None:
    words = random.PRNGKey(0)
    with ft.legacy_prng_key("error"), pytest.raises(ValueError, match="uniform was given words"):
        random.uniform(words)
    with ft.legacy_prng_key("warn"), pytest.warns(UserWarning, match="uniform was given words"):
        random.uniform(words)


def test_the_offset_of_seeds() -> None:
    jax.config.update("jax_random_seed_offset", 5)
    try:
        ours, theirs = random.key_data(random.key(3)), jax.random.key_data(jax.random.key(3))
        words = random.PRNGKey(3)
    finally:
        jax.config.update("jax_random_seed_offset", 0)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(words, theirs)
    assert random.key_data(random.key(3)).tolist() == [0, 3]


def test_implementations_and_partitions_of_keys() -> None:
    with ft.default_prng_impl("rbg"):
        np.testing.assert_array_equal(random.bits(random.key(1), (4,)), jax.random.bits(jax.random.key(1), (4,)))
    with ft.threefry_partitionable(False):
        np.testing.assert_array_equal(random.bits(random.key(1), (5,)), jax.random.bits(jax.random.key(1), (5,)))
    with ft.enable_custom_prng(True):
        assert random.PRNGKey(1).dtype == jax.random.key(0).dtype


def test_a_jitted_function_is_not_traced_again() -> None:
    double = ft.jit(lambda x: x * 2)
    double(ROW)
    with ft.no_tracing(True):
        assert double(ROW).shape == (3,)
        with pytest.raises(RuntimeError, match="was to be traced, and jax_no_tracing is set"):
            double(MATRIX)


@pytest.mark.parametrize(
    ("context", "error", "name"),
    [
        (ft.no_execution, RuntimeError, "jax_no_execution"),
        (ft.debug_key_reuse, NotImplementedError, "jax_debug_key_reuse"),
        (lambda _: ft.allow_f16_reductions(False), NotImplementedError, "jax_allow_f16_reductions"),
    ],
)
def test_settings_under_which_nothing_runs(context, error, name) -> None:
    double = ft.jit(lambda x: x * 2)
    double(fnp.ones(3))
    x = fnp.ones(3)
    for call in (lambda: double(x), lambda: ft.grad(lambda x: fnp.sum(x * x))(x), lambda: fnp.sin(x)):
        call()
        with context(True), pytest.raises(error, match=name):
            call()
        call()


def test_compilations_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    contexts = (jax.log_compiles(True), ft.explain_cache_misses(True), ft.log_compiles())
    for i, context in enumerate(contexts):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "functrans.compile"), context:
            ft.jit(lambda x, i=i: fnp.sum(x * 3, keepdims=True).reshape((1,) * (i + 2)))(ROW)
        assert any("compiled" in record.getMessage() for record in caplog.records)
    caplog.clear()
    ft.jit(lambda x: x * 4)(ROW)
    assert not [r for r in caplog.records if r.name == "functrans.compile"]


def test_transfers_are_guarded() -> None:
    double = ft.jit(lambda x: x * 2)
    on_device = ft.device_put(ROW)
    double(on_device)
    with ft.transfer_guard("disallow"):
        assert double(on_device).shape == (3,)
        with pytest.raises(Exception, match=r"[Dd]isallowed"):
            double(ROW)


def test_a_context_of_the_users_own_is_in_the_key_of_what_is_traced() -> None:
    mode = ft.make_user_context(default_value="slow")
    traced = []

    @ft.jit
    def f(x):
        traced.append(mode.value)
        return x * 2

    f(ROW)
    f(ROW)
    with mode("fast"):
        f(ROW)
    f(ROW)
    assert traced == ["slow", "fast"]


def test_nans_are_looked_for() -> None:
    with ft.debug_nans(True), pytest.raises(FloatingPointError):
        fnp.log(-fnp.ones(3))
    with ft.debug_infs(True), pytest.raises(FloatingPointError):
        fnp.log(fnp.zeros(3))


def test_values_are_there_at_compile_time() -> None:
    @ft.jit
    def f(x):
        with ft.ensure_compile_time_eval():
            size = int(fnp.sum(fnp.arange(4)))
        return x * size

    np.testing.assert_array_equal(f(ROW), 6 * ROW)
    np.testing.assert_array_equal(ft.grad(lambda x: fnp.sum(f(x)))(ROW), 6 * ROW)

    @ft.jit
    def of_traced(x):
        with ft.ensure_compile_time_eval():
            return fnp.sin(x)

    with pytest.raises(ft.errors.EscapedTracerError):
        of_traced(ROW)
    np.testing.assert_array_equal(f(ROW), 6 * ROW)


def test_leaks_are_found() -> None:
    kept = []
    with ft.checking_leaks():
        ft.jit(ft.grad(lambda x: fnp.sum(x * x)))(ROW)
    with pytest.raises(ft.errors.EscapedTracerError, match="held by a list"), ft.checking_leaks():
        ft.grad(lambda x: (kept.append(x), fnp.sum(x * x))[1])(ROW)
    kept.clear()
    with pytest.raises(ft.errors.EscapedTracerError, match="Leaked trace"), jax.check_tracer_leaks(True):
        ft.jit(lambda x: (kept.append(x), x)[1])(ROW)
    kept.clear()
    with pytest.raises(KeyError), ft.checking_leaks():
        ft.grad(lambda x: {}[str(x)])(ROW)  # its frames hold the value, and it is not hidden by an error about that


def test_leaks_are_looked_for_in_blocks() -> None:
    jax.config.update("jax_check_tracer_leaks", True)
    try:
        with pytest.raises(NotImplementedError, match="checking_leaks"):
            ft.grad(lambda x: fnp.sum(x * x))(ROW)
        with ft.checking_leaks():
            np.testing.assert_array_equal(ft.grad(lambda x: fnp.sum(x * x))(ROW), 2 * ROW)
    finally:
        jax.config.update("jax_check_tracer_leaks", False)


@pytest.mark.parametrize(
    ("context", "value"),
    [
        (ft.enable_checks, True), (ft.softmax_custom_jvp, False), (ft.jax2tf_associative_scan_reductions, True),
        (ft.remove_size_one_mesh_axis_from_type, True), (ft.auto_pcast, False),
        (ft.array_garbage_collection_guard, "allow"), (ft.thread_guard, False),
        (ft.transfer_guard_host_to_device, "log"),
        (ft.transfer_guard_device_to_device, "allow"), (ft.transfer_guard_device_to_host, "allow"),
    ],
)  # fmt: skip
def test_settings_that_change_no_value(context, value) -> None:
    f = ft.jit(ft.grad(lambda x: fnp.sum(ft.nn.softmax(x) * x)))
    before = f(ROW * 0.5)
    with context(value):
        np.testing.assert_array_equal(f(ROW * 0.5), before)
