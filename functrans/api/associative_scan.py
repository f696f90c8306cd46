"""``associative_scan``: every prefix of a sequence combined by an associative function, in few parallel steps.

    [a, b, c, d]  ->  [a, f(a, b), f(f(a, b), c), f(f(a, b), f(c, d))]

Neighbours are combined, the half as long sequence is scanned in the same way, and its results are what stands at the
odd places; each even place takes one combination more (Blelloch, "Prefix Sums and Their Applications", 1990). The
program holds only the combining function, slices and concatenations, so every transform works on it without a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.api.bodies import check_same_results, operand_types, plain_python, rebuild, trace_body, typed_leaves
from functrans.control.call import Call
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, describe, type_of
from functrans.ops.slicing import canonical_axis, concatenate, rev, slice_in_dim
from functrans.ops.structural import convert, reshape
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.state import current_builder


@api_boundary
def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Combine every prefix of a sequence by an associative function, in parallel.

    Args:
      fn: ``fn(a, b)`` of two pytrees like ``elems``, whose size along ``axis`` is that of a part of the sequence; it
        combines element by element along ``axis`` and must be associative. It may close over traced values.
      elems: a pytree of arrays with one size along ``axis``.
      reverse: scan from the last element to the first; ``fn`` takes the later element first.
      axis: the axis to go along, the same for every leaf.

    Returns:
      A pytree like ``elems``; element k is the combination of the first k + 1.

    Raises:
      TypeError: ``fn`` is no function, or returns another tree, shape or dtype.
      ValueError: sizes along ``axis`` differ.

    >>> import functrans as ft, numpy as np
    >>> [int(x) for x in ft.lax.associative_scan(ft.lax.add, np.arange(4, dtype='int32'))]
    [0, 1, 3, 6]
    """
    if not callable(fn):
        raise FunctransTypeError(
            f"associative_scan needs a function as its first argument, got {describe(fn)} at {here()}"
        )
    leaves, tree, types = operand_types("elems of associative_scan", elems)
    if not leaves:
        return elems
    axis = _scanned_axis(types, axis)
    scanned = _Scanned(fn, tree, axis, elems)

    def whole(*arrays: Any) -> list[Any]:
        flipped = [rev(x, (axis,)) for x in arrays] if reverse else list(arrays)
        results = scanned(flipped)
        if results[0].shape[axis] > 1:  # JAX puts them together by strong zeros
            results = [convert(x, x.dtype) for x in results]
        return [rev(x, (axis,)) for x in results] if reverse else results

    if current_builder() is not None or plain_python():
        return rebuild(tree, whole(*leaves))
    # At top level: one program instead of one for each slice.
    purpose = f"associative_scan ({function_name(fn)})"
    body = trace_body(whole, types, lambda inputs: inputs, purpose)
    return rebuild(tree, bind_all(Call(body.jaxpr, "associative_scan"), [*body.captured, *leaves]))


def _scanned_axis(types: Sequence[ArrayType], axis: int) -> int:
    for t in types:
        if not t.shape:
            raise FunctransValueError(
                f"associative_scan got a scalar ({t}) in elems, which has no axis to go along, at {here()}"
            )
    axis = canonical_axis("associative_scan", axis, len(types[0].shape))
    for t in types:
        if len(t.shape) <= axis or t.shape[axis] != types[0].shape[axis]:
            raise FunctransValueError(
                f"associative_scan got elems whose sizes along axis {axis} differ: {', '.join(map(str, types))}, at "
                f"{here()}\nEvery array in elems needs the same size along axis: it is the length of the sequence."
            )
    return axis


class _Scanned:
    """The recursion: flat sequences -> flat sequences of their prefixes."""

    def __init__(self, fn: Callable[[Any, Any], Any], tree: Any, axis: int, elems: Any) -> None:
        self.fn, self.tree, self.axis, self.elems = fn, tree, axis, elems

    def __call__(self, elems: list[Any]) -> list[Any]:
        size = elems[0].shape[self.axis]
        if size < 2:
            return elems
        pairs = self.combine(self.part(elems, 0, size - 1, 2), self.part(elems, 1, size, 2))
        odd = self(pairs)
        left = odd if size % 2 else self.part(odd, 0, size // 2 - 1)
        even = self.part(elems, 0, 1)
        if size > 2:
            rest = self.combine(left, self.part(elems, 2, size, 2))
            even = [concatenate([first, x], self.axis) for first, x in zip(even, rest, strict=True)]
        return [self.interleaved(a, b) for a, b in zip(even, odd, strict=True)]

    def part(self, elems: Sequence[Any], start: int, stop: int, step: int = 1) -> list[Any]:
        return [slice_in_dim(x, start, stop, step, self.axis) for x in elems]

    def combine(self, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        result = self.fn(rebuild(self.tree, a), rebuild(self.tree, b))
        leaves, tree, types = operand_types("the result of the function of associative_scan", result)
        wanted = [type_of(x) for x in b]
        check_same_results(
            "associative_scan", "its arguments", typed_leaves(self.elems, wanted), self.tree,
            f"the result of the function ({function_name(self.fn)})", typed_leaves(result, types), tree,
            "the function must return what it takes",
        )  # fmt: skip
        return [convert(x, t.dtype, t.weak_type) for x, t in zip(leaves, wanted, strict=True)]

    def interleaved(self, even: Any, odd: Any) -> Any:
        """even[0], odd[0], even[1], odd[1] ...; there may be one even element more."""
        axis, count = self.axis, odd.shape[self.axis]
        shape = odd.shape
        split = (*shape[: axis + 1], 1, *shape[axis + 1 :])
        first = even if even.shape[axis] == count else slice_in_dim(even, 0, count, 1, axis)
        both = concatenate([reshape(first, split), reshape(odd, split)], axis + 1)
        result = reshape(both, (*shape[:axis], 2 * count, *shape[axis + 1 :]))
        if even.shape[axis] > count:
            result = concatenate([result, slice_in_dim(even, count, count + 1, 1, axis)], axis)
        return result
