"""Laws of the transforms over random programs with control flow, against JAX and against the unrolled program."""

from __future__ import annotations

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.compose import stacks
from tests.compose.table import Program
from tests.laws.control_programs import OURS, THEIRS, UNROLLED, ControlProgram, control_programs, inputs

pytestmark = pytest.mark.usefixtures("x64")
hypothesis.settings.register_profile(
    "control laws",
    parent=hypothesis.settings.default,
    suppress_health_check=list(hypothesis.HealthCheck),
    max_examples=hypothesis.settings.default.max_examples,
)
laws = hypothesis.settings.get_profile("control laws")
FUNCTRANS = stacks.Namespaces(ft, fnp, lax)
JAX = stacks.Namespaces(jax, jnp, jax.lax)
STEPS = ["jvp", "grad", "vjp", "vmap", "vmap_last", "vmap_one", "jit", "linearize"]
FORWARD_STEPS = [name for name in STEPS if name not in stacks.NEEDS_REVERSE]


def _stacked(namespaces: stacks.Namespaces, library: Any, program: ControlProgram, stack: Any) -> stacks.Staged:
    row = Program("random", lambda *_: program.function(library), inputs())
    return stacks.stacked(namespaces, row, stack)


def _agrees_with_jax(program: ControlProgram, stack: list[str]) -> None:
    reference = _stacked(JAX, THEIRS, program, stack)
    candidate = _stacked(FUNCTRANS, OURS, program, stack)
    expected = jax.jit(reference.function)(*reference.arguments)
    assert_same(candidate.function(*candidate.arguments), expected, 8192, weak=False)


@laws
@given(control_programs(), st.lists(st.sampled_from(STEPS), min_size=1, max_size=3))
def test_stacks_of_transforms_agree_with_jax(program: ControlProgram, stack: list[str]) -> None:
    _agrees_with_jax(program, stack)


@laws
@given(control_programs(reverse=False), st.lists(st.sampled_from(FORWARD_STEPS), min_size=1, max_size=3))
def test_stacks_of_forward_transforms_agree_with_jax(program: ControlProgram, stack: list[str]) -> None:
    _agrees_with_jax(program, stack)


@laws
@given(control_programs(reverse=False, unrolled=True))
def test_values_are_those_of_the_unrolled_program(program: ControlProgram) -> None:
    expected = program.function(UNROLLED)(*inputs())
    assert_same(program.function(OURS)(*map(jnp.asarray, inputs())), jnp.asarray(expected), 512, weak=False)
    assert_same(ft.jit(program.function(OURS))(*inputs()), jnp.asarray(expected), 512, weak=False)


@laws
@given(control_programs(reverse=False, unrolled=True), st.sampled_from([(0, 0), (0, None), (None, 0), (-1, 0)]))
def test_lanes_are_those_of_the_unrolled_program(program: ControlProgram, axes: Any) -> None:
    table = inputs(seed=3, lanes=4)
    arguments = [x[0] if axis is None else np.moveaxis(x, 0, axis) for x, axis in zip(table, axes, strict=True)]
    lanes = [[x[0] if axis is None else x[i] for x, axis in zip(table, axes, strict=True)] for i in range(4)]
    expected = np.stack([program.function(UNROLLED)(*lane) for lane in lanes])
    assert_same(ft.vmap(program.function(OURS), axes)(*arguments), jnp.asarray(expected), 512, weak=False)


@laws
@given(control_programs(reverse=False, unrolled=True))
def test_jvp_is_the_limit_of_differences_of_the_unrolled_program(program: ControlProgram) -> None:
    point, direction = inputs(), inputs(seed=7)
    value = program.function(UNROLLED)

    def difference(step: float) -> Any:
        at = lambda s: value(*[x + s * t for x, t in zip(point, direction, strict=True)])
        return (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step)

    step = 2.0**-9
    fine, coarse = difference(step), difference(2.0 * step)
    size = max(1.0, float(np.max(np.abs(fine))))
    truncation = float(np.max(np.abs(fine - coarse)))
    hypothesis.assume(truncation < 1e-4 * size)  # no branch is left between the points, and the program is not steep
    exact = ft.jvp(program.function(OURS), point, direction)[1]
    rounding = 1024 * np.finfo(np.float64).eps / step * size
    np.testing.assert_allclose(exact, fine, rtol=0.0, atol=truncation + rounding)


@laws
@given(control_programs())
def test_vjp_is_the_adjoint_of_jvp(program: ControlProgram) -> None:
    f = program.function(OURS)
    point, direction = inputs(), inputs(seed=7)
    value, pushed = ft.jvp(f, point, direction)
    again, pullback = ft.vjp(f, *point)
    ct = inputs(seed=9)[0]
    assert_same(again, value, 512, weak=False)
    sent = pullback(jnp.asarray(ct))
    left = float(np.vdot(ct, pushed))
    right = float(sum(np.vdot(a, b) for a, b in zip(sent, direction, strict=True)))
    scale = 1.0 + float(np.linalg.norm(ct) * np.linalg.norm(pushed))
    assert left == pytest.approx(right, rel=1e-9, abs=1e-10 * scale)
