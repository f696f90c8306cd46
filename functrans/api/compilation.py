"""jit, make_jaxpr, eval_shape, disable_jit: JAX's names, signatures and meaning."""

from __future__ import annotations

import enum
import functools
import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from functrans.api.ahead_of_time import StageMethods, as_shape_struct
from functrans.api.arguments import check_callable, resolve_names, tuple_of
from functrans.api.references import Given, Ref, Thread, is_pulled_back, is_reference, put, values_in
from functrans.api.staging import as_values, output, tree_flatten, tree_unflatten
from functrans.control.call import Call
from functrans.errors import FunctransRuntimeError, FunctransTypeError, FunctransValueError
from functrans.ir.cache import Cache
from functrans.ir.exact import exact_key
from functrans.ir.program import Jaxpr
from functrans.ir.snapshots import Snapshots, for_one_reader
from functrans.ir.types import ArrayType, describe, float0, type_of
from functrans.jaxlib_compat import array_values, configuration, dispatcher
from functrans.jaxlib_compat.tracing import JaxTracer, evaluates
from functrans.trace.binding import bind_all
from functrans.trace.builder import OFTEN, Borrowed, Builder, values_of
from functrans.trace.frames import filter_traceback, function_name, here, interrupted, named_as, outermost_of
from functrans.trace.keywords import takes
from functrans.trace.leaves import leaf_types
from functrans.trace.replay import replay
from functrans.trace.state import current_builder, foreseen_order
from functrans.trace.tracer import check_reachable
from functrans.xla import execute

REMEDY = (
    "Under jit the function is traced once for all values. Use functrans.lax.cond or functrans.numpy.where to choose, "
    "functrans.lax.while_loop or fori_loop to repeat, or static_argnums for plain Python arguments."
)
_CAPACITY = 768


class Callee:
    """A function traced for one signature: ``jaxpr`` takes ``captured`` and then the dynamic leaves.

    A mutable reference among ``captured`` or the leaves stands for what it holds at a call; ``written`` are those that
    get the leading results, numbers those of leaves.
    """

    __slots__ = ("captured", "jaxpr", "out_tree", "places", "program", "refers", "written")

    def __init__(
        self, jaxpr: Jaxpr, captured: list[Any], out_tree: Any, places: Sequence[int], written: Sequence[Ref | int],
        refers: bool,
    ) -> None:  # fmt: skip
        self.jaxpr, self.captured, self.out_tree = jaxpr, captured, out_tree
        self.places, self.written, self.refers = places, written, refers  # whether a call has to do with references
        self.program: execute.Program | None = None

    def operands(self, leaves: Sequence[Any]) -> list[Any]:
        """What the program is given for these leaves."""
        if not self.refers:
            return [*self.captured, *leaves]
        given = [x for x in leaves if isinstance(x, Ref)]
        if any(x is r for x in self.captured for r in given):
            raise FunctransValueError(
                f"a reference was given to a jitted function that uses it from outside besides, at {here()}\n"
                "It would stand for two values: use the argument alone."
            )
        return values_in([*self.captured, *leaves])

    def result(self, flat: Sequence[Any], leaves: Sequence[Any]) -> Any:
        """The function's result; what references hold after the call is put into them."""
        if self.written:
            put([leaves[r] if isinstance(r, int) else r for r in self.written], flat)
            flat = flat[len(self.written) :]
        return tree_unflatten(self.out_tree, flat)


class Static:
    """A static argument in a key: equal to another where their types and bits are (1 is not 1.0, 0.0 is not -0.0)."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = exact_key(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.value.__class__ is other.value.__class__ and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def held(value: Any) -> Any:
    """A static argument as the dispatcher may compare it, by ``==``."""
    found = Static(value)
    return value if found.key is value else found


def unheld(value: Any) -> Any:
    """The static argument that was ``held``."""
    return value.value if type(value) is Static else value


_alive: weakref.WeakSet[JitSettings] = weakref.WeakSet()


def clear() -> None:
    """Forget what every jitted function has traced and compiled."""
    dispatcher.clear_all()
    for settings in list(_alive):
        settings.traces.clear()


class JitSettings:
    """What ``jit`` was told, and the traces it remembers."""

    __slots__ = (
        "compiler_options", "dispatcher", "donate_argnames", "donate_argnums", "fun", "inline", "keep_unused", "name",
        "of_snapshots", "static_argnames", "static_argnums", "traces", "__weakref__",
    )  # fmt: skip

    def __init__(
        self, fun: Callable[..., Any], static_argnums: tuple[int, ...], static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...], donate_argnames: tuple[str, ...], keep_unused: bool, inline: bool,
        compiler_options: tuple[tuple[str, Any], ...] = (),
    ) -> None:  # fmt: skip
        self.fun = fun
        self.name = function_name(fun)
        self.static_argnums, self.static_argnames = static_argnums, static_argnames
        self.donate_argnums, self.donate_argnames = donate_argnums, donate_argnames
        self.keep_unused, self.inline, self.compiler_options = keep_unused, inline, compiler_options
        self.dispatcher: dispatcher.Weakly | None = None  # which owns these settings
        self.of_snapshots: Callable[..., Any] | None = None  # as the dispatcher, for NumPy arrays nobody writes to
        self.traces = Cache(2 * _CAPACITY)
        _alive.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """What ``jit`` was told, as cloudpickle sends it to other processes; those trace and compile anew."""
        fresh = ("of_snapshots", "traces", "__weakref__")
        return {name: getattr(self, name) for name in self.__slots__ if name not in fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.of_snapshots, self.traces = None, Cache(2 * _CAPACITY)
        _alive.add(self)

    # -- arguments --------------------------------------------------------------------------------------------------

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any, Any]:
        """Dynamic leaves, their tree, and a hashable key of the static arguments."""
        if not self.static_argnums and not self.static_argnames:
            leaves, tree = tree_flatten((args, kwargs))
            return leaves, tree, ()
        static: list[tuple[Any, Any]] = []
        positions = {i % len(args) for i in self.static_argnums if -len(args) <= i < len(args)}
        dynamic_args = tuple(None if i in positions else x for i, x in enumerate(args))
        static.extend((i, unheld(args[i])) for i in sorted(positions))
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in self.static_argnames}
        static.extend((k, unheld(kwargs[k])) for k in sorted(kwargs) if k in self.static_argnames)
        for name, value in static:
            try:
                hash(value)
            except TypeError:
                which = self.argument_name(name)
                raise FunctransValueError(
                    f"static {which} of jitted {self.name} is {describe(value)}, which is not hashable, at {here()}\n"
                    "Static arguments are part of the key of the compiled program: pass a tuple instead of a list, a "
                    "frozen dataclass instead of a mutable one, or make the argument dynamic."
                ) from None
        leaves, tree = tree_flatten((dynamic_args, dynamic_kwargs))
        return leaves, tree, tuple((k, Static(v)) for k, v in static)

    def argument_name(self, key: int | str) -> str:
        """``argument 1 (sizes)`` for a position, ``keyword argument 'sizes'`` for a name."""
        if isinstance(key, str):
            return f"keyword argument {key!r}"
        try:
            return f"argument {key} ({list(inspect.signature(self.fun).parameters)[key]})"
        except (ValueError, TypeError, IndexError):
            return f"argument {key}"

    def call(self, tree: Any, static: Any, inputs: Sequence[Any]) -> Any:
        args, kwargs = tree_unflatten(tree, inputs)
        if static:
            args = list(args)
            for k, held in static:
                if isinstance(k, int):
                    args[k] = held.value
                else:
                    kwargs[k] = held.value
        return self.fun(*args, **kwargs)

    def donated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
        """For each dynamic leaf, whether its buffer may be reused."""
        if (not self.donate_argnums and not self.donate_argnames) or execute.value_checks_on():
            return []  # a program whose results are looked at may have to run again
        static = {i % len(args) for i in self.static_argnums if -len(args) <= i < len(args)}
        wanted = {i % len(args) for i in self.donate_argnums if -len(args) <= i < len(args)}
        flags: list[bool] = []
        for i, x in enumerate(args):
            if i not in static:
                flags += [i in wanted and not is_reference(leaf) for leaf in tree_flatten(x)[0]]
        for k in sorted(kwargs):
            if k not in self.static_argnames:
                flags += [k in self.donate_argnames and not is_reference(x) for x in tree_flatten(kwargs[k])[0]]
        return flags

    # -- tracing ----------------------------------------------------------------------------------------------------

    def types(self, leaves: Sequence[Any]) -> list[ArrayType]:
        return leaf_types(leaves, lambda i: f"an argument of jitted {self.name}")

    def callee(self, leaves: Sequence[Any], tree: Any, static: Any) -> Callee:
        """The function traced for this signature."""
        builder = current_builder()
        order = foreseen_order()
        given: Given | None = None
        types: Sequence[ArrayType]
        try:
            types = self.types(leaves)
        except FunctransTypeError:
            if not any(map(is_reference, leaves)):
                raise
            given = Given(f"jitted {self.name}", leaves)
            types = self.types([x.struct() if isinstance(x, Ref) else x for x in leaves])
        places = given.places if given is not None else ()
        kinds = given.kinds if given is not None else ()
        pulled_back = order > 0 and is_pulled_back()
        key = (tuple(types), tree, static, order, configuration.trace_context(), kinds, pulled_back)
        known = self.traces.find(key)
        if known is not None:
            return known  # type: ignore[no-any-return]
        local = (id(self), key)
        if builder is not None:
            known = builder.callees.get(local)
            if known is not None:
                return known[1]  # type: ignore[no-any-return]
        if configuration.refuses_tracing():
            raise FunctransRuntimeError(f"{self.name} was to be traced, and jax_no_tracing is set, at {here()}")
        with Builder(f"jit of {self.name}", order=order) as inner:
            inner.remedy, inner.lends = REMEDY, OFTEN
            if not inner.snapshots.by_contents:
                inner.snapshots = Snapshots()
                inner.snapshots.by_contents = True
            inputs = [inner.new_input(t) for t in types]
            result = self.call(tree, static, inputs if given is None else given.enter(inputs))
            flat, out_tree = tree_flatten(result)
            outputs = [output(inner, x, result, f"jit of {self.name}") for x in flat]
            ends: dict[Any, Any] = {found.reference: found.value for found in inner.written()}
            if given is not None:
                ends |= {i: x for i, x in zip(places, given.leave(), strict=True) if x is not None}
            jaxpr, captured = inner.finish([*map(inner.output, ends.values()), *outputs])
            borrowed = list(inner.references)
        around = any(isinstance(x, JaxTracer) for x in values_of(captured))
        captured = [x.reference if type(x) is Borrowed else x for x in captured]
        callee = Callee(jaxpr, captured, out_tree, places, tuple(ends), bool(borrowed) or given is not None)
        if given is not None and any(type(x) is Thread for x in borrowed):
            return callee  # a thread is of the very reference that is given: for this call alone
        if around:
            if builder is not None:
                builder.callees[local] = (self, callee)
        else:
            callee = self.traces.add(key, callee)
        return callee

    # -- calling ----------------------------------------------------------------------------------------------------

    def stage_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call inside an open trace: an equation (or the callee's equations, with ``inline``)."""
        if self.compiler_options:
            raise FunctransValueError(
                f"jit of {self.name}: compiler_options are for a program of its own, and this call is a part of "
                f"another one, at {here()}\nGive them to the outermost jit."
            )
        leaves, tree, static = self.split(args, kwargs)
        callee = self.callee(leaves, tree, static)
        operands = callee.operands(leaves)
        outs = (
            as_values(replay(callee.jaxpr, operands))
            if self.inline
            else bind_all(Call(callee.jaxpr, self.name), operands)
        )
        return callee.result(outs, leaves)

    def miss(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        """A signature that the C++ dispatcher has not seen: stage the call, or run it and tell how to from now on."""
        if not evaluates():
            if current_builder() is not None:
                return self.stage_call(args, kwargs), None, False
            return self.run(args, kwargs)
        leaves, tree = tree_flatten((args, kwargs))
        if self.dispatcher is not None and any(map(_is_numpy, leaves)):
            # C++ would read them where they lie, after the call has returned; copies and device arrays it may take.
            donates = self.donate_argnums or self.donate_argnames
            if not donates and all(_is_plain(x) for x in leaves if isinstance(x, np.ndarray)):
                call = self.of_snapshots
                if call is None:
                    miss = dispatcher.weakly(self.miss_of_snapshots)
                    call = self.of_snapshots = dispatcher_of(self, miss, "snapshots")
                leaves = [for_one_reader(x) if isinstance(x, np.ndarray) else x for x in leaves]
            else:  # a donated buffer has to be the device's own
                call = self.dispatcher()
                leaves = [self._on_device(x) if _is_numpy(x) else x for x in leaves]
            args, kwargs = tree_unflatten(tree, leaves)
            return call(*args, **kwargs), None, False
        return self.run(args, kwargs)

    def miss_of_snapshots(self, /, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        """A signature that the dispatcher of calls with snapshots has not seen."""
        return self.run(args, kwargs, snapshots=True)

    def _on_device(self, x: Any) -> Any:
        type_ = self.types([x])[0]
        return array_values.put(x, type_, configuration.default_device())

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], snapshots: bool = False) -> tuple[Any, Any, bool]:
        """The call outside of any trace: results, and the record by which C++ runs this signature from now on.

        ``snapshots``: nobody writes to the NumPy arrays of this signature.
        """
        try:
            leaves, tree, static = self.split(args, kwargs)
            for x in leaves:
                check_reachable(x)
            callee = self.callee(leaves, tree, static)
            program = self.program(callee, args, kwargs)
            flat = program(*callee.operands(leaves))
            recorded = not callee.refers and evaluates()  # C++ knows of no references
            record = program.record(callee.out_tree, callee.captured, leaves, snapshots) if recorded else None
            return callee.result(flat, leaves), record, False
        except (KeyboardInterrupt, SystemExit):
            interrupted()
            raise

    def program(self, callee: Callee, args: tuple[Any, ...], kwargs: dict[str, Any]) -> execute.Program:
        """The program of a traced function; it is compiled at its first call."""
        program = callee.program
        if program is None:
            donated = self.donated(args, kwargs)
            known = self.traces.all_keys()
            reason = f"the first call of {self.name}" if len(known) < 2 else self.reason(known)
            callee.captured = [x if isinstance(x, Ref) else on_device(x) for x in callee.captured]
            callee.program = program = execute.program(
                callee.jaxpr,
                self.name,
                reason,
                (False,) * len(callee.captured) + tuple(donated),
                True,
                self.keep_unused,
                self.compiler_options,
            )
        return program

    def trace_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callee, execute.Program, Sequence[bool], Sequence[Any]]:
        """The function traced for a call that is not made: the trace, its program, what is donated, the leaves."""
        leaves, tree, static = self.split(args, kwargs)
        leaves = [x if is_reference(x) else as_shape_struct(x) for x in leaves]
        callee = self.callee(leaves, tree, static)
        if any(isinstance(x, JaxTracer) for x in values_in(callee.captured)):
            raise FunctransTypeError(
                f"{self.name} closes over a traced value and cannot be traced ahead of time, at {here()}\nPass the "
                "value as an argument, or trace outside of the transform."
            )
        return callee, self.program(callee, args, kwargs), self.donated(args, kwargs), leaves

    def explain(self, error: ValueError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
        """The C++ dispatcher's complaint about static or donated arguments in words that name the argument."""
        try:
            leaves, _, _ = self.split(args, kwargs)
        except FunctransValueError as unhashable:
            return filter_traceback(unhashable)  # type: ignore[return-value]
        arrays = [x for x in leaves if isinstance(x, jax.Array) and not isinstance(x, JaxTracer)]
        if any(x.is_deleted() for x in arrays):
            gone = next(x for x in arrays if x.is_deleted())
            return FunctransRuntimeError(
                f"an argument of jitted {self.name}, an array {type_of(gone)}, was donated to an earlier call and its "
                f"memory has been reused, at {here()}\nUse the result of that call instead, or leave the argument out "
                "of donate_argnums."
            )
        return filter_traceback(error)  # type: ignore[return-value]

    def reason(self, keys: list[Any]) -> str:
        """Why a signature was new, in words."""
        new, old = keys[-1], keys[-2]
        if new[1] != old[1]:
            return f"{self.name} was called with another tree of arguments"
        if new[2] != old[2]:
            return f"{self.name} was called with other static arguments: {[held.value for _, held in new[2]]}"
        for i, (a, b) in enumerate(zip(new[0], old[0], strict=True)):
            if a is not b:
                part = "shape" if a.shape != b.shape else "dtype" if a.dtype != b.dtype else "weak type"
                return f"{self.name} was called with another {part} of leaf {i}: {a}, before {b}"
        return f"{self.name} was called in another context (configuration, devices or axis names)"


outermost_of(JitSettings.run)  # type: ignore[arg-type]


def _is_numpy(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype != float0


def _is_plain(x: np.ndarray[Any, Any]) -> bool:
    """Whether its dtype and shape say all of an array: a masked one, or one of another byte order, is refused."""
    return type(x) is np.ndarray and x.dtype.isnative


@takes(in_shardings=None, out_shardings=None, device=None, backend=None)
def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool | enum.Enum = False,
    compiler_options: Mapping[str, Any] | None = None,
) -> Any:
    """A version of ``fun`` that is traced and compiled once for each signature of its arguments.

    Args:
      fun: a function of arrays or pytrees of them; without it, ``jit(static_argnums=...)`` is a decorator.
      static_argnums, static_argnames: arguments that are Python values: hashable, part of the key of the program.
      donate_argnums, donate_argnames: arguments whose buffers the results may reuse; they cannot be used afterwards.
      keep_unused: keep arguments that the result does not depend on as inputs of the compiled program.
      inline: inside another trace, emit the function's equations instead of a call (JAX's ``Inline.JAX_EARLY``).
      compiler_options: options of XLA by name, for the calls outside of other jitted functions; a call inside of one
        raises ValueError.

    Returns:
      A function of the same arguments.

    >>> import functrans as ft
    >>> float(ft.jit(lambda x: x * 2.0)(3.0))
    6.0
    """
    if fun is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames, donate_argnums=donate_argnums,
            donate_argnames=donate_argnames, keep_unused=keep_unused, inline=inline, compiler_options=compiler_options,
        )  # fmt: skip
    check_callable(fun, "jit")
    if inspect.isgeneratorfunction(fun):
        raise FunctransTypeError(f"jit: {function_name(fun)} is a generator function, which cannot be traced")
    statics = resolve_names(
        fun,
        tuple_of(static_argnums, int, "static_argnums"),
        tuple_of(static_argnames, str, "static_argnames"),
        "static_",
    )
    donates = resolve_names(
        fun,
        tuple_of(donate_argnums, int, "donate_argnums"),
        tuple_of(donate_argnames, str, "donate_argnames"),
        "donate_",
    )
    overlap = set(statics[0]) & set(donates[0])
    if overlap:
        raise FunctransValueError(f"jit: arguments {sorted(overlap)} are both static and donated")
    if compiler_options is not None and not isinstance(compiler_options, Mapping):
        raise FunctransTypeError(
            f"jit: compiler_options is a dict of XLA's options by name, got {describe(compiler_options)}"
        )
    if isinstance(inline, enum.Enum):  # JAX's Inline, where it has it
        inline = inline.name == "JAX_EARLY"
    options = tuple(sorted((compiler_options or {}).items()))
    settings = JitSettings(fun, *statics, *donates, keep_unused, inline, options)
    return compiled_function(settings)


def on_device(x: Any) -> Any:
    """A captured value as a device array: it is an argument of every call (NumPy data is copied as it is now)."""
    if isinstance(x, jax.Array):
        return x
    type_ = type_of(x)
    return array_values.put(x, type_, configuration.default_device())


def dispatcher_of(settings: JitSettings, miss: Callable[..., Any], *kind: str) -> Any:
    """A C++ dispatcher; those of one function share their signatures where they are of one kind."""
    options = (
        settings.donate_argnums, settings.donate_argnames, settings.keep_unused, settings.inline,
        settings.compiler_options,
    )  # fmt: skip
    return dispatcher.jit_function(
        settings.name,
        settings.fun,
        miss,
        settings.static_argnums,
        settings.static_argnames,
        (type(settings), *options, *kind),
        filter_traceback,
    )


def compiled_function(settings: JitSettings) -> Any:
    """The callable that users get: the C++ dispatcher."""
    call = dispatcher_of(settings, settings.miss)
    own = settings.dispatcher = dispatcher.Weakly(call)
    named_as(settings.fun, call)

    def clear_cache() -> None:
        if (alive := own()) is not None:
            dispatcher.clear(alive)
        if settings.of_snapshots is not None:
            dispatcher.clear(settings.of_snapshots)
        settings.traces.clear()

    methods = StageMethods(settings, clear_cache)
    methods.attach(call)
    if not (settings.static_argnums or settings.static_argnames or settings.donate_argnums or settings.donate_argnames):
        return call

    names = frozenset(settings.static_argnames)
    numbers = settings.static_argnums

    @functools.partial(named_as, settings.fun)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # the dispatcher calls the function itself
            return settings.fun(*args, **kwargs)
        given, named = args, kwargs
        if numbers:
            places = [i % len(args) for i in numbers if -len(args) <= i < len(args)]
            given = tuple([held(x) if i in places else x for i, x in enumerate(args)])
        if kwargs and names:
            named = {k: held(x) if k in names else x for k, x in kwargs.items()}
        try:
            return call(*given, **named)
        except ValueError as error:
            raise settings.explain(error, args, kwargs) from None

    methods.attach(jitted)
    return jitted
