"""What programs and calls cost, in numbers that no clock and no neighbour disturbs.

``python -m tests.counts.measure`` prints them; with ``--record`` it writes them to ``counts.json``, where each has a
field for the reason of its last change. They are counted in a process of its own, so that no test's caches enter.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import functrans as ft
import functrans.numpy as fnp
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import FunctransSide
from functrans.ir.program import all_equations

RECORD = Path(__file__).resolve().parent / "counts.json"
# Bytecode differs between Pythons, kernels between jaxlibs, and JAX's Python runs inside ours: one pair is recorded.
PAIR = "Python 3.11, jax 0.10"
THIS_PAIR = f"Python {sys.version_info[0]}.{sys.version_info[1]}, jax {'.'.join(jax.__version__.split('.')[:2])}"
LONG = ("chain_1000", "chain_10000")  # XLA takes them minutes; their kernels are those of chain
NO_KERNEL = frozenset("parameter constant tuple get-tuple-element bitcast opt-barrier".split())


def bytecode_instructions(call: Callable[[], Any]) -> int:
    """Bytecode instructions that the call executes, in every Python function that it enters."""
    count = 0

    def local(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return local

    def enter(frame: Any, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return local

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(previous)
    return count


def python_calls(call: Callable[[], Any]) -> int:
    """Python functions entered during the call, itself included."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(previous)
    return count


def kernels(compiled: str) -> int:
    """Optimised HLO -> the instructions of its entry computation that do work when the program runs."""
    entry = re.search(r"^ENTRY .*?^}", compiled, re.MULTILINE | re.DOTALL)
    assert entry is not None
    names = re.findall(r"^ +(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][a-z\-]*)\(", entry[0], re.MULTILINE)
    return sum(name not in NO_KERNEL for name in names)


def _perceptron(weights: Any, x: Any, y: Any) -> Any:
    for w, b in weights:
        x = fnp.tanh(x @ w + b)
    return fnp.mean((x - y) ** 2)


def _thousand_operations(x: Any) -> Any:
    for k in range(500):
        x = x * (k + 0.5) + x
    return x


def _calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    random = np.random.default_rng(0)
    scalar = ft.grad(lambda x: x * x + x)
    weights = [(jax.numpy.asarray(random.normal(size=(4, 4)), "float32"), jax.numpy.zeros(4)) for _ in range(3)]
    x = jax.numpy.asarray(random.normal(size=(8, 4)), "float32")
    perceptron = ft.grad(_perceptron)
    compiled, arrays = ft.jit(_perceptron), jax.tree.map(np.asarray, (weights, x, x))
    one = np.float32(1.0)
    yield "a warm un-jitted gradient of x*x + x", lambda: scalar(3.0)
    yield "a warm un-jitted gradient of three layers", lambda: perceptron(weights, x, x)
    yield "a warm jitted call of eight NumPy arrays", lambda: compiled(*arrays)
    yield "the trace of 1,000 operations", lambda: ft.make_jaxpr(_thousand_operations)(one)


def measured() -> dict[str, int]:
    """Every figure by its name: what is independent of the pair first."""
    found: dict[str, int] = {}
    side = FunctransSide()
    for name, scenario in SCENARIOS.items():
        function, args = side.variant(scenario, scenario.derivative)
        found[f"equations: {name}"] = sum(1 for _ in all_equations(ft.make_jaxpr(function)(*args)))
    if THIS_PAIR != PAIR:
        return found
    for name, scenario in SCENARIOS.items():
        if name not in LONG:
            function, args = side.variant(scenario, scenario.derivative)
            found[f"kernels: {name}"] = kernels(ft.jit(function).lower(*args).compile().as_text())
    gc.collect()
    gc.disable()  # what it finalises, and when, is no part of a call
    for name, call in _calls():
        for _ in range(5):
            call()
        found[f"instructions: {name}"] = bytecode_instructions(call)
        found[f"calls: {name}"] = python_calls(call)
    gc.enable()
    return found


def recorded() -> dict[str, tuple[int, str]]:
    """The record: figure -> (count, why it last changed)."""
    return {name: (count, why) for name, (count, why) in json.loads(RECORD.read_text(encoding="utf-8")).items()}


def record(found: dict[str, int]) -> None:
    """Write the counts down, a line for each; a reason stays until somebody writes another."""
    before = recorded() if RECORD.exists() else {}
    lines = [f"  {json.dumps(name)}: [{count}, {json.dumps(before.get(name, (0, 'first record'))[1])}]"
             for name, count in found.items()]  # fmt: skip
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What programs and calls cost, counted.")
    parser.add_argument("--record", action="store_true", help=f"write the counts to {RECORD.name}")
    found = measured()
    if parser.parse_args().record:
        if THIS_PAIR != PAIR:
            sys.exit(f"the record is that of {PAIR}, and this is {THIS_PAIR}")
        record(found)
    print(json.dumps(found, indent=1))
