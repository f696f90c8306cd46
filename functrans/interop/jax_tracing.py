"""JAX at work, and the one file that asks it to: JAX traces a JAX function to its program.

    (types of the leaves) -> a closed jaxpr of JAX

The derivative rules that a user gave a JAX function (``jax.custom_jvp``, ``jax.custom_vjp``) are Python functions on
JAX's tracers. They become programs by the same way: JAX differentiates the one equation that carries the rule, which
runs the rule and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jax_core
from jax.tree_util import tree_flatten, tree_leaves, tree_structure, tree_unflatten

from functrans.api.ahead_of_time import shape_struct
from functrans.errors import FunctransTypeError
from functrans.ir.program import Where
from functrans.ir.types import ArrayType, array_type, is_differentiable
from functrans.jaxlib_compat.jax_programs import (
    OPERATION_OBJECT,
    has_transpose,
    implementation_of,
    is_reference,
    pulled_back,
)
from functrans.trace.frames import describe_place, here, is_internal, users_place
from functrans.trace.state import current_place


class JaxProgram(NamedTuple):
    """A JAX function traced for one signature: ``closed`` (JAX's closed jaxpr) and the tree of its result."""

    closed: Any
    out_tree: Any


def type_of_aval(aval: Any) -> ArrayType:
    """The type of a variable of a JAX program; raises TypeError for what is no array (a token, a type of one's own)."""
    if not hasattr(aval, "shape"):
        raise FunctransTypeError(
            f"a value of JAX of the type {aval} is no array, and no argument or result of what functrans traces, at "
            f"{here()}"
        )
    return array_type(tuple(aval.shape), aval.dtype, bool(getattr(aval, "weak_type", False)))


def traced_by_jax(function: Callable[..., Any], types: Sequence[ArrayType]) -> Any:
    """A function on values of JAX of these types as a closed jaxpr."""
    return jax.make_jaxpr(function)(*map(shape_struct, types))


def trace_jax_function(function: Callable[..., Any], types: Sequence[ArrayType], name: str) -> JaxProgram:
    """Trace ``function(*leaves) -> pytree`` by JAX."""
    traced = jax.make_jaxpr(function, return_shape=True)(*map(shape_struct, types))
    closed, shapes = traced
    if any(is_reference(x) for x in closed.consts):
        raise FunctransTypeError(
            f"from_jax: the JAX function {name} closes over a reference made outside of it (jax.new_ref), at {here()}\n"
            "A program of functrans changes nothing outside of itself. Make the reference inside the function: pass "
            "the value as an argument, and return what it is at the end (jax.freeze)."
        )
    return JaxProgram(closed, tree_structure(shapes))


def trace_implementation(equation: Any, types: Sequence[ArrayType]) -> Any:
    """What an operation of another library does, as a closed jaxpr; None where it cannot be traced."""
    function, params = implementation_of(equation.primitive), equation.params
    try:
        return traced_by_jax(lambda *xs: function(*xs, **params), types)
    except Exception:  # an implementation that needs numbers, or none at all
        return None


def operation_object(equation: Any) -> Any:
    """The operation of an equation where that is an object with rules of its own (``jax.hijax.HiPrim``); else None.
    """
    return next((value for value in equation.params.values() if isinstance(value, OPERATION_OBJECT)), None)


def trace_expansion(operation: Any, types: Sequence[ArrayType]) -> Any:
    """What an operation that is an object computes, as a closed jaxpr."""

    def expanded(*leaves: Any) -> Any:
        return operation.expand(*tree_unflatten(operation.in_tree, leaves))

    return traced_by_jax(expanded, types)


def has_rule(operation: Any, name: str) -> bool:
    """Whether the class of an operation that is an object gives it this rule (``jvp``, ``lin``, ``vjp_fwd``)."""
    return getattr(type(operation), name) is not getattr(OPERATION_OBJECT, name)


def is_transposable(equation: Any) -> bool:
    """Whether JAX has a rule by which it transposes the operation of an equation, one of another library or an object.
    """
    operation = operation_object(equation)
    if operation is not None:
        return has_rule(operation, "transpose")
    return has_transpose(equation.primitive)


def is_same_operation(equation: Any, other: Any) -> bool:
    """Whether two equations apply one operation of JAX, with the same parameters, to operands of the same types."""
    if equation.primitive is not other.primitive or equation.params.keys() != other.params.keys():
        return False
    if [a.aval for a in equation.invars] != [a.aval for a in other.invars]:
        return False
    return all(value is other.params[name] or value == other.params[name] for name, value in equation.params.items())


def trace_batched(equation: Any, size: int, mapped: Sequence[bool]) -> Any:
    """An equation under vmap, by JAX's rule for it, as a closed jaxpr: axis 0 of the operands in ``mapped``, and of
    every result, is that of the batch. None where JAX has no such rule.
    """
    types = [type_of_aval(a.aval) for a in equation.invars]
    given = [t.update(shape=(size, *t.shape)) if m else t for t, m in zip(types, mapped, strict=True)]
    axes = tuple([0 if m else None for m in mapped])
    function = jax.vmap(lambda *xs: apply_equation(equation, xs), in_axes=axes, axis_size=size)
    try:
        return traced_by_jax(function, given)
    except NotImplementedError:
        return None


def function_of_equation(equation: Any) -> Any:
    """What an equation computes, compiled by JAX."""
    return jax.jit(lambda *xs: apply_equation(equation, xs), keep_unused=True)


def lowered(function: Any, types: Sequence[ArrayType], platform: str) -> str | None:
    """The StableHLO module that JAX makes of a ``function_of_equation``, whose ``main`` takes every operand; None where
    it calls Python functions, which JAX would have to keep alive.
    """
    text: str = function.trace(*map(shape_struct, types)).lower(lowering_platforms=(platform,)).as_text()
    return None if re.search(r"custom_call @\w*python\w*callback", text) else text


# -- places ------------------------------------------------------------------------------------------------------------


def place_of(equation: Any) -> Where:
    """The line that made an equation of a JAX program: the innermost frame outside of JAX and functrans."""
    return next(_places_of(equation), None)


def _places_of(equation: Any) -> Iterator[tuple[Any, int]]:
    """The frames outside of JAX and functrans in which an equation was made, from the inside out."""
    found = getattr(equation.source_info, "traceback", None)
    if found is not None:
        for code, offset in zip(*found.raw_frames(), strict=True):
            if not is_internal(code.co_filename):
                yield code, offset


def users_place_of(equation: Any) -> Where:
    """The user's line that made an equation, of one that is being translated."""
    return users_place(_places_of(equation)) or current_place()


def describe_equation(equation: Any) -> str:
    """Operation and user's line, for messages."""
    return f"{equation.primitive.name} at {describe_place(users_place_of(equation))}"


# -- the rules of custom derivatives -----------------------------------------------------------------------------------


class _Rule:
    """The equation that carries a rule, differentiated by the operands in ``wrt``: all that have tangents, or fewer."""

    nonzero: Sequence[bool]  # which tangents or cotangents that the rule gives are not zero, once it has been traced

    def __init__(self, equation: Any, perturbed: Sequence[bool] | None = None) -> None:
        self.types = [type_of_aval(a.aval) for a in equation.invars]
        self.out_types = [type_of_aval(v.aval) for v in equation.outvars]
        smooth = [is_differentiable(t.dtype) for t in self.types]
        self.wrt = smooth if perturbed is None else [a and b for a, b in zip(smooth, perturbed, strict=True)]
        self.equation, self.told_of_zeros = equation, perturbed is not None

    def chosen(self, values: Sequence[Any]) -> list[Any]:
        """What belongs to the operands that are differentiated."""
        return [x for x, w in zip(values, self.wrt, strict=True) if w]

    def function_at(self, operands: Sequence[Any]) -> Callable[..., list[Any]]:
        """The equation as a function of the operands that are differentiated, the others as they are."""

        def call(*moving: Any) -> list[Any]:
            rest = iter(moving)
            merged = [next(rest) if w else x for w, x in zip(self.wrt, operands, strict=True)]
            return apply_equation(self.equation, merged)

        return call

    def smooth_results(self, values: Sequence[Any]) -> list[Any]:
        """What belongs to the differentiable results."""
        return [x for x, t in zip(values, self.out_types, strict=True) if is_differentiable(t.dtype)]


class JvpRule(_Rule):
    """The rule of an equation for forward mode as a JAX program: (operands, tangents) -> (results, their tangents)."""

    def program(self) -> Any:
        """The closed jaxpr; tangents of the operands differentiated and of the differentiable results only. A rule that
        is told of zeros is asked for them too: what is zero is left out.
        """
        count = len(self.types)

        def rule(*flat: Any) -> list[Any]:
            operands = flat[:count]
            moving: set[int] = set()
            function, place, tangents = self.function_at(operands), self.chosen(operands), flat[count:]
            watched = lambda *xs: [_watched(x, i, moving) for i, x in enumerate(function(*xs))]
            differentiated = watched if self.told_of_zeros else function
            operation = operation_object(self.equation)
            if operation is None or has_rule(operation, "jvp"):
                outs, slopes = jax.jvp(differentiated, tuple(place), tuple(tangents))
            else:
                outs, linear = jax.linearize(differentiated, *place)
                slopes = linear(*tangents)
            smooth = self.smooth_results(range(len(outs)))
            self.nonzero = [i in moving or not self.told_of_zeros for i in smooth]
            return [*outs, *[slopes[i] for i, nonzero in zip(smooth, self.nonzero, strict=True) if nonzero]]

        return traced_by_jax(rule, [*self.types, *self.chosen(self.types)])


def _watched(x: Any, name: int, moving: set[int]) -> Any:
    """The value itself; where JAX gives it a tangent that is not zero, its name is added to ``moving``."""
    same = jax.custom_jvp(lambda x: x)

    def rule(primals: Any, tangents: Any) -> Any:
        moving.add(name)
        return primals[0], tangents[0]

    same.defjvp(rule)
    return same(x)


class VjpRule(_Rule):
    """The rules of an equation for reverse mode as JAX programs.

    forward: operands -> (results, residuals); backward: (residuals, cotangents of the differentiable results) ->
    cotangents of the operands differentiated, without those that are zero.
    """

    pullback_tree: Any = None
    residual_types: list[ArrayType]

    def forward(self) -> Any:
        """The closed jaxpr of the forward rule."""

        def run(*operands: Any) -> list[Any]:
            outs, pullback = jax.vjp(self.function_at(operands), *self.chosen(operands))
            residuals, self.pullback_tree = tree_flatten(pullback)
            return [*outs, *residuals]

        closed = traced_by_jax(run, self.types)
        self.residual_types = [type_of_aval(v.aval) for v in closed.jaxpr.outvars[len(self.out_types) :]]
        return closed

    def backward(self, given: Sequence[bool] | None = None) -> Any:
        """The closed jaxpr of the backward rule, once that of the forward rule is known.

        ``given``: which cotangents are not zero; all of them by default.
        """
        count = len(self.residual_types)
        inputs = [*self.residual_types, *self.smooth_results(self.out_types)]
        flags = [True] * (len(inputs) - count) if given is None else given

        def run(*flat: Any) -> list[Any]:
            rest = iter([ct if g else None for ct, g in zip(flat[count:], flags, strict=True)])
            cotangents = [next(rest) if is_differentiable(t.dtype) else None for t in self.out_types]
            sent = pulled_back(
                tree_unflatten(self.pullback_tree, flat[:count]), cotangents,
                [v.aval for v in self.equation.outvars], self.chosen([a.aval for a in self.equation.invars]),
            )  # fmt: skip
            self.nonzero = [x is not None for x in sent]
            return [x for x in sent if x is not None]

        return traced_by_jax(run, inputs)


def trace_transpose(equation: Any, linear: Sequence[bool]) -> Any:
    """The transpose of an equation in these operands, by JAX's rule for it, as a closed jaxpr: (the other operands, the
    cotangents of the differentiable results) -> the cotangents of these operands.
    """
    rule = _Rule(equation, linear)
    rest = [t for t, w in zip(rule.types, rule.wrt, strict=True) if not w]

    def run(*flat: Any) -> list[Any]:
        others = iter(flat[: len(rest)])
        operands = [None if w else next(others) for w in rule.wrt]

        def function(*moving: Any) -> list[Any]:
            return rule.smooth_results(rule.function_at(operands)(*moving))

        cotangents = list(flat[len(rest) :])
        return list(jax.linear_transpose(function, *map(shape_struct, rule.chosen(rule.types)))(cotangents))

    return traced_by_jax(run, [*rest, *rule.smooth_results(rule.out_types)])


def apply_equation(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """The equation on other operands, as JAX evaluates it."""
    operation = operation_object(equation)
    if operation is not None:
        return tree_leaves(operation(*tree_unflatten(operation.in_tree, operands)))
    if "call_jaxpr" not in equation.params:
        outs = equation.primitive.bind(*operands, **equation.params)
        return list(outs) if equation.primitive.multiple_results else [outs]
    fresh = [jax_core.Var(a.aval) for a in equation.invars]
    again = equation.replace(invars=fresh)
    described = getattr(equation.params["call_jaxpr"], "jaxpr", equation.params["call_jaxpr"]).debug_info
    jaxpr = jax_core.Jaxpr([], fresh, again.outvars, [again], again.effects, described)
    return jax_core.jaxpr_as_fun(jax_core.ClosedJaxpr(jaxpr, ()))(*operands)  # type: ignore[no-any-return]
