"""Windows that are written from the array that they are written over: jitted programs give NumPy's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.optimise.updates_in_place import read_in_place
from tests.turns import covering_share

X = np.random.default_rng(0).normal(size=18).astype(np.float32)


def table(v: Any) -> Any:
    return fnp.reshape(v, (6, 3))


def shifted(y: Any, by: Any = 1) -> Any:
    return lax.dynamic_update_slice(y, y[:2], (by, 0))


@ft.jit
def written(y: Any, rows: Any) -> Any:
    return lax.dynamic_update_slice(y, rows[:2] * 2, (1, 0))


def in_steps(v: Any, step: Callable[[Any], Any]) -> Any:
    return lax.fori_loop(0, 3, lambda _, w: fnp.reshape(step(table(w)), (18,)), v)


# XLA (jaxlib 0.10.2 and 0.12.0) writes other numbers for most of them where the update is computed in the same kernel.
PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "rows shifted": lambda v: shifted(table(v)),
    "by a window": lambda v: table(v).at[1:3].set(table(v)[:2]),
    "computed": lambda v: lax.dynamic_update_slice(table(v), table(v)[:2] ** 2, (1, 0)),
    "from a computed array": lambda v: shifted(table(fnp.sin(v) + 1)),
    "in another shape": lambda v: lax.dynamic_update_slice(v, table(v)[:2].reshape(6), (3,)),
    "three axes": lambda v: (lambda y: lax.dynamic_update_slice(y, y[:2], (1, 0, 0)))(v.reshape(3, 2, 3)),
    "an axis of size one": lambda v: shifted(v.reshape(1, 6, 3)[0]),
    "all but one": lambda v: lax.dynamic_update_slice(table(v), table(v)[:-1], (1, 0)),
    "differences": lambda v: lax.dynamic_update_slice(table(v), table(v)[1:] - table(v)[:-1], (1, 0)),
    "in a function": lambda v: written(table(v), table(v)),
    "in a loop": lambda v: in_steps(v, shifted),
    "in a branch": lambda v: lax.cond(v[0] < 9, lambda y, z: written(y, z), lambda y, z: y, table(v), table(v)),
    "unrolled": lambda v: lax.scan(lambda w, _: (shifted(w), None), table(v), None, 2, unroll=True)[0],
    "gradient": lambda v: ft.grad(lambda w: (shifted(table(w)) ** 3).sum())(v),
    "in lanes": lambda v: ft.vmap(lambda w: shifted(w.reshape(3, 3)))(v.reshape(2, 9)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_written_is_what_was_read(name: str) -> None:
    program = PROGRAMS[name]
    with ft.disable_jit():
        expected = np.asarray(program(fnp.asarray(X)))
    np.testing.assert_allclose(ft.jit(program)(X), expected, rtol=1e-6)
    np.testing.assert_allclose(program(fnp.asarray(X)), expected, rtol=1e-6)


# What an array is made of, what is written over it, and who reads the result. XLA makes reshapes of its own for some of
# these readers, and where an axis has size one; which of them it then gets wrong depends on all three.
BASES: dict[str, Callable[[Any], Any]] = {
    "an argument": lambda x: x,
    "elementwise": lambda x: fnp.sin(x) ** 2 + 1,
    "exponentials": lambda x: fnp.exp(x) / (1 + x * x),
    "sums": lambda x: fnp.cumsum(x, 0),
    "a product": lambda x: fnp.tensordot(2 * np.eye(x.shape[0], dtype=np.float32) + 0.1, x, ([1], [0])),
    "a choice": lambda x: fnp.where(x > 0, x, 2 * x),
    "another order": lambda x: x.T.reshape(x.shape),
}
UPDATES: dict[str, Callable[[Any], Any]] = {
    "shifted": lambda y: y.at[1:3].set(y[:2]),
    "shifted and scaled": lambda y: y.at[1:3].set(y[:2] * 2),
    "added": lambda y: y.at[1:4].add(y[:3]),
    "reversed": lambda y: y.at[:3].set(y[2::-1]),
    "differences": lambda y: y.at[1:].set(y[1:] - y[:-1]),
    "products": lambda y: y.at[1:3].set(fnp.sin(y[:2]) * y[1:3]),
    "one row everywhere": lambda y: y.at[0:3].set(y[1] * 2),
    "twice": lambda y: (lambda w: w.at[:2].set(w[1:3] * 2))(y.at[1:3].set(y[2:4])),
    "its own window": lambda y: y.at[1:3].multiply(y[1:3] + 1),
    "its own window, sorted": lambda y: y.at[:3].set(fnp.sort(y[:3], 0)),
    "minus the mean": lambda y: y.at[1:3].set(y[1:3] - y.mean(0)),
}
READERS: dict[str, Callable[[Any], Any]] = {
    "nobody": lambda z: z,
    "reshape": lambda z: z.reshape(-1),
    "a new axis": lambda z: z[..., None],
    "transpose": lambda z: z.T,
    "convolution": lambda z: fnp.convolve(z.reshape(-1), np.float32([0.3, -0.5, 0.7]), mode="same"),
    "cumulative sum": lambda z: fnp.cumsum(z, 0),
    "cumulative product": lambda z: fnp.cumprod(z, -1),
    "choice": lambda z: fnp.where(z > 0, z, -z),
    "largest": lambda z: z.max(-1),
    "sum": lambda z: z.sum(-1),
    "outer product": lambda z: fnp.outer(z.reshape(-1), z.reshape(-1)),
    "loop": lambda z: lax.fori_loop(0, 2, lambda _, w: w * 0.9 + z, z),
}
SHAPES = [(12,), (6, 3), (5, 1), (4, 2, 3)]
PRODUCT = list(itertools.product(SHAPES, BASES, UPDATES, READERS))


@pytest.mark.parametrize("turn", range(8))
def test_who_reads_the_result_does_not_change_it(turn: int) -> None:
    """24 of 689 such programs gave other numbers while only reshapes that stand in the program were looked for."""
    wrong = []
    for shape, base, update, reader in covering_share(PRODUCT, 200, offset=25 * turn):
        x = fnp.asarray(np.random.default_rng(1).normal(size=shape).astype(np.float32))
        program = lambda x, b=base, u=update, r=reader: READERS[r](UPDATES[u](BASES[b](x)))
        with ft.disable_jit():
            expected = program(x)
        if not np.allclose(ft.jit(program)(x), expected, 1e-3, 1e-4):
            wrong.append((shape, base, update, reader))
    assert not wrong


def test_only_what_reads_other_elements_is_computed_before() -> None:
    def places(fun: Callable[..., Any], *args: Any) -> int:
        return len(read_in_place(ft.make_jaxpr(fun)(*args), False))

    same = X.reshape(6, 3)
    assert places(lambda v: shifted(table(v)), X) == 1
    assert places(shifted, same) == 1
    assert places(lambda y: y.at[1:3].set(y[1:3] * y[0]), same) == 1
    assert places(lambda y: y.at[1:3].set(y[1:3][::-1]), same) == 1
    assert places(lambda y: y.at[1:3].multiply(y[1:3]), same) == 0
    window = lambda y, i: lax.dynamic_slice(y, (i, 0), (2, 3))
    assert places(lambda y, i: lax.dynamic_update_slice(y, 2 * window(y, i), (i, 0)), same, 1) == 0
    assert places(lambda y, i, j: lax.dynamic_update_slice(y, 2 * window(y, i), (j, 0)), same, 1, 1) == 1
    assert places(lambda y, u: lax.dynamic_update_slice(y, u, (0, 0)), same, same[:2]) == 0
    assert places(lambda v, u: lax.dynamic_update_slice(table(v), fnp.sin(u), (0, 0)), X, same[:2]) == 0


def shapes_of(size: int, rng: Any) -> tuple[int, ...]:
    found = [(size,), (1, size)]
    for a in range(2, size):
        if size % a == 0:
            found += [(a, size // a), (1, a, size // a)]
            found += [(a, b, size // a // b) for b in range(2, size // a) if (size // a) % b == 0]
    return found[int(rng.integers(len(found)))]


def random_program(seed: int) -> tuple[Callable[..., Any], Any]:
    """Reshapes and windows written from what there is: a function of an argument, a 1 and a namespace."""
    rng = np.random.default_rng(seed)
    size = int(rng.choice([12, 18, 24]))
    steps = [(int(rng.integers(10)), int(rng.integers(2**31))) for _ in range(rng.integers(2, 7))]

    def program(v: Any, one: Any, xp: Any) -> Any:
        values = [v]
        for code, own in steps:
            r = np.random.default_rng(own)
            y = values[-1] if r.random() < 0.7 else values[int(r.integers(len(values)))]
            if code < 3:
                out = xp.reshape(y, shapes_of(size, r))
            elif code == 3:
                out = xp.transpose(y, tuple(r.permutation(y.ndim)))
            elif code == 4:
                out = xp.flip(y, int(r.integers(y.ndim))) * 2 + 1
            else:
                out = _window(y, xp.reshape(values[int(r.integers(len(values)))], y.shape), one, r, xp)
            values.append(out)
        return [values[-1], values[-2]]

    return program, rng.normal(size=size).astype(np.float32)


def _window(y: Any, source: Any, one: Any, r: Any, xp: Any) -> Any:
    sizes = [int(r.integers(1, n + 1)) for n in y.shape]
    reads, writes = ([int(r.integers(n - m + 1)) for n, m in zip(y.shape, sizes, strict=True)] for _ in range(2))
    part = source[tuple([slice(a, a + m) for a, m in zip(reads, sizes, strict=True)])]
    part = part * 3 - 1 if r.random() < 0.5 else part
    if xp is np:
        out = np.array(y)
        out[tuple([slice(a, a + m) for a, m in zip(writes, sizes, strict=True)])] = part
        return out
    return lax.dynamic_update_slice(y, part, [a * one for a in writes])


@pytest.mark.parametrize("block", covering_share(range(16), 8))
def test_random_windows(block: int) -> None:
    for seed in [217, 218, *range(100 + 20 * block, 120 + 20 * block)]:
        program, x = random_program(seed)
        found = ft.jit(lambda v, one, program=program: program(v, one, fnp))(x, np.int32(1))
        for a, b in zip(found, program(x, 1, np), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # of numbers of size one, some nearly cancelled
