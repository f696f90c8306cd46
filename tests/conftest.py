"""Settings and fixtures that every test folder shares."""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

import functrans

# Derandomised by default, so that a red run can be repeated; `FUNCTRANS_TESTS=thorough` draws new programs each time.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=400)
THOROUGH = os.environ.get("FUNCTRANS_TESTS") == "thorough"
hypothesis.settings.load_profile("thorough" if THOROUGH else "steady")

# These rooms ask what a program computes, in thousands of small ones, and what LLVM makes of them does not enter the
# answer: both sides' are compiled by JAX's own setting for that, which saves a part of the suite's processor time.
# All others (xla, api, control, oracle, export, benchmarks, examples ...) test the machine code that users get; a
# thorough run tests it everywhere.
ROOT = Path(__file__).resolve().parent
QUICKLY_COMPILED = frozenset("compose effects errors interop laws linalg nn numpy ops random scipy".split())


def _set_optimization(item: pytest.Item) -> None:
    room = item.path.relative_to(ROOT).parts[0]
    quick = room in QUICKLY_COMPILED and not THOROUGH
    if jax.config.read("jax_disable_most_optimizations") != quick:
        functrans.clear_caches()  # it is in no key: a program of one room would be taken for that of another
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", quick)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _set_optimization(item)



# The rooms that know jaxlib's private names, and what users call: a share of the suite always holds all of them.
NEXT_TO_JAXLIB = frozenset("xla api errors test_export.py".split())


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--share 2/3``: the second third of the tests, spread over all rooms; the rooms next to jaxlib whole."""
    parser.addoption("--share", type=_share, default=(1, 1), metavar="K/N", help="run the K-th of N parts of the suite")


def _share(text: str) -> tuple[int, int]:
    turn, parts = map(int, text.split("/"))
    if not 1 <= turn <= parts:
        raise ValueError(f"{text}: from 1/N to N/N")
    return turn, parts


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not of the share asked for; a test belongs to one part, told by its name alone."""
    turn, parts = config.getoption("share")
    if parts == 1:
        return
    kept, left_out = [], []
    for item in items:
        whole = item.path.relative_to(ROOT).parts[0] in NEXT_TO_JAXLIB
        mine = zlib.crc32(item.nodeid.encode()) % parts == turn - 1
        (kept if whole or mine else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


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
