"""The Laplacian of functions whose parts see few of the variables: the same number, and rows for few lines."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.derivatives import blocks as bl
from functrans.derivatives import laplacian
from tests.turns import covering_share

pytestmark = pytest.mark.usefixtures("x64")

N, WIDTH = 8, 5
NUMBERS = np.random.default_rng(0)
FIRST, SECOND, OF_PAIRS = (NUMBERS.normal(size=s) / 2 for s in ((3, WIDTH), (WIDTH, WIDTH), (4, WIDTH)))
UPPER = np.triu_indices(N, 1)
NEXT = np.arange(N), (np.arange(N) + 1) % N


def pairs(y: Any, xp: Any) -> Any:
    d = y[:, None] - y
    return xp.tanh(xp.concatenate([d, xp.sqrt(xp.sum(d * d, -1, keepdims=True) + 0.1)], -1) @ OF_PAIRS)


def rows(x: Any, xp: Any) -> Any:
    return xp.sum(xp.tanh(xp.tanh(x.reshape(N, 3) @ FIRST) @ SECOND) ** 2)


def all_pairs(x: Any, xp: Any) -> Any:
    return xp.sum(xp.tanh(pairs(x.reshape(N, 3), xp) @ SECOND))


def pairs_by_index(x: Any, xp: Any) -> Any:
    y = x.reshape(N, 3)
    d = y[UPPER[0]] - y[UPPER[1]]
    return xp.sum(xp.tanh(d @ FIRST) * xp.sum(d * d, 1, keepdims=True))


def jastrow(x: Any, xp: Any) -> Any:
    d = x.reshape(N, 3)[:, None] - x.reshape(N, 3)
    r = xp.sqrt(xp.sum(d * d, -1) + 0.1)
    return xp.exp(xp.sum(r / (1 + r)) * 0.01) * xp.sum(xp.tanh(x))


def layers(x: Any, xp: Any) -> Any:
    p, a = pairs(x.reshape(N, 3), xp), xp.tanh(x.reshape(N, 3) @ FIRST)
    for _ in range(2):
        a = xp.tanh(a @ SECOND + xp.mean(a, 0) + xp.mean(p, 1) - xp.sum(p, 0)) + a
        p = xp.tanh(p @ SECOND) + p
    return xp.sum(a)


def attention(x: Any, xp: Any) -> Any:
    a = xp.tanh(x.reshape(N, 3) @ FIRST)
    e = xp.exp(a @ SECOND @ a.T)
    return xp.sum(xp.tanh(e / xp.sum(e, -1, keepdims=True) @ a))


def messages(x: Any, xp: Any) -> Any:
    y = x.reshape(N, 3)
    e = xp.tanh((y[NEXT[0]] - y[NEXT[1]]) @ FIRST)
    return xp.sum(xp.tanh(xp.zeros((N, WIDTH)).at[NEXT[1]].add(e) @ SECOND)) + xp.sum(e * e)


def chain(x: Any, xp: Any) -> Any:
    d = x[1:] - x[:-1]
    return xp.sum(d**2 / 2 + d**4 / 4) + xp.sum(xp.cos(x) * xp.roll(x, 1))


def two_sorts(x: Any, xp: Any) -> Any:
    """Two arrays in a dictionary, of which each element of a product sees one row of each."""
    a, b = x["a"], x["b"]
    d = a[:, None] - b
    return xp.sum(xp.log(xp.sum(d * d, -1) + 1.0)) * xp.sum(xp.tanh(a @ FIRST))


# Functions of N particles, and how many times fewer numbers their programs take than with a row for every line.
FEW = {rows: 4, all_pairs: 2.5, pairs_by_index: 2.9, jastrow: 1.9, layers: 1.4, messages: 1.8, chain: 5}


def trace_of_hessian(fun: Any, x: Any) -> tuple[float, float]:
    """The Laplacian by JAX, and the size of the largest of all second derivatives."""
    flat, unflatten = jax.flatten_util.ravel_pytree(x)
    h = np.asarray(jax.jit(jax.hessian(lambda v: fun(unflatten(v), jnp)))(flat))
    return float(np.trace(h)), float(np.abs(h).max())


@pytest.mark.parametrize("fun", [*FEW, attention], ids=lambda f: f.__name__)
def test_the_laplacian_of_particles_is_the_trace_of_the_hessian(fun: Any) -> None:
    x = np.random.default_rng(1).normal(size=3 * N)
    expected, size = trace_of_hessian(fun, x)
    ours = laplacian(lambda x: fun(x, fnp))
    assert abs(float(ours(x)) - expected) <= 1e-12 * max(1.0, size * x.size)
    assert abs(float(ft.jit(ours)(x)) - expected) <= 1e-12 * max(1.0, size * x.size)
    if fun is not chain:  # the same function of an array of particles
        found = laplacian(lambda y: fun(y.reshape(-1), fnp))(x.reshape(N, 3))
        assert abs(float(found) - expected) <= 1e-12 * max(1.0, size * x.size)


def test_the_laplacian_of_two_sorts_of_particles() -> None:
    x = {"a": np.random.default_rng(2).normal(size=(N, 3)), "b": np.random.default_rng(3).normal(size=(N - 2, 3))}
    expected, size = trace_of_hessian(two_sorts, x)
    found = float(laplacian(lambda x: two_sorts(x, fnp))(x))
    assert abs(found - expected) <= 1e-12 * size * 6 * N


def numbers_in(fun: Any, x: Any) -> int:
    return sum(v.type.size for eqn in ft.make_jaxpr(fun)(x).equations for v in eqn.outputs)


@pytest.mark.parametrize(("fun", "times"), FEW.items(), ids=[f.__name__ for f in FEW])
def test_rows_are_few_where_elements_move_on_few_lines(fun: Any, times: float, monkeypatch: Any) -> None:
    x = np.random.default_rng(1).normal(size=3 * N)
    sparse = numbers_in(laplacian(lambda x: fun(x, fnp)), x)
    monkeypatch.setattr(bl, "_MOST", 0)
    monkeypatch.setattr("functrans.derivatives.operators._partitions", lambda *_: iter(()))
    dense = numbers_in(laplacian(lambda x: fun(x, fnp)), x)
    assert sparse * times <= dense


def test_the_gradient_of_a_laplacian_by_parameters_lanes_and_jit() -> None:
    x = np.random.default_rng(4).normal(size=(3, 3 * N))

    def loss(xp: Any, operator: Any, vmap: Any) -> Any:
        def of_weights(w: Any) -> Any:
            return xp.sum(vmap(operator(lambda x: xp.sum(xp.tanh(pairs(x.reshape(N, 3), xp) @ w))))(x) ** 2)

        return of_weights

    def trace(fun: Any) -> Any:
        return lambda x: jnp.trace(jax.hessian(fun)(x))

    found = ft.jit(ft.grad(loss(fnp, laplacian, ft.vmap)))(SECOND)
    expected = jax.jit(jax.grad(loss(jnp, trace, jax.vmap)))(SECOND)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * float(np.abs(expected).max()))


def test_indices_that_change_between_calls() -> None:
    """The same program serves other indices only where these say the same of where elements go."""
    x = np.random.default_rng(5).normal(size=(N, 3))

    def of(index: Any, xp: Any, operator: Any) -> Any:
        return operator(lambda y: xp.sum(xp.tanh(y.reshape(N, 3)[index] * y.reshape(N, 3)[0:4] @ FIRST)))

    index = np.array([1, 2, 3, 0])
    for values in ([1, 2, 3, 0], [0, 1, 2, 3], [7, 7, 7, 7], [-1, 5, -8, 4]):
        index[:] = values
        expected, size = trace_of_hessian(lambda x, xp: of(index, xp, lambda f: f)(x), x.ravel())
        assert abs(float(of(index, fnp, laplacian)(x)) - expected) <= 1e-11 * size
        inside = ft.jit(lambda i, x: of(i, fnp, laplacian)(x))(index, x)  # nothing is known of them
        assert abs(float(inside) - expected) <= 1e-11 * size


def test_the_diagonal_of_pairs_has_each_line_once() -> None:
    """x_i - x_i moves on the lines of i alone, and twice nothing is nothing."""
    x = np.random.default_rng(6).normal(size=5)
    found = laplacian(lambda x: ((x[:, None] + x) ** 2).sum())(x)
    assert float(found) == pytest.approx(2 * 5 * 5 * 2 + 5 * 4, rel=1e-12)


# -- the sets --------------------------------------------------------------------------------------------------------


def sets_of(blocks: Any, shape: tuple[int, ...]) -> Any:
    whole = np.broadcast_to(blocks, (len(blocks), *shape)).reshape(len(blocks), math.prod(shape)).T
    return [{int(b) for b in row if b >= 0} for row in whole]


def test_unions_mixtures_and_steps_of_random_sets() -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        shape = tuple(rng.integers(1, 4, 3))
        a, b = (
            np.stack([np.where(rng.random(shape) < 0.7, rng.permutation(6)[k], -1) for k in range(rng.integers(1, 4))])
            .astype(np.int32) for _ in range(2)
        )  # fmt: skip
        a, b = (bl.mixed_along(v[:, None], [0], 99)[:, 0] if len(v) > 1 else v for v in (a, b))  # no block twice
        union = bl.united(bl.narrowed(a), bl.narrowed(b))
        wanted = [p | q for p, q in zip(sets_of(a, shape), sets_of(b, shape), strict=True)]
        assert sets_of(union, shape) == wanted
        assert len(union) == max(len(w) for w in wanted) or len(union) <= len(a) + len(b)
        mixed = bl.mixed_along(a, [1], 99)
        by_row = np.array(sets_of(a, shape), object).reshape(shape)
        for i, j in np.ndindex(shape[0], shape[2]):
            got = sets_of(mixed, (shape[0], 1, shape[2]))[i * shape[2] + j]
            assert got == set().union(*by_row[i, :, j])
        table = np.where(np.broadcast_to(a, (len(a), *shape)) >= 0, rng.normal(size=(len(a), *shape)), 0.0)
        moved = np.zeros((len(union), *shape))
        for first, last, offset, mask in bl.steps(bl.narrowed(a), union):
            part = table[first:last]
            moved[first + offset : last + offset] += part if mask is None else np.where(mask, part, 0.0)
        for place in np.ndindex(*shape):
            at = (slice(None), *place)
            own = np.broadcast_to(a, table.shape)[at].tolist()
            by_block = {n: v for n, v in zip(own, table[at].tolist(), strict=True) if n >= 0}
            numbers = np.broadcast_to(union, moved.shape)[at].tolist()
            assert [by_block.get(n, 0.0) for n in numbers] == moved[at].tolist()


# -- random functions --------------------------------------------------------------------------------------------------


def random_function(seed: int) -> tuple[Any, Any]:
    """A function of an argument and a namespace, from operations on particles, and an argument for it."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    steps = [(int(rng.integers(0, 20)), int(rng.integers(2**31))) for _ in range(rng.integers(2, 7))]

    def fun(x: Any, xp: Any) -> Any:
        values = [x.reshape(n, d)]
        for code, own in steps:
            r = np.random.default_rng(own)
            v = values[int(r.integers(len(values)))] if r.random() < 0.4 else values[-1]
            out = _step(code, v, values[int(r.integers(len(values)))], r, xp)
            if out is not None and out.shape and math.prod(out.shape) <= 600:
                values.append(out)
        return sum(xp.sum(xp.tanh(v)) for v in values[-2:])

    return fun, rng.normal(size=n * d)


def _step(code: int, v: Any, w: Any, r: Any, xp: Any) -> Any:
    s = v.shape
    axis = int(r.integers(len(s)))
    if code in (7, 8) and v.shape != w.shape:
        return None
    match code:
        case 0:
            return xp.tanh(v)
        case 1:
            return v @ r.normal(size=(s[-1], 2))
        case 2:
            return v[:, None] - v[None] if len(s) < 3 else None
        case 3:
            return xp.sum(v, axis)
        case 4:
            return xp.sum(v * v, -1, keepdims=True)
        case 5:
            return xp.concatenate([v, v * v], axis)
        case 6:
            return v[(*[slice(None)] * axis, r.integers(-s[axis], s[axis], 3))]
        case 7:
            return v * w
        case 8:
            return xp.sin(v + w)
        case 9:
            return xp.reshape(v, (s[0], -1))
        case 10:
            return xp.flip(v, axis)
        case 11:
            return xp.roll(v, 1, axis)
        case 12:
            return xp.cumsum(v, axis)
        case 13:
            return xp.where(r.random(s) < 0.5, v, v * v)
        case 14:
            return v - xp.mean(v, axis, keepdims=True)
        case 15:
            return v @ v.T if len(s) == 2 else None
        case 16:
            return xp.pad(v, [(1, 0)] * len(s))
        case 17:
            return v.at[r.integers(0, s[0], 2)].add(v[r.integers(0, s[0], 2)] * 0.5)
        case 18:
            return xp.exp(v * 0.3) / xp.sum(xp.exp(v * 0.3), axis, keepdims=True)
        case _:
            return xp.einsum("i...,ij->j...", v, r.normal(size=(s[0], 2)))


@pytest.mark.parametrize("seed", covering_share(range(96), 8))
def test_the_laplacian_of_random_functions_of_particles(seed: int) -> None:
    fun, x = random_function(seed)
    expected, size = trace_of_hessian(fun, x)
    assert abs(float(laplacian(lambda x: fun(x, fnp))(x)) - expected) <= 1e-10 * max(1.0, size)
