"""One small program, ``x + x``, compiled for the tests of the rooms next to jaxlib."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from functrans.jaxlib_compat import configuration, executors
from functrans.xla.compilation import compile_text


class Type(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    weak_type: bool = False


F32 = Type((), np.dtype(np.float32))
F32X3 = Type((3,), np.dtype(np.float32))
I32 = Type((), np.dtype(np.int32))


def text(type_: str, count: int = 1, attribute: str = "") -> str:
    arguments = ", ".join(f"%a{i}: tensor<{type_}>{attribute}" for i in range(count))
    body = "\n".join(f"%r{i} = stablehlo.add %a{i}, %a{i} : tensor<{type_}>" for i in range(count))
    results = ", ".join(f"%r{i}" for i in range(count))
    types = ", ".join([f"tensor<{type_}>"] * count)
    returned = f"{results} : {types}" if count else ""
    return f"module @double {{ func.func public @main({arguments}) -> ({types}) {{\n{body}\nreturn {returned} }} }}"


def doubling(type_: str, array_type: Type, count: int = 1, device=None, out_type: Type | None = None):
    device = device or configuration.default_device()
    executable = compile_text(text(type_, count), device)
    return executors.executor(executable, [array_type] * count, [out_type or array_type] * count, device, "double")
