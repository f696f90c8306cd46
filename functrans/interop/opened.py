"""A program of ours as ``jax.experimental.checkify`` goes through it: where there is something to look for, it is
written with JAX's operations of the same meaning, and ``checkify`` does with these what it does with those of JAX.

    checkify(functrans.jit(f))      functrans[program={ ... scan[...] ... check[...] ... }]  ->  scan, check of JAX

What holds no check, division or index that is looked for stays an operation of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax

from functrans.control.call import Call, InPlace
from functrans.control.custom_batching import CustomVmap
from functrans.control.linear_call import LinearCall
from functrans.control.linear_solve import CustomLinearSolve
from functrans.control.switches import SwitchLanes
from functrans.interop.axes_of_jax import HOLDING, constant
from functrans.interop.jax_checks import CheckifyCheck
from functrans.interop.jax_primitive import apply_equation, apply_program, functrans_p
from functrans.interop.jax_tracing import traced_by_jax
from functrans.ir.program import Equation, Jaxpr, Var, all_equations, subjaxprs
from functrans.jaxlib_compat import checks, configuration
from functrans.ops.dynamic_slicing import DynamicSlice, DynamicUpdateSlice
from functrans.ops.elementwise import Div
from functrans.ops.indexing import Gather, ScatterFamily
from functrans.ops.scatters import ScatterSub
from functrans.trace.frames import describe_place


class Sought(NamedTuple):
    """What is looked for besides the checks of users."""

    nans: bool
    divisions: bool
    indices: bool

    def is_here(self, op: Any) -> bool:
        """Whether it is in an operation that holds no program."""
        if isinstance(op, CheckifyCheck):
            return True
        if isinstance(op, Div):
            return self.divisions or self.nans
        if isinstance(op, _INDEXING):
            return self.indices
        return self.nans and not op.holds_jaxprs and checks.makes_nans(op.name)

    def is_in(self, op: Any) -> bool:
        """Whether it is in an operation, or in the programs that it holds."""
        if not op.holds_jaxprs:
            return self.is_here(op)
        return any(self.is_here(e.op) for program in subjaxprs(op) for e in all_equations(program))


def _checked(look: checks.Looking, *operands: Any, program: Jaxpr, name: str) -> list[Any]:
    sought = Sought(look.nans, look.divisions, look.indices)
    if not any(sought.is_in(eqn.op) for eqn in program.equations):
        return apply_program(program, operands, name)
    first = program.equations[0].op
    if len(program.equations) == 1 and not _is_opened(first, sought):
        results = apply_program(program, operands, name)
        look.look_for_nans(first.name, results)
        return results
    closed = program.remember(
        ("opened", sought, configuration.trace_context()),
        lambda: traced_by_jax(lambda *xs: _opened(program, xs, sought), program.in_types),
    )
    rules = any(isinstance(e.op, InPlace) and sought.is_in(e.op) for e in all_equations(program))
    return look.look_into(closed, operands, rules)


def _is_opened(op: Any, sought: Sought) -> bool:
    if isinstance(op, _CLOSED):
        return any(isinstance(e.op, CheckifyCheck) for program in subjaxprs(op) for e in all_equations(program))
    return op.holds_jaxprs or isinstance(op, Div | CheckifyCheck) or (sought.indices and isinstance(op, _INDEXING))


def _opened(program: Jaxpr, operands: Sequence[Any], sought: Sought) -> list[Any]:
    """The program on values of JAX, which JAX traces."""
    values: dict[Any, Any] = dict(zip(program.inputs, operands, strict=True))

    def value(atom: Any) -> Any:
        return values[atom] if type(atom) is Var else constant(atom)

    for eqn in program.equations:
        if sought.is_in(eqn.op) and _is_opened(eqn.op, sought):
            results = _open(eqn, list(map(value, eqn.inputs)), sought)
        else:
            results = apply_equation(eqn, values)
        values.update(zip(eqn.outputs, results, strict=True))
    return list(map(value, program.outputs))


def _open(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    for kind, opened in _OPENED.items():
        if isinstance(eqn.op, kind) and not isinstance(eqn.op, CustomVmap):  # whose rule would be lost
            return opened(eqn, operands, sought)
    raise NotImplementedError(
        f"checkify does not look into {eqn.op.name} of functrans, at {describe_place(eqn.where)}\n"
        "Take checkify inside of it, around the function that it is given; or check by functrans.check, which needs no "
        "checkify."
    )


# -- operations --------------------------------------------------------------------------------------------------------


def _check(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    errors = op.errors
    checks.bind_check(errors.tree, errors.debug, list(map(jax.numpy.asarray, errors.all(operands))))
    return []


def _div(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    return [lax.div(*operands)]


def _mode(op: Any) -> Any:
    return lax.GatherScatterMode.from_any(op.mode)


def _gather(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    x, indices = operands
    numbers = lax.GatherDimensionNumbers(**op.dimension_numbers._asdict())
    return [
        lax.gather(
            x, indices, numbers, op.slice_sizes, unique_indices=bool(op.unique_indices),
            indices_are_sorted=bool(op.indices_are_sorted), mode=_mode(op), fill_value=op.fill_value,
        )
    ]  # fmt: skip


def _scatter(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    name = op.name
    if isinstance(op, ScatterSub):  # which JAX does not look into
        name, operands = "scatter_add", [*operands[:2], lax.neg(operands[2])]
    numbers = lax.ScatterDimensionNumbers(**op.dimension_numbers._asdict())
    return [
        getattr(lax, name)(
            *operands, numbers, unique_indices=bool(op.unique_indices), indices_are_sorted=bool(op.indices_are_sorted),
            mode=_mode(op),
        )
    ]  # fmt: skip


def _dynamic_slice(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    return [lax.dynamic_slice(operands[0], operands[1:], op.slice_sizes, allow_negative_indices=False)]


def _dynamic_update_slice(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    x, update, *starts = operands
    return [lax.dynamic_update_slice(x, update, starts, allow_negative_indices=False)]


# -- operations that hold programs -------------------------------------------------------------------------------------


def _call(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    return _opened(op.jaxpr, operands, sought)


def _holding(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    run = HOLDING[type(eqn.op)]
    return list(run(lambda program, xs, _: _opened(program, xs, sought), eqn.op, *operands))


def _switch_lanes(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    op: Any = eqn.op
    return _opened(op.selecting(), operands, sought)  # as JAX does under vmap


def _in_place(eqn: Equation, operands: list[Any], sought: Sought) -> list[Any]:
    """The program that runs in the place of an operation with rules, which stay its rules."""
    op: Any = eqn.op
    variables = {i: a for i, a in enumerate(eqn.inputs) if type(a) is Var}

    @jax.custom_jvp
    def run(*xs: Any) -> list[Any]:
        program, given = op.in_place(xs)
        return _opened(program, given, sought)

    def whole(*xs: Any) -> list[Any]:
        return apply_equation(eqn, {a: xs[i] for i, a in variables.items()})

    run.defjvp(lambda primals, tangents: jax.jvp(whole, primals, tangents))
    return list(run(*operands))


_CLOSED = (CustomVmap, CustomLinearSolve, LinearCall)  # JAX looks at their results, and not into them
_INDEXING = (Gather, ScatterFamily, DynamicSlice, DynamicUpdateSlice)
_OPENED: dict[type, Callable[..., list[Any]]] = {
    CheckifyCheck: _check,
    Div: _div,
    Gather: _gather,
    ScatterFamily: _scatter,
    DynamicSlice: _dynamic_slice,
    DynamicUpdateSlice: _dynamic_update_slice,
    Call: _call,
    **dict.fromkeys(HOLDING, _holding),
    SwitchLanes: _switch_lanes,
    InPlace: _in_place,
}

checks.register(functrans_p, _checked)
