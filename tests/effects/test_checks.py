"""error_if and check raise after the call, with the user's line, from wherever they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.errors import CheckError

X = np.array([4.0, -3.0, -2.0, 9.0], np.float32)


def root(x: Any) -> Any:
    ft.error_if(x < 0, "no root of {x}, {}", "says the test", x=x)  # blame
    return fnp.sqrt(x)


def shrinking(x: Any) -> Any:
    return lax.scan(lambda c, _: (c - 1.0, root(c)), x, None, length=6)[1].sum()


PLACES: dict[str, Any] = {
    "straight": root,
    "scan": shrinking,
    "branch": lambda x: lax.cond(x < 5.0, root, lambda v: v, x),
    "while": lambda x: lax.while_loop(lambda c: c > -3.0, lambda c: c - 1.0 + 0.0 * root(c), x),
    "nested jit": lambda x: ft.jit(root)(x) * 2.0,
    "a branch in a loop": lambda x: lax.fori_loop(0, 9, lambda i, c: lax.cond(i > 3, root, lambda v: v - 1.0, c), x),
}
STACKS: dict[str, Any] = {
    "call": lambda f: f,
    "jit": ft.jit,
    "jvp": lambda f: lambda x: ft.jvp(f, (x,), (1.0,)),
    "grad": ft.grad,
    "jit of grad of grad": lambda f: ft.jit(ft.grad(ft.grad(f))),
}
ROWS = [(p, s) for p in PLACES for s in STACKS if not (p == "while" and "grad" in s)]


@pytest.mark.parametrize(("place", "stack"), ROWS, ids=["-".join(row).replace(" ", "-") for row in ROWS])
def test_a_wrong_value_raises_with_the_message_the_value_and_the_line(place: str, stack: str) -> None:
    f = STACKS[stack](PLACES[place])
    with pytest.raises(CheckError, match=r"no root of -\d\.0, says the test") as caught:
        f(2.0 if place not in ("straight", "branch", "nested jit") else -2.0)
    assert "# blame" in str(caught.value)
    assert "raised by error_if at" in str(caught.value)
    f(40.0 if place != "while" else -5.0)  # and where nothing is wrong nothing happens


@pytest.mark.parametrize("stack", [ft.vmap, lambda f: ft.jit(ft.vmap(f)), lambda f: ft.jit(ft.vmap(ft.grad(f))),
                                   lambda f: lambda x: ft.vmap(ft.vmap(f))(x.reshape(2, 2))])  # fmt: skip
def test_any_lane_of_vmap_is_enough_and_the_first_is_shown(stack: Any) -> None:
    with pytest.raises(CheckError, match=r"no root of -3.0"):
        stack(root)(X)
    stack(root)(np.abs(X))
    with pytest.raises(CheckError, match=r"no root of -[32].0"):
        stack(PLACES["branch"])(X)
    stack(PLACES["branch"])(np.abs(X))


def test_only_the_lanes_that_take_a_branch_are_tested() -> None:
    guarded = lambda x: lax.cond(x >= 0, root, lambda v: -v, x)
    np.testing.assert_allclose(ft.vmap(guarded)(X), [2.0, 3.0, 2.0, 3.0])
    np.testing.assert_allclose(ft.jit(ft.vmap(ft.grad(guarded)))(X), [0.25, -1.0, -1.0, 1 / 6], rtol=1e-6)


def test_check_is_error_if_of_the_contrary() -> None:
    f = ft.jit(lambda x: ft.check(x > 0, "positive numbers only"))
    f(np.abs(X))
    with pytest.raises(ValueError, match="positive numbers only") as caught:
        f(X)
    assert "raised by check at" in str(caught.value)
    with pytest.raises(CheckError, match="never"):
        ft.check(False, "never")
    with pytest.raises(CheckError, match="zero is false"):
        ft.jit(lambda x: ft.check(x, "zero is false"))(np.array([1, 0]))
    with pytest.raises(CheckError, match="one is true"):
        ft.jit(lambda: ft.error_if(True, "one is true"))()
    ft.check(True, "fine")
    ft.jit(lambda: ft.check(np.ones((0, 3), bool), "nothing is wrong with nothing"))()


def test_a_check_before_a_value_asked_for_raises_there() -> None:
    reached: list[str] = []

    def f(x: Any) -> Any:
        ft.error_if(x < 0, "negative")
        if x > -5:
            reached.append("python")
        return x * x

    with pytest.raises(CheckError, match="negative"):
        ft.grad(f)(-1.0)
    assert reached == []
    assert float(ft.grad(f)(1.0)) == 2.0


def test_the_same_check_on_two_lines_names_its_own() -> None:
    def first(x: Any) -> Any:
        ft.error_if(x > 0, "positive")  # the first
        return x

    def other(x: Any) -> Any:
        ft.error_if(x > 0, "positive")  # the second
        return x

    for f, words in ((first, "# the first"), (other, "# the second")):
        with pytest.raises(CheckError) as caught:
            ft.jit(f)(1.0)
        assert words in str(caught.value)


def test_a_braced_message_without_values_is_left_as_it_is() -> None:
    with pytest.raises(CheckError, match=r"a set \{1, 2\}"):
        ft.jit(lambda x: ft.error_if(x > 0, "a set {1, 2}"))(1.0)


def test_nothing_is_called_while_nothing_is_wrong() -> None:
    jaxpr = ft.make_jaxpr(root)(1.0)
    assert [effect.name for effect in jaxpr.effects] == ["check"]
    from functrans.xla.lower import lower

    text = lower(jaxpr)
    assert text.index("stablehlo.if") < text.index("xla_ffi_python_cpu_callback")
