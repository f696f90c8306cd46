"""Every transform of every program with branches and loops agrees with JAX: value, derivatives, second order, vmap."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from tests.agreement import assert_same
from tests.control.libraries import ours, theirs
from tests.control.programs import FORWARD_ONLY, PROGRAMS

EVERY = {**PROGRAMS, **FORWARD_ONLY}
Function = Callable[..., Any]


def is_float(x: Any) -> bool:
    return bool(np.issubdtype(np.asarray(x).dtype, np.floating))


def scalar(o: Any, f: Function) -> Function:
    """The sum of the sines of every floating result."""

    def total(*args: Any) -> Any:
        leaves = [x for x in jax.tree.leaves(f(*args)) if np.issubdtype(x.dtype, np.floating)]
        parts = [o.sum(o.sin(x)) for x in leaves]
        result = parts[0]
        for part in parts[1:]:
            result = o.add(result, part)
        return result

    return total


def gradient(o: Any, f: Function, args: Any) -> Function:
    return o.grad(scalar(o, f), tuple(i for i, x in enumerate(args) if is_float(x)))


def tangents(args: Any) -> Any:
    return tuple(
        np.cos(np.arange(np.size(x), dtype=np.float32)).reshape(np.shape(x))
        if is_float(x)
        else np.zeros((), jax.dtypes.float0)
        for x in args
    )


def value(o: Any, f: Function, args: Any) -> Any:
    return f(*args)


def jitted(o: Any, f: Function, args: Any) -> Any:
    return o.jit(f)(*args)


def jvp(o: Any, f: Function, args: Any) -> Any:
    return o.jvp(scalar(o, f), args, tangents(args))


def jvp_of_jvp(o: Any, f: Function, args: Any) -> Any:
    inner = lambda *xs: o.jvp(scalar(o, f), xs, tangents(args))[1]
    return o.jvp(inner, args, tangents(args))


def linearized(o: Any, f: Function, args: Any) -> Any:
    out, push = o.linearize(scalar(o, f), *args)
    return out, push(*tangents(args))


def reverse(o: Any, f: Function, args: Any) -> Any:
    return gradient(o, f, args)(*args)


def jitted_reverse(o: Any, f: Function, args: Any) -> Any:
    return o.jit(gradient(o, f, args))(*args)


def reverse_over_reverse(o: Any, f: Function, args: Any) -> Any:
    slope = gradient(o, f, args)
    return gradient(o, lambda *xs: slope(*xs), args)(*args)


def forward_over_reverse(o: Any, f: Function, args: Any) -> Any:
    return o.jvp(gradient(o, f, args), args, tangents(args))


def reverse_over_forward(o: Any, f: Function, args: Any) -> Any:
    slope = lambda *xs: o.jvp(scalar(o, f), xs, tangents(args))[1]
    return gradient(o, lambda *xs: slope(*xs), args)(*args)


FORWARD = [value, jitted, jvp, jvp_of_jvp, linearized]
REVERSE = [reverse, jitted_reverse, reverse_over_reverse, forward_over_reverse, reverse_over_forward]


def whole(reference: Callable[[], Any]) -> Any:
    """JAX's answer, compiled in one piece: its un-jitted calls compile every operation by itself."""
    return jax.jit(reference)()


SAME_AS = {jitted: value, jitted_reverse: reverse, linearized: jvp}  # what has the same result in JAX


@functools.cache
def expected(name: str, transform: Any) -> Any:
    """JAX's answer."""
    if transform in SAME_AS:
        return expected(name, SAME_AS[transform])
    make, args = EVERY[name]
    return whole(lambda: transform(theirs, make(theirs), args))


CASES = [
    (name, transform)
    for name in EVERY
    for transform in [*FORWARD, *(REVERSE if name in PROGRAMS else ())]
]


@pytest.mark.parametrize(("name", "transform"), CASES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_transform_agrees_with_jax(name: str, transform: Any) -> None:
    make, args = EVERY[name]
    assert_same(transform(ours, make(ours), args), expected(name, transform), operations=512, weak=False)


def lanes(args: Any, mapped: tuple[bool, ...]) -> Any:
    """Three lanes of each mapped argument, different enough to take different branches and numbers of steps."""
    factors = np.array([0.1, 1.0, 2.5], np.float32)
    result = []
    for x, m in zip(args, mapped, strict=True):
        x = np.asarray(x)
        spread = (factors.reshape(3, *[1] * x.ndim) * x).astype(x.dtype)
        result.append(spread if m else x)
    return result


def mappings(name: str) -> list[tuple[bool, ...]]:
    """Each argument alone, and all together."""
    count = len(EVERY[name][1])
    alone = [tuple(i == k for i in range(count)) for k in range(count)]
    return alone if count == 1 else [*alone, (True,) * count]


def mapped_value(o: Any, f: Function, args: Any, axes: Any) -> Function:
    return o.vmap(f, axes)


def mapped_gradient(o: Any, f: Function, args: Any, axes: Any) -> Function:
    return o.vmap(gradient(o, f, args), axes)


def gradient_of_mapped(o: Any, f: Function, args: Any, axes: Any) -> Function:
    return gradient(o, o.vmap(f, axes), args)


def mapped_forward_mode(o: Any, f: Function, args: Any, axes: Any) -> Function:
    return o.vmap(lambda *xs: o.jvp(scalar(o, f), xs, tangents(args)), axes)


def lane_cases() -> list[Any]:
    both = [(n, t) for n in PROGRAMS for t in (mapped_value, mapped_gradient, gradient_of_mapped)]
    forward = [(n, t) for n in FORWARD_ONLY for t in (mapped_value, mapped_forward_mode)]
    return [(n, t, m) for n, t in [*both, *forward] for m in mappings(n)]


@pytest.mark.parametrize(
    ("name", "transform", "mapped"),
    lane_cases(),
    ids=lambda x: x if isinstance(x, str) else "".join("01"[m] for m in x) if isinstance(x, tuple) else x.__name__,
)
def test_lanes_agree_with_jax(name: str, transform: Any, mapped: tuple[bool, ...]) -> None:
    make, args = EVERY[name]
    axes = tuple(0 if m else None for m in mapped)
    spread = lanes(args, mapped)
    actual = transform(ours, make(ours), args, axes)(*spread)
    wanted = jax.jit(transform(theirs, make(theirs), args, axes))(*spread)
    assert_same(actual, wanted, operations=512, weak=False)
