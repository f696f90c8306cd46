"""Tolerances for functions that compute in less than double precision.

SciPy's usual tolerances are for float64, and lie below the resolution of float32: a solver that waits for them fails or
goes on for nothing. Where the caller gives none, these take their place, and a warning says so:

- for relative changes of x and of the objective (``xtol``, ``ftol``, and all of ``least_squares``) 8 eps;
- for the gradient of an objective (``gtol`` of ``minimize``) sqrt(eps): values known to eps tell no smaller slope.

The eps is that of the coarsest dtype of ``x0`` and of the result; for float32 these are 9.5e-7 and 3.5e-4. A tolerance
of SciPy's that is coarser stays. Where the least value is far from zero and the function steep around it, rounding
errors may be all that is left before a gradient falls so low; SciPy reports that, and ``success`` is False.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from functrans.errors import warn

Usual = Mapping[str, float]  # tolerances by name, as SciPy has them when none are given

_DOUBLE = 2.0**-52
_SLOPE = {"gtol": 1e-4}
MINIMIZE: dict[str, Usual] = {
    "bfgs": {"gtol": 1e-5},
    "cg": {"gtol": 1e-5},
    "dogleg": _SLOPE,
    "l-bfgs-b": {"ftol": 2.22e-9, "gtol": 1e-5},
    "newton-cg": {"xtol": 1e-5},
    "slsqp": {"ftol": 1e-6},
    "tnc": {"ftol": 0.0, "gtol": 1.5e-10, "xtol": 1.5e-8},
    "trust-constr": {"gtol": 1e-8, "xtol": 1e-8},
    "trust-exact": _SLOPE,
    "trust-krylov": _SLOPE,
    "trust-ncg": _SLOPE,
}
LEAST_SQUARES: Usual = {"ftol": 1e-8, "gtol": 1e-8, "xtol": 1e-8}
ROOT: dict[str, Usual] = {
    "df-sane": {"ftol": 1e-8},
    "hybr": {"xtol": 1.49e-8},
    "lm": {"ftol": 1.49e-8, "xtol": 1.49e-8},
    "newton": {"xtol": 1.49e-8},
}


def coarsened(what: str, epsilon: float, usual: Usual, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the tolerances that are not among them and have to be coarser than usual; warns of them."""
    if epsilon <= _DOUBLE:
        return dict(options)
    slopes = math.sqrt(epsilon) if what == "minimize" else 8 * epsilon
    least = {"ftol": 8 * epsilon, "gtol": slopes, "xtol": 8 * epsilon}
    changed = {name: least[name] for name, value in usual.items() if name not in options and value < least[name]}
    if not changed:
        return dict(options)
    names = ", ".join(f"{name}={value:.2g} (for {usual[name]:.2g})" for name, value in changed.items())
    warn(
        f"{what}: the function computes to a relative precision of {epsilon:.2g}, which SciPy's usual tolerances are "
        f"below; in their place stand {names}.\nGive tolerances to choose them yourself, or compute in float64: "
        "functrans.config.update('jax_enable_x64', True), and x0 of that dtype."
    )
    return {**options, **changed}
