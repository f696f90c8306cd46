"""The user's loops: ``scan`` and ``map``, ``while_loop`` and ``fori_loop``, with JAX's signatures and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_leaves, tree_structure, tree_unflatten

from functrans.api.bodies import (
    Body,
    Leaf,
    check_same_results,
    converted,
    is_concrete,
    operand_types,
    plain_python,
    promoted_carry,
    rebuild,
    trace_body,
    typed_leaves,
)
from functrans.api.references import Given, Ref, put, values_in
from functrans.api.staging import as_arrays
from functrans.control.chunks import in_chunks
from functrans.control.progress import progress_label
from functrans.control.scan import Scan
from functrans.control.while_loop import While
from functrans.errors import ConcretizationError, FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, array_type, describe, kind_of, type_of
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.ops.elementwise import add
from functrans.ops.logic import lt
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import convert, full, reshape
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.leaves import Places
from functrans.trace.tracer import Tracer
from functrans.trace.values import obtainable

_SCAN_REMEDY = (
    "The body of a loop is traced once for all its steps, so nothing in it has a value: use functrans.lax.cond or "
    "functrans.numpy.where to choose inside the body, functrans.lax.while_loop inside it to repeat. (A plain Python "
    "loop keeps its values in un-jitted code.)"
)


# -- scan --------------------------------------------------------------------------------------------------------------


@api_boundary
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    *,
    progress: str | bool = False,
) -> tuple[Any, Any]:
    """Apply ``carry, y = f(carry, x)`` along the leading axis of ``xs``, and stack the ``y``.

    Args:
      f: a function of the carry and a slice of ``xs``; it returns the next carry, of the same tree, shapes and dtypes,
        and a pytree of arrays. It is traced once and may close over traced values.
      init: the first carry, a pytree of arrays. Python numbers take the dtype that ``f`` gives them.
      xs: a pytree of arrays ``[length, ...]``, or None.
      length: the number of steps; needed where ``xs`` is None.
      reverse: go from the last slice to the first; ``ys[i]`` belongs to ``xs[i]`` all the same.
      unroll: how many steps to write into one turn of the compiled loop; True: all of them.
      progress: the label of a progress bar (package tqdm); True for one without a name of its own. Under grad the
        backward pass has a bar too.

    Returns:
      ``(carry, ys)``: the last carry, and the stacked results ``[length, ...]``.

    Raises:
      TypeError: the carry changes its tree, shape or dtype, or ``f`` returns no pair. ValueError: leading axes differ.

    >>> import functrans as ft, numpy as np
    >>> total, sums = ft.lax.scan(lambda s, x: (s + x, s + x), 0.0, np.arange(1.0, 5.0, dtype='float32'))
    >>> float(total), [float(s) for s in sums]
    (10.0, [1.0, 3.0, 6.0, 10.0])
    """
    if not callable(f):
        raise FunctransTypeError(f"scan needs a function as its first argument, got {describe(f)} at {here()}")
    label = progress_label(progress, "scan")
    return _scan("scan", function_name(f), f, init, xs, length, reverse, unroll, "", label)


def _scan(
    what: str, name: str, f: Any, init: Any, xs: Any, length: Any, reverse: bool, unroll: int | bool, shown: str = "",
    progress: str = "",
) -> tuple[Any, Any]:  # fmt: skip
    """``scan`` for the user's call of ``what``; ``shown``: the path of the part of the carry that the user knows of."""
    _refuse_carried(what, init)
    carry, carry_tree, carry_types = operand_types(f"the initial carry of {what}", init)
    slices, xs_tree = tree_flatten(xs)
    given = Given(what, slices, sliced=True)
    if given.places:
        xs = tree_unflatten(xs_tree, values_in(slices))
    slices, _, xs_types = operand_types("xs of scan", xs)
    length = _scan_length(xs_types, length)
    unroll = _unroll(unroll, length)
    if plain_python():
        return _scan_in_python(f, init, slices, xs_tree, length, reverse, given)
    purpose = f"the body of {what} ({name})"
    x_types = [array_type(t.shape[1:], t.dtype, t.weak_type) for t in xs_types]

    def arguments(inputs: Sequence[Any]) -> tuple[Any, Any]:
        return rebuild(carry_tree, inputs[: len(carry)]), rebuild(xs_tree, given.enter(inputs[len(carry) :]))

    shape: list[Any] = []

    def body(current: Any, x: Any) -> tuple[Any, Any]:
        result = f(current, x)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise FunctransTypeError(
                f"{purpose} must return a pair (carry, y), it returned {describe(result)} at {here()}\n"
                "Write `return carry, None` where there is nothing to stack."
            )
        ys = (given.leave(), result[1]) if given.places else result[1]
        shape[:] = [tree_structure(result[0]), tree_structure(ys)]
        return result[0], ys

    def traced(types: Sequence[ArrayType]) -> Body:
        return trace_body(body, [*types, *x_types], arguments, purpose, _SCAN_REMEDY, True)

    found, carry_types = _steady(traced, carry_types, lambda _: shape[0].num_leaves)
    count = shape[0].num_leaves
    leaves = [leaf.within("[0]") for leaf in found.leaves[:count]]
    _check_carry(what, name, init, carry_tree, carry_types, leaves, shape[0], shown)
    carry = [converted(x, type_of(x), t) for x, t in zip(carry, carry_types, strict=True)]
    references = found.references
    carry = [*values_in(references), *carry]
    op = Scan(found.jaxpr, length, bool(reverse), unroll, len(found.captured), len(carry), progress)
    results = bind_all(op, [*found.captured, *carry, *slices])
    inputs = found.jaxpr.inputs[len(found.captured) :]
    for i, (before, after) in enumerate(zip(inputs, found.jaxpr.outputs[: len(carry)], strict=False)):
        if after is before and isinstance(carry[i], JaxTracer):  # every step hands it on: no lane decides it
            results[i] = carry[i]
    put(references, results)
    last = rebuild(carry_tree, results[len(references) : len(carry)])
    ys = rebuild(shape[1], results[len(carry) :])
    if given.places:
        ends, ys = ys
        given.put(ends)
    return last, ys


def _steady(
    traced: Callable[[Sequence[ArrayType]], Body], types: list[ArrayType], count: Callable[[Body], int]
) -> tuple[Body, list[ArrayType]]:
    """Trace a body, again while weak initial values of the carry have to take another dtype."""
    found = traced(types)
    for _ in range(3):
        if count(found) != len(types):
            break
        promoted = promoted_carry(types, found.leaves[: len(types)])
        if promoted == types:
            break
        types = promoted
        found = traced(types)
    return found, types


def _check_carry(
    what: str,
    name: str,
    init: Any,
    tree: Any,
    types: Sequence[ArrayType],
    leaves: Sequence[Leaf],
    new_tree: Any,
    shown: str = "",
) -> None:
    before = typed_leaves(init, types)
    if shown:  # the last part of the carry, which is the user's
        tree, new_tree = tree.children()[-1], new_tree.children()[-1]
        before, leaves = (
            [x.within(shown) for x in group[len(group) - part.num_leaves :]]
            for group, part in ((before, tree), (leaves, new_tree))
        )
    check_same_results(
        what, "the carry going in", before, tree, f"the carry that the body ({name}) returns", leaves, new_tree,
        "the carry must keep its tree, shapes and dtypes from step to step",
    )  # fmt: skip


def _scan_length(types: Sequence[ArrayType], length: Any) -> int:
    for t in types:
        if not t.shape:
            raise FunctransValueError(
                f"scan got a scalar ({t}) in xs, which has no leading axis to go along, at {here()}\n"
                "Pass arrays [length, ...] in xs, close over what is the same for all steps, or give length= alone."
            )
    sizes = [t.shape[0] for t in types]
    if length is not None:
        if type(length) is Tracer:
            raise ConcretizationError(
                f"the length of scan must be a plain integer, and it is a traced {length.type} at {here()}\n"
                "Use functrans.lax.while_loop or functrans.lax.fori_loop where the number of steps is computed."
            )
        wanted = int(length)
        if any(n != wanted for n in sizes):
            raise FunctransValueError(f"scan got length={wanted}, and xs with leading axes {sizes}, at {here()}")
        if wanted < 0:
            raise FunctransValueError(f"scan got length={wanted}, which is negative, at {here()}")
        return wanted
    if not sizes:
        raise FunctransValueError(f"scan got no xs and no length, at {here()}\nPass length= for a loop without xs.")
    if len(set(sizes)) > 1:
        raise FunctransValueError(
            f"scan got xs with different leading axes, {sizes} ({', '.join([str(t) for t in types])}), at {here()}\n"
            "Every array in xs needs the same leading size: it is the number of steps."
        )
    return sizes[0]


def _unroll(unroll: int | bool, length: int) -> int:
    if isinstance(unroll, bool):
        return max(length, 1) if unroll else 1
    if not isinstance(unroll, int | np.integer):
        raise FunctransTypeError(f"unroll must be a bool or a positive integer, got {describe(unroll)} at {here()}")
    if unroll < 0:
        raise FunctransValueError(f"unroll must be a bool or a positive integer, got {unroll} at {here()}")
    return max(int(unroll), 1)


def _scan_in_python(
    f: Callable[..., Any], carry: Any, xs: Sequence[Any], tree: Any, length: int, reverse: bool, given: Given
) -> tuple[Any, Any]:
    """What ``disable_jit`` makes of a scan: a Python loop."""
    if length == 0:
        raise FunctransValueError(
            f"a scan of length 0 cannot run under disable_jit, at {here()}: without a trace the types of its results "
            "are unknown"
        )
    rows = []
    carry = as_arrays(carry, lambda i: "the initial carry of scan")
    for i in reversed(range(length)) if reverse else range(length):
        carry, y = f(carry, rebuild(tree, given.enter([_row(x, i) for x in xs])))
        rows.append((given.leave(always=True), y))
    if reverse:
        rows.reverse()
    columns = zip(*[tree_leaves(y) for y in rows], strict=True)
    stacked = [concatenate([_as_row(y) for y in column], 0) for column in columns]
    ends, ys = rebuild(tree_structure(rows[0]), stacked)
    given.put(ends)
    return carry, ys


def _row(x: Any, i: int) -> Any:
    return reshape(slice_in_dim(x, i, i + 1), type_of(x).shape[1:])


def _as_row(y: Any) -> Any:
    return reshape(full((), y) if isinstance(y, bool | int | float | complex) else y, (1, *type_of(y).shape))


# -- map ---------------------------------------------------------------------------------------------------------------


@api_boundary
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """``f`` of each slice along the leading axis of ``xs``, one after the other, stacked.

    Args:
      f: a function of a slice of ``xs``.
      xs: a pytree of arrays ``[n, ...]``.
      batch_size: vectorize over so many slices at a time; 0: over all.

    Returns:
      The results of ``f``, stacked: ``[n, ...]``.

    Raises:
      ValueError: the leading axes disagree, or ``batch_size`` is negative.

    >>> import functrans as ft, numpy as np
    >>> [float(y) for y in ft.lax.map(lambda x: x * x, np.arange(3.0, dtype='float32'))]
    [0.0, 1.0, 4.0]
    """
    if not callable(f):
        raise FunctransTypeError(
            f"map needs a function as its first argument, got {describe(f)} at {here()}\nWrite map(f, xs)."
        )
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    if not isinstance(batch_size, int | np.integer) or isinstance(batch_size, bool):
        raise FunctransTypeError(f"map: batch_size must be an integer, got {describe(batch_size)} at {here()}")
    if batch_size < 0:
        raise FunctransValueError(f"map got batch_size={batch_size}, which is negative, at {here()}")
    leaves, tree, types = operand_types("xs of map", xs)
    length = _scan_length(types, None)
    row_types = [array_type(t.shape[1:], t.dtype, t.weak_type) for t in types]
    purpose = f"the function of map ({function_name(f)})"
    body = trace_body(f, row_types, lambda inputs: (rebuild(tree, inputs),), purpose, _SCAN_REMEDY)
    size = batch_size or max(length, 1)
    stacked = in_chunks(body.jaxpr, body.captured, leaves, length, size, function_name(f))
    return rebuild(body.tree, stacked)


# -- while_loop and fori_loop ------------------------------------------------------------------------------------------


@api_boundary
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any, *, progress: str | bool = False
) -> Any:
    """``while cond_fun(val): val = body_fun(val)``, compiled.

    Forward mode (jvp, jacfwd) works through it; reverse mode needs the number of steps: use ``scan`` or ``fori_loop``.
    Under vmap it runs until every lane is done, and a lane that is done keeps its value.

    Args:
      cond_fun: a function of the carry that returns a bool scalar.
      body_fun: a function of the carry that returns the next one, of the same tree, shapes and dtypes.
      init_val: the first carry, a pytree of arrays. Python numbers take the dtype that ``body_fun`` gives them.
      progress: the label of a bar that counts steps (package tqdm); True for one without a name of its own.

    Returns:
      The last carry.

    Raises:
      TypeError: ``cond_fun`` returns no bool scalar, or the carry changes its tree, shape or dtype.

    >>> import functrans as ft
    >>> float(ft.lax.while_loop(lambda x: x < 100.0, lambda x: x * 2.0, 3.0))
    192.0
    """
    if not (callable(cond_fun) and callable(body_fun)):
        raise FunctransTypeError(
            f"while_loop needs two functions, got {describe(cond_fun)} and {describe(body_fun)} at {here()}\n"
            "Write while_loop(cond_fun, body_fun, init_val)."
        )
    label = progress_label(progress, "while_loop")
    return _while("while_loop", function_name(body_fun), cond_fun, body_fun, init_val, "", label)


def _while(
    what: str, name: str, cond_fun: Any, body_fun: Any, init_val: Any, shown: str = "", progress: str = ""
) -> Any:
    """``while_loop`` for the user's call of ``what``; ``shown``: as for ``_scan``."""
    _refuse_carried(what, init_val)
    carry, tree, types = operand_types(f"the initial value of {what}", init_val)
    if plain_python() and all(is_concrete(x) for x in carry):
        value = as_arrays(init_val, lambda i: "the initial carry of while_loop")  # which a body cannot write to
        while cond_fun(value):
            value = body_fun(value)
        return value
    test_name = function_name(cond_fun)

    def arguments(inputs: Sequence[Any]) -> tuple[Any]:
        return (rebuild(tree, inputs),)

    def traced(current: Sequence[ArrayType]) -> Body:
        return trace_body(body_fun, current, arguments, f"the body of {what} ({name})", _WHILE_REMEDY, True)

    body, types = _steady(traced, types, lambda found: len(found.leaves))
    _check_carry(what, name, init_val, tree, types, body.leaves, body.tree, shown)
    references = body.references
    purpose = f"the condition of while_loop ({test_name})"
    test = trace_body(cond_fun, types, arguments, purpose, _WHILE_REMEDY, carried=references)
    _check_condition(test, test_name)
    program = Jaxpr(test.jaxpr.inputs, test.jaxpr.equations, test.jaxpr.outputs[len(references) :])
    op = While(program, body.jaxpr, len(test.captured), len(body.captured), progress)
    carry = [converted(x, type_of(x), t) for x, t in zip(carry, types, strict=True)]
    results = bind_all(op, [*test.captured, *body.captured, *values_in(references), *carry])
    put(references, results)
    return rebuild(tree, results[len(references) :])


def _refuse_carried(what: str, init: Any) -> None:
    """A carry is a value; a reference that every step may use is closed over."""
    for i, x in enumerate(tree_leaves(init)):
        if isinstance(x, Ref):
            raise FunctransTypeError(
                f"the initial carry{Places(init)[i]} of {what} is a mutable reference, which cannot be carried, at "
                f"{here()}\nClose over it: the body may read it and write to it."
            )


_WHILE_REMEDY = (
    "A while_loop is traced once for all its steps, so nothing in it has a value: use functrans.lax.cond or "
    "functrans.numpy.where to choose inside it. (A plain Python `while` keeps its values in un-jitted code.)"
)


def _check_condition(test: Body, name: str) -> None:
    if len(test.leaves) != 1 or test.leaves[0].path:
        raise FunctransTypeError(
            f"the condition of while_loop ({name}) must return one bool scalar, it returned {test.tree} at {here()}"
        )
    type_ = test.leaves[0].type
    if type_.shape or type_.dtype != np.bool_:
        fix = (
            "Reduce it with functrans.numpy.any or functrans.numpy.all, or vmap the whole loop."
            if type_.shape
            else "Compare it: `return x != 0`."
        )
        raise FunctransTypeError(
            f"the condition of while_loop ({name}) must return a bool scalar, it returned {type_} at {here()}\n{fix}"
        )


@api_boundary
def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any, *, unroll: int | bool | None = None,
    progress: str | bool = False,
) -> Any:  # fmt: skip
    """``for i in range(lower, upper): val = body_fun(i, val)``, compiled.

    With plain integers as bounds it is a ``scan``, and reverse mode works; with traced bounds it is a ``while_loop``.
    Where it is to be differentiated without jit, bounds have their values, and it is a ``scan`` too.

    Args:
      lower, upper: integer scalars of one dtype, or floating ones; a floating one that is known is a whole number.
      body_fun: a function of the index and the carry that returns the next carry, of the same tree, shapes and dtypes.
      init_val: the first carry, a pytree of arrays.
      unroll: how many steps to write into one turn of the compiled loop (plain integers as bounds only).
      progress: the label of a progress bar (package tqdm); True for one without a name of its own.

    Returns:
      The last carry.

    Raises:
      TypeError: a bound is no scalar of these kinds, the bounds' dtypes differ, or the carry changes its tree, shape or
        dtype. ValueError: a floating bound that is known is no whole number.

    >>> import functrans as ft
    >>> float(ft.lax.fori_loop(0, 4, lambda i, x: x + i, 0.0))
    6.0
    """
    if not callable(body_fun):
        raise FunctransTypeError(f"fori_loop needs a function as third argument, got {describe(body_fun)} at {here()}")
    dtype, weak = _bounds_type(lower, upper)
    label = progress_label(progress, "fori_loop")
    first, last = _bound_value(lower), _bound_value(upper)
    if first is not None and last is not None:
        first, last = _whole_bound("lower", first), _whole_bound("upper", last)
        length = max(last - first, 0)
        if plain_python() and length == 0:
            return init_val
        known = not (isinstance(lower, JaxTracer) or isinstance(upper, JaxTracer))
        python = (known or weak) and dtype.kind in "iu"  # known ones are Python's, as in JAX
        start = first if python else np.asarray(first, dtype)

        def step(carry: Any, _: Any) -> Any:
            i, value = carry
            return (add(i, 1), body_fun(i, value)), None

        turns = False if unroll is None else unroll
        name = function_name(body_fun)

        init = (start, init_val)
        return _scan("fori_loop", name, step, init, None, length, False, turns, "[1]", label)[0][1]
    if unroll not in (None, False, 1):
        raise FunctransValueError(
            f"fori_loop got unroll={unroll} and traced bounds, at {here()}\n"
            "A loop can be unrolled only where its bounds are plain integers."
        )

    def advance(carry: Any) -> Any:
        i, last, value = carry
        return add(i, 1), last, body_fun(i, value)

    start, end = convert(lower, dtype, weak), convert(upper, dtype, weak)

    def running(carry: Any) -> Any:
        return lt(carry[0], carry[1])

    name = function_name(body_fun)
    return _while("fori_loop", name, running, advance, (start, end, init_val), "[2]", label)[2]


def _bound_value(bound: Any) -> Any:
    """The bound itself, or the value of a traced one where a derivative will need it; None where it has none."""
    if type(bound) is not Tracer:
        return bound
    return obtainable(bound) if bound.builder.order > 0 else None


def _whole_bound(what: str, bound: Any) -> int:
    value = int(bound)
    if value != bound:
        raise FunctransValueError(
            f"the {what} bound of fori_loop must be a whole number, got {describe(bound)} at {here()}\n"
            "Use functrans.lax.while_loop to count by others."
        )
    return value


def _bounds_type(lower: Any, upper: Any) -> tuple[np.dtype[Any], bool]:
    types = []
    for what, x in (("lower", lower), ("upper", upper)):
        try:
            t = type_of(x)
        except FunctransTypeError:
            t = None
        if t is None or t.shape or kind_of(t.dtype) not in "iuf":
            raise FunctransTypeError(
                f"the {what} bound of fori_loop must be a scalar, integer or floating, "
                f"got {describe(x) if t is None else t} at {here()}"
            )
        types.append(t)
    a, b = types
    if a.dtype != b.dtype and not (a.weak_type != b.weak_type and a.dtype.kind == b.dtype.kind == "i"):
        raise FunctransTypeError(
            f"the bounds of fori_loop must have one dtype, got {a} and {b} at {here()}\nConvert one with .astype(...)."
        )
    strong = b if a.weak_type else a
    return strong.dtype, a.weak_type and (b.weak_type or a.dtype == b.dtype)  # that of the index
