"""Universal functions: a function of scalars, of one or two operands, with its reductions (``frompyfunc``)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.jaxprs import eval_shape
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.indexing import get_item
from functrans.numpy.mapping import vectorize
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_array,
    axis_index,
    axis_indices,
    requested_dtype,
    to_dtype,
)
from functrans.numpy.selection import where as select
from functrans.numpy.shapes import broadcast_arrays, broadcast_to, expand_dims, moveaxis, ravel, reshape
from functrans.trace.keywords import refuse

__all__ = ["frompyfunc", "ufunc"]


class _HasMethods(type):
    """A function that ``with_methods`` gave its methods is an instance, too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type.__instancecheck__(cls, instance) or type(getattr(instance, "ufunc", None)) is _OfArrays


class ufunc(metaclass=_HasMethods):
    """A function of scalars, applied to the elements of arrays that are broadcast together. ``frompyfunc`` makes it;
    ``add``, ``maximum`` and their kin are functions that have its methods.

    The methods of a function of two operands take its elements in order, one after the other: it need not be
    associative.
    """

    def __init__(
        self, func: Callable[..., Any], /, nin: int, nout: int, *, name: str | None = None, identity: Any = None
    ) -> None:
        for what, count in (("nin", nin), ("nout", nout)):
            if not isinstance(count, int | np.integer) or count < 1:
                raise FunctransValueError(f"frompyfunc: {what} must be a positive integer, got {count!r}")
        self._facts = (func, nin, nout, identity)
        self.__name__: str = name or str(getattr(func, "__name__", "ufunc"))
        self.__doc__ = func.__doc__
        self._elementwise = self._of_elements(func)

    def _of_elements(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return vectorize(func)

    def __repr__(self) -> str:
        return f"<functrans.numpy.ufunc {self.__name__!r}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts[:-1])

    @property
    def nin(self) -> int:
        """How many operands there are."""
        return self._facts[1]

    @property
    def nout(self) -> int:
        """How many results there are."""
        return self._facts[2]

    @property
    def nargs(self) -> int:
        """How many operands there are: results are returned, and not written to."""
        return self._facts[1]

    @property
    def identity(self) -> Any:
        """What a reduction begins with; None: with its first element."""
        return self._facts[3]

    def __call__(self, *args: ArrayLike, out: None = None, where: None = None) -> Any:
        """The function of the elements."""
        refuse(self.__name__, out=out, where=where)
        if len(args) != self.nin:
            raise FunctransTypeError(f"{self.__name__} takes {self.nin} operands, got {len(args)}")
        result = self._elementwise(*args)
        found = len(result) if isinstance(result, tuple) else 1
        if found != self.nout:
            raise FunctransValueError(
                f"{self.__name__}: nout is {self.nout}, and the function returned {found} results"
            )
        return result

    def reduce(
        self, a: ArrayLike, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False,
        initial: Any = None, where: ArrayLike | None = None,
    ) -> Array:  # fmt: skip
        """The elements along axes (None for all) brought together, from ``initial``, the identity or the first one on.

        Raises ValueError for a function of other than two operands, or where there is nothing to begin with.

        >>> import functrans.numpy as fnp
        >>> fnp.frompyfunc(lambda x, y: 2 * x + y, 2, 1).reduce(fnp.array([1, 0, 1])).tolist()
        5
        """
        name = self._binary("reduce", out)
        rows, shape, axes = self._rows(name, a, axis, dtype)
        start = self.identity if initial is None else initial
        if where is not None:
            if start is None:
                raise FunctransValueError(f"{name}: where= needs initial=, because {self.__name__} has no identity")
            mask, _, _ = self._rows(name, broadcast_to(asarray(where), shape), axis, None)
            changed = lambda carry, row: (select(row[1], self(carry, row[0]), carry), None)
            rows = (rows, mask)
        else:
            changed = lambda carry, row: (self(carry, row), None)
        first = rows[0] if where is not None else rows
        if start is None:
            if not first.shape[0]:
                raise FunctransValueError(f"{name}: nothing to reduce, and {self.__name__} has no identity")
            carry, rows = first[0], first[1:]
        else:
            carry = broadcast_to(to_dtype(as_array(name, start), np.dtype(first.dtype)), first.shape[1:])
        result = self._scanned(changed, carry, rows)[0]
        return expand_dims(result, axes) if keepdims else result

    def accumulate(self, a: ArrayLike, axis: int = 0, dtype: Any = None, out: None = None) -> Array:
        """The reductions of the first elements along an axis, as many as there are.

        >>> import functrans.numpy as fnp
        >>> fnp.frompyfunc(lambda x, y: 2 * x + y, 2, 1).accumulate(fnp.array([1, 0, 1])).tolist()
        [1, 2, 5]
        """
        name = self._binary("accumulate", out)
        x = asarray(a)
        rows, _, _ = self._rows(name, x, axis_index(name, axis, x.ndim), dtype)
        if not rows.shape[0]:
            return moveaxis(rows, 0, axis)

        def step(carry: Any, row: Any) -> Any:
            new = self(carry, row)
            return new, new

        _, later = self._scanned(step, rows[0], rows[1:])
        return moveaxis(lax.concatenate([rows[:1], later], 0), 0, axis)

    def at(self, a: ArrayLike, indices: Any, b: ArrayLike | None = None, /, *, inplace: bool = True) -> Array:
        """``a`` with the function applied at the indices, one after the other where one comes twice.

        Raises NotImplementedError unless ``inplace=False``: arrays are immutable.

        >>> import functrans.numpy as fnp
        >>> double = fnp.frompyfunc(lambda x: 2 * x, 1, 1)
        >>> double.at(fnp.ones(3), fnp.array([0, 0, 2]), inplace=False).tolist()
        [4.0, 1.0, 2.0]
        """
        if inplace:
            raise NotImplementedError(
                f"{self.__name__}.at changes an array in place, and arrays are immutable: pass inplace=False and use "
                "the returned array."
            )
        if self.nin != (1 if b is None else 2) or self.nout != 1:
            raise FunctransValueError(f"{self.__name__}.at: it has {self.nin} operands and {self.nout} results")
        x = asarray(a)
        # the places as numbers of elements: what an index reads of these it would write
        places = ravel(get_item(reshape(lax.iota(np.int32, x.size), x.shape), indices))
        shape = get_item(x, indices).shape
        flat = ravel(x)
        others = () if b is None else (ravel(broadcast_to(asarray(b), shape)),)

        def step(carry: Any, row: Any) -> Any:
            new = self(carry[row[0]], *row[1:])
            return carry.at[row[0]].set(to_dtype(new, np.dtype(carry.dtype))), None

        return reshape(lax.scan(step, flat, (places, *others))[0], x.shape)

    def outer(self, A: ArrayLike, B: ArrayLike, /) -> Array:
        """The function of every pair of elements: ``A.shape + B.shape``.

        >>> import functrans.numpy as fnp
        >>> fnp.frompyfunc(fnp.subtract, 2, 1).outer(fnp.array([1, 2]), fnp.array([1, 3])).tolist()
        [[0, -2], [1, -1]]
        """
        self._binary("outer", None)
        left, right = asarray(A), asarray(B)
        return self(reshape(left, (*left.shape, *[1] * right.ndim)), reshape(right, (*[1] * left.ndim, *right.shape)))

    def reduceat(self, a: ArrayLike, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Array:
        """The reductions of pieces along an axis: from each index to the next, of one element where that is no later.

        >>> import functrans.numpy as fnp
        >>> fnp.frompyfunc(fnp.add, 2, 1).reduceat(fnp.arange(5), fnp.array([0, 2])).tolist()
        [1, 9]
        """
        name = self._binary("reduceat", out)
        x = asarray(a)
        axis = axis_index(name, axis, x.ndim)
        rows, _, _ = self._rows(name, x, axis, dtype)
        starts = asarray(indices)
        ends = lax.concatenate([starts[1:], lax.full((1,), rows.shape[0], starts.dtype)], 0)
        shape = (-1, *[1] * (rows.ndim - 1))

        def step(carry: Any, row: Any) -> Any:
            place, value = row
            inside = reshape((place > starts) & (place < ends), shape)
            together = self(carry, broadcast_arrays(carry, value)[1])
            return select(inside, together, carry), None

        places = lax.iota(starts.dtype, rows.shape[0])
        return moveaxis(self._scanned(step, rows[starts], (places, rows))[0], 0, axis)

    def _binary(self, method: str, out: Any) -> str:
        name = f"{self.__name__}.{method}"
        if self.nin != 2 or self.nout != 1:
            raise FunctransValueError(
                f"{name} is of functions of two operands and one result, and {self.__name__} has {self.nin} and "
                f"{self.nout}"
            )
        refuse(name, out=out)
        return name

    def _rows(self, name: str, a: Any, axis: Any, dtype: Any) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        """The slices along the axes in front, the shape of the whole, and the axes."""
        x = asarray(a)
        if dtype is not None:
            x = to_dtype(x, requested_dtype(name, dtype))
        axes = axis_indices(name, axis, x.ndim)
        front = moveaxis(x, axes, tuple(range(len(axes))))
        behind = front.shape[len(axes) :]
        return reshape(front, (math.prod(front.shape[: len(axes)]), *behind)), tuple(x.shape), axes

    def _scanned(self, step: Any, carry: Any, rows: Any) -> Any:
        """``lax.scan`` with the carry in the type that the function gives it."""
        made = eval_shape(self, carry, carry)
        return lax.scan(step, to_dtype(carry, np.dtype(made.dtype)), rows)


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A universal function made of one of scalars.

    Args:
      func: a function of ``nin`` scalars with ``nout`` results, traced.
      identity: what a reduction begins with.

    Raises:
      ValueError: counts that are no positive integers.

    >>> import functrans.numpy as fnp
    >>> hypotenuse = fnp.frompyfunc(lambda a, b: fnp.sqrt(a * a + b * b), 2, 1, identity=0.0)
    >>> print(hypotenuse(3.0, fnp.array([4.0, 0.0])), hypotenuse.reduce(fnp.array([2.0, 3.0, 6.0])))
    [5. 3.] 7.0
    """
    return ufunc(func, nin, nout, identity=identity)


# -- the functions of this package -------------------------------------------------------------------------------------

Reduction = Callable[..., Any]


class _OfArrays(ufunc):
    """A function of arrays, with faster ways for some of its methods."""

    def __init__(
        self, func: Callable[..., Any], nin: int, identity: Any, reduction: Reduction | None = None,
        accumulation: Reduction | None = None, update: str = "",
    ) -> None:  # fmt: skip
        super().__init__(func, nin, 1, identity=identity)
        self._reduction, self._accumulation, self._update = reduction, accumulation, update

    def _of_elements(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def reduce(
        self, a: ArrayLike, axis: Any = 0, dtype: Any = None, out: None = None, keepdims: bool = False,
        initial: Any = None, where: ArrayLike | None = None,
    ) -> Array:  # fmt: skip
        """As ``functrans.numpy.ufunc.reduce``."""
        if self._reduction is None:
            return super().reduce(a, axis, dtype, out, keepdims, initial, where)
        refuse(f"{self.__name__}.reduce", out=out)
        x = asarray(a) if dtype is None else to_dtype(asarray(a), requested_dtype(f"{self.__name__}.reduce", dtype))
        options = {"initial": initial, "where": where}
        return self._reduction(x, axis, keepdims=keepdims, **{k: v for k, v in options.items() if v is not None})

    def accumulate(self, a: ArrayLike, axis: int = 0, dtype: Any = None, out: None = None) -> Array:
        """As ``functrans.numpy.ufunc.accumulate``."""
        if self._accumulation is None:
            return super().accumulate(a, axis, dtype, out)
        refuse(f"{self.__name__}.accumulate", out=out)
        x = asarray(a) if dtype is None else to_dtype(asarray(a), requested_dtype(f"{self.__name__}.accumulate", dtype))
        return self._accumulation(x, axis_index(f"{self.__name__}.accumulate", axis, x.ndim))

    def at(self, a: ArrayLike, indices: Any, b: ArrayLike | None = None, /, *, inplace: bool = True) -> Array:
        """As ``functrans.numpy.ufunc.at``."""
        if inplace or b is None or not self._update:
            return super().at(a, indices, b, inplace=inplace)
        x = asarray(a)
        return getattr(x.at[indices], self._update)(to_dtype(asarray(b), np.dtype(x.dtype)))


_METHODS = "reduce", "accumulate", "at", "outer", "reduceat"
_FACTS = "nin", "nout", "nargs", "identity"
_BINARY: dict[str, Any] = {
    "add": 0, "subtract": None, "multiply": 1, "divide": None, "true_divide": None, "floor_divide": None,
    "power": None, "float_power": None, "remainder": None, "mod": None, "fmod": None, "arctan2": None, "hypot": 0,
    "logaddexp": -float("inf"), "logaddexp2": -float("inf"), "maximum": None, "minimum": None, "fmax": None,
    "fmin": None, "gcd": 0, "lcm": None, "bitwise_and": -1, "bitwise_or": 0, "bitwise_xor": 0, "logical_and": True,
    "logical_or": False, "logical_xor": False, "left_shift": None, "right_shift": None, "copysign": None,
    "nextafter": None, "heaviside": None,
}  # fmt: skip
_UPDATES = {"add": "add", "multiply": "multiply", "maximum": "max", "minimum": "min"}


def with_methods(namespace: dict[str, Any]) -> None:
    """Give the functions of two operands, and ``negative``, the methods of universal functions.

    They stay functions: a call costs what it did.
    """
    reductions = {
        "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
    }  # fmt: skip
    accumulations: dict[str, Reduction] = {
        "add": namespace["cumsum"], "multiply": namespace["cumprod"], "maximum": lax.cummax, "minimum": lax.cummin,
        "logaddexp": lax.cumlogsumexp,
    }  # fmt: skip
    for name, identity in {**_BINARY, "negative": None}.items():
        function = namespace[name]
        reduction = namespace[reductions[name]] if name in reductions else None
        made = _OfArrays(
            function, 1 if name == "negative" else 2, identity, reduction, accumulations.get(name),
            _UPDATES.get(name, ""),
        )  # fmt: skip
        function.ufunc = made
        for part in (*_METHODS, *_FACTS):
            setattr(function, part, getattr(made, part))
