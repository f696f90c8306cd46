"""``MatrixKernel``: an operation on matrices that a library computes (LAPACK on CPU, cuSOLVER on GPU), and its family.

    class Cholesky(MatrixKernel):
        name = "cholesky"

        def shapes(self, x): return [x]                             # of one problem, the axes of the batch left out
        def reference(self, x): return [np.linalg.cholesky(x)]      # one problem, in NumPy: what the tests compare with
        def lower_cpu(self, kernels, x):                            # its text: see Kernels
            factor, info = kernels.lapack("potrf", [x], [x.type, kernels.info], {"uplo": "L"}, {0: 0})
            return [kernels.where(kernels.succeeded(info), factor)]
        def jvp(self, primals, tangents): ...                       # over [..., n, n], by the functions below

Each operand is ``[..., *problem]`` with one batch for all; ``vmap`` adds an axis to it. Where a kernel fails it gives
NaN for that matrix, as in JAX. Empty problems never reach a library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, Shape, array_type, kind_of, short_dtype
from functrans.ops.complex_numbers import conj, real
from functrans.ops.elementwise import mul, real_dtype
from functrans.ops.logic import eq, ge, le, select
from functrans.ops.products import dot_general
from functrans.ops.structural import broadcast_in_dim, broadcasted_iota, convert, spread, transpose
from functrans.trace.binding import bind, bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Value

DTYPES = tuple(map(np.dtype, ("float32", "float64", "complex64", "complex128")))
INT32 = np.dtype(np.int32)
_BOOL = np.dtype(np.bool_)
_LETTERS = dict(zip(DTYPES, "sdcz", strict=True))


def scipy_linalg() -> Any:
    """``scipy.linalg``, imported late: the references alone need it."""
    return importlib.import_module("scipy.linalg")


class MatrixKernel(Primitive):
    """An operation on matrices in the last axes of its operands, one for each place of their shared leading axes."""

    ranks: ClassVar[tuple[int, ...]] = (2,)  # of one problem: how many axes each operand has
    square: ClassVar[bool] = False  # the first operand must be
    accepts: ClassVar[Sequence[np.dtype[Any]]] = DTYPES

    # -- what a member says --------------------------------------------------------------------------------------

    def shapes(self, *shapes: Shape) -> list[Shape]:
        """Shapes of the operands of one problem -> of its results; raises through ``refuse``."""
        self.missing("shapes", "tracing")

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        """The dtypes of the results, by that of the operands."""
        return [dtype] * count

    def reference(self, *arrays: Any) -> Sequence[Any]:
        """One problem in NumPy -> the list of its results (NaN where it has no solution)."""
        self.missing("reference", "evaluation by NumPy")

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        """The results by LAPACK."""
        self.missing("lower_cpu", "execution on CPU")

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        """The results by cuSOLVER or its counterpart (``kernels.gpu``)."""
        raise self.unavailable(kernels)

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        """The results by operations that XLA has everywhere, or by the custom calls of TPU."""
        raise self.unavailable(kernels)

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        """The results where an operand has no elements: zeros, for most."""
        return [kernels.fill(0, t) for t in kernels.out_types]

    # -- what follows --------------------------------------------------------------------------------------------

    def infer(self, *types: ArrayType) -> Any:
        dtype, batch = types[0].dtype, types[0].shape[: types[0].ndim - self.ranks[0]]
        for i, (t, rank) in enumerate(zip(types, self.ranks, strict=True)):
            if t.ndim < rank:
                kind = {1: "a vector", 2: "a matrix"}[rank]
                raise FunctransTypeError(f"{self.name}: operand {i} must be {kind} or a batch of them, got type {t}")
            if t.dtype not in self.accepts:
                names = " or ".join(accepted.name for accepted in self.accepts)
                raise FunctransTypeError(
                    f"{self.name}: operand {i} has dtype {short_dtype(t.dtype)}; convert it to {names} by .astype(...)"
                )
            if t.dtype != dtype or t.shape[: t.ndim - rank] != batch:
                raise FunctransTypeError(
                    f"{self.name}: the operands must have one dtype and one batch of leading axes, got types "
                    f"{', '.join(map(str, types))}"
                )
        problems = [t.shape[t.ndim - rank :] for t, rank in zip(types, self.ranks, strict=True)]
        if self.square and problems[0][0] != problems[0][1]:
            raise FunctransValueError(f"{self.name}: square matrices are needed, got shape {types[0].shape}")
        shapes = self.shapes(*problems)
        weak = all(t.weak_type for t in types)
        outs = [
            array_type((*batch, *shape), to, weak and kind_of(to) in "fc")
            for shape, to in zip(shapes, self.dtypes(dtype, len(shapes)), strict=True)
        ]
        return outs if self.multiple else outs[0]

    def impl(self, *arrays: Any) -> Any:
        arrays = tuple(map(np.asarray, arrays))
        outs = self.infer(*[array_type(x.shape, x.dtype) for x in arrays])
        results = [np.zeros(t.shape, t.dtype) for t in (outs if self.multiple else [outs])]
        rank = self.ranks[0]
        for place in np.ndindex(arrays[0].shape[: arrays[0].ndim - rank]):
            for out, x in zip(results, self.reference(*[x[place] for x in arrays]), strict=True):
                out[place] = x
        return results if self.multiple else results[0]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        operands = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        if not self.multiple:
            return bind(self, *operands), True
        outs = bind_all(self, operands)
        return outs, [True] * len(outs)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        batch = in_types[0].shape[: in_types[0].ndim - self.ranks[0]]
        kernels = Kernels(emitter, batch, out_types)
        values = [Written(x, t.strong()) for x, t in zip(operands, in_types, strict=True)]
        if all(t.size == 0 for t in out_types):
            results: Sequence[Written] = [kernels.fill(0, t) for t in out_types]
        elif any(t.size == 0 for t in in_types):
            results = self.lower_empty(kernels, *values)
        else:
            by_platform = {"cpu": self.lower_cpu, "cuda": self.lower_gpu, "rocm": self.lower_gpu}
            results = by_platform.get(emitter.platform, self.lower_elsewhere)(kernels, *values)
        return [v.name for v in results] if self.multiple else results[0].name

    # -- errors --------------------------------------------------------------------------------------------------

    def refuse(self, what: str, *shapes: Shape) -> FunctransValueError:
        """The error for problems whose shapes do not fit."""
        return FunctransValueError(f"{self.name}: {what}, got {' and '.join(map(str, shapes))}")

    def unavailable(self, kernels: Kernels) -> FunctransTypeError:
        """The error for a platform without such a kernel."""
        return FunctransTypeError(
            f"{self.name} cannot be compiled for {kernels.emitter.platform}: there is no kernel for it there; run this "
            "part of the program on CPU (jax.device_put to jax.devices('cpu')[0])"
        )


# -- lowering ----------------------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """A value in the text being written: its name and its type."""

    name: str
    type: ArrayType

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        return self.type.shape


class Kernels:
    """Writes calls of kernels, and what goes before and behind them, for one batch of problems.

    ``batch``: the shared leading axes; ``out_types``: the types of the results asked for.
    """

    def __init__(self, emitter: EmitterProtocol, batch: Shape, out_types: Types) -> None:
        self.emitter = emitter
        self.batch = batch
        self.out_types = [t.strong() for t in out_types]
        self.info = array_type(batch, INT32)  # the type of what LAPACK says about each problem: 0 if all is well

    # -- calls ---------------------------------------------------------------------------------------------------

    def lapack(
        self,
        routine: str,
        operands: Sequence[Written],
        results: Sequence[ArrayType],
        attributes: Mapping[str, str | bool | int] | None = None,
        in_place: Mapping[int, int] | None = None,
    ) -> list[Written]:
        """LAPACK's routine for the dtype of the first operand ("potrf": spotrf, dpotrf, cpotrf, zpotrf)."""
        return self.call(f"lapack_{_LETTERS[operands[0].dtype]}{routine}_ffi", operands, results, attributes, in_place)

    def gpu(
        self,
        routine: str,
        operands: Sequence[Written],
        results: Sequence[ArrayType],
        attributes: Mapping[str, str | bool | int] | None = None,
        in_place: Mapping[int, int] | None = None,
    ) -> list[Written]:
        """The routine of CUDA or ROCm: "solver_potrf_ffi" is cusolver_potrf_ffi or hipsolver_potrf_ffi."""
        prefix = "hip" if self.emitter.platform == "rocm" else "cu"
        return self.call(prefix + routine, operands, results, attributes, in_place)

    def call(
        self,
        target: str,
        operands: Sequence[Written],
        results: Sequence[ArrayType],
        attributes: Mapping[str, str | bool | int] | None = None,
        in_place: Mapping[int, int] | None = None,
    ) -> list[Written]:
        """A kernel on arrays whose matrices stand in memory column by column.

        ``attributes``: a letter ("L") is passed as its code; ``in_place``: {number of an operand: of the
        result that may take its memory}.
        """
        names = self.emitter.kernel(
            target, [v.name for v in operands], [v.type for v in operands], results, len(self.batch),
            attributes or {}, in_place or {},
        )  # fmt: skip
        return list(map(Written, names, results))

    def custom_call(self, target: str, operands: Sequence[Written], results: Sequence[ArrayType]) -> list[Written]:
        """An operation that a compiler knows by name, without layouts or attributes."""
        names = ", ".join(v.name for v in operands)
        ins, outs = (", ".join(map(self.emitter.text, ts)) for ts in ([v.type for v in operands], results))
        text = f'stablehlo.custom_call @{target}({names}) {{backend_config = ""}} : ({ins}) -> ({outs})'
        return list(map(Written, self.emitter.raw_many(text, len(results)), results))

    # -- around calls --------------------------------------------------------------------------------------------

    def op(self, text: str, operands: Sequence[Written], result: ArrayType) -> Written:
        """``text %a, %b : types``."""
        names = ", ".join(v.name for v in operands)
        return Written(self.emitter.op(f"{text} {names}", [v.type for v in operands], result), result)

    def fill(self, value: Any, type: ArrayType) -> Written:
        """An array with every element equal to ``value``."""
        return Written(self.emitter.constant(value, type), type)

    def compare(self, how: str, x: Written, y: Written) -> Written:
        """``how``: EQ, LE ..., of integers."""
        to = array_type(x.shape, _BOOL)
        text = f"stablehlo.compare {how}, {x.name}, {y.name}, SIGNED"
        return Written(self.emitter.op(text, [x.type, y.type], to), to)

    def succeeded(self, info: Written) -> Written:
        """For each problem, whether LAPACK solved it."""
        return self.compare("EQ", info, self.fill(0, info.type))

    def accepted(self, info: Written) -> Written:
        """For each problem, whether LAPACK had no fault to find with its arguments; it may have found it singular."""
        return self.compare("GE", info, self.fill(0, info.type))

    def where(self, ok: Written, x: Written) -> Written:
        """The results of the problems that went well, NaN for the others."""
        nan = complex(np.nan, np.nan) if x.dtype.kind == "c" else np.nan
        which = self.broadcast(ok, x.shape, range(len(self.batch)))
        return Written(self.emitter.select(which.name, x.name, self.fill(nan, x.type).name, which.type, x.type), x.type)

    def broadcast(self, x: Written, shape: Shape, dims: Sequence[int]) -> Written:
        """Axis i of x at axis ``dims[i]`` of the shape, and repeated along the others."""
        to = array_type(shape, x.dtype)
        text = f"stablehlo.broadcast_in_dim {x.name}, dims = {list(dims)}"
        return Written(self.emitter.op(text, [x.type], to), to)

    def numbers(self, type: ArrayType, axis: int) -> Written:
        """0, 1, 2 ... along an axis."""
        axis %= type.ndim
        return Written(self.emitter.raw(f"stablehlo.iota dim = {axis} : {self.emitter.text(type)}"), type)

    def triangle(self, x: Written, lower: bool) -> Written:
        """The matrices with zeros above the diagonal, or below it."""
        numbers = array_type(x.shape, INT32)
        rows, columns = self.numbers(numbers, -2), self.numbers(numbers, -1)
        inside = self.compare("GE" if lower else "LE", rows, columns)
        zero = self.fill(0, x.type)
        return Written(self.emitter.select(inside.name, x.name, zero.name, inside.type, x.type), x.type)

    def identity(self, type: ArrayType) -> Written:
        """Ones on the diagonal, zeros elsewhere."""
        numbers = array_type(type.shape, INT32)
        inside = self.compare("EQ", self.numbers(numbers, -2), self.numbers(numbers, -1))
        one, zero = self.fill(1, type), self.fill(0, type)
        return Written(self.emitter.select(inside.name, one.name, zero.name, inside.type, type), type)

    def resized(self, x: Written, to: ArrayType) -> Written:
        """The matrices with rows and columns at their end cut off, or columns of zeros put there."""
        if x.shape == to.shape:
            return x
        kept = to.update(shape=(*x.shape[:-2], *[min(a, b) for a, b in zip(x.shape[-2:], to.shape[-2:], strict=True)]))
        if kept.shape != x.shape:
            ranges = ", ".join(f"0:{n}:1" for n in kept.shape)
            x = Written(self.emitter.op(f"stablehlo.slice {x.name} [{ranges}]", [x.type], kept), kept)
        if kept.shape == to.shape:
            return x
        zero, none = self.fill(0, array_type((), x.dtype)), [0] * x.type.ndim
        high = [b - a for a, b in zip(kept.shape, to.shape, strict=True)]
        text = f"stablehlo.pad {x.name}, {zero.name}, low = {none}, high = {high}, interior = {none}"
        return Written(self.emitter.op(text, [x.type, zero.type], to), to)

    def swapped(self, pivots: Written, to: ArrayType) -> Written:
        """The order of rows [..., m] after row i has changed places with row pivots[i], for each i in turn: a loop."""
        emitter, scalar = self.emitter, array_type((), INT32)
        count, size = pivots.shape[-1], to.shape[-1]
        single = pivots.type.size == count
        flat = array_type((pivots.type.size // count, size), INT32)
        rows = self.op("stablehlo.reshape", [pivots], array_type((flat.shape[0], count), INT32))
        column = array_type((flat.shape[0], 1), INT32)
        zero, one, numbers = self.fill(0, scalar), self.fill(1, scalar), self.numbers(flat, 1)
        end = self.fill(count, scalar)

        def at(x: Written, i: Written) -> Written:
            text = f"stablehlo.dynamic_slice {x.name}, {zero.name}, {i.name}, sizes = [{flat.shape[0]}, 1]"
            return Written(emitter.op(text, [x.type, scalar, scalar], column), column)

        def put(x: Written, new: Written, i: Written) -> Written:
            text = f"stablehlo.dynamic_update_slice {x.name}, {new.name}, {zero.name}, {i.name}"
            return Written(emitter.op(text, [x.type, column, scalar, scalar], x.type), x.type)

        def choose(which: Written, yes: Written, no: Written) -> Written:
            return Written(emitter.select(which.name, yes.name, no.name, which.type, yes.type), yes.type)

        def body(names: list[str]) -> list[str]:
            i, order = Written(names[0], scalar), Written(names[1], flat)
            pivot, mine = at(rows, i), at(order, i)
            if single:
                j = self.op("stablehlo.reshape", [pivot], scalar)
                order = put(put(order, at(order, j), i), mine, j)
            else:  # each row of the batch has a place of its own: look at all
                here = self.compare("EQ", numbers, self.broadcast(pivot, flat.shape, (0, 1)))
                kept = choose(here, order, self.fill(0, flat))
                sums = array_type(flat.shape[:1], INT32)
                other = Written(emitter.reduce("add", kept.name, zero.name, (1,), flat, sums), sums)
                other = self.op("stablehlo.reshape", [other], column)
                order = choose(here, self.broadcast(mine, flat.shape, (0, 1)), put(order, other, i))
            return [self.op("stablehlo.add", [i, one], scalar).name, order.name]

        test = emitter.region(
            [scalar, flat], lambda names: [self.compare("LT", Written(names[0], scalar), end).name],
            [array_type((), _BOOL)],
        )  # fmt: skip
        loop = emitter.region([scalar, flat], body, [scalar, flat])
        types = f"{emitter.text(scalar)}, {emitter.text(flat)}"
        _, order = emitter.raw_many(
            f'"stablehlo.while"({zero.name}, {numbers.name}) ({test}, {loop}) : ({types}) -> ({types})', 2
        )
        return self.op("stablehlo.reshape", [Written(order, flat)], to)

    def conjugated(self, x: Written) -> Written:
        """The complex conjugate."""
        if x.dtype.kind != "c":
            return x
        part = array_type(x.shape, real_dtype(x.dtype))
        minus = self.op("stablehlo.negate", [self.op("stablehlo.imag", [x], part)], part)
        return self.op("stablehlo.complex", [self.op("stablehlo.real", [x], part), minus], x.type)


# -- parts of matrices, for derivative rules --------------------------------------------------------------------------


def flip(x: Any) -> Any:
    """The transposed matrices."""
    n = x.ndim
    return transpose(x, (*range(n - 2), n - 1, n - 2))


def adjoint(x: Any) -> Any:
    """The conjugate transposed matrices."""
    return conj(flip(x))


def matmul(x: Any, y: Any) -> Any:
    """[..., m, k], [..., k, n] -> [..., m, n], in full precision."""
    batch = tuple(range(x.ndim - 2))
    return dot_general(x, y, (((x.ndim - 1,), (x.ndim - 2,)), (batch, batch)), "highest")


def _band(x: Any, inside: Callable[[Any, Any], Any], offset: int) -> Any:
    """The elements whose numbers of row (and offset) and column fulfil a comparison; zeros elsewhere."""
    rows, columns = x.shape[-2:]
    of_rows, of_columns = (broadcasted_iota(INT32, (rows, columns), axis) for axis in (0, 1))
    mask = inside(of_rows + offset if offset else of_rows, of_columns)
    mask = broadcast_in_dim(mask, x.shape, (x.ndim - 2, x.ndim - 1))
    return select(mask, x, 0.0)


def tril(x: Any, offset: int = 0) -> Any:
    """The elements on the diagonal ``offset`` and below it."""
    return _band(x, ge, offset)


def triu(x: Any, offset: int = 0) -> Any:
    """The elements on the diagonal ``offset`` and above it."""
    return _band(x, le, offset)


def identity(like: Any) -> Any:
    """Ones on the diagonal and zeros elsewhere, of the shape and dtype of square matrices."""
    rows, columns = like.shape[-2:]
    of_rows, of_columns = (broadcasted_iota(INT32, (rows, columns), axis) for axis in (0, 1))
    unit = convert(eq(of_rows, of_columns), like.dtype, False)
    return broadcast_in_dim(unit, like.shape, (like.ndim - 2, like.ndim - 1))


def diagonal_halved(x: Any) -> Any:
    """Square matrices with half their diagonal, its imaginary part left out."""
    rows, columns = (broadcasted_iota(INT32, x.shape, axis) for axis in (x.ndim - 2, x.ndim - 1))
    half = mul(x, 0.5) if x.dtype.kind != "c" else convert(mul(real(x), 0.5), x.dtype, False)
    return select(eq(rows, columns), half, x)
