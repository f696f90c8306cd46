"""Steps of random sparse programs: element by element, moved, and by indices, known and unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.jacobians.sparse_programs import Pool, by_value, chosen, one_of, shaped, some_axis, step, with_gaps

# -- element by element ------------------------------------------------------------------------------------------------


@step
def unary(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    functions = [
        fnp.sin, fnp.tanh, lambda v: v * v, lambda v: fnp.exp(-v * v), lambda v: 1.0 / (2.0 + fnp.sin(v)),
        fnp.negative, lax.logistic, lambda v: v**3, fnp.arctan, lambda v: fnp.log1p(v * v), fnp.sinc,
        lambda v: lax.reduce_precision(v, 6, 8), lambda v: fnp.nan_to_num(v), lambda v: lax.erf(v),
    ]  # fmt: skip
    return one_of(random, functions)(x)


@step
def binary(random: np.random.Generator, pool: Pool) -> Any:
    x, y = chosen(random, pool), pool[random.integers(len(pool))]
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        y = fnp.sum(y)
    functions = [
        lambda a, b: a + b, lambda a, b: a - 2.0 * b, lambda a, b: fnp.tanh(a) * b,
        lambda a, b: a / (2.0 + fnp.cos(b)), fnp.arctan2, fnp.logaddexp, fnp.hypot,
    ]  # fmt: skip
    return one_of(random, functions)(x, y)


@step
def with_zeros(random: np.random.Generator, pool: Pool) -> Any:
    """Times an array that holds zeros, or numbers."""
    x = chosen(random, pool)
    which = random.integers(4)
    if which == 0:
        return x * (with_gaps(random, x.shape, np.float32) != 0)
    if which == 1:
        return x * random.choice([0.0, 1.0, -2.0]).astype(np.float32)
    if which == 2:
        return x * fnp.reshape(with_gaps(random, (int(np.prod(x.shape)),), np.float32), x.shape)
    return fnp.tanh(x) * with_gaps(random, x.shape, np.float32)


@step
def with_moved_zeros(random: np.random.Generator, pool: Pool) -> Any:
    """Times a known array with zeros whose elements are moved first, or an integer that is computed of known ones."""
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    n = x.shape[-1]
    w = with_gaps(random, (n + 1,), [np.float32, np.int32, np.float16][random.integers(3)])
    index = random.integers(-2 * n, 2 * n, (n,))
    mask = random.random(n) < 0.5
    moved = [
        lambda: fnp.take(w, index, mode="fill", fill_value=int(random.integers(-1, 2))),
        lambda: fnp.take(w, index, mode="wrap"), lambda: lax.pad(w, w.dtype.type(random.integers(2)), [(1, -2, 0)]),
        lambda: fnp.where(mask, w[:n], 0), lambda: w[:n].astype(np.float16), lambda: w[:n].astype(bool),
        lambda: fnp.asarray(w).at[index].set(0, mode="drop")[1:], lambda: fnp.concatenate([w[1:2], w[: n - 1]]),
        lambda: fnp.flip(w)[:n], lambda: fnp.repeat(w[:1], n), lambda: lax.dynamic_slice(w, (3,), (n,)),
        lambda: fnp.where(mask, x[..., 0].ravel()[0], w[1:]), lambda: fnp.arange(n) % 2,
        lambda: fnp.sort(index) // 2, lambda: (w[:n] > 0) & mask, lambda: fnp.asarray(w).at[index].add(1)[:n],
    ]  # fmt: skip
    return x * one_of(random, moved)()


@step
def select_known(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    y = shaped(pool[random.integers(len(pool))], x)
    mask = random.random(x.shape) < 0.5
    return one_of(random, [
        lambda: fnp.where(mask, x, y), lambda: fnp.where(mask, x, 0.0), lambda: lax.select(mask, fnp.sin(x), x),
        lambda: fnp.where(np.float32(mask) > 0.5, 1.0, x),
    ])()  # fmt: skip


@by_value
def select_unknown(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    y = shaped(pool[random.integers(len(pool))], x)
    return one_of(random, [
        lambda: fnp.where(x > 0, x, y), lambda: fnp.maximum(x, y), lambda: fnp.abs(x),
        lambda: fnp.clip(x, -0.5, 0.5), lambda: lax.clamp(x.dtype.type(-0.5), x, x.dtype.type(0.5)),
        lambda: fnp.floor(x) * y, lambda: fnp.fmod(x, 0.7), lambda: lax.select(fnp.sum(x) > 0, x, y),
    ])()  # fmt: skip


@step
def casts(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    dtypes = [np.float32, np.float16, fnp.bfloat16, np.float32]
    return x.astype(dtypes[random.integers(4)])


@step
def complex_inside(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool).astype(np.float32)
    z = lax.complex(x, fnp.sin(x)) if random.random() < 0.5 else x * np.complex64(1 + 2j)
    return one_of(random, [
        lambda: fnp.real(z * z), lambda: fnp.imag(z * fnp.conj(z) * 1j), lambda: fnp.real(fnp.exp(z * 0.3)),
        lambda: fnp.sum(z).imag, lambda: fnp.abs(z + 3.0),
    ])()  # fmt: skip


@by_value
def integers_inside(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    whole = fnp.round(x * 2).astype(np.int32)
    return one_of(random, [
        lambda: x * whole, lambda: whole.astype(np.float32) + x, lambda: x * (whole > 0),
    ])()  # fmt: skip


@by_value
def stopped(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    return one_of(random, [
        lambda: lax.stop_gradient(x) * fnp.sin(x), lambda: x + lax.stop_gradient(fnp.sum(x)),
        lambda: lax.stop_gradient(x),
    ])()  # fmt: skip


# -- moved -------------------------------------------------------------------------------------------------------------


@step
def reshaped(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    size = int(np.prod(x.shape))
    shapes = [(size,), (1, size), (size, 1), *[(k, size // k) for k in (2, 3) if size and size % k == 0]]
    return fnp.reshape(x, shapes[random.integers(len(shapes))])


@step
def transposed(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 2)
    return None if x is None else fnp.transpose(x, random.permutation(len(x.shape)))


@step
def broadcast(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool)
    return one_of(random, [
        lambda: fnp.broadcast_to(x, (2, *x.shape)), lambda: fnp.tile(x, 2), lambda: fnp.repeat(x, 2, axis=None),
        lambda: lax.broadcast_in_dim(x, (*x.shape, 2), range(len(x.shape))),
    ])()  # fmt: skip


@step
def sliced(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    slices = [np.s_[:], np.s_[1:], np.s_[:-1], np.s_[::2], np.s_[::-1], np.s_[-2:]]
    return x[tuple([one_of(random, slices) for _ in x.shape])]


@step
def padded(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    config = [(int(random.integers(-1, 3)), int(random.integers(0, 2)), int(random.integers(0, 2))) for _ in x.shape]
    if any(max(0, n + max(n - 1, 0) * k) + a + b < 0 for n, (a, b, k) in zip(x.shape, config, strict=True)):
        return None
    value = x.dtype.type(0) if random.random() < 0.6 else fnp.sum(pool[0]).astype(x.dtype)
    return lax.pad(x, value, config)


@step
def joined(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    axis = some_axis(random, x)
    others = [fnp.sin(x), np.zeros(x.shape, np.float32), x[..., :1] if axis == len(x.shape) - 1 else x]
    return fnp.concatenate([x, others[random.integers(3)], x], axis)


@step
def turned(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1)
    if x is None:
        return None
    axis = some_axis(random, x)
    return one_of(random, [
        lambda: fnp.flip(x, axis), lambda: fnp.roll(x, int(random.integers(-2, 3)), axis), lambda: fnp.roll(x, 1),
        lambda: fnp.moveaxis(x, axis, 0),
    ])()  # fmt: skip


@step
def rows_split(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    parts = fnp.split(x, [1], axis=some_axis(random, x))
    return fnp.sin(parts[0]) + fnp.sum(parts[1]) if random.random() < 0.3 else parts[random.integers(2)]


# -- indices -----------------------------------------------------------------------------------------------------------


@step
def taken(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    n = x.shape[0]
    index = random.integers(-n, n, (3,))
    mode = ["clip", "fill", "wrap"][random.integers(3)]
    wide = random.integers(-2 * n, 2 * n, (2, 2))
    kinds = [
        lambda: x[index], lambda: fnp.take(x, wide, axis=some_axis(random, x), mode=mode),
        lambda: x[..., random.integers(0, x.shape[-1], (2,))], lambda: x[random.random(n) < 0.6],
        lambda: x.at[wide].get(mode="clip" if mode == "wrap" else mode),
        lambda: x[index, ..., random.integers(0, x.shape[-1], (3,))] if len(x.shape) > 1 else x[index[:1]],
        lambda: fnp.take(x, index, axis=0) * 2, lambda: x[np.uint8(index % n)],
        lambda: fnp.take_along_axis(x, random.integers(0, n, (2, *x.shape[1:])), 0),
    ]  # fmt: skip
    return one_of(random, kinds)()


@step
def taken_in_lanes(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 2, 1)
    if x is None:
        return None
    own = random.integers(-x.shape[1], x.shape[1], (x.shape[0], 2))
    row = x if len(x.shape) == 2 else fnp.reshape(x, (x.shape[0], -1))
    table = random.integers(-x.shape[0], x.shape[0], (4, 1))
    return one_of(random, [
        lambda: ft.vmap(lambda v, i: v[i])(x, own), lambda: ft.vmap(lambda i: x[i])(table),
        lambda: ft.vmap(lambda v, i: lax.dynamic_slice(v, (i,), (1,)))(row, own[:, 0]),
        lambda: ft.vmap(lambda v, i: v.at[i].multiply(2.0))(x, own),
        lambda: ft.vmap(lambda v, i: v.at[i].set(fnp.sum(v)))(x, own),
        lambda: ft.vmap(lambda v, i: lax.dynamic_update_slice(v, v[:1] * 2, (i,)))(row, own[:, 1]),
    ])()  # fmt: skip


@step
def written(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    n = x.shape[0]
    choices = [random.integers(-n, n, (3,)), random.integers(-2 * n, 2 * n, (2,)), random.random(n) < 0.5]
    where = one_of(random, choices)
    if where.dtype == bool and len(x.shape) == 1 and random.random() < 0.5:
        return x.at[np.flatnonzero(where)].set(0.0)
    mode = [None, "drop", "clip", "fill"][random.integers(4)]
    sort = where.dtype == bool
    where = np.flatnonzero(where) if sort else where
    update = shaped(pool[random.integers(len(pool))], np.zeros((len(where), *x.shape[1:]), x.dtype))
    name = ["set", "add", "multiply", "min", "max"][random.integers(3 if random.random() < 0.8 else 5)]
    if name == "multiply" and not sort:
        update = 2.0
    return getattr(x.at[where], name)(update, mode=mode, unique_indices=sort, indices_are_sorted=sort)


@step
def written_slices(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    y = shaped(pool[random.integers(len(pool))], x)[..., :1]
    starts = [int(random.integers(-2, n + 1)) for n in x.shape]
    sizes = [int(random.integers(1, n + 1)) for n in x.shape]
    arrays = [np.int32(s) for s in starts]
    return one_of(random, [
        lambda: lax.dynamic_slice(x, starts, sizes), lambda: lax.dynamic_slice(x, arrays, sizes),
        lambda: lax.dynamic_update_slice(x, y, arrays), lambda: x.at[..., -1].set(0.5),
        lambda: x.at[..., ::2].add(y), lambda: lax.dynamic_index_in_dim(x, np.int32(-1), 0),
    ])()  # fmt: skip


@by_value
def indices_from_values(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    n = x.shape[0]
    i = fnp.floor(fnp.abs(fnp.sum(x)) * 10).astype(np.int32) % n
    many = fnp.floor(fnp.abs(fnp.ravel(x)[:3]) * 10).astype(np.int32) % n
    zeros = [0] * (len(x.shape) - 1)
    rest = x.shape[1:]
    return one_of(random, [
        lambda: x[i], lambda: x[many], lambda: lax.dynamic_slice(x, (i, *zeros), (1, *rest)),
        lambda: x.at[i].set(0.0), lambda: x.at[many].add(fnp.sin(x[:1])),
        lambda: lax.dynamic_update_slice(x, fnp.sin(x[:1]), (i, *zeros)),
        lambda: fnp.take_along_axis(x, fnp.argsort(x, axis=0), 0), lambda: x.at[many].multiply(2.0),
        lambda: lax.dynamic_index_in_dim(x, i, 0), lambda: x.at[..., i % x.shape[-1]].set(fnp.sum(x)),
        lambda: ft.vmap(lambda v, k: v[k % v.shape[0]])(x, many[:1].repeat(n)) if len(rest) else x[i],
    ])()  # fmt: skip


@by_value
def ordered(random: np.random.Generator, pool: Pool) -> Any:
    x = chosen(random, pool, 1, 1)
    if x is None:
        return None
    axis = some_axis(random, x)
    return one_of(random, [
        lambda: fnp.sort(x, axis), lambda: lax.top_k(x, 1)[0], lambda: x[fnp.argsort(fnp.ravel(x))[:1] % x.shape[0]],
        lambda: lax.sort((x, fnp.cos(x)), dimension=axis, num_keys=1)[1], lambda: fnp.median(x, axis),
        lambda: fnp.max(x, axis), lambda: fnp.min(x), lambda: fnp.ravel(x)[fnp.argmax(x)],
        lambda: lax.cummax(x, axis), lambda: lax.cummin(x, axis, reverse=True),
        lambda: lax.sort_key_val(x, fnp.sin(x), axis)[1], lambda: fnp.quantile(x.astype(np.float32), 0.4, axis),
    ])()  # fmt: skip
