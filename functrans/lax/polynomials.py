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
from functrans.ops.structural import full
from functrans.trace.frames import here


def _like(x: Any, value: complex) -> Any:
    t = type_of(x)
    return full(t.shape, value, t.dtype)


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
    one = _like(x, 1.0)
    return mul(add(one, x), sub(one, x))


@_one_minus_square.defjvp
def _slope(primals: Any, tangents: Any) -> Any:
    (x,) = primals
    return _one_minus_square(x), mul(mul(_like(x, -2.0), x), tangents[0])


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
      coeffs: numbers, or arrays like x, the constant term first.
      unroll: accepted; all rounds are written out.

    Raises:
      ValueError: no coefficients.

    >>> from functrans import lax
    >>> float(lax.polynomial(2.0, (1.0, 0.0, 3.0)))
    13.0
    """
    if not len(coeffs):
        raise FunctransValueError(f"polynomial: at least one coefficient is needed, at {here()}")
    terms = [_like(x, c) if isinstance(c, int | float | complex) else c for c in coeffs]
    result = terms[-1]
    for c in reversed(terms[:-1]):
        result = add(mul(result, x), c)
    return result
