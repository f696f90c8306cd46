"""Impolite random programs under stacks of transforms give what JAX gives: a fixed share of `tests.laws.campaign`.

With ``FUNCTRANS_TESTS=thorough`` as many as ``FUNCTRANS_PROGRAMS`` says, from a place that moves with each run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest

from functrans import numpy as fnp
from functrans.api import staging
from functrans.ir.program import Literal
from functrans.ops.elementwise import Mul, mul
from functrans.ops.functions import Sin
from functrans.trace.binding import bind
from functrans.xla import execute
from tests.agreement import assert_values_agree
from tests.conftest import THOROUGH
from tests.laws import comparison, numpy_reference
from tests.laws.campaign import checked
from tests.laws.comparison import difference, reproduction, shrunk
from tests.laws.impolite_programs import Draw, Statement, draw
from tests.laws.libraries import theirs

SHARE = 25
FIRST = int(time.time()) if THOROUGH else 0
CHUNKS = int(os.environ.get("FUNCTRANS_PROGRAMS", 2000)) // SHARE if THOROUGH else 8
COMPILED = CHUNKS // 20 if THOROUGH else 1
VECTOR = "array((3,), 'float32')"


def _agree(numbers: range) -> None:
    faults = []
    for number in numbers:
        found = checked(number)
        if found is not None and not found.cause.startswith("("):
            small = shrunk(draw(number), found.cause, most=60)
            faults.append(f"draw {number}: {found.cause}\n{found.details}\n{reproduction(small)}")
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_agree_with_jax(chunk: int) -> None:
    with numpy_reference.interpreted():
        _agree(range(FIRST + chunk * SHARE, FIRST + (chunk + 1) * SHARE))


@pytest.mark.parametrize("chunk", range(COMPILED))
def test_compiled_programs_agree_with_jax(chunk: int) -> None:
    first = FIRST + 1_000_000 + chunk * SHARE
    _agree(range(first, first + SHARE))


@pytest.mark.filterwarnings("ignore::UserWarning")  # JAX says that float64 is not on
@pytest.mark.parametrize("number", [3, 17, 29, 1_002_547])  # the last reshapes in another order of dimensions
def test_the_numpy_reference_computes_what_xla_computes(number: int) -> None:
    def run(function: Callable[..., Any], arguments: Any) -> Callable[[], Any]:
        expected = jax.jit(lambda: function(*arguments))()
        jaxpr = jax.make_jaxpr(lambda: function(*arguments))()
        for actual, leaf in zip(numpy_reference.evaluate(jaxpr), jax.tree.leaves(expected), strict=True):
            assert_values_agree(actual, leaf)
        return lambda: comparison.Raised("", "")

    given = draw(number)
    with jax.enable_x64(given.x64):
        assert comparison.outcomes(given, theirs(), run)


@pytest.mark.parametrize("number", [1_000_535, 1_000_891, 1_006_441, 2_019_723, 2_020_988])
def test_a_value_that_jax_hands_on_as_it_is_makes_no_difference(number: int) -> None:
    with numpy_reference.interpreted():
        assert checked(number) is None


@pytest.mark.parametrize(("number", "cause"), [(2_011_619, "(rounding)"), (2_015_274, "(derivative of abs at 0)")])
def test_floats_of_integers_are_of_double_precision_where_all_are(number: int, cause: str) -> None:
    with numpy_reference.interpreted():
        found = checked(number)
    assert found is not None
    assert found.cause == cause


def test_a_type_that_a_weak_derivative_decides_is_told_from_others() -> None:
    body = (Statement("power", (0, 1)),)  # JAX's derivative by a weak x of x ** 1.5 is strong
    statements = (Statement("vjp", ("1.5", "np.float32(0.5)"), 0, (body,)),)
    with numpy_reference.interpreted():
        found = difference(Draw((VECTOR,), statements, x64=True))
        assert found is not None
        assert found.cause == "(type that a weak type in a derivative decides)"
        given = Draw(("array((3,), 'float64')",), (Statement("tanh", (0, 0)),), stack=(("jvp", 0),), x64=True)
        with mock.patch.object(fnp, "tanh", lambda x: fnp.sin(x).astype(np.float32)):
            found = difference(given)
    assert found is not None
    assert found.cause == "type"


# -- deliberately broken: the comparison has to see it --------------------------------------------------------------


def _product_that_takes_equal_operands_for_equal_tangents(self: Mul, primals: Any, tangents: Any) -> Any:
    (x, y), (s, t) = primals, tangents
    if s is not None and t is not None and x is y:
        return bind(self, x, y), mul(s, mul(2.0, x))
    return _right_product(self, primals, tangents)


def _argument_without_the_sign_of_zero(literal: Literal) -> Any:
    return _right_number(Literal(literal.value + literal.value.__class__(0), literal.type))


def _resolve_that_remembers_what_was_captured(builder: Any, outputs: Any) -> Any:
    jaxpr, captured = _right_resolve(builder, outputs)
    return jaxpr, jaxpr.memo.setdefault("captured", [np.array(x) for x in captured])


_right_resolve = staging.resolve
_right_product, _right_number = Mul.jvp, execute.number
BROKEN = {
    "the same value twice": (
        mock.patch.object(Mul, "jvp", _product_that_takes_equal_operands_for_equal_tangents),
        Draw((VECTOR,), (Statement("grad", (0, 0), 1, ((Statement("multiply", (0, 1)),),)),), stack=(("jit", 0),)),
        "value",
    ),
    "a tangent forgotten": (
        mock.patch.object(Sin, "jvp", lambda self, primals, tangents: (bind(self, *primals), None)),
        Draw((VECTOR,), (Statement("sin", (0, 0)),), stack=(("jvp", 0),)),
        "value",
    ),
    "equal code with other closures": (
        mock.patch.object(execute, "number", _argument_without_the_sign_of_zero),
        Draw((VECTOR,), (Statement("quotient", (0, "K")),), stack=(("grad", 0),), numbers=("0.0", "-0.0")),
        "NaN or infinity of call 1",
    ),
    "what was captured is remembered": (
        mock.patch.object(staging, "resolve", _resolve_that_remembers_what_was_captured),
        Draw((VECTOR,), (Statement("multiply", (0, "C[0]")),), "{a}", (("jvp", 0),), (VECTOR,), mutation="captured"),
        "value of call 1",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_seen(name: str) -> None:
    patch, given, cause = BROKEN[name]
    with numpy_reference.interpreted():
        assert difference(given) is None
    with numpy_reference.interpreted(), patch:
        found = difference(given)
    assert found is not None
    assert found.cause == cause


def test_a_fault_is_made_small() -> None:
    body = (Statement("square", (1, 1)), Statement("sin", (0, 0)), Statement("tanh", (0, 1)))
    statements = (Statement("halve", (0, 0)), Statement("jit", (1, 2), 0, (body,)), Statement("add", (0, 1)))
    given = Draw((VECTOR, "0.75"), statements, "({a}, p0)", (("vmap", 3), ("jvp", 4)), (VECTOR,) * 3)
    with numpy_reference.interpreted(), BROKEN["a tangent forgotten"][0]:
        small = shrunk(given, "value")
    assert [s.kind for s in small.statements] == ["sin"]
    assert [name for name, _ in small.stack] == ["jvp"]
