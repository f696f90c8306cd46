"""Samples built of normal and gamma numbers together: vectors, lengths, signs; the same as ``jax.random`` gives."""

from __future__ import annotations

import functools
import operator
from typing import Any

from functrans import lax
from functrans import numpy as fnp
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.promotion import broadcast, common_shape, promote_dtypes, shape_argument, to_dtype
from functrans.random.arguments import (
    Array,
    ArrayLike,
    drawn,
    floating,
    sample_shape,
    shape_of,
    static,
    with_logarithm,
)
from functrans.random.continuous import _exponential, _normal
from functrans.random.discrete import _rademacher
from functrans.random.gammas import _gamma, logarithm_of_gamma
from functrans.random.keys import Key, Shape, split_key, typed_key
from functrans.trace.frames import here
from functrans.trace.keywords import takes


@static
def _maxwell(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    return fnp.linalg.norm(_normal(key, shape=(*shape, 3), dtype=dtype), axis=-1)


@takes(out_sharding=None)
def maxwell(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Lengths of normal vectors in space.

    >>> from functrans import random
    >>> random.maxwell(random.key(0), (2,)).shape
    (2,)
    """
    return drawn(_maxwell, "maxwell", key, shape, dtype)


@static
def _double_sided_maxwell(key: Any, loc: Any, scale: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    lengths, signs = split_key(key)
    drawn = _maxwell(lengths, shape=shape, dtype=dtype)
    return fnp.add(fnp.multiply(_rademacher(signs, shape=shape, dtype=dtype) * drawn, scale), loc)


def double_sided_maxwell(
    key: Key, loc: ArrayLike, scale: ArrayLike, shape: Shape = (), dtype: Any = None
) -> Array:
    """Maxwell numbers with a random sign, scaled and moved; the parameters' shape comes behind ``shape``.

    >>> from functrans import random
    >>> random.double_sided_maxwell(random.key(0), 0.0, 1.0, (2,)).shape
    (2,)
    """
    typed, _ = typed_key("double_sided_maxwell", key)
    dtype = floating("double_sided_maxwell", dtype)
    own = common_shape("double_sided_maxwell", shape_of(loc), shape_of(scale))
    sizes = (*(shape_argument("double_sided_maxwell", shape) or own), *own)
    return _double_sided_maxwell(typed, loc, scale, shape=sizes, dtype=dtype)


@static
def _generalized_normal(key: Any, p: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    lengths, signs = split_key(key)
    a = broadcast(lax.convert_element_type(fnp.divide(1.0, p), dtype), shape)
    g = lax.stop_gradient(_gamma(lengths, a, shape=shape, log_space=False))
    drawn = fnp.multiply(_rademacher(signs, shape=shape, dtype=dtype), fnp.power(g, fnp.divide(1.0, p)))
    return with_logarithm(drawn, to_dtype(fnp.divide(logarithm_of_gamma(a, g), p), drawn.dtype))


@takes(out_sharding=None)
def generalized_normal(key: Key, p: float, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers with a density proportional to exp(-abs(x) ** p).

    >>> from functrans import random
    >>> random.generalized_normal(random.key(0), 2.0, (2,)).shape
    (2,)
    """
    typed, _ = typed_key("generalized_normal", key)
    sizes = shape_argument("generalized_normal", shape)
    return _generalized_normal(typed, p, shape=sizes, dtype=floating("generalized_normal", dtype))


@functools.partial(jit, static_argnames=("d", "shape", "dtype"))
def _ball(key: Any, p: Any, *, d: int, shape: tuple[int, ...], dtype: Any) -> Any:
    first, second = split_key(key)
    g = _generalized_normal(first, p, shape=(*shape, d), dtype=dtype)
    e = _exponential(second, shape=shape, dtype=dtype)
    size = fnp.power(fnp.add(fnp.sum(fnp.power(fnp.abs(g), p), axis=-1), e), fnp.divide(1.0, p))
    return fnp.divide(g, size[..., None])


@takes(out_sharding=None)
def ball(key: Key, d: int, p: float = 2, shape: Shape = (), dtype: Any = None) -> Array:
    """Points spread evenly in the unit ball of the p-norm in ``d`` dimensions: [*shape, d].

    >>> from functrans import random
    >>> random.ball(random.key(0), 3, shape=(2,)).shape
    (2, 3)
    """
    typed, _ = typed_key("ball", key)
    try:
        d = operator.index(d)
    except TypeError:
        raise FunctransTypeError(f"ball: the number of dimensions must be an integer, got {d!r} at {here()}") from None
    return _ball(typed, p, d=d, shape=shape_argument("ball", shape), dtype=floating("ball", dtype))


@functools.partial(jit, static_argnames=("shape", "dtype", "method"))
def _multivariate_normal(key: Any, mean: Any, cov: Any, *, shape: tuple[int, ...], dtype: Any, method: str) -> Any:
    if method == "cholesky":
        factor = fnp.linalg.cholesky(cov)
    else:
        if method == "svd":
            vectors, values, _ = fnp.linalg.svd(cov)
        else:
            values, vectors = fnp.linalg.eigh(cov)
        factor = fnp.multiply(vectors, fnp.sqrt(values)[..., None, :])
    drawn = _normal(key, shape=(*shape, mean.shape[-1]), dtype=dtype)
    moved = fnp.einsum("...ij,...j->...i", factor, drawn)
    return fnp.add(fnp.broadcast_to(mean, moved.shape), moved)


@takes(out_sharding=None)
def multivariate_normal(
    key: Key, mean: ArrayLike, cov: ArrayLike, shape: Shape | None = None, dtype: Any = None,
    method: str = "cholesky",
) -> Array:  # fmt: skip
    """Normal vectors with this mean and covariance.

    Args:
      key: a random key ``[]``.
      mean: ``[..., n]``.
      cov: ``[..., n, n]``, positive definite; for 'svd' and 'eigh' it may be singular.
      shape: the shape of the samples without their last axis; that of the parameters together by default.
      dtype: floating; that of the parameters by default.
      method: how the covariance is factorised: 'cholesky', 'svd' or 'eigh'.

    Raises:
      ValueError: shapes that do not fit, or another method.

    >>> import numpy as np
    >>> from functrans import random
    >>> random.multivariate_normal(random.key(0), np.zeros(2, np.float32), np.eye(2, dtype=np.float32), (3,)).shape
    (3, 2)
    """
    typed, _ = typed_key("multivariate_normal", key)
    mean, cov = promote_dtypes("multivariate_normal", fnp.asarray(mean), fnp.asarray(cov), inexact=True)
    if method not in ("cholesky", "svd", "eigh"):
        raise FunctransValueError(f"multivariate_normal: method must be 'cholesky', 'svd' or 'eigh', got {method!r}")
    if len(mean.shape) < 1 or len(cov.shape) < 2 or cov.shape[-2:] != (mean.shape[-1],) * 2:
        raise FunctransValueError(
            f"multivariate_normal: a mean [..., n] and a covariance [..., n, n] are needed, got shapes "
            f"{tuple(mean.shape)} and {tuple(cov.shape)}, at {here()}"
        )
    parts = (("the mean", tuple(mean.shape[:-1])), ("the covariance", tuple(cov.shape[:-2])))
    sizes = sample_shape("multivariate_normal", shape, *parts)
    to = mean.dtype if dtype is None else floating("multivariate_normal", dtype)
    return _multivariate_normal(typed, mean, cov, shape=sizes, dtype=to, method=method)


@functools.partial(jit, static_argnames=("rows", "columns", "shape", "dtype"))
def _orthogonal(key: Any, *, rows: int, columns: int, shape: tuple[int, ...], dtype: Any) -> Any:
    long, short = max(rows, columns), min(rows, columns)
    q, r = fnp.linalg.qr(_normal(key, shape=(*shape, long, short), dtype=dtype))
    found = fnp.multiply(q, fnp.sign(fnp.linalg.diagonal(r))[..., None, :])
    return fnp.matrix_transpose(found) if rows < columns else found


@takes(out_sharding=None)
def orthogonal(key: Key, n: int, shape: Shape = (), dtype: Any = None, m: int | None = None) -> Array:
    """Orthogonal matrices, each equally likely; unitary ones for a complex dtype.

    Args:
      key: a random key ``[]``.
      n: the number of rows.
      shape: the leading axes of the result.
      dtype: floating or complex; float32 by default.
      m: the number of columns, n by default. The shorter of rows and columns are orthonormal.

    Returns:
      ``[*shape, n, m]``.

    Raises:
      TypeError: n or m is no integer.

    >>> from functrans import random
    >>> random.orthogonal(random.key(0), 3, (2,)).shape
    (2, 3, 3)
    """
    typed, _ = typed_key("orthogonal", key)
    try:
        rows = operator.index(n)
        columns = rows if m is None else operator.index(m)
    except TypeError:
        raise FunctransTypeError(
            f"orthogonal: the numbers of rows and columns must be integers, got {n!r} and {m!r} at {here()}"
        ) from None
    sizes = shape_argument("orthogonal", shape)
    return _orthogonal(typed, rows=rows, columns=columns, shape=sizes, dtype=floating("orthogonal", dtype, True))


