"""``custom_vmap``: an operation whose vmap a user wrote.

The user's rule is a function of Python: it is traced when vmap asks, for the operands that are mapped then. What
differentiation derives from the operation keeps a rule too: that of the tangents is the user's rule linearized, that of
the cotangents its transpose, so vmap finds the user's rule after any stack of derivatives.

    vmap(grad(f))  =  the gradient of the user's rule, every differentiated operand mapped

The rule speaks of lanes of the function. Several tangents or cotangents at one point (a Jacobian) are no such lanes:
the linear map at that point is mapped as any program is, and keeps its rule for lanes to come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from functrans.control.call import InPlace
from functrans.control.holding import choose_lanes, chosen, placed, row
from functrans.control.masking import under_mask
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.records import Record
from functrans.ir.types import ArrayType, describe, is_differentiable, type_of
from functrans.ops.reductions import argmax, reduce_or
from functrans.ops.structural import convert, spread, zeros
from functrans.ops.structural import transpose as transpose_axes
from functrans.trace.binding import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.frames import here
from functrans.trace.leaves import Places
from functrans.trace.primitive import Lanes, Linear, Tangent, Value, is_linear
from functrans.trace.replay import evaluate, replay, trace
from functrans.trace.state import operation_place
from functrans.transform.linearize import linearize
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap, vmap_jaxpr


class Batched(Record):
    """An operation over a mapped axis: ``jaxpr`` takes ``captured`` and the operands, with the mapped axis first."""

    jaxpr: Jaxpr
    captured: tuple[Any, ...]
    outs_mapped: tuple[bool, ...]


class VmapRule(Protocol):
    """How an operation is mapped.

    ``blind[i]``: the rule knows nothing of operand i (a value closed over). ``linear[i]``: operand i is a tangent or a
    cotangent, not an operand of the user's function.
    """

    @property
    def blind(self) -> tuple[bool, ...]: ...

    @property
    def linear(self) -> tuple[bool, ...]: ...

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        """``types``: of the operands of one lane."""


class CustomVmap(InPlace):
    """Apply ``jaxpr``; under vmap, what ``rule`` says instead."""

    jaxpr: Jaxpr
    rule: Any
    name_: str
    name = "custom_vmap_call"

    def infer(self, *types: ArrayType) -> Any:
        return list(self.jaxpr.out_types)

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, arrays)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        """The results, and beside them the linear map of the tangents, which computes what it needs by itself."""
        outs = bind_all(self, primals)
        wrt = tuple([t is not None for t in tangents])
        kept = tuple([is_differentiable(t.dtype) for t in self.jaxpr.out_types])
        program = _tangent_program(self.jaxpr, wrt, kept)
        op = CustomVmap(program, TangentRule(self.rule, wrt, kept, self.name_), self.name_)
        slopes = iter(bind_all(op, [*primals, *[t for t in tangents if t is not None]]))
        return outs, [next(slopes) if k else None for k in kept]

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self.jvp(primals, tangents)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        linear = tuple([is_linear(x) for x in operands])
        given = tuple([ct is not None for ct in cotangent])
        program = _transposed_program(self.jaxpr, linear, given)
        op = CustomVmap(
            program,
            TransposeRule(self.rule, linear, given, tuple(chosen(self.jaxpr.in_types, linear)), self.name_),
            self.name_,
        )
        sent = iter(bind_all(op, [*[x for x in operands if not is_linear(x)], *chosen(cotangent, given)]))
        return [next(sent) if flag else None for flag in linear]

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        return dependence.outputs(self.jaxpr, given)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        # Several tangents at one point, or nothing is mapped and the program speaks of the axis by name.
        if not any(m and not flag for m, flag in zip(mapped, self.rule.linear, strict=True)):
            program, outs_mapped = vmap_jaxpr(self.jaxpr, lanes, mapped, any(mapped))
            if not any(outs_mapped):
                return replay(program, operands), outs_mapped
            rule = MappedRule(self.rule, lanes.size, tuple(mapped), self.jaxpr.in_types, self.name_)
            return bind_all(CustomVmap(program, rule, self.name_), operands), outs_mapped
        found = self.rule.batched(lanes.size, self.jaxpr.in_types, mapped)
        return replay(found.jaxpr, [*found.captured, *operands]), found.outs_mapped

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        op = CustomVmap(under_mask(self.jaxpr), MaskedRule(self.rule, self.name_), self.name_)
        return bind_all(op, [mask, *operands])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, operands


# -- rules -----------------------------------------------------------------------------------------------------------


class UserRule(Record):
    """``function(axis_size, in_batched, *args) -> (out, out_batched)`` for the operands behind the ``num_consts``."""

    function: Callable[..., Any]
    in_tree: Any
    out_tree: Any
    out_types: tuple[ArrayType, ...]
    num_consts: int
    name: str

    def __repr__(self) -> str:
        return f"the vmap rule of {self.name}"

    @property
    def blind(self) -> tuple[bool, ...]:
        return (*(True,) * self.num_consts, *(False,) * self.in_tree.num_leaves)

    @property
    def linear(self) -> tuple[bool, ...]:
        return (False,) * len(self.blind)

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        n = self.num_consts
        if any(mapped[:n]):
            raise FunctransTypeError(
                f"the custom_vmap function {self.name} closes over a value that is mapped, and its vmap rule receives "
                f"the arguments only, at {operation_place()}\nPass that value as an argument of {self.name}."
            )
        outs_mapped: list[bool] = []

        def run(*inputs: Any) -> list[Any]:
            args = tree_unflatten(self.in_tree, inputs[n:])
            in_batched = tree_unflatten(self.in_tree, list(mapped[n:]))
            outs, flags = self._checked(self.function(size, list(in_batched), *args), size)
            outs_mapped.extend(flags)
            return outs

        jaxpr, captured = trace(run, _batched_types(size, types, mapped), f"the vmap rule of {self.name}")
        return Batched(jaxpr, tuple(captured), tuple(outs_mapped))

    def _checked(self, result: Any, size: int) -> tuple[list[Any], list[bool]]:
        rule = f"the vmap rule of {self.name}"
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise FunctransTypeError(
                f"{rule} must return a pair (results, which of them are batched), it returned {describe(result)} at "
                f"{here()}\nWrite `return results, True`, with a tree of bools like the results."
            )
        outs, out_tree = tree_flatten(result[0])
        flags, flag_tree = tree_flatten(result[1])
        trees: tuple[Any, Any] = (out_tree, flag_tree)
        if trees[0] != self.out_tree:
            raise FunctransValueError(
                f"{rule} returned another tree than {self.name} does, at {here()}\n  {self.name}: {self.out_tree}\n  "
                f"the rule: {out_tree}"
            )
        if trees[0] != trees[1]:
            raise FunctransValueError(
                f"{rule} must return a bool for each of its results, and the two trees differ, at {here()}\n"
                f"  results: {out_tree}\n  which are batched: {flag_tree}"
            )
        places = Places(result[0])
        checked = []
        for i, (x, flag, wanted) in enumerate(zip(outs, flags, self.out_types, strict=True)):
            if not isinstance(flag, bool):
                raise FunctransTypeError(
                    f"{rule} must say with a bool whether result{places[i]} is batched, it said {describe(flag)} at "
                    f"{here()}"
                )
            found = type_of(x)
            shape = (size, *wanted.shape) if flag else wanted.shape
            if found.shape != shape or (found.dtype != wanted.dtype and not found.weak_type):
                word = "batched" if flag else "not batched"
                raise FunctransValueError(
                    f"{rule} returned {found} for result{places[i]} and says that it is {word}; {self.name} returns "
                    f"{wanted}, so {wanted.update(shape=shape)} is needed, at {here()}"
                )
            checked.append(convert(x, wanted.dtype, wanted.weak_type))
        return checked, flags


class TangentRule(Record):
    """Of ``(operands, tangents of those in wrt) -> tangents of the results kept``: ``base`` linearized."""

    base: Any
    wrt: tuple[bool, ...]
    kept: tuple[bool, ...]
    name: str

    def __repr__(self) -> str:
        return f"the tangents of {self.base}"

    @property
    def blind(self) -> tuple[bool, ...]:
        return (*self.base.blind, *chosen(self.base.blind, self.wrt))

    @property
    def linear(self) -> tuple[bool, ...]:
        return (*self.base.linear, *(True,) * sum(self.wrt))

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        if any(b and w for b, w in zip(self.base.blind, self.wrt, strict=True)):
            raise FunctransTypeError(
                f"the custom_vmap function {self.name} is differentiated with respect to a value it closes over, and "
                f"its vmap rule receives the arguments only, at {operation_place()}\nPass that value as an "
                f"argument of {self.name}."
            )
        count = len(self.wrt)
        slopes_m = placed(mapped[count:], self.wrt)
        each_m = [bool(m or s) for m, s in zip(mapped[:count], slopes_m, strict=True)]  # an operand with its tangent
        found = self.base.batched(size, types[:count], each_m)
        program = found.jaxpr
        mask = [*[False] * len(found.captured), *self.wrt]

        def run(*inputs: Any) -> list[Any]:
            primals = _as_mapped(inputs[:count], mapped[:count], each_m, size)
            slopes = _as_mapped(inputs[count:], mapped[count:], chosen(each_m, self.wrt), size)
            _, linear = linearize(program, [*found.captured, *primals], mask)
            outs = iter(replay(linear.jaxpr, [*linear.residuals, *slopes]))
            all_outs = [next(outs) if nz else None for nz in linear.nonzero]
            return _with_zeros(chosen(all_outs, self.kept), chosen(program.out_types, self.kept))

        jaxpr, captured = trace(run, _batched_types(size, types, mapped), f"the tangents of {self.name}")
        return Batched(jaxpr, tuple(captured), tuple(chosen(found.outs_mapped, self.kept)))


class TransposeRule(Record):
    """Of ``(operands not linear, cotangents given) -> cotangents of the linear operands``: ``base`` transposed."""

    base: Any
    transposed: tuple[bool, ...]
    given: tuple[bool, ...]
    linear_types: tuple[ArrayType, ...]
    name: str

    def __repr__(self) -> str:
        return f"the cotangents of {self.base}"

    @property
    def blind(self) -> tuple[bool, ...]:
        fixed = [b for b, flag in zip(self.base.blind, self.transposed, strict=True) if not flag]
        return (*fixed, *(False,) * sum(self.given))

    @property
    def linear(self) -> tuple[bool, ...]:
        fixed = [x for x, flag in zip(self.base.linear, self.transposed, strict=True) if not flag]
        return (*fixed, *(True,) * sum(self.given))

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        fixed = len(self.transposed) - sum(self.transposed)
        fixed_m, fixed_types, of_linear = iter(mapped[:fixed]), iter(types[:fixed]), iter(self.linear_types)
        each = [next(of_linear) if flag else next(fixed_types) for flag in self.transposed]
        each_m = [True if flag else next(fixed_m) for flag in self.transposed]
        found = self.base.batched(size, each, each_m)
        program = _all_mapped(found, size)
        linear_types = _batched_types(size, self.linear_types, [True] * len(self.linear_types))

        def run(*inputs: Any) -> list[Any]:
            values, wanted = iter(inputs[:fixed]), iter(linear_types)
            operands = [Linear(next(wanted)) if flag else next(values) for flag in self.transposed]
            cts = iter(_as_mapped(inputs[fixed:], mapped[fixed:], [True] * sum(self.given), size))
            cotangents = [next(cts) if flag else None for flag in self.given]
            return _with_zeros(transpose(program, [*found.captured, *operands], cotangents), linear_types)

        jaxpr, captured = trace(run, _batched_types(size, types, mapped), f"the cotangents of {self.name}")
        return Batched(jaxpr, tuple(captured), (True,) * len(linear_types))


class MappedRule(Record):
    """Of ``base`` with ``mapped`` operands, tangents or cotangents all, over an axis of ``size`` already: lanes come
    from ``base``, and the earlier axis is that of a plain vmap.
    """

    base: Any
    size: int
    mapped: tuple[bool, ...]
    types: tuple[ArrayType, ...]
    name: str

    def __repr__(self) -> str:
        return f"lanes of {self.base}"

    @property
    def blind(self) -> tuple[bool, ...]:
        return tuple(self.base.blind)

    @property
    def linear(self) -> tuple[bool, ...]:
        return tuple(self.base.linear)

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        found = self.base.batched(size, self.types, mapped)
        both = [a and b for a, b in zip(self.mapped, mapped, strict=True)]

        def run(*inputs: Any) -> list[Any]:
            operands = [_swapped(x) if b else x for x, b in zip(inputs, both, strict=True)]
            which = [*[False] * len(found.captured), *self.mapped]
            outs, outs_mapped = vmap(found.jaxpr, Lanes(self.size), [*found.captured, *operands], which)
            outs = _as_mapped(outs, outs_mapped, [True] * len(outs), self.size)
            return [_swapped(x) if m else x for x, m in zip(outs, found.outs_mapped, strict=True)]

        jaxpr, captured = trace(run, _batched_types(size, types, mapped), f"several tangents of {self.name}")
        return Batched(jaxpr, tuple(captured), found.outs_mapped)


class MaskedRule(Record):
    """Of ``(mask, operands)``: ``base``, with unspecified results in lanes where the mask is false.

    Those are given the operands of the first lane where it is true, so that the rule's loops end as they do there.
    """

    base: Any
    name: str

    def __repr__(self) -> str:
        return f"{self.base} under a mask"

    @property
    def blind(self) -> tuple[bool, ...]:
        return (False, *self.base.blind)

    @property
    def linear(self) -> tuple[bool, ...]:
        return (True, *self.base.linear)  # a mask makes no lanes of the function

    def batched(self, size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> Batched:
        found = self.base.batched(size, types[1:], mapped[1:])

        def run(mask: Any, *operands: Any) -> list[Any]:
            given: Sequence[Any] = operands
            if mapped[0]:
                first = convert(argmax(mask, 0), np.dtype(np.int32))
                rows = [spread(row(x, first), size) if m else x for x, m in zip(operands, mapped[1:], strict=True)]
                given = [choose_lanes(mask, x, other) for x, other in zip(operands, rows, strict=True)]
                mask = reduce_or(mask, (0,))
            return replay(under_mask(found.jaxpr), [mask, *found.captured, *given])

        jaxpr, captured = trace(run, _batched_types(size, types, mapped), f"{self.name} under a mask")
        return Batched(jaxpr, tuple(captured), found.outs_mapped)


# -- programs --------------------------------------------------------------------------------------------------------


def _batched_types(size: int, types: Sequence[ArrayType], mapped: Sequence[bool]) -> list[ArrayType]:
    return [t.update(shape=(size, *t.shape)) if m else t for t, m in zip(types, mapped, strict=True)]


def _as_mapped(values: Sequence[Any], mapped: Sequence[bool], wanted: Sequence[bool], size: int) -> list[Any]:
    """Each value mapped where it is wanted so."""
    return [spread(x, size) if w and not m else x for x, m, w in zip(values, mapped, wanted, strict=True)]


def _swapped(x: Any) -> Any:
    """[m, n, ...] -> [n, m, ...]"""
    return transpose_axes(x, (1, 0, *range(2, x.ndim)))


def _with_zeros(values: Sequence[Any], types: Sequence[ArrayType]) -> list[Any]:
    return [zeros(t.shape, t) if x is None else x for x, t in zip(values, types, strict=True)]


def _all_mapped(found: Batched, size: int) -> Jaxpr:
    """The program with every result mapped."""
    if all(found.outs_mapped):
        return found.jaxpr

    def run(*inputs: Any) -> list[Any]:
        outs = replay(found.jaxpr, inputs)
        return _as_mapped(outs, found.outs_mapped, [True] * len(outs), size)

    return trace(run, found.jaxpr.in_types, "vmap by a rule")[0]


def _tangent_program(jaxpr: Jaxpr, wrt: tuple[bool, ...], kept: tuple[bool, ...]) -> Jaxpr:
    """(operands, tangents of those in ``wrt``) -> tangents of the results kept."""
    count = len(jaxpr.inputs)

    def run(*inputs: Any) -> list[Any]:
        _, linear = linearize(jaxpr, inputs[:count], wrt)
        outs = iter(replay(linear.jaxpr, [*linear.residuals, *inputs[count:]]))
        all_outs = [next(outs) if nz else None for nz in linear.nonzero]
        return _with_zeros(chosen(all_outs, kept), chosen(jaxpr.out_types, kept))

    def make() -> Jaxpr:
        return trace(run, [*jaxpr.in_types, *chosen(jaxpr.in_types, wrt)], "the tangents of a custom_vmap function")[0]

    return jaxpr.remember(("custom_vmap tangents", wrt, kept), make)


def _transposed_program(jaxpr: Jaxpr, linear: tuple[bool, ...], given: tuple[bool, ...]) -> Jaxpr:
    """(operands not linear, cotangents given) -> cotangents of the linear operands."""
    fixed = [t for t, flag in zip(jaxpr.in_types, linear, strict=True) if not flag]
    linear_types = chosen(jaxpr.in_types, linear)

    def run(*inputs: Any) -> list[Any]:
        values, wanted, cts = iter(inputs[: len(fixed)]), iter(linear_types), iter(inputs[len(fixed) :])
        operands = [Linear(next(wanted)) if flag else next(values) for flag in linear]
        sent = transpose(jaxpr, operands, [next(cts) if flag else None for flag in given])
        return _with_zeros(sent, linear_types)

    def make() -> Jaxpr:
        return trace(run, [*fixed, *chosen(jaxpr.out_types, given)], "the cotangents of a custom_vmap function")[0]

    return jaxpr.remember(("custom_vmap cotangents", linear, given), make)
