"""Random programs over the bridge and back: the same values and the same derivatives."""

from __future__ import annotations

from typing import Any

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import given

import functrans as ft
from tests.agreement import assert_same
from tests.laws.random_programs import RandomProgram, programs

pytestmark = pytest.mark.usefixtures("x64")
hypothesis.settings.register_profile(
    "round trips",
    parent=hypothesis.settings.default,
    suppress_health_check=list(hypothesis.HealthCheck),
    max_examples=12,
)
round_trips = hypothesis.settings.get_profile("round trips")


def _arrays(values: Any) -> Any:
    return jax.tree.map(jax.numpy.asarray, tuple(values))


def _directions(values: Any, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    return tuple(jax.numpy.asarray(generator.uniform(-1.0, 1.0, np.shape(x))) for x in values)


@round_trips
@given(programs(smooth=False))
def test_there_and_back_is_the_same_function(program: RandomProgram) -> None:
    inputs = _arrays(program.inputs())
    back = ft.from_jax(ft.to_jax(program))
    expected = program(*inputs)
    assert_same(back(*inputs), expected)
    assert_same(ft.jit(back)(*inputs), expected)


@round_trips
@given(programs())
def test_there_and_back_has_the_same_derivatives(program: RandomProgram) -> None:
    inputs = _arrays(program.inputs())
    back = ft.from_jax(ft.to_jax(program))
    tangents = _directions(inputs, 1)
    results, slopes = ft.jvp(program, inputs, tangents)
    assert_same(ft.jvp(back, inputs, tangents), (results, slopes))
    cotangents = jax.tree.unflatten(jax.tree.structure(results), _directions(jax.tree.leaves(results), 2))
    assert_same(ft.vjp(back, *inputs)[1](cotangents), ft.vjp(program, *inputs)[1](cotangents))


@round_trips
@given(programs())
def test_jax_finds_our_derivatives_in_our_programs(program: RandomProgram) -> None:
    inputs = _arrays(program.inputs())
    there = ft.to_jax(program)
    tangents = _directions(inputs, 3)
    expected = ft.jvp(program, inputs, tangents)
    assert_same(jax.jit(lambda *xs: jax.jvp(there, xs, tangents))(*inputs), expected, 256)
    cotangents = jax.tree.unflatten(jax.tree.structure(expected[0]), _directions(jax.tree.leaves(expected[0]), 4))
    pulled = jax.jit(lambda *xs: jax.vjp(there, *xs)[1](cotangents))(*inputs)
    assert_same(pulled, ft.vjp(program, *inputs)[1](cotangents), 256)
