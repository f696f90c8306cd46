"""JAX operations that other libraries define for themselves.

Most of them have an implementation in JAX's own operations: it is traced and written in their place, under the
derivative that the library gave JAX, if any. Where the rules of the operation say more than its implementation does
(Equinox' operations that look through vmap), it has an entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrans import lax
from functrans.custom_batching import custom_vmap
from functrans.interop.custom_rules import with_own_rules
from functrans.interop.jax_tracing import is_same_operation, trace_implementation
from functrans.interop.opaque import opaque
from functrans.interop.translation import Application, Emit, equations_of
from functrans.ir.types import type_of
from functrans.jaxlib_compat.jax_programs import has_batching, has_jvp, is_jax_operation
from functrans.trace.replay import replay


def implementation(application: Application) -> list[Any] | None:
    """The operation by what its implementation does, or by what JAX compiles it to where the implementation is nothing
    but the operation itself; None where it means nothing by itself.
    """
    equation = application.equation
    closed = trace_implementation(equation, application.in_types)
    if closed is None or any(is_same_operation(equation, other) for other in equations_of(closed.jaxpr)):
        traced = opaque(application)
    else:
        traced = application.translator.held(closed)
    if traced is None:
        return None
    primitive = equation.primitive
    if has_jvp(primitive) or (has_batching(primitive) and not is_jax_operation(primitive)):
        return with_own_rules(application, traced, application.name)  # type: ignore[no-any-return]
    program, consts = traced
    return replay(program, [*consts, *application.operands])


def _over_all(reduce: Callable[..., Any]) -> Emit:
    """A reduction over every axis, those of vmap included: its result is the same for all lanes, so that a loop or a
    branch it decides stays one for all of them.
    """

    @custom_vmap
    def reduced(operand: Any) -> Any:
        return reduce(operand, tuple(range(type_of(operand).ndim)))

    @reduced.def_vmap
    def _(axis_size: int, in_batched: list[bool], operand: Any) -> tuple[Any, bool]:
        return reduced(operand), False

    return lambda application: reduced(application.operands[0])


OTHER_LIBRARIES: dict[str, Emit] = {
    "unvmap_any": _over_all(lax.reduce_or),
    "unvmap_all": _over_all(lax.reduce_and),
    "unvmap_max": _over_all(lax.reduce_max),
    # Without vmap Equinox takes the predicate for true; the choice is right in both cases.
    "select_if_vmap": lambda a: lax.select(*a.operands),
}
