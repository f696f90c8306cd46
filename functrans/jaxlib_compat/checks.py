"""``jax.experimental.checkify``: how its automatic checks look at an operation that is not JAX's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrans.jaxlib_compat.versions import private

(_checkify,) = private(
    {
        "jax._src.checkify": (
            "DivisionByZeroError",
            "NaNError",
            "OOBError",
            "assert_func",
            "check_nans",
            "error_checks",
            "get_traceback",
        )
    }
)


class Wanted(NamedTuple):
    """What ``checkify`` was asked to look for."""

    nans: bool
    divisions: bool
    indices: bool


def wanted(enabled: Any) -> Wanted:
    """Of the kinds of errors that checkify hands to a rule."""
    kinds = (_checkify.NaNError, _checkify.DivisionByZeroError, _checkify.OOBError)
    return Wanted(*[kind in enabled for kind in kinds])


class _Named(NamedTuple):
    name: str
    multiple_results: bool = True


def with_nans(error: Any, enabled: Any, name: str, results: Sequence[Any]) -> Any:
    """The error, and that of a NaN among the results of the operation of this name."""
    return _checkify.check_nans(_Named(name), error, enabled, results)


def with_division(error: Any, is_zero: Any) -> Any:
    """The error, and that of a division by zero where a flag says so."""
    return _checkify.assert_func(error, is_zero, _checkify.DivisionByZeroError(_checkify.get_traceback()))


def register(primitive: Any, rule: Callable[..., Any]) -> None:
    """``rule(error, enabled, *operands, **params)`` returns the error and the results of the operation."""
    _checkify.error_checks[primitive] = rule
