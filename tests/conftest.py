"""Settings and fixtures that every test folder shares."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

import functrans

# Derandomised by default, so that a red run can be repeated; `FUNCTRANS_TESTS=thorough` draws new programs each time.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=400)
hypothesis.settings.load_profile("thorough" if os.environ.get("FUNCTRANS_TESTS") == "thorough" else "steady")


@pytest.fixture
def x64() -> Iterator[None]:
    """64-bit types on for one test, whatever the process was started with."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def both_widths(request: pytest.FixtureRequest) -> Iterator[bool]:
    """The test once with 64-bit types off and once with them on."""
    with jax.enable_x64(request.param):
        yield request.param


_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 40_000  # of 65,530 that Linux allows a process; every executable kept by either library takes some
_tests_run = 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let go of executables before the process runs out of memory maps: thousands of tests share it."""
    global _tests_run
    _tests_run += 1
    if _tests_run % 50 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        functrans.clear_caches()
        jax.clear_caches()
        gc.collect()
