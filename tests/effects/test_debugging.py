"""debug.print and debug.callback (DebugCallback) say what JAX's say, once, whatever the transform.

A value asked for comes after them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp

X = np.array([0.5, 1.5, 2.5], np.float32)


def program(o: Any, np_: Any, x: Any) -> Any:
    o.debug.print("x = {}", x)
    y = np_.sin(x) * 2.0
    o.debug.print("y = {y:.3f}, {name}", y=y, name="a text")
    o.debug.print("{a[0]} and {a[1]!r}", a=(1, "two"))
    o.debug.print("no placeholders")
    return y * y


STACKS: dict[str, Any] = {
    "call": lambda o, f: f,
    "jit": lambda o, f: o.jit(f),
    "grad": lambda o, f: o.grad(f),
    "jit of grad": lambda o, f: o.jit(o.grad(f)),
    "grad of grad": lambda o, f: o.grad(o.grad(f)),
    "jvp": lambda o, f: lambda x: o.jvp(f, (x,), (1.0,)),
}


@pytest.mark.parametrize("stack", STACKS)
def test_print_says_what_jax_says(stack: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for o, np_ in ((ft, fnp), (jax, jnp)):
        STACKS[stack](o, lambda x, o=o, np_=np_: program(o, np_, x))(1.25)
        jax.effects_barrier()
        printed.append(sorted(capsys.readouterr().out.splitlines()))
    assert printed[0] == printed[1]
    assert len(printed[0]) == 4


@pytest.mark.parametrize("in_jit", [False, True])
def test_print_under_vmap_says_a_line_for_each_lane(in_jit: bool, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for o in (ft, jax):
        f = o.vmap(lambda x, o=o: o.debug.print("{x} {}", 7, x=x), in_axes=0)
        (o.jit(f) if in_jit else f)(X)
        jax.effects_barrier()
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == "0.5 7\n1.5 7\n2.5 7\n"


def test_print_uses_the_print_options_of_the_place_where_it_is_traced(capsys: pytest.CaptureFixture[str]) -> None:
    f = lambda x: ft.debug.print("{}", x)
    with np.printoptions(precision=2):
        ft.jit(f)(X / 7)
    ft.jit(f)(X / 7)
    assert capsys.readouterr().out == "[0.07 0.21 0.36]\n[0.07142857 0.21428572 0.35714287]\n"


def test_print_before_the_program_and_options_first(capsys: pytest.CaptureFixture[str]) -> None:
    ft.debug.print("now {x}", x=3)
    ft.jit(lambda x: ft.debug.print(ordered=True)("then {x} {ordered}", x=x, ordered="word"))(4.0)
    assert capsys.readouterr().out == "now 3\nthen 4.0 word\n"


def test_random_keys_are_printed_by_their_words_once(capsys: pytest.CaptureFixture[str]) -> None:
    def f(key: Any, x: Any) -> Any:
        ft.debug.print("{} {}", key, x)
        return ft.random.uniform(key) * x

    keys = jax.random.wrap_key_data(np.uint32([[0, 1], [2, 3]]))
    for g in (f, ft.jit(f), ft.grad(f, 1), ft.jit(ft.grad(f, 1))):
        g(keys[1], 1.0)
        assert capsys.readouterr().out == "[2 3] 1.0\n"
    for g in (ft.vmap(f), ft.jit(ft.vmap(f)), ft.vmap(ft.grad(f, 1))):
        g(keys, X[:2])
        assert sorted(capsys.readouterr().out.splitlines()) == sorted([f"[0 1] {X[0]}", f"[2 3] {X[1]}"])


def test_callback_takes_trees_and_fixed_arguments() -> None:
    seen: list[Any] = []

    def host(tag: Any, tree: Any, *, key: Any, more: Any) -> None:
        seen.append((tag, float(tree["a"]), tree["b"], float(key), more))

    ft.jit(lambda x: ft.debug.callback(host, "tag", {"a": x, "b": None}, key=x * 2, more=str))(1.0)
    ft.jit(lambda x: ft.debug.callback(ordered=True)(host, "tag", {"a": x, "b": "s"}, key=x, more=(str,)))(1.0)
    assert seen == [("tag", 1.0, None, 2.0, str), ("tag", 1.0, "s", 1.0, (str,))]


def test_a_value_asked_for_comes_after_the_effects_before_it_and_they_happen_once() -> None:
    seen: list[Any] = []
    note = lambda tag, x: ft.debug.callback(lambda v: seen.append((tag, float(v))), x)

    def f(x: Any) -> Any:
        note("first", x)
        y = x * x
        note("second", y)
        if y > 3:
            seen.append("python")
            y = y * 2
        note("third", y)
        return y

    for transform, value in ((ft.grad(f), 8.0), (lambda x: ft.jvp(f, (x,), (1.0,))[1], 8.0), (ft.grad(ft.grad(f)), 4.0),
                             (lambda x: ft.vjp(f, x)[1](1.0)[0], 8.0)):  # fmt: skip
        for _ in range(2):
            seen.clear()
            assert float(transform(2.0)) == value
            assert seen == [("first", 2.0), ("second", 4.0), "python", ("third", 8.0)]


@pytest.mark.parametrize("nested", [False, True], ids=["", "in jit"])
@pytest.mark.parametrize("outer", [lambda f: f(), lambda f: jax.jit(f)()], ids=["", "in jit of JAX"])
def test_what_a_forward_rule_does_happens_once_though_its_residual_is_asked_for(outer: Any, nested: bool) -> None:
    seen: list[Any] = []
    note = lambda x: ft.debug.callback(lambda v: seen.append(float(v)), x)
    run = ft.jit(note) if nested else note
    square = ft.custom_vjp(lambda x: x * x)
    square.defvjp(lambda x: (run(x), (x * x, 2 * x))[1], lambda r, ct: (ct * r if r > 3 else 0 * ct,))
    two = jnp.float32(2.0)
    assert float(outer(lambda: ft.grad(square)(two))) == 4.0
    jax.effects_barrier()
    assert seen == [2.0]


def test_input_that_is_asked_for_is_read_once() -> None:
    numbers = iter([5.0, 6.0, 7.0])
    read = lambda: ft.io_callback(lambda: np.float32(next(numbers)), ft.ShapeDtypeStruct((), np.float32))

    def f(x: Any) -> Any:
        weight = read()
        if weight > 4:
            x = x * weight
        return x * read()

    assert float(ft.grad(f)(1.0)) == 30.0
    assert next(numbers) == 7.0


def test_an_outer_trace_goes_first() -> None:
    seen: list[Any] = []

    def outer(x: Any) -> Any:
        ft.debug.callback(lambda v: seen.append(("outer", float(v))), x)

        def inner(y: Any) -> Any:
            ft.debug.callback(lambda v: seen.append(("inner", float(v))), y)
            if y > 0:
                seen.append("python")
            return y * y * y

        return ft.grad(inner)(x * 2)

    assert float(ft.grad(outer)(1.0)) == 24.0
    assert seen == [("outer", 1.0), ("inner", 2.0), "python"]


def test_jit_does_nothing_while_tracing() -> None:
    seen: list[float] = []

    @ft.jit
    def f(x: Any) -> Any:
        ft.io_callback(lambda: seen.append(1.0), None)
        return x

    ft.make_jaxpr(f)(1.0)
    ft.eval_shape(f, 1.0)
    assert seen == []
    f(1.0)
    f(1.0)
    assert seen == [1.0, 1.0]


def test_a_tangent_can_be_printed_in_forward_mode(capsys: pytest.CaptureFixture[str]) -> None:
    @ft.custom_jvp
    def f(x: Any) -> Any:
        return x * x

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        ft.debug.print("tangent {}", tangents[0])
        return f(*primals), 2.0 * primals[0] * tangents[0]

    ft.jit(lambda x: ft.jvp(f, (x,), (0.5,)))(3.0)
    assert capsys.readouterr().out == "tangent 0.5\n"


def test_forward_mode_through_a_while_loop_prints_each_step_once() -> None:
    seen: list[float] = []

    def step(v: Any) -> Any:
        ft.debug.callback(lambda a: seen.append(float(a)), v)
        ft.error_if(v > 100.0, "too far")
        return v * 2.0

    y, slope = ft.linearize(lambda x: lax.while_loop(lambda v: v < 8.0, step, x), 1.0)
    assert (float(y), float(slope(1.0)), seen) == (8.0, 8.0, [1.0, 2.0, 4.0])


RULES: dict[str, Any] = {
    "jvp": lambda o, f: o.jvp(f, (1.0,), (2.0,))[1],
    "linearize": lambda o, f: o.linearize(f, 1.0)[0],
    "the linear map": lambda o, f: o.linearize(f, 1.0)[1](2.0),
    "jit": lambda o, f: o.jit(lambda x: o.linearize(f, x)[1](3.0))(1.0),
    "grad": lambda o, f: o.grad(f)(1.0),
    "lanes": lambda o, f: o.vmap(lambda t: o.jvp(f, (1.0,), (t,))[1])(np.array([1.0, 2.0], np.float32)),
    "scan": lambda o, f: o.linearize(lambda x: o.lax.scan(lambda c, _: (f(c), c), x, None, 2)[0], 1.0)[1](2.0),
}


OF_A_TANGENT: dict[str, Any] = {
    "itself": lambda np_, x, t: t,
    "square": lambda np_, x, t: t * t + x,
    "whether_it_is_large": lambda np_, x, t: np_.abs(t * x) > 2.5,
    "whether_it_is_zero": lambda np_, x, t: t == 0,
}


def nothing(x: Any, t: Any) -> None:
    """What JAX shows where it has no backward pass for what is computed of a tangent: it drops what it can print."""


def sine_that_shows(o: Any, np_: Any, show: Any, jitted: bool) -> Any:
    """sin with a rule in which ``show(x, t)`` has an effect."""
    f = o.custom_jvp(np_.sin)
    shown = o.jit(show) if jitted else show

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        shown(primals[0], tangents[0])
        return f(primals[0]), np_.cos(primals[0]) * tangents[0]

    return f


@pytest.mark.parametrize("jitted", [False, True], ids=["directly", "in_jit"])
@pytest.mark.parametrize("name", OF_A_TANGENT)
@pytest.mark.parametrize("stack", RULES)
def test_a_tangent_is_shown_when_it_is_known(
    stack: str, name: str, jitted: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def said(o: Any, np_: Any) -> tuple[list[str], Any]:
        show = lambda x, t: o.debug.print("{t:.4f}", t=OF_A_TANGENT[name](np_, x, t) * 1.0)
        refused = o is jax and stack == "grad" and name != "itself"
        result = RULES[stack](o, sine_that_shows(o, np_, nothing if refused else show, jitted))
        jax.effects_barrier()
        ft.effects_barrier()
        return sorted(capfd.readouterr().out.split()), result

    expected, found = said(jax, jnp), said(ft, fnp)
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@pytest.mark.parametrize("jitted", [False, True], ids=["directly", "in_jit"])
@pytest.mark.parametrize("name", ["whether_it_is_large", "whether_it_is_zero"])
@pytest.mark.parametrize("stack", RULES)
def test_a_check_of_a_tangent_fails_where_the_tangent_does(stack: str, name: str, jitted: bool) -> None:
    seen: list[bool] = []
    fails = OF_A_TANGENT[name]
    show = lambda x, t: jax.debug.callback(lambda failed: seen.append(bool(failed)), fails(jnp, x, t))
    expected = RULES[stack](jax, sine_that_shows(jax, jnp, nothing if stack == "grad" else show, jitted))
    jax.effects_barrier()
    f = sine_that_shows(ft, fnp, lambda x, t: ft.error_if(fails(fnp, x, t), "a bad tangent"), jitted)
    if any(seen):
        with pytest.raises(ft.errors.CheckError, match="a bad tangent"):
            jax.block_until_ready(RULES[stack](ft, f))
    else:
        np.testing.assert_allclose(RULES[stack](ft, f), expected, rtol=1e-6)


def test_effects_are_shown_in_programs() -> None:
    def f(x: Any) -> Any:
        ft.debug.print("x {}", x, ordered=True)
        ft.error_if(x < 0, "negative")
        y = ft.pure_callback(np.sin, x, x, vmap_method="sequential")
        return ft.io_callback(np.cos, y, y)

    lines = str(ft.make_jaxpr(f)(1.0)).splitlines()
    assert [line.strip() for line in lines[1:-1]] == [
        "debug_callback[callback=print ordered=True what=debug.print] a",
        "b:bool[] = compare[direction=LT] a 0.0:f32[]*",
        "check[callback=error_if] b",
        "c:f32[] = pure_callback[callback=sin results=(f32[],) vmap_method=sequential] a",
        "d:f32[] = io_callback[callback=cos results=(f32[],) ordered=False] c",
    ]
    assert str(ft.make_jaxpr(f)(1.0)) == "\n".join(lines)
