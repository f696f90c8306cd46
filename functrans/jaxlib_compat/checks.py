"""``jax.experimental.checkify``: how its automatic checks look at an operation that is not JAX's own."""

from __future__ import annotations

import inspect
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


_WITH_CONTEXT = str(inspect.signature(_checkify.assert_func)).startswith("(ctx")  # from jax 0.12 on


class _Named(NamedTuple):
    name: str
    multiple_results: bool = True


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

    def divides(self, by_zero: Any) -> None:
        """A division, by zero where the flag says so."""
        error = _checkify.DivisionByZeroError(_checkify.get_traceback())
        self.error = _checkify.assert_func(*self._context, self.error, by_zero, error)


def register(primitive: Any, rule: Callable[..., Any]) -> None:
    """``rule(looking, *operands, **params)`` returns the results of the operation."""

    def with_error(*args: Any, **params: Any) -> Any:
        count = 1 if _WITH_CONTEXT else 0
        looking = Looking(args[:count], *args[count : count + 2])
        results = rule(looking, *args[count + 2 :], **params)
        return looking.error, results

    _checkify.error_checks[primitive] = with_error
