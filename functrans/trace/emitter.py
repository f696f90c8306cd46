"""What ``Primitive.lower`` is handed: something that writes StableHLO, one line an operation, and knows every name.

``xla.lower.Emitter`` is one. Operations know this protocol only, so that none of them imports XLA. Operands and results
are SSA names (``%12``); types are of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType

Names = Sequence[str]
Types = Sequence[ArrayType]


class EmitterProtocol(Protocol):
    """Writes the lines of one function of a module."""

    token: str | None  # what the next ordered effect waits for: each takes it and leaves another

    @property
    def platform(self) -> str:
        """``cpu``, ``cuda``, ``rocm`` or ``tpu``: a lowering that reads it is written once for each platform."""

    def op(self, text: str, in_types: Types, out_type: ArrayType) -> str:
        """The line ``text : (in_types) -> out_type``; the name of its result."""

    def raw(self, text: str) -> str:
        """A line with one result, types included in ``text``."""

    def raw_many(self, text: str, count: int) -> list[str]:
        """A line with ``count`` results."""

    def text(self, type: ArrayType) -> str:
        """``tensor<3xf32>``."""

    def indices(self, values: Sequence[int] | Sequence[str], dtype: str = "i64") -> str:
        """``array<i64: 1, 2>``."""

    def elementwise(self, name: str, operands: Names, in_types: Types, out_type: ArrayType) -> str:
        """A StableHLO elementwise operation on operands of the result's shape."""

    def select(self, which: str, yes: str, no: str, which_type: ArrayType, type: ArrayType) -> str:
        """Elementwise choice."""

    def reduce(
        self, name: str, operand: str, initial: str, axes: Sequence[int], in_type: ArrayType, out_type: ArrayType
    ) -> str:
        """Reduce with a StableHLO binary operation."""

    def constant(self, value: Any, type: ArrayType) -> str:
        """A constant of this type with every element equal to ``value``, written once for each function."""

    def constant_here(self, value: Any, type: ArrayType) -> str:
        """A constant written at this place: in a region that may not look outside."""

    def splat(self, value: Any, like: ArrayType) -> str:
        """A constant with the shape and dtype of ``like``."""

    def scalar(self, value: Any, like: ArrayType) -> str:
        """A rank-0 constant with the dtype of ``like``."""

    def region(
        self, arg_types: Types, body: Callable[[list[str]], Names], out_types: Types, token: str = ""
    ) -> str:
        """The text of a region; ``token``: "argument" where it takes one, "result" where it gives one, "both"."""

    def barrier(self, operands: Names, types: Types, lasting: bool = True) -> list[str]:
        """The operands behind a barrier that XLA's passes leave where it is, or at least its simplifier."""

    def inline(self, jaxpr: Jaxpr, operands: Names) -> list[str]:
        """Write the equations of a program here; the names of its outputs."""

    def call(self, jaxpr: Jaxpr, name: str, operands: Names) -> list[str]:
        """Call a program as a function of the module, which is written once however often it is called."""

    def splice(self, module: str) -> str:
        """Write the functions of a module, as MLIR prints it, into this one; the symbol of its ``main``."""

    def kernel(
        self,
        target: str,
        operands: Names,
        in_types: Types,
        out_types: Types,
        batch_rank: int,
        attributes: Mapping[str, str | bool | int],
        in_place: Mapping[int, int],
    ) -> list[str]:
        """A call of a kernel that jaxlib registers under the name ``target``; the names of its results."""

    def current_token(self) -> str:
        """``token``, where there has to be one."""

    def host_callback(
        self,
        function: Callable[..., tuple[Any, ...]],
        operands: Names,
        in_types: Types,
        out_types: Types,
        *,
        what: str,
        effect: bool = True,
        ordered: bool = False,
    ) -> list[str]:
        """A call of a Python function on NumPy arrays; ``what`` is the user's function behind it, for messages."""
