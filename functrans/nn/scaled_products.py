"""Products of narrow numbers in blocks that share a scale, and of wider numbers rounded to such blocks.

    x: [..., K]    ->    numbers of 8 or 4 bits [..., K],  scales of 8 bits [..., K / block]

References: Open Compute Project, Microscaling Formats (MX) Specification 1.0, 2023 (mxfp8); NVIDIA, Pretraining Large
Language Models with NVFP4, 2025 (nvfp4).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from functrans import lax
from functrans.api.custom_rules import custom_vjp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, is_differentiable, type_of
from functrans.numpy.arithmetic import absolute, divide, multiply
from functrans.numpy.creation import asarray, ones
from functrans.numpy.einsum import einsum
from functrans.numpy.promotion import ArrayLike
from functrans.numpy.reductions import max as largest_of
from functrans.numpy.selection import clip, where
from functrans.trace.frames import api_boundary, here

_FLOAT32 = np.dtype(np.float32)
_RESULTS = (_FLOAT32, np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16))
Axes = tuple[int, ...]


@dataclass
class BlockScaleConfig:
    """How numbers are rounded to blocks: so many in a row along the contracted axes share a scale."""

    mode: str
    block_size: int
    data_type: Any
    scale_type: Any
    global_scale: Any  # of nvfp4: what all numbers are divided by before
    infer_only: bool = False


@api_boundary
def scaled_matmul(
    lhs: ArrayLike, rhs: ArrayLike, lhs_scales: ArrayLike, rhs_scales: ArrayLike,
    preferred_element_type: Any = np.float32,
) -> Any:  # fmt: skip
    """``lhs @ rhs.T`` for each batch, of matrices whose rows come in blocks, each block times its scale.

    The numbers times their scales, the products and their sums are float32. Differentiable.

    Args:
      lhs: ``[B, M, K]``; rhs: ``[B, N, K]``; of any numbers.
      lhs_scales: ``[B, M, S]``; rhs_scales: ``[B, N, S]``, where S divides K: one for K / S numbers in a row.
      preferred_element_type: of the result.

    Returns:
      ``[B, M, N]``.

    Raises:
      ValueError: shapes that do not fit.

    >>> from functrans import nn
    >>> import numpy as np
    >>> x = np.float32([[[1, 2, 3, 4]]])
    >>> nn.scaled_matmul(x, x, np.float32([[[1, 10]]]), np.float32([[[1, 0.5]]])).tolist()
    [[[130.0]]]
    """
    operands = [asarray(x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    left, right, of_left, of_right = shapes = [type_of(x).shape for x in operands]
    fits = all(len(shape) == 3 for shape in shapes) and (left[0], left[2], of_left[2]) == (
        right[0], right[2], of_right[2]
    )  # fmt: skip
    if not fits or of_left[:2] != left[:2] or of_right[:2] != right[:2] or not of_left[2] or left[2] % of_left[2]:
        raise FunctransValueError(
            "scaled_matmul: shapes [B, M, K], [B, N, K] and of the scales [B, M, S], [B, N, S] are needed, where S "
            f"divides K, got {left}, {right}, {of_left}, {of_right} at {here()}"
        )
    return _product(operands[:2], operands[2:], np.dtype(preferred_element_type))


def _product(numbers: Sequence[Any], scales: Sequence[Any], dtype: np.dtype[Any]) -> Any:
    (lhs, rhs), (lhs_scales, rhs_scales) = numbers, scales
    out = lax.scaled_dot(
        lhs, rhs, lhs_scale=lhs_scales, rhs_scale=rhs_scales, dimension_numbers=(((2,), (2,)), ((0,), (0,))),
        preferred_element_type=_FLOAT32,
    )  # fmt: skip
    return lax.convert_element_type(out, dtype)


@api_boundary
def get_scaled_dot_general_config(mode: str, global_scale: ArrayLike | None = None) -> BlockScaleConfig:
    """How ``scaled_dot_general`` rounds an operand.

    Args:
      mode: ``'mxfp8'``, numbers of eight bits (float8_e4m3fn) in blocks of 32 with powers of two for scales
        (float8_e8m0fnu); or ``'nvfp4'``, numbers of four bits (float4_e2m1fn) in blocks of 16 with scales of eight bits
        (float8_e4m3fn).
      global_scale: of nvfp4, ``[]`` or ``[1]``: the numbers are divided by it before, and the product is multiplied
        with it; 1 by default. It has no derivative.

    Raises:
      ValueError: another mode.

    >>> from functrans import nn
    >>> nn.get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    if mode == "nvfp4":
        scale = ones((1,), _FLOAT32) if global_scale is None else global_scale
        return BlockScaleConfig(mode, 16, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, scale)
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu, None)
    raise FunctransValueError(
        f"get_scaled_dot_general_config: the mode is 'mxfp8' or 'nvfp4', got {mode!r} at {here()}"
    )


@api_boundary
def scaled_dot_general(
    lhs: ArrayLike, rhs: ArrayLike, dimension_numbers: Any, preferred_element_type: Any = np.float32,
    configs: Sequence[BlockScaleConfig] | None = None, implementation: str | None = None,
) -> Any:  # fmt: skip
    """``lax.dot_general`` of operands that are rounded to narrow numbers in scaled blocks.

    In reverse mode the gradient passes through the rounding as it is. With ``mxfp8`` the cotangent and the operands are
    rounded along the axes that they are contracted by; with ``nvfp4`` they are not, and the gradient of what was too
    large for the narrow numbers is zero. There is no forward mode of products whose cotangents are rounded: they are
    not linear.

    Args:
      lhs, rhs: floating arrays. The product of the sizes of the contracted axes is a multiple of the block size, and
        so is that of the other axes of each where the cotangent is rounded.
      dimension_numbers: as of ``lax.dot_general``.
      preferred_element_type: of the result: float32, bfloat16 or float16.
      configs: three, of ``get_scaled_dot_general_config``: for lhs, rhs and cotangents; None: nothing is rounded.
      implementation: deprecated and without meaning, as in JAX.

    Returns:
      The axes of the batch, the free axes of lhs, the free axes of rhs.

    Raises:
      TypeError: another ``preferred_element_type``. ValueError: sizes that are no multiple of the block size, or
      another number of ``configs``.

    >>> from functrans import nn
    >>> import numpy as np
    >>> x, ones = np.linspace(0, 1, 32, dtype=np.float32)[None], np.ones((1, 32), np.float32)
    >>> configs = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    >>> nn.scaled_dot_general(x, ones, (((1,), (1,)), ((), ())), configs=configs).tolist()  # 16 without rounding
    [[15.75]]
    """
    if implementation is not None:
        warnings.warn("scaled_dot_general: implementation= has no meaning any more", DeprecationWarning, stacklevel=2)
    if configs is None:
        return lax.dot_general(lhs, rhs, dimension_numbers, preferred_element_type=preferred_element_type)
    dtype = np.dtype(preferred_element_type)
    if dtype not in _RESULTS:
        raise FunctransTypeError(
            f"scaled_dot_general: the result is of float32, bfloat16 or float16, not {dtype}, at {here()}"
        )
    if len(configs) != 3:
        raise FunctransValueError(
            f"scaled_dot_general: configs are three, for lhs, rhs and cotangents, got {len(configs)} at {here()}"
        )
    modes = {config.mode for config in configs}
    if len(modes) > 1 or not modes <= _ROUNDED.keys():
        raise FunctransValueError(
            f"scaled_dot_general: the mode of the three configs is 'mxfp8' or 'nvfp4', got {sorted(modes)} at {here()}"
        )
    operands = [asarray(x) for x in (lhs, rhs)]
    for x in operands:
        if not is_differentiable(type_of(x).dtype) or type_of(x).dtype.kind == "c":
            raise FunctransTypeError(
                f"scaled_dot_general: operands are real and floating, got {describe(x)} at {here()}"
            )
    contracted, batch = [[tuple(map(int, axes)) for axes in pair] for pair in dimension_numbers]
    pairs = sorted(zip(*contracted, strict=True))  # blocks lie along the axes of lhs, in their order
    left, right = [
        _Arrangement.of(type_of(x).shape, batch[i], tuple([pair[i] for pair in pairs])) for i, x in enumerate(operands)
    ]
    settings = _Settings(dtype, *[_Rounding(c.mode, c.block_size, c.data_type, c.scale_type) for c in configs])
    scales = [c.global_scale for c in configs[:2]] if modes == {"nvfp4"} else [1.0, 1.0]
    out = _rounded_product(left.rows(operands[0]), right.rows(operands[1]), scales, settings)
    return lax.reshape(out, (*left.batch, *left.free, *right.free))


class _Arrangement(NamedTuple):
    """The axes of an operand in the order batch, free, contracted, and the sizes of the first two kinds."""

    order: Axes
    batch: Axes
    free: Axes

    @classmethod
    def of(cls, shape: Axes, batch: Axes, contracted: Axes) -> _Arrangement:
        free = tuple([i for i in range(len(shape)) if i not in (*batch, *contracted)])
        sizes = [tuple([shape[i] for i in axes]) for axes in (batch, free)]
        return cls((*batch, *free, *contracted), *sizes)

    def rows(self, x: Any) -> Any:
        """``[B, M, K]``"""
        x = lax.transpose(x, self.order)
        contracted = type_of(x).shape[len(self.batch) + len(self.free) :]
        return lax.reshape(x, (math.prod(self.batch), math.prod(self.free), math.prod(contracted)))


class _Rounding(NamedTuple):
    """A ``BlockScaleConfig`` without its array."""

    mode: str
    block_size: int
    data_type: Any
    scale_type: Any


class _Settings(NamedTuple):
    dtype: np.dtype[Any]  # of the result
    lhs: _Rounding
    rhs: _Rounding
    cotangent: _Rounding


# -- rounding ----------------------------------------------------------------------------------------------------------


def _blocks(x: Any, size: int) -> Any:
    """``[B, M, K]`` -> ``[B, M, K / size, size]``"""
    *rows, length = type_of(x).shape
    if length % size or not length:
        raise FunctransValueError(
            f"scaled_dot_general: {length} numbers along the contracted axes do not make blocks of {size}, at {here()}"
        )
    return lax.reshape(x, (*rows, length // size, size))


def _most(dtype: Any) -> float:
    """The largest number of a dtype."""
    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


def _largest(blocks: Any, most: float) -> Any:
    """By how much the numbers of each block exceed ``most``: ``[..., 1]``, of their own dtype."""
    return divide(largest_of(absolute(blocks), -1, keepdims=True), np.asarray(most, blocks.dtype))


def _to_powers_of_two(x: Any, rounding: _Rounding, _: Any) -> tuple[Any, Any]:
    """The scales are the least powers of two by which the numbers fit; rounding by them changes digits alone."""
    most = _most(rounding.data_type)
    blocks = _blocks(x, rounding.block_size)
    bits = lax.bitcast_convert_type(lax.convert_element_type(_largest(blocks, most), _FLOAT32), np.uint32)
    exponent, digits = lax.shift_right_logical(bits, np.uint32(23)), lax.bitwise_and(bits, np.uint32(0x7FFFFF))
    # The least scale, 2**-127, stands between zero and the least normal number of float32; 0xFE is the largest.
    beyond = (digits > 0) & (exponent < 0xFE) & ((exponent > 0) | (digits > 0x400000))
    exponent = exponent + lax.convert_element_type(beyond, np.uint32)
    scale = lax.bitcast_convert_type(lax.shift_left(exponent, np.uint32(23)), _FLOAT32)
    wide = lax.convert_element_type(blocks, _FLOAT32)
    scaled = where(exponent == 0, wide * 2.0**127, wide / scale)
    scales = lax.bitcast_convert_type(lax.convert_element_type(exponent, np.uint8), rounding.scale_type)
    return scaled, scales


def _to_narrow_scales(x: Any, rounding: _Rounding, global_scale: Any) -> tuple[Any, Any]:
    """The scales are rounded numbers themselves."""
    most, largest_scale = _most(rounding.data_type), _most(rounding.scale_type)
    blocks = _blocks(divide(x, global_scale), rounding.block_size)
    scales = clip(_largest(blocks, most), 0, largest_scale)
    scales = lax.optimization_barrier(lax.convert_element_type(scales, rounding.scale_type))
    scale = lax.convert_element_type(scales, _FLOAT32)
    return where(scale == 0, 0, divide(blocks, scale)), scales


_ROUNDED = {"mxfp8": _to_powers_of_two, "nvfp4": _to_narrow_scales}


def _rounded(x: Any, rounding: _Rounding, global_scale: Any = None) -> tuple[Any, Any]:
    """``[B, M, K]`` -> the narrow numbers ``[B, M, K]``, their scales ``[B, M, K / block_size]``"""
    scaled, scales = _ROUNDED[rounding.mode](x, rounding, global_scale)
    most = _most(rounding.data_type)
    numbers = lax.convert_element_type(clip(scaled, -most, most), rounding.data_type)
    return lax.optimization_barrier((lax.reshape(numbers, type_of(x).shape), lax.squeeze(scales, (-1,))))  # type: ignore[no-any-return]


# -- the product and its gradient --------------------------------------------------------------------------------------


@partial(custom_vjp, nondiff_argnums=(3,))
def _rounded_product(x: Any, y: Any, scales: Any, settings: _Settings) -> Any:
    """``[B, M, K], [B, N, K]`` -> ``[B, M, N]``"""
    (xs, of_xs), (ys, of_ys) = _rounded(x, settings.lhs, scales[0]), _rounded(y, settings.rhs, scales[1])
    if settings.lhs.mode != "nvfp4":
        return _product((xs, ys), (of_xs, of_ys), settings.dtype)
    out = _product((xs, ys), (of_xs, of_ys), _FLOAT32)
    return lax.convert_element_type(multiply(out, multiply(*scales)), settings.dtype)


def _forward(x: Any, y: Any, scales: Any, settings: _Settings) -> Any:
    return _rounded_product(x, y, scales, settings), (x, y, scales)


def _backward(settings: _Settings, residuals: Any, cotangent: Any) -> Any:
    x, y, scales = residuals
    if settings.cotangent.mode == "nvfp4":
        sent = [
            _where_it_fits(einsum(spec, cotangent, other, preferred_element_type=settings.dtype), own, scale, rounding)
            for spec, other, own, scale, rounding in (
                ("bmn,bnk->bmk", y, x, scales[0], settings.lhs), ("bmn,bmk->bnk", x, y, scales[1], settings.rhs),
            )
        ]  # fmt: skip
    else:
        sent = []
        for rows, other, rounding in ((cotangent, y, settings.rhs), (_across(cotangent), x, settings.lhs)):
            (left, of_left), (right, of_right) = _rounded(rows, settings.cotangent), _rounded(_across(other), rounding)
            sent.append(_product((left, right), (of_left, of_right), settings.dtype))
    return *[lax.convert_element_type(s, type_of(z).dtype) for s, z in zip(sent, (x, y), strict=True)], None


def _across(x: Any) -> Any:
    return lax.transpose(x, (0, 2, 1))


def _where_it_fits(sent: Any, x: Any, global_scale: Any, rounding: _Rounding) -> Any:
    most = _most(rounding.data_type) * _most(rounding.scale_type)
    return where(absolute(x) <= multiply(global_scale, most), sent, 0)


_rounded_product.defvjp(_forward, _backward)
