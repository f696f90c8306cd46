"""linearize, vjp and linear_transpose: linear maps as pytrees, with JAX's names, signatures and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves

from functrans.api.ahead_of_time import as_shape_struct
from functrans.api.arguments import (
    as_array,
    as_type,
    check_callable,
    check_tangent,
    differentiation_order,
    release_objects,
    split_aux,
    zero_value,
)
from functrans.api.references import Given, check_given_once, is_reference, put, values_in
from functrans.api.staging import (
    api_boundary,
    as_values,
    at_values,
    stage,
    tree_flatten,
    tree_structure,
    tree_unflatten,
)
from functrans.errors import ConcretizationError, FunctransTypeError
from functrans.ir.program import Jaxpr
from functrans.ir.types import (
    ArrayType,
    array_type,
    float0,
    is_differentiable,
    tangent_type,
    type_of,
)
from functrans.ops.structural import convert, zeros
from functrans.trace.frames import function_name, here
from functrans.trace.keywords import takes
from functrans.trace.leaves import entering, leaf_types, named
from functrans.trace.primitive import Linear
from functrans.trace.replay import replay, trace
from functrans.trace.state import current_builder
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.linearize import linearize as linearize_replay
from functrans.transform.transpose import transpose, transpose_jaxpr
from functrans.xla import execute


@jax.tree_util.register_pytree_node_class
class LinearMap:
    """A linear function held as a program and its residuals: what ``linearize`` and ``vjp`` return.

    A pytree: the residuals are leaves, the program is static and compares structurally, so it passes through jit, vmap,
    cond and scan, may be stored, called many times, and differentiated.
    """

    __slots__ = (
        "__weakref__",  # JAX refers weakly to the functions that it is given
        "direction",
        "in_tree",
        "in_types",
        "jaxpr",
        "nonzero",
        "num_residuals",
        "out_tree",
        "out_types",
        "references",
        "residuals",
    )

    def __init__(
        self, direction: str, jaxpr: Jaxpr, residuals: Sequence[Any], nonzero: tuple[bool, ...],
        in_tree: Any, in_types: tuple[ArrayType, ...], out_tree: Any, out_types: tuple[ArrayType, ...],
        references: tuple[Any, ...] = (),
    ) -> None:  # fmt: skip
        self.direction = direction  # "forward": tangents to tangents, "backward": cotangents to cotangents
        self.jaxpr = jaxpr  # (residuals, differentiable inputs) -> nonzero outputs
        self.residuals = residuals
        self.nonzero = nonzero
        self.in_tree, self.in_types = in_tree, in_types
        self.out_tree, self.out_types = out_tree, out_types
        # That backward rules write to: their threads (api.references) are the leading inputs and the last outputs.
        self.references = references

    def tree_flatten(self) -> Any:
        static = (
            self.direction, self.jaxpr, self.nonzero, self.in_tree, self.in_types, self.out_tree, self.out_types,
            self.references,
        )  # fmt: skip
        return tuple(self.residuals), static

    @classmethod
    def tree_unflatten(cls, static: Any, residuals: Any) -> LinearMap:
        direction, jaxpr, *rest = static
        return cls(direction, jaxpr, residuals, *rest)

    def transposed(self) -> LinearMap:
        """The same program read the other way: the pullback of a linearized function, and the reverse."""
        residuals, (direction, *rest) = self.tree_flatten()
        return LinearMap.tree_unflatten(("backward" if direction == "forward" else "forward", *rest), residuals)

    @api_boundary
    def __call__(self, *args: Any) -> Any:
        forward = self.direction == "forward"
        if not forward and len(args) != 1:
            raise FunctransTypeError(
                f"a pullback takes one argument, the cotangent of the function's result, and was given {len(args)} at "
                f"{here()}"
            )
        what, word = ("linearized function", "tangent") if forward else ("pullback", "cotangent")
        given = args if forward else args[0]
        wanted_tree = self.in_tree if forward else self.out_tree
        leaves, tree = tree_flatten(given)
        if tree != wanted_tree:
            raise FunctransTypeError(
                f"{what}: the {word} must have the tree structure of the function's "
                f"{'arguments' if forward else 'result'}, at {here()}\n  expected: {wanted_tree}\n  given:    {tree}"
            )
        count = len(self.references)
        own = self.in_types[count:] if forward else self.out_types[: len(self.out_types) - count]
        if forward and count:
            raise FunctransTypeError(
                "a pullback whose backward rules write to mutable references was to be run forward, where these do not "
                f"run, at {here()}\nDifferentiate the function with linearize or jvp."
            )
        wanted = [tangent_type(t) for t in own]
        values, types = [], []
        for i, (x, t) in enumerate(zip(leaves, wanted, strict=True)):
            if check_tangent(what, word, x, t, i):
                type_ = array_type(t.shape, t.dtype, t.weak_type and type_of(x).weak_type)
                values.append(as_type(x, type_))
                types.append(type_)
        return self._forward(values, types) if forward else self._backward(values, types)

    @api_boundary
    def with_refs(self, *wanted: Any) -> Callable[[Any], Any]:
        """The pullback that adds cotangents to mutable references, instead of returning them.

        Args:
          wanted: for each argument of the function a reference, or a tree of them: its cotangent is added to it, and a
            ``jax.ad.GradRef`` stands for it in the result. Where ``jax.ad.DontWant()`` stands, ``DidntWant()`` does
            in the result; where there is anything else, such as ``jax.ad.GradValue()``, the result has the cotangent.

        Raises:
          TypeError: for a linearized function.

        >>> import functrans as ft
        >>> total = ft.new_ref(10.0)
        >>> _, pullback = ft.vjp(lambda x: x * x, 3.0)
        >>> _ = pullback.with_refs(total)(1.0)
        >>> float(total[...])
        16.0
        """
        if self.direction == "forward":
            raise FunctransTypeError(f"with_refs is of pullbacks (vjp), not of linearized functions, at {here()}")
        places = self.in_tree.flatten_up_to(wanted)
        check_given_once("with_refs", places)

        @api_boundary
        def pullback(cotangent: Any) -> Any:
            found = tree_leaves(self(cotangent))
            for i, (place, ct) in enumerate(zip(places, found, strict=True)):
                if is_reference(place):
                    if ct.dtype != float0:
                        place._write(..., ct, "add")
                    found[i] = jax.ad.GradRef()  # type: ignore[attr-defined]
                elif isinstance(place, jax.ad.DontWant):  # type: ignore[attr-defined]
                    found[i] = jax.ad.DidntWant()  # type: ignore[attr-defined]
            return tree_unflatten(self.in_tree, found)

        return pullback

    def _forward(self, tangents: list[Any], types: list[ArrayType]) -> Any:
        results = [t for t, nz in zip(self.out_types, self.nonzero, strict=True) if nz]
        outs = iter(self._apply("forward", self.jaxpr, tangents, types, results))
        wanted = [tangent_type(t) for t in self.out_types]
        leaves = [next(outs) if nz else zero_value(t) for nz, t in zip(self.nonzero, wanted, strict=True)]
        return tree_unflatten(self.out_tree, leaves)

    def _backward(self, cotangents: list[Any], types: list[ArrayType]) -> Any:
        states = values_in(self.references)
        cotangents, types = [*cotangents, *states], [*types, *map(type_of, states)]
        linear = (False,) * len(self.residuals) + (True,) * (len(self.jaxpr.inputs) - len(self.residuals))
        differentiable = [is_differentiable(t.dtype) for t in self.out_types]
        rest = iter(zip(cotangents, types, strict=True))
        by_output = [next(rest) if d else None for d in differentiable]
        used = [ct for ct, nz in zip(by_output, self.nonzero, strict=True) if nz and ct is not None]
        inputs = [t for t in self.in_types if is_differentiable(t.dtype)]
        try:
            program, has = transpose_jaxpr(self.jaxpr, linear, (True,) * len(used))
        except ConcretizationError:  # by a rule that asks for the number behind a cotangent
            by_input = iter(self._at_values(inputs, used))
        else:
            sent = [t for t, h in zip(inputs, has, strict=True) if h]
            given, given_types = [ct for ct, _ in used], [t for _, t in used]
            results = iter(self._apply("backward", program, given, given_types, sent))
            by_input = iter([next(results) if h else None for h in has])
        leaves = []
        for t in self.in_types:
            if not is_differentiable(t.dtype):
                leaves.append(np.zeros(t.shape, float0))
                continue
            ct = next(by_input)
            leaves.append(zero_value(t) if ct is None else ct)
            if ct is None and len(leaves) <= len(states):
                leaves[-1] = states[len(leaves) - 1]
        put(self.references, leaves)
        return tree_unflatten(self.in_tree, leaves[len(states) :])

    def _at_values(self, inputs: Sequence[ArrayType], cotangents: Sequence[tuple[Any, ArrayType]]) -> list[Any]:
        """Cotangents of the differentiable ``inputs``, by rules that ask for the numbers behind those of the results.
        """

        def transformed(values: list[Any]) -> list[Any]:
            operands = [*values[: len(self.residuals)], *map(Linear, inputs)]
            sent = transpose(self.jaxpr, operands, values[len(self.residuals) :])
            return [
                zeros(t.shape, t) if ct is None else convert(ct, t.dtype, t.weak_type and weak)
                for ct, t in zip(sent, inputs, strict=True)
            ]

        as_a_rule = self.jaxpr.out_types
        weak = all(t.weak_type or not usual.weak_type for (_, t), usual in zip(cotangents, as_a_rule, strict=True))
        values = [*self.residuals, *[ct for ct, _ in cotangents]]
        if current_builder() is not None:
            return as_values(transformed(values))
        types = [*self.jaxpr.in_types[: len(self.residuals)], *[t for _, t in cotangents]]
        return at_values(transformed, values, types, "backward")

    def _apply(
        self, key: str, program: Jaxpr, given: list[Any], given_types: list[ArrayType], results: list[ArrayType]
    ) -> list[Any]:
        kept = program.in_types[: len(self.residuals)]
        program = retyped(program, (*kept, *given_types), tuple(results))
        values = [*self.residuals, *given]
        types = tuple(type_of(x) for x in values)
        if current_builder() is None and all(
            t is v.type or (t.shape == v.type.shape and t.dtype == v.type.dtype)
            for t, v in zip(types, program.inputs, strict=True)
        ):
            return execute.run(program, values, key)
        values = [
            x if t is v.type else convert(x, v.type.dtype, v.type.weak_type)
            for x, t, v in zip(values, types, program.inputs, strict=True)
        ]
        return as_values(replay(program, values))

    def __repr__(self) -> str:
        kind = "linearized function" if self.direction == "forward" else "pullback"
        return f"<{kind} with {len(self.residuals)} residuals, {len(self.jaxpr.equations)} equations>"


def retyped(program: Jaxpr, in_types: tuple[ArrayType, ...], results: tuple[ArrayType, ...]) -> Jaxpr:
    """A linear program for inputs with these weak flags; ``results``: the types of what its outputs are tangents of.

    A tangent or cotangent is weak where its value is and those it is made of are: a strong cotangent of a weak result
    gives strong cotangents, and one that passed from a strong result to a weak argument is weak, as in JAX.
    """
    if in_types == program.in_types and all(a == b for a, b in zip(program.out_types, results, strict=True)):
        return program
    return program.remember(("retyped", in_types, results), lambda: _retyped(program, in_types, results))


def _retyped(program: Jaxpr, in_types: Sequence[ArrayType], results: Sequence[ArrayType]) -> Jaxpr:
    stronger: set[Any] = {  # what is made of an input that is strong where it is weak as a rule
        v for v, t in zip(program.inputs, in_types, strict=True) if v.type.weak_type and not t.weak_type
    }
    for eqn in program.equations:
        if not stronger.isdisjoint(eqn.inputs):
            stronger.update(eqn.outputs)

    def function(*inputs: Any) -> list[Any]:
        outs = replay(program, inputs)
        return [
            convert(x, t.dtype, t.weak_type and (x.type.weak_type or a not in stronger))
            for x, t, a in zip(outs, results, program.outputs, strict=True)
        ]

    return trace(function, in_types, "a linear function")[0]


def _linear_map(fun: Callable[..., Any], primals: Sequence[Any], what: str, direction: str, has_aux: bool) -> Any:
    check_callable(fun, what)
    leaves, tree = tree_flatten(tuple(primals))
    given = Given(what, leaves)
    leaves, types = entering(values_in(leaves), named("argument", primals, f" of {what}"))
    sizes: list[int] = []

    def flat_fun(*inputs: Any) -> Any:
        result = fun(*tree_unflatten(tree, given.enter(inputs)))
        if any(end is not None for end in given.leave()):
            raise FunctransTypeError(
                f"{what}: the function writes to a mutable reference by which it is differentiated, at {here()}\nClose "
                "over the reference, or pass what it holds, ref[...]."
            )
        return split_aux(result, what, sizes) if has_aux else result

    smooth = tuple([is_differentiable(t.dtype) for t in types])
    staged = stage(
        flat_fun, leaves, types, f"{what} of {function_name(fun)}", values=True, order=differentiation_order(),
        differentiated=smooth, lends=True, pulls_back=direction == "backward",
    )  # fmt: skip
    jaxpr, captured, out_tree, _, threads = staged
    begun = [place for place, _ in threads]
    wrt = (*[i in begun for i in range(len(captured))], *smooth)
    values = [*captured, *leaves]
    if current_builder() is not None:
        outs, program = linearize_replay(jaxpr, values, wrt)
        outs = as_values(outs)
        linear, residuals, nonzero = program.jaxpr, list(program.residuals), program.nonzero
    else:
        split, extra = _linearized(jaxpr, wrt)
        results = execute.run(split.primal, [*extra, *values], what)
        residuals = split.residuals([*extra, *values], results)
        outs, linear, nonzero = results[: split.num_outputs], split.linear, split.nonzero
        residuals = [as_array(r) for r in residuals]
    value = tree_unflatten(out_tree, staged.own(outs))
    out_types = jaxpr.out_types
    aux = None
    if has_aux:
        value, aux = release_objects(value)
        out_tree = tree_structure(value)
    first, last = sizes[0] if has_aux else staged.num_own, len(out_types) - len(threads)
    kept = [i < first or i >= last for i in range(len(out_types))]
    if any(nz and not k for nz, k in zip(nonzero, kept, strict=True)):
        flags = [k for nz, k in zip(nonzero, kept, strict=True) if nz]
        outputs = [o for o, k in zip(linear.outputs, flags, strict=True) if k]
        linear = Jaxpr(linear.inputs, linear.equations, outputs)
    nonzero = tuple([nz for nz, k in zip(nonzero, kept, strict=True) if k])
    out_types = tuple([t for t, k in zip(out_types, kept, strict=True) if k])
    in_types = (*[thread.type for _, thread in threads], *types)
    references = tuple([thread.reference for _, thread in threads])
    function = LinearMap(direction, linear, residuals, nonzero, tree, in_types, out_tree, out_types, references)
    return (value, function, aux) if has_aux else (value, function)


def _linearized(jaxpr: Jaxpr, wrt: tuple[bool, ...]) -> tuple[LinearizedJaxpr, list[Any]]:
    return linearize_jaxpr(jaxpr, wrt), []


@takes(in_nzs=None)
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its derivative there, as a function that may be called many times.

    Returns:
      ``(value, f_jvp)`` with ``f_jvp(*tangents)``; with ``has_aux``, ``(value, f_jvp, auxiliary)``.

    >>> import functrans as ft
    >>> value, push = ft.linearize(lambda x: x * x, 3.0)
    >>> float(push(1.0)), float(push(2.0))
    (6.0, 12.0)
    """
    return _linear_map(fun, primals, "linearize", "forward", has_aux)


@takes(reduce_axes=(), saveable_args=True, in_nzs=None)
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its pullback: cotangent of the result -> tuple of cotangents of the
    arguments.

    The pullback is a closure over its residuals; it may be called many times, stored, passed through jit, vmap and
    scan, and is itself differentiable.

    Returns:
      ``(value, pullback)``; with ``has_aux``, ``(value, pullback, auxiliary)``. ``pullback.with_refs(...)`` adds the
      cotangents to mutable references. A reference among the arguments, which the function reads, stands for its value.

    >>> import functrans as ft
    >>> value, pullback = ft.vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> [float(g) for g in pullback(1.0)]
    [4.0, 3.0]
    """
    return _linear_map(fun, primals, "vjp", "backward", has_aux)


@takes(reduce_axes=())
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[..., Any]:
    """The transpose of a function that is linear in its arguments.

    Args:
      fun: a linear function of floating arguments.
      primals: its arguments, or ``ShapeDtypeStruct``s: only shapes and dtypes count.

    Returns:
      A function: cotangent of the result -> tuple of cotangents of the arguments.

    Raises:
      NotLinearError (a TypeError): ``fun`` is not linear.

    >>> import functrans as ft
    >>> transposed = ft.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> float(transposed(2.0)[0])
    6.0
    """
    check_callable(fun, "linear_transpose")
    leaves, tree = tree_flatten(tuple(primals))
    leaves = [*map(as_shape_struct, leaves)]
    types = leaf_types(leaves, named("argument", primals, " of linear_transpose"))
    for t in types:
        if not is_differentiable(t.dtype):
            raise FunctransTypeError(f"linear_transpose needs floating arguments, got {t} at {here()}")
    staged = stage(
        lambda *inputs: fun(*tree_unflatten(tree, inputs)), leaves, types, f"linear_transpose of {function_name(fun)}"
    )
    jaxpr, captured, out_tree, *_ = staged
    nonzero = (True,) * len(jaxpr.outputs)
    return LinearMap("backward", jaxpr, captured, nonzero, tree, tuple(types), out_tree, jaxpr.out_types)
