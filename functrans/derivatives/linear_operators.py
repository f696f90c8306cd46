"""Jacobians, Hessians and their kin at a point as linear operators, for the iterative solvers of SciPy and Lineax.

The function is traced and linearized when the operator is made. A product runs the linear program on what was kept of
the point: neither the function nor a transform is met again, and operators at other points share its executable.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import numpy as np

from functrans.api.arguments import check_callable
from functrans.api.compilation import jit
from functrans.api.differentiation import grad
from functrans.api.linear_maps import LinearMap, linearize
from functrans.api.staging import api_boundary
from functrans.api.vectorization import vmap
from functrans.derivatives.flattening import Flattening, flattening_of
from functrans.derivatives.products import Curvature, applied, fisher, gauss_newton
from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.trace.frames import here


@jax.tree_util.register_pytree_node_class
class DerivativeOperator:
    """A matrix ``[m, n]`` of derivatives that is never formed: what ``jacobian_operator`` and its kin return.

    Rows are the elements of the function's result, columns those of its argument, in the order of their trees.
    A pytree: what was kept of the point are its leaves. It passes through jit, vmap, cond and scan, its products are
    differentiable, and may be taken in functions that functrans or JAX traces.

    - ``mv(v)``: the product with a tree like the argument, a tree like the result; ``rmv(w)``: that of the transpose.
    - ``operator @ v``: the product with a vector ``[n]`` or the columns of a matrix ``[n, k]``.
    - ``T``: the transpose. ``shape``: (m, n). ``dtype``: of the vectors.
    - ``to_scipy()``, ``to_lineax()``: the operator of these libraries.
    """

    __slots__ = ("columns", "linear", "positive", "rows", "symmetric")

    def __init__(
        self, linear: LinearMap | Curvature, rows: Flattening, columns: Flattening, symmetric: bool = False,
        positive: bool = False,
    ) -> None:  # fmt: skip
        self.linear = linear
        self.rows, self.columns = rows, columns
        self.symmetric, self.positive = symmetric, positive  # "positive": semidefinite, and symmetric

    def tree_flatten(self) -> Any:
        return (self.linear,), (self.rows, self.columns, self.symmetric, self.positive)

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> DerivativeOperator:
        return cls(*children, *static)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.size, self.columns.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.columns.dtype

    @property
    def T(self) -> DerivativeOperator:
        """The transpose."""
        if isinstance(self.linear, Curvature) or self.symmetric:
            return self
        return DerivativeOperator(self.linear.transposed(), self.columns, self.rows)

    @api_boundary
    def mv(self, vector: Any) -> Any:
        """The product with a tree like the argument."""
        return _tree_product(self, vector)

    @api_boundary
    def rmv(self, vector: Any) -> Any:
        """The product of the transpose with a tree like the result."""
        return _tree_product(self.T, vector)

    @api_boundary
    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, DerivativeOperator):
            return NotImplemented
        type_ = type_of(other)
        if type_.ndim not in (1, 2) or type_.shape[0] != self.shape[1]:
            raise FunctransValueError(
                f"an operator of shape {self.shape} multiplies a vector [{self.shape[1]}] or a matrix "
                f"[{self.shape[1]}, k], got {type_} at {here()}"
            )
        return _vector_product(self, other) if type_.ndim == 1 else _matrix_product(self, other)

    def __repr__(self) -> str:
        kind = "positive semidefinite " if self.positive else "symmetric " if self.symmetric else ""
        return f"<{kind}operator of shape {self.shape}, {self.dtype.name}>"

    @api_boundary
    def to_scipy(self) -> Any:
        """The ``scipy.sparse.linalg.LinearOperator`` of this matrix, for its iterative solvers.

        Its vectors are NumPy arrays of the operator's dtype (of float32, where that is of half precision); others, as
        the float64 of a solver's own, are rounded to it.

        >>> import numpy as np, scipy.sparse.linalg
        >>> from functrans.derivatives import hessian_operator
        >>> hessian = hessian_operator(lambda x: (x**4).sum(), np.array([1.0, 2.0], 'float32'))
        >>> x, failed = scipy.sparse.linalg.cg(hessian.to_scipy(), np.array([12.0, 96.0], 'float32'))
        >>> x.round(3).tolist()
        [1.0, 2.0]
        """
        dtype = np.dtype(np.float64 if self.dtype == np.float64 else np.float32)

        def by(operator: DerivativeOperator) -> Callable[[Any], Any]:
            def product(x: Any) -> Any:
                x = np.asarray(x, dtype)
                return np.array(operator @ x, dtype)  # in memory of its own: some solvers write into it

            return product

        forward, backward = by(self), by(self.T)
        return import_module("scipy.sparse.linalg").LinearOperator(
            self.shape, matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=dtype
        )

    @api_boundary
    def to_lineax(self, *tags: Any) -> Any:
        """The ``lineax.FunctionLinearOperator`` of this matrix, of trees like the argument and the result.

        It may be made and solved with inside of what JAX or functrans traces, and differentiated there.

        Args:
          tags: what is known of the matrix beyond that a Hessian is symmetric and a Gauss-Newton or Fisher matrix
            positive semidefinite, such as ``lineax.positive_semidefinite_tag``, which CG asks for.

        Raises:
          ImportError: the package lineax is missing.

        >>> import lineax, numpy as np
        >>> from functrans.derivatives import jacobian_operator
        >>> jacobian = jacobian_operator(lambda x: x**2, np.array([1.0, 2.0], 'float32'))
        >>> solution = lineax.linear_solve(jacobian.to_lineax(), np.array([2.0, 8.0], 'float32'), lineax.LU())
        >>> solution.value.tolist()
        [1.0, 2.0]
        """
        try:
            lineax = import_module("lineax")
        except ImportError:
            raise ImportError("to_lineax needs the package lineax: pip install lineax") from None
        if self.positive:
            tags = (*tags, lineax.positive_semidefinite_tag)
        elif self.symmetric:
            tags = (*tags, lineax.symmetric_tag)
        return lineax.FunctionLinearOperator(self.mv, self.columns.structure, tags)


def _of_vectors(operator: DerivativeOperator, vector: Any) -> Any:
    return operator.rows.vector(applied(operator.linear, operator.columns.value(vector)))


# Compiled once for all operators of one program: these take what an operator keeps as arguments.
_tree_product = jit(lambda operator, vector: applied(operator.linear, vector), inline=True)
_vector_product = jit(_of_vectors, inline=True)
_matrix_product = jit(vmap(_of_vectors, in_axes=(None, 1), out_axes=1), inline=True)


@api_boundary
def jacobian_operator(fun: Callable[[Any], Any], x: Any) -> DerivativeOperator:
    """The Jacobian of ``fun`` at ``x`` as a linear operator: products with it and its transpose, without the matrix.

    Args:
      fun: a function of one argument, n real floating numbers in a pytree of arrays; its result is another, of m.
      x: the argument.

    Returns:
      A ``DerivativeOperator`` of shape (m, n).

    Raises:
      TypeError: a number of argument or result is not real and floating.

    >>> import numpy as np
    >>> from functrans.derivatives import jacobian_operator
    >>> jacobian = jacobian_operator(lambda x: {"square": x**2, "sum": x.sum()}, np.array([1.0, 2.0], 'float32'))
    >>> jacobian.shape, (jacobian @ np.array([1.0, 1.0], 'float32')).tolist()
    ((3, 2), [2.0, 4.0, 2.0])
    >>> jacobian.rmv({"square": np.array([1.0, 0.0], 'float32'), "sum": np.float32(1.0)}).tolist()
    [3.0, 1.0]
    """
    what = "jacobian_operator"
    check_callable(fun, what)
    value, push = linearize(fun, x)
    columns = flattening_of(x, push.in_types, what, "the argument")
    return DerivativeOperator(push, flattening_of(value, push.out_types, what, "the result"), columns)


@api_boundary
def hessian_operator(fun: Callable[[Any], Any], x: Any) -> DerivativeOperator:
    """The Hessian of ``fun`` at ``x`` as a linear operator: products with it, without the matrix.

    Args:
      fun: a function with a real scalar result ``[]`` of one argument, n real floating numbers in a pytree of arrays.
      x: the argument.

    Returns:
      A symmetric ``DerivativeOperator`` of shape (n, n).

    Raises:
      TypeError: the result is no real scalar, or a number of the argument is not real and floating.

    >>> import numpy as np
    >>> from functrans.derivatives import hessian_operator
    >>> hessian = hessian_operator(lambda x: (x**3).sum(), np.array([1.0, 2.0], 'float32'))
    >>> (hessian @ np.array([1.0, 1.0], 'float32')).tolist()
    [6.0, 12.0]
    """
    what = "hessian_operator"
    check_callable(fun, what)
    _, push = linearize(grad(fun), x)
    columns = flattening_of(x, push.in_types, what, "the argument")
    return DerivativeOperator(push, columns, columns, symmetric=True)


@api_boundary
def gauss_newton_operator(
    residual: Callable[[Any], Any], loss: Callable[[Any], Any] | None, x: Any
) -> DerivativeOperator:
    """Gauss and Newton's matrix ``J^T H J`` at ``x`` as a linear operator, as ``gauss_newton_vp`` has it.

    Args:
      residual, loss: as for ``gauss_newton_vp``; ``residual`` takes one argument, and the loss is convex.
      x: the argument, n real floating numbers in a pytree of arrays.

    Returns:
      A symmetric ``DerivativeOperator`` of shape (n, n), marked as positive semidefinite.

    >>> import numpy as np
    >>> from functrans.derivatives import gauss_newton_operator
    >>> matrix = gauss_newton_operator(lambda x: x**2, None, np.array([1.0, 2.0], 'float32'))
    >>> (matrix @ np.eye(2, dtype='float32')).tolist()
    [[4.0, 0.0], [0.0, 16.0]]
    """
    what = "gauss_newton_operator"
    return _of_curvature(gauss_newton(residual, loss, (x,), what), x, what)


@api_boundary
def fisher_operator(
    model: Callable[[Any], Any], distribution: str | Callable[[Any, Any], Any], x: Any, scale: Any = None
) -> DerivativeOperator:
    """Fisher's information matrix ``J^T F J`` at ``x`` as a linear operator, as ``fisher_vp`` has it.

    Args:
      model, distribution, scale: as for ``fisher_vp``; ``model`` takes one argument.
      x: the argument, n real floating numbers in a pytree of arrays.

    Returns:
      A symmetric ``DerivativeOperator`` of shape (n, n), marked as positive semidefinite.

    >>> import numpy as np
    >>> from functrans.derivatives import fisher_operator
    >>> matrix = fisher_operator(lambda w: 2.0 * w, "bernoulli", np.zeros(2, 'float32'))
    >>> (matrix @ np.ones(2, 'float32')).tolist()
    [1.0, 1.0]
    """
    what = "fisher_operator"
    return _of_curvature(fisher(model, distribution, (x,), scale, what), x, what)


def _of_curvature(curvature: Curvature, x: Any, what: str) -> DerivativeOperator:
    columns = flattening_of(x, curvature.push.in_types, what, "the argument")
    return DerivativeOperator(curvature, columns, columns, symmetric=True, positive=True)
