"""Running programs on concrete values: a bounded cache of executables by structural key, and the log of compilations.

Arrays are inputs of a program, so new values never compile anything. A program is compiled at its first call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np

from functrans.errors import FunctransValueError
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, all_equations
from functrans.ir.snapshots import snapshot
from functrans.ir.types import ArrayType, array_type, float0, kind_of, type_of
from functrans.jaxlib_compat import array_values, compiler, configuration, executors
from functrans.jaxlib_compat.tracing import EVALUATION, current_trace, evaluates
from functrans.optimise.for_cpu import for_cpu
from functrans.optimise.key_arrays import has_keys, on_words, physical_type
from functrans.optimise.numbers import as_inputs
from functrans.optimise.recomputation import bounded
from functrans.optimise.segments import Segment, cut
from functrans.trace import leaks
from functrans.trace.binding import apply_operation
from functrans.trace.collection import CollectionPause
from functrans.trace.engine import engine
from functrans.trace.frames import where
from functrans.trace.jax_trace import crossing
from functrans.trace.primitive import Primitive, is_passing
from functrans.trace.replay import trace
from functrans.trace.tracer import check_reachable
from functrans.xla import nonfinite
from functrans.xla.compilation import compile_or_load
from functrans.xla.host_callbacks import original_error
from functrans.xla.lower import Module, lower_module
from functrans.xla.memory_maps import MemoryMaps
from functrans.xla.modules import platform_module
from functrans.xla.refusals import refused
from functrans.xla.shared_memory import donation, handing_on

logger = logging.getLogger("functrans.compile")
value_checks_on = configuration.value_checks.on
configuration.watch_leaks(leaks.watched)
_CAPACITY = 768  # executables kept; the least recently used goes first
_LONG = 100  # equations
_COPIED_RIGHTLY = frozenset(
    np.dtype(d)
    for d in ("bool", "int8", "int16", "int32", "int64", "float16", ml_dtypes.bfloat16, "float32", "float64")
)
_SMALL = 4096  # elements: below this XLA's fusion pass costs more than it saves on CPU


class Compilation(NamedTuple):
    """One entry of the compile log: name of the program, its number of equations, seconds, and why it was compiled."""

    name: str
    equations: int
    seconds: float
    reason: str


_log: list[Compilation] = []
_count = 0
_lock = threading.Lock()


def compilation_count() -> int:
    """How many programs have been compiled in this process.

    >>> import functrans as ft
    >>> before = ft.compilation_count()
    >>> slopes = [ft.grad(lambda x: x * x)(value) for value in (1.0, 2.0, 3.0)]
    >>> ft.compilation_count() - before <= 1
    True
    """
    return _count


def compilation_log() -> list[Compilation]:
    """The latest compilations (at most 1000), oldest first.

    >>> import functrans as ft
    >>> slope = ft.grad(lambda x: x * x * x)(1.0)
    >>> ft.compilation_log()[-1].equations > 0
    True
    """
    return list(_log)


def note_compilation(name: str, equations: int, seconds: float, reason: str, loaded: bool = False) -> None:
    """Enter a compilation into the log, or that an executable was ``loaded`` instead from the persistent cache;
    ``functrans.config.log_compiles`` or the logger 'functrans.compile' shows it.
    """
    global _count
    if loaded:
        reason = f"{reason}; loaded from the persistent cache"
    with _lock:
        _count += not loaded
        _log.append(Compilation(name, equations, seconds, reason))
        del _log[:-1000]
    if os.environ.get("FUNCTRANS_LOG_COMPILES") or log_compiles or configuration.logs_compilations():
        logger.warning(
            "%s %s (%d equations) in %.3f s: %s", "loaded" if loaded else "compiled", name, equations, seconds, reason
        )


log_compiles = False


def set_log_compiles(on: bool) -> None:
    """Log every compilation with its reason."""
    global log_compiles
    log_compiles = on


_UNWRITTEN = frozenset((float, int, bool, complex, array_values.ArrayImpl, array_values.KeyArray))


def settled(args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments with what NumPy arrays hold now: the caller may write to them as soon as the call has returned."""
    return tuple([snapshot(x) if isinstance(x, np.ndarray) else _concrete(x) for x in args])


def _concrete(x: Any) -> Any:
    """An argument of a program that runs; raises where it is a traced value that has left its trace."""
    check_reachable(x)
    return x


class Program:
    """A jaxpr that can be called on concrete flat arguments; compiled at its first call, for the device of its
    arguments.

    An un-jitted program that repeats itself or is very long runs as a chain of segments, however often it is called:
    compiled whole it would give other last bits.
    """

    __slots__ = (
        "_call",
        "_lock",
        "_others",
        "device",
        "donated",
        "executable",
        "jaxpr",
        "jit",
        "keep_unused",
        "kept",
        "name",
        "options",
        "reason",
        "waits",
    )

    def __init__(
        self,
        jaxpr: Jaxpr,
        name: str,
        reason: str,
        donated: Sequence[bool] = (),
        jit: bool = False,
        keep_unused: bool = False,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self.jaxpr = jaxpr
        self.name = name
        self.reason = reason
        self.jit = jit  # compiled with XLA's usual passes, whatever the size
        self.donated = tuple(donated)
        self.keep_unused = keep_unused
        self.options = options  # of XLA, by name
        self.waits = False  # for the end of each run, because Python functions are called in it
        self.device: Any = None
        self.executable: Any = None
        self._lock = threading.RLock()  # one thread compiles
        self._call: Callable[..., Any] | None = None
        self._others: dict[Any, Callable[..., Any]] = {}  # by device, where arguments live on another one
        used = {a for eqn in jaxpr.equations for a in eqn.inputs} | set(jaxpr.outputs)
        kept = [i for i, v in enumerate(jaxpr.inputs) if v in used or keep_unused]
        self.kept: list[int] | None = None if len(kept) == len(jaxpr.inputs) else kept

    def __call__(self, *args: Any) -> list[Any]:
        if current_trace() is not EVALUATION and not evaluates():
            return crossing.program(self.jaxpr, args, self.name)  # type: ignore[no-any-return]
        return self._looked_at(self.unchecked, args) if value_checks_on() else self.unchecked(*args)

    def _looked_at(self, call: Callable[..., list[Any]], args: Sequence[Any]) -> list[Any]:
        """The results, or the error about a NaN or an infinity among them."""
        with configuration.value_checks.suspended():
            results = call(*args)
            kinds = nonfinite.present_kinds()
            if any(nonfinite.is_bad(x, kinds) for x in results):
                raise nonfinite.explain(self.jaxpr, args, kinds, run, self.name)
        return results

    def unchecked(self, *args: Any) -> list[Any]:
        """The results, whatever they are."""
        if self.kept is not None:
            args = tuple([args[i] for i in self.kept])
        if not _UNWRITTEN.issuperset(map(type, args)):
            args = settled(args)
        try:
            call = self._call or self._first_compiled(args)
            return call(*args)  # type: ignore[no-any-return]
        except array_values.SpreadError:
            return crossing.over_devices(self._kept_jaxpr(), args, self.name)  # type: ignore[no-any-return]
        except ValueError as error:
            if jax.config.jax_disable_jit and not isinstance(error, FunctransValueError):  # type: ignore[attr-defined]
                with jax.disable_jit(
                    False
                ):  # it is the user's functions that are not to be jitted; programs run as ever
                    return call(*args)  # type: ignore[no-any-return]
            if not isinstance(error, FunctransValueError):
                raise
            try:
                device = array_values.placement(args)
            except array_values.SpreadError:
                return crossing.over_devices(self._kept_jaxpr(), args, self.name)  # type: ignore[no-any-return]
            if device == self.device:
                raise
            with self._lock:
                other = self._others.get(device)
                if other is None:
                    other = self._others[device] = self._compile(device)
            return other(*args)  # type: ignore[no-any-return]

    def _first_compiled(self, args: Sequence[Any]) -> Callable[..., Any]:
        with self._lock:
            if self._call is None:
                self.device = array_values.placement(args)
                self._call = self._compile(self.device)
            return self._call

    def _kept_jaxpr(self) -> Jaxpr:
        """The program of the inputs that the executable takes."""
        jaxpr = self.jaxpr
        if self.kept is None:
            return jaxpr
        return Jaxpr([jaxpr.inputs[i] for i in self.kept], jaxpr.equations, jaxpr.outputs)

    def module(self, platforms: Sequence[str], located: bool = False) -> Module:
        """The StableHLO module of the whole program. ``located``: with the user's file and line of each operation."""
        places = self.kept if self.kept is not None else range(len(self.jaxpr.inputs))
        donated = [i < len(self.donated) and self.donated[i] for i in places]
        with CollectionPause():
            jaxpr = on_words(self._kept_jaxpr())
            attributes = donation(jaxpr, donated) if any(donated) else [""] * len(donated)
            if self.jit or not is_small(jaxpr):  # small ones are compiled without fusion
                if tuple(platforms) == ("cpu",):
                    jaxpr = for_cpu(jaxpr)
                bound = configuration.recomputation_bound.value()
                if bound is not None:
                    jaxpr = bounded(jaxpr, bound)
            if len(platforms) == 1:
                return lower_module(jaxpr, self.name, attributes, platforms[0], located)
            return platform_module(jaxpr, self.name, platforms, attributes, located)

    def uncompiled(self, jaxpr: Jaxpr | None = None, name: str = "") -> Program:
        """The same program without its executable; of an equal jaxpr, with the lines and the name of its function."""
        return Program(
            self.jaxpr if jaxpr is None else jaxpr,
            name or self.name,
            self.reason,
            self.donated,
            self.jit,
            self.keep_unused,
            self.options,
        )

    def run_here(self, *args: Any) -> list[Any]:
        """Run on the device that the program was compiled for and no other."""
        return self._looked_at(self._here, args) if value_checks_on() else self._here(*args)

    def _here(self, *args: Any) -> list[Any]:
        return self._call(*settled(args if self.kept is None else [args[i] for i in self.kept]))  # type: ignore[misc, no-any-return]

    def compile_for(self, device: Any, module: Module, options: Mapping[str, Any] | None = None) -> None:
        """Compile the program ahead of its first call, as ``module`` says, for calls on this device."""
        self.device = device
        options = {**dict(self.options), **(options or {})}
        self._call = self._compile_module(self._kept_jaxpr(), module, device, time.perf_counter(), options)

    def _compile(self, device: Any) -> Callable[..., Any]:
        jaxpr = self._kept_jaxpr()
        segments = None if self.jit else cut(self.jaxpr)
        if segments is not None:
            return self._chain(jaxpr, segments, device)
        start = time.perf_counter()
        module = self.module([compiler.lowering_platform(device)])
        call = self._compile_module(jaxpr, module, device, start, dict(self.options))
        return call if self.jit else handing_on(call, jaxpr)

    def _compile_module(
        self, jaxpr: Jaxpr, module: Module, device: Any, start: float, options: Mapping[str, Any] | None = None
    ) -> Callable[..., Any]:
        self.waits = bool(module.callbacks)
        without_fusion = not self.jit and is_small(jaxpr)
        key = None if self.jit or self.waits or options else _text_key(module.text, device, without_fusion)
        executable = _executables.find(key) if key else None
        if executable is None:
            memory_maps.before_compiling()
            try:
                executable, loaded = compile_or_load(
                    module.text,
                    device,
                    disable_fusion=without_fusion,
                    barriers=module.barriers,
                    extra_options=options,
                    callbacks=module.callbacks,
                )
            except jax.errors.JaxRuntimeError as error:
                platform = compiler.lowering_platform(device)
                explained = refused(error, lambda: self.uncompiled(jaxpr).module([platform], True).text)
                if explained is None:
                    raise
                raise explained from error
            seconds = time.perf_counter() - start
            note_compilation(self.name, len(jaxpr.equations), seconds, self.reason, loaded)
            if key:
                executable = _executables.add(key, executable)
        if device == self.device:
            self.executable = executable
        on_error = original_error if self.waits else None
        if has_keys(jaxpr):
            call = executors.key_executor(
                executable, jaxpr.in_types, jaxpr.out_types, physical_type, device, self.name, on_error
            )
        else:
            call = executors.executor(executable, jaxpr.in_types, jaxpr.out_types, device, self.name, on_error)
        return call if all(t.dtype != float0 for t in jaxpr.out_types) else _with_float0(call, jaxpr.out_types)

    def record(self, out_tree: Any, captured: Sequence[Any], leaves: Sequence[Any], snapshots: bool = False) -> Any:
        """What C++ needs to run the executable itself on ``captured`` and the leaves of the arguments; None where the
        call has to come back to Python. ``snapshots``: nobody writes to the NumPy arrays among the leaves, ever.
        """
        if self.waits or value_checks_on() or has_keys(self.jaxpr):
            return None
        if not snapshots and any(isinstance(x, np.ndarray) for x in leaves):
            return None  # C++ would read them where they lie, after the call
        if not all(isinstance(x, jax.Array | np.ndarray | np.generic | int | float | complex) for x in leaves):
            return None
        if any(t.dtype == float0 for t in (*self.jaxpr.in_types, *self.jaxpr.out_types)):
            return None
        arrays = [x for x in (*captured, *leaves) if isinstance(x, jax.Array)]
        if self.executable is None or any(array_values.is_spread(x) for x in arrays):
            return None
        if arrays and array_values.placement(arrays) != self.device:
            return None
        jaxpr = self.jaxpr
        taken = None if self.kept is None else set(self.kept)
        kept = None if taken is None else [i in taken for i in range(len(jaxpr.inputs))]
        committed = any(getattr(x, "committed", False) for x in arrays)
        found = executors.fast_path_record(
            self.executable, out_tree, jaxpr.in_types, jaxpr.out_types, self.device, kept, committed
        )
        return found._replace(const_args=captured)

    def _chain(self, jaxpr: Jaxpr, segments: Sequence[Segment], device: Any) -> Callable[..., Any]:
        """One executable a segment, called in order; a value is let go after its last use."""
        steps = [
            (program(s.jaxpr, f"{self.name}_segment", f"a segment of {self.name}"), s.inputs, s.outputs)
            for s in segments
        ]
        last: dict[Any, int] = {}
        for k, (_, ins, _) in enumerate(steps):
            last.update((a, k) for a in ins)
        for a in jaxpr.outputs:
            last.pop(a, None)
        dying: list[list[Any]] = [[] for _ in steps]
        for a, k in last.items():
            dying[k].append(a)

        def call(*args: Any) -> list[Any]:
            values: dict[Any, Any] = dict(zip(jaxpr.inputs, args, strict=True))
            for (run_segment, ins, outs), dead in zip(steps, dying, strict=True):
                results = run_segment(*[values[a] for a in ins])
                values.update(zip(outs, results, strict=True))
                for a in dead:
                    del values[a]
            return [
                array_values.put(a.value, a.type, device)
                if type(a) is Literal
                else as_result(values[a], a.type, device)
                for a in jaxpr.outputs
            ]

        return call


def _with_float0(call: Callable[..., list[Any]], types: Sequence[ArrayType]) -> Callable[..., list[Any]]:
    """Tangents of integers hold no information: XLA computes a bool, users get NumPy's float0, as from JAX."""

    def run(*args: Any) -> list[Any]:
        return [np.zeros(t.shape, float0) if t.dtype == float0 else x for x, t in zip(call(*args), types, strict=True)]

    return run


def is_small(jaxpr: Jaxpr) -> bool:
    """Whether the program is long and its values small: then XLA's fusion pass costs more than it saves.

    Measured on chains of sin, mul, div: with 50 equations fusion compiles faster (0.33 s against 0.45 s), with 360
    slower (3.5 s against 0.54 s), and the fused program runs slower too. Complex values, and those of several axes
    that are not ``_COPIED_RIGHTLY``, always go through it: without, XLA's CPU backend copies them wrongly where a
    transpose changes their layout, as in what it makes of a scatter (jaxlib 0.10.2).
    """
    if len(jaxpr.equations) <= _LONG:
        return False
    types = [*jaxpr.in_types, *[v.type for eqn in all_equations(jaxpr) for v in eqn.outputs]]
    return all(
        t.size <= _SMALL and kind_of(t.dtype) != "c" and (t.ndim < 2 or t.dtype in _COPIED_RIGHTLY) for t in types
    )


# Un-jitted code makes rules and lambdas anew at each call; programs that hold them are never equal, their texts are.
_executables = Cache(256)


def _text_key(text: str, device: Any, without_fusion: bool) -> Any:
    return hashlib.sha256(text.encode()).digest(), device, without_fusion, configuration.trace_context()


_programs = Cache(2 * _CAPACITY)


def program(
    jaxpr: Jaxpr,
    name: str = "program",
    reason: str = "a new program",
    donated: Sequence[bool] = (),
    jit: bool = False,
    keep_unused: bool = False,
    options: tuple[tuple[str, Any], ...] = (),
) -> Program:
    """The callable for a jaxpr: equal programs share one executable, if they are cut alike."""
    places = tuple([eqn.where for eqn in jaxpr.equations]) if value_checks_on() else ()  # for the error's line
    context = (configuration.trace_context(), places, tuple(donated) if any(donated) else (), jit, keep_unused, options)

    def make() -> Program:
        segments = None if jit else cut(jaxpr)  # by the user's lines, which the jaxpr's key does not hold
        key = (jaxpr.key, context, segments and tuple([len(s.jaxpr.equations) for s in segments]))
        known: Program | None = _programs.find(key)
        if known is not None:
            return known
        made = Program(jaxpr, name, reason, donated, jit, keep_unused, options)
        return made if is_passing(jaxpr) else _programs.add(key, made)

    return jaxpr.remember(("program", context), make)


def run(jaxpr: Jaxpr, args: Sequence[Any], name: str = "program") -> list[Any]:
    """Run a program on concrete flat arguments."""
    return program(jaxpr, name)(*args)


def run_demanded(jaxpr: Jaxpr, args: Sequence[Any]) -> list[Any]:
    """Run what a value asked for while tracing needs."""
    general, numbers = as_inputs(jaxpr)
    return run(general, [*args, *map(number, numbers)], "demanded")


def number(literal: Literal) -> Any:
    """A number written in the code as an argument of a program."""
    device = configuration.default_device()
    known = literal.argument
    if known is None or known[0] is not device:
        value = np.asarray(literal.value, literal.type.dtype)
        known = literal.argument = device, array_values.put(value, literal.type, device)
    return known[1]


_in_jax = Cache(2 * _CAPACITY)  # programs of single operations in traces of JAX, with their numbers
_operations = Cache(2 * _CAPACITY)  # (program, its numbers) of single operations, by what they are applied to


def run_operation(op: Primitive, operands: Sequence[Any]) -> Any:
    """Run one primitive on concrete operands: what an operation outside of any trace does."""
    types = []
    for x in operands:
        if type(x) is not Literal and type(x) is not array_values.ArrayImpl:
            check_reachable(x)
        types.append(x.type if type(x) is Literal else type_of(x))
    args = [x for x in operands if type(x) is not Literal]
    key = (
        op,
        *[x if type(x) is Literal else t for x, t in zip(operands, types, strict=True)],
        configuration.trace_context(),
    )
    if not evaluates():
        jaxpr = _in_jax.find(key) or _in_jax.add(key, _operation_jaxpr(op, operands, types))
        results = crossing.program(jaxpr, args, op.name)
        return results if op.multiple else results[0]
    found = _operations.get(key) or _operations.find(key)
    if found is None:
        general, numbers = as_inputs(_operation_jaxpr(op, operands, types))
        found = _operations.add(key, (program(general, op.name, "an operation on new types"), numbers))
    known, numbers = found
    if numbers:
        args += map(number, numbers)
    if value_checks_on():
        with configuration.value_checks.suspended():
            results = known(*args)
        kinds = nonfinite.present_kinds()
        if any(nonfinite.is_bad(x, kinds) for x in results):
            place = where(2)  # the program was made for another line, perhaps
            jaxpr = known.jaxpr
            here = [Equation(eqn.op, eqn.inputs, eqn.outputs, place) for eqn in jaxpr.equations]
            with configuration.value_checks.suspended():
                raise nonfinite.explain(Jaxpr(jaxpr.inputs, here, jaxpr.outputs), args, kinds, run, op.name)
    else:
        results = known(*args)
    return results if op.multiple else results[0]


def _operation_jaxpr(op: Primitive, operands: Sequence[Any], types: Sequence[Any]) -> Jaxpr:
    literals = {i: x for i, x in enumerate(operands) if type(x) is Literal}

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs)
        return apply_operation(op, [literals[i] if i in literals else next(rest) for i in range(len(operands))])

    free = [array_type(t.shape, t.dtype, t.weak_type) for i, t in enumerate(types) if i not in literals]
    return trace(function, free, f"a single {op.name}")[0]


def as_result(x: Any, type_: ArrayType, device: Any) -> Any:
    """An input that is also an output, as an array."""
    return x if isinstance(x, jax.Array) else array_values.put(x, type_, device)


caches = [_programs, _operations, _in_jax, _executables]  # and those of rooms above


def clear() -> None:
    """Forget every executable."""
    for cache in caches:
        cache.clear()


memory_maps = MemoryMaps(clear)


engine.run_operation = run_operation
engine.run_program = run_demanded
