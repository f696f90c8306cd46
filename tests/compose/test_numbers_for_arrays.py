"""A number stands wherever an array may: in each position of each transform the result is JAX's, dtype and weak flag
included."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import functrans

X = np.float32([1, 2, 3])
NUMBERS: dict[str, Any] = {
    "float": 2.0, "int": 2, "bool": True, "complex": 1 + 2j, "float64": np.float64(2), "int8": np.int8(2),
    "array": np.array(2.0, np.float32), "array of int64": np.array(2), "-0.0": -0.0,
}  # fmt: skip


class Library(NamedTuple):
    """functrans or JAX: their names are the same."""

    root: Any
    numpy: Any
    lax: Any


OURS, THEIRS = (Library(m, m.numpy, m.lax) for m in (functrans, jax))


def _loop(m: Library, c: Any) -> Any:
    return lambda i, x: m.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1], s[2] * s[1] * x), (i, c, 1.0))


def _power(m: Library) -> Any:
    step = lambda x: lambda s: (s[0] * x, s[1] - 1)
    return lambda n, x: m.lax.while_loop(lambda s: s[1] > 0, step(x), (1.0, n))[0]


def _root(m: Library, a: Any, c: Any) -> Any:
    solve = lambda f, y: y / f(1.0)
    return m.lax.custom_root(lambda r: r - a * c, 1.0, lambda f, guess: guess - f(guess), solve)


def _custom_jvp(m: Library) -> Any:
    f = m.root.custom_jvp(lambda c, x: x * c)
    f.defjvp(lambda p, t: (f(*p), p[0] * t[1]))
    return f


def _custom_vjp(m: Library) -> Any:
    f = m.root.custom_vjp(lambda c, x: x * c)
    f.defvjp(lambda c, x: (f(c, x), c), lambda c, ct: (None, ct * c))
    return f


PROGRAMS: dict[str, Callable[[Library, Any], Any]] = {
    "vmap, unmapped": lambda m, c: m.root.vmap(lambda c, x: x / c, (None, 0))(c, X),
    "vmap, unmapped, under jit": lambda m, c: m.root.jit(lambda x: m.root.vmap(lambda c, x: x / c, (None, 0))(c, x))(X),
    "vmap of vmap": lambda m, c: m.root.jit(
        lambda x: m.root.vmap(m.root.vmap(lambda c, x: x * c, (None, 0)), (None, None), axis_size=2)(c, x)
    )(X),
    "vmap, reshaped": lambda m, c: m.root.jit(
        lambda x: m.root.vmap(lambda c, x: m.numpy.reshape(c, (1,)) + x, (None, 0))(c, x)
    )(X),
    "vmap of a number": lambda m, c: m.root.vmap(lambda x: c)(X),
    "vmap of a number, out_axes=None": lambda m, c: m.root.jit(m.root.vmap(lambda x: (c, x), out_axes=(None, 0)))(X),
    "jit of jit": lambda m, c: m.root.jit(lambda x: m.root.jit(lambda c, x: x * c)(c, x))(X),
    "jvp by a number": lambda m, c: m.root.jit(lambda x: m.root.jvp(lambda y: y * y, (x,), (c,)))(2.0),
    "linearize": lambda m, c: m.root.jit(lambda x: m.root.linearize(lambda y: y * y, x)[1](c))(2.0),
    "pullback of a number": lambda m, c: m.root.jit(lambda x: m.root.vjp(lambda y: y * y, x)[1](c))(2.0),
    "linear_transpose": lambda m, c: m.root.jit(lambda x: m.root.linear_transpose(lambda y: y * x, 2.0)(c))(3.0),
    "grad by a number": lambda m, c: m.root.jit(lambda x: m.root.grad(lambda c, x: m.numpy.sum(x * c * c))(c, x))(X),
    "grad of its square": lambda m, c: m.root.jit(lambda x: x * m.root.grad(lambda c: m.numpy.real(c * c))(c))(X),
    "jacfwd by a number": lambda m, c: m.root.jit(lambda x: m.root.jacfwd(lambda c: m.numpy.sin(c) * x)(c))(X),
    "hessian by a number": lambda m, c: m.root.jit(lambda x: m.root.hessian(lambda c: c * c * x)(c))(X),
    "checkpoint": lambda m, c: m.root.vmap(lambda x: m.root.checkpoint(lambda c, x: x * c)(c, x))(X),
    "custom_jvp": lambda m, c: m.root.jvp(lambda x: _custom_jvp(m)(c, x), (X,), (X,)),
    "custom_vjp": lambda m, c: m.root.jit(lambda x: m.root.vmap(lambda x: _custom_vjp(m)(c, x))(x))(X),
    "scan carries it": lambda m, c: m.lax.scan(lambda s, x: (s * x, s), c, X),
    "scan carries it, narrow": lambda m, c: m.lax.scan(lambda s, x: (s * x, s), c, X.astype("float16")),
    "scan starts with it and widens": lambda m, c: m.lax.scan(lambda s, x: (s + 1.5, s), c, None, 3),
    "scan returns it": lambda m, c: m.lax.scan(lambda s, x: (c, s), c, X),
    "scan stacks it": lambda m, c: m.lax.scan(lambda s, x: (s, c), 0.0, X),
    "while_loop": lambda m, c: m.lax.while_loop(lambda s: abs(s) < 50, lambda s: s * 3.5 + 1, c),
    "while_loop, mapped twice": lambda m, c: m.root.vmap(m.root.vmap(_loop(m, c), (0, None)), (None, 0))(
        np.arange(3, dtype=np.int32), X
    ),
    "while_loop, mapped twice in the other order": lambda m, c: m.root.vmap(
        m.root.vmap(_loop(m, c), (None, 0)), (0, None)
    )(np.arange(3, dtype=np.int32), X),
    "scan, mapped twice": lambda m, c: m.root.vmap(
        m.root.vmap(lambda i, x: m.lax.scan(lambda s, y: (s * x, s + i + c), 1.0, X), (None, 0)), (0, None)
    )(np.arange(3, dtype=np.int32), X),
    "fori_loop": lambda m, c: m.lax.fori_loop(0, 3, lambda i, s: s * 2, c),
    "fori_loop widens": lambda m, c: m.lax.fori_loop(0, 3, lambda i, s: s + 1.5, c),
    "cond takes it for a predicate": lambda m, c: m.lax.cond(c, lambda: 1.0, lambda: 2.0),
    "cond takes it for a predicate under jit": lambda m, c: m.root.jit(
        lambda x: m.lax.cond(c, lambda: x, lambda: x + 2.0)
    )(X),
    "cond of it": lambda m, c: m.root.vmap(lambda p: m.lax.cond(p, lambda c, x: x * c, lambda c, x: x + c, c, X))(
        np.array([True, False])
    ),
    "switch takes it for an index": lambda m, c: m.lax.switch(c, [lambda: 1.0, lambda: 2.0, lambda: 3.0]),
    "switch of it": lambda m, c: m.root.vmap(lambda i: m.lax.switch(i, [lambda c: c * 1.0, lambda c: c + 1.0], c))(
        np.arange(2)
    ),
    "map": lambda m, c: m.lax.map(lambda x: x * c, X, batch_size=2),
    "associative_scan": lambda m, c: m.root.jit(lambda x: m.lax.associative_scan(lambda a, b: a * b * c, x))(X),
    "psum": lambda m, c: m.root.jit(m.root.vmap(lambda x: m.lax.psum(c, "i") * x, axis_name="i"))(X),
    "all_gather": lambda m, c: m.root.vmap(lambda x: m.lax.all_gather(c, "i"), axis_name="i")(X),
    "custom_root": lambda m, c: m.root.jit(m.root.value_and_grad(lambda a: _root(m, a, m.numpy.real(c))))(2.0),
    "custom_linear_solve": lambda m, c: m.root.jit(
        lambda a: m.lax.custom_linear_solve(lambda v: v * a, c, lambda f, b: b / a, symmetric=True)
    )(2.0),
    "linear_call": lambda m, c: m.root.jit(
        lambda x: m.root.custom_derivatives.linear_call(lambda r, x: r * x, lambda r, x: r * x, c, x)
    )(2.0),
    "dynamic_slice": lambda m, c: m.root.vmap(lambda x: m.lax.dynamic_slice(x, (c,), (2,)))(np.stack([X, X])),
    "at[].set": lambda m, c: m.root.vmap(lambda x: m.numpy.asarray(x).at[1].set(c))(np.stack([X, X])),
    "clamp": lambda m, c: m.root.jit(lambda x: m.lax.clamp(c, x, c))(X),
}


# A Python int or bool takes the dtype of the place where a tangent, cotangent or bound is wanted; JAX wants a float.
TAKES_INTEGERS = {"jvp by a number", "linearize", "pullback of a number", "linear_transpose", "clamp"}
# A derivative by a weak value is weak, as the value is; in JAX it is strong where the tangent given is.
WEAK_AS_ITS_VALUE = {"linearize", "pullback of a number", "linear_transpose", "custom_root"}


def result(program: Any, library: Library, number: Any) -> list[Any] | None:
    """What the program gives; None where it refuses the number."""
    try:
        return [jax.numpy.asarray(x) for x in jax.tree.leaves(program(library, number))]
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.filterwarnings("ignore")
def test_a_number_stands_for_an_array_in_every_position(number: str) -> None:
    wrong = {}
    for name, program in PROGRAMS.items():
        ours, theirs = (result(program, library, NUMBERS[number]) for library in (OURS, THEIRS))
        if theirs is None and name in TAKES_INTEGERS and number in ("int", "bool"):
            theirs = result(program, THEIRS, float(NUMBERS[number]))
        if ours is None or theirs is None:
            if ours is not theirs:
                wrong[name] = (ours, theirs)
            continue
        for a, b in itertools.zip_longest(ours, theirs):
            same = a is not None and b is not None and (a.shape, a.dtype) == (b.shape, b.dtype)
            same = same and (a.weak_type == b.weak_type or name in WEAK_AS_ITS_VALUE)
            if not (same and np.allclose(a, b, 1e-5, 1e-6, equal_nan=True)):
                wrong[name] = (a, b)
    assert not wrong


def test_a_numpy_scalar_beside_a_weak_array_makes_the_result_strong() -> None:
    narrow = np.float16([1, 2])
    for number in (np.float32(2), np.float64(1)):
        for operation in (
            lambda x, c: x * c, lambda x, c: c - x, lambda x, c: x / c, lambda x, c: x**c,
            functrans.numpy.maximum, functrans.numpy.arctan2,
        ):  # fmt: skip
            found = functrans.jit(lambda x: operation(x, number))(1.5)  # noqa: B023
            assert (found.dtype, found.weak_type) == (np.float32, False)
        assert functrans.jit(lambda x, y: (x * number) * y)(1.5, narrow).dtype == np.float32  # noqa: B023


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32"])
@pytest.mark.parametrize("start", [-1, -300, 5, 120])
def test_a_start_of_a_narrow_dtype_reaches_all_of_a_long_axis(dtype: str, start: int) -> None:
    if start < np.iinfo(dtype).min:  # it has no such value
        return
    x = np.arange(300, dtype=np.float32)
    expected = x[max(0, min(start % 300, 290)) :][:10]
    for index in (np.asarray(start, dtype), np.dtype(dtype).type(start)):
        for f in (functrans.lax.dynamic_slice, functrans.jit(functrans.lax.dynamic_slice, static_argnums=2)):
            np.testing.assert_array_equal(f(x, (index,), (10,)), expected)
    starts = np.asarray([start, 3], dtype)
    lanes = functrans.vmap(lambda i: functrans.lax.dynamic_slice(x, (i,), (10,)))(starts)
    np.testing.assert_array_equal(lanes, [expected, x[3:13]])


def test_branches_and_loops_have_the_weak_flags_of_jax() -> None:
    for m in (OURS, THEIRS):
        mixed = m.lax.cond(True, lambda: 1.0, lambda: np.float32(2))
        assert (mixed.dtype, mixed.weak_type) == (np.float32, False)
        widened = m.lax.while_loop(lambda c: c < 5, lambda c: c + 1.5, 0)
        assert (widened.dtype, widened.weak_type) == (np.float32, False)
        kept = m.lax.fori_loop(0, 3, lambda i, c: c + i, 0.0)
        assert (kept.dtype, kept.weak_type) == (np.float32, True)


@pytest.mark.parametrize("predicate", [1j, None, "a", np.array([1.0])])
def test_what_is_no_predicate_is_refused_by_name(predicate: Any) -> None:
    with pytest.raises(TypeError, match="the predicate of cond must be a"):
        functrans.lax.cond(predicate, lambda: 1.0, lambda: 2.0)


@pytest.mark.parametrize("index", [True, 1.0, np.float32(1), np.bool_(True), 1j, None, np.array([1])])
def test_what_is_no_index_is_refused_by_name(index: Any) -> None:
    with pytest.raises(TypeError, match="the index of switch must be a"):
        functrans.lax.switch(index, [lambda: 1.0, lambda: 2.0])


def test_any_order_of_axes_around_a_loop_whose_carry_starts_as_a_number() -> None:
    ns, xs = np.arange(4, dtype=np.int32), np.float32([1, 2, 3])
    expected = xs[:, None] ** ns
    power, vmap = _power(OURS), functrans.vmap
    np.testing.assert_array_equal(vmap(vmap(power, (0, None)), (None, 0))(ns, xs), expected)
    np.testing.assert_array_equal(vmap(vmap(power, (None, 0)), (0, None))(ns, xs), expected.T)
    np.testing.assert_array_equal(functrans.jit(vmap(vmap(power, (None, 0)), (0, None)))(ns, xs), expected.T)
    np.testing.assert_array_equal(
        vmap(vmap(vmap(power, (None, 0)), (0, None)), (None, None), axis_size=2)(ns, xs)[1], expected.T
    )
