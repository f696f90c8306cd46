"""Tracing the functions that a user gives to branches and loops, and how their results differ from what is needed.

Two results are compared tree and type; the error shows both trees side by side, the leaf that differs, both types and
the cast to write.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr, Literal, Var
from functrans.ir.types import (
    ArrayType,
    array_type,
    describe,
    kind_of,
    promote,
    type_of,
    x64_enabled,
)
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.ops.structural import broadcast_in_dim, convert
from functrans.trace.builder import NEVER, OFTEN, Builder, values_of
from functrans.trace.frames import here, line_key
from functrans.trace.leaves import Places, entering, named
from functrans.trace.state import current_builder


class Leaf(NamedTuple):
    """A leaf of a tree of results: its number in the tree, and its type. ``root``: the part of it that the user knows.
    """

    places: Places
    number: int
    type: ArrayType
    root: str = ""

    @property
    def path(self) -> str:
        """Where it stands, for messages."""
        return self.places[self.number].removeprefix(self.root)

    def within(self, root: str) -> Leaf:
        """The leaf with its path from a part of the tree on."""
        return self._replace(root=self.root + root)


def typed_leaves(tree: Any, types: Sequence[ArrayType]) -> list[Leaf]:
    """The leaves of a tree, of these types."""
    places = Places(tree)
    return [Leaf(places, i, t) for i, t in enumerate(types)]


class Body(NamedTuple):
    """A traced function: ``jaxpr`` takes the ``captured`` values first, then what the ``references`` from outside that
    it writes to hold before; it returns first what they hold afterwards. ``leaves`` and ``tree`` are its result's.
    """

    jaxpr: Jaxpr
    captured: list[Any]
    leaves: list[Leaf]
    tree: Any
    references: tuple[Any, ...] = ()


def operand_types(what: str, tree: Any) -> tuple[list[Any], Any, list[ArrayType]]:
    """The leaves of an operand, its tree, and the types; raises TypeError naming the leaf that is not numeric."""
    leaves, structure = tree_flatten(tree)
    remedy = "Pass arrays, numbers or pytrees of them; close over anything else."
    values, types = entering(leaves, named(what, tree), remedy)
    return values, structure, types


def trace_body(
    function: Callable[..., Any], types: Sequence[ArrayType], arguments: Any, purpose: str, remedy: str = "",
    lends: bool = False, carried: Sequence[Any] = (),
) -> Body:  # fmt: skip
    """Trace ``function`` on inputs of these types; ``arguments(inputs)`` makes its positional arguments of them.

    ``lends``: it may write to references from outside. ``carried``: references that stand among ``Body.references``
    whatever it does with them.
    """
    with Builder(purpose) as builder:
        builder.remedy, builder.lends = remedy, OFTEN if lends else NEVER
        for reference in carried:
            builder.borrow(reference, reference._read())
        inputs = [builder.new_input(t) for t in types]
        result = function(*arguments(inputs))
        found, tree = tree_flatten(result)
        outputs, leaves = [], []
        places = Places(result)
        for i, x in enumerate(found):
            try:
                atom = builder.output(x)
            except FunctransTypeError:
                remedy = getattr(type(x), "instead", "Return arrays, numbers or pytrees of them.")
                raise FunctransTypeError(
                    f"{purpose} returned {describe(x)} at result{places[i]}, which is not a number, an array or a "
                    f"traced value. At {here()}\n{remedy}"
                ) from None
            outputs.append(atom)
            leaves.append(Leaf(places, i, atom.type))
        known = [builder.references[reference] for reference in carried]
        borrowed = [*known, *[held for held in builder.written() if held not in known]]
        jaxpr, captured = builder.finish([*[builder.output(held.value) for held in borrowed], *outputs])
    if borrowed:
        inputs_of = dict(zip(map(id, captured), jaxpr.inputs, strict=False))
        for held in borrowed:
            inputs_of.pop(id(held), None)
        captured = [x for x in captured if id(x) in inputs_of]
        entries = [held.entry.variable for held in borrowed]
        own = jaxpr.inputs[len(jaxpr.inputs) - len(types) :]
        jaxpr = Jaxpr([*inputs_of.values(), *entries, *own], jaxpr.equations, jaxpr.outputs)
    return Body(shared(jaxpr), values_of(captured), leaves, tree, tuple([held.reference for held in borrowed]))


def with_references(body: Body, references: Sequence[Any]) -> Body:
    """The body with these references, its own among them, in this order: the others it hands on."""
    if body.references == tuple(references):
        return body
    jaxpr, first, count = body.jaxpr, len(body.captured), len(body.references)
    entries = dict(zip(body.references, jaxpr.inputs[first:], strict=False))
    ends = dict(zip(body.references, jaxpr.outputs, strict=False))
    for reference in references:
        if reference not in entries:
            entries[reference] = ends[reference] = Var(-1, type_of(reference._read()))
    inputs = [*jaxpr.inputs[:first], *[entries[r] for r in references], *jaxpr.inputs[first + count :]]
    outputs = [*[ends[r] for r in references], *jaxpr.outputs[count:]]
    return body._replace(jaxpr=Jaxpr(inputs, jaxpr.equations, outputs), references=tuple(references))


_held: weakref.WeakValueDictionary[Any, Jaxpr] = weakref.WeakValueDictionary()


def shared(jaxpr: Jaxpr) -> Jaxpr:
    """An equal program traced from the same lines, if one is alive: what was derived from it serves for this one too.

    A layer that is called in a Python loop is traced at each call and differentiated once.
    """
    equations = jaxpr.equations
    ends = (line_key(equations[0].where), line_key(equations[-1].where)) if equations else None
    return _held.setdefault((jaxpr.key, ends, x64_enabled()), jaxpr)


def same_kind(a: ArrayType, b: ArrayType) -> bool:
    """Whether two types agree but for the weak flag."""
    return a.shape == b.shape and a.dtype == b.dtype


def promoted_carry(initial: Sequence[ArrayType], leaves: Sequence[Leaf]) -> list[ArrayType]:
    """Types of a carry after weak initial values (Python numbers) took the dtype that the body gives them.

    One that changed is strong, as in JAX."""
    result = []
    for given, leaf in zip(initial, leaves, strict=True):
        if given.weak_type and not same_kind(given, leaf.type):
            given = array_type(given.shape, promote(given, leaf.type)[0])
        result.append(given)
    return result


def converted(x: Any, given: ArrayType, wanted: ArrayType) -> Any:
    """An initial value in the dtype that the loop carries."""
    if given.dtype == wanted.dtype:
        return x
    if type(x) in (bool, int, float, complex):
        kind = {"b": bool, "i": int, "u": int, "c": complex}.get(kind_of(wanted.dtype), float)
        return Literal(kind(x), wanted) if current_builder() is not None else np.asarray(x, wanted.dtype)
    return convert(x, wanted.dtype, wanted.weak_type)


# -- how two results differ --------------------------------------------------------------------------------------------


def tree_table(left: str, left_leaves: Sequence[Leaf], right: str, right_leaves: Sequence[Leaf]) -> str:
    """Both trees side by side, a row a leaf, ``<--`` at the rows that differ."""
    lefts = {leaf.path: leaf.type for leaf in left_leaves}
    rights = {leaf.path: leaf.type for leaf in right_leaves}
    rows = [("leaf", left, right, "")]
    for path in dict.fromkeys([*lefts, *rights]):
        a, b = lefts.get(path), rights.get(path)
        agree = a is not None and b is not None and same_kind(a, b)
        rows.append((path or "(all of it)", str(a or "-"), str(b or "-"), "" if agree else "  <--"))
    if len(rows) > 40:
        differing = [row for row in rows[1:] if row[3]][:38]
        rows = [rows[0], *differing, ("...", "...", "...", "")]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip() + row[3]
        for row in rows
    )


def cast_to_write(left: str, a: ArrayType, right: str, b: ArrayType, path: str) -> str:
    """What to write so that two results get one type: the narrower dtype is cast to the wider."""
    if a.shape != b.shape:
        return f"make the shape of {right}{path} {a.shape} (it is {b.shape})"
    try:
        common = promote(a.strong(), b.strong())[0]
    except FunctransTypeError:
        common = a.dtype
    who, wanted = (left, b) if common == b.dtype else (right, a)
    return f"write {who}{path} as x.astype('{wanted.dtype.name}')"


def check_same_results(
    what: str,
    left: str,
    left_leaves: Sequence[Leaf],
    left_tree: Any,
    right: str,
    right_leaves: Sequence[Leaf],
    right_tree: Any,
    rule: str,
) -> None:
    """Raise TypeError unless two results have one tree and the same types."""
    if left_tree != right_tree:
        raise FunctransTypeError(
            f"{what}: {rule}, and their trees differ, at {here()}\n"
            f"{tree_table(left, left_leaves, right, right_leaves)}\n"
            f"  {left}: {left_tree}\n  {right}: {right_tree}\n"
            f"Return the same tree of tuples, lists, dicts and arrays from {right} as {left} has."
        )
    wrong = [(a, b) for a, b in zip(left_leaves, right_leaves, strict=True) if not same_kind(a.type, b.type)]
    if not wrong:
        return
    a, b = wrong[0]
    leaf = f"the leaf {b.path}" if b.path else "it"
    raise FunctransTypeError(
        f"{what}: {rule}, and {leaf} has type {a.type} in {left} and {b.type} in {right}, at {here()}\n"
        f"{tree_table(left, left_leaves, right, right_leaves)}\n"
        f"To fix it, {cast_to_write(left, a.type, right, b.type, b.path)}."
    )


def is_concrete(x: Any) -> bool:
    """Whether x is a number or an array, not a traced value, ours or JAX's."""
    return not isinstance(x, JaxTracer)


def plain_python() -> bool:
    """Whether ``disable_jit`` is on: branches and loops run as Python where their values are concrete."""
    return bool(jax.config.jax_disable_jit)  # type: ignore[attr-defined]


def rebuild(tree: Any, leaves: Sequence[Any]) -> Any:
    """The pytree with these leaves, for the user: a literal of a program becomes a traced value."""
    return tree_unflatten(tree, [broadcast_in_dim(x, ()) if type(x) is Literal else x for x in leaves])
