"""``jax.experimental.checkify``: its check, an operation of JAX, and how it looks at operations that are not JAX's own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax.extend.core.primitives as jax_primitives
from jax.tree_util import tree_flatten, tree_structure, tree_unflatten

from functrans.jaxlib_compat.versions import private

_checkify, _core = private(
    {
        "jax._src.checkify": (
            "DivisionByZeroError",
            "Error._add_placeholder_effects",
            "Error._code",
            "Error._metadata",
            "Error._payload",
            "Error._pred",
            "NaNError",
            "OOBError",
            "assert_func",
            "check_nans",
            "check_p.bind",
            "check_p.impl",
            "checkify_jaxpr",
            "error_checks",
            "jaxpr_to_checkify_jaxpr",
        ),
        "jax._src.core": ("typeof",),
    }
)

_WITH_CONTEXT = str(inspect.signature(_checkify.assert_func)).startswith("(ctx")  # from jax 0.12 on


# -- the check of a user -----------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """Where the values of one kind of error stand among those of a check: whether it happened, and which, and what its
    message shows.
    """

    happened: int
    code: int
    shown: tuple[int, ...]


def kinds_of_errors(tree: Any, count: int) -> list[Kind]:
    """The kinds that a check of ``count`` values, whose errors have this tree, tells apart."""
    error = tree_unflatten(tree, range(count))
    return [Kind(place, error._code[kind], tuple(error._payload[kind])) for kind, place in error._pred.items()]


def same_errors(tree: Any, count: int, codes: Sequence[int]) -> Hashable:
    """What such a check, with these codes, shares with one that the same line wrote in another trace: JAX numbers them
    anew.
    """
    error = tree_unflatten(tree, range(count))
    found: list[Hashable] = []
    for kind, code in zip(error._pred, codes, strict=True):
        exception = tree_unflatten(error._metadata[code], error._payload[kind])
        exception.traceback_info = None
        found += [kind, tree_structure(exception)]
    return tuple(found)


def bind_check(tree: Any, debug: bool, values: Sequence[Any]) -> None:
    """The operation of JAX."""
    _checkify.check_p.bind(*values, err_tree=tree, debug=debug)


def raise_error(tree: Any, values: Sequence[Any]) -> None:
    """Raise the JaxRuntimeError of a check, if one of its errors happened."""
    _checkify.check_p.impl(*values, err_tree=tree, debug=False)


# -- operations that are not JAX's own ---------------------------------------------------------------------------------


class _Named(NamedTuple):
    name: str
    multiple_results: bool = True


_OTHER_NAMES = {"select": "select_n"}


@functools.cache
def makes_nans(name: str) -> bool:
    """Whether ``checkify`` looks for NaNs that the operation of this name makes: all that are not JAX's own, and those
    of JAX's that it has in its table.
    """
    primitive = getattr(jax_primitives, f"{_OTHER_NAMES.get(name, name)}_p", None)
    return primitive is None or primitive in _checkify.error_checks


class Looking:
    """What ``checkify`` looks for while it goes through a program, and the error found so far."""

    def __init__(self, context: tuple[Any, ...], error: Any, enabled: Any) -> None:
        self._context, self.error, self._enabled = context, error, enabled
        self.nans, self.divisions, self.indices = (
            kind in enabled for kind in (_checkify.NaNError, _checkify.DivisionByZeroError, _checkify.OOBError)
        )

    def look_for_nans(self, name: str, results: Sequence[Any]) -> None:
        """Among the results of the operation of this name."""
        self.error = _checkify.check_nans(_Named(name), *self._context, self.error, self._enabled, results)

    def look_into(self, closed: Any, operands: Sequence[Any], rules: bool) -> list[Any]:
        """The results of a program of JAX, closed, in which ``checkify`` looks at each operation.

        ``rules``: whether there are functions with derivative rules among these, which give no other kinds of errors
        than they are given: then all kinds are there beforehand.
        """
        if rules:
            flat, tree = tree_flatten(self.error)
            types = list(map(_core.typeof, (*flat, *operands)))
            kinds = _checkify.jaxpr_to_checkify_jaxpr(*self._context, closed, self._enabled, tree, *types)[2]
            self.error = self.error._add_placeholder_effects(kinds)
        self.error, results = _checkify.checkify_jaxpr(*self._context, closed, self._enabled, self.error, *operands)
        return list(results)


def register(primitive: Any, rule: Callable[..., Any]) -> None:
    """``rule(looking, *operands, **params)`` returns the results of the operation."""

    def with_error(*args: Any, **params: Any) -> Any:
        count = 1 if _WITH_CONTEXT else 0
        looking = Looking(args[:count], *args[count : count + 2])
        results = rule(looking, *args[count + 2 :], **params)
        return looking.error, results

    _checkify.error_checks[primitive] = with_error
