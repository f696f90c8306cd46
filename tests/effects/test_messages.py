"""What is wrong with a callback is said in full: what happened, where, with which values, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError, MissingRuleError

X = np.ones(3, np.float32)
PROMISE = ft.ShapeDtypeStruct((3,), np.float32)


def returns(value: Any) -> Callable[..., Any]:
    def host(_: Any) -> Any:
        return value

    return host


def ordered(x: Any) -> None:
    ft.debug.print("{}", x, ordered=True)


def in_branch(x: Any) -> Any:
    return lax.cond(x > 0, lambda v: (ft.io_callback(print, None, v, ordered=True), v)[1], lambda v: v, x)


CASES: list[tuple[str, type[Exception], list[str], Callable[[], Any]]] = [
    ("another shape", FunctransTypeError,
     ["pure_callback: the function host returned an array of another shape", "float32[2] at result", "promised f32[3]",
      "Return an array of the shape promised"],
     lambda: ft.jit(lambda x: ft.pure_callback(returns(np.ones(2, np.float32)), PROMISE, x))(X)),
    ("another shape in a tree", FunctransTypeError, ["float32[2] at result['b'][0]", "promised f32[3]"],
     lambda: ft.jit(lambda x: ft.pure_callback(returns({"a": X, "b": [X[:2]]}), {"a": x, "b": [x]}, x))(X)),
    ("another dtype", FunctransTypeError,
     ["io_callback: the function host returned an array of another dtype", "int32[3] at result", "promised f32[3]",
      "Convert the result with .astype('float32'), or promise int32"],
     lambda: ft.jit(lambda x: ft.io_callback(returns(np.ones(3, np.int32)), PROMISE, x))(X)),
    ("a float where an integer was promised", FunctransTypeError, ["another dtype", "promised i32[]"],
     lambda: ft.jit(lambda x: ft.pure_callback(returns(1.5), ft.ShapeDtypeStruct((), np.int32), x))(X)),
    ("another tree", FunctransTypeError, ["returned PyTreeDef((*, *))", "result_shape_dtypes is PyTreeDef(*)"],
     lambda: ft.jit(lambda x: ft.pure_callback(returns((X, X)), PROMISE, x))(X)),
    ("something where nothing was promised", FunctransTypeError, ["result_shape_dtypes is PyTreeDef(None)"],
     lambda: ft.jit(lambda x: ft.io_callback(returns(X), None, x))(X)),
    ("no array at all", FunctransTypeError, ["returned 'text' of type str at result", "promises an array f32[3]"],
     lambda: ft.jit(lambda x: ft.pure_callback(returns("text"), PROMISE, x))(X)),
    ("the same without a trace", FunctransTypeError, ["another shape", "float32[2] at result"],
     lambda: ft.pure_callback(returns(X[:2]), PROMISE, X)),
    ("lanes that do not come back", FunctransTypeError, ["another shape", "float32[3] at result", "promised f32[4,3]"],
     lambda: ft.vmap(lambda x: ft.pure_callback(returns(X), PROMISE, x, vmap_method="expand_dims"))(
         np.ones((4, 3), np.float32))),
    ("a promise that is none", FunctransTypeError,
     ["result_shape_dtypes['a'] is 'f32' of type str", "functrans.ShapeDtypeStruct(shape, dtype)"],
     lambda: ft.jit(lambda x: ft.pure_callback(np.sin, {"a": "f32"}, x))(X)),
    ("no function", FunctransTypeError, ["pure_callback needs a function as its first argument, got 3 of type int"],
     lambda: ft.pure_callback(3, PROMISE, X)),
    ("no function to debug", FunctransTypeError, ["debug.callback needs a function as its first argument, got 'x ="],
     lambda: ft.debug.callback("x = {}", X)),
    ("an argument that is no array", FunctransTypeError,
     ["io_callback of", "got 'text' of type str among its arguments", "functools.partial"],
     lambda: ft.jit(lambda x: ft.io_callback(print, None, x, "text"))(X)),
    ("an unknown vmap method", FunctransValueError,
     ["pure_callback got vmap_method='all'", "'sequential', 'sequential_unrolled', 'expand_dims', 'broadcast_all'"],
     lambda: ft.pure_callback(np.sin, PROMISE, X, vmap_method="all")),
    ("vmap without a method", MissingRuleError,
     ["vmap of pure_callback needs to know how to call sin for many lanes", "vmap_method='sequential'"],
     lambda: ft.vmap(lambda x: ft.pure_callback(np.sin, x, x))(X)),
    ("a sharding", FunctransValueError, ["io_callback got sharding='x' of type str", "leave sharding out"],
     lambda: ft.io_callback(print, None, X, sharding="x")),
    ("ordered print under vmap", FunctransValueError,
     ["debug_callback has ordered effects, and under vmap all lanes reach them at once", "in ordered", "ordered=False",
      "functrans.lax.map"],
     lambda: ft.vmap(ordered)(X)),
    ("ordered io_callback under vmap", FunctransValueError, ["io_callback has ordered effects", "ordered=False"],
     lambda: ft.jit(ft.vmap(lambda x: ft.io_callback(print, None, x, ordered=True)))(X)),
    ("ordered in a loop under vmap", FunctransValueError, ["debug_callback has ordered effects"],
     lambda: ft.vmap(lambda x: lax.fori_loop(0, 3, lambda i, c: (ordered(c), c)[1], x))(X)),
    ("ordered in a branch that lanes choose", FunctransValueError, ["switch has ordered effects", "in in_branch"],
     lambda: ft.vmap(in_branch)(X)),
    ("a format without its argument", FunctransValueError,
     ["the format '{} {}' of debug.print names what it was not given", "1 positional arguments and the names []"],
     lambda: ft.jit(lambda x: ft.debug.print("{} {}", x))(X)),
    ("a format with an unknown name", FunctransValueError, ["'{y}' of debug.print", "the names ['x']"],
     lambda: ft.debug.print("{y}", x=X)),
    ("an argument without a place", FunctransValueError, ["arguments that its format does not name: 'x'", "f-string"],
     lambda: ft.debug.print("x", x=X)),
    ("a format that is none", FunctransTypeError, ["debug.print needs a format string as its first argument"],
     lambda: ft.debug.print(X)),
    ("arguments without a format", FunctransTypeError, ["debug.print got arguments and no format"],
     lambda: ft.debug.print(x=X)),
    ("arguments without a function", FunctransTypeError, ["debug.callback got arguments and no function"],
     lambda: ft.debug.callback(x=X)),
    ("a predicate that is none", FunctransTypeError,
     ["error_if needs a bool or an array of them, got 'no' of type str"],
     lambda: ft.error_if("no", "text")),
    ("a message that is none", FunctransTypeError, ["check needs a text as its second argument, got 3 of type int"],
     lambda: ft.check(True, 3)),
    ("reverse mode that would read twice", MissingRuleError,
     ["would have to run io_callback", "a second time", "functrans.lax.scan"],
     lambda: ft.linearize(lambda x: lax.while_loop(lambda c: c < 9.0, lambda c: c + ft.io_callback(
         lambda: np.float32(1), ft.ShapeDtypeStruct((), np.float32)), x), 1.0)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fragments", "call"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_error_says_what_happened_and_what_to_write(kind: Any, fragments: list[str], call: Any) -> None:
    with pytest.raises(kind) as caught:
        call()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    for fragment in fragments:
        assert fragment in text, f"{fragment!r} is not said in:\n{text}"
    assert "test_messages.py" in text, text
