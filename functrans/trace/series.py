"""Values along a line, as rules for Taylor mode meet them, and the line itself, which they are handed.

A line is a curve s -> x(s) through the operands; a value that varies along it is a ``Series``, its Taylor coefficients
at s = 0. Coefficients are computed when they are asked for, each from those before it, so that a series may be defined
by what is made of it: ``y' = y x'`` is a recurrence, and so is the solution of a differential equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from functrans.ir.types import ArrayType, Typed


class Series(Typed):
    """``x[k]`` is the k-th Taylor coefficient of x(s): x(s) = x[0] + x[1] s + x[2] s^2 + ...; None where it is zero.

    Args:
      type: that of the value and of each coefficient.
      known: the first coefficients.
      step: k -> coefficient k, asked for once and after all before it.
      degree: the coefficients beyond it are zero; None: nobody knows.
      ahead: told the highest order that is wanted, before ``step`` is asked for what is missing.
    """

    __slots__ = ("ahead", "degree", "known", "step", "type")

    def __init__(
        self,
        type: ArrayType,
        known: Sequence[Any],
        step: Callable[[int], Any],
        degree: int | None = None,
        ahead: Callable[[int], None] | None = None,
    ) -> None:
        self.type = type
        self.known = list(known)
        self.step = step
        self.degree = degree
        self.ahead = ahead

    def __getitem__(self, k: int) -> Any:
        if self.degree is not None and k > self.degree:
            return None
        known = self.known
        if k >= len(known):
            if self.ahead is not None:
                self.ahead(k)
            while len(known) <= k:
                known.append(self.step(len(known)))
        return known[k]


class Line(Protocol):
    """What a rule for Taylor mode makes series with. Operands are series, and values that are the same all along."""

    def apply(self, op: Any, operands: Sequence[Any]) -> Any:
        """The results of an operation along the line: one, or a list where it is ``multiple``."""

    def along(self, op: Any, operands: Sequence[Any]) -> Any:
        """As ``apply``, by the operation's jvp rule, whatever its rule for Taylor mode is."""

    def pushed(self, op: Any, operands: Sequence[Any]) -> Any:
        """As ``apply``, by the operation over programs that carry coefficients beside their values."""

    def product(self, op: Any, x: Any, y: Any) -> Any:
        """The result of an operation that is linear in each of its two operands."""

    def derivative(self, x: Series) -> Any:
        """The series of x'(s), or its value where it is the same all along."""

    def quotient(self, x: Any, y: Any) -> Any:
        """x / y, by one division."""

    def solution(self, solve: Callable[[Any], Any], product: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """The z with ``product(y, z) = x``, linear in both; ``solve(x)``: that for the y at the beginning."""

    def value(self, x: Any) -> Any:
        """What an operand is at the beginning of the line."""
