"""Equality by type and bits, which Python's is not: 1, 1.0 and True are equal to it, and so are 0.0 and -0.0."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_pack_double = struct.Struct("d").pack


def scalar_bits(value: Any) -> Any:
    """A key under which scalars of one type are equal when they have the same bits."""
    kind = type(value)
    if kind is float:
        return _pack_double(value)
    if kind is complex:
        return struct.pack("dd", value.real, value.imag)
    if isinstance(value, np.generic):
        return value.tobytes()
    return value


_EXACT = object()  # in no user's value: what stands beside it is a type and bits
PLAIN = frozenset((int, str, bytes, type(None)))  # types whose values are their own keys: equal where they are the same


def exact_key(value: Any) -> Any:
    """A key under which parameters are equal when they have the same types and bits, however deep in tuples.

    >>> exact_key((0.0, 1)) == exact_key((-0.0, 1)), exact_key(True) == exact_key(1)
    (False, False)
    >>> exact_key(float("nan")) == exact_key(float("nan"))
    True
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is tuple:
        return value if PLAIN.issuperset(map(type, value)) else tuple([exact_key(x) for x in value])
    if kind is float or kind is bool or isinstance(value, complex | np.generic):
        return _EXACT, kind, scalar_bits(value)
    if isinstance(value, np.dtype):  # float64's equals None
        return _EXACT, kind, value
    if isinstance(value, tuple):  # a named one
        return _EXACT, kind, tuple([exact_key(x) for x in value])
    if isinstance(value, frozenset):
        return _EXACT, kind, frozenset([exact_key(x) for x in value])
    if isinstance(value, int | float):  # a class of the user's, or an enumeration's member
        return _EXACT, kind, scalar_bits(int(value) if isinstance(value, int) else float(value)), value
    return value
