"""Modules around programs: for several platforms, with arrays written into them, and one module within another.

A program takes what its function closes over as inputs. A module that leaves the process has nobody to hand them over,
so they are written into it:

    main(platform_index, inputs) { constants; case platform_index { call program_for_cpu ... call program_for_tpu } }
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransValueError
from functrans.ir.effects import is_ordered
from functrans.ir.program import Jaxpr
from functrans.ir.types import SMALLER_THAN_A_BYTE, ArrayType, array_type, kind_of, type_of
from functrans.xla.lower import Emitter, Module, clean_symbol, type_text

_PLATFORM = '%platform: tensor<i32> {jax.global_constant = "_platform_index"}'


def platform_module(
    jaxpr: Jaxpr,
    name: str,
    platforms: Sequence[str],
    attributes: Sequence[str] = (),
    located: bool = False,
    constants: Sequence[Any] = (),
) -> Module:
    """The StableHLO module of a program whose leading inputs are ``constants``, for these platforms.

    For several it takes the number of its platform among them before the inputs, as ``jax.export`` has it; what does
    not depend on the platform is written once. Raises ValueError for ordered effects.
    """
    if is_ordered(jaxpr.effects):
        raise FunctransValueError(
            f"a program with ordered effects ({', '.join(sorted(map(str, jaxpr.effects)))}) cannot be lowered for "
            f"several platforms {tuple(platforms)} at once, nor exported: lower it for one"
        )
    emitter = Emitter(platforms[0], located)
    symbols: list[str] = []
    for platform in platforms:
        emitter.turn_to(platform)
        symbols.append(f"program_for_{platform}")
        emitter.functions.append(emitter.function(jaxpr, symbols[-1], "private"))
        if not emitter.platform_matters:
            break
    texts = [type_text(t) for t in jaxpr.in_types]
    outs = ", ".join([type_text(t) for t in jaxpr.out_types])
    operands = [array_constant(emitter, x) for x in constants]
    arguments = [emitter.fresh() for _ in texts[len(operands) :]]
    operands += arguments

    def call(symbol: str) -> list[str]:
        types = f"({', '.join(texts)}) -> ({outs})"
        return emitter.raw_many(f"call @{symbol}({', '.join(operands)}) : {types}", len(jaxpr.outputs))

    if len(symbols) == 1:
        results = call(symbols[0])
    else:
        regions = [emitter.region([], lambda _, s=symbol: call(s), jaxpr.out_types) for symbol in symbols]  # type: ignore[misc]
        case = f'"stablehlo.case"(%platform) ({", ".join(regions)}) : (tensor<i32>) -> ({outs})'
        results = emitter.raw_many(case, len(jaxpr.outputs))
    given = attributes or [""] * len(arguments)
    head = [f"{n}: {t}{a}" for n, t, a in zip(arguments, texts[len(constants) :], given, strict=True)]
    if len(platforms) > 1:
        head.insert(0, _PLATFORM)
    body = "\n".join([*emitter.header, *emitter.lines])
    back = f"return {', '.join(results)} : {outs}" if results else "return"
    main = f"func.func public @main({', '.join(head)}) -> ({outs}) {{\n{body}\n{back}\n}}"
    marks = "jax.uses_shape_polymorphism = false, mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32"
    functions = "\n".join(emitter.functions)
    return Module(
        f"module @{clean_symbol(name)} attributes {{{marks}}} {{\n{main}\n{functions}\n}}\n",
        emitter.callbacks,
        emitter.barriers,
    )


def array_constant(emitter: Emitter, value: Any) -> str:
    """A constant with these elements."""
    type_: ArrayType = type_of(value)
    array = np.asarray(value, type_.dtype, order="C")
    first = array.reshape(-1)[:1]
    if array.size and (array.reshape(-1).view(np.uint8).reshape(array.size, -1) == first.view(np.uint8)).all():
        return emitter.constant(first[0], type_)
    if not array.size:
        return emitter.raw(f"stablehlo.constant dense<> : {type_text(type_)}")
    if array.dtype == np.bool_ or array.dtype in SMALLER_THAN_A_BYTE:
        # Their elements are packed in MLIR's text: a detour over a wider type says the same.
        wide = np.dtype(np.float32 if kind_of(array.dtype) == "f" else np.int8)
        wide_type = array_type(type_.shape, wide)
        return emitter.op(f"stablehlo.convert {array_constant(emitter, array.astype(wide))}", [wide_type], type_)
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes().hex().upper()
    return emitter.raw(f'stablehlo.constant dense<"0x{raw}"> : {type_text(type_)}')
