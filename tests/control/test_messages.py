"""Wrong branches and loops raise the built-in kind of error, with the user's line, the values involved and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans
from functrans.errors import ConcretizationError, MissingRuleError, TracerBoolConversionError
from tests.control.libraries import ours as o

X = np.ones(3, np.float32)
identity = lambda a: a


def keep(c: Any, a: Any) -> Any:
    return c, a


CASES: list[tuple[str, type[Exception], list[str], Callable[[], Any]]] = [
    ("branches with different trees", TypeError,
     ["true_fun", "false_fun", "['v'][1]  f32[3]    -  <--", "Return the same tree"],
     lambda: o.cond(True, lambda a: {"u": a, "v": (a, a)}, lambda a: {"u": a}, X)),
    ("branches with different dtypes", TypeError,
     ["['v']  i32[]*    f32[]*  <--", "the leaf ['v'] has type i32[]* in true_fun and f32[]* in false_fun",
      "write true_fun['v'] as x.astype('float32')"],
     lambda: o.cond(True, lambda a: {"u": a, "v": 1}, lambda a: {"u": a, "v": 2.5}, X)),
    ("branches with different shapes", TypeError, ["make the shape of false_fun (3,) (it is ())"],
     lambda: o.cond(True, identity, lambda a: 1.0, X)),
    ("switch names the branch", TypeError, ["branches[0]", "branches[2]", "branches[2] as x.astype('float32')"],
     lambda: o.switch(1, [identity, identity, lambda a: o.convert(a, np.int32)], X)),
    ("a predicate that is an array", TypeError,
     ["must be a scalar, got an array of shape (3,)", "functrans.numpy.where"],
     lambda: o.cond(X, identity, identity, X)),
    ("a predicate that is no number", TypeError, ["scalar number, got 's' of type str"],
     lambda: o.cond("s", identity, identity, X)),
    ("a branch that is no function", TypeError, ["cond needs two functions", "3 of type int"],
     lambda: o.cond(True, identity, 3, X)),
    ("a branch that returns no array", TypeError, ["the branch true_fun of cond", "'s' of type str"],
     lambda: o.cond(True, lambda a: "s", identity, X)),
    ("an operand that is no array", TypeError, ["an operand of cond[0]", "close over anything else"],
     lambda: o.cond(True, identity, identity, object())),
    ("operand twice", TypeError, ["operand=", "one way or the other"],
     lambda: o.cond(True, identity, identity, X, operand=X)),
    ("a float index", TypeError, ["index of switch must be an integer scalar, got f32[]*", ".astype('int32')"],
     lambda: o.switch(1.5, [identity, identity], X)),
    ("no branches", ValueError, ["empty sequence of branches"], lambda: o.switch(1, [], X)),
    ("a branch of switch that is no function", TypeError, ["sequence of functions, got (1,)"],
     lambda: o.switch(1, [1], X)),
    ("a carry with another shape", TypeError, ["f32[3]              f32[3,1]  <--", "make the shape of"],
     lambda: o.scan(lambda c, a: (o.reshape(c, (3, 1)), None), X, X)),
    ("a carry with another dtype", TypeError,
     ["['n']  i32[]               f32[]  <--", "the leaf ['n'] has type i32[]",
      "the carry going in['n'] as x.astype('float32')"],
     lambda: o.scan(lambda c, a: ({"n": a}, None), {"n": np.int32(0)}, X)),
    ("a carry with another tree", TypeError, ["their trees differ", "PyTreeDef((*, *))"],
     lambda: o.scan(lambda c, a: ((c, c), None), X, X)),
    ("a body that returns no pair", TypeError, ["must return a pair (carry, y)", "return carry, None"],
     lambda: o.scan(lambda c, a: c, X, X)),
    ("xs of different lengths", ValueError, ["different leading axes, [3, 2] (f32[3], f32[2])"],
     lambda: o.scan(keep, X, (X, X[:2]))),
    ("a length that xs do not have", ValueError, ["length=4", "leading axes [3]"],
     lambda: o.scan(keep, X, X, length=4)),
    ("a negative length", ValueError, ["length=-1"], lambda: o.scan(keep, X, None, length=-1)),
    ("xs that is a scalar", ValueError, ["no leading axis"], lambda: o.scan(keep, X, 3.0)),
    ("neither xs nor length", ValueError, ["no xs and no length"], lambda: o.scan(keep, X)),
    ("a traced length", TypeError, ["a traced i32[]", "functrans.lax.while_loop"],
     lambda: o.jit(lambda n: o.scan(keep, X, X, length=n))(3)),
    ("a negative unroll", ValueError, ["unroll must be a bool or a positive integer, got -1"],
     lambda: o.scan(keep, X, X, unroll=-1)),
    ("a scan of no function", TypeError, ["scan needs a function", "3 of type int"], lambda: o.scan(3, X, X)),
    ("a negative batch size", ValueError, ["batch_size=-1"], lambda: o.map(identity, X, batch_size=-1)),
    ("a condition that is an array", TypeError, ["bool scalar, it returned f32[3]", "functrans.numpy.any"],
     lambda: o.while_loop(identity, identity, X)),
    ("a condition that is a float", TypeError, ["it returned f32[]*", "return x != 0"],
     lambda: o.while_loop(lambda c: 1.0, identity, X)),
    ("a condition that is a tree", TypeError, ["one bool scalar", "PyTreeDef((*,))"],
     lambda: o.while_loop(lambda c: (True,), identity, X)),
    ("a while carry with another dtype", TypeError, ["while_loop", "as x.astype('float32')"],
     lambda: o.while_loop(lambda c: True, lambda c: o.convert(c, np.int32), X)),
    ("a while_loop of no function", TypeError, ["while_loop needs two functions"],
     lambda: o.while_loop(True, identity, X)),
    ("a fraction for a bound", ValueError, ["the lower bound of fori_loop must be a whole number, got 0.5"],
     lambda: o.fori_loop(0.5, 3.0, lambda i, c: c, X)),
    ("a bool for a bound", TypeError, ["upper bound of fori_loop must be a scalar, integer or floating, got bool"],
     lambda: o.fori_loop(0, True, lambda i, c: c, X)),
    ("bounds of two dtypes", TypeError, ["must have one dtype, got i16[] and i32[]"],
     lambda: o.fori_loop(np.int16(0), np.int32(3), lambda i, c: c, X)),
    ("a fori carry with another tree", TypeError, ["fori_loop: the carry must keep", "PyTreeDef((*, *))"],
     lambda: o.fori_loop(0, 3, lambda i, c: (c, c), X)),
    ("traced bounds and unroll", ValueError, ["unroll=3", "plain integers"],
     lambda: o.jit(lambda n: o.fori_loop(0, n, lambda i, c: c, X, unroll=3))(3)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fragments", "call"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_message(kind: type[Exception], fragments: list[str], call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert isinstance(caught.value, functrans.errors.FunctransError)
    assert "test_messages.py" in text
    for fragment in fragments:
        assert fragment in text, text


def test_only_the_differing_leaf_is_marked() -> None:
    with pytest.raises(TypeError) as caught:
        o.scan(lambda c, a: ({"m": c["m"], "n": a}, None), {"m": X, "n": np.int32(0)}, X)
    marked = [line for line in str(caught.value).splitlines() if line.endswith("<--")]
    assert len(marked) == 1
    assert marked[0].split() == ["['n']", "i32[]", "f32[]", "<--"]


def test_reverse_mode_through_a_while_loop_names_the_line_and_the_fix() -> None:
    def repeated(x: Any) -> Any:
        return o.while_loop(lambda c: o.lt(c, 10.0), lambda c: o.mul(c, x), x)

    with pytest.raises(MissingRuleError) as caught:
        functrans.grad(repeated)(2.0)
    text = str(caught.value)
    assert "return o.while_loop(" in text
    for fix in ("functrans.lax.scan", "functrans.lax.fori_loop", "plain Python", "jvp"):
        assert fix in text


def test_reverse_mode_beside_a_while_loop_works() -> None:
    def f(x: Any) -> Any:
        steps = o.while_loop(lambda c: o.lt(c[0], 10.0), lambda c: (o.mul(c[0], x), o.add(c[1], 1)), (x, 0))[1]
        return o.mul(o.mul(x, x), o.convert(steps, np.float32))

    assert functrans.grad(f)(2.0) == 2 * 2.0 * 3


def test_python_if_on_a_value_of_a_body_is_refused() -> None:
    def step(c: Any, x: Any) -> Any:
        return (c if o.gt(x, 0.0) else x), None

    with pytest.raises(TracerBoolConversionError, match="the body of scan \\(step\\)"):
        o.scan(step, 0.0, X)
    with pytest.raises(ConcretizationError, match="the condition of while_loop"):
        o.while_loop(lambda c: bool(o.gt(c, 0.0)), identity, 1.0)


def test_an_error_inside_a_body_is_the_user_s_own() -> None:
    def step(c: Any, x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        o.scan(step, 0.0, X)
    assert functrans.trace.state.state.builder is None
