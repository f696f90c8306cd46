"""Newton's method for systems of equations, with an exact Jacobian and a factorisation of it at each step.

Each step is halved until the sum of squares falls (Armijo's rule, as in Dennis and Schnabel, "Numerical Methods for
Unconstrained Optimization and Nonlinear Equations", 1983, chapter 6). A sparse Jacobian is factored by SuperLU.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

_DECREASE = 1e-4  # of the sum of squares, by at least this part of what the linear model promises
_SHORTEST = 2.0**-40

_GOING_ON = -1

MESSAGES = {
    1: "The last step was shorter than xtol.",
    2: "No residual is larger than fatol.",
    3: "The residual has reached its rounding errors.",
    _GOING_ON: "The number of iterations has reached maxiter.",
    -2: "The Jacobian is singular.",
    -3: "No part of Newton's step decreases the residual.",
    -4: "The residual is not finite.",
}


def newton_root(
    fun: Callable[[Any], Any],
    jacobian: Callable[[Any], Any],
    x: Any,
    epsilon: float,
    callback: Callable[..., Any] | None,
    xtol: float,
    fatol: float = 0.0,
    maxiter: int = 100,
) -> Any:
    """Find x ``[n]`` with ``fun(x) == 0`` from ``jacobian``, x -> ``[n, n]``, dense or a SciPy sparse array.

    ``epsilon``: the resolution in which ``fun`` computes. Returns a ``scipy.optimize.OptimizeResult``.
    """
    residual, evaluations, iterations = fun(x), 1, 0
    with np.errstate(over="ignore", invalid="ignore"):
        while (status := _status_of(residual, fatol)) == _GOING_ON and iterations < maxiter:
            iterations += 1
            step = _solution(jacobian(x), residual)
            if step is None:
                status = -2
                break
            part, found, tried = _shortened(fun, x, step, residual)
            evaluations += tried
            if found is None:
                status = 3 if np.linalg.norm(step) <= np.sqrt(epsilon) * np.linalg.norm(x) else -3
                break
            x, residual = x - part * step, found
            if callback is not None:
                callback(x, residual)
            if part * np.linalg.norm(step) <= xtol * (xtol + np.linalg.norm(x)):
                status = 1
                break
    return import_module("scipy.optimize").OptimizeResult(
        x=x, fun=residual, success=status > 0, status=status, message=MESSAGES[status], nfev=evaluations,
        njev=iterations, nit=iterations, method="newton",
    )  # fmt: skip


def _status_of(residual: Any, fatol: float) -> int:
    if not np.isfinite(residual @ residual):
        return -4
    return 2 if np.max(np.abs(residual)) <= fatol else _GOING_ON


def _shortened(fun: Callable[[Any], Any], x: Any, step: Any, residual: Any) -> tuple[float, Any, int]:
    """The part of the step that decreases the sum of squares, the residual there (None: no part does), evaluations."""
    squares, part, tried = residual @ residual, 1.0, 0
    while part >= _SHORTEST:
        found = fun(x - part * step)
        tried += 1
        if found @ found <= (1 - 2 * _DECREASE * part) * squares:
            return part, found, tried
        part /= 2
    return part, None, tried


def _solution(matrix: Any, side: Any) -> Any:
    """None where the matrix is singular."""
    if isinstance(matrix, np.ndarray):
        try:
            step = np.linalg.solve(matrix, side)
        except np.linalg.LinAlgError:
            return None
    else:
        try:
            step = import_module("scipy.sparse.linalg").splu(matrix.tocsc()).solve(side)
        except RuntimeError:  # SuperLU's word for it
            return None
    return step if np.isfinite(step).all() else None
