"""How exact products and elementwise functions are to be, as ``jax.lax`` says it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from functrans.ops.products import DotAlgorithm as DotAlgorithm


class Precision(enum.Enum):
    """How exact a matrix product is on hardware that can trade exactness for speed."""

    DEFAULT = "default"
    HIGH = "high"
    HIGHEST = "highest"


class DotAlgorithmPreset(enum.Enum):
    """The arithmetic of a matrix product: types of the operands, of the accumulation, number of passes."""

    DEFAULT = "DEFAULT"
    F16_F16_F16 = "F16_F16_F16"
    F16_F16_F32 = "F16_F16_F32"
    BF16_BF16_BF16 = "BF16_BF16_BF16"
    BF16_BF16_F32 = "BF16_BF16_F32"
    BF16_BF16_F32_X3 = "BF16_BF16_F32_X3"
    BF16_BF16_F32_X6 = "BF16_BF16_F32_X6"
    TF32_TF32_F32 = "TF32_TF32_F32"
    TF32_TF32_F32_X3 = "TF32_TF32_F32_X3"
    F32_F32_F32 = "F32_F32_F32"
    F64_F64_F64 = "F64_F64_F64"


class AccuracyMode(enum.Enum):
    """How exact an elementwise function is to be: as exact as functrans can in either way."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance(NamedTuple):
    """Bounds of the error of an elementwise function: refused, as there is no telling that they are kept."""

    atol: float = 0.0
    rtol: float = 0.0
    ulps: int = 0
