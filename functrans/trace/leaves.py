"""Leaves of pytrees that enter a trace: their types, their values as arrays of those types, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, as_its_type, check_integer, describe, float0, type_of, warn_narrowing
from functrans.trace.frames import here
from functrans.trace.tracer import Tracer


class Places:
    """Where the leaves of a pytree stand: ``places[i]`` is ``['w'][0]`` for leaf i.

    Worked out when a place is asked for, which is when an error is raised: at every call it would cost more than the
    call. By number, since one object may stand in several places.
    """

    __slots__ = ("_paths", "_tree")

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._paths: list[str] | None = None

    def __getitem__(self, i: int) -> str:
        if self._paths is None:
            self._paths = [keystr(path) for path, _ in tree_flatten_with_path(self._tree)[0]]
        return self._paths[i]


Name = Callable[[int], str]  # what messages call a leaf, by its number


def named(before: str, tree: Any, after: str = "") -> Name:
    """``before['w'][0]after`` for each leaf of a tree."""
    places = Places(tree)
    return lambda i: f"{before}{places[i]}{after}"


_ARGUMENT = "Mark it static (static_argnums), close over it, or register its class as a pytree."


def leaf_type(x: Any, i: int, name: Name, remedy: str = _ARGUMENT) -> ArrayType:
    """The type of leaf i of an argument; raises TypeError naming it where it is not numeric."""
    if type(x) is Tracer:
        return x.type
    try:
        if type(x) is int:
            check_integer(x)
        type_ = type_of(x)
    except (FunctransTypeError, FunctransValueError) as error:
        raise _refused(x, name(i), error, remedy) from None
    if isinstance(x, np.ndarray | np.generic) and x.dtype != type_.dtype and x.dtype != float0:
        warn_narrowing(x.dtype, lambda: name(i))
    return type_


def _refused(x: Any, name: str, error: Exception, remedy: str) -> Exception:
    if isinstance(x, np.ndarray | np.generic | jax.ShapeDtypeStruct):  # the reason is its dtype or its shape
        return type(error)(f"{name}: {error}\nAt {here()}")
    remedy = getattr(type(x), "instead", remedy)  # what a class of ours says of its objects
    return FunctransTypeError(f"{name} is {describe(x)}, which is not a number or an array. At {here()}\n{remedy}")


def leaf_types(leaves: Sequence[Any], name: Name) -> list[ArrayType]:
    """The types of the leaves of an argument; raises TypeError naming the one that is not numeric."""
    return [leaf_type(x, i, name) for i, x in enumerate(leaves)]


def entering(leaves: Sequence[Any], name: Name, remedy: str = _ARGUMENT) -> tuple[list[Any], list[ArrayType]]:
    """The leaves of an argument as what enters a trace, and their types: NumPy data is converted here, once."""
    types = [leaf_type(x, i, name, remedy) for i, x in enumerate(leaves)]
    return [as_its_type(x, t) for x, t in zip(leaves, types, strict=True)], types
