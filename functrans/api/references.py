"""Mutable references: ``r = new_ref(x); r[i] = y; r[...]``. They are state of the function, and its program has none.

    total = new_ref(0.0)
    scan(lambda c, x: (c, total.__setitem__(..., total[...] + x)), c, xs)     becomes
    (c, t), _ = scan(lambda (c, t), x: ((c, t + x), None), (c, total), xs);  total = t

A reference holds its present value, in the trace where it lives. A function that is traced once for many runs (under
jit, in a loop or a branch) and reaches for a reference from outside is traced again with the value as one more argument
and one more result; the call then puts the result into the reference. So is the call around it, as far as the trace
where the reference lives. Programs stay functions of their inputs, and every transform takes them as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, short_dtype, type_of
from functrans.ops.structural import convert, full
from functrans.trace.builder import Builder
from functrans.trace.frames import api_boundary, here
from functrans.trace.keywords import takes
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer

Result = TypeVar("Result")


class Ref:
    """A mutable array: ``r[key]`` reads, ``r[key] = value`` writes, ``r[...]`` is all of it.

    It may be created, read and written anywhere in a function under ``jit``, in loops and branches; created inside of a
    function under ``grad`` or ``vmap`` too, and read there from outside. What is written is converted like an operand:
    Python numbers take the dtype, arrays must have it.

    >>> import functrans as ft, numpy as np
    >>> total = ft.new_ref(np.zeros(2, np.float32))
    >>> add = ft.jit(lambda x: total.__setitem__(1, total[1] + x))
    >>> add(2.0); add(3.0)
    >>> total[...].tolist()
    [0.0, 5.0]
    """

    __slots__ = ("__weakref__", "_home", "_is_frozen", "_value")

    def __init__(self, value: Any, home: Builder | None) -> None:
        self._value = value
        self._home = home
        self._is_frozen = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._value.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._value.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        if not self.shape:
            raise FunctransTypeError(f"a reference to a scalar has no length, at {here()}")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Ref({self._value!r})"

    @api_boundary
    def __getitem__(self, key: Any) -> Any:
        value = self._read()
        return value if key is Ellipsis else value[key]

    @api_boundary
    def __setitem__(self, key: Any, value: Any) -> None:
        self._write(key, value)

    def get(self) -> Any:
        """All of it, as ``r[...]``."""
        return self[...]

    def set(self, value: Any) -> None:
        """Write all of it, as ``r[...] = value``."""
        self[...] = value

    def _read(self) -> Any:
        if self._is_frozen or current_builder() is not self._home:
            self._reach(writes=False)
        return self._value

    def _write(self, key: Any, value: Any, way: str = "set") -> None:
        if self._is_frozen or current_builder() is not self._home:
            self._reach(writes=True)
        given = type_of(value)
        if given.dtype != self.dtype and not given.weak_type:
            raise FunctransTypeError(
                f"a reference of dtype {short_dtype(self.dtype)} was to be set to {given}, at {here()}\n"
                f"Convert it with .astype({self.dtype.name!r})."
            )
        self._value = getattr(self._value.at[key], way)(value)

    def _reach(self, writes: bool) -> None:
        """Refuse, or go back to the function that may take the value as an argument."""
        if self._is_frozen:
            raise FunctransValueError(f"a reference was used after freeze, at {here()}")
        if not _is_within(current_builder(), self._home):
            raise FunctransValueError(
                f"a reference made in {self._home.purpose if self._home else 'another trace'} was used outside of it, "
                f"at {here()}\nReturn what it holds, ref[...] or freeze(ref)."
            )
        builder = current_builder()
        while builder is not None and builder is not self._home:
            if builder.lends:
                raise Reached(self)
            builder = builder.parent
        if writes:
            raise FunctransTypeError(
                "a reference from outside was written to in a function that is differentiated, mapped or given a rule, "
                f"at {here()}\nMake the reference inside and return what it holds, or return the value and write it "
                "outside. (jit, loops and branches may write.)"
            )


class Reached(BaseException):
    """A function that is traced for a call reaches for a reference from outside. No Exception: a user's ``except`` is
    not meant."""

    def __init__(self, reference: Ref) -> None:
        super().__init__(reference)
        self.reference = reference

    def may_enter_here(self) -> bool:
        """Whether the reference lives where the function is called, or around it."""
        return _is_within(current_builder(), self.reference._home)


def _is_within(builder: Builder | None, home: Builder | None) -> bool:
    while builder is not None and builder is not home:
        builder = builder.parent
    return builder is home


@contextmanager
def _placed(references: Sequence[Ref], values: Sequence[Any]) -> Iterator[None]:
    """The references live here, with these values."""
    outer = [(r._value, r._home) for r in references]
    builder = current_builder()
    for r, x in zip(references, values, strict=True):
        r._value, r._home = x, builder
    try:
        yield
    finally:
        for r, (value, home) in zip(references, outer, strict=True):
            r._value, r._home = value, home


def _values(references: Sequence[Ref]) -> list[Any]:
    return [r._read() for r in references]


def _after(references: Sequence[Ref], before: Sequence[Any], written: list[int]) -> list[Any]:
    """What references hold at the end of a function that had them with the values ``before``; ``written``: the places
    of those that it wrote to are added."""
    now = _values(references)
    written += [i for i, (x, y) in enumerate(zip(before, now, strict=True)) if x is not y and i not in written]
    return now


def _set(references: Sequence[Ref], values: Sequence[Any], written: list[int]) -> None:
    """Those that were only read stay: under grad they live outside, and the value is of the trace."""
    for i in written:
        r = references[i]
        if current_builder() is not r._home:
            r._reach(writes=True)
        r._value = values[i]


def with_references(call: Callable[[Sequence[Ref]], Result]) -> Result:
    """``call(references)`` for the references from outside that its function reaches for: none at first, then more."""
    reached: list[Ref] = []
    while True:
        try:
            return call(reached)
        except Reached as found:
            if not found.may_enter_here() or found.reference in reached:
                raise
            reached.append(found.reference)


def loop(
    run: Callable[..., Any], body: Callable[..., Any], init: Any, test: Callable[[Any], Any] | None = None
) -> Any:
    """``run(body, init, test, prefix)`` with the references that the body reaches for in the carry.

    ``body(carry, ...)`` returns the next carry, or with ``test`` None a pair of it and what is stacked; ``prefix``: the
    path of the user's carry in that which ``run`` is given. The result of ``run`` is laid out likewise.
    """

    def call(references: Sequence[Ref]) -> Any:
        if not references:
            return run(body, init, test, "")

        written: list[int] = []

        def extended(carry: Any, *rest: Any) -> Any:
            values, own = carry
            with _placed(references, values):
                result = body(own, *rest)
                now = _after(references, values, written)
            if test is not None:
                return now, result
            pair = isinstance(result, tuple | list) and len(result) == 2
            return ((now, result[0]), result[1]) if pair else result

        def asked(carry: Any) -> Any:
            values, own = carry
            assert test is not None
            with _placed(references, values):
                return test(own)

        result = run(extended, (_values(references), init), None if test is None else asked, "[1]")
        (values, own), *stacked = (result,) if test is not None else result
        _set(references, values, written)
        return own if test is not None else (own, *stacked)

    return with_references(call)


def branch(run: Callable[..., Any], functions: Sequence[Callable[..., Any]], operands: tuple[Any, ...]) -> Any:
    """``run(functions, operands)`` with the references that the functions reach for as operands and results."""

    def call(references: Sequence[Ref]) -> Any:
        if not references:
            return run(functions, operands)

        written: list[int] = []

        def extended(function: Callable[..., Any]) -> Callable[..., Any]:
            def with_values(values: Any, *own: Any) -> Any:
                with _placed(references, values):
                    result = function(*own)
                    return _after(references, values, written), result

            return with_values

        values, result = run([*map(extended, functions)], (_values(references), *operands))
        _set(references, values, written)
        return result

    return with_references(call)


class JittedWithReferences:
    """The functions of values that stand for one under jit: by the structure of the arguments and where references
    are among them."""

    __slots__ = ("jit", "known", "programs")

    def __init__(self, jit: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self.jit = jit
        self.known: weakref.WeakSet[Ref] = weakref.WeakSet()  # that it has reached for
        self.programs: dict[Any, tuple[Callable[..., Any], list[int]]] = {}  # and the references that they write to

    def __call__(self, call: Callable[[Sequence[Any]], Any], leaves: Sequence[Any], key: Any) -> Any:
        """``call(leaves)``, compiled, where some of the leaves are references or it reaches for others."""

        outside = sorted([r for r in self.known if _is_within(current_builder(), r._home)], key=id)
        places = tuple(i for i, x in enumerate(leaves) if type(x) is Ref)
        given = [leaves[i] for i in places]
        if len({*map(id, given), *map(id, outside)}) < len(given) + len(outside):
            raise FunctransValueError(
                f"a reference was given twice to a jitted function, or is used by it besides, at {here()}\n"
                "It would stand for two values: give it once."
            )
        full_key = (key, places, tuple(map(id, outside)))
        known = self.programs.get(full_key)
        if known is None:
            written: list[int] = []
            program = self.jit(_as_values(call, outside, places, len(leaves), written))
            known = self.programs[full_key] = program, written
        program, written = known
        rest = [x for x in leaves if type(x) is not Ref]
        result, values = program(_values(outside), _values(given), rest)
        _set([*outside, *given], values, written)
        return result


def _as_values(
    call: Callable[[Sequence[Any]], Any], outside: Sequence[Ref], places: tuple[int, ...], count: int,
    written: list[int],
) -> Callable[..., Any]:  # fmt: skip
    def of_values(outside_values: Sequence[Any], given: Sequence[Any], rest: Sequence[Any]) -> Any:
        arguments = [Ref(x, current_builder()) for x in given]
        references, others = iter(arguments), iter(rest)
        with _placed(outside, outside_values):
            result = call([next(references) if i in places else next(others) for i in range(count)])
            return result, _after([*outside, *arguments], [*outside_values, *given], written)

    return of_values


# -- functions ---------------------------------------------------------------------------------------------------------


@takes(pin=False)
def new_ref(init_val: Any, *, memory_space: None = None, kind: None = None) -> Ref:
    """A mutable reference to a copy of an array.

    Args:
      init_val: an array, a traced value or a number: its first value; its shape and dtype stay.
      memory_space, kind: None; JAX's kernels have others.

    Raises:
      TypeError: the value is none of these. ValueError: another memory space or kind.

    >>> import functrans as ft, numpy as np
    >>> r = ft.new_ref(np.float32([1, 2]))
    >>> r[0] = 5.0
    >>> r[...].tolist()
    [5.0, 2.0]
    """
    if isinstance(init_val, Ref):
        raise FunctransTypeError(f"new_ref: a reference to a reference was asked for, at {here()}\nPass ref[...].")
    if memory_space is not None or kind is not None:
        raise FunctransValueError(f"new_ref: memory_space and kind must be None, at {here()}")
    type_ = type_of(init_val)
    builder = current_builder()
    array = type(init_val) is Tracer or (isinstance(init_val, jax.Array) and not type_.weak_type)
    value = init_val if array else np.array(init_val, type_.dtype)
    if builder is None:
        return Ref(jax.device_put(value), None)
    return Ref(convert(builder.lift(value), type_.dtype), builder)


@api_boundary
def freeze(ref: Ref) -> Any:
    """What a reference holds; it cannot be used any more.

    >>> import functrans as ft
    >>> r = ft.new_ref(1.0)
    >>> float(ft.freeze(r))
    1.0
    """
    _check(ref, "freeze")
    value = ref._read()
    ref._is_frozen = True
    return value


@takes(memory_space=None, pin=False)
def empty_ref(ty: Any) -> Ref:
    """A reference to zeros of the shape and dtype that ``ty`` has.

    >>> import numpy as np, functrans as ft
    >>> ft.empty_ref(np.zeros(2, np.float32))[...].tolist()
    [0.0, 0.0]
    """
    return new_ref(full(tuple(ty.shape), 0, np.dtype(ty.dtype)))


@api_boundary
def free_ref(ref: Ref) -> None:
    """As ``freeze``, for who does not want what it holds.

    >>> import functrans as ft
    >>> ft.free_ref(ft.new_ref(1.0))
    """
    freeze(ref)


@api_boundary
def get(ref: Ref, idx: Any = None) -> Any:
    """``ref[idx]``; None: all of it."""
    _check(ref, "get")
    return ref[... if idx is None else idx]


@api_boundary
def set(ref: Ref, idx: Any, value: Any) -> None:
    """``ref[idx] = value``; None: all of it."""
    _check(ref, "set")
    ref[... if idx is None else idx] = value


@api_boundary
def swap(ref: Ref, idx: Any, value: Any) -> Any:
    """``ref[idx] = value``; what was there before.

    >>> import functrans as ft
    >>> r = ft.new_ref(1.0)
    >>> float(ft.ref.swap(r, None, 2.0)), float(r[...])
    (1.0, 2.0)
    """
    before = get(ref, idx)
    set(ref, idx, value)
    return before


@api_boundary
def addupdate(ref: Ref, idx: Any, x: Any) -> None:
    """``ref[idx] += x``; None: all of it. Where an index array names an element twice, both are added."""
    _check(ref, "addupdate")
    ref._write(... if idx is None else idx, x, "add")


def _check(ref: Any, what: str) -> None:
    if not isinstance(ref, Ref):
        raise FunctransTypeError(f"{what} takes a reference, got {describe(ref)} at {here()}")
