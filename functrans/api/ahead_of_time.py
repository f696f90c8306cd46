"""Ahead of time: ``jit(f).trace(*args).lower().compile()``, each stage an object that can be looked at.

    Traced ── lower ──► Lowered ── compile ──► Compiled
    the jaxpr           the StableHLO          the executable, called like the function without its static arguments

Arguments may be arrays, numbers or ``ShapeDtypeStruct``. Names and meaning are those of ``jax.stages``, whose classes
these are for code that looks at classes; what they do is all our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from functrans.api.references import is_reference, values_in
from functrans.api.staging import api_boundary, tree_flatten, tree_structure, tree_unflatten
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, array_type, canonical_dtype, describe, type_of
from functrans.jaxlib_compat import array_values, compiler, dispatcher, inspection
from functrans.trace.frames import filter_traceback, here
from functrans.trace.tracer import Tracer
from functrans.xla import execute

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


class TracedCall(Protocol):
    """What ``jit`` remembers of a function traced for one signature."""

    jaxpr: Jaxpr  # takes ``captured``, then the leaves of the dynamic arguments
    captured: list[Any]  # mutable references for what they hold
    out_tree: Any
    places: Sequence[int]  # of references among the leaves
    written: Sequence[Any]  # mutable references that get the leading results
    refers: bool  # whether a call has to do with references

    def operands(self, leaves: Sequence[Any]) -> list[Any]: ...

    def result(self, flat: Sequence[Any], leaves: Sequence[Any]) -> Any: ...


def shape_struct(t: ArrayType, sharding: Any = None) -> jax.ShapeDtypeStruct:
    """A type as jax.ShapeDtypeStruct."""
    return jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=t.weak_type, sharding=sharding)  # type: ignore[no-untyped-call]


def as_shape_struct(x: Any) -> Any:
    """An object that has a shape and a dtype, and is no array that we know, as jax.ShapeDtypeStruct."""
    known = (Tracer, jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
    if isinstance(x, known) or not (hasattr(x, "shape") and hasattr(x, "dtype")) or hasattr(x, "__jax_array__"):
        return x
    return shape_struct(array_type(tuple(x.shape), canonical_dtype(x.dtype), bool(getattr(x, "weak_type", False))))


_jax_stages: Any = jax.stages


class Stage:
    """What the three stages have in common: the name of the function, and the types of its arguments and results."""

    def __init__(self, fun_name: str, call: TracedCall, tree: Any, donated: Sequence[bool]) -> None:
        self._fun_name = fun_name
        self._call = call
        self._tree = tree
        self._donated = tuple(donated) or (False,) * tree.num_leaves

    @property
    def in_tree(self) -> Any:
        """The tree of ``(positional arguments, keyword arguments)``, static ones left out."""
        return self._tree

    @property
    def fun_name(self) -> str:
        """The name of the function."""
        return self._fun_name

    @property
    def out_tree(self) -> Any:
        """The tree of the results."""
        return self._call.out_tree

    @property
    def _in_types(self) -> Sequence[ArrayType]:
        return self._call.jaxpr.in_types[len(self._call.captured) :]

    @property
    def _out_types(self) -> Sequence[ArrayType]:
        return self._call.jaxpr.out_types[len(self._call.written) :]

    @property
    def in_avals(self) -> Any:
        """The tree of the arguments' abstract values."""
        return tree_unflatten(self._tree, [array_values.abstract_value(t) for t in self._in_types])

    @property
    def args_info(self) -> Any:
        """The tree of the arguments' ``ArgInfo``: shape, dtype, and whether the argument is donated."""
        abstract = [array_values.abstract_value(t) for t in self._in_types]
        infos = [jax.stages.ArgInfo(a, d) for a, d in zip(abstract, self._donated, strict=True)]
        return tree_unflatten(self._tree, infos)

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """The numbers of the leaves whose buffers the results may reuse."""
        return tuple(i for i, donated in enumerate(self._donated) if donated)

    @property
    def out_avals(self) -> Any:
        """The tree of the results' abstract values."""
        return tree_unflatten(self.out_tree, [array_values.abstract_value(t) for t in self._out_types])

    @property
    def out_info(self) -> Any:
        """The tree of the results' ``ShapeDtypeStruct``."""
        return tree_unflatten(self.out_tree, [shape_struct(t) for t in self._out_types])

    def __repr__(self) -> str:
        given = ", ".join(map(str, self._in_types))
        results = ", ".join(map(str, self._out_types))
        return f"{type(self).__name__}({self.fun_name}: ({given}) -> ({results}))"


class Traced(Stage, _jax_stages.Traced):  # type: ignore[misc]
    """A function traced for one signature.

    ``jaxpr`` takes ``captured``, the values that the function closes over, before the leaves of the arguments.

    >>> import numpy as np, functrans as ft
    >>> traced = ft.jit(lambda x: x * 2.0).trace(np.ones(3, np.float32))
    >>> len(traced.jaxpr.equations), traced.out_info.shape
    (1, (3,))
    """

    def __init__(
        self, fun_name: str, call: TracedCall, tree: Any, donated: Sequence[bool], program: execute.Program, device: Any
    ) -> None:
        super().__init__(fun_name, call, tree, donated)
        self._program = program
        self._device = device

    @property
    def jaxpr(self) -> Jaxpr:
        """The program."""
        return self._call.jaxpr

    @property
    def in_types(self) -> tuple[ArrayType, ...]:
        """The types of the arguments' leaves."""
        return tuple(self._in_types)

    @property
    def captured(self) -> list[Any]:
        """The values of the program's leading inputs."""
        return list(self._call.captured)

    @api_boundary
    def lower(self, *, lowering_platforms: Sequence[str] | None = None) -> Lowered:
        """The program as StableHLO, for the platform of the arguments or for those named (cpu, cuda, rocm, tpu).

        A module for several platforms takes the number of its platform as its first input, as ``jax.export`` has it;
        it can be looked at and exported, not compiled. Raises ValueError for an unknown platform.

        >>> import functrans as ft
        >>> "stablehlo.multiply" in ft.jit(lambda x: x * 2.0).trace(1.0).lower(lowering_platforms=("tpu",)).as_text()
        True
        """
        if lowering_platforms is None:
            platforms: Sequence[str] = (compiler.lowering_platform(self._device),)
        else:
            platforms = checked_platforms(lowering_platforms, "lower", "lowering_platforms")
        return Lowered(self, platforms)


def checked_platforms(given: Any, function: str, argument: str) -> tuple[str, ...]:
    """Names of platforms as a tuple; raises TypeError or ValueError that names the argument."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(p, str) for p in given):
        raise FunctransTypeError(
            f"{function}: {argument} is a sequence of names such as ('cpu',), got {describe(given)}"
        )
    unknown = [p for p in given if p not in PLATFORMS]
    if unknown or not given:
        found = f"has {unknown[0]!r}" if unknown else "is empty"
        raise FunctransValueError(f"{function}: {argument} {found}; the platforms are {', '.join(PLATFORMS)}")
    return tuple(dict.fromkeys(given))


class Lowered(Stage, _jax_stages.Lowered):  # type: ignore[misc]
    """A program as StableHLO.

    >>> import functrans as ft
    >>> lowered = ft.jit(lambda x: x * 2.0).lower(1.0)
    >>> "stablehlo.multiply" in lowered.as_text()
    True
    >>> float(lowered.compile()(4.0))
    8.0
    """

    def __init__(self, traced: Traced, platforms: Sequence[str]) -> None:
        super().__init__(traced.fun_name, traced._call, traced._tree, traced._donated)
        self.platforms = tuple(platforms)
        self._traced = traced
        # Equal programs share one executable, and it may have been another function's: the text is this one's.
        self._own = traced._program.uncompiled(traced.jaxpr, traced.fun_name)
        self._module = self._own.module(self.platforms)

    @api_boundary
    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The program as text: ``dialect`` is ``stablehlo`` (the default) or ``hlo``.

        Args:
          dialect: the language.
          debug_info: with the user's file and line of each operation.

        Raises:
          ValueError: for another dialect.

        >>> import functrans as ft
        >>> "ROOT negate.1 = f32[] negate(" in ft.jit(lambda x: -x).lower(1.0).as_text("hlo")
        True
        """
        text = (self._own.module(self.platforms, located=True) if debug_info else self._module).text
        if _dialect(dialect) == "hlo":
            return inspection.hlo_text(text, metadata=debug_info)
        return inspection.canonical_text(text, locations=debug_info)

    @api_boundary
    def compiler_ir(self, dialect: str | None = None) -> Any:
        """The program as the compiler's own object: an ``ir.Module`` of ``jaxlib.mlir``, or an ``XlaComputation``.

        >>> import functrans as ft
        >>> type(ft.jit(lambda x: -x).lower(1.0).compiler_ir()).__name__
        'Module'
        """
        if _dialect(dialect) == "hlo":
            return inspection.hlo_computation(self._module.text)
        return inspection.parsed_module(self._module.text)

    @api_boundary
    def cost_analysis(self) -> dict[str, float] | None:
        """What XLA expects the program to cost before it optimises it, such as ``flops``; None where it cannot tell.

        >>> import numpy as np, functrans as ft
        >>> ft.jit(lambda x: x + x).lower(np.ones(8, np.float32)).cost_analysis()["flops"]
        8.0
        """
        return inspection.lowered_cost(self._module.text, self._traced._device)

    @api_boundary
    def compile(self, compiler_options: Mapping[str, Any] | None = None) -> Compiled:
        """The executable for the device of the arguments.

        ``compiler_options``: options of XLA by name, such as ``{"xla_cpu_enable_fast_math": True}``. Raises ValueError
        where the module was lowered for several platforms or for one that is not there.

        >>> import functrans as ft
        >>> float(ft.jit(lambda x: x * 2.0).lower(1.0).compile({"xla_embed_ir_in_executable": True})(3.0))
        6.0
        """
        traced = self._traced
        device = traced._device
        if self.platforms != (compiler.lowering_platform(device),):
            raise FunctransValueError(
                f"compile: {self.fun_name} was lowered for {', '.join(self.platforms)} and would run on {device}; "
                "lower it without lowering_platforms, or export it: "
                f"functrans.export.export(f, platforms={self.platforms})"
            )
        if compiler_options is not None and not isinstance(compiler_options, Mapping):
            raise FunctransTypeError(
                f"compile: compiler_options is a dict of XLA's options by name, got {describe(compiler_options)}"
            )
        program = traced._program
        if compiler_options or program.device not in (None, device):
            program = self._own.uncompiled()
        if program.device is None:
            program.compile_for(device, self._module, compiler_options)
        return Compiled(self, program)


def _dialect(name: str | None) -> str:
    if name not in (None, "stablehlo", "hlo"):
        raise FunctransValueError(f"{name!r} is not a dialect of the program; there are 'stablehlo' and 'hlo'")
    return name or "stablehlo"


class Compiled(Stage, _jax_stages.Compiled):  # type: ignore[misc]
    """A function compiled for one signature, called like the function without its static arguments.

    A call checks the tree and the types of its arguments and raises TypeError for others; it cannot be transformed.

    >>> import numpy as np, functrans as ft
    >>> compiled = ft.jit(lambda x, n: x * n, static_argnums=1).lower(np.ones(2, np.float32), 3).compile()
    >>> compiled(np.ones(2, np.float32)).tolist()
    [3.0, 3.0]
    """

    def __init__(self, lowered: Lowered, program: execute.Program) -> None:
        super().__init__(lowered.fun_name, lowered._call, lowered._tree, lowered._donated)
        self._program = program
        self._sharding = array_values.single_device_sharding(program.device)
        self._dispatch = dispatcher.jit_function(
            self.fun_name,
            dispatcher.weakly(self._run_uncached),
            dispatcher.weakly(self._run),
            on_error=filter_traceback,
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it; raises TypeError for other trees or types of arguments, ValueError for arrays of another device."""
        try:
            return self._dispatch(*args, **kwargs)
        except ValueError as error:
            leaves, _ = tree_flatten((args, kwargs))
            places = [_place(i, args, kwargs) for i in range(len(leaves))]
            raise (array_values.deleted_argument_error(leaves, places) or error) from None

    def _run_uncached(self, /, *args: Any, **kwargs: Any) -> Any:
        with jax.disable_jit(False):  # there is no function left to run instead
            return self._run(*args, **kwargs)[0]

    def _run(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        """The call that C++ has not seen: results, and the record by which it runs this signature from now on."""
        leaves, tree = tree_flatten((args, kwargs))
        if tree != self._tree:
            raise FunctransTypeError(
                f"compiled {self.fun_name} takes arguments of the tree {self._tree} and was given {tree}, at {here()}\n"
                "The tree is (positional arguments, keyword arguments), without static ones, as it was lowered. Lower "
                "the function again for another tree."
            )
        self._check_types(leaves, args, kwargs)
        call = self._call
        results = call.result(self._program.run_here(*call.operands(leaves)), leaves)
        record = None if call.refers else self._program.record(self.out_tree, call.captured, leaves)
        return results, record, False

    def _check_types(self, leaves: Sequence[Any], args: Any, kwargs: Any) -> None:
        for i, (x, wanted) in enumerate(zip(leaves, self._in_types, strict=True)):
            if is_reference(x) and i in self._call.places:
                x = x._read()
            elif i in self._call.places:
                raise FunctransTypeError(
                    f"compiled {self.fun_name} takes a mutable reference as {_place(i, args, kwargs)} and was given "
                    f"{describe(x)}, at {here()}\nPass functrans.new_ref(x)."
                )
            if type(x) is Tracer:
                raise FunctransTypeError(
                    f"compiled {self.fun_name} was given a traced value as {_place(i, args, kwargs)}, at {here()}\n"
                    "What has been compiled for one signature cannot be transformed: "
                    "transform the function, then lower it."
                )
            try:
                given = type_of(x)
            except FunctransTypeError:
                given = None
            if (
                given is None
                or isinstance(x, jax.ShapeDtypeStruct)
                or (given.shape, given.dtype) != (wanted.shape, wanted.dtype)
            ):
                raise FunctransTypeError(
                    f"compiled {self.fun_name} takes {wanted.strong()} as {_place(i, args, kwargs)} and was given "
                    f"{describe(x) if given is None else given}, at {here()}\n"
                    "Lower the function again for other types, or convert the argument. "
                    "(Whether 64-bit types are on, jax_enable_x64, is part of the types.)"
                )

    @api_boundary
    def as_text(self) -> str:
        """The optimised program, as HLO text.

        >>> import functrans as ft
        >>> "ENTRY" in ft.jit(lambda x: x * 2.0).lower(1.0).compile().as_text()
        True
        """
        return inspection.executable_text(self._program.executable)

    @api_boundary
    def cost_analysis(self) -> dict[str, float] | None:
        """What XLA expects the executable to cost, such as ``flops`` and ``bytes accessed``; None where it cannot tell.

        >>> import numpy as np, functrans as ft
        >>> ft.jit(lambda x: x + x).lower(np.ones(8, np.float32)).compile().cost_analysis()["flops"]
        8.0
        """
        return inspection.executable_cost(self._program.executable)

    @api_boundary
    def memory_analysis(self) -> Any:
        """Bytes of arguments, results, temporaries and code, as attributes; None where XLA cannot tell.

        >>> import numpy as np, functrans as ft
        >>> compiled = ft.jit(lambda x: x + x).lower(np.ones(8, np.float32)).compile()
        >>> compiled.memory_analysis().argument_size_in_bytes
        32
        """
        return inspection.executable_memory(self._program.executable)

    def runtime_executable(self) -> Any:
        """The executable as jaxlib has it.

        >>> import functrans as ft
        >>> type(ft.jit(lambda x: -x).lower(1.0).compile().runtime_executable()).__name__
        'LoadedExecutable'
        """
        return self._program.executable

    @property
    def input_shardings(self) -> Any:
        """The tree of the arguments' shardings."""
        return tree_unflatten(self._tree, [self._sharding] * self._tree.num_leaves)

    @property
    def output_shardings(self) -> Any:
        """The tree of the results' shardings."""
        return tree_unflatten(self.out_tree, [self._sharding] * self.out_tree.num_leaves)

    @property
    def out_info(self) -> Any:
        """The tree of the results' ``ShapeDtypeStruct``, with their sharding."""
        return tree_unflatten(self.out_tree, [shape_struct(t, self._sharding) for t in self._out_types])


def _place(number: int, args: Any, kwargs: Any) -> str:
    """``args[0]['weights']`` of a leaf's number."""
    path, _ = tree_flatten_with_path((args, kwargs))[0][number]
    return f"{('args', 'kwargs')[path[0].idx]}{keystr(path[1:])}"


class Stages(Protocol):
    """What ``jit`` supplies: the function traced for a signature, and its program."""

    name: str
    static_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]

    def trace_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[TracedCall, execute.Program, Sequence[bool], Sequence[Any]]: ...


class StageMethods:
    """The methods of a jitted function besides its call. Bound methods of one object: ``jit`` is called often."""

    __slots__ = ("_clear", "_settings")

    def __init__(self, settings: Stages, clear: Callable[[], None]) -> None:
        self._settings, self._clear = settings, clear

    @api_boundary
    def trace(self, /, *args: Any, **kwargs: Any) -> Traced:
        """The function traced for these arguments (arrays, numbers or ``ShapeDtypeStruct``): a ``Traced``."""
        settings = self._settings
        call, program, donated, leaves = settings.trace_call(args, kwargs)
        static = {i % len(args) for i in settings.static_argnums if -len(args) <= i < len(args)}
        dynamic = tuple(x for i, x in enumerate(args) if i not in static)
        named = {k: v for k, v in kwargs.items() if k not in settings.static_argnames}
        return Traced(settings.name, call, tree_structure((dynamic, named)), donated, program, _device(leaves, call))

    @api_boundary
    def lower(self, /, *args: Any, **kwargs: Any) -> Lowered:
        """``trace(*args, **kwargs).lower()``."""
        return self.trace(*args, **kwargs).lower()

    @api_boundary
    def eval_shape(self, /, *args: Any, **kwargs: Any) -> Any:
        """The shapes and dtypes of the result, nothing computed: a tree of ``ShapeDtypeStruct``."""
        return self.trace(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget every trace and executable of this function."""
        self._clear()

    def attach(self, function: Any) -> None:
        """Give a jitted function these methods."""
        methods = {name: getattr(self, name) for name in _METHODS}
        function.__dict__ = _Attributes(vars(function) | methods)


_METHODS = frozenset(("trace", "lower", "eval_shape", "clear_cache"))


class _Attributes(dict[str, Any]):
    """Attributes of a jitted function, of which others that wrap it get all but the methods: ``jax.jit`` of it has its
    own, which ``jax.make_jaxpr`` calls.
    """

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name not in _METHODS)

    def keys(self) -> Any:
        return [*self]


def _device(leaves: Sequence[Any], call: TracedCall) -> Any:
    """Where a call of these arguments would run: on the device of committed arrays and of structs with a sharding."""
    wanted: Any = None
    for x in leaves:
        sharding = x.sharding if isinstance(x, jax.ShapeDtypeStruct) else None
        if sharding is not None:
            devices = sharding.device_set
            if len(devices) != 1 or wanted not in (None, *devices):
                raise FunctransValueError(
                    f"{describe(x)} has the sharding {sharding}; ahead of time, programs run on one device: use one "
                    "jax.sharding.SingleDeviceSharding for all arguments"
                )
            (wanted,) = devices
    arrays = [x for x in values_in([*call.captured, *leaves]) if isinstance(x, jax.Array)]
    found = array_values.placement(arrays)
    if wanted is None or wanted == found:
        return found
    if any(getattr(x, "committed", False) for x in arrays):
        raise FunctransValueError(
            f"an array among the arguments lives on {found} and a ShapeDtypeStruct asks for {wanted}; use one device"
        )
    return wanted
