"""Running programs on concrete values: a bounded cache of executables by structural key, and the log of compilations.

Arrays are inputs of a program, so new values never compile anything. A program is compiled at its first call.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrans.ir.program import Jaxpr, Literal, all_equations
from functrans.ir.types import array_type, type_of
from functrans.trace.builder import Tracer, apply_operation, escaped, set_operation_runner
from functrans.trace.primitive import Primitive
from functrans.trace.replay import trace
from functrans.trace.tracer import set_program_runner
from functrans.xla import jaxlib_compat
from functrans.xla.lower import lower

logger = logging.getLogger("functrans.compile")
_CAPACITY = 4096  # executables kept; the least recently used goes first
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
    """How many programs have been compiled in this process."""
    return _count


def compilation_log() -> list[Compilation]:
    """The latest compilations (at most 1000), oldest first."""
    return list(_log)


def note_compilation(name: str, equations: int, seconds: float, reason: str) -> None:
    """Enter a compilation into the log; ``functrans.config.log_compiles`` or the logger 'functrans.compile' shows it."""
    global _count
    with _lock:
        _count += 1
        _log.append(Compilation(name, equations, seconds, reason))
        del _log[:-1000]
    if os.environ.get("FUNCTRANS_LOG_COMPILES") or log_compiles:
        logger.warning("compiled %s (%d equations) in %.3f s: %s", name, equations, seconds, reason)


log_compiles = False


def set_log_compiles(on: bool) -> None:
    """Log every compilation with its reason."""
    global log_compiles
    log_compiles = on


class Program:
    """A jaxpr that can be called on concrete flat arguments; compiled at its first call."""

    __slots__ = ("_call", "donated", "jaxpr", "jit", "kept", "name", "reason")

    def __init__(self, jaxpr: Jaxpr, name: str, reason: str, donated: Sequence[bool] = (), jit: bool = False) -> None:
        self.jaxpr = jaxpr
        self.name = name
        self.reason = reason
        self.jit = jit  # compiled with XLA's usual passes, whatever the size
        self.donated = tuple(donated)
        self._call: Callable[..., Any] | None = None
        used = {a for eqn in jaxpr.equations for a in eqn.inputs} | set(jaxpr.outputs)
        kept = [i for i, v in enumerate(jaxpr.inputs) if v in used]
        self.kept: list[int] | None = None if len(kept) == len(jaxpr.inputs) else kept

    def __call__(self, *args: Any) -> list[Any]:
        if self.kept is not None:
            args = tuple([args[i] for i in self.kept])
        call = self._call
        if call is None:
            call = self._compile()
        return call(*args)  # type: ignore[no-any-return]

    def _compile(self) -> Callable[..., Any]:
        jaxpr = self.jaxpr
        if self.kept is not None:
            jaxpr = Jaxpr([jaxpr.inputs[i] for i in self.kept], jaxpr.equations, jaxpr.outputs)
        start = time.perf_counter()
        device = jaxlib_compat.default_device()
        attributes = [" {jax.buffer_donor = true}" if self._donates(i) else "" for i in self.kept or range(len(jaxpr.inputs))]
        text = lower(jaxpr, self.name, attributes)
        executable = jaxlib_compat.compile_text(text, device, disable_fusion=not self.jit and is_small(jaxpr))
        self._call = jaxlib_compat.executor(executable, jaxpr.in_types, jaxpr.out_types, device, self.name)
        note_compilation(self.name, len(jaxpr.equations), time.perf_counter() - start, self.reason)
        return self._call


    def _donates(self, i: int) -> bool:
        return i < len(self.donated) and self.donated[i]


def is_small(jaxpr: Jaxpr) -> bool:
    """Whether every value is so small that fusing operations does not pay for the time the fusion pass takes."""
    return all(v.type.size <= _SMALL for eqn in all_equations(jaxpr) for v in eqn.outputs)


_programs: OrderedDict[Any, Program] = OrderedDict()


def program(
    jaxpr: Jaxpr, name: str = "program", reason: str = "a new program", donated: Sequence[bool] = (), jit: bool = False
) -> Program:
    """The callable for a jaxpr: equal programs share one executable."""
    context = (jaxlib_compat.trace_context(), tuple(donated) if any(donated) else (), jit)
    memo_key = ("program", context)
    known = jaxpr.memo.get(memo_key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    key = (jaxpr.key, context)
    with _lock:
        known = _programs.get(key)
        if known is None:
            known = _programs[key] = Program(jaxpr, name, reason, donated, jit)
            if len(_programs) > _CAPACITY:
                _programs.popitem(last=False)
        else:
            _programs.move_to_end(key)
    jaxpr.memo[memo_key] = known
    return known


def run(jaxpr: Jaxpr, args: Sequence[Any], name: str = "program") -> list[Any]:
    """Run a program on concrete flat arguments."""
    return program(jaxpr, name)(*args)


_operations: OrderedDict[Any, Program] = OrderedDict()


def run_operation(op: Primitive, operands: Sequence[Any]) -> Any:
    """Run one primitive on concrete operands: what an operation outside of any trace does."""
    types = []
    for x in operands:
        if type(x) is Tracer:
            raise escaped(x)
        types.append(x.type if type(x) is Literal else type_of(x))
    args = [x for x in operands if type(x) is not Literal]
    key = (op, *[x if type(x) is Literal else t for x, t in zip(operands, types, strict=True)], jaxlib_compat.trace_context())
    known = _operations.get(key)
    if known is None:
        known = _operation_program(op, operands, types)
        with _lock:
            _operations[key] = known
            if len(_operations) > _CAPACITY:
                _operations.popitem(last=False)
    results = known(*args)
    return results if op.multiple else results[0]


def _operation_program(op: Primitive, operands: Sequence[Any], types: Sequence[Any]) -> Program:
    literals = {i: x for i, x in enumerate(operands) if type(x) is Literal}

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs)
        return apply_operation(op, [literals[i] if i in literals else next(rest) for i in range(len(operands))])

    free = [array_type(t.shape, t.dtype, t.weak_type) for i, t in enumerate(types) if i not in literals]
    jaxpr, _ = trace(function, free, f"a single {op.name}")
    return Program(jaxpr, op.name, "an operation on new types")


def clear() -> None:
    """Forget every executable."""
    with _lock:
        _programs.clear()
        _operations.clear()


set_operation_runner(run_operation)
set_program_runner(run)
