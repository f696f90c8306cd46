"""JAX's own programs, for the bridge: what its operations do, their rules, references and effects; which files are its.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import jax
from jax.tree_util import tree_leaves

from functrans.jaxlib_compat.versions import JAX, is_jax_file, private

_callback, _core, _debugging, _hijax, _ad, _batching, _lax, _discharge = private(
    {
        "jax._src.callback": ("_IOEffect",),
        "jax._src.core": ("Ref", "auto_insert_reshard", "new_jaxpr_eqn", "typeof"),
        "jax._src.debugging": ("debug_effect",),
        "jax._src.hijax": ("HiPrim" if JAX >= (0, 11) else "VJPHiPrimitive",),
        "jax._src.interpreters.ad": (
            "ValAccum.freeze", "Zero", "fancy_transposes", "primitive_jvps", "primitive_transposes",
        ),
        "jax._src.interpreters.batching": ("fancy_primitive_batchers",),
        "jax._src.lax.lax": ("_ragged_dot_general_impl",),
        "jax._src.state.discharge": ("discharge_state",),
    }
)

OPERATION_OBJECT: Final[Any] = _hijax.HiPrim if JAX >= (0, 11) else _hijax.VJPHiPrimitive
"""The class of JAX's operations that are objects with their own rules; renamed by jax 0.11."""

_reference: Any = _core.Ref

value_type: Callable[[Any], Any] = _core.typeof
"""(a value of JAX) -> its type (a ``jax.core.AbstractValue``)."""

alike_over_shards: Callable[..., Any] = _core.auto_insert_reshard
"""(operands of one operation of JAX) -> these; where some vary over the shards of a ``jax.shard_map``, all as varying
ones. Those that are the same in all shards get the sum of the shards' cotangents."""


def over_shards(operands: Iterable[Any], results: Sequence[Any]) -> list[Any]:
    """The types that results have in JAX, of an operation on these types: they vary over shards where operands do."""
    like = next((t for t in operands if t.mat.varying), None)
    if like is None:
        return list(results)
    varying = jax.sharding.ManualAxisType(varying=like.mat.varying)  # type: ignore[no-untyped-call]
    anywhere = like.sharding.update(spec=jax.sharding.PartitionSpec())  # type: ignore[no-untyped-call]
    return [t.update(sharding=anywhere, manual_axis_type=varying) for t in results]


make_equation: Callable[..., Any] = _core.new_jaxpr_eqn
"""(invars, outvars, primitive, params, effects) -> an equation of a program of JAX."""

def is_jax_function(function: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Whether a function, and all that it closes over, is code of JAX's own: what it does never changes."""
    if any(function is x for x in seen) or function is None or isinstance(function, str | int | type):
        return True
    seen = (*seen, function)
    if isinstance(function, tuple | list):
        return all(is_jax_function(x, seen) for x in function)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is not None:
        cells = function.__closure__ or ()
        return is_jax_file(code.co_filename) and all(is_jax_function(cell.cell_contents, seen) for cell in cells)
    if type(function).__name__ not in ("custom_jvp", "custom_vjp"):
        return False
    return all(is_jax_function(getattr(function, name, None), seen) for name in ("fun", "jvp", "fwd", "bwd"))


def is_reference(x: Any) -> bool:
    """Whether x is a mutable array (``jax.new_ref``)."""
    return isinstance(x, _reference)


def jax_effects(*, debug: bool, input_output: bool) -> set[Any]:
    """The unordered effects of JAX that an operation has: those of ``jax.debug.print`` and of ``io_callback``."""
    found = set()
    if debug:
        found.add(_debugging.debug_effect)
    if input_output:
        found.add(_callback._IOEffect)
    return found


# Operations of JAX that run by what they are lowered to: the functions that are.
_LOWERED_FROM: Final[Mapping[str, Callable[..., Any]]] = {
    "ragged_dot_general": _lax._ragged_dot_general_impl,
}


@functools.cache
def _lowered_from_sparse() -> Mapping[str, Callable[..., Any]]:
    """Those in modules that ``import jax`` does not load; they are loaded wherever there is such an operation."""
    bcoo, bcsr = private(
        {
            "jax.experimental.sparse.bcoo": ("_bcoo_dot_general_impl",),
            "jax.experimental.sparse.bcsr": ("_bcsr_dot_general_impl",),
        }
    )
    return {"bcoo_dot_general": bcoo._bcoo_dot_general_impl, "bcsr_dot_general": bcsr._bcsr_dot_general_impl}


def implementation_of(primitive: Any) -> Callable[..., Any]:
    """What an operation of JAX does, as a function in JAX's other operations."""
    name: str = primitive.name
    if name in _LOWERED_FROM:
        return _LOWERED_FROM[name]
    if name in ("bcoo_dot_general", "bcsr_dot_general"):
        return _lowered_from_sparse()[name]
    return primitive.impl  # type: ignore[no-any-return]


Zero: Any = _ad.Zero
"""The class of tangents and cotangents that JAX knows to be zero, inside of JAX."""


def pulled_back(pullback: Any, cotangents: Sequence[Any], results: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    """What ``jax.vjp`` of a function with a list of results sends back to its arguments; None is zero, here and there.

    ``results``, ``operands``: the types that they have in JAX.
    """
    given = [Zero(t.to_ct_aval()) if ct is None else ct for ct, t in zip(cotangents, results, strict=True)]
    sums = [_ad.ValAccum(t.to_ct_aval()) for t in operands]
    pullback.with_refs(*sums)(given)
    return [None if type(x) is Zero else x for x in [total.freeze() for total in sums]]


def closed_over(operation: Any) -> int:
    """How many values the ``jax.custom_vjp`` function that this operation is closes over: from jax 0.11 on they are its
    first operands.
    """
    return len(tree_leaves(operation.in_avals[:2])) if JAX >= (0, 11) else 0


def has_jvp(primitive: Any) -> bool:
    """Whether an operation of JAX has a rule for forward mode."""
    return primitive in _ad.primitive_jvps


def is_jax_operation(primitive: Any) -> bool:
    """Whether an operation is one of JAX's own, and not another library's."""
    code = getattr(inspect.unwrap(primitive.impl), "__code__", None)
    return code is None or is_jax_file(code.co_filename)


def has_batching(primitive: Any) -> bool:
    """Whether an operation of JAX has a rule for vmap."""
    return primitive in _batching.fancy_primitive_batchers


def has_transpose(primitive: Any) -> bool:
    """Whether an operation of JAX has a rule by which it is transposed."""
    return primitive in _ad.primitive_transposes or primitive in _ad.fancy_transposes


def discharged(jaxpr: Any, consts: Iterable[Any]) -> Any:
    """A program of JAX, closed, in which the references made in it have become values."""
    closed = import_module("jax.extend.core").ClosedJaxpr(jaxpr, tuple(consts))
    return _discharge.discharge_state(closed)
