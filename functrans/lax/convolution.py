"""Convolutions, under the names and with the arguments of ``jax.lax``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import canonical_dtype, type_of
from functrans.lax.windowed import pad_pairs, padtype_to_pads
from functrans.ops.convolution import ConvDimensionNumbers, ConvGeneralDilated
from functrans.ops.products import dot_general, precision_name
from functrans.ops.slicing import rev
from functrans.ops.structural import transpose
from functrans.ops.windowed_reductions import dilated, window_counts
from functrans.trace.binding import bind
from functrans.trace.keywords import refuse

Padding = str | Sequence[tuple[int, int]]
_PRECISIONS = ("DEFAULT", "HIGH", "HIGHEST")


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """Dimension numbers in any form (None, three strings such as ('NHWC', 'HWIO', 'NHWC'), or numbers) as numbers.

    Raises:
      TypeError: ranks that differ; not three strings; a string without the letters it needs, or of another length.

    >>> from functrans import lax
    >>> lax.conv_dimension_numbers((1, 4, 4, 3), (2, 2, 3, 5), ('NHWC', 'HWIO', 'NHWC')).rhs_spec
    (3, 2, 0, 1)
    """
    if all(hasattr(dimension_numbers, name) for name in ("lhs_spec", "rhs_spec", "out_spec")):
        d = dimension_numbers
        return ConvDimensionNumbers(*(tuple(map(int, spec)) for spec in (d.lhs_spec, d.rhs_spec, d.out_spec)))
    if len(lhs_shape) != len(rhs_shape):
        raise FunctransTypeError(
            f"a convolution needs lhs and rhs of one rank, got shapes {tuple(lhs_shape)} and {tuple(rhs_shape)}"
        )
    if dimension_numbers is None:
        axes = tuple(range(len(lhs_shape)))
        return ConvDimensionNumbers(axes, axes, axes)
    if not isinstance(dimension_numbers, tuple | list) or len(dimension_numbers) != 3:
        raise FunctransTypeError(
            "dimension_numbers of a convolution are None, numbers or three strings such as ('NHWC', 'HWIO', 'NHWC'), "
            f"got {dimension_numbers!r}"
        )
    for spec in dimension_numbers:
        if not isinstance(spec, str) or len(spec) != len(lhs_shape):
            raise FunctransTypeError(
                f"dimension_numbers of a convolution of lhs of shape {tuple(lhs_shape)} and rhs of shape "
                f"{tuple(rhs_shape)} must be strings of {len(lhs_shape)} letters, got {spec!r}"
            )
    return ConvDimensionNumbers(*conv_general_permutations(dimension_numbers))


def conv_general_permutations(dimension_numbers: Sequence[str]) -> list[tuple[int, ...]]:
    """Three strings as the positions of (batch, feature, spatial ...) or (out, in, spatial ...).

    >>> from functrans import lax
    >>> lax.conv_general_permutations(('NHC', 'HIO', 'NHC'))
    [(0, 2, 1), (2, 1, 0), (0, 2, 1)]
    """
    lhs, rhs, out = dimension_numbers
    letters = (("N", "C"), ("O", "I"), ("N", "C"))
    for spec, needed in zip((lhs, rhs, out), letters, strict=True):
        if any(spec.count(c) != 1 for c in needed) or len(set(spec)) != len(spec):
            raise FunctransTypeError(
                f"dimension_numbers {spec!r} of a convolution must hold {needed[0]!r} and {needed[1]!r} and no letter "
                "twice"
            )
    spatial = [c for c in rhs if c not in "OI"]
    for spec in (lhs, out):
        if set(spec) - set("NC") != set(spatial):
            raise FunctransTypeError(
                f"dimension_numbers of a convolution must name the same spatial axes, got {tuple(dimension_numbers)}"
            )
    return [
        (spec.index(first), spec.index(second), *[spec.index(c) for c in spatial])
        for spec, (first, second) in zip((lhs, rhs, out), letters, strict=True)
    ]


def conv_general_dilated(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: Padding,
    lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, feature_group_count: int = 1, batch_group_count: int = 1, precision: Any = None,
    preferred_element_type: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Convolution of n spatial axes with strides, padding, dilation and groups; the kernel is not reversed.

    Args:
      lhs: [batch, features, n spatial axes] in the order that ``dimension_numbers`` says.
      rhs: the kernel, [features out, features in, n spatial axes], of the same dtype.
      window_strides: n steps between windows.
      padding: 'SAME', 'SAME_LOWER', 'VALID' or n (low, high) pairs.
      lhs_dilation, rhs_dilation: n distances between elements (1: dense), of lhs for transposed convolution.
      dimension_numbers: e.g. ('NHWC', 'HWIO', 'NHWC'); None: ('NCHW', 'OIHW', 'NCHW').
      feature_group_count: that many convolutions side by side, each of its part of the features.
      batch_group_count: the same for parts of the batch.
      precision: as for ``dot_general``.
      preferred_element_type: the dtype of the sums and of the result.

    Raises:
      TypeError: different dtypes or ranks, or dimension numbers that do not fit.
      ValueError: sizes, groups, strides or padding that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.conv_general_dilated(np.float32([[[1, 2, 3]]]), np.float32([[[1, 10]]]), (1,), 'VALID').tolist()
    [[[21.0, 32.0]]]
    """
    x, y = type_of(lhs), type_of(rhs)
    refuse("conv_general_dilated", out_sharding=out_sharding)
    d = conv_dimension_numbers(x.shape, y.shape, dimension_numbers)
    ones = (1,) * (x.ndim - 2)
    strides = tuple(map(int, window_strides))
    base = ones if lhs_dilation is None else tuple(map(int, lhs_dilation))
    gaps = ones if rhs_dilation is None else tuple(map(int, rhs_dilation))
    for what, numbers in (("window_strides", strides), ("lhs_dilation", base), ("rhs_dilation", gaps)):
        if len(numbers) != len(ones):
            raise FunctransValueError(
                f"conv_general_dilated: {what} has one number for each of the {len(ones)} spatial axes, got {numbers}"
            )
    if isinstance(padding, str):
        if any(n != 1 for n in base):
            raise FunctransValueError(
                f"conv_general_dilated: padding {padding!r} is ambiguous with lhs_dilation {base}; give (low, high) "
                "pairs, or use conv_transpose"
            )
        spans = [dilated(y.shape[a], r) for a, r in zip(d.rhs_spec[2:], gaps, strict=True)]
        padding = padtype_to_pads([x.shape[a] for a in d.lhs_spec[2:]], spans, strides, padding)
    name = precision_name(precision)
    if any(part not in _PRECISIONS for part in name.split(":")):
        raise FunctransValueError(f"conv_general_dilated: precision must be of {_PRECISIONS}, got {precision!r}")
    dtype = x.dtype if preferred_element_type is None else canonical_dtype(preferred_element_type)
    op = ConvGeneralDilated(
        strides, pad_pairs("conv_general_dilated", padding), base, gaps, d, int(feature_group_count),
        int(batch_group_count), name, dtype,
    )  # fmt: skip
    return bind(op, lhs, rhs)


def conv(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: str, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """``conv_general_dilated`` of [N, C, spatial ...] with [O, I, spatial ...], without dilation."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: Padding, lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None, precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """``conv_general_dilated`` of [N, C, spatial ...] with [O, I, spatial ...]."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def _transposed_padding(size: int, stride: int, padding: Any) -> tuple[int, int]:
    """The padding of the fractionally strided convolution that transposes one with this padding."""
    if padding == "SAME":
        low = size - 1 if stride > size - 1 else math.ceil((size + stride - 2) / 2)
        return low, size + stride - 2 - low
    if padding == "VALID":
        return size - 1, stride - 1 + max(size - stride, 0)
    if isinstance(padding, str):
        raise FunctransValueError(f"conv_transpose: padding must be 'SAME', 'VALID' or pairs, got {padding!r}")
    low, high = padding
    return size - low - 1, size - high - 1


_CHANNELS_LAST = {n: (f"N{s}C", f"{s}IO", f"N{s}C") for n, s in ((2, ""), (3, "H"), (4, "HW"), (5, "HWD"))}


def conv_transpose(
    lhs: Any, rhs: Any, strides: Sequence[int], padding: Padding, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, transpose_kernel: bool = False, precision: Any = None,
    preferred_element_type: Any = None, use_consistent_padding: bool = False,
) -> Any:  # fmt: skip
    """Fractionally strided ("transposed") convolution; by default of [N, spatial ..., C] with [spatial ..., I, O].

    Args:
      strides: the factors by which the spatial axes grow.
      padding: 'SAME' or 'VALID', of the convolution that is transposed, or pairs: of this one, or of the transposed
        one with ``use_consistent_padding``.
      transpose_kernel: reverse the kernel's spatial axes and swap its features, as gradients do.

    Raises:
      ValueError: an unknown padding, or no default dimension numbers for the rank.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.conv_transpose(np.float32([[[1], [2]]]), np.float32([[[1]], [[3]]]), (2,), 'VALID').ravel().tolist()
    [3.0, 1.0, 6.0, 2.0]
    """
    x, y = type_of(lhs), type_of(rhs)
    if dimension_numbers is None:
        dimension_numbers = _CHANNELS_LAST.get(x.ndim)
        if dimension_numbers is None:
            raise FunctransValueError(f"conv_transpose: rank {x.ndim} has no default dimension_numbers; give them")
    d = conv_dimension_numbers(x.shape, y.shape, dimension_numbers)
    gaps = (1,) * (x.ndim - 2) if rhs_dilation is None else tuple(rhs_dilation)
    if use_consistent_padding or (isinstance(padding, str) and padding in ("SAME", "VALID")):
        each: Sequence[Any] = [padding] * len(strides) if isinstance(padding, str) else padding
        spans = [dilated(y.shape[a], r) for a, r in zip(d.rhs_spec[2:], gaps, strict=True)]
        padding = [_transposed_padding(*part) for part in zip(spans, strides, each, strict=True)]
    if transpose_kernel:
        order = list(range(y.ndim))
        a, b = d.rhs_spec[:2]
        order[a], order[b] = b, a
        rhs = transpose(rev(rhs, d.rhs_spec[2:]), order)
    return conv_general_dilated(
        lhs, rhs, (1,) * (x.ndim - 2), padding, strides, gaps, d, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def conv_general_dilated_patches(
    lhs: Any, filter_shape: Sequence[int], window_strides: Sequence[int], padding: Padding,
    lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """The windows that a convolution would see, along the feature axis: feature by feature, each window row by row.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.conv_general_dilated_patches(np.float32([[[1, 2, 3]]]), (2,), (1,), 'VALID').tolist()
    [[[1.0, 2.0], [2.0, 3.0]]]
    """
    x = type_of(lhs)
    window = tuple(map(int, filter_shape))
    d = conv_dimension_numbers(x.shape, (0,) * x.ndim, dimension_numbers)
    features, taps = x.shape[d.lhs_spec[1]], math.prod(window)
    kernel = np.eye(taps, dtype=x.dtype).reshape((taps, 1, *window))
    kernel = np.tile(kernel, (features, 1, *[1] * len(window)))
    kernel = np.transpose(kernel, [d.rhs_spec.index(a) for a in range(x.ndim)])
    precision = "highest" if precision is None else precision
    return conv_general_dilated(
        lhs, kernel, window_strides, padding, lhs_dilation, rhs_dilation, d, features, 1, precision,
        preferred_element_type,
    )  # fmt: skip


def conv_shape_tuple(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], strides: Sequence[int], pads: Any, batch_group_count: int = 1
) -> tuple[int, ...]:
    """The shape of a convolution of [N, C, spatial ...] with [O, I, spatial ...].

    >>> from functrans import lax
    >>> lax.conv_shape_tuple((1, 2, 8), (3, 2, 3), (2,), 'VALID')
    (1, 3, 3)
    """
    if isinstance(pads, str):
        pads = padtype_to_pads(lhs_shape[2:], rhs_shape[2:], strides, pads)
    ones = (1,) * (len(lhs_shape) - 2)
    counts = window_counts(lhs_shape[2:], tuple(rhs_shape[2:]), tuple(strides), pad_pairs("conv", pads), ones, ones)
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *counts)


def conv_general_shape_tuple(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], window_strides: Sequence[int], padding: Any,
    dimension_numbers: Sequence[str],
) -> tuple[int, ...]:  # fmt: skip
    """The shape of a convolution with these dimension numbers."""
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    shape = conv_shape_tuple(
        [lhs_shape[a] for a in lhs], [rhs_shape[a] for a in rhs], window_strides, padding
    )
    return tuple([shape[out.index(a)] for a in range(len(shape))])


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], window_strides: Sequence[int], padding: Any,
    dimension_numbers: Sequence[str],
) -> tuple[int, ...]:  # fmt: skip
    """The shape of a transposed convolution with these dimension numbers.

    >>> from functrans import lax
    >>> lax.conv_transpose_shape_tuple((1, 4, 2), (3, 2, 5), (2,), 'SAME', ('NHC', 'HIO', 'NHC'))
    (1, 8, 5)
    """
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    sizes, window = [lhs_shape[a] for a in lhs], [rhs_shape[a] for a in rhs]
    if isinstance(padding, str):
        padding = [_transposed_padding(k, s, padding) for k, s in zip(window[2:], window_strides, strict=True)]
    space = [
        (n - 1) * s - k + 2 + sum(pads)
        for n, k, s, pads in zip(sizes[2:], window[2:], window_strides, padding, strict=True)
    ]
    shape = (sizes[0], window[0], *space)
    return tuple([shape[out.index(a)] for a in range(len(shape))])


def conv_general_dilated_local(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: Padding, filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, precision: Any = None,
) -> Any:  # fmt: skip
    """A convolution with a kernel of its own at each place: the input axis of ``rhs`` holds features and taps.

    ``rhs``: as the kernel of ``conv_general_dilated`` with these dimension numbers, its input axis of size
    features * prod(filter_shape) and its spatial axes those of the result.

    >>> from functrans import lax
    >>> import numpy as np
    >>> kernels = np.float32([[[1, 0], [0, 1]]])  # the first tap at the first place, the second at the second
    >>> lax.conv_general_dilated_local(np.float32([[[1, 2, 3]]]), kernels, (1,), 'VALID', (2,)).tolist()
    [[[1.0, 3.0]]]
    """
    first = precision_name(precision).partition(":")[0] if precision is not None else None
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, first
    )
    d = conv_dimension_numbers(type_of(lhs).shape, (1, 1, *filter_shape), dimension_numbers)
    pairs = sorted(zip(d.out_spec[2:], d.rhs_spec[2:], strict=True))
    spatial, kernel = ([pair[k] for pair in pairs] for k in (0, 1))
    out = dot_general(patches, rhs, (((d.out_spec[1],), (d.rhs_spec[1],)), (spatial, kernel)), precision)
    rank = out.ndim
    order = list(range(rank - 2))
    for place, source in sorted([(d.out_spec[0], rank - 2), (d.out_spec[1], rank - 1)]):
        order.insert(place, source)
    return transpose(out, order)
