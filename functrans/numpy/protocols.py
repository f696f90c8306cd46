"""NumPy's own functions on traced values: ``np.sin(tracer)``, ``np.stack([tracer, ...])``, ``np.add.reduce(tracer)``.

They reach the function of the same name in ``functrans.numpy``. Arguments go by NumPy's names, since they may stand in
another order there (``density`` and ``weights`` of ``histogram``). A function that has no namesake, and an argument
that the namesake does not take, get a TypeError, never a silent conversion.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.trace.conversions import instead_of_call
from functrans.trace.frames import describe_place

Function = Callable[..., Any]


def array_ufunc(namespace: Mapping[str, Any]) -> Function:
    """The method ``__array_ufunc__``, looking functions up in ``namespace``."""

    def method(self: Any, ufunc: Any, how: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        method_name = name if how == "__call__" else f"{name}.{how}"
        own = f"functrans.numpy.{method_name}"
        called = f"np.{method_name}" if getattr(np, name, None) is ufunc else f"the universal function {method_name}"
        if options.pop("out", None) is not None:
            raise _refusal(called, "with out= would write a traced value into a NumPy array", "Use the returned array.")
        found = namespace.get(name)
        if how != "__call__":
            found = getattr(found, how, None)
        if found is None:
            raise _no_counterpart(called, name)
        if how == "at":
            fix = f"Use {own} with inplace=False, and the array that it returns."
            raise _refusal(called, "would change an array in place", fix)
        # what NumPy's own code passes where nothing is meant
        options = {k: v for k, v in options.items() if v is not np._NoValue and not (k == "where" and v is True)}
        lacking = options.keys() - _signature(found).parameters.keys() if options else ()
        if lacking:
            raise _not_taken(called, own, lacking)
        return _call(called, own, found, inputs, options)

    return method


def array_function(namespace: Mapping[str, Any]) -> Function:
    """The method ``__array_function__``, looking functions up in ``namespace``."""

    def method(self: Any, function: Any, types: Any, args: Any, options: Any) -> Any:
        module, name = function.__module__, function.__name__
        where: Any = namespace if module == "numpy" else None
        if where is None:
            inner = namespace.get(module.removeprefix("numpy."))
            where = vars(inner) if isinstance(inner, ModuleType) else {}
        found = where.get(name)
        called, own = f"{module.replace('numpy', 'np', 1)}.{name}", f"functrans.{module}.{name}"
        if found is None or not callable(found):
            raise _no_counterpart(called, name)
        if found is function:  # it reads the values, where there are some
            return inspect.unwrap(function)(*args, **options)
        meeting = _meeting(function, found)
        if meeting is None or (len(args) <= meeting.alike and options.keys() <= meeting.options):
            return _call(called, own, found, args, options)
        given = {**_signature(function).bind(*args, **options).arguments}
        given |= given.pop("kwargs", {})
        lacking = [k for k, v in given.items() if k not in meeting.own_names and not _is_default(function, k, v)]
        if lacking:
            raise _not_taken(called, own, lacking)
        ours = {meeting.own_names[k]: v for k, v in given.items() if k in meeting.own_names}
        bound = inspect.BoundArguments(_signature(found), ours)
        return _call(called, own, found, bound.args, bound.kwargs)

    return method


def _call(called: str, own: str, function: Function, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    try:
        return function(*args, **options)
    except Exception as error:
        error.add_note(f"{called} of a traced value is {own}.")
        raise


_signature = cache(inspect.signature)
_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD


class _Meeting(NamedTuple):
    """How arguments for a function of NumPy's go to ours."""

    alike: int  # parameters from the first on that are the same by position
    options: frozenset[str]  # what ours takes by name
    own_names: dict[str, str]  # of each parameter of NumPy's that ours has: the same, or what stands in its place


@cache
def _meeting(theirs: Function, ours: Function) -> _Meeting | None:
    """None where they take any number of arguments, or one shows no signature: arguments are passed on as they are."""
    try:
        signatures = _signature(theirs), _signature(ours)
    except ValueError:
        return None
    kinds = [{p.kind for p in s.parameters.values()} for s in signatures]
    if inspect.Parameter.VAR_POSITIONAL in kinds[0] | kinds[1] or inspect.Parameter.VAR_KEYWORD in kinds[1]:
        return None
    names, own = [[k for k, p in s.parameters.items() if p.kind in _POSITIONAL] for s in signatures]
    by_place = {k: mine for k, mine in zip(names, own, strict=False) if mine not in names}
    own_names = by_place | {k: k for k in signatures[1].parameters}
    same = [own_names.get(k) == mine for k, mine in zip(names, own, strict=False)]
    named = frozenset(k for k, p in signatures[1].parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY)
    return _Meeting([*same, False].index(False), named, own_names)


def _is_default(function: Function, parameter: str, value: Any) -> bool:
    known = _signature(function).parameters.get(parameter)
    default = inspect.Parameter.empty if known is None else known.default
    return value is default or (isinstance(value, str | int | float) and bool(value == default))


def _refusal(called: str, what: str, fix: str) -> FunctransTypeError:
    place, _ = instead_of_call()
    return FunctransTypeError(f"{called} {what}, at {describe_place(place)}\n{fix}")


def _not_taken(called: str, own: str, options: Iterable[str]) -> FunctransTypeError:
    names = ", ".join(f"{k}=" for k in sorted(options))
    return _refusal(
        called,
        f"was called on a traced value with {names}, which {own} does not take",
        "Leave it out; functrans.numpy.astype converts, and functrans.numpy.where chooses.",
    )


def _no_counterpart(called: str, name: str) -> FunctransTypeError:
    _, instead = instead_of_call()
    if f"functrans.numpy.{name} " in instead:
        instead = ""  # that is another function: np.emath.sqrt has complex results, functrans.numpy.sqrt has not
    fix = instead or (
        "Build it from functrans.numpy functions (vectorize and frompyfunc make them of functions of numbers), or "
        "compute it outside of the transformed function."
    )
    return _refusal(called, "was called on a traced value, and functrans.numpy has no function of that name", fix)
