"""How the error of a numerical derivative depends on the step: the valley between truncation and rounding."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.api.arguments import check_callable
from functrans.derivatives.lines import Line
from functrans.derivatives.numerical import METHODS, complex_step
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.trace.frames import api_boundary, here


class Valley(NamedTuple):
    """``steps`` [n], and for each method the relative error at each of them, ``errors[method]`` [n]."""

    steps: Any
    errors: dict[str, Any]


@api_boundary
def valley(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    exact: Any = None,
    order: int = 1,
    steps: Sequence[float] | None = None,
) -> Valley:
    """The error of every method at every step, for a function that is as in ``derivative_along``.

    Args:
      fun, primals, tangents, order: as for ``derivative_along``.
      exact: the derivative that errors are measured from, a tree like the result of ``fun``; by default that of method
        'automatic', and errors below its own then mean nothing.
      steps: positive numbers; by default four a decade, from the size of the point to that times epsilon.

    Returns:
      ``Valley(steps, errors)``; the methods are 'central 2', 'central 4' ... (their accuracy), 'richardson', whose step
      is the widest of those it takes, and for first derivatives 'complex' where ``fun`` takes complex numbers. An error
      is the largest of any element, relative to the largest of the derivative; NaN where ``fun`` is not defined.

    Raises:
      TypeError, ValueError: as for ``derivative_along``; ``exact`` is not like the result.

    >>> import numpy as np
    >>> steps, errors = valley(np.exp, (1.0,), (1.0,), exact=np.e)
    >>> for method in ("central 2", "central 8", "complex"):
    ...     print(f"{method}: the best step is about 1e{np.log10(steps[np.nanargmin(errors[method])]):.0f}")
    central 2: the best step is about 1e-6
    central 8: the best step is about 1e-2
    complex: the best step is about 1e-8
    """
    check_callable(fun, "valley")
    line = Line("valley", fun, primals, tangents)
    if not line.speed:
        raise FunctransValueError(f"valley: the tangents are zero, and no step moves the point, at {here()}")
    if steps is None:
        top = math.log10(line.widest)
        steps = [10.0 ** (top - i / 4) for i in range(int(-4 * math.log10(line.eps)))]
    elif not all(isinstance(h, int | float | np.number) and h > 0 for h in steps):
        raise FunctransValueError(f"valley: steps must be positive numbers, got {describe(steps)}, at {here()}")
    if exact is None:
        wanted = METHODS["automatic"](line, order, 2, None)[0]
    else:
        leaves = [np.asarray(x) for x in jax.tree_util.tree_leaves(exact)]
        if [x.shape for x in leaves] != [shape for shape, _ in line.shapes]:
            raise FunctransTypeError(
                f"valley: exact has shapes {[x.shape for x in leaves]}, and the function's result "
                f"{[shape for shape, _ in line.shapes]}, at {here()}"
            )
        wanted = line.joined(leaves)
    scale = np.max(np.abs(wanted), initial=0.0) or 1.0
    ways: dict[str, Callable[[float], Any]] = {
        f"central {p}": functools.partial(_by, "central", line, order, p) for p in (2, 4, 6, 8)
    }
    ways["richardson"] = functools.partial(_by, "richardson", line, order, 2)
    try:
        METHODS["complex"](line, order, 2, None)
        ways["complex"] = functools.partial(complex_step, line)
    except (FunctransTypeError, FunctransValueError):
        pass  # a function that the complex step is not for has no such curve
    errors = {
        name: np.array([float(np.max(np.abs(way(float(h)) - wanted), initial=0.0)) / scale for h in steps])
        for name, way in ways.items()
    }
    return Valley(np.array(steps, float), errors)


def _by(method: str, line: Line, order: int, accuracy: int, step: float) -> Any:
    return METHODS[method](line, order, accuracy, step)[0]
