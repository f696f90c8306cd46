"""Bounds and constraints on a pytree, as SciPy's of its flattened vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import jax
import numpy as np

from functrans.derivatives.flat_functions import FlatFunction
from functrans.derivatives.flattening import Flattening
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.trace.frames import here


def flat_bounds(what: str, bounds: Any, variables: Flattening) -> Any:
    """``scipy.optimize.Bounds`` of the flattened variables; None where there are none."""
    kind = import_module("scipy.optimize").Bounds
    if bounds is None or isinstance(bounds, kind):
        return bounds
    if isinstance(bounds, list) and what == "minimize":
        if len(bounds) != variables.size or not all(isinstance(b, Sequence) and len(b) == 2 for b in bounds):
            raise FunctransValueError(
                f"{what}: a list of bounds must hold a pair (lower, upper) for each of the {variables.size} elements "
                f"of x0, at {here()}"
            )
        lower = [-np.inf if low is None else low for low, _ in bounds]
        return kind(lower, [np.inf if high is None else high for _, high in bounds])
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise FunctransTypeError(
            f"{what}: bounds must be a tuple (lower, upper), each a number or a tree like x0, or a "
            f"scipy.optimize.Bounds, got {describe(bounds)} at {here()}"
        )
    lower = _side(what, "lower", bounds[0], -np.inf, variables)
    upper = _side(what, "upper", bounds[1], np.inf, variables)
    return kind(lower, upper)


def _side(what: str, name: str, side: Any, fill: float, variables: Flattening) -> Any:
    """A number or a tree like the variables, of which None is no bound -> ``[n]``."""
    leaves, tree = jax.tree_util.tree_flatten(side, is_leaf=lambda x: x is None)
    if jax.tree_util.treedef_is_leaf(variables.tree) and what != "minimize":
        leaves, tree = [side], variables.tree  # a list of numbers is an array
    elif jax.tree_util.treedef_is_leaf(tree) and np.ndim(leaves[0]) == 0:
        leaves, tree = leaves * len(variables.types), variables.tree
    if tree != variables.tree:
        pairs = "\nA pair for each element of x0 stands in a list: [(lower, upper), ...]." if what == "minimize" else ""
        raise FunctransTypeError(
            f"{what}: the {name} bounds must be a number or a tree like x0, at {here()}\n  bounds: {tree}\n  x0:     "
            f"{variables.tree}{pairs}"
        )
    parts = []
    for x, t in zip(leaves, variables.types, strict=True):
        try:
            part = np.broadcast_to(np.asarray(fill if x is None else x, np.float64), t.shape)
        except (TypeError, ValueError):
            raise FunctransValueError(
                f"{what}: {name} bounds must be numbers that broadcast to those of x0, {t}, got {describe(x)} at "
                f"{here()}"
            ) from None
        parts.append(part.reshape(-1))
    return np.concatenate(parts)


def flat_constraint(what: str, constraint: Any, x0: Any, method: str, sparse: bool) -> Any:
    """A constraint on trees like ``x0`` as one on vectors, with its exact derivatives. ``sparse``: its Jacobian."""
    optimize = import_module("scipy.optimize")
    if isinstance(constraint, optimize.LinearConstraint):
        return constraint
    if isinstance(constraint, optimize.NonlinearConstraint):
        if callable(constraint.jac) or callable(constraint.hess):
            raise FunctransTypeError(
                f"{what}: the derivatives of a constraint are those that functrans finds: leave jac and hess out of "
                f"the NonlinearConstraint, at {here()}"
            )
        flat = FlatFunction(f"{what} (a constraint)", constraint.fun, x0)
        second = {"hess": flat.weighted_hessian()} if method == "trust-constr" else {}
        return optimize.NonlinearConstraint(
            flat.vector(), constraint.lb, constraint.ub, flat.jacobian(sparse),
            keep_feasible=constraint.keep_feasible, **second,
        )  # fmt: skip
    if isinstance(constraint, Mapping) and {"type", "fun"} <= constraint.keys() <= {"type", "fun", "args"}:
        flat = FlatFunction(f"{what} (a constraint)", constraint["fun"], x0, constraint.get("args", ()))
        return {"type": constraint["type"], "fun": flat.vector(), "jac": flat.jacobian()}
    raise FunctransTypeError(
        f"{what}: a constraint must be a scipy.optimize.LinearConstraint or NonlinearConstraint, or a dictionary with "
        f"'type', 'fun' and perhaps 'args', got {describe(constraint)} at {here()}"
    )
