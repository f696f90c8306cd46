"""What branches and loops cost: residuals stored, operations emitted, work dropped, bodies traced."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans
import functrans.numpy as fnp
from functrans.api.conditional import Switch
from functrans.control.scan import Scan
from functrans.control.while_loop import While
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import array_type
from functrans.trace.primitive import program_cost
from functrans.trace.replay import trace
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from tests.agreement import assert_same
from tests.control.libraries import ours as o
from tests.control.libraries import theirs, values
from tests.control.programs import FORWARD_ONLY, PROGRAMS

EVERY = {**PROGRAMS, **FORWARD_ONLY}


def vector(*shape: int) -> Any:
    return array_type(shape, np.dtype(np.float32))


def operations(jaxpr: Jaxpr, kind: type) -> list[Any]:
    return [eqn for eqn in jaxpr.equations if type(eqn.op) is kind]


def linear_parts(f: Any, types: Any, wrt: Any) -> tuple[Any, Any, Any]:
    """The primal scan, the linear scan and the linearized program of a function with one scan."""
    jaxpr, captured = trace(lambda *xs: jax.tree.leaves(f(*xs)), types, "a test")
    assert not captured
    parts = linearize_jaxpr(jaxpr, wrt)
    (primal,) = operations(parts.primal, Scan)
    (linear,) = operations(parts.linear, Scan)
    return primal, linear, parts


def test_residuals_that_are_consts_or_xs_are_not_stacked() -> None:
    def f(w: Any, c: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: (o.add(o.mul(c, w), o.mul(x, w)), None), c, xs)[0]

    primal, linear, parts = linear_parts(f, [vector(2), vector(2), vector(5, 2)], [False, True, True])
    assert len(primal.outputs) == 1  # the carry alone: nothing is stacked
    assert linear.op.num_consts == 1  # w
    assert [parts.linear.inputs[i].type.shape for i in range(len(parts.sources))] == [(2,)]

    primal, linear, parts = linear_parts(f, [vector(2), vector(2), vector(5, 2)], [True, False, False])
    assert [v.type.shape for v in primal.outputs] == [(2,), (5, 2)]  # the carry, and the carry before each step
    assert linear.op.num_consts == 2  # w and its tangent
    assert primal.inputs[2] in [
        parts.primal.inputs[i] for i in parts.sources if i < len(parts.primal.inputs)
    ]  # xs itself


def test_a_residual_that_is_a_result_is_not_stacked_twice() -> None:
    def f(c: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            e = o.exp(c)
            return o.mul(e, x), e  # exp is its own derivative: the stacked result serves as residual

        return o.scan(step, c, xs)

    primal, _, _ = linear_parts(f, [vector(2), vector(5, 2)], [True, False])
    assert len(primal.outputs) == 2


def test_a_residual_that_no_step_changes_is_computed_once() -> None:
    def f(w: Any, c: Any) -> Any:
        return o.scan(lambda c, _: (o.mul(c, o.exp(o.sin(w))), None), c, None, length=7)[0]

    primal, linear, parts = linear_parts(f, [vector(2), vector(2)], [False, True])
    assert len(primal.outputs) == 1
    assert linear.op.num_consts == 1
    assert parts.linear.inputs[0].type.shape == (2,)


def test_a_zero_tangent_to_start_from_is_no_residual() -> None:
    def f(w: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: (o.add(c, o.mul(x, w)), None), o.full((2,), 0.0), xs)[0]

    _, linear, parts = linear_parts(f, [vector(2), vector(5, 2)], [True, False])
    assert any(type(a) is Literal for a in linear.inputs)
    assert all(v.type.shape == (5, 2) for v in parts.linear.inputs[: len(parts.sources)])  # xs is the one residual


def test_the_linear_scan_carries_tangents_alone() -> None:
    def f(c: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            i, c = carry
            return (o.add(i, 1), o.mul(c, o.convert(i, np.float32))), None

        return o.scan(step, (0, c), None, length=3)[0][1]

    _, linear, _ = linear_parts(f, [vector(2)], [True])
    assert linear.op.num_carry == 1
    assert [eqn.op.name for eqn in linear.op.jaxpr.equations] == ["broadcast_in_dim", "mul"]
    assert [a.type.shape for a in linear.inputs[1:]] == [(3,)]  # a number a step, not an array


def test_branches_share_the_slots_of_residuals_of_one_type() -> None:
    def f(p: Any, x: Any) -> Any:
        return o.cond(p, lambda a: o.mul(o.sin(o.exp(a)), 2.0), lambda a: o.tanh(o.sin(a)), x)

    jaxpr, _ = trace(lambda *xs: [f(*xs)], [array_type((), np.dtype(np.bool_)), vector(3)], "a test")
    parts = linearize_jaxpr(jaxpr, [False, True])
    (primal,) = operations(parts.primal, Switch)
    wanted = max(len(linearize_jaxpr(b, [True]).primal.outputs) - 1 for b in operations(jaxpr, Switch)[0].op.branches)
    assert len(primal.outputs) == 1 + wanted


def test_the_transpose_of_a_scan_adds_no_zero_arrays() -> None:
    def f(w: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: (o.add(o.mul(c, 0.5), o.mul(x, w)), None), o.full((2,), 0.0), xs)[0]

    jaxpr, _ = trace(lambda *xs: [f(*xs)], [vector(2), vector(5, 2)], "a test")
    parts = linearize_jaxpr(jaxpr, [True, False])
    count = len(parts.sources)
    program, _ = transpose_jaxpr(parts.linear, [False] * count + [True], [True])
    assert [eqn.op.name for eqn in program.equations] == ["scan"]


def test_a_body_is_traced_once() -> None:
    calls = []

    def step(c: Any, x: Any) -> Any:
        calls.append(1)
        return o.mul(o.sin(c), x), c

    functrans.grad(lambda c: o.scan(step, c, values(6))[0])(np.float32(0.5))
    assert len(calls) == 1


def test_a_weak_carry_costs_one_more_trace_only_where_its_dtype_changes() -> None:
    calls = []

    def step(c: Any, x: Any) -> Any:
        calls.append(c.dtype.name)
        return o.add(o.convert(c, np.float32), x), None

    o.scan(step, 0.0, values(3))
    assert calls == ["float32"]
    calls.clear()
    o.scan(step, 0, values(3))
    assert calls == ["int32", "float32"]


# -- clean-up ----------------------------------------------------------------------------------------------------------


def applied(op: Any, operands: Any) -> list[Any]:
    return [np.asarray(x) for x in op.impl(*operands)]


def traced(name: str) -> tuple[Any, Any]:
    """The one loop or branch of a program and operands for it."""
    make, args = EVERY[name]
    types = [functrans.ir.types.type_of(np.asarray(x)) for x in args]
    jaxpr, captured = trace(lambda *xs: jax.tree.leaves(make(o)(*xs)), types, "a test")
    assert not captured
    found: dict[Any, Any] = dict(zip(jaxpr.inputs, args, strict=True))
    for eqn in jaxpr.equations:
        operands = [np.asarray(a.value, a.type.dtype) if type(a) is Literal else found[a] for a in eqn.inputs]
        if eqn.op.holds_jaxprs:
            return eqn.op, operands
        found.update(zip(eqn.outputs, [eqn.op.impl(*operands)], strict=True))
    raise AssertionError(name)


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("map_over_rows", "fori_loop_of_no_step")])
def test_dropping_unused_results_keeps_the_others(name: str) -> None:
    op, operands = traced(name)
    full = applied(op, operands)
    for i in range(len(full)):
        used = [j == i for j in range(len(full))]
        smaller = op.drop_unused(used)
        if smaller is None:
            continue
        new, places, results = smaller
        assert i in results
        found = applied(new, [operands[p] for p in places])
        np.testing.assert_array_equal(found[results.index(i)], full[i])
        inferred = new.infer(*[functrans.ir.types.type_of(operands[p]) for p in places])
        assert [t.shape for t in inferred] == [x.shape for x in found]
        assert new.drop_unused([j == results.index(i) for j in range(len(results))]) is None


def test_an_unused_carry_and_what_feeds_it_are_dropped() -> None:
    op, _ = traced("scan_with_an_integer_beside_the_float")
    assert (len(op.jaxpr.inputs), len(op.jaxpr.outputs)) == (3, 4)
    new, places, results = op.drop_unused([False, True, False, False])  # the counter alone
    assert (new.num_carry, len(new.jaxpr.outputs)) == (1, 1)
    assert len(places) == 1 and len(results) == 1
    op, _ = traced("while_with_consts_in_both_functions")
    new, _, results = op.drop_unused([True, False, False])
    assert results == [0] and len(new.body.outputs) == 1


@pytest.mark.parametrize("name", EVERY)
def test_the_numpy_reference_agrees_with_the_lowering(name: str) -> None:
    op, operands = traced(name)
    expected = op.impl(*operands)
    actual = functrans.trace.binding.bind_all(op, operands)
    assert_same([np.asarray(x) for x in actual], [np.asarray(x) for x in expected], operations=256)
    inferred = op.infer(*[functrans.ir.types.type_of(np.asarray(x)) for x in operands])
    assert [(t.shape, t.dtype) for t in inferred] == [(x.shape, x.dtype) for x in actual]


# -- other promises ----------------------------------------------------------------------------------------------------


def test_a_known_index_leaves_one_branch_in_the_program() -> None:
    jaxpr, _ = trace(lambda x: [o.cond(True, o.sin, o.cos, x)], [vector(2)], "a test")
    assert [eqn.op.name for eqn in jaxpr.equations] == ["sin"]


def test_disable_jit_runs_python() -> None:
    seen = []

    def step(c: Any, x: Any) -> Any:
        seen.append(float(np.asarray(c)))
        return o.add(c, x), o.mul(c, x)

    xs = np.array([1.0, 2.0, 3.0], np.float32)
    with jax.disable_jit():
        total, products = o.scan(step, 0.0, xs, reverse=True)
        assert o.cond(True, lambda: "anything", lambda: 0) == "anything"
        assert o.switch(5, [lambda: "a", lambda: "b"]) == "b"
        assert o.while_loop(lambda c: len(seen) + c < 5, lambda c: c + 1, 0) == 2
        assert float(o.fori_loop(0, 3, lambda i, c: c + 1.0, 0.0)) == 3.0
    assert seen == [0.0, 3.0, 5.0]
    assert float(total) == 6.0
    np.testing.assert_array_equal(products, [5.0, 6.0, 0.0])


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("unroll", [1, 2, 3, 5, 9, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_unroll_changes_nothing_but_the_program(length: int, unroll: Any, reverse: bool) -> None:
    def f(l: Any) -> Any:
        return l.scan(
            lambda c, x: (l.add(l.mul(c, 0.5), x), l.mul(c, x)), 1.0, values(length), reverse=reverse, unroll=unroll
        )

    assert_same(f(o), f(theirs))


def test_linear_transpose_of_a_scan_with_a_counter() -> None:
    def f(l: Any) -> Any:
        def linear(x: Any) -> Any:
            def step(carry: Any, _: Any) -> Any:
                i, c = carry
                return (l.add(i, 1), l.mul(c, l.convert(i, np.float32))), l.mul(c, 2.0)

            (_, last), ys = l.scan(step, (1, x), None, length=3)
            return last, ys

        return linear

    x, ct = values(2), (values(2, seed=1), values(3, 2, seed=2))
    (actual,) = o.linear_transpose(f(o), x)(ct)
    _, pullback = jax.vjp(f(theirs), x)
    assert_same(actual, pullback(ct)[0])


@pytest.mark.usefixtures("x64")
def test_double_precision_loops() -> None:
    def f(l: Any) -> Any:
        def g(x: Any) -> Any:
            c = l.scan(lambda c, y: (l.mul(l.sin(c), y), None), x, np.linspace(0.5, 1.5, 4))[0]
            _, c = l.while_loop(lambda s: l.lt(s[0], 3), lambda s: (l.add(s[0], 1), l.mul(s[1], 1.5)), (0, c))
            return l.cond(l.gt(c, 0.1), l.sin, l.cos, c)

        return g

    assert_same(f(o)(0.7), f(theirs)(0.7))
    assert_same(o.jvp(f(o), (0.7,), (1.0,)), theirs.jvp(f(theirs), (0.7,), (1.0,)))


def test_complex_and_boolean_carries() -> None:
    def f(l: Any) -> Any:
        def g(z: Any) -> Any:
            def step(carry: Any, x: Any) -> Any:
                flag, c = carry
                return (l.gt(x, 0.5), l.mul(c, l.add(c, 0.5))), flag

            return l.scan(step, (True, z), values(4))

        return g

    z = np.array([0.3 + 0.4j, -0.2 + 0.1j], np.complex64)
    assert_same(f(o)(z), f(theirs)(z))
    actual = functrans.vjp(lambda z: f(o)(z)[0][1], z)[1](z)
    assert_same(actual, jax.vjp(lambda z: f(theirs)(z)[0][1], z)[1](z))


def test_equal_loops_are_one_operation() -> None:
    def f(x: Any) -> list[Any]:
        return [o.scan(lambda c, _: (o.sin(c), None), x, None, length=3)[0] for _ in range(2)]

    jaxpr, _ = trace(f, [vector(2)], "a test")
    assert len(operations(jaxpr, Scan)) == 1


def test_while_in_a_linearized_function_goes_forward() -> None:
    def f(l: Any) -> Any:
        return lambda x: l.while_loop(lambda c: l.lt(c, 10.0), lambda c: l.mul(c, x), x)

    assert_same(o.linearize(f(o), 2.0)[1](1.0), theirs.linearize(f(theirs), 2.0)[1](1.0))
    jaxpr, _ = trace(lambda x: [f(o)(x)], [vector()], "a test")
    assert len(operations(linearize_jaxpr(jaxpr, [True]).primal, While)) == 1


def test_an_operation_with_derivative_rules_costs_what_its_function_does() -> None:
    def heavy(x: Any) -> Any:
        for _ in range(50):
            x = fnp.sin(x)
        return x

    @functrans.custom_jvp
    def forward(x: Any) -> Any:
        return x * x

    forward.defjvp(lambda primals, tangents: (forward(*primals), heavy(primals[0]) * tangents[0]))

    @functrans.custom_vjp
    def reverse(x: Any) -> Any:
        return x * x

    reverse.defvjp(lambda x: (reverse(x), heavy(x)), lambda residual, ct: (heavy(residual) * ct,))
    x = np.ones(8, np.float32)
    for function in (forward, reverse):
        assert program_cost(functrans.make_jaxpr(function)(x)) == program_cost(functrans.make_jaxpr(lambda x: x * x)(x))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_jacobians_in_forward_mode_run_a_loop_once_for_value_and_tangents(order: int) -> None:
    def root(lax: Any) -> Any:
        def f(a: Any) -> Any:
            return lax.while_loop(lambda x: x * x < a, lambda x: 0.9 * x + 0.5 * a / x + 0.1 * a, 0.01 * a)

        return f

    found, expected = root(functrans.lax), root(jax.lax)
    for _ in range(order):
        found, expected = functrans.jacfwd(found), jax.jacfwd(expected)
    a = np.float32(3.0)
    assert len(operations(functrans.make_jaxpr(found)(a), While)) == 1
    assert_same(found(a), expected(a), weak=False)
