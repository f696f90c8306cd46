"""Python that looks at values works under un-jitted derivatives, and is compiled no more often than it must be."""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.optimise import segments
from tests.derivatives.nest_programs import collapsing

pytestmark = pytest.mark.usefixtures("x64")


def bent(x: Any) -> Any:
    """x³ where positive, else sin x: the branch is taken by Python."""
    return x**3 if x > 0 else fnp.sin(x)


def newton_root(a: Any) -> Any:
    """The square root of `a` by Newton's method, as many steps as it takes."""
    x = a
    while abs(x * x - a) > 1e-12 * a:
        x = 0.5 * (x + a / x)
    return x


def factorial_power(x: Any, n: Any) -> Any:
    return x if n <= 1 else x * factorial_power(x + 1, n - 1)


@pytest.mark.parametrize("order", range(4))
def test_python_if_under_nested_grad(order: int) -> None:
    function = bent
    for _ in range(order):
        function = ft.grad(function)
    x = 1.3
    assert float(function(x)) == pytest.approx([x**3, 3 * x**2, 6 * x, 6.0][order], rel=1e-13)
    x = -0.4
    assert float(function(x)) == pytest.approx([np.sin(x), np.cos(x), -np.sin(x), -np.cos(x)][order], rel=1e-13)


@pytest.mark.parametrize("a", [0.25, 2.0, 1000.0])
def test_python_while_under_grad_and_its_nestings(a: float) -> None:
    assert float(ft.grad(newton_root)(a)) == pytest.approx(0.5 * a**-0.5, rel=1e-9)
    assert float(ft.jvp(newton_root, (a,), (2.0,))[1]) == pytest.approx(a**-0.5, rel=1e-9)
    assert float(ft.grad(ft.grad(newton_root))(a)) == pytest.approx(-0.25 * a**-1.5, rel=1e-6)


def test_python_while_under_hessian_linearize_and_vjp() -> None:
    def energy(x: Any) -> Any:
        total = fnp.sum(x**2)
        while total < 100.0:
            total = total * 2.0
        return total

    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(ft.hessian(energy)(x), 2 * 32 * np.eye(2))
    np.testing.assert_allclose(ft.linearize(energy, x)[1](x), 2 * 32 * 5.0)
    np.testing.assert_allclose(ft.vjp(energy, x)[1](1.0)[0], 2 * 32 * x)
    np.testing.assert_allclose(ft.jacfwd(energy)(x), 2 * 32 * x)


def test_recursion_on_values_under_grad() -> None:
    # x (x+1) (x+2)
    assert float(ft.grad(factorial_power)(2.0, 3)) == pytest.approx(3 * 4 + 2 * 4 + 2 * 3, rel=1e-13)

    def collatz_depth(x: Any, n: Any) -> Any:
        if n == 1:
            return x
        return collatz_depth(x * 1.1, n // 2 if n % 2 == 0 else 3 * n + 1)

    assert float(ft.grad(collatz_depth)(2.0, 6)) == pytest.approx(1.1**8, rel=1e-12)


def test_conversions_under_un_jitted_grad_see_the_value() -> None:
    seen: dict[str, Any] = {}

    def function(x: Any, v: Any) -> Any:
        y = x * 2.0
        seen.update(int=int(y), list=(v * 2).tolist(), array=np.asarray(v + 1), bool=bool(y > 5), format=f"{y:.2f}")
        seen.update(percent="%.1f" % y,  # noqa: UP031
                     round=round(y), floor=math.floor(y), ceil=math.ceil(y), trunc=math.trunc(-y))
        y_as_constant = lax.stop_gradient(y)
        seen.update(float=float(y_as_constant), item=y_as_constant.item(), complex=complex(y_as_constant))
        return y * fnp.sum(v)

    ft.grad(function)(3.25, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(seen.pop("array"), [2.0, 3.0])
    assert seen == {
        "float": 6.5, "int": 6, "item": 6.5, "list": [2.0, 4.0], "bool": True, "format": "6.50", "round": 6,
        "floor": 6, "ceil": 7, "trunc": -6, "percent": "6.5", "complex": 6.5 + 0j,
    }  # fmt: skip
    assert all(type(seen[name]) is int for name in ("int", "round", "floor", "ceil", "trunc"))


def test_print_shows_the_number(capsys: pytest.CaptureFixture[str]) -> None:
    def function(x: Any) -> Any:
        print("y =", x * 2.0)
        return x * x

    ft.grad(function)(3.0)
    assert "6." in capsys.readouterr().out
    ft.grad(ft.grad(function))(3.0)
    assert "6." in capsys.readouterr().out


def test_print_under_jit_shows_the_type(capsys: pytest.CaptureFixture[str]) -> None:
    ft.jit(lambda x: print(x) or x)(np.float32(3.0))
    shown = capsys.readouterr().out
    assert "float32" in shown or "f32" in shown


def test_range_and_indices_from_values() -> None:
    def function(x: Any, n: Any) -> Any:
        for _ in range(n):
            x = x * x
        return [x, -x][int(n) % 2]

    assert float(ft.grad(function)(1.1, 3)) == pytest.approx(-8 * 1.1**7, rel=1e-13)


def test_boolean_masks_of_values() -> None:
    v = np.array([1.0, -2.0, 3.0])
    gradient = ft.grad(lambda v: fnp.sum(v[v > 0] ** 2))(v)
    np.testing.assert_allclose(gradient, [2.0, 0.0, 6.0])


def test_the_python_function_runs_at_every_call() -> None:
    calls = []
    gradient = ft.grad(lambda x: calls.append(1) or x * x)
    for i in range(3):
        assert float(gradient(float(i))) == 2.0 * i
    assert len(calls) == 3


def test_python_state_is_read_at_every_call() -> None:
    state = {"scale": 1.0}
    gradient = ft.grad(lambda x: x * state["scale"])
    assert float(gradient(2.0)) == 1.0
    state["scale"] = 5.0
    assert float(gradient(2.0)) == 5.0


def test_effects_before_a_demanded_value_happen_once() -> None:
    events = []

    def function(x: Any) -> Any:
        events.append("before")
        y = x * x
        if y > 1:
            events.append("inside")
            y = y * 2
        events.append("after")
        return y

    ft.grad(function)(3.0)
    assert events == ["before", "inside", "after"]


def test_a_value_inside_jit_inside_grad_is_refused_but_beside_it_is_not() -> None:
    inner = ft.jit(lambda x: x * x if x > 0 else x)
    with pytest.raises(TypeError):
        ft.grad(lambda x: inner(x))(3.0)

    def function(x: Any) -> Any:
        y = ft.jit(lambda z: z * z)(x)
        return y * 2 if y > 1 else y

    assert float(ft.grad(function)(3.0)) == 12.0


def counted(x: Any) -> tuple[Any, Any]:
    return fnp.sin(x), fnp.int32(2) + 1


def looped(x: Any) -> tuple[Any, Any]:
    (y, n), _ = lax.scan(lambda c, a: ((c[0] * x + a, c[1] + 1), None), (x, 0), fnp.arange(3.0))
    return y, n


def chosen(x: Any) -> tuple[Any, Any]:
    return lax.cond(True, lambda x: (fnp.sin(x), 3), lambda x: (x * 2, 3), x)


def ruled(kind: Any) -> Any:
    """``counted`` with a derivative rule of its own."""
    function = kind(counted)
    if kind is ft.custom_jvp:
        function.defjvp(lambda xs, ts: (function(*xs), (fnp.cos(*xs) * ts[0], np.zeros((), jax.dtypes.float0))))
    else:
        function.defvjp(lambda x: (function(x), x), lambda x, ct: (fnp.cos(x) * ct[0],))
    return function


def repeated(x: Any) -> tuple[Any, Any]:
    function = ruled(ft.custom_jvp)
    y, n = lax.fori_loop(0, 3, lambda i, c: (function(c[0])[0], c[1] + function(c[0])[1] - 2), (x, 0))
    return y, n


def solved(x: Any) -> tuple[Any, Any]:
    solve = lambda matvec, b: (b / 2.0, fnp.int32(2) + 1)
    return lax.custom_linear_solve(lambda v: 2.0 * v, fnp.sin(x), solve, symmetric=True, has_aux=True)


RULED = {"custom_jvp": ruled(ft.custom_jvp), "custom_vjp": ruled(ft.custom_vjp)}
HOLDING = {
    "jit": ft.jit(counted), "scan": looped, "cond": chosen, "checkpoint": ft.checkpoint(counted), **RULED,
    "jit_of_custom_jvp": ft.jit(RULED["custom_jvp"]), "checkpoint_of_custom_vjp": ft.checkpoint(RULED["custom_vjp"]),
    "loop_of_custom_jvp": repeated, "linear_solve": solved,
}  # fmt: skip


@pytest.mark.parametrize("function", HOLDING.values(), ids=HOLDING)
def test_a_result_that_no_lane_decides_has_a_value_under_vmap(function: Any) -> None:
    """Of an operation that holds a program, what is asked for depends on some of the operands only."""

    def f(x: Any) -> Any:
        y, n = function(x)
        return y * int(n) if int(n) == 3 else None

    points = np.array([0.5, 1.0, 2.0])
    values = [3 * float(function(x)[0]) for x in points]
    np.testing.assert_allclose(ft.vmap(f)(points), values, rtol=1e-12)
    slopes = [float(ft.grad(lambda x: 3 * function(x)[0])(x)) for x in points]
    np.testing.assert_allclose(ft.vmap(ft.grad(f))(points), slopes, rtol=1e-12)
    with pytest.raises(ft.errors.TracerIntegerConversionError, match="traced by vmap"):
        ft.vmap(lambda x: int(function(x)[0]))(points)


def test_demanding_values_costs_time_linear_in_the_program() -> None:
    def seconds(steps: int) -> float:
        def function(x: Any) -> Any:
            for _ in range(steps):
                x = fnp.sin(x) + x * 0.5
            return x * 2 if x > 0 else x

        start = time.perf_counter()
        ft.grad(function)(0.3)
        return time.perf_counter() - start

    seconds(500)
    short, long = min(seconds(500) for _ in range(3)), min(seconds(2000) for _ in range(3))
    # Four times the program; an unmemoised sweep would take longer by orders of magnitude than eight times.
    assert long < 8 * short + 0.5


# Compilations.


def compilations(action: Any) -> int:
    before = ft.compilation_count()
    jax.block_until_ready(action())
    return ft.compilation_count() - before


def test_new_array_values_never_recompile() -> None:
    gradient = ft.grad(lambda x: fnp.sum(fnp.sin(x) * x))
    gradient(np.array([1.0, 2.0]))
    assert compilations(lambda: [gradient(np.array([float(i), 2.0])) for i in range(5)]) == 0


def test_a_changing_python_float_stops_recompiling() -> None:
    weights = np.array([1.0, 2.0])

    def step(weights: Any, rate: float) -> Any:
        return weights - rate * ft.grad(lambda w: rate * fnp.sum((w * rate - 1.0) ** 2))(weights)

    rate = 0.5
    for _ in range(5):  # the literal is seen to change, and becomes an input
        weights, rate = step(weights, rate), rate * 0.9

    def further() -> Any:
        nonlocal weights, rate
        for _ in range(20):
            weights, rate = step(weights, rate), rate * 0.9
        return weights

    assert compilations(further) == 0


def test_a_literal_that_became_an_input_gives_right_results() -> None:
    results = [float(ft.grad(lambda x, k=k: fnp.sin(k * x) + k)(0.7)) for k in np.linspace(0.1, 2.0, 12).tolist()]
    expected = [k * np.cos(0.7 * k) for k in np.linspace(0.1, 2.0, 12)]
    np.testing.assert_allclose(results, expected, rtol=1e-13)


def test_special_literals_are_not_confused() -> None:
    def slope(k: float) -> float:
        return float(ft.grad(lambda x: x * k + fnp.where(x > 0, k, 1.0) * x)(2.0))

    # In one call after another, so that a program of the first could be mistaken for that of the second.
    assert [slope(k) for k in (0.0, -0.0, 1.0, 2.0, 0.0, 1.0)] == [0.0, 0.0, 2.0, 4.0, 0.0, 2.0]
    assert np.signbit(float(ft.jvp(lambda x: x * -0.0, (2.0,), (1.0,))[0]))
    assert not np.signbit(float(ft.jvp(lambda x: x * 0.0, (2.0,), (1.0,))[0]))
    assert np.isnan(slope(float("nan"))) and slope(float("inf")) == float("inf")


def test_newton_loops_of_many_lengths_compile_few_segments() -> None:
    def steps(x: Any, n: int) -> Any:
        for _ in range(n):
            x = 0.5 * (x + 2.0 / x)
        return x

    gradient = ft.grad(steps)
    gradient(1.5, 60), gradient(1.5, 61)
    assert compilations(lambda: [gradient(1.5, n) for n in range(62, 82)]) <= 20


def test_a_program_whose_rounds_are_all_different_is_compiled_once_and_whole() -> None:
    function: Any = lambda x: fnp.sin(x) * fnp.exp(-x * x) + fnp.tanh(x) / (1 + x * x)
    reference: Any = lambda x: jnp.sin(x) * jnp.exp(-x * x) + jnp.tanh(x) / (1 + x * x)
    for _ in range(4):
        function, reference = ft.grad(function), jax.grad(reference)
    found: list[Any] = []
    with collapsing(False):
        assert compilations(lambda: found.append(function(0.7))) == 1
    assert ft.compilation_log()[-1].equations > segments.LONGEST
    np.testing.assert_allclose(found[0], jax.jit(reference)(0.7), rtol=1e-12)


def test_a_long_program_without_rounds_is_cut_only_beyond_what_XLA_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(x: Any) -> Any:
        return fnp.sin(x) * fnp.exp(-x * x) + fnp.tanh(x) / (1 + x * x)

    with collapsing(False):
        jaxpr = ft.make_jaxpr(ft.grad(ft.grad(ft.grad(ft.grad(ft.grad(function))))))(0.7)
    assert len(jaxpr.equations) > segments.LONGEST and segments.cut(jaxpr) is None
    monkeypatch.setattr(segments, "LONGEST_WITHOUT_REPETITION", segments.LONGEST)
    jaxpr.memo.clear()
    pieces = segments.cut(jaxpr)
    assert pieces is not None and sum(len(s.jaxpr.equations) for s in pieces) == len(jaxpr.equations)


def test_a_loop_by_value_with_many_trip_counts_compiles_few_segments() -> None:
    trips = []

    def descend(x: Any) -> Any:
        trips.append(0)
        while x > 0.4:
            x = x * 0.97
            trips[-1] += 1
        return x

    gradient = ft.grad(descend)
    for start in (1.0, 1.1, 1.2):
        gradient(start)
    trips.clear()
    count = compilations(lambda: [gradient(1.3 * 1.04**i) for i in range(20)])
    assert len(set(trips)) == 20
    assert count < 20, "the number of compilations must not grow with the number of trip counts"


def test_clear_caches_forgets_programs_and_keeps_results_right() -> None:
    gradient, compiled = ft.grad(lambda x: fnp.tanh(x) * 1.25), ft.jit(lambda x: fnp.tanh(x) * 2.25)
    first = (float(gradient(0.5)), float(compiled(0.5)))
    assert compilations(lambda: (gradient(0.5), compiled(0.5))) == 0
    ft.clear_caches()
    assert compilations(lambda: (gradient(0.5), compiled(0.5))) >= 1
    assert (float(gradient(0.5)), float(compiled(0.5))) == first


def test_the_compile_log_names_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    compiled = ft.jit(lambda x: x * 17.25)
    ft.log_compiles(True)
    try:
        with caplog.at_level("INFO", logger="functrans.compile"):
            compiled(np.ones(3, np.float32))
            count = len(caplog.records)
            compiled(np.ones(3, np.float32))
            assert len(caplog.records) == count >= 1, "a warm call compiles nothing"
            compiled(np.ones(5, np.float32))
            assert "shape" in caplog.records[-1].getMessage() or "f32[5]" in caplog.records[-1].getMessage()
    finally:
        ft.log_compiles(False)
    assert ft.compilation_log(), "the log is kept for programs too"


@pytest.mark.parametrize("function", [round, math.floor, math.ceil, math.trunc, lambda x: round(x, None)])
@pytest.mark.parametrize("transform", [
    ft.jit, ft.vmap, lambda f: lambda x: ft.jit(ft.vmap(f))(x), lambda f: lambda x: ft.jvp(f, (x,), (x,))[0],
])  # fmt: skip
def test_rounded_values_are_integers_where_they_have_no_value_too(function: Any, transform: Any) -> None:
    x = np.float32([1.5, -2.25, 3.0])
    rounded = transform(lambda x: function(x))(x)
    np.testing.assert_array_equal(rounded, [function(float(v)) for v in x])
    assert rounded.dtype == jnp.asarray(1).dtype
    assert transform(lambda x: round(x, 1))(x).dtype == np.float32


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x if lax.axis_index("i") > 0 else -x,
        lambda x: x + int(lax.axis_index("i")),
        lambda x: x / float(lax.psum(fnp.ones(()), "i")),
        lambda x: [1.0, 2.0][ft.jit(lambda: lax.axis_index("i"))()] + x,
        lambda x: x * float(ft.random.uniform(ft.random.fold_in(ft.random.key(0), lax.axis_index("i")))),
    ],
)
def test_what_collectives_give_has_no_value_under_vmap(ask: Any) -> None:
    """They have no operand that is mapped, or none at all."""
    with pytest.raises(ft.errors.ConcretizationError, match="while it is traced by vmap of <lambda>"):
        ft.vmap(ask, axis_name="i")(np.arange(2.0, dtype=np.float32))


def test_printing_the_number_of_a_lane_shows_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    ft.vmap(lambda x: (print(lax.axis_index("i")), x)[1], axis_name="i")(np.arange(2.0, dtype=np.float32))
    assert capsys.readouterr().out == "Tracer<i32[]>\n"
