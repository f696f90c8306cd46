"""SciPy's optimisers for functions of pytrees, with exact derivatives: ``least_squares``, ``minimize``, ``root``.

Names, options and results are those of ``scipy.optimize``; the solution has the tree, shapes and dtypes of ``x0``. What
SciPy itself computes is in float64; the function computes in the dtypes of ``x0``, which is float32 where 64-bit types
are off. What becomes of tolerances then stands in ``tolerances``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from jax.tree_util import treedef_is_leaf

from functrans.derivatives.flat_functions import FlatFunction
from functrans.derivatives.newton import newton_root
from functrans.derivatives.restrictions import flat_bounds, flat_constraint
from functrans.derivatives.tolerances import LEAST_SQUARES, MINIMIZE, ROOT, coarsened
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.trace.frames import api_boundary, here

_WITHOUT_GRADIENT = ("cobyla", "cobyqa", "nelder-mead", "powell")
_BY_PRODUCTS = ("newton-cg", "trust-constr", "trust-krylov", "trust-ncg")  # methods that need no Hessian but products
_BY_FACTORS = ("dogleg", "trust-exact")
_WITH_JACOBIAN = ("hybr", "lm", "newton")  # methods of root


@api_boundary
def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str | Callable[..., Any] | None = None,
    *,
    hessian: str | None = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Minimise ``fun(x, *args)`` by ``scipy.optimize.minimize``; value and gradient come from one compiled call.

    Args:
      fun: a function with a real floating scalar result ``[]``, compiled as by ``jit``: it is not traced at each call.
      x0: where to start, a pytree of real floating arrays.
      args: further arguments, as what ``fun`` closes over: a new number compiles again, a new array does not.
      method: SciPy's name of a method, or a function as SciPy takes it; None for BFGS, with bounds L-BFGS-B, with
        constraints SLSQP.
      hessian: how a method gets the exact Hessian. ``"product"``: by products with vectors, the function linearized
        once at each x. ``"sparse"``: by products with a ``csr_array``; Jacobians of constraints are sparse too.
        ``"dense"``: as a matrix. None for products where the method takes them (Newton-CG, trust-ncg, trust-krylov,
        trust-constr), and dense where it needs the matrix (dogleg, trust-exact).
      bounds: ``(lower, upper)``, each a number, or a tree like ``x0`` of numbers (None for none) and arrays that
        broadcast; or, of the elements of the flattened ``x0``, a ``scipy.optimize.Bounds`` or a list of pairs.
      constraints: one of SciPy's constraints or a sequence of them. The function of a ``NonlinearConstraint`` or of a
        dictionary takes a tree like ``x0`` and has any real floating result; its Jacobian is exact, and for
        trust-constr its Hessian. A ``LinearConstraint`` is one of the flattened ``x0``.
      tol, callback, options: as SciPy's; a callback is given trees.

    Returns:
      ``scipy.optimize.OptimizeResult``: ``x`` is a tree like ``x0``, all else as SciPy has it for the flattened one.

    Raises:
      TypeError: ``x0`` is not real and floating, the result no real scalar, or ``minimize`` is called in a trace.
      ValueError: the method does not take such a Hessian, bounds or constraints do not fit.

    Warns where tolerances are not SciPy's because ``fun`` computes in less than float64.

    >>> import numpy as np
    >>> from functrans.derivatives import minimize
    >>> def rosenbrock(p):
    ...     return (1.0 - p["x"]) ** 2 + 100.0 * (p["y"] - p["x"] ** 2) ** 2
    >>> start = {"x": np.float32(-1.2), "y": np.float32(1.0)}
    >>> result = minimize(rosenbrock, start, method="trust-ncg", tol=1e-3)
    >>> result.success, {name: round(float(value), 2) for name, value in result.x.items()}
    (True, {'x': 1.0, 'y': 1.0})
    """
    what = "minimize"
    flat = FlatFunction(what, fun, x0, args)
    if not treedef_is_leaf(flat.rows.tree) or flat.rows.types[0].shape:
        raise FunctransTypeError(
            f"{what} needs a function with a scalar result, and it returned {_shown(flat)} at {here()}\n"
            "Reduce it (sum or mean), or use least_squares for residuals whose squares add up."
        )
    restrictions = list(constraints) if isinstance(constraints, Sequence) else [constraints]
    if method is None:
        method = "SLSQP" if restrictions else "L-BFGS-B" if bounds is not None else "BFGS"
    name = "" if callable(method) else _lower_case(what, method)
    derivatives = _second_derivatives(flat, name, hessian)
    if name in _WITHOUT_GRADIENT:
        objective: Callable[[Any], Any] = flat.value()
    else:
        objective, derivatives["jac"] = flat.value_and_gradient(), True
    if tol is None:
        options = coarsened(what, flat.epsilon, MINIMIZE.get(name, {}), options or {})
    result = import_module("scipy.optimize").minimize(
        objective,
        flat.start,
        method=method,
        bounds=flat_bounds(what, bounds, flat.columns),
        constraints=[flat_constraint(what, c, x0, name, hessian == "sparse") for c in restrictions],
        tol=tol,
        callback=_of_trees(flat, callback),
        options=options,
        **derivatives,
    )
    result.x = flat.tree(result.x)
    return result


def _second_derivatives(flat: FlatFunction, method: str, hessian: str | None) -> dict[str, Any]:
    """What SciPy is given for the Hessian. ``method``: empty for a function of the user's."""
    kinds = ("product", "sparse", "dense") if method in ("", *_BY_PRODUCTS) else ("dense",) * (method in _BY_FACTORS)
    if hessian is None:
        if not method or not kinds:  # a function of the user's may want none
            return {}
        hessian = kinds[0]
    if hessian not in kinds:
        raise FunctransValueError(
            f"minimize: method {method!r} takes {'no Hessian' if not kinds else 'hessian=' + ' or '.join(kinds)}, got "
            f"hessian={hessian!r} at {here()}\nMethods that take products or a matrix: {', '.join(_BY_PRODUCTS)}; a "
            f"dense matrix: {', '.join(_BY_FACTORS)}."
        )
    return {"hess": flat.hessian()} if hessian == "dense" else {"hessp": flat.hessian_product(hessian == "sparse")}


@api_boundary
def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    *,
    sparse: bool = False,
    mode: str | None = None,
    bounds: Any = None,
    method: str = "trf",
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Minimise the sum of squares (or of another ``loss``) of ``fun(x, *args)`` by ``scipy.optimize.least_squares``.

    Args:
      fun: a function of which any real floating result holds the residuals, compiled as by ``jit``.
      x0: where to start, a pytree of real floating arrays.
      args: further arguments, as what ``fun`` closes over.
      sparse: Jacobians are ``csr_array``, for the methods ``"trf"`` and ``"dogbox"``.
      mode: of a dense Jacobian, ``"forward"`` or ``"reverse"``; None for the one that takes fewer products.
      bounds: ``(lower, upper)``, each a number, or a tree like ``x0`` of numbers (None for none) and arrays that
        broadcast; or a ``scipy.optimize.Bounds`` of the flattened ``x0``.
      method, options: SciPy's (``ftol``, ``xtol``, ``gtol``, ``x_scale``, ``loss``, ``f_scale``, ``max_nfev``,
        ``tr_solver`` ...), of the flattened ``x0``. callback: as SciPy's (from SciPy 1.16 on); it is given trees.

    Returns:
      ``scipy.optimize.OptimizeResult``: ``x`` is a tree like ``x0``, all else as SciPy has it for the flattened one.

    Raises:
      TypeError: ``x0`` or a residual is not real and floating, or ``least_squares`` is called in a trace.
      ValueError: ``sparse`` with method ``"lm"``, bounds that do not fit, no such mode.

    Warns where tolerances are not SciPy's because ``fun`` computes in less than float64.

    >>> import numpy as np
    >>> from functrans.derivatives import least_squares
    >>> t, y = np.float32([0.0, 1.0, 2.0]), np.float32([4.0, 2.0, 1.0])
    >>> def residuals(p):
    ...     return p["size"] * 2.0 ** (-p["rate"] * t) - y
    >>> start = {"rate": np.float32(0.5), "size": np.float32(1.0)}
    >>> result = least_squares(residuals, start, ftol=1e-6, xtol=1e-6, gtol=1e-6)
    >>> {name: round(float(value), 3) for name, value in result.x.items()}
    {'rate': 1.0, 'size': 4.0}
    """
    what = "least_squares"
    if refused := {"jac", "jac_sparsity", "diff_step"} & options.keys():
        raise FunctransTypeError(
            f"{what} takes the exact Jacobian, sparse or not by sparse=True or False: leave out "
            f"{', '.join(sorted(refused))}, at {here()}"
        )
    if sparse and method == "lm":
        raise FunctransValueError(
            f"{what}: method 'lm' factors dense Jacobians, and sparse=True was given, at {here()}\nUse method='trf'."
        )
    flat = FlatFunction(what, fun, x0, args)
    limits = flat_bounds(what, bounds, flat.columns)
    if limits is not None:
        options["bounds"] = limits
    if callback is not None:
        options["callback"] = _of_trees(flat, callback)
    result = import_module("scipy.optimize").least_squares(
        flat.vector(),
        flat.start,
        jac=flat.jacobian(sparse, mode),
        method=method,
        **coarsened(what, flat.epsilon, LEAST_SQUARES, options),
    )
    result.x = flat.tree(result.x)
    return result


@api_boundary
def root(
    fun: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "hybr",
    *,
    sparse: bool = False,
    mode: str | None = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Find x with ``fun(x, *args) == 0`` by ``scipy.optimize.root``, or by Newton's method with sparse factors.

    Args:
      fun: a function whose result, real and floating, has as many elements as ``x0``; compiled as by ``jit``.
      x0: where to start, a pytree of real floating arrays.
      args: further arguments, as what ``fun`` closes over.
      method: SciPy's name of a method (``"hybr"`` and ``"lm"`` take the exact Jacobian), or ``"newton"``: Newton's
        steps, halved until the residual falls. Its options are ``xtol`` (1.49e-8, relative), ``fatol`` (0, of the
        largest residual) and ``maxiter`` (100); a callback is given x and the residual.
      sparse: for ``"newton"``: Jacobians are ``csr_array`` and factored by SuperLU.
      mode: of a dense Jacobian, ``"forward"`` or ``"reverse"``; None for the one that takes fewer products.
      tol, callback, options: as SciPy's; a callback is given trees.

    Returns:
      ``scipy.optimize.OptimizeResult``: ``x`` is a tree like ``x0``, all else as SciPy has it for the flattened one.

    Raises:
      TypeError: ``x0`` or the result is not real and floating, or ``root`` is called in a trace.
      ValueError: there are more or fewer equations than unknowns, ``sparse`` with another method, no such mode.

    Warns where tolerances are not SciPy's because ``fun`` computes in less than float64.

    >>> import numpy as np
    >>> from functrans.derivatives import root
    >>> def equations(p):
    ...     return {"circle": p[0] ** 2 + p[1] ** 2 - 1.0, "line": p[0] - p[1]}
    >>> result = root(equations, np.array([1.0, 0.0], 'float32'), method="newton", sparse=True, tol=1e-5)
    >>> result.success, [f"{x:.4f}" for x in result.x]
    (True, ['0.7071', '0.7071'])
    """
    what = "root"
    name = _lower_case(what, method)
    if sparse and name != "newton":
        raise FunctransValueError(
            f"{what}: method {method!r} factors no sparse Jacobians, and sparse=True was given, at {here()}\n"
            "Use method='newton'."
        )
    flat = FlatFunction(what, fun, x0, args)
    if flat.rows.size != flat.columns.size:
        raise FunctransValueError(
            f"{what} needs as many equations as unknowns: x0 has {flat.columns.size} elements, and the function "
            f"returned {_shown(flat)} of {flat.rows.size}, at {here()}\nUse least_squares for other numbers of them."
        )
    derivative = {"jac": flat.jacobian(sparse, mode)} if name in _WITH_JACOBIAN else {}
    on_step = _of_trees(flat, callback)
    if tol is None:
        options = coarsened(what, flat.epsilon, ROOT.get(name, {}), options or {})
    if name == "newton":
        options = {"xtol": ROOT[name]["xtol"] if tol is None else tol, **(options or {})}
        if unknown := options.keys() - {"xtol", "fatol", "maxiter"}:
            raise FunctransValueError(
                f"{what}: method 'newton' takes xtol, fatol and maxiter, got {', '.join(sorted(unknown))} at {here()}"
            )
        result = newton_root(flat.vector(), derivative["jac"], flat.start, flat.epsilon, on_step, **options)
    else:
        result = import_module("scipy.optimize").root(
            flat.vector(), flat.start, method=method, tol=tol, callback=on_step, options=options, **derivative
        )
    result.x = flat.tree(result.x)
    return result


def _lower_case(what: str, method: Any) -> str:
    """A method by its name as SciPy compares it; raises TypeError for what is no name."""
    if not isinstance(method, str):
        raise FunctransTypeError(f"{what}: the method must be a name, got {describe(method)} at {here()}")
    return method.lower()


def _shown(flat: FlatFunction) -> str:
    """The result of a function, for a message."""
    types = [str(t) for t in flat.rows.types]
    return types[0] if treedef_is_leaf(flat.rows.tree) else f"{flat.rows.tree} of {', '.join(types)}"


def _of_trees(flat: FlatFunction, callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The user's callback as SciPy calls it, which reads the kind from the names of its parameters."""
    if callback is None:
        return None
    if not callable(callback):
        raise FunctransTypeError(f"{flat.what}: the callback must be a function, got {describe(callback)} at {here()}")
    if list(inspect.signature(callback).parameters) == ["intermediate_result"]:

        def of_result(intermediate_result: Any) -> Any:
            seen = type(intermediate_result)(intermediate_result)
            seen.x = flat.tree(seen.x)
            return callback(intermediate_result=seen)

        return of_result
    return lambda x, *rest: callback(flat.tree(x), *rest)
