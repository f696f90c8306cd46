"""No error of XLA's parser reaches a user: operations refuse what it would; what still passes names the user's line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.errors import FunctransError

x, v, at = np.ones((2, 3), np.float32), np.ones(4, np.float32), np.int32([[0]])
rows = np.ones((1, 3), np.float32)


def _gather(*numbers: Any, sizes: tuple[int, ...] = (1, 3), indices: Any = at) -> Callable[[], Any]:
    return lambda: lax.gather(x, indices, lax.GatherDimensionNumbers(*numbers), sizes)


def _scatter(*numbers: Any, indices: Any = at) -> Callable[[], Any]:
    return lambda: lax.scatter_add(x, indices, rows, lax.ScatterDimensionNumbers(*numbers))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an axis twice": (lambda: lax.broadcast_in_dim(x[:, :2], (2, 2), (0, 0)), "broadcast_in_dim"),
    "a negative axis": (lambda: lax.broadcast_in_dim(v, (4, 4), (-1,)), "broadcast_in_dim"),
    "an axis outside": (lambda: lax.broadcast_in_dim(v, (4,), (1,)), "broadcast_in_dim"),
    "collapsed outside": (_gather((0,), (5,), (0,)), "gather"),
    "collapsed twice": (_gather((), (0, 0), (0,)), "gather"),
    "offset outside": (_gather((7,), (0,), (0,)), "gather"),
    "indexed outside": (_gather((1,), (0,), (9,)), "gather"),
    "indexed twice": (_gather((1,), (0,), (0, 0), indices=np.int32([[0, 0]])), "gather"),
    "batches of two sizes": (_gather((1,), (), (0,), (0,), (0,)), "gather"),
    "inserted outside": (_scatter((1,), (5,), (0,)), "scatter"),
    "window outside": (_scatter((3,), (0,), (0,)), "scatter"),
    "scattered outside": (_scatter((1,), (0,), (7,)), "scatter"),
    "scattered twice": (_scatter((1,), (0,), (0, 0), indices=np.int32([[0, 0]])), "scatter"),
    "fewer than none": (lambda: lax.iota(np.int32, -1), "iota"),
    "complex bits": (lambda: lax.bitcast_convert_type(np.ones(3, np.complex64), np.int32), "bitcast_convert_type"),
    "halves of bytes": (lambda: lax.bitcast_convert_type(np.ones(3, np.dtype(fnp.int4)), np.int8), "bitcast_convert"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("jit", [False, True])
def test_operations_refuse_what_the_parser_would(name: str, jit: bool) -> None:
    call, operation = REFUSED[name]
    with pytest.raises(FunctransError, match=operation) as caught:
        ft.jit(lambda: call())() if jit else call()
    assert "XLA" not in str(caught.value)
    assert "test_parser.py" in str(caught.value)


class Careless(ft.Primitive):
    """Writes a reshape that is none."""

    def infer(self, x: Any) -> Any:
        return ft.ArrayType((7,), x.dtype, False)

    def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
        return emitter.op(f"stablehlo.reshape {operands[0]}", in_types, out_types[0])


@pytest.mark.parametrize("jit", [False, True])
def test_what_passes_nevertheless_names_the_line(jit: bool) -> None:
    def f(x: Any) -> Any:
        y = fnp.sin(x) * 2
        return ft.bind(Careless(), y)  # this line

    with pytest.raises(TypeError, match=r"reshape: XLA refuses") as caught:
        (ft.jit(f) if jit else f)(v)
    assert "return ft.bind(Careless(), y)  # this line" in str(caught.value)
    assert "tensor<4xf32>" in str(caught.value)
