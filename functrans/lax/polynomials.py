"""Polynomials, and a logarithm by its base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from functrans.api.custom_rules import custom_jvp
from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.ops.elementwise import add, div, mul, sub
from functrans.ops.functions import log
from functrans.ops.structural import broadcast_in_dim, convert, scalar_literal
from functrans.trace.frames import here


def _like(x: Any, value: complex, weak: bool) -> Any:
    t = type_of(x)
    return broadcast_in_dim(scalar_literal(value, t.dtype, weak), t.shape, ())


def log2(x: Any, *, accuracy: Any = None) -> Any:
    """The logarithm to the base 2.

    Raises NotImplementedError for ``accuracy``: no operation has several implementations here.

    >>> from functrans import lax
    >>> float(lax.log2(8.0))
    3.0
    """
    if accuracy is not None:
        raise NotImplementedError("log2: accuracy= is not supported; leave it out.")
    return div(log(x), math.log(2))


@custom_jvp
def _one_minus_square(x: Any) -> Any:
    one = _like(x, 1.0, type_of(x).weak_type)
    return mul(add(one, x), sub(one, x))


@_one_minus_square.defjvp
def _slope(primals: Any, tangents: Any) -> Any:
    (x,) = primals
    return _one_minus_square(x), mul(mul(_like(x, -2.0, type_of(x).weak_type), x), tangents[0])


def one_minus_square(x: Any) -> Any:
    """``1 - x**2``, whose digits stay near 1 and -1, and those of its derivative near 0.

    >>> from functrans import lax
    >>> float(lax.one_minus_square(0.5))
    0.75
    """
    return _one_minus_square(x)


def polynomial(x: Any, coeffs: Sequence[Any], *, unroll: int | None = None) -> Any:
    """``coeffs[0] + coeffs[1] * x + coeffs[2] * x**2 + ...``, by Horner's rule.

    Args:
      x: a floating or complex array.
      coeffs: numbers, or arrays like x, the constant term first; of the dtype of x.
      unroll: accepted; all rounds are written out.

    Raises:
      ValueError: no coefficients.

    >>> from functrans import lax
    >>> float(lax.polynomial(2.0, (1.0, 0.0, 3.0)))
    13.0
    """
    if not len(coeffs):
        raise FunctransValueError(f"polynomial: at least one coefficient is needed, at {here()}")
    of_x = type_of(x)
    weak = of_x.weak_type and not of_x.shape  # JAX's constants are as weak as a single x
    terms = [
        _like(x, c, weak) if isinstance(c, int | float | complex) else convert(c, of_x.dtype) for c in coeffs
    ]
    result = terms[-1]
    for c in reversed(terms[:-1]):
        result = add(mul(result, x), c)
    return result
