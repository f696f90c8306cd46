"""Mutable references: ``r = new_ref(x); r[i] = y; r[...]``. They are state of the function, and its program has none.

    total = new_ref(0.0)
    scan(lambda c, x: (c, total.__setitem__(..., total[...] + x)), c, xs)     becomes
    (c, t), _ = scan(lambda (c, t), x: ((c, t + x), None), (c, total), xs);  total = t

A reference holds its present value, in the trace where it lives. A trace that uses one from outside *borrows* it: its
value is a captured one, and where it was written to its last value is one more result, which whoever traces puts into
the reference where the trace ends. That is then a write in the trace around, and so on as far as the one where the
reference lives. Programs stay functions of their inputs, every transform takes them as they are, and an error while
tracing leaves references as they were: what is borrowed is kept by the trace (``Builder.references``).

A reference given as an argument is one that the function closes over; only where it is one of many slices or lanes, or
where the program is kept for other references, its value is an argument and a result (``Given``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, describe, is_differentiable, short_dtype, type_of
from functrans.ops.structural import convert, full, stop_gradient
from functrans.trace.builder import NEVER, Builder
from functrans.trace.frames import api_boundary, here
from functrans.trace.keywords import takes
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer
from functrans.trace.values import differentiators

_OUTLET = (
    "Give it as an argument that is mapped, make it inside and return what it holds, or return the value and write it "
    "outside."
)


class Ref:
    """A mutable array: ``r[key]`` reads, ``r[key] = value`` writes, ``r[...]`` is all of it.

    It may be created, read and written anywhere, and given as an argument (once) or closed over. Under ``vmap`` one
    from outside is read alone, unless it is an argument that is mapped: then each lane has its part; ``scan`` has
    slices likewise. What is written to one from outside must not depend on what is differentiated by. What is written
    is converted like an operand: Python numbers take the dtype, arrays must have it.

    >>> import functrans as ft, numpy as np
    >>> total = ft.new_ref(np.zeros(2, np.float32))
    >>> add = ft.jit(lambda x: total.__setitem__(1, total[1] + x))
    >>> add(2.0); add(3.0)
    >>> total[...].tolist()
    [0.0, 5.0]
    """

    __slots__ = ("__weakref__", "_home", "_is_frozen", "_of", "_sliced", "_stops", "_thread", "_value")
    instead = "It is a mutable reference: use what it holds, ref[...]; functrans.new_ref(value) makes one of a value."

    def __init__(self, value: Any, home: Builder | None, stops: bool = False) -> None:
        self._value = value
        self._home = home
        self._stops = stops  # the derivatives of what is written
        self._is_frozen = False
        self._of: Ref | None = None  # the one that was given, if this stands for it in a function
        self._sliced = False  # for a part of it
        self._thread: Thread | None = None

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
        shown = repr(self._value)
        return f"Ref{shown.removeprefix('Array')}" if shown.startswith("Array(") else f"Ref({shown})"

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

    def thread(self) -> Thread:
        """The state of the backward pass around, in which a ``bwd`` rule writes to it; raises TypeError where there is
        none: it is of this one if it lives outside of what is pulled back, else of the one that this stands for."""
        r: Ref | None = self
        while r is not None:
            if r._is_pulled_back():
                if r._thread is None:
                    r._thread = Thread(r)
                return r._thread
            r = None if r._sliced else r._of
        raise FunctransTypeError(
            "a bwd rule was to be given a mutable reference, and no gradient is taken between the place where the "
            f"reference was made and the function with the rule, at {here()}\nTake it by grad, value_and_grad or vjp, "
            "and make the reference outside (one that scan or vmap has cut is made there); or let fwd return what it "
            "holds, ref[...]."
        )

    def _is_pulled_back(self) -> bool:
        return is_pulled_back(self._home)

    def threads(self, builder: Builder) -> bool:
        """Whether it is a thread that begins in this trace."""
        return False

    def like(self, value: Any) -> Ref:
        """One that lives here, in its place."""
        return Ref(value, current_builder(), self._stops)

    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.shape, self.dtype)  # type: ignore[no-untyped-call]

    def _read(self) -> Any:
        if self._is_frozen:
            raise FunctransValueError(f"a reference was used after freeze, at {here()}")
        return self._in(current_builder())

    def _in(self, builder: Builder | None) -> Any:
        """What it holds in a trace, which borrows it if it lives outside."""
        if builder is self._home:
            return self._value
        if builder is None:
            raise FunctransValueError(
                f"a reference made in {self._home.purpose if self._home else 'another trace'} was used outside of it, "
                f"at {here()}\nReturn what it holds, ref[...] or freeze(ref)."
            )
        found = builder.references.get(self)
        if found is None:
            outer = self._in(builder.parent)
            if builder.lends is NEVER:
                return outer
            found = builder.borrow(self, outer)
        return found.value

    def _write(self, key: Any, value: Any, way: str = "set") -> None:
        held = self._read()
        given = type_of(value)
        if given.dtype != self.dtype and not given.weak_type:
            raise FunctransTypeError(
                f"a reference of dtype {short_dtype(self.dtype)} was to be set to {given}, at {here()}\n"
                f"Convert it with .astype({self.dtype.name!r})."
            )
        if self._stops:
            value = stop_gradient(value)
        self._put(getattr(held.at[key], way)(value))

    def _put(self, value: Any) -> None:
        """Let it hold a value in this trace; raises TypeError where a trace on the way to its own cannot hand it on."""
        builder = current_builder()
        self._in(builder)
        crossed = []
        while builder is not self._home:
            assert builder is not None
            if builder.lends is NEVER:
                raise FunctransTypeError(
                    f"a reference from outside was written to in {builder.purpose}, which cannot hand the value on, at "
                    f"{here()}\n{builder.outlet or _OUTLET}"
                )
            crossed.append(builder)
            builder = builder.parent
        if not crossed:
            self._value = value
            return
        if not differentiators(value).isdisjoint(crossed):
            raise FunctransTypeError(
                "a reference from outside was set to a value that depends on what is differentiated by, at "
                f"{here()}\nIt would lose its derivative: write functrans.lax.stop_gradient(value), make the reference "
                "inside, or return the value with has_aux=True and write it outside."
            )
        crossed[0].references[self].value = value


class Thread(Ref):
    """The state of a backward pass: by it a ``bwd`` rule writes to a reference.

    Forward it is a value of the reference's type that passes from one call of such a function to the next, as what the
    reference holds does, and is zero. A trace that is differentiated (``Builder.pulls_back``) has its first value among
    the arguments that are differentiated by: the cotangent of its last value is what the reference holds when the
    backward pass begins, that of the first what it holds at the end, and each rule makes of the one after it the one
    before.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: Ref) -> None:
        super().__init__(np.zeros(reference.shape, reference.dtype), reference._home)
        self.reference = reference

    @property
    def type(self) -> ArrayType:
        return type_of(self._value)

    def threads(self, builder: Builder) -> bool:
        return builder.pulls_back and builder is not self._home

    def _in(self, builder: Builder | None) -> Any:
        assert builder is not None
        found = builder.references.get(self)
        if found is None:
            if builder.pulls_back:
                found = builder.borrow(self, self._value, apart=True)
            else:
                found = builder.borrow(self, self._in(builder.parent), apart=True)
        return found.value

    def _put(self, value: Any) -> None:
        builder = current_builder()
        self._in(builder)
        assert builder is not None
        builder.references[self].value = value


class Given:
    """The references among the leaves of arguments, where the function gets others in their place: their values go in,
    and what the function has written comes out."""

    __slots__ = ("_entries", "_inner", "outer", "places", "sliced", "what")

    def __init__(self, what: str, leaves: Sequence[Any], sliced: bool = False) -> None:
        self.what, self.sliced = what, sliced
        self.places = tuple([i for i, x in enumerate(leaves) if isinstance(x, Ref)])
        self.outer: list[Ref] = [leaves[i] for i in self.places]
        check_given_once(what, self.outer)
        self._inner: list[Ref] = []
        self._entries: list[Any] = []

    @property
    def kinds(self) -> tuple[Any, ...]:
        """What a program that is kept for others like them depends on."""
        return tuple([(i, r._stops) for i, r in zip(self.places, self.outer, strict=True)])

    def enter(self, inputs: Sequence[Any]) -> list[Any]:
        """The leaves for the function: references that live in this trace, in place of their values."""
        found, builder = list(inputs), current_builder()
        self._entries = [found[i] for i in self.places]
        self._inner = [Ref(x, builder, r._stops) for x, r in zip(self._entries, self.outer, strict=True)]
        for i, r, outer in zip(self.places, self._inner, self.outer, strict=True):
            found[i] = r
            r._of, r._sliced = outer, self.sliced
        return found

    def leave(self, always: bool = False) -> list[Any]:
        """What they hold at the end of the function; None for one that it has not written to, unless ``always``."""
        builder = current_builder()
        if not always and builder is not None and not builder.references.keys().isdisjoint(self.outer):
            raise FunctransValueError(
                f"a reference was given to {self.what}, and the function uses it from outside besides, at {here()}\n"
                "It would stand for two values: use the argument alone."
            )
        ends = zip(self._inner, self._entries, strict=True)
        return [r._value if always or r._value is not x else None for r, x in ends]

    def written(self) -> list[Ref]:
        """The references that the function wrote to: of those given, and from outside."""
        builder = current_builder()
        besides = [] if builder is None else [x.reference for x in builder.written()]
        return [*[r for r, x in zip(self.outer, self.leave(), strict=True) if x is not None], *besides]

    def given_for(self, inner: Any, name: str) -> Ref:
        """The reference that another in the function stands for, to hand it to a backward rule."""
        for r, x in zip(self.outer, self._inner, strict=True):
            if x is inner and is_differentiable(r.dtype):
                return r
        raise FunctransTypeError(
            f"a residual returned by the fwd rule of {name} is a mutable reference that is not one of its arguments, "
            f"or is of no floating dtype, at {here()}\nPass the reference as an argument of {name}, or return what it "
            "holds, ref[...]."
        )

    def ends(self, references: Sequence[Ref], what: str) -> list[Any]:
        """What these hold at the end of a function; raises TypeError where it wrote to another."""
        inner = dict(zip(self.outer, self._inner, strict=True))
        if not frozenset(self.written()) <= frozenset(references):
            raise FunctransTypeError(
                f"{what} writes to a mutable reference that the function itself does not write to, at {here()}\n"
                "Write to the same references in both: which of them runs depends on whether a derivative is taken."
            )
        return [inner[r]._value if r in inner else r._in(current_builder()) for r in references]

    def forget(self) -> None:
        """Hold no value of the trace of the function any more."""
        self._inner = []
        self._entries = []

    def put(self, values: Sequence[Any]) -> None:
        """Put what came out into the references given."""
        for r, x in zip(self.outer, values, strict=True):
            if x is not None:
                r._put(x)


def is_pulled_back(home: Builder | None = None) -> bool:
    """Whether a backward pass can write to references that live in ``home``."""
    builder = current_builder()
    while builder is not None and builder is not home and not builder.pulls_back:
        if builder.lends is NEVER:
            return False
        builder = builder.parent
    return builder is not None and builder is not home


def is_reference(x: Any) -> bool:
    return isinstance(x, Ref)


def check_given_once(what: str, leaves: Sequence[Any]) -> None:
    """Raise ValueError where a reference is twice among the leaves of arguments."""
    found = [x for x in leaves if isinstance(x, Ref)]
    if len({*map(id, found)}) < len(found):
        raise FunctransValueError(
            f"a reference was given twice to {what}, at {here()}\nIt would stand for two values: give it once."
        )


def values_in(leaves: Sequence[Any]) -> list[Any]:
    """Leaves of arguments with what references hold in their place."""
    return [x._read() if isinstance(x, Ref) else x for x in leaves]


def put(references: Iterable[Ref], values: Iterable[Any]) -> None:
    """The end of a trace: put what references from outside held there into them."""
    for r, x in zip(references, values, strict=False):
        r._put(x)


# -- functions ---------------------------------------------------------------------------------------------------------


@takes(pin=False)
def new_ref(init_val: Any, *, memory_space: None = None, kind: str | None = None) -> Ref:
    """A mutable reference to a copy of an array.

    Args:
      init_val: an array, a traced value or a number: its first value; its shape and dtype stay.
      memory_space: None; JAX's kernels have others.
      kind: ``"no_grad_no_remat"``: what is written to it has no derivative, wherever it is from; else None.

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
    if memory_space is not None or kind not in (None, "no_grad_no_remat"):
        raise FunctransValueError(
            f"new_ref: memory_space must be None, and kind None or 'no_grad_no_remat', at {here()}"
        )
    stops = kind is not None
    type_ = type_of(init_val)
    builder = current_builder()
    array = type(init_val) is Tracer or (isinstance(init_val, jax.Array) and not type_.weak_type)
    value = init_val if array else np.array(init_val, type_.dtype)
    if builder is None:
        return Ref(jax.device_put(value), None, stops)
    return Ref(convert(builder.lift(value), type_.dtype), builder, stops)


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
