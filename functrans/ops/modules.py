"""``call_exported``: a whole StableHLO module as one operation of a program.

b, c = call_exported[fun_name=f platforms=('cpu', 'tpu') ...] a
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from functrans.errors import FunctransTypeError, FunctransValueError, MissingRuleError
from functrans.ir.types import ArrayType
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Primitive


class CallExported(Primitive):
    """Apply the ``main`` of ``module`` (text as MLIR prints it) to the operands numbered in ``kept``."""

    module: str
    fun_name: str
    in_types: tuple[ArrayType, ...]
    out_types: tuple[ArrayType, ...]
    kept: tuple[int, ...]
    platforms: tuple[str, ...]
    any_platform: bool = False
    multiple: ClassVar[bool] = True
    name: ClassVar[str] = "call_exported"

    def __repr__(self) -> str:
        return f"{self.name}[fun_name={self.fun_name} platforms={self.platforms}]"

    def infer(self, *types: ArrayType) -> Any:
        for i, (given, wanted) in enumerate(zip(types, self.in_types, strict=True)):
            if (given.shape, given.dtype) != (wanted.shape, wanted.dtype):
                raise FunctransTypeError(
                    f"the exported function {self.fun_name} takes {wanted.strong()} as leaf {i} of its arguments and "
                    f"was given {given}; convert the argument, or export the function for this type"
                )
        return list(self.out_types)

    def missing(self, rule: str, use: str) -> NoReturn:
        """What the user who has only the module, or still has the function, can do."""
        fix = (
            "Export the batched function, export(functrans.jit(functrans.vmap(f))), or loop: functrans.lax.map"
            if rule == "batch"
            else "Serialise it with its derivative, exported.serialize(vjp_order=1), for grad and vjp; for other "
            "transforms export the transformed function"
        )
        what = f"the exported function {self.fun_name} is compiled code without a rule for {use}"
        raise MissingRuleError(f"{what}\n{fix}.")

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        operands = [operands[i] for i in self.kept]
        texts = [emitter.text(in_types[i]) for i in self.kept]
        if not (self.any_platform and len(self.platforms) == 1):
            if emitter.platform not in self.platforms and not self.any_platform:
                raise FunctransValueError(
                    f"the exported function {self.fun_name} was exported for {', '.join(self.platforms)} and is called "
                    f"on {emitter.platform}; export it for that platform too: export(f, platforms=(...,))"
                )
            if len(self.platforms) > 1:
                number = self.platforms.index(emitter.platform) if emitter.platform in self.platforms else 0
                operands.insert(0, emitter.raw(f"stablehlo.constant dense<{number}> : tensor<i32>"))
                texts.insert(0, "tensor<i32>")
        outs = ", ".join(emitter.text(t) for t in out_types)
        call = f"call {emitter.splice(self.module)}({', '.join(operands)}) : ({', '.join(texts)}) -> ({outs})"
        return emitter.raw_many(call, len(out_types))
