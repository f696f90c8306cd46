"""From a user's function to a jaxpr, and from a transformed jaxpr to results.

A call at top level traces the function every time and then looks for what was traced under its structural key: a
program seen before costs one trace, one key and one dispatch. Numbers written in the code are literals of the key; one
that is seen to change between otherwise equal programs becomes a run-time input, so ``lr = lr * 0.9`` in a loop does
not compile for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from functrans.errors import FunctransTypeError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, live_equations
from functrans.ir.types import ArrayType, describe
from functrans.ops.structural import broadcast_in_dim
from functrans.optimise import nested_literals
from functrans.optimise.nested_literals import exposed_equations, with_inputs
from functrans.optimise.segments import literals_to_inputs
from functrans.trace.builder import Builder, Tracer, state
from functrans.trace.frames import api_boundary as api_boundary
from functrans.trace.frames import here, line_key
from functrans.xla import execute, jaxlib_compat

tree_flatten: Callable[..., Any] = jax.tree_util.tree_flatten
tree_unflatten: Callable[..., Any] = jax.tree_util.tree_unflatten
tree_structure: Callable[..., Any] = jax.tree_util.tree_structure
_CAPACITY = 512


class Staged(NamedTuple):
    """A traced function: ``jaxpr`` takes ``captured`` and then the leaves of the arguments."""

    jaxpr: Jaxpr
    captured: list[Any]
    out_tree: Any


def stage(
    fun: Callable[..., Any],
    leaves: Sequence[Any],
    types: Sequence[ArrayType],
    purpose: str,
    *,
    values: bool = False,
    order: int | None = None,
    remedy: str = "",
    differentiated: Sequence[bool] = (),
    shared: Sequence[bool] = (),
) -> Staged:
    """Trace ``fun(*leaves) -> pytree``. ``values``: the leaves' values can be asked for while tracing;
    ``differentiated``: which leaves the caller differentiates by, if it does; ``shared``: where the function is traced
    for many lanes at once, which leaves are the same for all of them and have a value that can be asked for.
    """
    with Builder(purpose, order=order) as builder:
        builder.remedy = remedy
        if values:
            builder.performs = builder.parent is None or builder.parent.performs
            inputs = [builder.new_input(t, x) for t, x in zip(types, leaves, strict=True)]
            builder.differentiated = frozenset([x.variable.id for x, d in zip(inputs, differentiated) if d])
        elif shared:
            inputs = [builder.new_input(t, x if s else None) for t, x, s in zip(types, leaves, shared, strict=True)]
        else:
            inputs = [builder.new_input(t) for t in types]
        result = fun(*inputs)
        flat, out_tree = tree_flatten(result)
        outputs = [
            a if type(a) is Tracer and a.builder is builder else output(builder, a, result, purpose) for a in flat
        ]
        if builder.parent is not None:
            jaxpr, captured = builder.finish(outputs)
        else:
            jaxpr, captured = resolve(builder, outputs)
    return Staged(jaxpr, captured, out_tree)


def output(builder: Builder, x: Any, result: Any, purpose: str) -> Any:
    """A leaf of a traced function's result; raises TypeError naming its place in the tree."""
    try:
        return builder.output(x)
    except FunctransTypeError:
        place = next(keystr(path) for path, leaf in tree_flatten_with_path(result)[0] if leaf is x)
        raise FunctransTypeError(
            f"the function given to {purpose} returned {describe(x)} at result{place}, which is not a number or an "
            f"array. At {here()}\nReturn arrays, numbers or pytrees of them; keep other objects out of the result."
        ) from None


# -- programs by structural key --------------------------------------------------------------------------------------


class _Family:
    """Programs that differ in the values of literals only."""

    __slots__ = ("by_literals", "dynamic", "latest")

    def __init__(self) -> None:
        self.dynamic: tuple[int, ...] = ()  # places of literals that have been seen to change: inputs now
        self.by_literals: OrderedDict[Any, tuple[Jaxpr, tuple[int, ...]]] = OrderedDict()
        self.latest: list[Literal] = []


_families: OrderedDict[Any, _Family] = OrderedDict()


def _places(equations: Sequence[Equation]) -> Any:
    """Where the first and the last equation were written: programs of other functions keep their own lines for errors.
    """
    if not equations:
        return None
    return line_key(equations[0].where), line_key(equations[-1].where)


def resolve(builder: Builder, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
    """The jaxpr of what was traced, the very object of an earlier equal trace if there was one, and its leading inputs.
    """
    key = (builder.key(outputs), _places(builder.equations), jaxlib_compat.trace_context())
    family = _families.get(key)
    if family is None:
        general = _resolve_nested(builder, outputs)
        if general is not None:
            return general
        if len(_families) >= _CAPACITY:
            _families.popitem(last=False)
        family = _families[key] = _Family()
    literals = builder.literals
    found = None
    if literals:
        dynamic = family.dynamic
        wanted = tuple(literals) if not dynamic else tuple([x for i, x in enumerate(literals) if i not in dynamic])
        found = family.by_literals.get(wanted)
        if found is None and family.latest:
            changed = [i for i, (a, b) in enumerate(zip(family.latest, literals, strict=True)) if a != b]
            if not set(changed) <= set(dynamic):
                dynamic = family.dynamic = tuple(sorted({*dynamic, *changed}))
                family.by_literals.clear()
                wanted = tuple([x for i, x in enumerate(literals) if i not in dynamic])
    else:
        wanted = ()
        found = family.by_literals.get(())
    family.latest = literals
    if found is None:
        jaxpr, kept = _finish(builder, outputs, family.dynamic)
        found = family.by_literals[wanted] = (jaxpr, kept)
        if len(family.by_literals) > 64:
            family.by_literals.popitem(last=False)
    jaxpr, kept = found
    captured = [builder.captured[i] for i in kept]
    for i in family.dynamic:
        captured.append(np.asarray(literals[i].value, literals[i].type.dtype))
    return jaxpr, captured


def _resolve_nested(builder: Builder, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]] | None:
    """As ``resolve``, where numbers in the programs that operations hold have been seen to change; else None."""
    if builder.performed or not any(eqn.op.holds_jaxprs for eqn in builder.equations):
        return None
    free = [t.variable for t in builder.tracers if builder.producers[t.variable.id] is None]
    rows, literals = exposed_equations(builder.equations, {v: i for i, v in enumerate(free)})
    if not literals:
        return None
    ends = tuple([a.variable.id if type(a) is Tracer else a for a in outputs])
    kinds = tuple([(v.id, v.type) for v in free]), tuple([t.variable.id for t in builder.inputs])
    place = _places(builder.equations)
    family = nested_literals.family(("trace", kinds, rows, ends, place, jaxlib_compat.trace_context()), literals)
    if family is None:
        return None
    fixed = family.fixed(literals)
    found = family.programs.get(fixed)
    if found is None:
        equations, new = with_inputs(builder.equations, set(family.dynamic))
        found = family.programs[fixed] = _program(builder, outputs, equations, new)
    jaxpr, kept = found
    return jaxpr, [*[builder.captured[i] for i in kept], *family.values(literals)]


def _finish(builder: Builder, outputs: Sequence[Any], dynamic: Sequence[int]) -> tuple[Jaxpr, tuple[int, ...]]:
    """The program with the ``dynamic`` literals as inputs behind the captured ones, and which captures it keeps."""
    equations: Sequence[Equation] = builder.staged()
    new_inputs: list[Var] = []
    if dynamic:
        equations, new_inputs = literals_to_inputs(equations, set(dynamic))
    return _program(builder, outputs, equations, new_inputs)


def _program(
    builder: Builder, outputs: Sequence[Any], equations: Sequence[Equation], new_inputs: Sequence[Var]
) -> tuple[Jaxpr, tuple[int, ...]]:
    """The program of these equations, with new inputs behind the captured ones, and which captures it keeps."""
    atoms = [a.variable if type(a) is Tracer else a for a in outputs]
    kept_equations, live = live_equations(equations, atoms)
    variables: list[Var] = []
    kept: list[int] = []
    for i, x in enumerate(builder.captured):
        var = builder.captures[id(x)].variable
        if var in live:
            kept.append(i)
            variables.append(var)
    inputs = [*variables, *new_inputs, *[t.variable for t in builder.inputs]]
    return Jaxpr(inputs, kept_equations, atoms), tuple(kept)


def as_values(results: Sequence[Any]) -> list[Any]:
    """Results for the user: a literal of a program becomes a traced value (or an array, outside of any trace)."""
    return [broadcast_in_dim(x, ()) if type(x) is Literal else x for x in results]


def apply(
    key: Any, jaxpr: Jaxpr, values: Sequence[Any], transformed: Callable[[Jaxpr, list[Any]], Sequence[Any]], name: str
) -> list[Any]:
    """Run ``transformed(jaxpr, inputs)``: inline where a trace is open, else as one program remembered under ``key``.
    """
    if state.builder is not None:
        return as_values(transformed(jaxpr, list(values)))
    memo_key = (key, jaxlib_compat.trace_context())
    program = jaxpr.memo.get(memo_key)
    if program is None:
        program = transformed_program(jaxpr, transformed, name)
        if isinstance(program, list):  # the rule captured values: it cannot be remembered
            return execute.run(program[0], [*program[1], *values], name)
        jaxpr.memo[memo_key] = program
    return program(*values)  # type: ignore[no-any-return]


def transformed_program(jaxpr: Jaxpr, transformed: Callable[[Jaxpr, list[Any]], Sequence[Any]], name: str) -> Any:
    """The program of the transformed jaxpr; with its captured values as a list when a rule captured some."""
    with Builder(name, order=0) as builder:
        inputs = [builder.new_input(t) for t in jaxpr.in_types]
        outputs = [builder.output(x) for x in transformed(jaxpr, inputs)]
        result, captured = builder.finish(outputs)
    if captured:
        return [result, captured]
    return execute.program(result, name, f"the first {name} of a program with this structure and these types")


def clear() -> None:
    """Forget every program and executable."""
    _families.clear()
    nested_literals.clear()
    execute.clear()
