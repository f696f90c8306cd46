"""Libraries beside the two systems under measurement, which record a tape as the function runs: HIPS autograd, PyTorch.

Neither has a program to trace, lower or compile, so they take part in the un-jitted calls only. A library
that is not installed is left out, and so is a variant that it does not have.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import numpy

from benchmarks.scenario import Scenario
from benchmarks.sides import Function, transformed, variant_args


class Library(ABC):
    """What a measurement may ask of a library that only runs."""

    name: str
    calls_until_warm = 2

    @abstractmethod
    def variant(self, scenario: Scenario, variant: str) -> tuple[Function, tuple[Any, ...]] | None:
        """The function of `variant` of `scenario` and its arguments; None where the library has no such transform."""


class Autograd(Library):
    """HIPS autograd: gradients over NumPy. It has no vmap; its Jacobians and Hessians are of functions of one array."""

    name = "autograd"

    def __init__(self) -> None:
        self._autograd = importlib.import_module("autograd")
        self._namespace = importlib.import_module("autograd.numpy")

    def variant(self, scenario: Scenario, variant: str) -> tuple[Function, tuple[Any, ...]] | None:
        f, args = scenario.build(self._namespace)
        of_one_array = isinstance(args[0], numpy.ndarray)
        functions: dict[str, Callable[[], Function]] = {"f": lambda: f, "grad": lambda: self._autograd.grad(f)}
        if of_one_array:
            functions["jacobian"] = lambda: self._jacobian(f)
            functions["hvp"] = lambda: self._hvp(f)
            functions["hessian"] = lambda: self._autograd.hessian(f)
        if variant not in functions:
            return None
        return functions[variant](), jax.device_get(variant_args(args, variant, scenario.mapped))

    def _jacobian(self, f: Function) -> Function:
        """Column by column, for its own goes row by row, of which the scenarios have many more."""
        forward = self._autograd.make_jvp

        def jacobian(primal: Any, *rest: Any) -> Any:
            product = forward(lambda x: f(x, *rest))(primal)
            return numpy.stack([product(unit)[1] for unit in numpy.eye(primal.size, dtype=primal.dtype)], axis=-1)

        return jacobian

    def _hvp(self, f: Function) -> Function:
        product = self._autograd.hessian_vector_product(f)
        return lambda primal, tangent, *rest: product(primal, *rest, tangent)


class Torch(Library):
    """PyTorch's torch.func, eagerly on one core of the CPU.

    On a busy machine its pool of threads makes small tensors a hundred times slower, which would say nothing about it.
    """

    name = "torch.func"

    def __init__(self) -> None:
        self._torch = importlib.import_module("torch")
        self._torch.set_num_threads(1)
        self._func = importlib.import_module("torch.func")
        self._namespace = importlib.import_module("benchmarks.torch_namespace")

    def variant(self, scenario: Scenario, variant: str) -> tuple[Function, tuple[Any, ...]]:
        f, args = scenario.build(self._namespace)
        arrays = jax.device_get(variant_args(args, variant, scenario.mapped))
        tensors = jax.tree_util.tree_map(lambda array: self._torch.tensor(numpy.asarray(array)), arrays)
        return transformed(self._func, f, variant, scenario.mapped), tensors


def installed_libraries() -> tuple[list[Library], list[str]]:
    """The libraries that can be imported, and a line for each that cannot."""
    found: list[Library] = []
    missing: list[str] = []
    for library, package in ((Autograd, "autograd"), (Torch, "torch")):
        try:
            found.append(library())
        except ImportError as error:
            missing.append(f"{library.name} is left out: {error}; pip install {package}")
    return found, missing
