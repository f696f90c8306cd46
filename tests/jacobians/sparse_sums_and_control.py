"""Steps of random sparse programs: sums, products, matrices, branches, loops, calls, transforms and rules."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.scipy import linalg
from tests.jacobians.sparse_programs import (
    Pool,
    by_value,
    chosen,
    nested,
    one_of,
    shaped,
    short_body,
    some_axis,
    step,
    with_gaps,
)

# -- sums and products -------------------------------------------------------------------------------------------------


@step
def reduced(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    axis = some_axis(random, x)
    return one_of(random, [
        lambda: fnp.sum(x, axis), lambda: fnp.mean(x, axis, keepdims=True) if x.shape[axis] else None,
        lambda: fnp.prod(x, axis), lambda: fnp.sum(x), lambda: fnp.var(x, axis) if x.shape[axis] else None,
        lambda: fnp.sum(x, tuple(range(len(x.shape)))[-2:]), lambda: fnp.sqrt(1 + fnp.sum(x * x, axis)),
        lambda: x / (1.0 + fnp.sum(x * x)), lambda: fnp.log(fnp.sum(fnp.exp(x), axis)) if x.shape[axis] else None,
        lambda: fnp.sum(x, axis, where=random.random(x.shape) < 0.5),
    ])()  # fmt: skip


@step
def cumulative(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    axis, reverse = some_axis(random, x), bool(random.integers(2))
    return one_of(random, [
        lambda: lax.cumsum(x, axis, reverse), lambda: lax.cumprod(x, axis, reverse), lambda: fnp.cumsum(x),
        lambda: lax.cumlogsumexp(x, axis, reverse), lambda: fnp.diff(x, axis=axis),
        lambda: lax.associative_scan(lambda a, b: fnp.sin(a) * b, x, axis=axis) if x.shape[axis] else None,
    ])()  # fmt: skip


@step
def product_with_known(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    n, m = x.shape[0], x.shape[-1]
    right, left = with_gaps(random, (m, 3), np.float32, 0.7), with_gaps(random, (2, n), np.float32, 0.7)
    lanes, letters = with_gaps(random, (2, n, m), np.float32), "abcd"[: len(x.shape)]
    return one_of(random, [
        lambda: x @ right, lambda: fnp.tensordot(left, x, 1),
        lambda: fnp.einsum(f"{letters},{letters[0]}->{letters}", x, left[0]),
        lambda: fnp.einsum(f"{letters},z{letters[0]}{letters[-1]}->z{letters}", x, lanes) if len(letters) > 1 else None,
        lambda: fnp.einsum(f"{letters},z{letters[0]}->z{letters[1:]}", x, lanes[..., 0]),
        lambda: fnp.einsum(f"{letters},{letters[::-1]}->", x, with_gaps(random, x.shape[::-1], np.float32)),
        lambda: fnp.kron(x, with_gaps(random, (2,) * len(letters), np.float32)) if x.size <= 8 else None,
        lambda: fnp.convolve(fnp.ravel(x), with_gaps(random, (3,), np.float32)) if x.size else None,
        lambda: fnp.tril(x) if len(letters) > 1 else fnp.diag(x) if x.size < 6 else None, lambda: x @ fnp.eye(m),
    ])()  # fmt: skip


@step
def product_of_values(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    y = shaped(pool[random.integers(len(pool))], x)
    letters = "abcd"[: len(x.shape)]
    return one_of(random, [
        lambda: fnp.einsum(f"{letters},{letters}->{letters[0]}", x, y), lambda: fnp.vdot(x, y),
        lambda: fnp.einsum(f"{letters},{letters}->{letters[-1]}", x, y),
        lambda: fnp.outer(x, y) if x.size <= 5 else None,
        lambda: x @ fnp.transpose(y) if len(letters) == 2 else None,
        lambda: fnp.einsum(f"{letters},z{letters[1:]}->z{letters[0]}", x, fnp.sin(y)),
        lambda: fnp.matmul(x[None], x[..., None]) if len(letters) == 1 else None,
    ])()  # fmt: skip


@step
def convolved(random: np.random.Generator, pool: Pool) -> Any:
    """Batches, features, strides, dilations and groups by lot; one of the sides known, or both values."""
    flat = fnp.ravel(chosen(random, pool)).astype(np.float32)
    if not flat.shape[0]:
        return None
    groups, batches = [(1, 1), (2, 1), (1, 2)][random.integers(3)]
    batch, ins, outs = batches * int(random.integers(1, 3)), groups * int(random.integers(1, 3)), 2
    x = fnp.resize(flat, (batch, ins, 4))
    shape = (outs, ins // groups, int(random.integers(1, 4)))
    kernel = with_gaps(random, shape, np.float32) if random.random() < 0.6 else fnp.resize(fnp.sin(flat), shape)
    if random.random() < 0.2:
        x = with_gaps(random, x.shape, np.float32)
    order = [("NCH", "OIH", "NCH"), ("NHC", "HIO", "NHC")][random.integers(2)]
    if order[0] == "NHC":
        x, kernel = fnp.transpose(x, (0, 2, 1)), fnp.transpose(kernel, (2, 1, 0))
    return lax.conv_general_dilated(
        x, kernel, (int(random.integers(1, 3)),), [(int(random.integers(0, 2)), int(random.integers(0, 3)))],
        lhs_dilation=(int(random.integers(1, 3)),), rhs_dilation=(int(random.integers(1, 3)),), dimension_numbers=order,
        feature_group_count=groups, batch_group_count=batches,
    )  # fmt: skip


@step
def windowed(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    dims = tuple([int(random.integers(1, 3)) for _ in x.shape])
    strides = tuple([int(random.integers(1, 3)) for _ in x.shape])
    padding = [(int(random.integers(0, 2)), int(random.integers(0, 2))) for _ in x.shape]
    if any(n + a + b < d for n, d, (a, b) in zip(x.shape, dims, padding, strict=True)):
        return None
    return lax.reduce_window(x, x.dtype.type(0), lax.add, dims, strides, padding)


@by_value
def windowed_maximum(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 2)
    if x is None:
        return None
    return lax.reduce_window(x, -x.dtype.type(np.inf), lax.max, (2,) * len(x.shape), (1,) * len(x.shape), "VALID")


# -- matrices and spectra ----------------------------------------------------------------------------------------------


@nested
@by_value
def solved(random: np.random.Generator, pool: Pool) -> Any:
    """The pattern of a known matrix's inverse is not looked at."""
    x = chosen(random, pool, 0, 1)
    if x is None:
        return None
    x = fnp.resize(fnp.ravel(x).astype(np.float32), (3, 3))
    known = np.float32(np.eye(3) * 3 + np.tril(with_gaps(random, (3, 3), np.float32)))
    regular = fnp.tanh(x) * 0.3 + 2 * fnp.eye(3, dtype=np.float32)
    return one_of(random, [
        lambda: linalg.solve_triangular(known, x, lower=True), lambda: linalg.solve_triangular(regular, x[0]),
        lambda: fnp.linalg.solve(regular, x), lambda: fnp.linalg.solve(known, x[:, 0]),
        lambda: fnp.linalg.inv(regular), lambda: fnp.linalg.cholesky(regular @ regular.T + fnp.eye(3)),
        lambda: fnp.linalg.det(regular), lambda: fnp.linalg.norm(x + 1.0),
        lambda: fnp.linalg.eigh(regular + regular.T)[0], lambda: fnp.linalg.qr(regular)[1],
        lambda: fnp.linalg.svd(regular + np.diag(np.float32([1, 2, 4])), compute_uv=False),
    ])()  # fmt: skip


@by_value
def spectrum(random: np.random.Generator, pool: Pool) -> Any:
    """Sines that happen to be zero are not looked at."""
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    x = x.astype(np.float32)
    return one_of(random, [
        lambda: fnp.real(fnp.fft.fft(x)), lambda: fnp.imag(fnp.fft.rfft(x)),
        lambda: fnp.abs(fnp.fft.ifft(x * 1j) + 2.0), lambda: fnp.fft.irfft(x + 0j) if x.shape[-1] > 1 else None,
        lambda: fnp.real(fnp.fft.fftn(x)),
    ])()  # fmt: skip


# -- control -----------------------------------------------------------------------------------------------------------


@nested
@step
def branches_known(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    bodies = [short_body(random, pool) for _ in range(2)]
    branches = [lambda v, body=body: shaped(body([v]), v) for body in bodies]
    index = np.int32(random.integers(-1, 3))
    lanes = np.array([1, 0, 1, 1, 0, 0])
    if random.random() < 0.4 and len(x.shape) and 0 < x.shape[0] <= 6:
        return ft.vmap(lambda i, v: lax.switch(i, branches, v))(lanes[: x.shape[0]], x)
    return lax.switch(index, branches, x) if random.random() < 0.5 else lax.cond(bool(index > 0), *branches, x)


@nested
@by_value
def branches_unknown(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    bodies = [short_body(random, pool) for _ in range(3)]
    branches = [lambda v, body=body: shaped(body([v]), v) for body in bodies]
    if random.random() < 0.4 and len(x.shape) and x.shape[0]:
        return ft.vmap(lambda v: lax.cond(fnp.sum(v) > 0, *branches[:2], v))(x)
    index = fnp.floor(fnp.sum(x) * 3).astype(np.int32)
    return lax.switch(index, branches, x) if random.random() < 0.5 else lax.cond(fnp.sum(x) > 0, *branches[:2], x)


@nested
@step
def scanned(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None or x.shape[0] > 8:
        return None
    body, mix = short_body(random, pool), short_body(random, pool)
    known = random.integers(0, x.shape[0], (x.shape[0],))
    start = shaped(pool[0], x[0])
    constant = pool[random.integers(len(pool))]

    def turn(carry: Any, row: Any) -> Any:
        y, i = row
        after = shaped(body([constant, y, carry]), carry)
        return after, fnp.sin(shaped(mix([carry, y]), y)) + x[i] * 0.5

    carry, rows = lax.scan(turn, start, (x, known), reverse=bool(random.integers(2)), unroll=int(random.integers(1, 3)))
    return carry if random.random() < 0.3 else rows


@nested
@step
def counted(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    body, turns = short_body(random, pool), int(random.integers(0, 4))
    n = x.shape[0] if len(x.shape) else 0
    if random.random() < 0.4 and n:
        return lax.fori_loop(0, turns, lambda i, v: v.at[i % n].set(fnp.sum(v[(i + 1) % n])), x)
    if random.random() < 0.5:
        return lax.while_loop(lambda c: c[0] < turns, lambda c: (c[0] + 1, shaped(body([c[1]]), c[1])), (0, x))[1]
    if random.random() < 0.3 and 0 < n <= 6:
        limits = random.integers(0, 3, (6,))[:n]
        run = lambda k, v: lax.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, fnp.roll(c[1], 1) * 2), (0, v))[1]
        return ft.vmap(run)(limits, x)
    return lax.fori_loop(0, turns, lambda i, v: shaped(body([v, v * i]), v), x)


@nested
@by_value
def uncounted(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    if not np.prod(x.shape):
        return None
    body = short_body(random, pool)
    limit = fnp.floor(fnp.abs(fnp.sum(fnp.tanh(x)))).astype(np.int32) % 3
    shift = (lambda v: fnp.roll(v, 1) * 0.5) if random.random() < 0.5 else (lambda v: shaped(body([v]), v))
    return lax.while_loop(lambda c: c[0] < limit, lambda c: (c[0] + 1, shift(c[1])), (0, x))[1]


@nested
@step
def called(random: np.random.Generator, pool: Pool) -> Any:
    x, y = chosen(random, pool), pool[random.integers(len(pool))]
    body = short_body(random, pool)
    weights = with_gaps(random, x.shape, np.float32)
    function = lambda v: body([y, v, v * weights])
    return one_of(random, [
        lambda: ft.jit(function)(x), lambda: ft.checkpoint(function)(x),
        lambda: ft.jit(lambda v, w: body([v, w]))(x, y), lambda: ft.jvp(function, (x,), (x,))[1],
        lambda: ft.custom_batching.sequential_vmap(lambda v: fnp.sin(v) * 2)(x),
    ])()  # fmt: skip


@nested
@step
def mapped(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None or x.shape[0] > 8:
        return None
    body, axis = short_body(random, pool), some_axis(random, x)
    other = pool[0]
    named = lambda v: v / (2.0 + fnp.sum(v * v)) - lax.pmean(v, "lanes")
    return one_of(random, [
        lambda: ft.vmap(lambda v: body([other, v]), axis)(x), lambda: ft.vmap(named, axis, axis, "lanes")(x),
        lambda: ft.vmap(lambda v: body([v]), axis, chunk_size=2)(x), lambda: lax.map(lambda v: body([v]), x),
    ])()  # fmt: skip


@nested
@by_value
def gradient(random: np.random.Generator, pool: Pool) -> Any:
    """Of which the pattern is that of a Hessian; a slope may be constant where its rule does not say so."""
    x = chosen(random, pool)
    body = short_body(random, pool)
    total = lambda v: fnp.sum(fnp.sin(body([v, fnp.sin(v)]).astype(np.float32)))
    return one_of(random, [
        lambda: ft.grad(total)(x), lambda: ft.vjp(total, x)[1](np.float32(1))[0],
        lambda: ft.grad(lambda v: fnp.sum(v**3))(x), lambda: ft.jacrev(lambda v: v * fnp.sum(v))(fnp.ravel(x)[:3]),
        lambda: ft.grad(ft.checkpoint(total))(x),
    ])()  # fmt: skip


@ft.custom_jvp
def _squared(x: Any, y: Any) -> Any:
    return fnp.floor(x) + y


@_squared.defjvp
def _squared_rule(primals: Any, tangents: Any) -> Any:
    """Not the derivative: of x its own slope and its neighbour's, of y none."""
    x, y = primals
    return _squared(x, y), fnp.sin(x) * (tangents[0] + fnp.roll(tangents[0], 1))


@ft.custom_vjp
def _rounded(x: Any) -> Any:
    return fnp.round(x)


_rounded.defvjp(lambda x: (fnp.round(x), x), lambda x, ct: (ct + fnp.flip(ct) * x,))


@nested
@step
def own_rules(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    y = shaped(pool[random.integers(len(pool))], x)
    flat = fnp.ravel(x)
    return one_of(random, [
        lambda: _squared(x, y), lambda: _rounded(flat), lambda: ft.jit(_rounded)(flat * y.ravel()),
        lambda: lax.scan(lambda c, _: (_squared(c, c) * 0.5, None), x, None, length=2)[0],
    ])()  # fmt: skip


@nested
@by_value
def implicit(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 0, 1)
    if x is None:
        return None
    x = fnp.tanh(fnp.resize(fnp.ravel(x).astype(np.float32), (3,)))
    matrix = 3 * fnp.eye(3, dtype=np.float32) + fnp.outer(x, x)
    dense_solve = lambda f, b: fnp.linalg.solve(ft.jacfwd(f)(fnp.zeros(3, np.float32)), b)
    transposed_solve = lambda f, b: fnp.linalg.solve(matrix.T, b)
    newton = lambda f, z: lax.fori_loop(0, 8, lambda _, v: v - f(v) / 3.0, z)
    return one_of(random, [
        lambda: lax.custom_linear_solve(lambda v: matrix @ v, x, dense_solve, transposed_solve),
        lambda: lax.custom_root(lambda z: 3 * z + fnp.sin(z) - x, fnp.zeros(3, np.float32), newton, dense_solve),
    ])()  # fmt: skip
