"""Activation functions: elementwise, floating."""

from __future__ import annotations

import functools
import math
from typing import Any

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.lax.elementwise import in_single
from functrans.lax.evaluated import Evaluated
from functrans.numpy.arithmetic import absolute, add, hypot, logaddexp, maximum, minimum, multiply, true_divide
from functrans.numpy.comparison import greater, greater_equal, less, less_equal
from functrans.numpy.creation import asarray
from functrans.numpy.elementary import exp, expm1, log, log1p, sqrt, tanh
from functrans.numpy.joining import split
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    axis_index,
    common_dtype,
    operand_type,
    promote_arrays,
    promote_one,
    scalar_of_kind,
    strengthened,
    to_dtype,
)
from functrans.numpy.selection import clip, where
from functrans.ops.exponentials import log_add_exp
from functrans.trace.binding import bind

__all__ = ["tanh"]


def _floating(operation: str, x: ArrayLike) -> Any:
    x = promote_one(operation, x, inexact=True)
    return asarray(x) if isinstance(x, int | float | complex) else x


def _beside(operation: str, x: ArrayLike, number: float, inexact: bool = False) -> Any:
    """``x`` as an array; a bool or an integer in the type that it has beside the number (a float is weak, then)."""
    x = asarray(x)
    if operand_type(operation, x).dtype in INEXACT:
        return x
    return to_dtype(x, *common_dtype(operation, x, number, inexact=inexact))


def _is_complex(x: Any) -> bool:
    return operand_type("", x).dtype in COMPLEX


def identity(x: ArrayLike) -> Array:
    """x itself."""
    return asarray(x)


def relu(x: ArrayLike) -> Array:
    """max(x, 0), with the derivative 0 at 0.

    >>> from functrans import nn
    >>> nn.relu(-1.5)
    Array(0., dtype=float32, weak_type=True)
    """
    x = asarray(x)
    if x.dtype == BOOL:
        x = _beside("relu", x, 0)
    # The comparison is false for NaN, which therefore stays; at 0 the constant is chosen, whose derivative is 0.
    return where(less_equal(x, 0), scalar_of_kind(0, operand_type("relu", x).dtype), x)


def relu6(x: ArrayLike) -> Array:
    """min(max(x, 0), 6), with the derivative 0 at both ends."""
    x = _beside("relu6", x, 6.0)
    return where(less_equal(x, 0.0), 0.0, where(greater_equal(x, 6.0), 6.0, x))


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)).

    >>> from functrans import nn
    >>> nn.sigmoid(0.)
    Array(0.5, dtype=float32, weak_type=True)
    """
    return lax.logistic(_floating("sigmoid", x))


def log_sigmoid(x: ArrayLike) -> Array:
    """log(sigmoid(x)), without underflow."""
    x = _floating("log_sigmoid", x)
    return lax.neg(softplus(lax.neg(x)))


def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x)), without overflow."""
    x = _beside("softplus", x, 0, inexact=True)
    return logaddexp(x, 0.0) if _is_complex(x) else log_add_exp(x, 0.0)


def soft_sign(x: ArrayLike) -> Array:
    """x / (1 + abs(x))."""
    x = _beside("soft_sign", x, 1, inexact=True)
    return true_divide(x, add(absolute(x), 1.0)) if _is_complex(x) else bind(SOFT_SIGN, x)


class SoftSign(Evaluated):
    """x / (1 + abs(x)): of the quotient's derivative, 1 / (1 + abs(x))^2, its rounded value would leave nothing."""

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        return lax.div(x, lax.add(lax.abs(x), 1.0))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.square(lax.div(1.0, lax.add(lax.abs(x), 1.0)))


SOFT_SIGN = SoftSign()


def silu(x: ArrayLike) -> Array:
    """x * sigmoid(x)."""
    return in_single(lambda x: lax.mul(x, lax.logistic(x)), _floating("silu", x))


swish = silu


def mish(x: ArrayLike) -> Array:
    """x * tanh(softplus(x))."""
    return in_single(lambda x: lax.mul(x, lax.tanh(softplus(x))), _beside("mish", x, 0, inexact=True))


def gelu(x: ArrayLike, approximate: bool = True) -> Array:
    """x * P(Z <= x) for a standard normal Z; by default its approximation with tanh (Hendrycks and Gimpel 2016).

    ``approximate=False`` gives the exact form, through erfc, which keeps its precision far to the left.

    >>> from functrans import nn
    >>> nn.gelu(0.)
    Array(0., dtype=float32)
    """
    x = strengthened(_floating("gelu", x))
    return in_single(_gelu_by_tanh if approximate else functools.partial(bind, Gelu(0)), x)


def _gelu_by_tanh(x: Any) -> Any:
    # (1 + tanh(z)) / 2 = logistic(2 z), which keeps its precision far to the left
    inner = lax.mul(lax.add(x, lax.mul(lax.integer_pow(x, 3), 0.044715)), math.sqrt(8 / math.pi))
    return lax.mul(x, lax.logistic(inner))


class Gelu(Evaluated):
    """x P(Z <= x), or its derivative (``order`` 1), P(Z <= x) + x p(x) for the density p of a standard normal Z."""

    order: int

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        below = lax.mul(0.5, lax.erfc(lax.mul(x, -math.sqrt(0.5))))
        if self.order == 0:
            return lax.mul(x, below)
        density = lax.mul(lax.exp(lax.mul(lax.square(x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return lax.add(below, lax.mul(x, density))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        if self.order == 0:
            return bind(Gelu(1), x)
        # (2 - x^2) p(x), which is in range where p(x) is not
        root = lax.exp(lax.mul(lax.square(x), -0.25))
        scaled = lax.mul(lax.sub(2.0, lax.square(x)), 1 / math.sqrt(2 * math.pi))
        return lax.mul(lax.mul(scaled, root), root)


def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    x = _beside("elu", x, 0.0)
    # expm1 sees only negative numbers: its overflow would poison the derivative of the other branch
    return where(greater(x, 0), x, multiply(alpha, expm1(where(greater(x, 0), 0.0, x))))


def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    x = _beside("celu", x, 0.0)
    return add(maximum(x, 0.0), multiply(alpha, expm1(true_divide(minimum(x, 0.0), alpha))))


def selu(x: ArrayLike) -> Array:
    """The scaled elu that keeps activations normalised (Klambauer et al. 2017)."""
    return multiply(1.0507009873554804934193349852946, elu(x, 1.6732632423543772848170429916717))


def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 1e-2) -> Array:
    """x where x >= 0, else negative_slope * x."""
    x = _beside("leaky_relu", x, 0.0)
    return where(greater_equal(x, 0.0), x, multiply(x, negative_slope))


def hard_tanh(x: ArrayLike) -> Array:
    """x cut to [-1, 1], with the derivative 0 at the ends."""
    x = _beside("hard_tanh", x, 1)
    return where(greater(x, 1), 1, where(less(x, -1), -1, x))


def hard_sigmoid(x: ArrayLike) -> Array:
    """relu6(x + 3) / 6."""
    return true_divide(relu6(add(_beside("hard_sigmoid", x, 3.0), 3.0)), 6.0)


def hard_silu(x: ArrayLike) -> Array:
    """x * hard_sigmoid(x)."""
    x = _beside("hard_silu", x, 3.0)
    return multiply(x, hard_sigmoid(x))


hard_swish = hard_silu


def glu(x: ArrayLike, axis: int = -1) -> Array:
    """a * sigmoid(b) for the two halves a and b of x along ``axis``; ValueError where its size is odd.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.glu(fnp.array([3., 0.]))
    Array([1.5], dtype=float32)
    """
    x = asarray(x)
    size = x.shape[axis_index("glu", axis, x.ndim)]
    if size % 2:
        raise FunctransValueError(f"glu: axis {axis} must have two halves, got size {size} of shape {tuple(x.shape)}")
    left, right = split(x, 2, axis)
    return multiply(left, sigmoid(right))


def squareplus(x: ArrayLike, b: ArrayLike = 4) -> Array:
    """(x + sqrt(x**2 + b)) / 2: a smooth relu without exponentials (Barron 2021).

    >>> from functrans import nn
    >>> float(nn.squareplus(0.))
    1.0
    """
    x, b = promote_arrays("squareplus", promote_one("squareplus", x, numeric=True), b, inexact=True)
    if _is_complex(x):
        return multiply(add(x, sqrt(add(lax.square(x), b))), 0.5)
    return bind(SQUARE_PLUS, x, b)


def _root(x: Any, b: Any) -> Any:
    return hypot(x, lax.sqrt(b))


class SquarePlus(Evaluated):
    """(x + sqrt(x^2 + b)) / 2; the sum of a negative x and the root is b over their difference."""

    def define(self, *operands: Any) -> Any:
        x, b = operands
        total = lax.add(lax.abs(x), _root(x, b))
        negative = lax.div(lax.mul(b, 0.5), where(lax.eq(total, 0.0), 1.0, total))
        return where(lax.lt(x, 0.0), negative, lax.add(x, negative))

    def partial(self, i: int, out: Any, x: Any, b: Any) -> Any:
        return bind(SQUARE_PLUS_SLOPE, x, b) if i == 0 else lax.div(0.25, _root(x, b))


class SquarePlusSlope(Evaluated):
    """The derivative of ``SquarePlus`` by x: its value over the root."""

    def define(self, *operands: Any) -> Any:
        x, b = operands
        root = _root(x, b)
        return lax.div(SQUARE_PLUS.define(x, b), where(lax.eq(root, 0.0), 1.0, root))

    def partial(self, i: int, out: Any, x: Any, b: Any) -> Any:
        inverse = lax.div(1.0, _root(x, b))
        cube = lax.mul(lax.mul(inverse, inverse), inverse)
        return lax.mul(cube, lax.mul(b, 0.5) if i == 0 else lax.mul(x, -0.25))


SQUARE_PLUS, SQUARE_PLUS_SLOPE = SquarePlus(), SquarePlusSlope()


def sparse_plus(x: ArrayLike) -> Array:
    """0 where x <= -1, x where x >= 1, (x + 1)**2 / 4 between.

    >>> from functrans import nn
    >>> float(nn.sparse_plus(0.))
    0.25
    """
    x = asarray(x)
    below, above = less_equal(x, -1.0), greater_equal(x, 1.0)
    between = where(below, 0.0, where(above, 0.0, x))  # the square of any other number may overflow in a derivative
    return where(below, 0.0, where(above, x, true_divide(lax.square(add(between, 1.0)), 4)))


def sparse_sigmoid(x: ArrayLike) -> Array:
    """0 where x <= -1, 1 where x >= 1, (x + 1) / 2 between: the derivative of ``sparse_plus``.

    >>> from functrans import nn
    >>> float(nn.sparse_sigmoid(0.))
    0.5
    """
    return multiply(0.5, clip(add(x, 1.0), 0.0, 2.0))


def log1mexp(x: ArrayLike) -> Array:
    """log(1 - exp(-x)) for x >= 0, precise for small and large x.

    >>> from functrans import nn
    >>> round(float(nn.log1mexp(1e-20)), 3)
    -46.052
    """
    x = _floating("log1mexp", x)
    small = less(x, math.log(2.0))
    # each form sees its own numbers only, so that none of its infinities enters a derivative of the other
    near, far = lax.neg(where(small, x, 1.0)), lax.neg(where(small, 1.0, x))
    return where(small, log(lax.neg(expm1(near))), log1p(lax.neg(exp(far))))
