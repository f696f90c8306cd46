"""Seeds of a basis meet every kind of operation: jacfwd and jacrev are JAX's, in values, dtypes and weak types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.testing.closeness import epsilon, wide
from tests.turns import covering_share

generator = np.random.default_rng(7)


def values(*shape: int, dtype: Any = np.float32) -> Any:
    return generator.uniform(-1.0, 1.0, shape).astype(dtype)


V, W, M, N, T = values(6), values(5), values(3, 6), values(6, 4), values(2, 3, 4)
TREE = {"a": values(3), "b": (values(2, 2), np.float32(0.5))}
EMPTY = {"a": values(3), "b": values(0, 2)}
INDEX, MASK = np.array([2, 0, 5, 0]), np.array([True, False, True, True, False, True])
COMPLEX = (values(4) + 1j * values(4)).astype(np.complex64)

Row = tuple[Callable[..., Any], Any]  # (library, numpy, argument) -> result; the argument
ROWS: dict[str, Row] = {
    "identity": (lambda lib, np_, x: x, V),
    "the input twice": (lambda lib, np_, x: (x, x), V),
    "a sum with itself": (lambda lib, np_, x: x + x, V),
    "a difference with itself": (lambda lib, np_, x: x - x, V),
    "a sum of two": (lambda lib, np_, x: x[0] + 2 * x[1], (V, V + 1)),
    "a sum with itself turned": (lambda lib, np_, x: x + x[::-1], V),
    "a product with itself turned": (lambda lib, np_, x: x * x[::-1], V),
    "scaled": (lambda lib, np_, x: 3 * x, V),
    "scaled by an array": (lambda lib, np_, x: V * x, V + 1),
    "scaled by a scalar of its own": (lambda lib, np_, x: x * np_.sum(x), V),
    "scaled twice": (lambda lib, np_, x: np_.sin(np_.cos(x) * V), V),
    "negative, halves": (lambda lib, np_, x: -x / 2, V),
    "divided by": (lambda lib, np_, x: x / (2 + x * x), V),
    "a power": (lambda lib, np_, x: x**3, V),
    "a constant beside it": (lambda lib, np_, x: (x, V, 1.5), W),
    "no dependence": (lambda lib, np_, x: V, W),
    "locally constant": (lambda lib, np_, x: np_.floor(x), V),
    "an integer beside it": (lambda lib, np_, x: (x, np_.argmax(x)), V),
    "stopped": (lambda lib, np_, x: lib.lax.stop_gradient(x) * x, V),
    "several leaves": (lambda lib, np_, x: {"s": np_.sin(x["a"]), "t": x["b"][0] * x["b"][1]}, TREE),
    "a leaf without use": (lambda lib, np_, x: x["a"] * 2, TREE),
    "leaves joined": (lambda lib, np_, x: np_.concatenate([x["a"], x["b"][0].ravel(), x["b"][1][None]]), TREE),
    "leaves multiplied": (lambda lib, np_, x: np_.outer(x["a"], x["b"][0]), TREE),
    "an empty leaf": (lambda lib, np_, x: (x["a"], x["b"]), EMPTY),
    "an empty leaf joined": (lambda lib, np_, x: np_.concatenate([x["a"], x["b"].ravel()]) * 2, EMPTY),
    "nothing": (lambda lib, np_, x: x * 2, values(0, 3)),
    "nothing of something": (lambda lib, np_, x: x[:, :0], M),
    "a sum of nothing": (lambda lib, np_, x: np_.sum(x, 0) + 1, values(0, 3)),
    "one element": (lambda lib, np_, x: np_.sin(x), values(1)),
    "one element spread": (lambda lib, np_, x: np_.broadcast_to(x, (3, 4)) * N[:3], values(1, 1)),
    "a scalar": (lambda lib, np_, x: x * x, np.float32(1.5)),
    "a number": (lambda lib, np_, x: x * x, 1.5),
    "a number and an array": (lambda lib, np_, x: x[0] * x[1], (1.5, V)),
    "a number spread": (lambda lib, np_, x: np_.full((2, 2), x) * 2, 0.5),
    "permuted": (lambda lib, np_, x: np_.transpose(x, (2, 0, 1)), T),
    "permuted and multiplied": (lambda lib, np_, x: np_.transpose(x, (2, 0, 1)) * np.transpose(T, (2, 0, 1)), T + 1),
    "reshaped": (lambda lib, np_, x: x.reshape((4, 6))[1:], T),
    "sliced": (lambda lib, np_, x: x[1:, ::-2], M),
    "sliced into pieces": (lambda lib, np_, x: np_.split(x, [1, 4]), V),
    "padded": (lambda lib, np_, x: np_.pad(x, ((1, 0), (0, 2))), M),
    "padded within and cut": (lambda lib, np_, x: lib.lax.pad(x, np.float32(0), [(-1, 2, 0), (1, -3, 2)]), M),
    "padded with a value of its own": (lambda lib, np_, x: lib.lax.pad(x, x[0], [(1, 1, 1)]), V),
    "joined with zeros": (lambda lib, np_, x: np_.concatenate([np_.zeros(2), x, np_.ones(1)]), V),
    "joined with itself": (lambda lib, np_, x: np_.concatenate([x, 2 * x, x[:2]]), V),
    "rolled": (lambda lib, np_, x: np_.roll(x, 2) - x, V),
    "repeated": (lambda lib, np_, x: np_.repeat(x, 3) * np_.tile(x, 3), V),
    "stacked": (lambda lib, np_, x: np_.stack([x, x * x, np_.zeros_like(x)], 1), V),
    "triangle": (lambda lib, np_, x: np_.tril(x), M),
    "a diagonal": (lambda lib, np_, x: np_.diag(x), V),
    "indexed": (lambda lib, np_, x: x[INDEX], V),
    "indexed by values": (lambda lib, np_, x: x[np_.argsort(x)], V),
    "written": (lambda lib, np_, x: x.at[INDEX[:2]].set(x[3:5]), V),
    "added at": (lambda lib, np_, x: x.at[INDEX].add(x[:4]), V),
    "a dynamic slice": (lambda lib, np_, x: lib.lax.dynamic_slice(x, (np_.argmax(x) % 3,), (3,)), V),
    "a dynamic update": (lambda lib, np_, x: lib.lax.dynamic_update_slice(x, x[:2], (3,)), V),
    "selected by a mask": (lambda lib, np_, x: np_.where(MASK, x, 0), V),
    "selected of two": (lambda lib, np_, x: np_.where(MASK, x, 2 * x), V),
    "selected of two turned": (lambda lib, np_, x: np_.where(MASK, x, x[::-1]), V),
    "selected by value": (lambda lib, np_, x: np_.where(x > 0, x, 0.0), V),
    "relu": (lambda lib, np_, x: np_.maximum(x, 0), V),
    "clipped": (lambda lib, np_, x: np_.clip(x, -0.5, 0.5), V),
    "sorted": (lambda lib, np_, x: np_.sort(x), V),
    "the largest": (lambda lib, np_, x: np_.max(x, 0), M),
    "to half": (lambda lib, np_, x: x.astype(np.float16), V),
    "to bfloat16": (lambda lib, np_, x: x.astype(np_.bfloat16) * 2, V),
    "to half and back": (lambda lib, np_, x: x.astype(np.float16).astype(np.float32) * V, V),
    "of half": (lambda lib, np_, x: x.astype(np.float32) * V, values(6, dtype=np.float16)),
    "of half to two dtypes": (lambda lib, np_, x: (x * 2, x.astype(np.float32)), values(6, dtype=np.float16)),
    "of bfloat16": (lambda lib, np_, x: np_.sin(x), values(6).astype(fnp.bfloat16)),
    "leaves of two dtypes": (lambda lib, np_, x: x[0] * x[1], (values(3, dtype=np.float16), values(3))),
    "times a half array": (lambda lib, np_, x: x * np.float16(W), values(5)),
    "rounded to fewer bits": (lambda lib, np_, x: lib.lax.reduce_precision(x, 8, 7), V),
    "complex inside": (lambda lib, np_, x: np_.real((x + 1j * V) * (2 - 1j)), W[:1]),
    "the parts of a complex": (lambda lib, np_, x: np_.imag(lib.lax.complex(x, 2 * x)), V),
    "the absolute of a complex": (lambda lib, np_, x: np_.abs(x * (1 + 2j)), V),
    "a matrix from the left": (lambda lib, np_, x: M @ x, V),
    "a matrix from the right": (lambda lib, np_, x: x @ N, V),
    "a matrix times": (lambda lib, np_, x: M @ x, N),
    "a matrix with weights": (lambda lib, np_, x: x @ N, M),
    "scaled, then a matrix": (lambda lib, np_, x: M @ (V * x), V),
    "a network": (lambda lib, np_, x: np_.tanh(np_.tanh(M @ x) @ M[:, :3]) * 2, V),
    "turned, then a matrix": (lambda lib, np_, x: M @ x[::-1], V),
    "spread, then a matrix": (lambda lib, np_, x: M @ np_.broadcast_to(x[:, None], (6, 2)), V),
    "a part of it, then a matrix": (lambda lib, np_, x: M[:, 2:] @ x[2:], V),
    "leaves, each a matrix": (lambda lib, np_, x: M @ x[0] + x[1] @ N[:5, :3], (V, W)),
    "lanes of matrices": (lambda lib, np_, x: np_.einsum("bij,bj->bi", T, x), T[:, 0]),
    "lanes on the left": (lambda lib, np_, x: np_.einsum("bij,bjk->bik", x, np.swapaxes(T, 1, 2)), T),
    "two axes contracted": (lambda lib, np_, x: np_.tensordot(x, T, ((0, 1), (1, 0))), np.swapaxes(T, 0, 1)[..., 0]),
    "all axes contracted": (lambda lib, np_, x: np_.tensordot(T, x, 3), T + 1),
    "all axes in another order": (lambda lib, np_, x: np_.einsum("abc,cab->", T, x), np.moveaxis(T, 2, 0).copy()),
    "scaled, two axes contracted": (lambda lib, np_, x: np_.einsum("abc,ab->c", T, x * x), T[..., 0]),
    "both sides": (lambda lib, np_, x: x @ x.T, M),
    "an outer product": (lambda lib, np_, x: np_.outer(x, V), W),
    "half matrices": (lambda lib, np_, x: np.float16(M) @ x, values(6, dtype=np.float16)),
    "half matrices, wide sums": (
        lambda lib, np_, x: lib.lax.dot_general(
            x, np.float16(N), (((0,), (0,)), ((), ())), preferred_element_type=np.float32
        ), values(6, dtype=np.float16),
    ),
    "summed": (lambda lib, np_, x: np_.sum(x, 1), M),
    "summed over all": (lambda lib, np_, x: np_.sum(x), T),
    "summed over two": (lambda lib, np_, x: np_.sum(x * T, (0, 2)), T),
    "summed in half": (lambda lib, np_, x: np_.sum(x), values(6, dtype=np.float16)),
    "means": (lambda lib, np_, x: x - np_.mean(x, 1, keepdims=True), M),
    "softmax": (lambda lib, np_, x: np_.exp(x) / np_.sum(np_.exp(x)), V),
    "a product of all": (lambda lib, np_, x: np_.prod(x), V),
    "cumulative": (lambda lib, np_, x: np_.cumsum(x) * np_.cumprod(x), V),
    "called": (lambda lib, np_, x: lib.jit(lambda v: v * V)(x), V),
    "called twice": (lambda lib, np_, x: [lib.jit(lambda v, w: v @ N + w)(v, W[:4]) for v in (x, 2 * x)], V),
    "called in a call": (lambda lib, np_, x: lib.jit(lib.jit(lambda v: (v[::-1], V)))(x), V),
    "checkpointed": (lambda lib, np_, x: lib.checkpoint(lambda v: np_.sin(M @ v))(x), V),
    "in lanes": (lambda lib, np_, x: lib.vmap(lambda v: v * np_.sum(v))(x), M),
    "a scan's constant": (lambda lib, np_, x: lib.lax.scan(lambda c, v: (c * v + x, c), x * 0, W)[0], V),
    "a scan's carry": (lambda lib, np_, x: lib.lax.scan(lambda c, v: (c * v, c[0]), x, W), V),
    "a scan's rows": (lambda lib, np_, x: lib.lax.scan(lambda c, v: (c + v, v * c), 0.0, x), V),
    "a loop": (lambda lib, np_, x: lib.lax.fori_loop(0, 3, lambda i, c: np_.sin(c) + V, x), V),
    "a branch": (lambda lib, np_, x: lib.lax.cond(np_.sum(x) > 0, lambda v: v * 2, lambda v: v[::-1], x), V),
    "a window": (lambda lib, np_, x: np_.convolve(x, np.float32([1, 2, -1])), V),
    "a spectrum": (lambda lib, np_, x: np_.abs(np_.fft.fft(x)), V),
    "a solution": (lambda lib, np_, x: np_.linalg.solve(N[:4] + 3 * np.eye(4, dtype=np.float32), x), V[:4]),
}
HOLOMORPHIC: dict[str, Row] = {
    "complex products": (lambda lib, np_, x: x * x[::-1] * (1 + 2j), COMPLEX),
    "complex exponentials": (lambda lib, np_, x: np_.exp(x), COMPLEX),
    "complex matrices": (lambda lib, np_, x: COMPLEX * (np.float32(N[:4]) @ x), COMPLEX),
    "complex sums": (lambda lib, np_, x: np_.sum(x * COMPLEX), COMPLEX),
    "complex identity": (lambda lib, np_, x: x, COMPLEX),
    "complex scalar": (lambda lib, np_, x: x**2, np.complex64(1 + 2j)),
}


def differences(found: Any, expected: Any) -> list[str]:
    """What is not the same about two trees of Jacobians."""
    if jax.tree.structure(found) != jax.tree.structure(expected):
        return [f"{jax.tree.structure(found)}, not {jax.tree.structure(expected)}"]
    faults = []
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if (a.shape, a.dtype, a.aval.weak_type) != (b.shape, b.dtype, b.aval.weak_type):
            faults.append(f"{a.aval.str_short()} (weak: {a.aval.weak_type}), not {b.aval.str_short()}")
            continue
        if b.dtype == jax.dtypes.float0:
            continue
        x, y = wide(np.asarray(a)), wide(np.asarray(b))
        bound = 256 * epsilon(b.dtype) * max(1.0, np.abs(y).max(initial=0.0))
        if not (np.abs(x - y) <= bound).all():
            faults.append(f"{x} is not {y}")
    return faults


INTEGER_RESULTS = "an integer beside it"  # which jacrev refuses, as JAX does
GROUP = 12
GROUPS = [dict(list(ROWS.items())[i : i + GROUP]) for i in range(0, len(ROWS), GROUP)]


def taken(library: Any, np_: Any, take: Callable[[str, Any], Any], rows: dict[str, Row]) -> dict[str, Any]:
    """``take(name, function)`` of all rows, as one program."""
    made = {name: take(name, lambda x, f=f: f(library, np_, x)) for name, (f, _) in rows.items()}
    whole = library.jit(lambda xs: {name: made[name](x) for name, x in xs.items()})
    return whole({name: x for name, (_, x) in rows.items()})  # type: ignore[no-any-return]


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    faults = {name: differences(found[name], expected[name]) for name in expected}
    assert not {name: own for name, own in faults.items() if own}


def rows_of(group: int, take: str) -> dict[str, Row]:
    return {name: row for name, row in GROUPS[group].items() if (take, name) != ("jacrev", INTEGER_RESULTS)}


@pytest.mark.parametrize(("take", "group"), covering_share(
    [(take, group) for group in range(len(GROUPS)) for take in ("jacfwd jacrev", "jacrev jacfwd")[group % 2].split()], 2
))  # fmt: skip
def test_a_jacobian_is_that_of_jax(take: str, group: int) -> None:
    rows = rows_of(group, take)
    of = lambda library: lambda _, f: getattr(library, take)(f)
    check(taken(ft, fnp, of(ft), rows), taken(jax, jnp, of(jax), rows))


@pytest.mark.parametrize("take", ["jacfwd", "jacrev"])
def test_a_holomorphic_jacobian_is_that_of_jax(take: str) -> None:
    of = lambda library: lambda _, f: getattr(library, take)(f, holomorphic=True)
    check(taken(ft, fnp, of(ft), HOLOMORPHIC), taken(jax, jnp, of(jax), HOLOMORPHIC))


CHUNKS = {"1": lambda n: 1, "2": lambda n: 2, "n - 1": lambda n: n - 1, "n": lambda n: n, "n + 1": lambda n: n + 1}


@pytest.mark.parametrize(("take", "chunk", "group"), covering_share(
    [(take, chunk, group) for group in range(len(GROUPS)) for chunk in CHUNKS for take in ("jacfwd", "jacrev")], 16
))  # fmt: skip
def test_a_jacobian_in_chunks_is_the_same(take: str, chunk: str, group: int) -> None:
    rows = rows_of(group, take)

    def chunked(name: str, f: Any) -> Any:
        x = rows[name][1]
        along = x if take == "jacfwd" else ft.eval_shape(f, x)
        size = sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(along))
        return getattr(ft, take)(f, chunk_size=max(CHUNKS[chunk](size), 1))

    check(taken(ft, fnp, chunked, rows), taken(ft, fnp, lambda _, f: getattr(ft, take)(f), rows))


NESTED_ROWS = (
    "scaled by an array", "a product with itself turned", "a network", "scaled, two axes contracted", "softmax",
    "called in a call", "a scan's carry", "leaves multiplied", "padded with a value of its own", "indexed",
    "a number and an array",
)  # fmt: skip
NESTS: dict[str, Callable[[Any, Any], Callable[[Any], Any]]] = {
    "jacfwd of jacrev": lambda lib, f: lib.jacfwd(lib.jacrev(f)),
    "jacrev of jacfwd": lambda lib, f: lib.jacrev(lib.jacfwd(f)),
    "jacfwd of jacrev of jacfwd": lambda lib, f: lib.jacfwd(lib.jacrev(lib.jacfwd(lambda x: weighted(lib, f(x))))),
    "jacfwd in lanes": lambda lib, f: lib.vmap(lib.jacfwd(f)),
    "jacrev in lanes": lambda lib, f: lib.vmap(lib.jacrev(f)),
    "jacrev in lanes of lanes": lambda lib, f: lib.vmap(lib.jacrev(lambda x: lib.vmap(f)(twice(lib, x)))),
    "a gradient through jacfwd": lambda lib, f: lib.grad(lambda x: weighted(lib, lib.jacfwd(f)(x))),
    "a gradient through jacrev": lambda lib, f: lib.grad(lambda x: weighted(lib, lib.jacrev(f)(x))),
    "a tangent through both": lambda lib, f: lambda x: lib.jvp(lambda v: lib.jacfwd(lib.jacrev(f))(v), (x,), (x,))[1],
}


def weighted(library: Any, tree: Any) -> Any:
    np_ = fnp if library is ft else jnp
    return sum(np_.sum(np_.sin(x)) for x in jax.tree.leaves(tree))


def twice(library: Any, tree: Any) -> Any:
    np_ = fnp if library is ft else jnp
    return jax.tree.map(lambda x: np_.stack([x, 2 * x]), tree)


@pytest.mark.parametrize("name", covering_share([*NESTS], 2))
def test_jacobians_nest_as_those_of_jax(name: str) -> None:
    rows = {row: ROWS[row] for row in NESTED_ROWS}
    if "lanes" in name:
        spread = lambda x: np.stack([x, np.asarray(x) * np.float32(0.5)])
        rows = {row: (f, jax.tree.map(spread, x)) for row, (f, x) in rows.items() if row != "a number and an array"}
    of = lambda library: lambda _, f: NESTS[name](library, f)
    check(taken(ft, fnp, of(ft), rows), taken(jax, jnp, of(jax), rows))


def test_a_basis_is_not_multiplied() -> None:
    """The first product of a Jacobian is the weight itself: no product with the identity is left."""
    dots = lambda f, x: ft.jit(ft.jacfwd(f)).lower(x).as_text().count("dot_general")
    assert dots(lambda x: M @ x, V) == 0
    assert dots(lambda x: fnp.tanh(M @ (V * x)), V) == 1  # the function's own
    assert dots(lambda x: fnp.tanh(M @ x) @ M[:, :4], V) == 2


@pytest.mark.parametrize(("options", "kind"), [
    ({"chunk_size": 0}, ValueError), ({"chunk_size": -1}, ValueError), ({"chunk_size": 2.0}, TypeError),
])  # fmt: skip
@pytest.mark.parametrize("take", [ft.jacfwd, ft.jacrev, ft.vmap])
def test_a_chunk_has_at_least_one_direction(take: Any, options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="chunk_size"):
        take(fnp.sin, **options)(V)


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("axes", [(0, 0), (1, None), (None, 1)])
def test_lanes_in_chunks_are_the_same(size: int, axes: Any) -> None:
    f = lambda x, y: (x * fnp.sum(y), 2.0, y[::-1])
    args = [values(5, 5), values(5, 5)]
    check(
        {"": ft.vmap(f, axes, (0, None, 1), chunk_size=size)(*args)}, {"": ft.vmap(f, axes, (0, None, 1))(*args)}
    )
