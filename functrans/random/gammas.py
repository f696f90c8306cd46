"""The gamma distribution, and the distributions made of it; the same numbers as ``jax.random`` gives."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans import numpy as fnp
from functrans.api.compilation import jit
from functrans.api.custom_rules import custom_jvp
from functrans.api.vectorization import vmap
from functrans.control.composite import Composite
from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.lax.incomplete_gamma import RandomLoggammaGrad
from functrans.numpy.promotion import broadcast
from functrans.ops.key_implementations import implementation_of
from functrans.ops.keys import RandomSplit
from functrans.ops.structural import broadcast_in_dim
from functrans.random.arguments import (
    Array,
    ArrayLike,
    drawn,
    floating,
    limits,
    sample_shape,
    shape_of,
    static,
    with_logarithm,
)
from functrans.random.continuous import _exponential, _normal, between
from functrans.random.keys import Key, Shape, split_key, typed_key
from functrans.trace.binding import bind
from functrans.trace.frames import here
from functrans.trace.keywords import takes
from functrans.trace.primitive import Lanes, Tangent, Value


def _one_gamma(key: Any, alpha: Any, log_space: bool) -> Any:
    """One number by rejection (Marsaglia and Tsang 2000); below 1 that for alpha + 1, and a uniform number to the power
    1 / alpha.
    """
    dtype = alpha.dtype
    boosted = lax.ge(alpha, 1.0)
    raised = lax.select(boosted, alpha, lax.add(alpha, 1.0))
    d = lax.sub(raised, 1.0 / 3.0)
    c = lax.div(1.0 / 3.0, lax.sqrt(d))

    def rejected(state: Any) -> Any:
        _, x, v, u = state
        squeezed = lax.ge(u, lax.sub(1.0, lax.mul(lax.mul(x, x), 0.0331)))
        bound = lax.add(lax.mul(x, 0.5), lax.mul(d, lax.add(lax.sub(1.0, v), lax.log(v))))
        return lax.bitwise_and(squeezed, lax.ge(lax.log(u), bound))

    def draw(state: Any) -> Any:
        def next_normal(state: Any) -> Any:
            following, own = split_key(state[0])
            x = _normal(own, shape=(), dtype=dtype)
            return following, x, lax.add(lax.mul(x, c), 1.0)

        following, for_normal, for_uniform = split_key(state[0], 3)
        start = (for_normal, fnp.zeros((), dtype), fnp.full((), -1.0, dtype))
        _, x, v = lax.while_loop(lambda s: lax.le(s[2], 0.0), next_normal, start)
        u = between(for_uniform, 0.0, 1.0, (), dtype)
        return following, lax.mul(x, x), lax.mul(lax.mul(v, v), v), u

    for_loop, for_boost = split_key(key)
    zero, one, two = (fnp.full((), n, dtype) for n in (0.0, 1.0, 2.0))
    _, _, v, _ = lax.while_loop(rejected, draw, (for_loop, zero, one, two))
    if log_space:
        exponent = lax.neg(_exponential(for_boost, shape=(), dtype=dtype))
        boost = lax.select(boosted | (exponent == 0.0), zero, lax.mul(exponent, lax.div(1.0, alpha)))
        return lax.add(lax.add(lax.log(d), lax.log(v)), boost)
    sample = lax.sub(1.0, between(for_boost, 0.0, 1.0, (), dtype))
    return lax.mul(lax.mul(d, v), lax.select(boosted, one, lax.pow(sample, lax.div(1.0, alpha))))


class RandomGamma(Composite):
    """Keys [...] and shape parameters [..., *rest] -> a gamma number for each parameter, or its logarithm.

    The derivative by the parameter holds the quantile fixed (implicit reparameterization, Figurnov et al. 2018).
    """

    log_space: bool
    name = "random_gamma"

    def define(self, *operands: Any) -> Any:
        keys, alphas = operands
        size = math.prod(alphas.shape)
        count = math.prod(alphas.shape[len(keys.shape) :])
        pairs = lax.reshape(bind(RandomSplit((count,)), keys), (size,)), lax.reshape(alphas, (size,))
        draw = lambda pair: _one_gamma(pair[0], pair[1], self.log_space)
        # Lanes that are done keep their keys: where bits come from the first lane's, the others would wait for ever.
        samples = vmap(draw)(pairs) if implementation_of(keys.dtype).independent else lax.map(draw, pairs)
        return lax.reshape(samples, alphas.shape)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        if tangents[1] is None:
            return out, None
        return out, lax.mul(tangents[1], self.slope(primals[1], out))

    def slope(self, alpha: Any, out: Any) -> Any:
        """The derivative of the sample by its parameter."""
        if self.log_space:
            return _slope_of_logarithm(alpha, out)
        # by way of the logarithm, which has derivatives where the number is 0
        return lax.mul(out, _slope_of_logarithm(alpha, logarithm_of_gamma(alpha, out)))

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        whole = [
            x if m else broadcast_in_dim(x, (lanes.size, *type_of(x).shape), tuple(range(1, len(type_of(x).shape) + 1)))
            for x, m in zip(operands, mapped, strict=True)
        ]
        return bind(self, *whole), True


def _slope_of_logarithm(alpha: Any, logarithm: Any) -> Any:
    """How the logarithm of a gamma number moves with its parameter, and the largest number where that is beyond it.

    The logarithm goes as 1 / alpha, its slope as the square: an infinity would make NaNs of the distributions made of
    it, which have a weight of 0 there, or the difference of two.
    """
    largest = float(limits(logarithm.dtype).max)
    slope = lax.min(bind(RandomLoggammaGrad(1), alpha, logarithm), largest)
    return fnp.where(lax.eq(logarithm, -math.inf), largest, slope)


@functools.partial(jit, static_argnames=("shape", "log_space"))
def _gamma(key: Any, a: Any, *, shape: tuple[int, ...], log_space: bool) -> Any:
    return bind(RandomGamma(log_space), key, broadcast(a, shape))


def _gamma_numbers(name: str, key: Key, a: ArrayLike, shape: Any, dtype: Any, log_space: bool) -> Any:
    typed, _ = typed_key(name, key)
    dtype = floating(name, dtype)
    sizes = sample_shape(name, shape, ("a", shape_of(a)))
    return _gamma(typed, lax.convert_element_type(fnp.asarray(a), dtype), shape=sizes, log_space=log_space)


@custom_jvp
def logarithm_of_gamma(alpha: Any, number: Any) -> Any:
    """The logarithm of a number that the gamma distribution gave for this parameter, moving with it as that does."""
    return lax.log(lax.max(number, float(limits(number.dtype).tiny)))


@logarithm_of_gamma.defjvp
def _logarithm_of_gamma_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    out = logarithm_of_gamma(*primals)
    return out, lax.mul(tangents[0], _slope_of_logarithm(primals[0], out))


@takes(method="exact", out_sharding=None)
def gamma(key: Key, a: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the gamma distribution with shape parameter ``a`` and scale 1; differentiable by ``a``.

    >>> from functrans import random
    >>> random.gamma(random.key(0), 2.0, (3,)).shape
    (3,)
    """
    return _gamma_numbers("gamma", key, a, shape, dtype, False)


@takes(method="exact", out_sharding=None)
def loggamma(key: Key, a: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """The logarithms of gamma numbers, which do not underflow for a small ``a``.

    >>> from functrans import random
    >>> random.loggamma(random.key(0), 2.0, (3,)).shape
    (3,)
    """
    return _gamma_numbers("loggamma", key, a, shape, dtype, True)


@static
def _beta(key: Any, a: Any, b: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    first, second = split_key(key)
    log_a = _gamma(first, a, shape=shape, log_space=True)
    log_b = _gamma(second, b, shape=shape, log_space=True)
    largest = lax.max(log_a, log_b)
    of_a, of_b = lax.exp(log_a - largest), lax.exp(log_b - largest)
    return of_a / (of_a + of_b)


@takes(method="exact", out_sharding=None)
def beta(key: Key, a: ArrayLike, b: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the beta distribution with parameters ``a`` and ``b``; differentiable by both.

    >>> from functrans import random
    >>> random.beta(random.key(0), 2.0, 3.0, (3,)).shape
    (3,)
    """
    return drawn(_beta, "beta", key, shape, dtype, a=a, b=b)


@static
def _dirichlet(key: Any, alpha: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    logs = _gamma(key, alpha, shape=(*shape, alpha.shape[-1]), log_space=True)
    terms = lax.exp(logs - lax.stop_gradient(fnp.max(logs, axis=-1, keepdims=True)))
    return terms / fnp.sum(terms, axis=-1, keepdims=True)


@takes(out_sharding=None)
def dirichlet(key: Key, alpha: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Probabilities of the Dirichlet distribution with parameters ``alpha [..., n]``: [*shape, n].

    >>> import numpy as np
    >>> from functrans import random
    >>> random.dirichlet(random.key(0), np.ones(3, np.float32), (2,)).shape
    (2, 3)
    """
    typed, _ = typed_key("dirichlet", key)
    dtype = floating("dirichlet", dtype)
    alpha = fnp.asarray(alpha)
    if not alpha.shape:
        raise FunctransValueError(f"dirichlet: alpha must have at least one axis, got a scalar at {here()}")
    sizes = sample_shape("dirichlet", shape, ("alpha without its last axis", tuple(alpha.shape[:-1])))
    return _dirichlet(typed, lax.convert_element_type(alpha, dtype), shape=sizes, dtype=dtype)


@static
def _chisquare(key: Any, df: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    return lax.mul(lax.exp(_gamma(key, fnp.divide(df, 2.0), shape=shape, log_space=True)), 2.0)


@takes(method="exact", out_sharding=None)
def chisquare(key: Key, df: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the chi-square distribution with ``df`` degrees of freedom.

    >>> from functrans import random
    >>> random.chisquare(random.key(0), 2.0, (3,)).shape
    (3,)
    """
    return drawn(_chisquare, "chisquare", key, shape, dtype, df=df)


@static
def _t(key: Any, df: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    first, second = split_key(key)
    half = broadcast(fnp.divide(df, 2.0), shape)
    n = _normal(first, shape=shape, dtype=dtype)
    drawn = lax.stop_gradient(_gamma(second, half, shape=shape, log_space=False))
    # The derivative of the quotient would divide by the square of a gamma number, which is often 0.
    return with_logarithm(n * fnp.sqrt(half / drawn), 0.5 * (lax.log(half) - logarithm_of_gamma(half, drawn)))


@takes(out_sharding=None)
def t(key: Key, df: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of Student's t distribution with ``df`` degrees of freedom.

    >>> from functrans import random
    >>> random.t(random.key(0), 2.0, (3,)).shape
    (3,)
    """
    return drawn(_t, "t", key, shape, dtype, df=df)


@static
def _f(key: Any, dfnum: Any, dfden: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    for_below, for_above = split_key(key)
    dfnum, dfden = broadcast(dfnum, shape), broadcast(dfden, shape)
    above = _gamma(for_above, fnp.divide(dfnum, 2.0), shape=shape, log_space=True)
    below = _gamma(for_below, fnp.divide(dfden, 2.0), shape=shape, log_space=True)
    means = [fnp.divide(lax.mul(lax.exp(log), 2.0), df) for log, df in ((above, dfnum), (below, dfden))]
    return with_logarithm(fnp.divide(*means), above - lax.log(dfnum) - (below - lax.log(dfden)))


@takes(out_sharding=None)
def f(key: Key, dfnum: ArrayLike, dfden: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the F distribution with ``dfnum`` and ``dfden`` degrees of freedom.

    >>> from functrans import random
    >>> random.f(random.key(0), 2.0, 3.0, (3,)).shape
    (3,)
    """
    return drawn(_f, "f", key, shape, dtype, dfnum=dfnum, dfden=dfden)
