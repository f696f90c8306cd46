"""From a user's function to a jaxpr, and from a transformed jaxpr to results.

A call at top level traces the function every time and then looks for what was traced under its structural key: a
program seen before costs one trace, one key and one dispatch. Numbers in the code are inputs (optimise.numbers),
so ``lr = lr * 0.9`` in a loop does not compile for ever, and the key holds no values.

Nothing here changes once threads can see it: what has been traced is looked up, made, and published whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from functrans.errors import ConcretizationError, FunctransTypeError
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var, live_equations
from functrans.ir.snapshots import snapshot
from functrans.ir.types import ArrayType, describe, float0
from functrans.jaxlib_compat import array_values, configuration
from functrans.jaxlib_compat.tracing import EVALUATION
from functrans.ops.structural import broadcast_in_dim
from functrans.optimise.numbers import as_variables
from functrans.trace.builder import NEVER, ONCE, Borrowed, Builder, values_of
from functrans.trace.frames import api_boundary as api_boundary
from functrans.trace.frames import here, line_key
from functrans.trace.leaves import Name, entering
from functrans.trace.primitive import is_passing
from functrans.trace.replay import trace
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer
from functrans.trace.values import EFFECTS, NOTHING, OPERATIONS
from functrans.xla import execute

tree_flatten: Callable[..., Any] = jax.tree_util.tree_flatten
tree_unflatten: Callable[..., Any] = jax.tree_util.tree_unflatten
tree_structure: Callable[..., Any] = jax.tree_util.tree_structure


_ARRAYS = frozenset((array_values.ArrayImpl, array_values.KeyArray))
_UNWRITTEN = frozenset((float, int, bool, complex, Tracer, array_values.ArrayImpl))


class Staged(NamedTuple):
    """A traced function: ``jaxpr`` takes ``captured`` and then the leaves of the arguments. Its last results are those
    of the ``references`` from outside that the function writes to, and behind them those of ``threads``, each with its
    place among the captured values (see api.references)."""

    jaxpr: Jaxpr
    captured: list[Any]
    out_tree: Any
    references: Sequence[Any] = ()
    threads: Sequence[tuple[int, Any]] = ()

    @property
    def num_own(self) -> int:
        """How many results are the function's own."""
        return len(self.jaxpr.outputs) - len(self.references) - len(self.threads)

    @property
    def out_types(self) -> tuple[ArrayType, ...]:
        return self.jaxpr.out_types[: self.num_own]

    def own(self, results: Sequence[Any]) -> Sequence[Any]:
        """The function's own results of those of the program, once the others are put into their references."""
        if not self.references and not self.threads:
            return results
        for reference, x in zip(self.references, results[self.num_own :], strict=False):
            reference._put(x)
        return results[: self.num_own]


def stage(
    fun: Callable[..., Any],
    leaves: Sequence[Any],
    types: Sequence[ArrayType],
    purpose: str,
    *,
    values: bool = False,
    compiled: bool = True,
    order: int | None = None,
    remedy: str = "",
    differentiated: Sequence[bool] = (),
    lends: bool = False,
    pulls_back: bool = False,
) -> Staged:
    """Trace ``fun(*leaves) -> pytree``. ``values``: the leaves' values can be asked for while tracing;
    ``compiled``: without values, all that the function does belongs to each run of the program;
    ``differentiated``: which leaves the caller differentiates by, if it does; ``lends``: the function may write to
    references from outside; ``pulls_back``: backward rules may, too.

    NumPy arrays in the list ``leaves`` are exchanged for what they hold now: the function may write to them.
    """
    if isinstance(leaves, list) and not _UNWRITTEN.issuperset(map(type, leaves)):
        leaves[:] = [snapshot(x) if isinstance(x, np.ndarray) else x for x in leaves]
    with Builder(purpose, order=order) as builder:
        builder.remedy, builder.lends, builder.pulls_back = remedy, ONCE if lends else NEVER, pulls_back
        outer = builder.parent
        if values:
            if outer is not None:
                builder.known.runs = outer.known.runs
            elif builder.before is EVALUATION:
                builder.known.runs = EFFECTS
            inputs = list(map(builder.new_input, types, leaves))
            builder.known.differentiated = frozenset([x.variable.id for x, d in zip(inputs, differentiated) if d])
        else:
            if not compiled and (builder.before is EVALUATION if outer is None else outer.known.runs is not NOTHING):
                builder.known.runs = OPERATIONS
            inputs = list(map(builder.new_input, types))
        result = fun(*inputs)
        flat, out_tree = tree_flatten(result)
        outputs = [
            a if type(a) is Tracer and a.builder is builder else output(builder, a, result, purpose) for a in flat
        ]
        written: list[Borrowed] = []
        begun: list[Borrowed] = []
        borrows = bool(builder.references)
        if borrows:
            for found in builder.written():
                (begun if found.reference.threads(builder) else written).append(found)
            outputs += [builder.output(found.value) for found in (*written, *begun)]
        if builder.parent is not None or builder.before is not EVALUATION:  # it becomes a part of another program
            jaxpr, captured = builder.finish(outputs)
        else:
            jaxpr, captured = resolve(builder, outputs)
    if not borrows:
        return Staged(jaxpr, captured, out_tree)
    numbers = {id(x): i for i, x in enumerate(captured)}
    threads = [(numbers[id(found)], found.reference) for found in begun]  # in the order of their places
    return Staged(jaxpr, values_of(captured), out_tree, [found.reference for found in written], threads)


def output(builder: Builder, x: Any, result: Any, purpose: str) -> Any:
    """A leaf of a traced function's result; raises TypeError naming its place in the tree."""
    try:
        return builder.output(x)
    except FunctransTypeError:
        place = next(keystr(path) for path, leaf in tree_flatten_with_path(result)[0] if leaf is x)
        remedy = "Return arrays, numbers or pytrees of them; keep other objects out of the result."
        raise FunctransTypeError(
            f"the function given to {purpose} returned {describe(x)} at result{place}, which is not a number or an "
            f"array. At {here()}\n{getattr(type(x), 'instead', remedy)}"
        ) from None


# -- programs by structural key --------------------------------------------------------------------------------------


class _Traced(NamedTuple):
    """What the traces with one key have in common.

    The leading inputs of ``jaxpr`` are the captured values that are ``kept``, then the ``numbers``: places among the
    trace's own, or numbers of held programs, which the key holds.
    """

    jaxpr: Jaxpr
    kept: tuple[int, ...]
    numbers: tuple[int | Literal, ...]


_traced = Cache(1024)  # by structure: what stands in held programs included
_programs = Cache(1024)  # the jaxprs of these; traces that differ in the numbers of held programs have one


def _places(equations: Sequence[Equation]) -> Any:
    """Where the first and the last equation were written: programs of other functions keep their own lines for errors.
    """
    if not equations:
        return None
    return line_key(equations[0].where), line_key(equations[-1].where)


def resolve(builder: Builder, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
    """The jaxpr of what was traced, the very object of an earlier equal trace if there was one, and its leading inputs.
    """
    numbers = builder.structure.literals
    pattern: Any = None
    if len(numbers) > 1 and len(different := dict.fromkeys(numbers)) < len(numbers):  # equal numbers are one input
        order = {x: i for i, x in enumerate(different)}
        pattern = tuple([order[x] for x in numbers])
    structure = builder.structure.key(builder.inputs, outputs)
    key = (structure, pattern, _places(builder.equations), configuration.trace_context())
    found = _traced.get(key) or _traced.find(key)
    if found is None:
        found = _resolved(builder, outputs, key[2:])
        if not any(eqn.op.passing for eqn in builder.equations):  # dead ones are in the key
            found = _traced.add(key, found)
    jaxpr, kept, sources = found
    captured = [builder.captured[i] for i in kept]
    for source in sources:
        captured.append(execute.number(numbers[source] if type(source) is int else source))
    return jaxpr, captured


def _resolved(builder: Builder, outputs: Sequence[Any], context: Any) -> _Traced:
    """The program of what was traced, with its numbers as inputs behind the captured values."""
    found = as_variables(builder.equations, builder.known.performed)
    atoms = [a.variable if type(a) is Tracer else a for a in outputs]
    equations, live = live_equations(found.equations, atoms)
    variables: list[Var] = []
    kept: list[int] = []
    for i, x in enumerate(builder.captured):
        var = builder.captures[id(x)].variable
        if var in live:
            kept.append(i)
            variables.append(var)
    sources: list[int | Literal] = []
    for var, value, place in zip(found.variables, found.values, found.places, strict=True):
        if var in live:
            variables.append(var)
            sources.append(value if place < 0 else place)
    jaxpr = Jaxpr([*variables, *[t.variable for t in builder.inputs]], equations, atoms)
    jaxpr = jaxpr if is_passing(jaxpr) else _programs.add((jaxpr, context), jaxpr)
    return _Traced(jaxpr, tuple(kept), tuple(sources))


def as_arrays(tree: Any, name: Name) -> Any:
    """An argument of a function that is called where no trace is open, with its numbers and NumPy's data as arrays: the
    function computes with them as it does where it is traced.
    """
    leaves, structure = tree_flatten(tree)
    if _ARRAYS.issuperset(map(type, leaves)):
        return tree
    leaves, types = entering(leaves, name)
    device = configuration.default_device()
    arrays = [x if t.dtype == float0 else execute.as_result(x, t, device) for x, t in zip(leaves, types, strict=True)]
    return tree_unflatten(structure, arrays)


def as_values(results: Sequence[Any]) -> list[Any]:
    """Results for the user: a literal of a program becomes a traced value (or an array, outside of any trace)."""
    return [broadcast_in_dim(x, ()) if type(x) is Literal else x for x in results]


def apply(
    key: Hashable, jaxpr: Jaxpr, values: Sequence[Any], transformed: Callable[[list[Any]], Sequence[Any]], name: str,
    in_types: Callable[[], Sequence[ArrayType]] | None = None,
) -> list[Any]:  # fmt: skip
    """Run ``transformed(values)``: inline where a trace is open, else as one program, remembered on ``jaxpr``, from
    which it is derived, under ``key``. ``in_types()``: the types of the values, by default those of its inputs.
    """
    if current_builder() is not None:
        return as_values(transformed(list(values)))
    memo_key = (key, configuration.trace_context())
    program = jaxpr.memo.get(memo_key)
    if program is None:
        types = jaxpr.in_types if in_types is None else in_types()
        try:
            result, captured = trace(lambda *inputs: transformed(list(inputs)), types, name, order=0)
        except ConcretizationError:  # by a rule that asks for the number behind a tangent or cotangent
            return at_values(transformed, values, types, name)
        if captured:  # by a rule: it is no function of the program alone
            return execute.run(result, [*captured, *values], name)
        reason = f"the first {name} of a program with this structure and these types"
        program = jaxpr.remember(memo_key, lambda: execute.program(result, name, reason))
    return program(*values)


def at_values(
    transformed: Callable[[list[Any]], Sequence[Any]], values: Sequence[Any], types: Sequence[ArrayType], name: str
) -> list[Any]:
    """Run ``transformed(values)``, which may ask for their numbers: a program for these values alone."""
    staged = stage(lambda *inputs: transformed(list(inputs)), list(values), types, name, values=True, order=0)
    return list(execute.run(staged.jaxpr, [*staged.captured, *values], name))


def clear() -> None:
    """Forget every program and executable."""
    execute.clear()


execute.caches += [_traced, _programs]
