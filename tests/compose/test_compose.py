"""Every program of the table under stacks of transforms gives what JAX gives for the same source.

Compared are the tree, shape, dtype, weak type and value of every result.
"""

from __future__ import annotations

import itertools
import zlib

import jax
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.compose import array_programs, combinator_programs, control_programs, rule_programs  # noqa: F401
from tests.compose.stacks import JACOBIANS, MOST_JACOBIANS, STEPS, Namespaces, chosen_stacks, stacked
from tests.compose.table import PROGRAMS

FUNCTRANS = Namespaces(ft, fnp, lax)
JAX = Namespaces(jax, jax.numpy, jax.lax)

EVERY_CASE = [(stack, name) for name, program in PROGRAMS.items() for stack in chosen_stacks(program)]
CASES = [((), name) for name in PROGRAMS] + EVERY_CASE


def _case_name(case: tuple[tuple[str, ...], str]) -> str:
    stack, name = case
    return "-".join((name, *stack)) if stack else f"{name}-plain"


@pytest.mark.parametrize("case", CASES, ids=_case_name)
def test_transforms_of_a_program_agree_with_jax(case: tuple[tuple[str, ...], str]) -> None:
    stack, name = case
    # Both widths are covered by every program: which one a stack runs in is fixed by its name.
    with jax.enable_x64(bool(zlib.crc32(_case_name(case).encode()) % 2)):
        program = PROGRAMS[name]
        reference = stacked(JAX, program, stack)
        candidate = stacked(FUNCTRANS, program, stack)
        # Compiled as a whole: JAX's own un-jitted run compiles each operation by itself and takes ten times longer.
        run = jax.jit(reference.function) if stack else reference.function
        expected = run(*reference.arguments)
        actual = candidate.function(*candidate.arguments)
        assert_same(actual, expected, program.operations)


def test_the_table_covers_every_pair_of_transforms() -> None:
    pairs = {stack for stack, _ in EVERY_CASE if len(stack) == 2}
    triples = {stack for stack, _ in EVERY_CASE if len(stack) == 3}
    inside_triples = {pair for stack in triples for pair in (stack[:2], stack[1:])}
    every_pair = set(itertools.product(STEPS, repeat=2)) - {("jit", "jit")}
    too_large = {pair for pair in every_pair if sum(JACOBIANS.get(name, 0) for name in pair) > MOST_JACOBIANS}
    assert every_pair - too_large - pairs - inside_triples == set()
