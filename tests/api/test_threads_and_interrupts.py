"""Several threads trace at once, and an interrupted trace leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.ir.cache import Cache
from functrans.trace.builder import Builder
from functrans.trace.frames import line_key

x0 = np.array([0.5, 1.5], np.float32)


def test_threads_trace_different_functions_at_once() -> None:
    barrier = threading.Barrier(4)

    def work(k: int) -> tuple[float, float]:
        def function(x: Any) -> Any:
            y = fnp.sin(x * float(k))
            barrier.wait(timeout=60)  # every thread has an open trace here
            return fnp.sum(y * y)

        gradient = ft.grad(function)(x0)
        return float(gradient[0]), float(gradient[1])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(1, 5)))
    for k, result in enumerate(results, 1):
        np.testing.assert_allclose(result, k * np.sin(2 * k * x0), rtol=1e-5, atol=1e-6)


def test_threads_share_one_jitted_function() -> None:
    compiled = ft.jit(ft.grad(lambda x: fnp.sum(fnp.tanh(x) ** 2)))
    expected = 2 * np.tanh(x0) * (1 - np.tanh(x0) ** 2)
    barrier = threading.Barrier(8)

    def work(_: int) -> np.ndarray:
        barrier.wait(timeout=60)  # the first call, with its trace and compilation, is made by all at once
        return np.asarray(compiled(x0))

    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(work, range(8)):
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_threads_look_at_values_under_grad_independently() -> None:
    def function(x: Any) -> Any:
        while x < 100.0:
            x = x * x
        return x

    def work(start: float) -> float:
        return float(ft.grad(function)(start))

    starts = [1.5, 2.0, 3.0, 1.1] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, starts)) == [work(start) for start in starts]


def test_the_trace_of_a_thread_does_not_capture_the_calls_of_another() -> None:
    seen: list[Any] = []

    def function(x: Any) -> Any:
        thread = threading.Thread(target=lambda: seen.append(float(fnp.sum(fnp.sin(x0)))))
        thread.start()
        thread.join()
        return x * 2

    text = str(ft.make_jaxpr(function)(x0))
    assert seen == [pytest.approx(float(np.sin(x0).sum()), rel=1e-6)]
    assert "sin" not in text


def made(k: int) -> dict[str, tuple[Any, float]]:
    """New functions, and their derivatives at 0.7 where every number in them is k."""
    x = 0.7

    @ft.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    square.defjvp(lambda primals, tangents: (square(primals[0]), 2.0 * primals[0] * tangents[0] * k))

    @ft.custom_vjp
    def cube(x: Any) -> Any:
        return x * x * x

    cube.defvjp(lambda x: (cube(x), x), lambda x, ct: (3.0 * x * x * ct * k,))
    inner = ft.jit(lambda x: x * (x + k))

    def by_value(x: Any) -> Any:
        y = x * k
        while y < 10.0 * k:
            y = y * 2.0
        return y

    steps = int(np.ceil(np.log2(10.0 / x)))
    table: dict[str, tuple[Any, float]] = {
        "numbers": (ft.grad(lambda x: x * float(k) + fnp.sin(x) / k), k + np.cos(x) / k),
        "second": (ft.grad(ft.grad(lambda x: k * x**3)), 6.0 * k * x),
        "jitted": (ft.jit(ft.grad(lambda x: fnp.tanh(x) * k)), k * (1 - np.tanh(x) ** 2)),
        "nested": (ft.grad(lambda x: inner(x) * 2.0), 2 * (2 * x + k)),
        "jvp rule": (ft.grad(lambda x: square(x) + k), 2 * x * k),
        "vjp rule": (ft.grad(lambda x: cube(x) - k), 3 * x * x * k),
        "loop": (
            ft.grad(lambda x: lax.scan(lambda c, _: (c * k, None), x, None, length=3)[0]), float(k) ** 3,
        ),
        "lanes": (
            lambda x: ft.vmap(ft.grad(lambda v: lax.fori_loop(0, 2, lambda i, c: c * v + k, v)))(fnp.stack([x, x]))[1],
            3 * x * x + k,
        ),
        "values": (ft.grad(by_value), k * 2.0**steps),
        "pullback": (lambda x: ft.vjp(lambda x: x * x / k, x)[1](1.0)[0], 2 * x / k),
    }  # fmt: skip
    return table


@pytest.mark.filterwarnings("error")
def test_threads_trace_new_functions_of_every_kind_and_none_is_wrong_then_or_afterwards() -> None:
    x = np.float32(0.7)
    interval = sys.getswitchinterval()
    shared = [made(k) for k in range(1, 9)]  # every thread calls every function, for the first time together
    barrier = threading.Barrier(8)

    def wrong(table: dict[str, tuple[Any, float]], name: str) -> str:
        function, expected = table[name]
        found = float(function(x))
        return "" if abs(found - expected) <= 2e-5 * abs(expected) else f"{name}: {found}, right is {expected}"

    def work(thread: int) -> list[str]:
        found = []
        for round_, name in enumerate(shared[0]):
            barrier.wait(timeout=60)
            found += [wrong(shared[(i + thread * (round_ % 2)) % 8], name) for i in range(8)]
            found.append(wrong(made(9 + thread), name))
        return [text for text in found if text]

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = [text for texts in pool.map(work, range(8)) for text in texts]
    finally:
        sys.setswitchinterval(interval)
    found += [f"afterwards {text}" for table in shared for name in table if (text := wrong(table, name))]
    found += [f"afterwards {text}" for k in range(9, 17) for name in shared[0] if (text := wrong(made(k), name))]
    assert not found


def test_threads_call_one_new_function_with_numbers_that_change() -> None:
    # The same text on a line of its own is a new function, whose operations have been compiled.
    lines = ["\n" * i + "lambda x, a, b: sin(x * a) * b" for i in range(120)]
    functions = [eval(compile(line, "cell", "eval"), {"sin": fnp.sin}) for line in lines]
    barrier = threading.Barrier(8)
    x = np.float32(0.7)

    def wrong(i: int, a: float, b: float) -> str:
        found, right = float(ft.grad(lambda x: functions[i](x, a, b))(x)), a * b * np.cos(a * 0.7)
        return "" if abs(found - right) <= 1e-5 * abs(b) else f"function {i} of {a}, {b}: {found}, right is {right}"

    def work(thread: int) -> list[str]:
        found = []
        for i in range(len(functions)):
            barrier.wait(timeout=60)
            # One number changes first, then the other: what was learnt of the first would not hold for the second.
            found += [wrong(i, 1.5, 2.0 + thread), wrong(i, 1.5 - thread / 16, 2.0), wrong(i, 1.25, 3.0 + thread)]
        return [text for text in found if text]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = [text for texts in pool.map(work, range(8)) for text in texts]
    finally:
        sys.setswitchinterval(interval)
    numbers = [(1.5, 2.0 + k) for k in range(8)] + [(1.5 - k / 16, 2.0) for k in range(8)]
    found += [text for i in range(len(functions)) for a, b in numbers if (text := wrong(i, a, b))]
    assert not found


def test_a_table_shared_by_threads_keeps_the_first_of_two_values_and_forgets_the_oldest() -> None:
    table = Cache(64)
    barrier = threading.Barrier(8)

    def work(thread: int) -> list[Any]:
        barrier.wait(timeout=60)
        return [table.add(k, (k, thread)) for k in range(20)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert all(row == results[0] for row in results)
    for k in range(1000):
        table.add(("new", k), k)
        assert table.find(0) is not None, "what is asked for again and again stays"
    assert table.find(1) is None and len(table.all_keys()) <= 64


def test_lines_are_those_of_a_code_object_and_not_of_its_address() -> None:
    keys = []
    for _ in range(200):
        code = compile("\n" * len(keys) + "f", "cell", "eval")
        keys.append(line_key((code, 0)))
        del code  # the address is free for the next
    assert len(set(keys)) == 200


def test_garbage_collection_is_on_after_traces_of_threads_that_overlap() -> None:
    first_is_open, second_is_open = threading.Event(), threading.Event()

    def outer(x: Any) -> Any:
        first_is_open.set()
        assert second_is_open.wait(60)
        return x * 2.0

    def later(x: Any) -> Any:
        second_is_open.set()
        thread.join(60)  # ends after the first
        return x * 3.0

    thread = threading.Thread(target=lambda: ft.grad(outer)(1.0))
    thread.start()
    assert first_is_open.wait(60)
    assert float(ft.grad(later)(1.0)) == 3.0
    assert gc.isenabled()
    gc.disable()  # the user's own choice stays
    try:
        ft.grad(lambda x: x * 2.0)(1.0)
        assert not gc.isenabled()
    finally:
        gc.enable()


def nothing_is_open() -> None:
    """An open builder would stage these operations, and give a tracer instead of numbers."""
    assert float(fnp.sin(np.float32(0.0)) + 1.0) == 1.0
    assert "cos" not in str(ft.make_jaxpr(lambda x: x * 2)(x0))
    assert float(ft.grad(lambda x: x * x)(3.0)) == 6.0


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """A shell starts its background jobs with the signal ignored, and Python leaves it at that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(_: Any = None) -> Any:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("construct", ["grad", "jit", "vmap", "scan", "cond", "while_loop", "nested", "values"])
def test_ctrl_c_while_tracing_leaves_no_open_builder(construct: str) -> None:
    def stop(x: Any) -> Any:
        y = fnp.sin(x)
        interrupted()
        return y

    def look(x: Any) -> Any:
        while x < 10.0:
            x = x * 2.0
            if x > 5.0:
                interrupted()
        return x

    scalar = np.float32(1.0)
    runs = {
        "grad": lambda: ft.grad(stop)(scalar),
        "jit": lambda: ft.jit(stop)(scalar),
        "vmap": lambda: ft.vmap(stop)(x0),
        "scan": lambda: lax.scan(lambda c, x: (c, stop(x)), scalar, x0),
        "cond": lambda: lax.cond(True, stop, lambda x: x, scalar),
        "while_loop": lambda: lax.while_loop(lambda c: c < 3, lambda c: stop(c), scalar),
        "nested": lambda: ft.jit(ft.grad(lambda x: fnp.sum(ft.vmap(ft.jit(stop))(x))))(x0),
        "values": lambda: ft.grad(look)(1.0),
    }
    with pytest.raises(KeyboardInterrupt):
        runs[construct]()
    nothing_is_open()


@pytest.mark.parametrize("where", ["__enter__", "__exit__"])
@pytest.mark.parametrize("construct", ["grad", "jit", "vmap", "nested", "values"])
def test_ctrl_c_while_a_trace_opens_or_closes_leaves_no_open_builder(construct: str, where: str) -> None:
    """Python looks for signals where a function begins: before the first line of what would close the trace."""

    def look(x: Any) -> Any:
        while x < 10.0:
            x = x * 2.0
        return x

    runs = {
        "grad": lambda: ft.grad(fnp.sin)(1.0),
        "jit": lambda: ft.jit(lambda x: fnp.sin(x) * 2)(x0),
        "vmap": lambda: ft.vmap(lambda x: fnp.sin(x) * 3)(x0),
        "nested": lambda: ft.jit(ft.grad(lambda x: fnp.sum(ft.vmap(ft.jit(fnp.tan))(x))))(x0),
        "values": lambda: ft.grad(look)(1.0),
    }
    code = getattr(Builder, where).__code__
    for place in range(1, 40):
        count = 0

        def arrive(frame: Any, event: str, argument: Any, place: int = place) -> Any:
            nonlocal count
            if frame.f_code is code and event in ("call", "line"):
                count += 1
                if count == place:
                    raise KeyboardInterrupt
            return arrive if frame.f_code is code else None

        previous = sys.gettrace()
        sys.settrace(arrive)
        try:
            runs[construct]()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)
        assert gc.isenabled()
        nothing_is_open()
        if count < place:
            break
    assert place > 5


def test_ctrl_c_that_a_traced_function_catches_leaves_its_trace_open() -> None:
    def stops(x: Any) -> Any:
        raise KeyboardInterrupt

    def function(x: Any) -> Any:
        for inner in (ft.grad(stops), ft.jit(stops), ft.checkpoint(stops)):
            with pytest.raises(KeyboardInterrupt):
                inner(x)
        return fnp.sin(x) * x

    np.testing.assert_allclose(ft.grad(function)(2.0), np.sin(2.0) + 2.0 * np.cos(2.0), rtol=1e-6)
    np.testing.assert_allclose(ft.jit(function)(2.0), 2.0 * np.sin(2.0), rtol=1e-6)


def test_an_exception_while_tracing_leaves_no_open_builder() -> None:
    def fails(x: Any) -> Any:
        raise KeyError("the user's own")

    for run in (lambda: ft.jit(ft.vmap(ft.grad(fails)))(x0), lambda: ft.linearize(ft.jit(fails), x0)):
        with pytest.raises(KeyError, match="the user's own"):
            run()
        nothing_is_open()


def test_a_generator_suspended_inside_a_trace_is_cleaned_up() -> None:
    def numbers(x: Any) -> Any:
        for i in range(10):
            yield x * i

    gradient = ft.grad(lambda x: next(numbers(x)) + list(numbers(x))[3])
    assert float(gradient(2.0)) == 3.0
    nothing_is_open()


IMPORTED = """
import gc, sys
if sys.argv[1] == "frozen":
    mine = [[] for _ in range(10)]
    gc.freeze()
frozen = gc.get_freeze_count()
import functrans
young = {id(x) for generation in (0, 1) for x in gc.get_objects(generation)}
kept = gc.get_freeze_count() > 0.9 * frozen
print(gc.isenabled(), frozen > 1000, kept == (frozen > 1000), len(young) < 5000, id(vars(functrans)) in young)
"""


@pytest.mark.parametrize(("before", "old"), [("usual", True), ("frozen", False)])
def test_what_is_imported_is_old_to_the_garbage_collector_and_what_the_user_froze_stays_frozen(
    before: str, old: bool
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTED, before], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert found == ["True", str(not old), "True", str(old), str(not old)]


def test_garbage_collection_is_on_again_after_a_trace() -> None:
    assert gc.isenabled()
    ft.grad(lambda x: x * x)(2.0)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        ft.jit(lambda x: 1 / 0)(2.0)
    assert gc.isenabled()


FORKING = """
import os, sys, warnings
import numpy as np
import functrans as ft

gradient = ft.grad(lambda x: x * x)
if sys.argv[1] == "used":
    gradient(3.0)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    child = os.fork()
    if child == 0:
        os._exit(0 if sys.argv[1] == "used" or float(gradient(3.0)) == 6.0 else 1)
warned = any("JAX is multithreaded" in str(w.message) for w in seen)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), float(gradient(3.0)), warned)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(("state", "expected"), [("unused", "0 6.0 False"), ("used", "0 6.0 True")])
def test_a_process_that_forks_after_it_has_computed_is_warned_as_by_jax(state: str, expected: str) -> None:
    """XLA's threads do not live in the child, which waits for them for ever; where there are none yet, all is well."""
    command = [sys.executable, "-c", FORKING, state]
    assert subprocess.run(command, capture_output=True, text=True, timeout=300).stdout.strip() == expected
