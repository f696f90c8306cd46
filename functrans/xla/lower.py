"""jaxpr -> StableHLO text.

    { lambda ; a:f32[3]. let b:f32[3] = sin a; c:f32[3] = mul b 2.0 in (c,) }

    module @main { func.func public @main(%0: tensor<3xf32>) -> (tensor<3xf32>) {
      %1 = stablehlo.constant dense<0x40000000> : tensor<3xf32>
      %2 = stablehlo.sine %0 : tensor<3xf32>
      %3 = stablehlo.multiply %2, %1 : tensor<3xf32>
      return %3 : tensor<3xf32> } }

Text costs 1 us an operation; MLIR's Python bindings 8. The primitives write their own lines through ``Emitter``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError, InternalError
from functrans.ir.effects import is_ordered
from functrans.ir.program import Atom, Jaxpr, Literal, Var, Where
from functrans.ir.types import SMALLER_THAN_A_BYTE, ArrayType, array_type, float0, kind_of, short_dtype
from functrans.trace.frames import describe_place, line_of
from functrans.xla.barriers import Barriers
from functrans.xla.host_callbacks import HostCallback

_ELEMENTS = {
    "bool": "i1", "int2": "i2", "int4": "i4", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint2": "ui2", "uint4": "ui4",
    "uint8": "ui8", "uint16": "ui16", "uint32": "ui32", "uint64": "ui64", "bfloat16": "bf16", "float16": "f16",
    "float32": "f32", "float64": "f64", "complex64": "complex<f32>", "complex128": "complex<f64>",
    "float8_e4m3fn": "f8E4M3FN", "float8_e5m2": "f8E5M2", "float8_e4m3b11fnuz": "f8E4M3B11FNUZ",
    "float8_e4m3fnuz": "f8E4M3FNUZ", "float8_e5m2fnuz": "f8E5M2FNUZ", "float8_e3m4": "f8E3M4", "float8_e4m3": "f8E4M3",
    "float8_e8m0fnu": "f8E8M0FNU", "float4_e2m1fn": "f4E2M1FN",
}  # fmt: skip
_TOKEN = "!stablehlo.token"
_CALLBACK_TARGETS = {
    "cpu": "xla_ffi_python_cpu_callback",
    **dict.fromkeys(("gpu", "cuda", "rocm"), "xla_ffi_python_gpu_callback"),
}
_SYMBOL = r'@(?:"(?:[^"\\]|\\.)*"|[\w$.-]+)'
_FLOAT0_STORAGE = np.dtype(np.bool_)  # a float0 array holds no information; jaxlib stores it as bool


@functools.lru_cache(maxsize=256)
def element_text(dtype: np.dtype[Any]) -> str:
    """The MLIR name of an element type."""
    name = (_FLOAT0_STORAGE if dtype == float0 else dtype).name
    if name not in _ELEMENTS:
        raise FunctransTypeError(f"values of dtype {short_dtype(dtype)} cannot be lowered to XLA")
    return _ELEMENTS[name]


@functools.lru_cache(maxsize=16384)
def type_text(type: ArrayType) -> str:
    """The MLIR name of an array type: ``tensor<2x3xf32>``."""
    dims = "".join([f"{n}x" for n in type.shape])
    return f"tensor<{dims}{element_text(type.dtype)}>"


def _float_bits(value: Any, dtype: np.dtype[Any]) -> str:
    raw = np.asarray(value).astype(dtype).tobytes()
    return f"0x{int.from_bytes(raw, 'little'):0{2 * len(raw)}X}"


@functools.lru_cache(maxsize=16384)
def _value_text(key: Any, value: Any, dtype: np.dtype[Any]) -> str:
    if dtype == np.bool_ or dtype == float0:
        return "true" if value else "false"
    if dtype.kind == "c":
        part = np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)
        value = complex(value)
        return f"({_float_bits(value.real, part)}, {_float_bits(value.imag, part)})"
    if kind_of(dtype) in "iu":
        return str(int(value))
    return str(float(value)) if dtype in SMALLER_THAN_A_BYTE else _float_bits(value, dtype)


class Emitter:
    """Writes the lines of one module; SSA names are unique in it. Primitives' ``lower`` methods receive it.

    ``token`` is what the next ordered effect waits for: each takes it and leaves another. A function or region with
    ordered effects takes a token as its last operand and gives one as its last result. ``located``: each line names the
    user's file and line behind it, as ``loc("file.py":12:0)``.
    """

    def __init__(self, platform: str = "cpu", located: bool = False, first_callback: int = 0) -> None:
        self._platform = platform
        self.first_callback = first_callback
        self.platform_matters = False
        self.callbacks: list[HostCallback] = []  # a custom call names one by its number
        self.lasting, self.passing = Barriers.NONE, Barriers.NONE
        self.nested = 0  # regions and called functions around the line being written
        self.token: str | None = None
        self.where: Where = None  # of the equation being written, and
        self.place = ""  # what ends each of its lines, if they are to say it
        self.located = located
        self.count = 0
        self.lines: list[str] = []
        self.header: list[str] = []  # constants of the function being written
        self.constants: dict[Any, str] = {}
        self.functions: list[str] = []
        self.function_names: dict[Any, str] = {}
        self.symbols = 0

    @property
    def platform(self) -> str:
        """``cpu``, ``cuda``, ``rocm`` or ``tpu``: a lowering that reads it is written once for each platform."""
        self.platform_matters = True
        return self._platform

    def turn_to(self, platform: str) -> None:
        """Lower for another platform from now on; functions written so far are not called any more."""
        self._platform = platform
        self.function_names = {}

    # -- lines ------------------------------------------------------------------------------------------------------

    def fresh(self) -> str:
        """A new SSA name."""
        self.count += 1
        return f"%{self.count}"

    def raw(self, text: str) -> str:
        """A line with one result, types included in ``text``."""
        self.count += 1
        name = f"%{self.count}"
        self.lines.append(f"{name} = {text}{self.place}")
        return name

    def raw_many(self, text: str, count: int) -> list[str]:
        """A line with ``count`` results."""
        if count == 0:
            self.lines.append(f"{text}{self.place}")
            return []
        self.count += 1
        if count == 1:
            self.lines.append(f"%{self.count} = {text}{self.place}")
            return [f"%{self.count}"]
        self.lines.append(f"%{self.count}:{count} = {text}{self.place}")
        return [f"%{self.count}#{i}" for i in range(count)]

    def op(self, text: str, in_types: Sequence[ArrayType], out_type: ArrayType) -> str:
        """``text : (in_types) -> out_type``."""
        ins = ", ".join([type_text(t) for t in in_types])
        return self.raw(f"{text} : ({ins}) -> {type_text(out_type)}")

    def elementwise(
        self, name: str, operands: Sequence[str], in_types: Sequence[ArrayType], out_type: ArrayType
    ) -> str:
        """A StableHLO elementwise operation on operands of the result's shape."""
        if name in ("maximum", "minimum") and in_types[0].dtype.kind == "c":
            return self._complex_extremum("GT" if name == "maximum" else "LT", operands, in_types[0])
        if in_types[0].dtype == out_type.dtype:
            return self.raw(f"stablehlo.{name} {', '.join(operands)} : {type_text(out_type)}")
        source = array_type(out_type.shape, in_types[0].dtype)
        return self.op(f"stablehlo.{name} {', '.join(operands)}", [source] * len(operands), out_type)

    def _complex_extremum(self, direction: str, operands: Sequence[str], type: ArrayType) -> str:
        """The operand whose real part, or where they are equal imaginary part, lies farther; NaN if either is.

        XLA has no such operation on some platforms, and on CPU one that compares real parts alone and drops NaNs.
        """
        parts = array_type(type.shape, np.dtype(f"f{type.dtype.itemsize // 2}"))
        flags = array_type(type.shape, np.dtype(np.bool_))

        def compared(how: str, pair: Sequence[str], of: ArrayType) -> str:
            return self.op(f"stablehlo.compare {how}, {', '.join(pair)}, FLOAT", [of, of], flags)

        def both(name: str, p: str, q: str) -> str:
            return self.raw(f"stablehlo.{name} {p}, {q} : {type_text(flags)}")

        first, second = operands
        real, imag = ([self.op(f"stablehlo.{part} {x}", [type], parts) for x in operands] for part in ("real", "imag"))
        tied = both("and", compared("EQ", real, parts), compared(direction, imag, parts))
        chosen = self.select(both("or", compared(direction, real, parts), tied), first, second, flags, type)
        for x in (second, first):
            chosen = self.select(compared("NE", [x, x], type), x, chosen, flags, type)
        return chosen

    def select(self, which: str, yes: str, no: str, which_type: ArrayType, type: ArrayType) -> str:
        """Elementwise choice."""
        return self.raw(f"stablehlo.select {which}, {yes}, {no} : {type_text(which_type)}, {type_text(type)}")

    def text(self, type: ArrayType) -> str:
        """The MLIR name of an array type."""
        return type_text(type)

    # -- constants --------------------------------------------------------------------------------------------------

    def constant_here(self, value: Any, type: ArrayType) -> str:
        """A constant written at this place, not at the head of the function: in a region that may not look outside."""
        text = _value_text(_constant_key(value), value, type.dtype)
        return self.raw(f"stablehlo.constant dense<{text}> : {type_text(type)}")

    def constant(self, value: Any, type: ArrayType) -> str:
        """A constant of this type with every element equal to ``value``."""
        text = _value_text(_constant_key(value), value, type.dtype)
        key = (text, type_text(type))
        name = self.constants.get(key)
        if name is None:
            name = self.constants[key] = self.fresh()
            self.header.append(f"{name} = stablehlo.constant dense<{text}> : {key[1]}")
        return name

    def splat(self, value: Any, like: ArrayType) -> str:
        """A constant with the shape and dtype of ``like``."""
        return self.constant(value, like)

    def scalar(self, value: Any, like: ArrayType) -> str:
        """A rank-0 constant with the dtype of ``like``."""
        return self.constant(value, array_type((), like.dtype))

    def indices(self, values: Sequence[int] | Sequence[str], dtype: str = "i64") -> str:
        """``array<i64: 1, 2>``."""
        return f"array<{dtype}: {', '.join(map(str, values))}>" if values else f"array<{dtype}>"

    # -- regions ----------------------------------------------------------------------------------------------------

    def reduce(
        self, name: str, operand: str, initial: str, axes: Sequence[int], in_type: ArrayType, out_type: ArrayType
    ) -> str:
        """Reduce with a StableHLO binary operation."""
        scalar = array_type((), in_type.dtype)
        dims = ", ".join(map(str, axes))
        if name in ("maximum", "minimum") and in_type.dtype.kind == "c":
            pair = [scalar, scalar]
            body = self.region(pair, lambda operands: [self.elementwise(name, operands, pair, scalar)], [scalar])
            return self.raw(
                f'"stablehlo.reduce"({operand}, {initial}) <{{dimensions = array<i64{":" if axes else ""} {dims}>}}> '
                f"({body}) : ({type_text(in_type)}, {type_text(scalar)}) -> {type_text(out_type)}"
            )
        return self.raw(
            f"stablehlo.reduce({operand} init: {initial}) applies stablehlo.{name} across dimensions = [{dims}] : "
            f"({type_text(in_type)}, {type_text(scalar)}) -> {type_text(out_type)}"
        )

    def region(
        self,
        arg_types: Sequence[ArrayType],
        body: Callable[[list[str]], Sequence[str]],
        out_types: Sequence[ArrayType],
        token: str = "",
    ) -> str:
        """The text of a region ``{ ^bb0(args): ... stablehlo.return ... }``.

        ``token``: "argument" where the region takes one, "result" where it gives one, "both".
        """
        names = [self.fresh() for _ in arg_types]
        args = [f"{n}: {type_text(t)}" for n, t in zip(names, arg_types, strict=True)]
        outer, self.lines = self.lines, []
        outer_token = self.token
        self.nested += 1
        if token in ("argument", "both"):
            self.token = self.fresh()
            args.append(f"{self.token}: {_TOKEN}")
        results, types = list(body(names)), [type_text(t) for t in out_types]
        if token in ("result", "both"):
            results.append(self.current_token())
            types.append(_TOKEN)
        self.token = outer_token
        back = f"stablehlo.return {', '.join(results)} : {', '.join(types)}" if results else "stablehlo.return"
        self.lines.append(back)
        inner, self.lines = self.lines, outer
        self.nested -= 1
        head = f"^bb0({', '.join(args)}):\n" if args else ""
        return "{\n" + head + "\n".join(inner) + "\n}"

    def barrier(self, operands: Sequence[str], types: Sequence[ArrayType], lasting: bool = True) -> list[str]:
        """The operands behind a barrier that XLA's passes leave where it is (see compilation.compile_text), or, not
        ``lasting``, one that need not outlive its simplifier."""
        place = Barriers.NESTED if self.nested else Barriers.STRAIGHT
        if lasting and self.lasting is not Barriers.NESTED:
            self.lasting = place
        if not lasting and self.passing is not Barriers.NESTED:
            self.passing = place
        texts = ", ".join([type_text(t) for t in types])
        return self.raw_many(f"stablehlo.optimization_barrier {', '.join(operands)} : {texts}", len(operands))

    @property
    def barriers(self) -> Barriers:
        """Where there are lasting ones, with which those last that need not."""
        return Barriers.NONE if self.lasting is Barriers.NONE else max(self.lasting, self.passing)

    # -- programs ---------------------------------------------------------------------------------------------------

    def inline(self, jaxpr: Jaxpr, operands: Sequence[str]) -> list[str]:
        """Write the equations of a program here; the names of its outputs."""
        names: dict[Var, str] = dict(zip(jaxpr.inputs, operands, strict=True))
        outer = self.where, self.place
        for eqn in jaxpr.equations:
            op = eqn.op
            out_types = [v.type for v in eqn.outputs]
            ins: list[str] = []
            in_types: list[ArrayType] = []
            for a in eqn.inputs:
                if type(a) is Var:
                    ins.append(names[a])
                    in_types.append(a.type)
                elif op.broadcasts_literals:
                    type_ = array_type(out_types[0].shape, a.type.dtype)
                    ins.append(self.constant(a.value, type_))  # type: ignore[union-attr]
                    in_types.append(type_)
                else:
                    ins.append(self.constant(a.value, a.type))  # type: ignore[union-attr]
                    in_types.append(a.type)
            self.where = eqn.where
            if self.located:
                self.place = _location(eqn.where, op.name)
            try:
                results = op.lower(self, ins, in_types, out_types)
            except Exception as error:
                error.add_note(f"while lowering {op} written at {describe_place(eqn.where)}")
                raise
            if op.multiple:
                for v, name in zip(eqn.outputs, results, strict=True):
                    names[v] = name
            else:
                names[eqn.outputs[0]] = results
        self.where, self.place = outer
        return [self._atom(a, names) for a in jaxpr.outputs]

    def _atom(self, a: Atom, names: dict[Var, str]) -> str:
        return self.constant(a.value, a.type) if type(a) is Literal else names[a]  # type: ignore[index]

    def call(self, jaxpr: Jaxpr, name: str, operands: Sequence[str]) -> list[str]:
        """Call the program as a function of the module, written once however often it is called."""
        symbol = self.function_names.get(jaxpr)
        if symbol is None:
            symbol = self.function_names[jaxpr] = f"{clean_symbol(name)}_{self.symbols}"
            self.symbols += 1
            self.functions.append(self.function(jaxpr, symbol, "private"))
        ins = [type_text(t) for t in jaxpr.in_types]
        outs = [type_text(t) for t in jaxpr.out_types]
        if not is_ordered(jaxpr.effects):
            text = f"call @{symbol}({', '.join(operands)}) : ({', '.join(ins)}) -> ({', '.join(outs)})"
            return self.raw_many(text, len(outs))
        given = ", ".join([*operands, self.current_token()])
        text = f"call @{symbol}({given}) : ({', '.join([*ins, _TOKEN])}) -> ({', '.join([*outs, _TOKEN])})"
        *results, self.token = self.raw_many(text, len(outs) + 1)
        return results

    def splice(self, module: str) -> str:
        """Write the functions of a module, as MLIR prints it, into this one; the symbol of its ``main``."""
        known = self.function_names.get(module)
        if known is None:
            functions = module[module.index(" {\n") + 3 : module.rindex("}")]
            prefix = f"module_{self.symbols}_"
            self.symbols += 1
            defined = {
                symbol: f'@"{prefix}{symbol[1:].strip(chr(34))}"'
                for symbol in re.findall(rf"^  func\.func (?:public |private )?({_SYMBOL})", functions, re.MULTILINE)
            }
            functions = re.sub(r"^  func\.func public ", "  func.func private ", functions, flags=re.MULTILINE)
            self.functions.append(re.sub(_SYMBOL, lambda found: defined.get(found[0], found[0]), functions))
            known = self.function_names[module] = defined["@main"]
        return known

    def function(self, jaxpr: Jaxpr, symbol: str, visibility: str, attributes: Sequence[str] = ()) -> str:
        """A whole function."""
        saved = self.lines, self.header, self.constants, self.token
        self.nested += visibility != "public"
        self.lines, self.header, self.constants, self.token = [], [], {}, None
        args = [self.fresh() for _ in jaxpr.inputs]
        attributes = attributes or [""] * len(args)
        head = [f"{n}: {type_text(v.type)}{a}" for n, v, a in zip(args, jaxpr.inputs, attributes, strict=True)]
        types = [type_text(t) for t in jaxpr.out_types]
        ordered = is_ordered(jaxpr.effects)
        if ordered and visibility == "public":
            self.token = self.raw(f"stablehlo.create_token : {_TOKEN}")
        elif ordered:
            self.token = self.fresh()
            head.append(f"{self.token}: {_TOKEN}")
        results = self.inline(jaxpr, args)
        if ordered and visibility != "public":
            results.append(self.current_token())
            types.append(_TOKEN)
        outs = ", ".join(types)
        body = "\n".join([*self.header, *self.lines])
        back = f"return {', '.join(results)} : {outs}" if results else "return"
        self.lines, self.header, self.constants, self.token = saved
        self.nested -= visibility != "public"
        return f"func.func {visibility} @{symbol}({', '.join(head)}) -> ({outs}) {{\n{body}\n{back}\n}}"

    # -- kernels of libraries ---------------------------------------------------------------------------------------

    def kernel(
        self,
        target: str,
        operands: Sequence[str],
        in_types: Sequence[ArrayType],
        out_types: Sequence[ArrayType],
        batch_rank: int,
        attributes: Mapping[str, str | bool | int],
        in_place: Mapping[int, int],
    ) -> list[str]:
        """A call of a kernel that jaxlib registers under the name ``target``; the names of its results.

        Arrays with two axes more than the batch hold matrices column by column, as LAPACK has them. ``attributes``: a
        letter is passed as its code. ``in_place``: {number of an operand: of the result that may take its memory}.
        """
        given = ", ".join([f"{name} = {_attribute(value)}" for name, value in attributes.items()])
        aliases = ", ".join(
            "#stablehlo.output_operand_alias<output_tuple_indices = "
            f"[{result if len(out_types) > 1 else ''}], operand_index = {operand}, operand_tuple_indices = []>"
            for operand, result in in_place.items()
        )
        layouts, result_layouts = (
            ", ".join([_layout(t, t.ndim == batch_rank + 2) for t in types]) for types in (in_types, out_types)
        )
        ins, outs = (", ".join(map(type_text, types)) for types in (in_types, out_types))
        return self.raw_many(
            f"stablehlo.custom_call @{target}({', '.join(operands)}) {{api_version = 4 : i32, "
            f'backend_config = {{{given}}}, mhlo.frontend_attributes = {{num_batch_dims = "{batch_rank}"}}, '
            f"operand_layouts = [{layouts}], output_operand_aliases = [{aliases}], "
            f"result_layouts = [{result_layouts}]}} : ({ins}) -> ({outs})",
            len(out_types),
        )

    # -- effects ----------------------------------------------------------------------------------------------------

    def current_token(self) -> str:
        """The token that the next ordered effect waits for."""
        if self.token is None:
            raise InternalError("an ordered effect stands where no token was handed down")
        return self.token

    def host_callback(
        self,
        function: Callable[..., tuple[Any, ...]],
        operands: Sequence[str],
        in_types: Sequence[ArrayType],
        out_types: Sequence[ArrayType],
        *,
        what: str,
        effect: bool = True,
        ordered: bool = False,
    ) -> list[str]:
        """A call of a Python function on NumPy arrays; the names of its results.

        ``what`` is the user's function behind it, for error messages. Without ``effect`` XLA may drop or share it.
        """
        target = _CALLBACK_TARGETS.get(self.platform)
        if target is None:
            raise FunctransTypeError(f"{what or 'a callback'} cannot be compiled for {self.platform}: CPU and GPU only")
        self.callbacks.append(HostCallback(function, what, self.where, ordered))
        token = [_TOKEN] if ordered else []
        ins, outs = [*token, *map(type_text, in_types)], [*token, *map(type_text, out_types)]
        layouts = ", ".join([*["dense<> : tensor<0xindex>"] * len(token), *map(_layout, in_types)])
        result_layouts = ", ".join([*["dense<> : tensor<0xindex>"] * len(token), *map(_layout, out_types)])
        given = [self.current_token(), *operands] if ordered else operands
        results = self.raw_many(
            f"stablehlo.custom_call @{target}({', '.join(given)}) {{api_version = 4 : i32, "
            f"has_side_effect = {'true' if effect else 'false'}, "
            f"backend_config = {{index = {self.first_callback + len(self.callbacks) - 1} : ui64}}, "
            f"operand_layouts = [{layouts}], result_layouts = [{result_layouts}]}} : "
            f"({', '.join(ins)}) -> ({', '.join(outs)})",
            len(outs),
        )
        if ordered:
            self.token = results.pop(0)
        return results


def _attribute(value: Any) -> str:
    """A letter is passed as its code, a NumPy integer in 32 bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"{ord(value)} : ui8"
    return f"{value} : i{32 if isinstance(value, np.int32) else 64}"


def _layout(type: ArrayType, columns: bool = False) -> str:
    """Row-major; with ``columns`` the matrices in the last two axes column by column."""
    axes = list(reversed(range(type.ndim)))
    if columns:
        axes[:2] = reversed(axes[:2])
    order = ", ".join(map(str, axes))
    return f"dense<[{order}]> : tensor<{type.ndim}xindex>" if type.ndim else "dense<> : tensor<0xindex>"


def _constant_key(value: Any) -> Any:
    return (value.__class__, repr(value))


class Module(NamedTuple):
    """The text of a program in StableHLO, the Python functions that it calls, by number, and where it has barriers."""

    text: str
    callbacks: list[HostCallback]
    barriers: Barriers


def _location(where: Where, name: str) -> str:
    """`` loc("sin"("file.py":12:0))``: the operation's name and the user's line."""
    if where is None:
        return f' loc("{name}")'
    file = where[0].co_filename.replace("\\", "\\\\").replace('"', '\\"')
    return f' loc("{name}"("{file}":{line_of(where)}:0))'


def lower_module(
    jaxpr: Jaxpr,
    name: str = "main",
    attributes: Sequence[str] = (),
    platform: str = "cpu",
    located: bool = False,
    first_callback: int = 0,
) -> Module:
    """The StableHLO module of a program. ``attributes``: one string an input, e.g. for donation; ``first_callback``:
    the number of the first Python function, where the module becomes part of another.
    """
    emitter = Emitter(platform, located, first_callback)
    main = emitter.function(jaxpr, "main", "public", attributes)
    text = f"module @{clean_symbol(name)} {{\n{main}\n" + "\n".join(emitter.functions) + "\n}\n"
    return Module(text, emitter.callbacks, emitter.barriers)


def lower(jaxpr: Jaxpr, name: str = "main", attributes: Sequence[str] = (), platform: str = "cpu") -> str:
    """The StableHLO text of a program."""
    return lower_module(jaxpr, name, attributes, platform).text


def clean_symbol(name: str) -> str:
    """A name as an MLIR symbol."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "main"
