"""Variations of a sample: what everyday programs make of an operation's operands, and polite samples do not.

Each variation takes a case, which has been checked as it is, checks the rules in its own way, and returns the cases
that hold what it ran. Wherever it can, it compares with what the rules gave for the case as it is: that needs no
differences, and is good to rounding.

What a variation cannot be applied to, the operation says itself: ``infer`` refuses the operands (other dtypes, other
lengths), or ``check_rules(without=...)`` names the variation and the reason.
"""

from __future__ import annotations

from collections.abc import Callable

from functrans.testing.cases import Case
from functrans.testing.variations.arrays import half_precision, integer_dtypes, mapped_twice, odd_strides, short_axes
from functrans.testing.variations.derivatives import second_derivatives, zero_tangents
from functrans.testing.variations.values import (
    captured_operands,
    literal_operands,
    number_values,
    same_value_twice,
    weak_types,
)

VARIATIONS: dict[str, Callable[[Case], list[Case]]] = {
    "literal operands": literal_operands,
    "number values": number_values,
    "weak types": weak_types,
    "same value twice": same_value_twice,
    "zero tangents": zero_tangents,
    "mapped twice": mapped_twice,
    "captured operands": captured_operands,
    "odd strides": odd_strides,
    "short axes": short_axes,
    "integer dtypes": integer_dtypes,
    "half precision": half_precision,
    "second derivatives": second_derivatives,
}
