"""The two systems under measurement behind one interface: `JaxSide` and `FunctransSide`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy
import numpy

from benchmarks.scenarios import Scenario

MAPPED_COPIES = 8

Function = Callable[..., Any]


class Side(ABC):
    """What a measurement may ask of a system. `transforms` has grad, jvp, jacfwd, vmap, ... as JAX."""

    name: str
    namespace: Any
    transforms: Any
    calls_until_warm = 2  # un-jitted calls of one program before its cost is steady

    @abstractmethod
    def trace(self, function: Function, args: tuple[Any, ...]) -> Any:
        """The program of `function`, derivatives taken, before lowering."""

    @abstractmethod
    def lower(self, traced: Any) -> Any:
        """The StableHLO module of what `trace` returned."""

    @abstractmethod
    def compile(self, lowered: Any) -> Any:
        """The executable of what `lower` returned."""

    @abstractmethod
    def equation_count(self, function: Function, args: tuple[Any, ...]) -> int:
        """Equations of the traced program; of a call, those of the callee and not the call itself."""

    @abstractmethod
    def compile_count(self) -> int:
        """How many XLA programs this system has compiled so far in this process."""

    @abstractmethod
    def clear_caches(self) -> None:
        """Forget everything, down to the executables of single operations."""

    @abstractmethod
    def forget(self) -> None:
        """Forget what would make a new function object with a known program cheap, and no more than that."""

    def variant(self, scenario: Scenario, variant: str) -> tuple[Function, tuple[Any, ...]]:
        """A fresh function object for `variant` of `scenario`, and its arguments as `jax.Array`s."""
        f, args = scenario.build(self.namespace)
        return transformed(self.transforms, f, variant, scenario.mapped), variant_args(args, variant, scenario.mapped)


def transformed(transforms: Any, f: Function, variant: str, mapped: tuple[int | None, ...]) -> Function:
    """`variant` of f by `transforms`, a module with grad, jvp, jacfwd, vmap and hessian as JAX has them."""
    if variant == "f":
        return f
    if variant == "grad":
        return transforms.grad(f)
    if variant == "jacobian":
        return transforms.jacfwd(f)
    if variant == "vmap(grad)":
        return transforms.vmap(transforms.grad(f), mapped)
    if variant == "hessian":
        return transforms.hessian(f)
    if variant == "hvp":

        def hvp(primal: Any, tangent: Any, *rest: Any) -> Any:
            gradient = lambda value: transforms.grad(f)(value, *rest)
            return transforms.jvp(gradient, (primal,), (tangent,))[1]

        return hvp
    raise ValueError(f"unknown variant {variant!r}")


def variant_args(args: tuple[Any, ...], variant: str, mapped: tuple[int | None, ...]) -> tuple[Any, ...]:
    """The arguments of a variant: mapped ones stacked, copy i scaled by 1 + i / 100; for `hvp` a tangent second."""
    if variant == "vmap(grad)":

        def stack(leaf: numpy.ndarray) -> numpy.ndarray:
            return numpy.stack([(leaf * (1 + copy / 100)).astype(leaf.dtype) for copy in range(MAPPED_COPIES)])

        args = tuple(
            arg if axis is None else jax.tree_util.tree_map(stack, arg) for arg, axis in zip(args, mapped, strict=True)
        )
    elif variant == "hvp":

        def tangent(leaf: numpy.ndarray) -> numpy.ndarray:
            return numpy.linspace(0.05, 0.15, leaf.size, dtype=leaf.dtype).reshape(leaf.shape)

        args = (args[0], jax.tree_util.tree_map(tangent, args[0]), *args[1:])
    return jax.device_put(args)


class JaxSide(Side):
    """JAX, the yardstick."""

    namespace = jax.numpy
    transforms = jax

    def __init__(self, name: str = "jax") -> None:
        self.name = name
        self._compiled = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self._compiled += 1

    def trace(self, function: Function, args: tuple[Any, ...]) -> Any:
        return jax.jit(function).trace(*args)

    def lower(self, traced: Any) -> Any:
        return traced.lower()

    def compile(self, lowered: Any) -> Any:
        return lowered.compile()

    def equation_count(self, function: Function, args: tuple[Any, ...]) -> int:
        return sum(1 for _ in _leaf_equations(jax.make_jaxpr(function)(*args).jaxpr))

    def compile_count(self) -> int:
        return self._compiled

    def clear_caches(self) -> None:
        jax.clear_caches()

    def forget(self) -> None:
        """Nothing: JAX keys its caches by function object, and clearing would slow down the operations it reuses."""


def _leaf_equations(jaxpr: Any) -> Iterator[Any]:
    """JAX's equations that hold no jaxpr, of this jaxpr and of those it holds."""
    for equation in jaxpr.eqns:
        values = [
            item for value in equation.params.values() for item in (value if isinstance(value, tuple) else (value,))
        ]
        inner = [
            getattr(value, "jaxpr", value) for value in values if hasattr(value, "eqns") or hasattr(value, "jaxpr")
        ]
        if not inner:
            yield equation
        for sub_jaxpr in inner:
            yield from _leaf_equations(sub_jaxpr)


class FunctransSide(Side):
    """functrans."""

    name = "functrans"
    calls_until_warm = 80  # a program that ran 64 times in segments is compiled whole

    def __init__(self) -> None:
        self.transforms = importlib.import_module("functrans")
        self.namespace = importlib.import_module("functrans.numpy")
        self._program = importlib.import_module("functrans.ir.program")
        self._execute = importlib.import_module("functrans.xla.execute")
        self._executors = importlib.import_module("functrans.jaxlib_compat.executors")
        self._configuration = importlib.import_module("functrans.jaxlib_compat.configuration")
        self._compile_text = importlib.import_module("functrans.xla.compilation").compile_text

    def trace(self, function: Function, args: tuple[Any, ...]) -> Any:
        return self.transforms.make_jaxpr(function)(*args)

    def lower(self, traced: Any) -> Any:
        program = self._execute.Program(traced, "benchmark", "a benchmark", jit=True, keep_unused=True)
        return traced, program.module(["cpu"])

    def compile(self, lowered: Any) -> Any:
        """What the first call of a jitted program does after lowering: compile, and build the executor."""
        jaxpr, module = lowered
        device = self._configuration.default_device()
        executable = self._compile_text(module.text, device, barriers=module.barriers)
        return self._executors.executor(executable, jaxpr.in_types, jaxpr.out_types, device, "benchmark")

    def equation_count(self, function: Function, args: tuple[Any, ...]) -> int:
        equations = self._program.all_equations(self.trace(function, args))
        return sum(1 for equation in equations if not equation.op.holds_jaxprs)

    def compile_count(self) -> int:
        return int(self._execute.compilation_count())

    def clear_caches(self) -> None:
        self.transforms.clear_caches()

    def forget(self) -> None:
        """Everything: programs are known by structure here, so a fresh function object alone would hit the caches."""
        self.transforms.clear_caches()


def side_named(name: str) -> Side:
    """'functrans' or 'jax'."""
    if name == "functrans":
        return FunctransSide()
    if name.startswith("jax"):
        return JaxSide(name)
    raise ValueError(f"no side is named {name!r}: choose 'functrans' or 'jax'")
