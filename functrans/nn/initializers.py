"""``jax.nn.initializers`` by functrans: the first values of weights, the same for the same key.

An initializer is a function ``(key, shape, dtype=...) -> array``. ``zeros`` and ``ones`` are initializers, every other
name makes one.

    weights = initializers.he_normal()(random.key(0), (784, 128))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans import numpy as fnp
from functrans import random
from functrans.errors import FunctransValueError
from functrans.ir.types import kind_of
from functrans.numpy.promotion import Array, ArrayLike, requested_dtype, shape_argument
from functrans.random.keys import default_float
from functrans.trace.keywords import takes

Initializer = Callable[..., Array]
Axes = int | Sequence[int]


def _dtype(dtype: Any) -> Any:
    return default_float() if dtype is None else requested_dtype("an initializer", dtype)


@takes(out_sharding=None)
def zeros(key: Any, shape: Any, dtype: Any = None) -> Array:
    """An initializer: zeros, whatever the key.

    >>> from functrans.nn import initializers
    >>> initializers.zeros(None, (2,)).tolist()
    [0.0, 0.0]
    """
    return fnp.zeros(shape, _dtype(dtype))


@takes(out_sharding=None)
def ones(key: Any, shape: Any, dtype: Any = None) -> Array:
    """An initializer: ones, whatever the key.

    >>> from functrans.nn import initializers
    >>> initializers.ones(None, (2,)).tolist()
    [1.0, 1.0]
    """
    return fnp.ones(shape, _dtype(dtype))


def constant(value: ArrayLike, dtype: Any = None) -> Initializer:
    """An initializer of one value everywhere, or of values that broadcast to the shape.

    >>> from functrans.nn import initializers
    >>> initializers.constant(3.0)(None, (2,)).tolist()
    [3.0, 3.0]
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return fnp.full(shape, value, _dtype(dtype))

    return init


def uniform(scale: ArrayLike = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer of numbers spread evenly over [0, scale).

    >>> from functrans import nn, random
    >>> nn.initializers.uniform()(random.key(0), (2, 3)).shape
    (2, 3)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return _scaled(random.uniform(key, shape, _dtype(dtype)), scale)

    return init


def normal(stddev: ArrayLike = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer of normal numbers with this standard deviation.

    >>> from functrans import nn, random
    >>> nn.initializers.normal()(random.key(0), (2, 3)).shape
    (2, 3)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return _scaled(random.normal(key, shape, _dtype(dtype)), stddev)

    return init


def truncated_normal(
    stddev: ArrayLike = 1e-2, dtype: Any = None, lower: ArrayLike = -2.0, upper: ArrayLike = 2.0
) -> Initializer:
    """An initializer of stddev times standard normal numbers between ``lower`` and ``upper``.

    >>> from functrans import nn, random
    >>> float(abs(nn.initializers.truncated_normal(1.0)(random.key(0), (100,))).max()) < 2.0
    True
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        return _scaled(random.truncated_normal(key, lower, upper, shape, _dtype(dtype)), stddev)

    return init


def _scaled(drawn: Any, by: Any) -> Any:
    return fnp.multiply(drawn, fnp.asarray(by, drawn.dtype))


def _fans(shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> tuple[float, float]:
    """How many inputs an output has, and outputs an input; axes that are none of the three are those of a window."""
    if len(shape) <= 1 and in_axis == -2:
        raise FunctransValueError(
            f"variance_scaling: inputs and outputs of weights of shape {shape} cannot be told apart; give at least two "
            f"axes, or in_axis"
        )

    def size(axes: Axes) -> int:
        return math.prod(shape[i] for i in ((axes,) if isinstance(axes, int) else axes))

    try:
        inputs, outputs, batch = size(in_axis), size(out_axis), size(batch_axis)
    except IndexError:
        raise FunctransValueError(
            f"variance_scaling: in_axis={in_axis}, out_axis={out_axis} or batch_axis={batch_axis} is no axis of "
            f"weights of shape {shape}"
        ) from None
    window = math.prod(shape) / inputs / outputs / batch
    return inputs * window, outputs * window


_FANS: dict[str, Callable[[float, float], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: (fan_in * fan_out) ** 0.5,
}


def _complex_disk(key: Any, shape: tuple[int, ...], dtype: Any, radius: Callable[[Any], Any]) -> Any:
    """Complex numbers with evenly drawn angles, and with ``radius`` of evenly drawn numbers."""
    lengths, angles = random.split(key)
    real = np.dtype(np.float64 if dtype == np.complex128 else np.float32)
    r = radius(random.uniform(lengths, shape, real))
    theta = fnp.multiply(2 * np.pi, random.uniform(angles, shape, real).astype(dtype))
    return fnp.multiply(r, fnp.exp(fnp.multiply(1j, theta)))


def variance_scaling(
    scale: float, mode: str, distribution: str, in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:  # fmt: skip
    """An initializer of numbers with mean 0 and variance ``scale / n``.

    Args:
      scale: a positive number.
      mode: what n is: 'fan_in' (inputs of an output), 'fan_out' (outputs of an input), 'fan_avg' or 'fan_geo_avg'
        (their arithmetic or geometric mean).
      distribution: 'truncated_normal' (at two standard deviations), 'normal' or 'uniform'.
      in_axis: the axis or axes of the inputs.
      out_axis: the axis or axes of the outputs.
      batch_axis: axes that count as neither; all others are those of a convolution's window.
      dtype: what the initializer uses unless it is told another; floating or complex.

    Raises:
      ValueError: another mode or distribution, or (by the initializer) a shape without these axes.

    >>> from functrans import nn, random
    >>> nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")(random.key(0), (2, 3)).shape
    (2, 3)
    """
    if mode not in _FANS:
        raise FunctransValueError(f"variance_scaling: mode must be one of {', '.join(map(repr, _FANS))}, got {mode!r}")
    if distribution not in ("truncated_normal", "normal", "uniform"):
        raise FunctransValueError(
            f"variance_scaling: distribution must be 'truncated_normal', 'normal' or 'uniform', got {distribution!r}"
        )

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        sizes, to = shape_argument("variance_scaling", shape), _dtype(dtype)
        variance = fnp.asarray(scale / _FANS[mode](*_fans(sizes, in_axis, out_axis, batch_axis)), to)
        deviation = fnp.sqrt(variance)
        is_complex = kind_of(to) == "c"
        if distribution == "normal":
            return fnp.multiply(random.normal(key, sizes, to), deviation)
        if distribution == "uniform":
            if not is_complex:
                return fnp.multiply(random.uniform(key, sizes, to, -1), fnp.sqrt(fnp.multiply(3, variance)))
            drawn = _complex_disk(key, sizes, to, lambda u: fnp.sqrt(fnp.multiply(2, u)).astype(to))
            return fnp.multiply(drawn, deviation)
        # what cutting at two standard deviations makes of a standard deviation of 1
        deviation = fnp.divide(deviation, fnp.asarray(0.95311164380491208 if is_complex else 0.87962566103423978, to))
        if not is_complex:
            return fnp.multiply(random.truncated_normal(key, -2, 2, sizes, to), deviation)
        kept = fnp.subtract(1, fnp.exp(fnp.asarray(-4, to)))
        drawn = _complex_disk(
            key, sizes, to, lambda u: fnp.sqrt(fnp.negative(fnp.log(fnp.subtract(1, fnp.multiply(kept, u.astype(to))))))
        )
        return fnp.multiply(drawn, deviation)

    return init


def _scaling(name: str, title: str, scale: float, mode: str, distribution: str) -> Callable[..., Initializer]:
    def make(in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""{title}: ``variance_scaling({scale}, {mode!r}, {distribution!r})`` with these other arguments.

    >>> from functrans import nn, random
    >>> nn.initializers.{name}()(random.key(0), (2, 3)).shape
    (2, 3)
    """
    return make


glorot_uniform = _scaling("glorot_uniform", "Glorot and Bengio 2010", 1.0, "fan_avg", "uniform")
glorot_normal = _scaling("glorot_normal", "Glorot and Bengio 2010", 1.0, "fan_avg", "truncated_normal")
lecun_uniform = _scaling("lecun_uniform", "Klambauer et al. 2017", 1.0, "fan_in", "uniform")
lecun_normal = _scaling("lecun_normal", "Klambauer et al. 2017", 1.0, "fan_in", "truncated_normal")
he_uniform = _scaling("he_uniform", "He et al. 2015", 2.0, "fan_in", "uniform")
he_normal = _scaling("he_normal", "He et al. 2015", 2.0, "fan_in", "truncated_normal")
xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def orthogonal(scale: ArrayLike = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of ``scale`` times orthogonal matrices, the axes but ``column_axis`` taken together as rows.

    The shorter of rows and columns are orthonormal. ValueError (by the initializer) for less than two axes.

    >>> from functrans import nn, random
    >>> nn.initializers.orthogonal()(random.key(0), (2, 3)).shape
    (2, 3)
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        sizes, to = shape_argument("orthogonal", shape), _dtype(dtype)
        if len(sizes) < 2:
            raise FunctransValueError(f"orthogonal: weights with at least two axes are needed, got shape {sizes}")
        if not math.prod(sizes):
            return fnp.zeros(sizes, to)
        columns = sizes[column_axis]
        q = random.orthogonal(key, math.prod(sizes) // columns, (), to, columns)
        rest = [n for i, n in enumerate(sizes) if i != column_axis % len(sizes)]
        return _scaled(fnp.moveaxis(fnp.reshape(q, (*rest, columns)), -1, column_axis), scale)

    return init


def delta_orthogonal(scale: ArrayLike = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of convolution kernels ``[*window, inputs, outputs]`` (Xiao et al. 2018).

    ``scale`` times an orthogonal matrix in the middle of the window, zeros elsewhere. ValueError (by the initializer)
    unless the shape has 3, 4 or 5 axes, and no more inputs than outputs.

    >>> from functrans import nn, random
    >>> nn.initializers.delta_orthogonal()(random.key(0), (3, 2, 2))[0].tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Array:
        sizes, to = shape_argument("delta_orthogonal", shape), _dtype(dtype)
        if len(sizes) not in (3, 4, 5) or sizes[-1] < sizes[-2]:
            raise FunctransValueError(
                f"delta_orthogonal: a shape [*window, inputs, outputs] of 3, 4 or 5 axes with no more inputs than "
                f"outputs is needed, got {sizes}"
            )
        matrix = orthogonal(scale, column_axis, to)(key, sizes[-2:])
        middle = tuple((n - 1) // 2 for n in sizes[:-2])
        return fnp.zeros(sizes, to).at[middle].set(matrix)

    return init


__all__ = [
    "Initializer", "constant", "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal",
    "truncated_normal", "uniform", "variance_scaling", "xavier_normal", "xavier_uniform", "zeros",
]  # fmt: skip
