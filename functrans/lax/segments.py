"""Reductions of rows that belong together: the functions of ``jax.ops``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import ConcretizationError, FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.ops.indexing import scatter_add
from functrans.ops.reductions import reduce_max, reduce_min, reduce_prod
from functrans.ops.scatters import scatter_max, scatter_min, scatter_mul
from functrans.ops.slicing import concatenate
from functrans.ops.structural import convert, full, reduce_sum, reshape
from functrans.ops.windows import ScatterDimensionNumbers
from functrans.trace.frames import here
from functrans.trace.keywords import takes


class _Reduction(NamedTuple):
    scatter: Callable[..., Any]
    reduce: Callable[..., Any]
    of_nothing: Callable[[Any], Any]


def _limit(largest: bool) -> Callable[[Any], Any]:
    """The largest (smallest) value of a dtype."""

    def limit(dtype: Any) -> Any:
        if dtype.kind == "b":
            return largest
        if dtype.kind in "iu":
            return int(np.iinfo(dtype).max if largest else np.iinfo(dtype).min)
        return float("inf") if largest else -float("inf")

    return limit


_SUM = _Reduction(scatter_add, reduce_sum, lambda _: 0)
_PRODUCT = _Reduction(scatter_mul, reduce_prod, lambda _: 1)
_MAX = _Reduction(scatter_max, reduce_max, _limit(False))
_MIN = _Reduction(scatter_min, reduce_min, _limit(True))


def _segments(
    name: str, reduction: _Reduction, data: Any, segment_ids: Any, num_segments: int | None, indices_are_sorted: bool,
    unique_indices: bool, bucket_size: int | None, mode: Any,
) -> Any:  # fmt: skip
    data, ids = (np.asarray(x) if isinstance(x, list | tuple) else x for x in (data, segment_ids))
    of_data, of_ids = type_of(data), type_of(ids)
    if kind_of(of_ids.dtype) not in "iu":
        raise FunctransTypeError(f"{name}: segment_ids must be integers, got dtype {of_ids.dtype} at {here()}")
    if len(of_ids.shape) != 1 or of_data.shape[:1] != of_ids.shape:
        raise FunctransValueError(
            f"{name}: segment_ids must be a vector as long as the first axis of data, got shapes {of_ids.shape} of "
            f"segment_ids and {of_data.shape} of data, at {here()}"
        )
    count = _count(name, num_segments, ids)
    size = of_ids.shape[0]
    if of_ids.dtype.itemsize < 4:
        ids = convert(ids, np.dtype(np.int32))
    if bucket_size is None:
        lead: tuple[int, ...] = (count,)
        indices = reshape(ids, (size, 1))
    else:
        if bucket_size < 1:
            raise FunctransValueError(f"{name}: bucket_size must be positive, got {bucket_size} at {here()}")
        lead = (-(-size // bucket_size), count)
        bucket = np.asarray(np.arange(size)[:, None] // bucket_size, type_of(ids).dtype)
        indices = concatenate([bucket, reshape(ids, (size, 1))], 1)
    axes = tuple(range(len(lead)))
    numbers = ScatterDimensionNumbers(tuple(range(1, len(of_data.shape))), axes, axes)
    start = full((*lead, *of_data.shape[1:]), reduction.of_nothing(of_data.dtype), of_data.dtype)
    found = reduction.scatter(
        start, indices, data, numbers, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode
    )
    return found if bucket_size is None else convert(reduction.reduce(found, (0,)), of_data.dtype)


def _count(name: str, num_segments: Any, ids: Any) -> int:
    what = "segment_ids without num_segments" if num_segments is None else "num_segments"
    try:
        if num_segments is None:
            return int(np.max(np.asarray(ids), initial=-1)) + 1
        count = operator.index(num_segments)
    except ConcretizationError:
        raise ConcretizationError(
            f"{name}: {what} must be known while tracing, because the shape of the result depends on it, at {here()}. "
            f"Pass num_segments as a Python integer."
        ) from None
    if count < 0:
        raise FunctransValueError(f"{name}: num_segments must not be negative, got {count} at {here()}")
    return count


_DOCUMENTATION = """The {what} of the rows of ``data`` with the same number in ``segment_ids``.

    Args:
      data: ``[n, ...]``.
      segment_ids: ``[n]`` integers: which segment a row belongs to.
      num_segments: how many segments there are; by default as many as the largest number asks for, which must be known.
      indices_are_sorted: the caller's word that ``segment_ids`` ascend.
      unique_indices: the caller's word that no number occurs twice.
      bucket_size: take so many rows at a time, and the results together afterwards, which rounds less.
      mode: what becomes of numbers outside, as for ``scatter``; by default their rows are left out.

    Returns:
      ``[num_segments, ...]``; a segment without rows holds {empty}.{derivatives}

    Raises:
      TypeError: numbers that are no integers; an unknown ``num_segments``. ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.{name}(np.int32([3, 1, 5]), np.int32([0, 0, 1]), num_segments=2).tolist()
    {example}
    """


def _segment_function(
    name: str, what: str, empty: str, example: str, reduction: _Reduction, derivatives: str = ""
) -> Callable[..., Any]:
    @takes(out_sharding=None)
    def function(
        data: Any, segment_ids: Any, num_segments: int | None = None, indices_are_sorted: bool = False,
        unique_indices: bool = False, bucket_size: int | None = None, mode: Any = None,
    ) -> Any:  # fmt: skip
        return _segments(
            name, reduction, data, segment_ids, num_segments, indices_are_sorted, unique_indices, bucket_size, mode
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _DOCUMENTATION.format(
        what=what, empty=empty, name=name, example=example, derivatives=derivatives
    )
    return function


segment_sum = _segment_function("segment_sum", "sum", "0", "[4, 5]", _SUM)
segment_prod = _segment_function(
    "segment_prod", "product", "1", "[3, 5]", _PRODUCT, " Differentiable with ``unique_indices`` only, as in JAX."
)
segment_max = _segment_function("segment_max", "largest", "the smallest value of its dtype", "[3, 5]", _MAX)
segment_min = _segment_function("segment_min", "smallest", "the largest value of its dtype", "[1, 5]", _MIN)

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
