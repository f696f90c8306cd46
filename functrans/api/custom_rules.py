"""custom_jvp and custom_vjp: JAX's names, signatures and meaning; either one serves every mode."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_structure, tree_unflatten

from functrans.api.arguments import check_callable
from functrans.api.references import Given, check_given_once, is_reference, put, values_in
from functrans.api.staging import as_arrays, output
from functrans.api.symbolic_zeros import CustomVJPPrimal, SymbolicZero, symbolic_zero
from functrans.control.custom_rules import CustomJvp, CustomVjp
from functrans.control.rules import ZERO, DeferredRule, Rule, rules_together
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr, Var
from functrans.ir.types import ArrayType, describe, float0, is_differentiable, kind_of, short_dtype, type_of
from functrans.jaxlib_compat.tracing import evaluates
from functrans.ops.elementwise import add
from functrans.ops.structural import convert, full, stop_gradient
from functrans.trace.binding import bind_all
from functrans.trace.builder import NEVER, ONCE, Builder, values_of
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.leaves import entering, leaf_types
from functrans.trace.state import current_builder, foreseen_order
from functrans.trace.values import Computed, Result, has_value

Traced = tuple[Jaxpr, list[Any]]
_BACKWARD = "the bwd rule"


_RULES = frozenset(("defjvp", "defjvps", "defvjp", "def_vmap"))


def inner_rule(outer: Any, name: str) -> Any:
    """The method by which the function that a custom function is made of is given a rule; else AttributeError."""
    if name in _RULES and "fun" in vars(outer):
        return getattr(outer.fun, name)
    raise AttributeError(f"{type(outer).__name__!r} object has no attribute {name!r}")


class _CustomFunction:
    """What both kinds share: arguments, the static ones, tracing."""

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        check_callable(fun, type(self).__name__)
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.nondiff_argnums = (*nondiff_argnums, *self._positions(nondiff_argnames))

    def _positions(self, names: Sequence[str]) -> list[int]:
        """The positions of the arguments of these names."""
        if not names:
            return []
        known = list(inspect.signature(self.fun).parameters)
        for name in names:
            if name not in known:
                raise FunctransValueError(
                    f"nondiff_argnames={tuple(names)} of {type(self).__name__} function {function_name(self.fun)} "
                    f"names {name!r}, and the function's arguments are {', '.join(known)}, at {here()}"
                )
        return [known.index(name) for name in names]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str) -> Any:
        """The rules of another kind are those of the function inside, ``custom_vjp(custom_vmap(f)).def_vmap``."""
        return inner_rule(self, name)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], list[Any], list[Any]]:
        """All arguments by position; the static ones; the rest."""
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except ValueError:  # a builtin without a signature
            if kwargs:
                raise
        else:
            bound.apply_defaults()
            unresolved = sorted(bound.kwargs.keys() & kwargs.keys())
            if unresolved:
                raise FunctransTypeError(
                    f"{type(self).__name__} function {function_name(self.fun)} was called with keyword-only arguments "
                    f"{unresolved}, which a derivative rule cannot receive, at {here()}"
                )
            args = bound.args
        for i in self.nondiff_argnums:
            if not -len(args) <= i < len(args):
                raise FunctransValueError(
                    f"nondiff_argnums={self.nondiff_argnums} of {type(self).__name__} function "
                    f"{function_name(self.fun)} names argument {i}, and the function has {len(args)} argument(s), at "
                    f"{here()}"
                )
        static = {i % len(args) for i in self.nondiff_argnums} if args else set()
        return args, [args[i] for i in sorted(static)], [x for i, x in enumerate(args) if i not in static]

    def _static(self, args: Sequence[Any]) -> set[int]:
        return {i % len(args) for i in self.nondiff_argnums} if args else set()

    def _call_with(self, args: Sequence[Any], dynamic: Sequence[Any]) -> Any:
        static = self._static(args)
        rest = iter(dynamic)
        return self.fun(*[x if i in static else next(rest) for i, x in enumerate(args)])

    def _evaluated(self, args: Sequence[Any], dynamic: Sequence[Any]) -> Any:
        """The function where nothing is traced."""
        leaves, tree = tree_flatten(dynamic)
        check_given_once(function_name(self.fun), leaves)
        numeric = [x for x in leaves if not is_reference(x)]
        arrays = iter(as_arrays(numeric, lambda i: f"an argument of {function_name(self.fun)}"))
        return self._call_with(args, tree_unflatten(tree, [x if is_reference(x) else next(arrays) for x in leaves]))

    def _trace(
        self, function: Callable[..., Any], types: Sequence[ArrayType], values: Sequence[Any], order: int, what: str,
        arguments: Sequence[Any],
    ) -> Traced:  # fmt: skip
        """A flat function of ``values`` as a jaxpr: these (where they are known) can be asked for. ``arguments``: what
        the function with the rule was called with.
        """
        with Builder(f"{what} of {function_name(self.fun)}", order=order) as builder:
            builder.lends = NEVER if what == _BACKWARD else ONCE
            builder.outlet = "Pass it as an argument, and let fwd return it among its residuals: bwd may write to it."
            builder.known.custom = arguments
            known = [x if has_value(x) else None for x in values]
            if any(x is not None for x in known):
                builder.known.differentiated = frozenset()
            known += [None] * (len(types) - len(known))
            inputs = [builder.new_input(t, x) for t, x in zip(types, known, strict=True)]
            jaxpr, captured = builder.finish([output(builder, x, None, what) for x in function(*inputs)])
        return jaxpr, values_of(captured)

    def _rule(
        self, make: Callable[[int, Sequence[Any]], Traced], order: int, values: Sequence[Any], kept: Sequence[Any]
    ) -> tuple[Rule, list[Any]]:
        """The rule traced now if a derivative may be taken here, else later if it is asked for after all.

        ``make``: (the order left, values of the rule's inputs) -> the rule. ``values``: those that stand for them here;
        ``kept``: the same, kept with a rule for later.
        """
        later = functools.partial(make, 0, kept)
        if order > 0:
            try:
                return make(order - 1, values)
            except Exception as failure:  # a rule that fails matters only to somebody who differentiates
                later = functools.partial(_fail, failure)
        return DeferredRule(lambda _: later(), asking=lambda _, values: make(0, values)), []


_NUMBERS = (bool, int, float, complex, np.generic)


def _with_numbers(values: list[Any]) -> list[Any]:
    """The values, or none of them where nobody can ask for the numbers behind them: a rule keeps them."""
    builder = current_builder()
    return values if builder is not None and builder.known.given else []


def _fail(failure: Exception) -> Traced:
    raise failure


def handing_on(jaxpr: Jaxpr, types: Sequence[ArrayType], place: int) -> Jaxpr:
    """The program with values of these types as further inputs, which are results at this place."""
    if not types:
        return jaxpr
    added = [Var(-1, t) for t in types]
    outputs = [*jaxpr.outputs[:place], *added, *jaxpr.outputs[place:]]
    return Jaxpr([*jaxpr.inputs, *added], jaxpr.equations, outputs)


def _check_tree(what: str, given: Any, expected: Any, given_tree: Any, expected_tree: Any) -> None:
    if given_tree != expected_tree:
        raise FunctransTypeError(
            f"{what} has another tree structure than {expected}, at {here()}\n  expected: {expected_tree}\n  returned: "
            f"{given_tree}"
        )


def _leaves_of(part: Any, tree: Any) -> list[Any] | None:
    """The leaves of what has this structure, None for each of a subtree that is None; None if it has another one."""
    leaves, found = tree_flatten(part, is_leaf=lambda x: x is None)
    return _matched(iter(leaves), found, tree)


def _matched(leaves: Iterator[Any], found: Any, tree: Any) -> list[Any] | None:
    if found.node_data() is None:
        leaf = next(leaves)
        if leaf is None:
            return [None] * tree.num_leaves
        return [leaf] if tree.node_data() is None else None
    below, own = found.children(), tree.children()
    if found.node_data() != tree.node_data() or len(below) != len(own):
        return None
    parts = [_matched(leaves, *pair) for pair in zip(below, own, strict=True)]
    return None if None in parts else [x for part in parts for x in part]  # type: ignore[union-attr]


def _check_type(what: str, given: Any, wanted: ArrayType) -> None:
    type_ = type_of(given)
    if type_.shape != wanted.shape:
        raise FunctransValueError(f"{what} has shape {type_.shape}, and shape {wanted.shape} is needed, at {here()}")
    if type_.dtype != wanted.dtype and not type_.weak_type:
        raise FunctransTypeError(
            f"{what} has dtype {short_dtype(type_.dtype)}, and dtype {short_dtype(wanted.dtype)} is needed, at "
            f"{here()}\nConvert it with .astype({wanted.dtype.name!r})."
        )


def _checked(what: str, given: Any, wanted: ArrayType, any_float: bool = False) -> Any:
    """A tangent or cotangent that a rule returned, as a value of this type; or ``ZERO``."""
    if type(given) is SymbolicZero:
        _check_type(what, full(given.shape, 0, given.dtype), wanted)
        return ZERO
    if any_float and kind_of(type_of(given).dtype) == kind_of(wanted.dtype) == "f":
        given = convert(given, wanted.dtype)
    _check_type(what, given, wanted)
    return convert(given, wanted.dtype, wanted.weak_type)


class custom_jvp(_CustomFunction):
    """A function with a forward derivative rule of its own; reverse mode, Hessians and vmap use that rule too.

    ``defjvp(rule)``: ``rule(primals, tangents) -> (result, tangent of the result)`` (static arguments first), linear in
    the tangents. ``defjvps(rule0, rule1, ...)``: for each argument ``rule(tangent, result, *args)``, or None for zero.

    Args:
      fun: the function.
      nondiff_argnums: positions of arguments that are Python values passed to the rule as they are.
      nondiff_argnames: the names of such arguments.

    >>> import functrans as ft
    >>> @ft.custom_jvp
    ... def cube(x):
    ...     return x * x * x
    >>> @cube.defjvp
    ... def cube_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return cube(x), 3.0 * x * x * t
    >>> float(ft.grad(cube)(2.0))
    12.0
    """

    @api_boundary
    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule ``jvp(*static, primals, tangents) -> (result, tangent)``; returns it.

        ``symbolic_zeros``: tangents that are zero come as ``custom_derivatives.SymbolicZero``, and may be returned so.
        """
        self.jvp, self.symbolic_zeros = jvp, symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set a rule for each argument, ``rule(tangent, result, *args)``, or None where the derivative is zero."""
        if self.nondiff_argnums:
            raise FunctransTypeError("custom_jvp.defjvps does not go with nondiff_argnums; use defjvp")

        def jvp(primals: Any, tangents: Any) -> Any:
            result = self(*primals)
            total = None
            for rule, t in zip(jvps, tangents, strict=True):
                if rule is not None:
                    term = rule(t, result, *primals)
                    total = term if total is None else add(total, term)
            return result, full(result.shape, 0, result.dtype) if total is None else total

        self.defjvp(jvp)

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise FunctransTypeError(
                f"the custom_jvp function {function_name(self.fun)} has no rule yet, at {here()}\n"
                f"Give it one with @{function_name(self.fun)}.defjvp before calling it."
            )
        args, static, dynamic = self._arguments(args, kwargs)
        if evaluates():
            return self._evaluated(args, dynamic)
        leaves, tree = tree_flatten(tuple(dynamic))
        name = function_name(self.fun)
        references = [x if is_reference(x) else None for x in leaves]  # rules are kept: they hold no traced values
        given = Given(name, references)
        leaves, types = entering(values_in(leaves), lambda i: f"an argument of {name}")
        order = foreseen_order()
        trees: list[Any] = []
        written: list[Any] = []

        def primal(*inputs: Any) -> list[Any]:
            flat, out_tree = tree_flatten(self._call_with(args, tree_unflatten(tree, given.enter(inputs))))
            trees.append(out_tree)
            written[:] = given.written()
            return [*given.ends(written, name), *flat]

        jaxpr, consts = self._trace(primal, types, leaves, order, "custom_jvp", leaves)
        out_tree, out_types = trees[0], jaxpr.out_types[len(written) :]
        known = _with_numbers(leaves)
        smooth = [is_differentiable(t.dtype) for t in types]

        def rule(*inputs: Any, given: tuple[bool, ...] | None = None) -> list[Any]:
            values, rest = inputs[: len(types)], iter(inputs[len(types) :])
            slopes = [next(rest) if d else np.zeros(t.shape, float0) for d, t in zip(smooth, types, strict=True)]
            if given is not None:
                slopes = [s if g else symbolic_zero(t) for s, g, t in zip(slopes, given, types, strict=True)]
            own, along = Given(name, references), Given(name, references)
            primals, tangents = own.enter(values), along.enter(slopes)
            result = self.jvp(*static, tree_unflatten(tree, primals), tree_unflatten(tree, tangents))  # type: ignore[misc]
            if not (isinstance(result, tuple | list) and len(result) == 2):
                raise FunctransTypeError(
                    f"the jvp rule of {name} must return a pair (result, tangent of the result), it returned "
                    f"{describe(result)} at {here()}"
                )
            outs, found_tree = tree_flatten(result[0])
            _check_tree(
                f"the result of the jvp rule of {name}", result[0], f"the result of {name}", found_tree, out_tree
            )
            out_slopes, slope_tree = tree_flatten(result[1])
            _check_tree(
                f"the tangent returned by the jvp rule of {name}", result[1], "its result", slope_tree, out_tree
            )
            ends = own.ends(written, f"the jvp rule of {name}")
            checked: list[Any] = []
            for r, x in zip(written, ends, strict=True):
                if is_differentiable(type_of(x).dtype):
                    checked.append(along.ends([r], name)[0] if r in own.outer else ZERO)
            for i, (x, t, wanted) in enumerate(zip(outs, out_slopes, out_types, strict=True)):
                _check_type(f"result {i} of the jvp rule of {name}", x, wanted)
                outs[i] = convert(x, wanted.dtype, wanted.weak_type)
                if is_differentiable(wanted.dtype):
                    checked.append(_checked(f"tangent {i} returned by the jvp rule of {name}", t, wanted))
            return [*ends, *outs, *checked]

        tangent_types = [t for t, d in zip(types, smooth, strict=True) if d]
        rule_types = [*types, *tangent_types]
        traced: Rule
        rule_consts: list[Any] = []
        if self.symbolic_zeros:

            def select(given: tuple[bool, ...], values: Sequence[Any] = known) -> Traced:
                told = functools.partial(rule, given=given)
                return self._trace(told, rule_types, values, 0, "the jvp rule", known)

            traced = DeferredRule(select, asking=select)
        else:

            def trace(remaining: int, values: Sequence[Any]) -> Traced:
                return self._trace(rule, rule_types, values, remaining, "the jvp rule", known)

            traced, rule_consts = self._rule(trace, order, leaves, known)
        op = CustomJvp(jaxpr, traced, len(consts), len(rule_consts), name)
        results = bind_all(op, [*consts, *rule_consts, *leaves])
        for r, x in zip(written, results, strict=False):  # of what is outside there is no derivative
            r._put(x if r._home is current_builder() else stop_gradient(x))
        return tree_unflatten(out_tree, results[len(written) :])


class custom_vjp(_CustomFunction):
    """A function with a reverse derivative rule of its own; forward mode, Hessians and vmap use that rule too.

    ``defvjp(fwd, bwd)``: ``fwd(*args) -> (result, residuals)``; ``bwd(*static, residuals, cotangent) -> tuple`` with a
    cotangent (or None for zero) for each argument that is not static. In reverse mode ``bwd`` runs as written; forward
    mode needs it to be linear in the cotangent. A mutable reference of floating dtype (``new_ref``) that is an argument
    and that ``fwd`` returns among the residuals is one in ``bwd``, too: under ``grad``, ``value_and_grad`` and ``vjp``
    it may write to it. What the function and ``fwd`` write to references has no derivative.

    >>> import functrans as ft
    >>> @ft.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, ct: (ct * 0.5,))
    >>> float(ft.grad(lambda x: 4.0 * clip_gradient(x))(1.0))
    2.0
    """

    @api_boundary
    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set the pair of rules.

        ``symbolic_zeros``: each leaf of the arguments of ``fwd`` is a ``custom_derivatives.CustomVJPPrimal``, which
        says whether it is differentiated; cotangents that are zero, as those of results that nothing uses, come to
        ``bwd`` as ``custom_derivatives.SymbolicZero``, and may be returned so. ``optimize_remat`` is accepted and
        changes nothing.
        """
        self.fwd, self.bwd, self.symbolic_zeros = fwd, bwd, symbolic_zeros

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = function_name(self.fun)
        if self.fwd is None or self.bwd is None:
            raise FunctransTypeError(
                f"the custom_vjp function {name} has no rules yet, at {here()}\nGive it some with {name}.defvjp(fwd, "
                "bwd) before calling it."
            )
        args, static, dynamic = self._arguments(args, kwargs)
        if evaluates():
            return self._evaluated(args, dynamic)
        leaves, tree = tree_flatten(tuple(dynamic))
        given = Given(name, leaves)
        leaves, types = entering(values_in(leaves), lambda i: f"an argument of {name}")
        order = foreseen_order()
        trees: list[Any] = []
        written: list[Any] = []

        def primal(*inputs: Any) -> list[Any]:
            flat, out_tree = tree_flatten(self._call_with(args, tree_unflatten(tree, given.enter(inputs))))
            trees.append(out_tree)
            written[:] = given.written()
            return [*given.ends(written, name), *flat]

        jaxpr, consts = self._trace(primal, types, leaves, order, "custom_vjp", leaves)
        given.forget()
        out_tree, out_types = trees[0], jaxpr.out_types
        known = _with_numbers(leaves)
        rules = _VjpRules(
            self, name, args, static, tree, types, known, out_tree, out_types, given, written, self.symbolic_zeros
        )
        forward: Rule
        backward: Rule
        forward_consts: list[Any] = []
        backward_consts: list[Any] = []
        if self.symbolic_zeros:
            forward, backward = rules.selective()
        else:
            forward, forward_consts = self._rule(rules.trace_forward, order, leaves, known)
            rules.sealed = True
            left = order if isinstance(forward, Jaxpr) else 0
            backward, backward_consts = self._rule(rules.trace_backward, left, (), ())
            if not known:
                rules.residual_values = []
        counts = (len(consts), len(forward_consts), len(backward_consts))
        threads = rules.threads if isinstance(forward, Jaxpr) else []
        jaxpr = handing_on(jaxpr, [t.type for t in threads], len(jaxpr.outputs))
        op = CustomVjp(jaxpr, forward, backward, counts, name, self.symbolic_zeros, len(threads))
        results = bind_all(op, [*consts, *forward_consts, *backward_consts, *leaves, *values_in(threads)])
        put(written, map(stop_gradient, results))  # the rules say nothing of what is written
        put(threads, results[len(results) - len(threads) :])
        return tree_unflatten(out_tree, results[len(written) : len(results) - len(threads)])


class _VjpRules:
    """fwd and bwd of one call of a custom_vjp function, as flat programs."""

    def __init__(
        self, owner: custom_vjp, name: str, args: Sequence[Any], static: Sequence[Any], tree: Any,
        types: Sequence[ArrayType], leaves: Sequence[Any], out_tree: Any, out_types: Sequence[ArrayType],
        given: Given, written: Sequence[Any], symbolic: bool,
    ) -> None:  # fmt: skip
        self.states: list[Any] = []  # references among the residuals, with which the backward pass goes on
        self.threads: list[Any] = []  # theirs
        self.in_residuals: list[int] = []  # where they are
        self.numbers: dict[int, Any] = {}  # among the residuals, by place: bwd may ask for them, whatever is traced
        self.sealed = symbolic  # whether it is too late for any
        self.given, self.written = given, written  # references: among the arguments; that the function writes to
        held = owner._static(args)
        self.args = [x if i in held else None for i, x in enumerate(args)]
        self.owner, self.name, self.static, self.tree = owner, name, static, tree
        self.types, self.leaves, self.out_tree, self.out_types = types, leaves, out_tree, out_types
        self.residual_tree: Any = None
        self.residual_types: list[ArrayType] = []
        self.residual_values: list[Result] = []
        self.perturbed: tuple[bool, ...] | None = None  # given to fwd beside the values, with symbolic_zeros

    def selective(self) -> tuple[Rule, Rule]:
        """Both rules, traced for the arguments that are differentiated and the cotangents that are given."""

        def both(
            perturbed: tuple[bool, ...], values: Sequence[Any]
        ) -> tuple[Traced, Callable[[tuple[bool, ...], Sequence[Any]], Traced]]:
            rules = copy.copy(self)
            rules.perturbed = perturbed
            forward = rules.trace_forward(0, values or self.leaves)
            return forward, lambda given, values: rules.trace_backward(0, values, given)

        return rules_together(both)

    def trace_forward(self, order: int, values: Sequence[Any]) -> Traced:
        jaxpr, captured = self.owner._trace(self.forward, self.types, values, order, "the fwd rule", self.leaves)
        if len(values) == len(self.types):
            computed = Computed(jaxpr, [*captured, *values])
            self.residual_values = [Result(computed, i) for i in range(len(self.out_types), len(jaxpr.outputs))]
        types = [t.type for t in self.threads]
        return handing_on(jaxpr, types, len(self.out_types)), captured

    def forward(self, *inputs: Any) -> list[Any]:
        static = self.owner._static(self.args)
        values = self.given.enter(inputs)
        if self.perturbed is not None:
            told = zip(values, self.perturbed, strict=True)
            values = [x if is_reference(x) else CustomVJPPrimal(x, p) for x, p in told]
        rest = iter(tree_unflatten(self.tree, values))
        result = self.owner.fwd(*[x if i in static else next(rest) for i, x in enumerate(self.args)])  # type: ignore[misc]
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise FunctransTypeError(
                f"the fwd rule of {self.name} must return a pair (result, residuals), it returned {describe(result)} "
                f"at {here()}"
            )
        outs, found = tree_flatten(result[0])
        _check_tree(
            f"the result of the fwd rule of {self.name}", result[0], f"the result of {self.name}", found, self.out_tree
        )
        ends = self.given.ends(self.written, f"the fwd rule of {self.name}")
        for i, (x, wanted) in enumerate(zip(outs, self.out_types[len(ends) :], strict=True)):
            _check_type(f"result {i} of the fwd rule of {self.name}", x, wanted)
            outs[i] = convert(x, wanted.dtype, wanted.weak_type)
        residuals, self.residual_tree = tree_flatten(result[1])
        places = [i for i, x in enumerate(residuals) if is_reference(x)]
        if places and not self.sealed:
            self.in_residuals = places
            self.states = [self.given.given_for(residuals[i], self.name) for i in places]
            self.threads = [r.thread() for r in self.states]
        elif places:
            raise FunctransTypeError(
                f"a residual returned by the fwd rule of {self.name} is a mutable reference, and no derivative is "
                f"taken around that could hand on what bwd writes, at {here()}\nTake it by grad or vjp, "
                "or return what the reference holds, ref[...]."
            )
        self.numbers = {i: x for i, x in enumerate(residuals) if isinstance(x, _NUMBERS)}
        residuals = [x for i, x in enumerate(residuals) if i not in self.numbers and not is_reference(x)]
        self.given.forget()
        self.residual_types = leaf_types(residuals, lambda i: f"a residual returned by the fwd rule of {self.name}")
        return [*ends, *outs, *residuals]

    def trace_backward(self, order: int, values: Sequence[Any], given: tuple[bool, ...] | None = None) -> Traced:
        """``values``: of residuals and cotangents, where these are known. ``given``, with symbolic_zeros: which
        cotangents of the differentiable results are not zero.
        """
        cotangents = [t for t in self.out_types if is_differentiable(t.dtype)]
        types = [*self.residual_types, *cotangents, *[t.type for t in self.threads]]
        backward = functools.partial(self.backward, given)
        return self.owner._trace(backward, types, values or self.residual_values, order, _BACKWARD, self.leaves)

    def cotangents(self, values: Sequence[Any], given: tuple[bool, ...] | None) -> list[Any]:
        """Those of all results as ``bwd`` is told them."""
        smooth = [is_differentiable(t.dtype) for t in self.out_types]
        if given is None:
            rest = iter(values)
            return [next(rest) if s else np.zeros(t.shape, float0) for s, t in zip(smooth, self.out_types, strict=True)]
        known = iter([x if g else None for x, g in zip(values, given, strict=True)])
        found = [next(known) if s else None for s in smooth]
        return [symbolic_zero(t) if x is None else x for x, t in zip(found, self.out_types, strict=True)]

    def backward(self, given: tuple[bool, ...] | None, *inputs: Any) -> list[Any]:
        count = len(self.residual_types)
        end = len(inputs) - len(self.states)
        states = [r.like(x) for r, x in zip(self.states, inputs[end:], strict=True)]
        rest, references = iter(inputs[:count]), iter(states)
        flat_residuals = [
            self.numbers[i] if i in self.numbers else next(references if i in self.in_residuals else rest)
            for i in range(count + len(states) + len(self.numbers))
        ]
        residuals = tree_unflatten(self.residual_tree, flat_residuals)
        cts = self.cotangents(inputs[count:end], given)
        result = self.owner.bwd(*self.static, residuals, tree_unflatten(self.out_tree, cts[len(self.written) :]))  # type: ignore[misc]
        if isinstance(result, list):
            result = tuple(result)
        parts = self.tree.children()
        if not isinstance(result, tuple) or len(result) != len(parts):
            raise FunctransTypeError(
                f"the bwd rule of {self.name} must return a tuple with {len(parts)} cotangent(s), one for each "
                f"argument that is not static, it returned {describe(result)} at {here()}"
            )
        leaves: list[Any] = []
        for i, (part, tree) in enumerate(zip(result, parts, strict=True)):
            flat = _leaves_of(part, tree)
            if flat is None:
                what = f"cotangent {i} returned by the bwd rule of {self.name}"
                _check_tree(what, part, f"argument {i}", tree_structure(part), tree)
            leaves.extend(flat)  # type: ignore[arg-type]
        checked = []
        for i, (ct, wanted) in enumerate(zip(leaves, self.types, strict=True)):
            if not is_differentiable(wanted.dtype):
                continue
            if ct is None or (isinstance(ct, np.ndarray) and ct.dtype == float0):
                checked.append(ZERO)
            else:
                what = f"cotangent leaf {i} returned by the bwd rule of {self.name}"
                checked.append(_checked(what, ct, wanted, any_float=True))
        return [*checked, *[r._value for r in states]]
