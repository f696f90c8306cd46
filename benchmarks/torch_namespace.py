"""PyTorch under NumPy's names, as far as the scenarios go. Importing it needs PyTorch."""

from __future__ import annotations

from typing import Any

import numpy
import torch

cos, exp, log, reshape, sin, sqrt, tanh = (
    torch.cos,
    torch.exp,
    torch.log,
    torch.reshape,
    torch.sin,
    torch.sqrt,
    torch.tanh,
)
dot, einsum = torch.dot, torch.einsum
conv2d = torch.nn.functional.conv2d


def _tensor(x: Any) -> Any:
    return torch.from_numpy(x) if isinstance(x, numpy.ndarray) else x


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.sum(x) if axis is None else torch.sum(x, dim=axis, keepdim=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.mean(x) if axis is None else torch.mean(x, dim=axis, keepdim=keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.amax(x) if axis is None else torch.amax(x, dim=axis, keepdim=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.amin(x) if axis is None else torch.amin(x, dim=axis, keepdim=keepdims)


def where(condition: Any, x: Any, y: Any) -> Any:
    return torch.where(_tensor(condition), _tensor(x), _tensor(y))


def stack(arrays: Any, axis: int = 0) -> Any:
    return torch.stack(tuple(arrays), dim=axis)


def concatenate(arrays: Any, axis: int = 0) -> Any:
    return torch.cat(tuple(arrays), dim=axis)


def transpose(x: Any, axes: tuple[int, ...]) -> Any:
    return x.permute(axes)


def zeros(shape: Any, dtype: Any) -> Any:
    return torch.from_numpy(numpy.zeros(shape, dtype))
