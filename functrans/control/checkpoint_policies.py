"""Which values of a checkpointed function are stored for the backward pass: JAX's policies, under JAX's names.

A policy is a function ``policy(primitive, *types, **parameters) -> bool`` of an operation, the types of its operands
and its parameters by name: True lets the results be stored, False has them computed again. What is not needed again is
never stored.

>>> import functrans as ft
>>> policy = ft.checkpoint_policies.save_only_these_names("hidden")
>>> layer = ft.checkpoint(lambda x: ft.checkpoint_name(x * x, "hidden") * x, policy=policy)
>>> float(ft.grad(layer)(2.0))
12.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from jax.ad_checkpoint import Offloadable, Recompute, Saveable

from functrans.errors import FunctransValueError
from functrans.ir.records import Record
from functrans.ops.naming import Name
from functrans.ops.products import DotGeneral
from functrans.trace.frames import here
from functrans.trace.primitive import Primitive

Policy: TypeAlias = Callable[..., bool]


def everything_saveable(*_: Any, **__: Any) -> bool:
    """Store every value: as if there were no checkpoint."""
    return True


def nothing_saveable(*_: Any, **__: Any) -> bool:
    """Store the inputs alone and compute everything again: what a checkpoint without a policy does."""
    return False


class DotsSaveable(Record):
    """Store the results of products (dot_general, and convolutions unless ``only_without_batch``)."""

    only_without_batch: bool

    def __call__(self, primitive: Primitive, *_: Any, **__: Any) -> bool:
        if isinstance(primitive, DotGeneral):
            return not (self.only_without_batch and primitive.lhs_batch)
        return not self.only_without_batch and primitive.name == "conv_general_dilated"


checkpoint_dots = dots_saveable = DotsSaveable(False)
checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable = DotsSaveable(True)


class SaveNames(Record):
    """Store named values (``checkpoint_name``): those in ``names``, or those not in it where ``excluded``."""

    names: frozenset[str]
    excluded: bool

    def __call__(self, primitive: Primitive, *_: Any, **__: Any) -> bool:
        return isinstance(primitive, Name) and (primitive.name_ in self.names) != self.excluded


class SaveAnythingBut(Record):
    """Store every value but those named so."""

    names: frozenset[str]

    def __call__(self, primitive: Primitive, *_: Any, **__: Any) -> bool:
        return not (isinstance(primitive, Name) and primitive.name_ in self.names)


class SaveFromBoth(Record):
    """Store what either policy stores."""

    first: Policy
    second: Policy

    def __call__(self, primitive: Primitive, *types: Any, **parameters: Any) -> bool:
        return bool(self.first(primitive, *types, **parameters) or self.second(primitive, *types, **parameters))


class Offload(Record):
    """Offload products without batch axes (``names`` is None) or the values named so; save those in ``saved``."""

    saved: frozenset[str]
    names: frozenset[str] | None
    source: str
    destination: str

    def __call__(self, primitive: Primitive, *_: Any, **__: Any) -> Any:
        if isinstance(primitive, Name) and primitive.name_ in self.saved:
            return Saveable
        if self.names is None:
            offloaded = isinstance(primitive, DotGeneral) and not primitive.lhs_batch
        else:
            offloaded = isinstance(primitive, Name) and primitive.name_ in self.names
        return Offloadable(self.source, self.destination) if offloaded else Recompute


def save_only_these_names(*names_which_can_be_saved: str) -> Policy:
    """Store the values given these names by ``checkpoint_name``, and nothing else."""
    return SaveNames(frozenset(names_which_can_be_saved), False)


def save_any_names_but_these(*names_not_to_save: str) -> Policy:
    """Store values that have a name, except those with these names."""
    return SaveNames(frozenset(names_not_to_save), True)


def save_anything_except_these_names(*names_not_to_save: str) -> Policy:
    """Store every value, except those with these names."""
    return SaveAnythingBut(frozenset(names_not_to_save))


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Store what either policy stores."""
    return SaveFromBoth(policy_1, policy_2)


def save_and_offload_only_these_names(
    *, names_which_can_be_saved: Sequence[str], names_which_can_be_offloaded: Sequence[str], offload_src: str,
    offload_dst: str,
) -> Policy:  # fmt: skip
    """Store the values of the first names, and those of the second in the memory ``offload_dst``; on CPU it is one
    memory, elsewhere this is refused. Raises ValueError for a name in both.
    """
    saved, offloaded = frozenset(names_which_can_be_saved), frozenset(names_which_can_be_offloaded)
    if saved & offloaded:
        raise FunctransValueError(
            f"save_and_offload_only_these_names: {sorted(saved & offloaded)} cannot be saved and offloaded, at {here()}"
        )
    return Offload(saved, offloaded, offload_src, offload_dst)


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """Store products without batch axes in the memory ``offload_dst``; on CPU it is one memory, elsewhere this is
    refused.
    """
    return Offload(frozenset(), None, offload_src, offload_dst)


__all__ = [
    "checkpoint_dots", "checkpoint_dots_with_no_batch_dims", "dots_saveable", "dots_with_no_batch_dims_saveable",
    "everything_saveable", "nothing_saveable", "offload_dot_with_no_batch_dims", "save_and_offload_only_these_names",
    "save_any_names_but_these", "save_anything_except_these_names", "save_from_both_policies", "save_only_these_names",
]  # fmt: skip
