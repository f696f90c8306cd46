"""Programs evaluated by NumPy instead of XLA, so that a random program costs its tracing and not its compilation.

`evaluate` runs a jaxpr of JAX, equation by equation, by a NumPy function for each of the commonest primitives and by
JAX itself for the rest. `interpreted` is a context in which functrans runs its finished programs by the reference
implementations of its own primitives: everything before that (tracing, transforms, keys, families of programs) happens
as ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import jax
import ml_dtypes
import numpy as np

import functrans
from functrans.ir.types import float0
from functrans.jaxlib_compat import array_values
from functrans.trace.replay import evaluate as evaluate_ours
from functrans.xla import execute

_UNARY = "sin cos tan tanh sinh cosh exp exp2 log log1p expm1 sqrt square sign floor ceil abs real imag cbrt".split()
_NUMPY: dict[str, Callable[..., Any]] = {name: getattr(np, name) for name in _UNARY}
_NUMPY |= {
    "neg": np.negative, "not": np.invert, "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply,
    "max": np.maximum, "min": np.minimum, "atan2": np.arctan2, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "pow": np.power, "is_finite": np.isfinite, "copy": np.copy, "copy_p": np.copy,
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "rsqrt": lambda x: 1 / np.sqrt(x),
    "conj": np.conj, "complex": lambda re, im: re + 1j * im, "stop_gradient": lambda x: x,
    "optimization_barrier": lambda *xs: xs, "pvary": lambda *xs: xs,
}  # fmt: skip


def _rule(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _RULES[name] = function
        return function

    return register


_RULES: dict[str, Callable[..., Any]] = {}
"""(operands, parameters, evaluation) -> result, for primitives whose parameters matter."""


@_rule("integer_pow")
def _integer_pow(x: Any, *, y: int, **_: Any) -> Any:
    power = np.ones_like(x)
    for _ in range(abs(y)):
        power = power * x
    return power if y >= 0 else 1 / power


@_rule("select_n")
def _select(which: Any, *cases: Any, **_: Any) -> Any:
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(np.broadcast_to(which, cases[0].shape), cases)


@_rule("clamp")
def _clamp(low: Any, x: Any, high: Any, **_: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


@_rule("broadcast_in_dim")
def _broadcast(x: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    sizes = [1] * len(shape)
    for i, d in enumerate(broadcast_dimensions):
        sizes[d] = x.shape[i]
    return np.broadcast_to(x.reshape(sizes), shape)


@_rule("reshape")
def _reshape(x: Any, *, new_sizes: Any, dimensions: Any, **_: Any) -> Any:
    return np.transpose(x, dimensions).reshape(new_sizes) if dimensions is not None else x.reshape(new_sizes)


@_rule("squeeze")
def _squeeze(x: Any, *, dimensions: Any, **_: Any) -> Any:
    return np.squeeze(x, tuple(dimensions))


@_rule("expand_dims")
def _expand(x: Any, *, dimensions: Any, **_: Any) -> Any:
    return np.expand_dims(x, tuple(dimensions))


@_rule("transpose")
def _transpose(x: Any, *, permutation: Any, **_: Any) -> Any:
    return np.transpose(x, permutation)


@_rule("rev")
def _reversed(x: Any, *, dimensions: Any, **_: Any) -> Any:
    return np.flip(x, tuple(dimensions))


@_rule("concatenate")
def _concatenate(*xs: Any, dimension: int, **_: Any) -> Any:
    return np.concatenate(xs, dimension)


@_rule("stack")
def _stack(*xs: Any, axis: int, **_: Any) -> Any:
    return np.stack(xs, axis)


@_rule("slice")
def _slice(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any, **_: Any) -> Any:
    steps = strides or (1,) * x.ndim
    return x[tuple(slice(a, b, c) for a, b, c in zip(start_indices, limit_indices, steps, strict=True))]


def _starts(indices: Any, shape: Any, sizes: Any) -> tuple[slice, ...]:
    found = [int(np.clip(int(i), 0, n - s)) for i, n, s in zip(indices, shape, sizes, strict=True)]
    return tuple(slice(a, a + s) for a, s in zip(found, sizes, strict=True))


@_rule("dynamic_slice")
def _dynamic_slice(x: Any, *starts: Any, slice_sizes: Any, **_: Any) -> Any:
    return x[_starts(starts, x.shape, slice_sizes)]


@_rule("dynamic_update_slice")
def _dynamic_update_slice(x: Any, update: Any, *starts: Any, **_: Any) -> Any:
    result = x.copy()
    result[_starts(starts, x.shape, update.shape)] = update
    return result


@_rule("split")
def _split(x: Any, *, sizes: Any, axis: int, **_: Any) -> Any:
    return np.split(x, np.cumsum(sizes)[:-1], axis)


@_rule("unstack")
def _unstack(x: Any, *, axis: int, **_: Any) -> Any:
    return [np.take(x, i, axis) for i in range(x.shape[axis])]


@_rule("pad")
def _pad(x: Any, value: Any, *, padding_config: Any, **_: Any) -> Any:
    for axis, (low, high, interior) in enumerate(padding_config):
        size = x.shape[axis]
        spread = max(size + interior * (size - 1), 0)
        total = max(low, 0) + spread + max(high, 0)
        wide = np.full((*x.shape[:axis], total, *x.shape[axis + 1 :]), value, x.dtype)
        before = (slice(None),) * axis
        if size:
            wide[(*before, slice(max(low, 0), max(low, 0) + spread, interior + 1))] = x
        x = wide[(*before, slice(max(-low, 0), total - max(-high, 0)))]
    return x


def _reduction(function: Any) -> Callable[..., Any]:
    return lambda x, *, axes, **_: function(x, axis=tuple(axes))


_RULES |= {
    "reduce_sum": lambda x, *, axes, **_: _wide_sum(x, tuple(axes)),
    "reduce_max": lambda x, *, axes, **_: np.max(x, axis=tuple(axes), initial=_least(x.dtype)),
    "reduce_min": lambda x, *, axes, **_: np.min(x, axis=tuple(axes), initial=_greatest(x.dtype)),
    "reduce_prod": _reduction(np.prod), "reduce_and": _reduction(np.all), "reduce_or": _reduction(np.any),
    "argmax": lambda x, *, axes, **_: np.argmax(x, axis=axes[0]),
    "argmin": lambda x, *, axes, **_: np.argmin(x, axis=axes[0]),
    "iota": lambda *, dtype, shape, dimension, **_: np.broadcast_to(
        np.arange(shape[dimension]).reshape([-1 if i == dimension else 1 for i in range(len(shape))]), shape
    ),
}  # fmt: skip


def _wide_sum(x: Any, axes: tuple[int, ...]) -> Any:
    if not axes:
        return x
    return np.sum(x.astype(np.float32) if x.dtype in (np.float16, ml_dtypes.bfloat16) else x, axis=axes)


def _least(dtype: Any) -> Any:
    if dtype.kind == "b":
        return False
    return -np.inf if jax.numpy.issubdtype(dtype, np.floating) else np.iinfo(dtype).min


def _greatest(dtype: Any) -> Any:
    if dtype.kind == "b":
        return True
    return np.inf if jax.numpy.issubdtype(dtype, np.floating) else np.iinfo(dtype).max


@_rule("cumsum")
def _cumsum(x: Any, *, axis: int, reverse: bool, **_: Any) -> Any:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


@_rule("dot_general")
def _dot_general(x: Any, y: Any, *, dimension_numbers: Any, **_: Any) -> Any:
    (contract_x, contract_y), (batch_x, batch_y) = dimension_numbers
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names_x, names_y = [""] * x.ndim, [""] * y.ndim
    for i, j in [*zip(batch_x, batch_y, strict=True), *zip(contract_x, contract_y, strict=True)]:
        names_x[i] = names_y[j] = next(letters)
    batch = [names_x[i] for i in batch_x]
    names_x, names_y = [n or next(letters) for n in names_x], [n or next(letters) for n in names_y]
    free = [n for i, n in enumerate(names_x) if i not in (*batch_x, *contract_x)]
    free += [n for i, n in enumerate(names_y) if i not in (*batch_y, *contract_y)]
    wide: Any = np.complex128 if x.dtype.kind == "c" or y.dtype.kind == "c" else np.float64
    if x.dtype.kind in "iub":
        wide = np.int64
    return np.einsum(f"{''.join(names_x)},{''.join(names_y)}->{''.join(batch + free)}", x.astype(wide), y.astype(wide))


class Refused(Exception):
    """JAX itself cannot run an equation of its program; the cause says why."""


class Evaluation:
    """One run of a JAX program. ``wide``: every float and complex number in double precision, whatever its type says.
    """

    def __init__(self, wide: bool = False) -> None:
        self.wide = wide

    def dtype(self, dtype: Any) -> Any:
        if self.wide and jax.numpy.issubdtype(dtype, np.inexact):
            return np.dtype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
        return dtype

    def closed(self, jaxpr: Any, args: Sequence[Any]) -> list[Any]:
        return self.run(jaxpr.jaxpr, jaxpr.consts, args)

    def array(self, x: Any, aval: Any) -> Any:
        return np.asarray(x).astype(self.dtype(aval.dtype), copy=False)

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = {}
        for var, value in zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True):
            values[var] = self.array(value, var.aval)

        def read(atom: Any) -> Any:
            return self.array(atom.val, atom.aval) if hasattr(atom, "val") else values[atom]

        for eqn in jaxpr.eqns:
            if eqn.outvars and all(str(v) == "_" for v in eqn.outvars):
                continue
            operands = [read(a) for a in eqn.invars]
            results = self.equation(eqn, operands)
            results = results if eqn.primitive.multiple_results else [results]
            for var, result in zip(eqn.outvars, results, strict=True):
                if var.aval.dtype != float0:
                    result = self.array(result, var.aval)
                    assert result.shape == var.aval.shape, (eqn, result.shape)
                values[var] = result
        return [read(a) for a in jaxpr.outvars]

    def equation(self, eqn: Any, operands: list[Any]) -> Any:
        name, params = eqn.primitive.name, eqn.params
        simple = _NUMPY.get(name)
        if simple is not None:
            return simple(*operands)
        rule = _RULES.get(name)
        if rule is not None:
            return rule(*operands, **params)
        if name == "div" and jax.numpy.issubdtype(operands[0].dtype, np.inexact):
            return operands[0] / operands[1]
        if name == "convert_element_type":
            return self.converted(operands[0], params["new_dtype"])
        control = _CONTROL.get(name)
        if control is not None:
            return control(self, eqn, operands)
        return self.by_jax(eqn, operands)

    def converted(self, x: Any, dtype: Any) -> Any:
        inexact = jax.numpy.issubdtype(x.dtype, np.inexact)
        if inexact and x.dtype.kind != "c" and jax.numpy.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            bounded = np.clip(np.nan_to_num(x.astype(np.float64)), float(info.min), float(info.max))
            exact = np.where(bounded >= float(info.max), info.max, np.trunc(bounded).astype(object))
            return exact.astype(dtype)
        if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
            x = x.real
        return x.astype(self.dtype(dtype))

    def by_jax(self, eqn: Any, operands: list[Any]) -> Any:
        with jax.enable_x64(True):
            params = dict(eqn.params)
            if self.wide and params.get("preferred_element_type") is not None:
                params["preferred_element_type"] = self.dtype(params["preferred_element_type"])
            try:
                return eqn.primitive.bind(*[jax.numpy.asarray(x) for x in operands], **params)
            except Exception as error:
                raise Refused(eqn.primitive.name) from error


def _scan(run: Evaluation, eqn: Any, operands: list[Any]) -> list[Any]:
    p = eqn.params
    if "num_consts" in p:
        fixed, count = p["num_consts"], p["num_carry"]
    else:  # from jax 0.12 on, as trees of the constants, the carry and the slices
        fixed, count = (len(list(part)) for part in p["ft_in"].unpack()[:2])
    consts, carry, xs = operands[:fixed], operands[fixed : fixed + count], operands[fixed + count :]
    avals = [v.aval for v in eqn.outvars[count:]]
    ys: list[list[Any]] = [[None] * p["length"] for _ in avals]
    for i in reversed(range(p["length"])) if p["reverse"] else range(p["length"]):
        results = run.closed(p["jaxpr"], [*consts, *carry, *[x[i] for x in xs]])
        carry = results[:count]
        for column, y in zip(ys, results[count:], strict=True):
            column[i] = y
    return [*carry, *[np.stack(c) if c else np.zeros(a.shape) for c, a in zip(ys, avals, strict=True)]]


def _while(run: Evaluation, eqn: Any, operands: list[Any]) -> list[Any]:
    p = eqn.params
    tests, fixed = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    carry, steps = operands[fixed:], 0
    while np.any(going := run.closed(p["cond_jaxpr"], [*operands[:tests], *carry])[0]):
        new = run.closed(p["body_jaxpr"], [*operands[tests:fixed], *carry])
        lanes = [going.reshape(going.shape + (1,) * (np.ndim(x) - going.ndim)) for x in carry]
        carry = [np.where(lane, a, b) for lane, a, b in zip(lanes, new, carry, strict=True)]
        steps += 1
        assert steps < 10_000, "a loop that does not end"
    return carry


def _cond(run: Evaluation, eqn: Any, operands: list[Any]) -> list[Any]:
    branches = eqn.params["branches"]
    return run.closed(branches[int(np.clip(int(operands[0]), 0, len(branches) - 1))], operands[1:])


_CONTROL: dict[str, Callable[[Evaluation, Any, list[Any]], Any]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "jit": lambda run, eqn, operands: run.closed(eqn.params["jaxpr"], operands),
    "pjit": lambda run, eqn, operands: run.closed(eqn.params["jaxpr"], operands),
    "closed_call": lambda run, eqn, operands: run.closed(eqn.params["call_jaxpr"], operands),
    "custom_jvp_call": lambda run, eqn, operands: run.closed(eqn.params["call_jaxpr"], operands),
    "custom_vjp_call": lambda run, eqn, operands: run.closed(eqn.params["call_jaxpr"], operands),
    "remat2": lambda run, eqn, operands: run.run(eqn.params["jaxpr"], (), operands),
    "checkpoint": lambda run, eqn, operands: run.run(eqn.params["jaxpr"], (), operands),
}


def evaluate(jaxpr: Any, wide: bool = False) -> list[Any]:
    """The results of a closed jaxpr of JAX without arguments, as NumPy arrays."""
    with np.errstate(all="ignore"):
        return [np.array(x) for x in Evaluation(wide).closed(jaxpr, [])]  # some are arguments, which may change


def _interpreter(program: execute.Program) -> Callable[..., list[Any]]:
    jaxpr = program._kept_jaxpr()
    device = program.device

    def call(*args: Any) -> list[Any]:
        arrays = [
            np.zeros(t.shape, bool) if t.dtype == float0 else np.array(x).astype(t.dtype, copy=False)
            for x, t in zip(args, jaxpr.in_types, strict=True)
        ]
        with np.errstate(all="ignore"):
            results = evaluate_ours(jaxpr, arrays)
        return [
            np.zeros(t.shape, float0) if t.dtype == float0 else _checked(x, t, device)
            for x, t in zip(results, jaxpr.out_types, strict=True)
        ]

    return call


def _checked(x: Any, type_: Any, device: Any) -> Any:
    x = np.asarray(x)
    assert (x.shape, x.dtype) == (type_.shape, type_.dtype), f"the reference gave {x.dtype}{x.shape} for {type_}"
    return array_values.put(x, type_, device)


def _compile_nothing(self: execute.Program, device: Any, whole: bool = False) -> Any:
    self.waits = True  # the dispatcher in C++ has no executable that it could run by itself
    return _interpreter(self)


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """functrans' programs run by NumPy; programs compiled before or after are not used inside, nor these outside."""
    functrans.clear_caches()
    with mock.patch.object(execute.Program, "_compile", _compile_nothing):
        yield
    functrans.clear_caches()
