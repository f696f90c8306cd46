"""Functions applied along axes: ``vectorize``, ``apply_along_axis``, ``apply_over_axes``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from functrans import lax
from functrans.api.vectorization import vmap
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import Array, ArrayLike, as_array, axis_index, common_shape
from functrans.numpy.shapes import expand_dims, squeeze

_ARGUMENTS = r"\((?:\w+(?:,\w+)*)?\)(?:,\((?:\w+(?:,\w+)*)?\))*"


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any
) -> Array:
    """``func1d`` of every vector along ``axis``; what it returns stands where the vector stood.

    >>> import functrans.numpy as fnp
    >>> fnp.apply_along_axis(fnp.sum, 1, fnp.ones((2, 3))).tolist()
    [3.0, 3.0]
    """
    x = as_array("apply_along_axis", arr)
    rank = len(x.shape)
    axis = axis_index("apply_along_axis", axis, rank)

    def function(vector: Any) -> Any:
        return func1d(vector, *args, **kwargs)

    for i in range(1, rank - axis):
        function = vmap(function, in_axes=i, out_axes=-1)
    for _ in range(axis):
        function = vmap(function)
    return function(asarray(x))


def apply_over_axes(func: Callable[[Any, int], Any], a: ArrayLike, axes: Sequence[int]) -> Array:
    """``func(a, axis)`` for one axis after the other, each kept with size 1.

    Raises:
      ValueError: the function drops more than one axis.
    """
    x = as_array("apply_over_axes", a)
    for axis in axes:
        out = func(x, axis)
        if len(out.shape) == len(x.shape) - 1:
            out = expand_dims(out, axis)
        if len(out.shape) != len(x.shape):
            raise FunctransValueError(
                f"apply_over_axes: the function made shape {tuple(out.shape)} of {tuple(x.shape)}; it must keep the "
                "rank, or drop the one axis"
            )
        x = out
    return x


def _signature(text: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """'(m,n),(n)->(m)' as the names of the core axes of the arguments and of the results."""
    if not re.fullmatch(f"{_ARGUMENTS}->{_ARGUMENTS}", text):
        raise FunctransValueError(f"vectorize: {text!r} is no signature such as '(m,n),(n)->(m)'")
    sides = [[tuple(re.findall(r"\w+", part)) for part in re.findall(r"\(.*?\)", side)] for side in text.split("->")]
    return sides[0], sides[1]


def _core_sizes(sizes: dict[str, int], shape: tuple[int, ...], core: tuple[str, ...], what: str) -> None:
    """Note the sizes of core axes, or refuse those that differ."""
    if len(shape) < len(core):
        raise FunctransValueError(f"vectorize: {what} of shape {shape} has too few axes for the core axes {core}")
    for name, n in zip(core, shape[len(shape) - len(core) :], strict=True):
        if sizes.setdefault(name, n) != n:
            raise FunctransValueError(
                f"vectorize: the core axis {name!r} has sizes {sizes[name]} and {n} (in {what} of shape {shape})"
            )


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Collection[int | str] = frozenset(), signature: str | None = None
) -> Callable[..., Any]:
    """A function of arrays of any shapes, broadcast together, from one of scalars (or of arrays of core axes).

    Args:
      pyfunc: a function of scalars, or of what ``signature`` says, traced once.
      excluded: positions and names of arguments that are passed as they are.
      signature: the core axes, as '(m,n),(n)->(m)'.

    Raises:
      TypeError: another number of arguments or results than the signature says.
      ValueError: shapes that do not fit the signature, or do not broadcast.

    >>> import functrans.numpy as fnp
    >>> product = fnp.vectorize(lambda m, v: m @ v, signature='(m,n),(n)->(m)')
    >>> product(fnp.ones((4, 2, 3)), fnp.ones(3)).shape
    (4, 2)
    """
    for e in excluded:
        if not isinstance(e, int | str) or (isinstance(e, int) and e < 0):
            raise FunctransTypeError(f"vectorize: excluded takes positions and names of arguments, got {e!r}")
    cores = None if signature is None else _signature(signature)

    @functools.wraps(pyfunc)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        fixed = {i for i, x in enumerate(args) if i in excluded or x is None}
        mapped = [i for i in range(len(args)) if i not in fixed]
        named = [] if cores is not None else [k for k in kwargs if k not in excluded and kwargs[k] is not None]
        arrays = [asarray(args[i]) for i in mapped] + [asarray(kwargs[k]) for k in named]
        inputs = cores[0] if cores is not None else [()] * len(arrays)
        if cores is not None and len(args) - len([i for i in excluded if isinstance(i, int)]) == len(inputs):
            free = [i for i in range(len(args)) if i not in excluded]
            inputs = [core for i, core in zip(free, inputs, strict=True) if i not in fixed]
        if len(inputs) != len(arrays):
            raise FunctransTypeError(
                f"vectorize: the signature {signature!r} has {len(inputs)} arguments, got {len(arrays)}"
            )
        sizes: dict[str, int] = {}
        for x, core in zip(arrays, inputs, strict=True):
            _core_sizes(sizes, tuple(x.shape), core, "an argument")

        def function(*operands: Any) -> Any:
            rest = iter(operands)
            positional = [args[i] if i in fixed else next(rest) for i in range(len(args))]
            out = pyfunc(*positional, **{**kwargs, **{k: next(rest) for k in named}})
            if cores is not None:
                outs = out if isinstance(out, tuple) else (out,)
                if len(outs) != len(cores[1]):
                    raise FunctransTypeError(
                        f"vectorize: the signature {signature!r} has {len(cores[1])} results, got {len(outs)}"
                    )
                for o, core in zip(outs, cores[1], strict=True):
                    shape = tuple(as_array("vectorize", o).shape)
                    if len(shape) != len(core):
                        raise FunctransValueError(
                            f"vectorize: a result of shape {shape} does not have the core axes {core}"
                        )
                    _core_sizes(dict(sizes), shape, core, "a result")
            return out

        loops = [tuple(x.shape)[: len(x.shape) - len(core)] for x, core in zip(arrays, inputs, strict=True)]
        shape = common_shape("vectorize", *loops) if loops else ()
        widened = [(1,) * (len(shape) - len(loop)) + loop for loop in loops]
        operands = [
            squeeze(x, tuple([i for i, n in enumerate(loop) if n == 1])) for x, loop in zip(arrays, loops, strict=True)
        ]
        dropped = []
        result: Callable[..., Any] = function
        for place in range(len(shape) - 1, -1, -1):
            axes = tuple([None if w[place] == 1 else 0 for w in widened])
            if all(axis is None for axis in axes):
                dropped.append(place)
            else:
                result = vmap(result, in_axes=axes)
        out = result(*operands)
        if not dropped:
            return out
        places = tuple(sorted(dropped))
        if isinstance(out, tuple):
            return tuple([lax.expand_dims(o, places) for o in out])
        return expand_dims(out, places)

    return vectorized


__all__ = ["apply_along_axis", "apply_over_axes", "vectorize"]
