"""A user's Python function as a compiled program calls it: flat arrays in, flat arrays out, checked.

Two are equal when they are the same function with the same trees, so that a program traced again is found again. A
function made again from the same code, closing over the same variables (the cells, not their values), is the same; an
object may say by a hashable ``host_key`` when it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from types import FunctionType
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from functrans.errors import FunctransTypeError
from functrans.ir.program import Where
from functrans.ir.types import (
    NARROW,
    ArrayType,
    array_type,
    canonical_dtype,
    describe,
    float0,
    is_key_dtype,
    type_of,
    x64_enabled,
)
from functrans.trace.frames import function_name
from functrans.trace.leaves import Places


class HostFunction:
    """``function`` behind flat arguments, called at ``where``. ``out_tree`` None: the results are thrown away.

    ``fixed``: (place, value) of leaves of the arguments that are no arrays; they are passed as they are.
    """

    __slots__ = ("_key", "fixed", "function", "in_tree", "name", "narrow", "out_tree", "where")

    def __init__(
        self,
        function: Callable[..., Any],
        in_tree: Any,
        where: Where,
        out_tree: Any = None,
        fixed: tuple[tuple[int, Any], ...] = (),
    ) -> None:
        self.function, self.in_tree, self.out_tree, self.fixed, self.where = function, in_tree, out_tree, fixed, where
        self.name = function_name(function)
        self.narrow = not x64_enabled()  # results of 64 bits are narrowed, as NumPy arrays are everywhere
        fixed_key = tuple([(i, _identity(x)) for i, x in fixed])
        self._key = (_identity(function), where, self.narrow, in_tree, out_tree, fixed_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HostFunction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return self.name

    def call(self, arrays: Sequence[Any]) -> Any:
        """The user's function on the arrays in their tree."""
        leaves = list(arrays)
        for i, value in self.fixed:
            leaves.insert(i, value)
        args, kwargs = tree_unflatten(self.in_tree, leaves)
        return self.function(*args, **kwargs)

    def results(self, arrays: Sequence[Any], types: Sequence[ArrayType], what: str) -> tuple[Any, ...]:
        """Flat results of exactly these types; raises TypeError that names the leaf which differs."""
        result = self.call(arrays)
        if self.out_tree is None:
            return ()
        found, tree = tree_flatten(result)
        if tree != self.out_tree:
            raise FunctransTypeError(
                f"{what}: the function {self.name} returned {tree}, and result_shape_dtypes is {self.out_tree}\n"
                f"Return the tree that result_shape_dtypes has."
            )
        places = Places(result)
        return tuple([self._checked(x, t, places, i, what) for i, (x, t) in enumerate(zip(found, types, strict=True))])

    def _checked(self, x: Any, wanted: ArrayType, places: Places, i: int, what: str) -> Any:
        try:
            array = np.asarray(x)
        except (TypeError, ValueError):
            array = np.asarray(None)
        if array.dtype.kind not in "biufcV":
            raise FunctransTypeError(
                f"{what}: the function {self.name} returned {describe(x)} at result{places[i]}, where "
                f"result_shape_dtypes promises an array {wanted}"
            )
        number = type(x) in (bool, int, float, complex)
        same = (
            array.dtype == wanted.dtype
            or (number and _becomes(array.dtype, wanted.dtype))
            or (self.narrow and NARROW.get(array.dtype) == wanted.dtype)
        )
        if array.shape == wanted.shape and same:
            return np.ascontiguousarray(array, wanted.dtype).reshape(wanted.shape)
        which, fix = "dtype", f"Convert the result with .astype('{wanted.dtype.name}'), or promise {array.dtype.name}."
        if array.shape != wanted.shape:
            which, fix = "shape", "Return an array of the shape promised, or promise the shape returned."
        raise FunctransTypeError(
            f"{what}: the function {self.name} returned an array of another {which} than result_shape_dtypes promises: "
            f"{array.dtype.name}{list(array.shape)} at result{places[i]}, promised {wanted}\n{fix}"
        )


def _becomes(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether a Python number of this kind can be taken for the wanted dtype."""
    order = "bifc"
    kind = {"u": "i", "V": "f"}.get(wanted.kind, wanted.kind)
    return order.index(given.kind) <= order.index(kind)


class _Same:
    """Compares by identity, for what cannot be hashed; it keeps its object alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _identity(value: Any) -> Hashable:
    """A key under which two functions, or fixed arguments, are interchangeable."""
    if isinstance(value, str | int | bool | type(None)):
        return (type(value), value)
    if hasattr(value, "host_key"):
        return (type(value), value.host_key)
    if isinstance(value, FunctionType) and not value.__dict__:
        cells = tuple([_Same(cell) for cell in value.__closure__ or ()])
        defaults = tuple([_Same(x) for x in value.__defaults__ or ()])
        keywords = tuple([(k, _Same(x)) for k, x in (value.__kwdefaults__ or {}).items()])
        return (value.__code__, _Same(value.__globals__), cells, defaults, keywords)
    return _Same(value)


def as_host_array(x: Any) -> Any:
    """A concrete value as a host function gets it, also from a compiled program: random keys as their words."""
    return np.asarray(jax.random.key_data(x) if is_key_dtype(type_of(x).dtype) else x)


def is_array(x: Any) -> bool:
    """Whether a leaf of the arguments is a number, an array or a traced value."""
    try:
        type_of(x)
    except FunctransTypeError:
        return False
    return True


def flatten_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], tuple[tuple[int, Any], ...], Any]:
    """(array leaves, (place, value) of the other leaves, tree of all)."""
    leaves, tree = tree_flatten((args, kwargs))
    arrays, fixed = [], []
    for i, x in enumerate(leaves):
        if is_array(x):
            arrays.append(x)
        else:
            fixed.append((i, x))
    return arrays, tuple(fixed), tree


def promised_types(result_shape_dtypes: Any, what: str) -> tuple[list[ArrayType], Any]:
    """The types and the tree of ``result_shape_dtypes``; raises TypeError for a leaf without shape and dtype."""
    found, tree = tree_flatten(result_shape_dtypes)
    places = Places(result_shape_dtypes)
    types = []
    for i, x in enumerate(found):
        if type(x) in (bool, int, float, complex):
            types.append(type_of(x).strong())
            continue
        if not (hasattr(x, "shape") and hasattr(x, "dtype")) or x.dtype == float0:
            raise FunctransTypeError(
                f"{what}: result_shape_dtypes{places[i]} is {describe(x)}, and needs a shape and a dtype: give "
                "functrans.ShapeDtypeStruct(shape, dtype) or an array like the result"
            )
        if is_key_dtype(x.dtype):
            raise FunctransTypeError(
                f"{what}: result_shape_dtypes{places[i]} promises random keys, and a Python function gets and "
                "returns their words: promise functrans.ShapeDtypeStruct((*shape, words), 'uint32'), and make "
                "keys of the result with functrans.random.wrap_key_data"
            )
        types.append(array_type(tuple(x.shape), canonical_dtype(x.dtype)))
    return types, tree
