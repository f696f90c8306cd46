"""Settings and fixtures that every test folder shares.

How much a run does: all tests, but of the products in ``IN_TURNS`` a part, the next one at each commit; with
``--quick`` a sixteenth, of every room; with ``--share 2/8`` the second eighth. What a test draws from a product within
it is decided in the same way (``tests/turns.py``). ``FUNCTRANS_TESTS=thorough`` draws all, and compiles everything as
users do.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jax
import jax._src.compiler as jax_compiler
import pytest
from jax._src import pjit
from jax._src.interpreters import pxla

import functrans
from functrans.jaxlib_compat import compiler
from functrans.xla import compilation
from tests.turns import THOROUGH, current_turn

# Derandomised by default, so that a red run can be repeated; `FUNCTRANS_TESTS=thorough` draws new programs each time.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, max_examples=25, database=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=400)
hypothesis.settings.load_profile("thorough" if THOROUGH else "steady")

# These rooms ask what a program computes, in thousands of small ones, and what LLVM makes of them does not enter the
# answer: both sides' are compiled with few optimisations, in a third of the time. All others (xla, export, benchmarks,
# examples ...) test the machine code that users get; a thorough run tests it everywhere. Of control, oracle and api a
# quarter does, the next one at each commit. JAX's programs, which are only asked for numbers, are compiled so in these
# three and in benchmarks too.
ROOT = Path(__file__).resolve().parent
gc.set_threshold(20_000, 20, 20)  # tracing makes many objects and little garbage
QUICKLY_COMPILED = frozenset(
    "compose crossing crossing_libraries derivatives effects errors interop jacobians laws linalg nn numpy ops".split()
    + "project random scipy surface".split()
)
OPTIMISED_IN_TURNS = frozenset("control oracle api".split())
OPTIMISED_PARTS = 4
ANSWERED_QUICKLY = OPTIMISED_IN_TURNS | {"benchmarks"}
# On top of JAX's own switch. The first is not in every jaxlib; where it is, kernels need not go through MLIR, which
# takes as long as all the rest. The second: a worker of the tests has no processors to compile parts of a program on.
NO_EMITTERS = ("xla_cpu_use_fusion_emitters", False)
QUICK_OPTIONS = (NO_EMITTERS, ("xla_cpu_parallel_codegen_split_count", 1))
_get_compile_options = jax_compiler.get_compile_options


@functools.cache
def _known_options() -> list[tuple[str, Any]]:
    """Those of the quick options that this jaxlib has: it refuses to compile with one that it has not."""
    known = []
    lowered = jax.jit(lambda x: x).lower(0.0)
    for name, value in QUICK_OPTIONS:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            lowered.compile({name: value})
            known.append((name, value))
    return known


def _compile_options(*args: Any, **named: Any) -> Any:
    """JAX's options, and while its switch for quick compilation is on, ours beneath those that the caller named."""
    options = _get_compile_options(*args, **named)
    if jax.config.read("jax_disable_most_optimizations"):
        options.env_option_overrides = [*_known_options(), *options.env_option_overrides]
    return options


_answers_quickly = False  # whether JAX's programs, and they alone, are compiled with few optimisations


def _compile_options_of_jax(*args: Any, **named: Any) -> Any:
    """For the programs of JAX: what its switch for quick compilation does, and ours, where only answers are asked."""
    options = _compile_options(*args, **named)
    if _answers_quickly:
        options.executable_build_options.debug_options.xla_backend_optimization_level = 0
        options.executable_build_options.debug_options.xla_llvm_disable_expensive_passes = True
        options.env_option_overrides = [*_known_options(), *options.env_option_overrides]
    return options


jax_compiler.get_compile_options = _compile_options_of_jax
compiler._get_compile_options = _compile_options


_executables: dict[Any, Any] = {}  # of programs compiled with few optimisations, by text, devices and options
_MOST_EXECUTABLES = 1000


def _compiled_once(key: Any, compile: Callable[[], Any]) -> Any:
    """Another test, or another function, often has the same program: XLA makes the same of it."""
    executable = _executables.get(key)
    if executable is None:
        if len(_executables) >= _MOST_EXECUTABLES:
            _executables.clear()
        executable = _executables[key] = compile()
    return executable


_backend_compile_and_load = jax_compiler.backend_compile_and_load


def _compiled_by_jax(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
    compile = functools.partial(_backend_compile_and_load, backend, module, devices, options, callbacks)
    if callbacks or not (_answers_quickly or jax.config.read("jax_disable_most_optimizations")):
        return compile()
    return _compiled_once((module.operation.get_asm(), devices, options.SerializeAsString()), compile)


jax_compiler.backend_compile_and_load = _compiled_by_jax


def _compiled(text: bytes, device: Any, options: Any, functions: Any = ()) -> Any:
    """With fusion, which small un-jitted programs otherwise do without: XLA errs without both it and the emitters."""
    debug_options = options.executable_build_options.debug_options
    left_out = debug_options.xla_disable_hlo_passes.split(",")
    if NO_EMITTERS in options.env_option_overrides and "fusion" in left_out:
        left_out.remove("fusion")
        debug_options.xla_disable_hlo_passes = ",".join(left_out)
    compile = functools.partial(compiler.compiled, text, device, options, functions)
    if functions or not jax.config.read("jax_disable_most_optimizations"):
        return compile()
    return _compiled_once((text, device, options.SerializeAsString()), compile)


compilation.compiled = _compiled


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).parts[0]


def _lot(item: pytest.Item) -> int:
    """A number from the test's name alone: which part of the suite it belongs to."""
    return zlib.crc32(item.nodeid.encode())


def _parts(item: pytest.Item) -> int:
    """In how many parts the tests of the item's product take turns; 1 where it is of none."""
    product = "[" in item.name or _room(item) in ("crossing_libraries", "examples")  # each library, each example a test
    return IN_TURNS.get(item.path.relative_to(ROOT).as_posix(), 1) if product and not THOROUGH else 1


def _compiled_quickly(item: pytest.Item) -> bool:
    if THOROUGH or item.get_closest_marker("machine_code") is not None:
        return False
    if _room(item) in OPTIMISED_IN_TURNS:  # counted by the commits that run the test
        return _lot(item) // QUICK_PARTS % OPTIMISED_PARTS != current_turn() // _parts(item) % OPTIMISED_PARTS
    return _room(item) in QUICKLY_COMPILED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _answers_quickly
    _answers_quickly = False
    quick = _compiled_quickly(item)
    _known_options()
    _answers_quickly = (
        not THOROUGH and _room(item) in ANSWERED_QUICKLY and item.get_closest_marker("machine_code") is None
    )
    if jax.config.read("jax_disable_most_optimizations") != quick:
        functrans.clear_caches()  # it is in no key: a program of one room would be taken for that of another
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", quick)


# The rooms that know jaxlib's private names, and what users call: a share of the suite always holds all of them.
NEXT_TO_JAXLIB = frozenset("jaxlib_compat xla api errors test_export.py".split())


# Products of functions, transforms and dtypes: in how many parts their parametrised tests take turns.
IN_TURNS = {
    "api/test_derivative_options.py": 2,
    "api/test_same_bits.py": 2,
    "compose/test_compose.py": 8,
    "compose/test_numbers_for_arrays.py": 2,
    "control/corpus/test_loops.py": 8,
    "control/test_against_jax.py": 6,
    "control/test_checkpoint.py": 4,
    "control/test_corners.py": 4,
    "control/test_custom_batching.py": 4,
    "control/test_fori_loop.py": 4,
    "control/test_lanes.py": 4,
    "crossing_libraries/test_arrays_and_types.py": 4,
    "crossing_libraries/test_models.py": 4,
    "crossing_libraries/test_probability.py": 4,
    "crossing_libraries/test_solvers.py": 4,
    "crossing/test_derivatives.py": 8,
    "crossing/test_lifetimes.py": 2,
    "crossing/test_mixed_programs.py": 8,
    "crossing/test_outwards.py": 4,
    "crossing/test_state_restored.py": 2,
    "crossing/test_wrong_use.py": 4,
    "derivatives/test_operators.py": 2,
    "derivatives/test_taylor_accuracy.py": 8,
    "derivatives/test_taylor_laws.py": 6,
    "derivatives/test_taylor_solutions.py": 3,
    "effects/test_order.py": 4,
    "examples/test_batched_jacobian.py": 2,
    "examples/test_higher_order.py": 2,
    "examples/test_neural_ode.py": 2,
    "examples/test_optax_training.py": 2,
    "interop/test_census.py": 4,
    "interop/test_compositions.py": 6,
    "interop/test_operations.py": 6,
    "interop/test_libraries.py": 4,
    "interop/test_solvers.py": 4,
    "jacobians/test_sparse_derivatives.py": 2,
    "laws/test_costs_grow_linearly.py": 4,
    "laws/test_impolite_programs.py": 4,
    "laws/test_random_programs.py": 2,
    "linalg/test_against_jax.py": 4,
    "linalg/test_spectra.py": 4,
    "nn/test_functions.py": 4,
    "nn/test_initializers.py": 2,
    "nn/test_masks.py": 2,
    "numpy/test_elementwise.py": 4,
    "numpy/test_fitting.py": 4,
    "numpy/test_indexing.py": 2,
    "numpy/test_reductions.py": 4,
    "numpy/test_shapes_and_joining.py": 4,
    "numpy/test_signals_and_statistics.py": 4,
    "numpy/test_sorting_and_sets.py": 4,
    "numpy/test_wide_numbers.py": 4,
    "ops/test_against_jax.py": 6,
    "ops/test_collectives.py": 4,
    "ops/test_segments.py": 4,
    "optimise/test_short_reductions.py": 2,
    "oracle/test_derivatives_against_mpmath.py": 4,
    "oracle/test_derivatives_to_the_last_digits.py": 8,
    "oracle/test_every_function_is_held.py": 2,
    "oracle/test_mixed_derivatives_to_the_last_digits.py": 8,
    "oracle/test_scenarios_against_jax.py": 8,
    "project/test_docstrings.py": 4,
    "random/test_against_jax.py": 4,
    "random/test_derivatives.py": 4,
    "scipy/test_multivariate_normal.py": 2,
    "scipy/test_signal.py": 4,
    "scipy/test_special.py": 8,
    "scipy/test_stats.py": 8,
    "surface/test_by_the_crossing.py": 8,
    "surface/test_lax.py": 4,
    "surface/test_rows.py": 16,
    "surface/test_solvers.py": 4,
    "surface/test_sparse_functions.py": 8,
}
QUICK_PARTS = 16


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--share 2/3``: the second third of the tests, spread over all rooms; the rooms next to jaxlib whole."""
    parser.addoption("--share", type=_share, default=(1, 1), metavar="K/N", help="run the K-th of N parts of the suite")
    parser.addoption("--quick", action="store_true", help="run a sample of every room, in two minutes")


def _share(text: str) -> tuple[int, int]:
    turn, parts = map(int, text.split("/"))
    if not 1 <= turn <= parts:
        raise ValueError(f"{text}: from 1/N to N/N")
    return turn, parts


def _sample(items: list[pytest.Item]) -> set[pytest.Item]:
    """A sixteenth of the tests, and of a room or file beside the rooms that has none there, the first one drawn."""
    chosen = {item for item in items if _lot(item) % QUICK_PARTS == 0}
    for room in {_room(item) for item in items} - {_room(item) for item in chosen}:
        chosen.add(min((item for item in items if _room(item) == room), key=_lot))
    return chosen


def _has_its_turn(item: pytest.Item, turn: int, parts: int) -> bool:
    """Whether a test is in the share, and of a product in that part of the share that this commit runs."""
    room, lot, product = _room(item), _lot(item), _parts(item)
    return (room in NEXT_TO_JAXLIB or lot % parts == turn - 1) and lot // parts % product == (
        current_turn() // parts % product
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not of the share or sample asked for."""
    items.sort(key=_compiled_quickly)  # to change between the two empties the caches: once a process is enough
    if config.getoption("quick"):
        chosen = _sample(items)
    else:
        turn, parts = config.getoption("share")
        chosen = {item for item in items if _has_its_turn(item, turn, parts)}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def pytest_collection_finish() -> None:
    """What has been collected stays: garbage collection need not walk thousands of tests and modules again."""
    gc.freeze()


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


# JAX keeps the module of each program, a megabyte and more with its context, and MLIR walks through all contexts alive
# when it makes another: with a thousand of them compiling takes half as long again. Executables stay where calls look.
_MODULES_KEPT = (pjit._pjit_lower, pxla._cached_lowering_to_hlo, pxla._cached_compilation)
_MOST_MODULES = 200


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let go of modules, and of executables before the process runs out of memory maps: thousands of tests share it."""
    global _tests_run
    _tests_run += 1
    if pjit._pjit_lower.cache_info().currsize > _MOST_MODULES:
        for cache in _MODULES_KEPT:
            cache.cache_clear()
    if _tests_run % 50 == 0:
        if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
            functrans.clear_caches()
            jax.clear_caches()
            _executables.clear()
            gc.unfreeze()
        gc.collect()
        gc.freeze()  # what has lived so long stays, and tests that collect garbage need not walk through it again
