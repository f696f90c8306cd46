"""The composition table over the bridge, both ways and there and back, against the same source in plain JAX."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import jax
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.compose import array_programs, control_programs, rule_programs  # noqa: F401  (they fill the table)
from tests.compose.stacks import STEPS, Namespaces, Staged, chosen_stacks
from tests.compose.table import PROGRAMS, Program

FUNCTRANS = Namespaces(ft, fnp, lax)
JAX = Namespaces(jax, jax.numpy, jax.lax)


def from_jax(program: Program) -> tuple[Callable, Namespaces]:
    """JAX's program under functrans' transforms."""
    return ft.from_jax(program.build(*JAX)), FUNCTRANS


def to_jax(program: Program) -> tuple[Callable, Namespaces]:
    """functrans' program under JAX's transforms."""
    return ft.to_jax(program.build(*FUNCTRANS)), JAX


def there_and_back(program: Program) -> tuple[Callable, Namespaces]:
    """functrans' program inside a JAX function, under functrans' transforms."""
    return ft.from_jax(ft.to_jax(program.build(*FUNCTRANS))), FUNCTRANS


WAYS = {way.__name__: way for way in (from_jax, to_jax, there_and_back)}


def _stack(way: str, program: Program) -> tuple[str, ...]:
    """One of the stacks that the composition tests choose for the program, another one for each way."""
    return min(chosen_stacks(program), key=lambda stack: zlib.crc32("-".join((way, program.name, *stack)).encode()))


CASES = [(way, _stack(way, program), name) for way in WAYS for name, program in PROGRAMS.items()]


def _case_name(case: tuple[str, tuple[str, ...], str]) -> str:
    way, stack, name = case
    return "-".join((way, name, *stack))


def _under(stack: tuple[str, ...], namespaces: Namespaces, staged: Staged) -> Staged:
    for name in reversed(stack):
        staged = STEPS[name](namespaces, staged)
    return staged


@pytest.mark.parametrize("case", CASES, ids=_case_name)
def test_a_program_over_the_bridge_agrees_with_jax(case: tuple[str, tuple[str, ...], str]) -> None:
    way, stack, name = case
    with jax.enable_x64(bool(zlib.crc32(_case_name(case).encode()) % 2)):
        program = PROGRAMS[name]
        arguments = program.arguments()
        reference = _under(stack, JAX, Staged(program.build(*JAX), arguments))
        function, namespaces = WAYS[way](program)
        candidate = _under(stack, namespaces, Staged(function, arguments))
        expected = jax.jit(reference.function)(*reference.arguments)
        run = jax.jit(candidate.function) if namespaces is JAX else candidate.function
        # Cotangents of a Python number are weak here where its use was converted, and strong in JAX.
        weak = name != "weak_scalar_times_array"
        assert_same(run(*candidate.arguments), expected, program.operations, weak=weak)
