"""Parameters of operations, and static arguments, are told apart by type and bits: Python finds 1, 1.0, True equal."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
import functrans.testing
from functrans.ir.exact import exact_key
from functrans.trace.primitive import Primitive

# Pairwise different, and each equal to itself made again.
VALUES = [
    0.0, -0.0, 0, False, 1, 1.0, True, 1j, complex(0.0, -0.0), complex(-0.0, 0.0), math.nan, math.inf, "1", None,
    np.float32(1), np.float64(1), np.int32(1), np.int64(1), np.bool_(True), np.float32(0.0), np.float32(-0.0),
    np.float32(np.nan), (1,), (1.0,), (True,), (0.0,), (-0.0,), ((0.0,),), ((-0.0,),), (math.nan,), ((1, (True,)),),
    ((1, (1,)),), frozenset((1,)), frozenset((1.0,)), np.dtype("f4"), np.dtype("f8"),
]  # fmt: skip
CONVERTED = ("int", "bool", "tuple[int, ...]", "Shape", "Axes")  # annotations of whole numbers and truth values


def primitives(cls: type = Primitive) -> Iterator[Any]:
    for kind in cls.__subclasses__():
        if kind.__module__.startswith("functrans."):
            yield kind
        yield from primitives(kind)


def annotation(cls: Any, name: str) -> str:
    own = map(inspect.get_annotations, cls.__mro__)
    return next(str(annotations[name]) for annotations in own if name in annotations)


def test_values_of_other_types_or_bits_have_other_keys() -> None:
    for (i, x), (j, y) in itertools.product(enumerate(VALUES), repeat=2):
        assert (exact_key(x) == exact_key(y)) == (i == j), (x, y)
    for again in (math.nan, float("nan"), -math.nan):
        assert exact_key((again,)) == exact_key((np.float64("nan").item(),)) or math.copysign(1, again) < 0


FIELDS = [(cls, name) for cls in dict.fromkeys(primitives()) for name in cls.parameter_names]


def test_every_field_of_every_primitive_tells_them_apart() -> None:
    assert len(FIELDS) > 150
    for cls, name in FIELDS:

        def made(value: Any, cls: Any = cls, name: str = name) -> Any:
            # By keywords, then in order: the second way is the one by which equal primitives are one object.
            op = cls(**{other: value if other == name else None for other in cls.parameter_names})
            same = cls(*[value if other == name else None for other in cls.parameter_names])
            assert op == same and hash(op) == hash(same), (cls, name, value)
            return op

        ops = [made(value) for value in VALUES]
        whole = annotation(cls, name) in CONVERTED
        for (i, x), (j, y) in itertools.product(enumerate(ops), repeat=2):
            if i == j:
                assert x == y
            elif whole:  # 1.0 and True given for a whole number are 1: one value, whatever came first
                a, b = x.parameters()[name], y.parameters()[name]
                assert (x == y) == (exact_key(a) == exact_key(b)), (cls, name, VALUES[i], VALUES[j])
            else:
                assert x != y, (cls, name, VALUES[i], VALUES[j])


def test_a_whole_number_is_one_whatever_type_it_came_in() -> None:
    from functrans.ops.arithmetic import IntegerPow, Round

    assert IntegerPow(True) is IntegerPow(1) is IntegerPow(np.int64(1)) and type(IntegerPow(1.0).y) is int
    assert Round(1) is Round(True) is not Round(0) and type(Round(1).to_even) is bool


@pytest.mark.parametrize("transform", [ft.jit, ft.vmap, lambda f: lambda x: ft.jvp(f, (x,), (x,))[0]])
def test_fill_values_do_not_share_a_program(transform: Any) -> None:
    x = fnp.ones((1, 3))
    for fill, again in itertools.product((0.0, -0.0, 1, 1.0, True, math.nan), repeat=2):
        for value in (fill, again):
            f = transform(lambda x, value=value: x.at[fnp.array([7])].get(mode="fill", fill_value=value))
            found = np.asarray(f(fnp.stack([x[0]] * 2) if transform is ft.vmap else x)).ravel()[0]
            assert np.float32(value).tobytes() == np.float32(found).tobytes(), (value, found)


def test_static_arguments_are_told_apart() -> None:
    power = ft.jit(lambda x, n: x * (n[0] if isinstance(n, tuple) else n), static_argnums=1)
    named = ft.jit(lambda x, *, n: x * (n[0] if isinstance(n, tuple) else n), static_argnames="n")
    for n in (0.0, -0.0, 1, True, 1.0, (1,), (True,), (1.0,), (0.0,), (-0.0,), math.nan, math.nan):
        number = n[0] if isinstance(n, tuple) else n
        for found in (power(2, n), named(2, n=n)):
            assert found.dtype.kind == ("f" if isinstance(number, float) else "i"), n
            np.testing.assert_array_equal(np.float32(found).tobytes(), np.float32(2 * number).tobytes())
    before = ft.compilation_count()
    power(2, math.nan), power(2, (True,))
    assert ft.compilation_count() == before
    with pytest.raises(ValueError, match="static argument 1"):
        power(2, (1.0, [2]))
