"""Attention by scaled dot products."""

from __future__ import annotations

import math
import operator
from typing import Any

import ml_dtypes
import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import promote, type_of
from functrans.nn.normalised import logsumexp, softmax
from functrans.numpy.arithmetic import add, multiply
from functrans.numpy.comparison import less, less_equal, logical_and
from functrans.numpy.creation import asarray
from functrans.numpy.einsum import einsum
from functrans.numpy.grids import arange
from functrans.numpy.promotion import ArrayLike, to_dtype
from functrans.numpy.selection import where
from functrans.numpy.shapes import expand_dims, reshape

_NAME = "dot_product_attention"


def dot_product_attention(
    query: ArrayLike, key: ArrayLike, value: ArrayLike, bias: ArrayLike | None = None, mask: ArrayLike | None = None,
    *, scale: float | None = None, is_causal: bool = False, query_seq_lengths: ArrayLike | None = None,
    key_value_seq_lengths: ArrayLike | None = None, local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None, return_residual: bool = False,
) -> Any:  # fmt: skip
    """softmax(query key^T * scale + bias) value, for each head.

    The scores and their softmax are computed in float32 at least (in JAX the softmax is float32 always).

    Args:
      query: ``[B, T, N, H]`` or ``[T, N, H]``: batch, time, heads, features.
      key: ``[B, S, K, H]`` or ``[S, K, H]``, where K divides N: N / K heads in a row share a key and a value.
      value: as key.
      bias: added to the scores, broadcast to ``[B, N, T, S]``; its heads are 1 or N.
      mask: bools, as bias; False takes a key from a query. A query without any key gets the mean of all values.
      scale: 1 / sqrt(H) by default.
      is_causal: a query sees no key that stands behind it.
      query_seq_lengths: int32 ``[B]``: queries from there on give 0.
      key_value_seq_lengths: int32 ``[B]``: keys from there on are not seen.
      local_window_size: how many keys to the left and right a query sees; one number for both.
      implementation: None or 'xla'.
      return_residual: return as well the logarithms of the sums of exponentials, without derivatives.

    Returns:
      ``[B, T, N, H]`` or ``[T, N, H]``, and with ``return_residual`` ``[B, T, N]`` or ``[T, N]``.

    Raises:
      ValueError: shapes or dtypes that do not fit, or another implementation.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> x = fnp.arange(8.).reshape(1, 4, 1, 2)
    >>> nn.dot_product_attention(x, x, x, is_causal=True)[0, 0, 0].tolist()
    [0.0, 1.0]
    """
    if implementation not in (None, "xla"):
        raise FunctransValueError(
            f"{_NAME}: implementation must be None or 'xla', got {implementation!r}; no kernels of other "
            f"libraries are called"
        )
    out_shape = tuple(asarray(query).shape)
    q, k, v = (_of_rank_4(what, x) for what, x in (("query", query), ("key", key), ("value", value)))
    bias, mask = (None if x is None else _of_rank_4(what, x) for what, x in (("bias", bias), ("mask", mask)))
    batch, targets, heads, features = q.shape
    sources, groups = k.shape[1], k.shape[2]
    _check(q, k, v, bias, mask)
    lengths = [
        _lengths(what, x, batch)
        for what, x in (("query_seq_lengths", query_seq_lengths), ("key_value_seq_lengths", key_value_seq_lengths))
    ]
    wide = promote(type_of(q).strong(), type_of(np.zeros((), np.float32)))[0]
    q = reshape(q, (batch, targets, groups, heads // groups, features))
    scores = einsum("btkgh,bskh->bkgts", q, k, preferred_element_type=wide)
    scores = multiply(scores, asarray(1.0 / math.sqrt(features) if scale is None else scale, wide))
    if bias is not None:
        scores = to_dtype(add(scores, _by_group(bias, groups)), wide)
    seen = _seen(targets, sources, is_causal, lengths, local_window_size)
    if mask is not None:
        seen = [*seen, _by_group(mask, groups)]
    if seen:
        together = seen[0]
        for other in seen[1:]:
            together = logical_and(together, other)
        # finite, so that a row without keys has no NaN
        scores = where(together, scores, -0.7 * float(ml_dtypes.finfo(np.float32).max))  # type: ignore[no-untyped-call]
    out = einsum("bkgts,bskh->btkgh", to_dtype(softmax(scores), k.dtype), v)
    if lengths[0] is not None:
        out = where(less(arange(targets)[None, :, None, None, None], lengths[0][:, None, None, None, None]), out, 0)
    out = reshape(out, out_shape)
    if not return_residual:
        return out
    sums = lax.stop_gradient(to_dtype(logsumexp(scores, -1), k.dtype))
    return out, reshape(lax.transpose(sums, (0, 3, 1, 2)), out_shape[:-1])


def _of_rank_4(what: str, x: Any) -> Any:
    x = asarray(x)
    if x.ndim > 4 or (x.ndim < 3 and what in ("query", "key", "value")):
        raise FunctransValueError(f"{_NAME}: {what} must have three or four axes, got shape {tuple(x.shape)}")
    return expand_dims(x, tuple(range(4 - x.ndim))) if x.ndim < 4 else x


def _check(q: Any, k: Any, v: Any, bias: Any, mask: Any) -> None:
    if k.shape != v.shape or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise FunctransValueError(
            f"{_NAME}: query [B, T, N, H] and key and value [B, S, K, H] are needed, got shapes {tuple(q.shape)}, "
            f"{tuple(k.shape)} and {tuple(v.shape)}"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise FunctransValueError(
            f"{_NAME}: query, key and value must have one dtype, got {q.dtype}, {k.dtype} and {v.dtype}; convert them"
        )
    heads, groups = q.shape[2], k.shape[2]
    if not groups or heads % groups:
        raise FunctransValueError(
            f"{_NAME}: the number of heads of the query must be a multiple of that of key and value, got {heads} and "
            f"{groups}"
        )
    full = (q.shape[0], heads, q.shape[1], k.shape[1])
    for what, x in (("bias", bias), ("mask", mask)):
        if x is not None and any(n not in (1, to) for n, to in zip(x.shape, full, strict=True)):
            raise FunctransValueError(
                f"{_NAME}: {what} must broadcast to [B, N, T, S], here {full}, got shape {tuple(x.shape)}"
            )
    if mask is not None and mask.dtype != np.bool_:
        raise FunctransValueError(
            f"{_NAME}: mask must hold bools, got dtype {mask.dtype}; numbers that are added go into bias"
        )


def _lengths(what: str, x: Any, batch: int) -> Any:
    if x is None:
        return None
    x = asarray(x)
    if x.shape != (batch,) or x.dtype != np.int32:
        raise FunctransValueError(
            f"{_NAME}: {what} must be int32 of shape ({batch},), got {x.dtype} of shape {tuple(x.shape)}"
        )
    return x


def _by_group(x: Any, groups: int) -> Any:
    """[B, N, T, S] -> [B, K, N / K, T, S]; a single head stays single."""
    b, heads, targets, sources = x.shape
    split = (1, 1) if heads == 1 else (groups, heads // groups)
    return reshape(x, (b, *split, targets, sources))


def _seen(targets: int, sources: int, is_causal: bool, lengths: Any, window: Any) -> list[Any]:
    """What a query may see, as bools that broadcast to [B, K, G, T, S]."""
    at, of = arange(targets)[None, None, None, :, None], arange(sources)[None, None, None, None, :]
    seen = [less_equal(of, at)] if is_causal else []
    if window is not None:
        left, right = _window(window)
        seen += [less_equal(at, add(of, left)), less_equal(of, add(at, right))]
    for positions, length in zip((at, of), lengths, strict=True):
        if length is not None:
            seen.append(less(positions, length[:, None, None, None, None]))
    return seen


def _window(window: Any) -> tuple[int, int]:
    try:
        left, right = window if isinstance(window, tuple | list) else (window, window)
        return operator.index(left), operator.index(right)
    except (TypeError, ValueError):
        raise FunctransTypeError(
            f"{_NAME}: local_window_size must be an integer or two, (left, right), got {window!r}"
        ) from None


__all__ = ["dot_product_attention"]
