"""Laws of the transforms over random programs, in float64 so that a violated law is not taken for rounding."""

from __future__ import annotations

from typing import Any

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same
from tests.laws.random_programs import RandomProgram, programs

pytestmark = pytest.mark.usefixtures("x64")
# The fixture only sets the width of types, which no example changes.
hypothesis.settings.register_profile(
    "laws", parent=hypothesis.settings.default, suppress_health_check=list(hypothesis.HealthCheck)
)
laws = hypothesis.settings.get_profile("laws")
smooth, any_program, linear_programs = programs(), programs(smooth=False), programs(linear=True, max_inputs=1)


def _arrays(inputs: Any) -> Any:
    return tuple(jax.numpy.asarray(x) for x in inputs)


def _cotangents(results: tuple[Any, ...], seed: int = 1) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.uniform(-1.0, 1.0, np.shape(result)) for result in results)


def _inner_product(left: Any, right: Any) -> float:
    return float(sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)))


def _total(program: RandomProgram) -> Any:
    """The program with its results summed to one scalar, each element weighted differently."""

    def function(*inputs: Any) -> Any:
        results = program(*inputs)
        return sum(fnp.sum(r * w) for r, w in zip(results, _cotangents(results, seed=5), strict=True))

    return function


@laws
@given(any_program)
def test_jit_is_the_identity(program: RandomProgram) -> None:
    inputs = _arrays(program.inputs())
    assert_same(ft.jit(program)(*inputs), program(*inputs))


@laws
@given(smooth)
def test_jvp_is_the_limit_of_finite_differences(program: RandomProgram) -> None:
    inputs, tangents = program.inputs(), program.inputs(seed=7)
    _, derivative = ft.jvp(program, inputs, tangents)
    moved = ft.jit(lambda step: program(*(x + step * t for x, t in zip(inputs, tangents, strict=True))))

    def difference(step: float) -> list[np.ndarray]:
        """The central difference of fourth order: its error is proportional to step**4."""
        near, far = ((moved(s), moved(-s)) for s in (step, 2.0 * step))
        return [
            (8.0 * (np.asarray(a) - np.asarray(b)) - (np.asarray(c) - np.asarray(d))) / (12.0 * step)
            for a, b, c, d in zip(*near, *far, strict=True)
        ]

    step = 2.0**-9  # eps**(1/5) balances truncation and cancellation for the fourth order.
    for fine, coarse, exact in zip(difference(step), difference(2.0 * step), derivative, strict=True):
        # Halving the step divides the truncation by 16; the rest is the rounding of values of this size.
        truncation = np.max(np.abs(fine - coarse), initial=0.0)
        size = max(1.0, float(np.max(np.abs(exact), initial=0.0)))
        rounding = 64 * np.finfo(np.float64).eps / step * size
        hypothesis.assume(truncation < 1e-3 * size)
        np.testing.assert_allclose(exact, fine, rtol=0.0, atol=truncation + rounding)


@laws
@given(any_program)
def test_vjp_is_the_adjoint_of_jvp(program: RandomProgram) -> None:
    inputs, tangents = program.inputs(), program.inputs(seed=7)
    value, pushed = ft.jvp(program, inputs, tangents)
    value_again, pullback = ft.vjp(program, *inputs)
    assert_same(value_again, value)
    cotangents = _cotangents(value)
    np.testing.assert_allclose(
        _inner_product(cotangents, pushed), _inner_product(pullback(cotangents), tangents), rtol=1e-10, atol=1e-10
    )


@laws
@given(any_program)
def test_linearize_gives_the_derivative_of_jvp_for_every_tangent(program: RandomProgram) -> None:
    inputs = program.inputs()
    value, pushforward = ft.linearize(program, *inputs)
    for seed in (7, 8):
        tangents = program.inputs(seed=seed)
        assert_same((value, pushforward(*tangents)), ft.jvp(program, inputs, tangents))


@laws
@given(smooth)
def test_a_pullback_is_linear_and_can_be_called_again(program: RandomProgram) -> None:
    value, pullback = ft.vjp(program, *program.inputs())
    first, second = _cotangents(value, 1), _cotangents(value, 2)
    combined = tuple(2.0 * a - 3.0 * b for a, b in zip(first, second, strict=True))
    separately = jax.tree.map(lambda a, b: 2.0 * a - 3.0 * b, pullback(first), pullback(second))
    assert_same(pullback(combined), separately, operations=256)


@laws
@given(any_program, st.data())
def test_vmap_is_a_python_loop(program: RandomProgram, data: st.DataObject) -> None:
    lanes = [program.inputs(seed=seed) for seed in range(3)]
    # For each argument: mapped over one of its axes, or shared by all lanes; one of them at least is mapped.
    axes: list[int | None] = [
        data.draw(st.one_of(st.none(), st.integers(-len(shape) - 1, len(shape)))) for shape in program.shapes
    ]
    if all(axis is None for axis in axes):
        axes[0] = 0
    arguments, loop_arguments = [], []
    for i, axis in enumerate(axes):
        column = [lane[i] for lane in lanes]
        arguments.append(column[0] if axis is None else np.stack(column, axis))
        loop_arguments.append([column[0]] * 3 if axis is None else column)
    out_axis = data.draw(st.sampled_from([0, -1]))
    mapped = ft.vmap(program, in_axes=tuple(axes), out_axes=out_axis)(*arguments)
    looped = [program(*_arrays(lane)) for lane in zip(*loop_arguments, strict=True)]
    expected = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves, axis=out_axis), *looped)
    assert_same(mapped, expected, weak=False)


@laws
@given(linear_programs)
def test_transposing_twice_is_the_identity(program: RandomProgram) -> None:
    (x,) = program.inputs()
    linear = lambda x: program(x)
    value = program(jax.numpy.asarray(x))
    example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), value)
    transposed = ft.linear_transpose(linear, x)
    twice = ft.linear_transpose(lambda cotangent: transposed(cotangent), example)
    assert_same(twice((x,))[0], value, weak=False)
    cotangents = _cotangents(value)
    np.testing.assert_allclose(
        _inner_product(cotangents, value), _inner_product(transposed(cotangents), (x,)), rtol=1e-12, atol=1e-12
    )


@laws
@given(any_program)
def test_a_retraced_program_prints_the_same(program: RandomProgram) -> None:
    inputs = program.inputs()
    # A second interpretation of the same statements in new function objects: names may not depend on identity.
    copy = RandomProgram(program.shapes, program.statements)
    assert str(ft.make_jaxpr(lambda *xs: program(*xs))(*inputs)) == str(ft.make_jaxpr(lambda *xs: copy(*xs))(*inputs))


@laws
@given(any_program)
def test_grad_is_the_same_jitted_or_not(program: RandomProgram) -> None:
    inputs = program.inputs()
    gradient = ft.grad(_total(program), argnums=tuple(range(len(inputs))))
    plain = gradient(*inputs)
    assert_same(ft.jit(gradient)(*inputs), plain)
    inner = ft.grad(ft.jit(_total(program)), argnums=tuple(range(len(inputs))))
    assert_same(inner(*inputs), plain)


@laws
@given(smooth)
def test_forward_and_reverse_jacobians_agree(program: RandomProgram) -> None:
    inputs = program.inputs()
    argnums = tuple(range(len(inputs)))
    assert_same(ft.jacfwd(program, argnums)(*inputs), ft.jacrev(program, argnums)(*inputs))


@laws
@given(programs(max_statements=3, max_inputs=1))
def test_second_derivatives_agree_in_every_order_and_are_symmetric(program: RandomProgram) -> None:
    (x,) = program.inputs()
    total = _total(program)
    hessian = ft.hessian(total)(x)
    assert_same(ft.jacrev(ft.grad(total))(x), hessian, operations=256)
    assert_same(ft.jacrev(ft.jacfwd(total))(x), hessian, operations=256)
    matrix = np.asarray(hessian).reshape(x.size, x.size)
    np.testing.assert_allclose(matrix, matrix.T, rtol=0.0, atol=256 * 2.0**-52 * np.max(np.abs(matrix), initial=1.0))
    (direction,) = program.inputs(seed=9)
    along = ft.hvp(total, (x,), (direction,))
    assert_same(
        jax.tree.leaves(along)[0], np.tensordot(np.asarray(hessian), direction, axes=direction.ndim), operations=256
    )


@laws
@given(any_program)
def test_eval_shape_foretells_shape_and_dtype(program: RandomProgram) -> None:
    inputs = _arrays(program.inputs(dtype=np.float32))
    foretold = ft.eval_shape(program, *inputs)
    results = program(*inputs)
    assert [(s.shape, s.dtype) for s in foretold] == [(r.shape, r.dtype) for r in results]
