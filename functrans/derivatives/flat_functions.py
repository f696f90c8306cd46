"""A function of a pytree as SciPy calls it, with one vector of float64, and its exact derivatives there.

SciPy computes in float64; the function computes in the dtypes of the tree, to which vectors are rounded at each call,
and what it returns is widened again. Each function here is traced when it is asked for, compiled at its first call, and
neither again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from functrans import numpy as fnp
from functrans.api.ahead_of_time import shape_struct
from functrans.api.arguments import check_callable
from functrans.api.compilation import jit
from functrans.api.differentiation import value_and_grad
from functrans.api.jacobians import jacfwd, jacrev
from functrans.api.jaxprs import eval_shape
from functrans.api.planned import hessian, jacobian
from functrans.api.sparse import sparse_hessian, sparse_jacobian
from functrans.api.staging import tree_flatten
from functrans.derivatives.flattening import Flattening, flattening_of
from functrans.derivatives.linear_operators import DerivativeOperator, hessian_operator
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import array_type, describe, type_of
from functrans.jaxlib_compat.tracing import evaluates
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.leaves import entering, named
from functrans.trace.state import current_builder

MODES = ("forward", "reverse")


def widened(x: Any) -> np.ndarray[Any, Any]:
    """A result as float64, in memory of its own: some of SciPy's functions write into it."""
    return np.array(x, np.float64)


class FlatFunction:
    """``fun(x, *args)`` of a tree like ``x0``, as functions of one vector. ``start``: the vector of ``x0``.

    Raises TypeError where ``x0`` or a result is not real and floating, and whatever ``fun`` does when it is traced.
    """

    def __init__(self, what: str, fun: Callable[..., Any], x0: Any, args: Sequence[Any] = ()) -> None:
        self.what = what
        check_callable(fun, what)
        if current_builder() is not None or not evaluates():
            raise FunctransTypeError(
                f"{what} runs SciPy, in Python, and was called in a function that is being traced, at {here()}\n"
                "Call it outside of jit, grad and vmap. To differentiate a solution by what it depends on, solve with "
                "functrans.lax.custom_root."
            )
        if not isinstance(args, tuple | list):
            raise FunctransTypeError(f"{what}: args must be a tuple, got {describe(args)} at {here()}")
        leaves, types = entering(tree_flatten(x0)[0], named("x0", x0, f" of {what}"))
        self.columns = flattening_of(x0, types, what, "x0")
        if not self.columns.size:
            raise FunctransValueError(f"{what}: x0 has no elements, at {here()}")
        self.start = np.concatenate([widened(x).reshape(-1) for x in leaves])
        self.fun: Callable[[Any], Any] = named_as(fun, lambda x: fun(x, *args))
        result = eval_shape(self.fun, self.columns.structure)
        types = [type_of(x) for x in tree_flatten(result)[0]]
        self.rows = flattening_of(result, types, what, f"the result of {function_name(fun)}")
        self._tree = self._compiled(self.columns.value)

    @property
    def epsilon(self) -> float:
        """The relative resolution of the coarsest dtype of argument and result."""
        return max(
            float(ml_dtypes.finfo(t.dtype).eps)  # type: ignore[no-untyped-call]
            for t in (*self.columns.types, *self.rows.types)
        )

    def _compiled(self, fun: Callable[..., Any], *others: Any) -> Callable[..., Any]:
        """A function of the vector, traced now: what is wrong with it is said under the user's call, not under SciPy's.
        """
        compiled = jit(fun)
        compiled.trace(self._structure(self.columns), *others)
        return compiled  # type: ignore[no-any-return]

    @staticmethod
    def _structure(vector: Flattening) -> Any:
        return shape_struct(array_type((vector.size,), vector.dtype))

    def narrowed(self, x: Any) -> Any:
        """SciPy's vector in the dtype of the tree."""
        return np.asarray(x).astype(self.columns.dtype)

    def tree(self, x: Any) -> Any:
        """SciPy's vector as a tree like x0."""
        return self._tree(self.narrowed(x))

    def _vector(self, x: Any) -> Any:
        return self.rows.vector(self.fun(self.columns.value(x)))

    def _scalar(self, x: Any) -> Any:
        return self.fun(self.columns.value(x))

    def vector(self) -> Callable[[Any], Any]:
        """x -> the result as a vector ``[m]``."""
        compiled = self._compiled(self._vector)
        return lambda x: widened(compiled(self.narrowed(x)))

    def jacobian(self, sparse: bool = False, mode: str | None = None) -> Callable[[Any], Any]:
        """x -> ``[m, n]``, dense by the mode that takes fewer products unless one is chosen, or a ``csr_array``."""
        if mode is not None and (sparse or mode not in MODES):
            raise FunctransValueError(
                f"{self.what}: mode must be None or, for a dense Jacobian, one of {', '.join(MODES)}; got "
                f"{describe(mode)} at {here()}"
            )
        if sparse:
            return self._sparse(sparse_jacobian(self._vector, format="rows"))
        take = {None: jacobian, "forward": jacfwd, "reverse": jacrev}[mode]
        dense = self._compiled(take(self._vector))
        return lambda x: widened(dense(self.narrowed(x)))

    def _sparse(self, matrix: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """x -> the matrix of float64, a ``csr_array``."""
        compiled = self._compiled(matrix)
        return lambda x: compiled(self.narrowed(x)).to_scipy().astype(np.float64)

    def value(self) -> Callable[[Any], float]:
        """x -> the value of a scalar function."""
        compiled = self._compiled(self._scalar)
        return lambda x: float(widened(compiled(self.narrowed(x))))

    def value_and_gradient(self) -> Callable[[Any], tuple[float, Any]]:
        """x -> the value of a scalar function and its gradient ``[n]``, from one program."""
        compiled = self._compiled(value_and_grad(self._scalar))

        def both(x: Any) -> tuple[float, Any]:
            value, gradient = compiled(self.narrowed(x))
            return float(widened(value)), widened(gradient)  # of an array of JAX's float() takes longer

        return both

    def hessian(self) -> Callable[[Any], Any]:
        """x -> ``[n, n]``, dense, of a scalar function."""
        dense = self._compiled(hessian(self._scalar))
        return lambda x: widened(dense(self.narrowed(x)))

    def hessian_product(self, sparse: bool) -> Callable[[Any, Any], Any]:
        """(x, p) -> the product ``[n]`` of the Hessian of a scalar function at x with p. The function is linearized (or
        its sparse Hessian formed) once at each x.
        """
        if sparse:
            at = self._sparse(sparse_hessian(self._scalar, format="rows"))
        else:
            at = self._compiled(lambda x: hessian_operator(self._scalar, x))
        known: list[Any] = []  # the point of the latest product, and the Hessian there

        def product(x: Any, p: Any) -> Any:
            point = self.narrowed(x)
            if not known or not np.array_equal(point, known[0], equal_nan=True):
                known[:] = point, at(point)
            return widened(known[1] @ self.narrowed(p))

        return product

    def weighted_hessian(self) -> Callable[[Any, Any], Any]:
        """(x, weights [m]) -> the Hessian of the weighted sum of the results, a SciPy ``LinearOperator``."""

        def weighted(x: Any, weights: Any) -> DerivativeOperator:
            return hessian_operator(lambda x: fnp.vdot(weights, self._vector(x)), x)

        at = self._compiled(weighted, self._structure(self.rows))
        return lambda x, weights: at(self.narrowed(x), np.asarray(weights).astype(self.rows.dtype)).to_scipy()
