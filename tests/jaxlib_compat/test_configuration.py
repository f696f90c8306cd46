"""JAX's configuration as the keys of traces hold it, and JAX's current trace beside it, which is ours in a trace."""

from __future__ import annotations

import gc
import threading

import jax
import jax.numpy as jnp

from functrans.jaxlib_compat import configuration
from functrans.jaxlib_compat.tracing import EVALUATION, current_trace, evaluates, set_trace
from functrans.trace.builder import Builder
from functrans.trace.jax_trace import BuilderTrace
from functrans.trace.state import state


def test_readers_follow_the_configuration():
    before = configuration.trace_context()
    assert configuration.x64_enabled() is False
    assert configuration.matmul_precision() is None
    with jax.enable_x64(True):
        assert configuration.x64_enabled() is True
        assert configuration.trace_context() != before
    with jax.default_matmul_precision("highest"):
        assert configuration.matmul_precision() == "highest"
        assert configuration.trace_context() != before
    assert configuration.trace_context() == before
    assert hash(configuration.trace_context()) == hash(before)


def test_a_trace_opened_by_the_sweep_behind_a_value_leaves_the_outer_one_current():
    with Builder("outer") as outer:
        saved, state.builder = state.builder, None  # as the sweep does
        set_trace(EVALUATION)
        with Builder("inner"):
            assert not evaluates()
        assert evaluates()
        set_trace(outer.trace)
        assert not gc.isenabled()
        state.builder = saved
    assert evaluates()
    assert gc.isenabled()


def test_the_current_trace_is_of_one_thread_nests_and_is_restored():
    assert current_trace() is EVALUATION
    with Builder("outer") as outer:
        assert current_trace() is outer.trace
        with Builder("inner") as inner:
            assert inner.trace is outer.trace
            seen = []
            thread = threading.Thread(target=lambda: seen.append((current_trace(), evaluates())))
            thread.start()
            thread.join()
            assert seen == [(EVALUATION, True)]
        assert current_trace() is outer.trace
    assert current_trace() is EVALUATION


def test_no_trace_evaluates_as_jax_does_while_it_processes_an_operation():
    set_trace(None)
    try:
        assert evaluates()
        with Builder("in a rule of JAX"):
            assert not evaluates()
        assert current_trace() is None
    finally:
        set_trace(EVALUATION)


def test_a_trace_opened_in_one_of_jax_gives_it_back():
    seen = []

    @jax.jit
    def f(x):
        before = current_trace()
        with Builder("inside") as builder:
            seen.append(builder.trace.parent_trace is before)
        seen.append(current_trace() is before)
        return x

    f(1.0)
    assert seen == [True, True]


def test_our_trace_does_not_make_jax_trace_again():
    traces = []

    @jax.jit
    def f(x):
        traces.append(1)
        return x + 1

    f(jnp.float32(1))
    with Builder():
        f(jnp.float32(1))
    assert len(traces) == 1


def test_the_current_trace_is_not_part_of_our_key():
    before = configuration.trace_context()
    set_trace(BuilderTrace(EVALUATION))
    try:
        assert configuration.trace_context() == before
    finally:
        set_trace(EVALUATION)
