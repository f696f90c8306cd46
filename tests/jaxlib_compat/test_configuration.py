"""JAX's configuration as the keys of traces hold it, and the marker of open traces beside it."""

from __future__ import annotations

import gc
import threading

import jax
import jax.numpy as jnp

from functrans.jaxlib_compat import configuration
from functrans.trace.builder import Builder
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


def test_a_trace_opened_by_the_sweep_behind_a_value_leaves_the_marker_to_the_outer_one():
    marker = configuration.tracing_marker
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
    marker = configuration.tracing_marker
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
    previous = configuration.tracing_marker.enter()
    try:
        f(jnp.float32(1))
    finally:
        configuration.tracing_marker.exit(previous)
    assert len(traces) == 1


def test_marker_is_not_part_of_our_key():
    before = configuration.trace_context()
    previous = configuration.tracing_marker.enter()
    try:
        assert configuration.trace_context() == before
    finally:
        configuration.tracing_marker.exit(previous)
