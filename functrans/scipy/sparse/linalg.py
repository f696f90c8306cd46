"""``jax.scipy.sparse.linalg``: linear equations by products with the matrix alone.

The equation is differentiated, not the iteration (``lax.custom_linear_solve``): derivatives are as exact as the
solutions, and of every order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves, tree_map

from functrans import lax
from functrans.api.linear_maps import linear_transpose
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.flatten_util import ravel_pytree
from functrans.ir.types import describe, is_differentiable, type_of
from functrans.numpy.arithmetic import conj, maximum, real
from functrans.numpy.comparison import isnan
from functrans.numpy.creation import asarray, astype, zeros, zeros_like
from functrans.numpy.joining import concatenate
from functrans.numpy.products import matmul, vdot
from functrans.numpy.reductions import any as any_
from functrans.numpy.selection import where
from functrans.numpy.spectra import lstsq
from functrans.trace.frames import guard_namespace, here
from functrans.trace.tracer import Tracer

__all__ = ["bicgstab", "cg", "gmres"]

Map = Callable[[Any], Any]
_PRECISION = lax.Precision.HIGHEST


def _tree(x: Any) -> Any:
    return jax.tree_util.tree_structure(x)


def _dot(x: Any, y: Any) -> Any:
    return vdot(x, y, precision=_PRECISION)


def _squared_norm(x: Any) -> Any:
    return real(_dot(x, x))


def _norm(x: Any) -> Any:
    return lax.sqrt(_squared_norm(x))


def _operator(name: str, role: str, value: Any) -> Map:
    """A matrix, a function or what has ``@``, as a function."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    shape = getattr(value, "shape", None)
    if not hasattr(value, "__matmul__") or shape is None:
        raise FunctransTypeError(
            f"{name}: {role} must be a matrix or a function of a vector, got {describe(value)} at {here()}"
        )
    if len(shape) != 2 or shape[0] != shape[1]:
        raise FunctransValueError(f"{name}: {role} must be a square matrix, got shape {tuple(shape)} at {here()}")
    if isinstance(value, np.ndarray) or type(value) is Tracer or hasattr(value, "__array__"):
        return lambda x: matmul(value, x, precision=_PRECISION)
    return lambda x: value @ x


def _start(name: str, b: Any, x0: Any) -> tuple[Any, Any]:
    """The right side and the start as trees of inexact arrays."""
    b = tree_map(_inexact, b)
    if x0 is None:
        return b, tree_map(zeros_like, b)
    if _tree(x0) != _tree(b):
        raise FunctransValueError(
            f"{name}: x0 must be a tree like b, got {_tree(x0)} for {_tree(b)}, at {here()}"
        )
    for x, y in zip(tree_leaves(x0), tree_leaves(b), strict=True):
        if type_of(x).shape != type_of(y).shape:
            raise FunctransValueError(
                f"{name}: x0 must have the shapes of b, got {type_of(x).shape} for {type_of(y).shape}, at {here()}"
            )
    return b, tree_map(lambda x, y: astype(asarray(x), y.dtype), x0, b)


def _inexact(x: Any) -> Any:
    x = asarray(x)
    return x if is_differentiable(type_of(x).dtype) else astype(x, float)


Iteration = Callable[[Map, Map, Any, Any, Any, Any], Any]  # A, M, b, x0, the tolerance of |r|, the most steps -> x


def _solved(
    name: str, A: Any, b: Any, x0: Any, tol: Any, atol: Any, maxiter: Any, M: Any, iterate: Iteration, hermitian: bool
) -> Any:
    matrix = _operator(name, "A", A)
    preconditioner = None if M is None else _operator(name, "M", M)
    b, x0 = _start(name, b, x0)
    vector, unravel = ravel_pytree(b)
    start, _ = ravel_pytree(x0)
    most = 10 * vector.shape[0] if maxiter is None else maxiter

    def flat(function: Map, role: str) -> Map:
        def applied(x: Any) -> Any:
            result = function(unravel(x))
            if _tree(result) != _tree(b):
                raise FunctransValueError(f"{name}: {role} must return a tree like its argument, at {here()}")
            return astype(ravel_pytree(result)[0], vector.dtype)

        return applied

    product = flat(matrix, "A")
    if preconditioner is None:
        near: Map = lambda x: x
        near_transposed = near
    else:
        near = flat(preconditioner, "M")
        near_transposed = lambda x: linear_transpose(near, vector)(x)[0]

    def solve(product: Map, right: Any) -> Any:
        return iterate(product, near, right, start, maximum(tol * _norm(right), atol), most)

    def solve_transposed(product: Map, right: Any) -> Any:
        return iterate(product, near_transposed, right, zeros_like(right), maximum(tol * _norm(right), atol), most)

    symmetric = hermitian and vector.dtype.kind != "c"
    return unravel(lax.custom_linear_solve(product, vector, solve, solve_transposed, symmetric))


def _conjugate_gradients(A: Map, M: Map, b: Any, x: Any, tolerance: Any, most: Any) -> Any:
    """Hestenes and Stiefel's iteration (1952), preconditioned; A and M Hermitian and positive definite."""
    residual = b - A(x)
    direction = M(residual)
    weight = real(_dot(residual, direction))

    def step(state: Any) -> Any:
        x, residual, direction, weight, count = state
        image = A(direction)
        length = weight / real(_dot(direction, image))
        x, residual = x + length * direction, residual - length * image
        near = M(residual)
        new = real(_dot(residual, near))
        return x, residual, near + (new / weight) * direction, new, count + 1

    def goes_on(state: Any) -> Any:
        _, residual, _, _, count = state
        return (_squared_norm(residual) > tolerance**2) & (count < most)

    return lax.while_loop(goes_on, step, (x, residual, direction, weight, 0))[0]


def _stabilised(A: Map, M: Map, b: Any, x: Any, tolerance: Any, most: Any) -> Any:
    """Van der Vorst's BiCGSTAB (1992), preconditioned from the right. It ends where it breaks down."""
    residual = b - A(x)
    shadow = residual
    one = lax.full((), 1, b.dtype)

    def step(state: Any) -> Any:
        x, residual, direction, image, rho, alpha, omega, count, _ = state
        new = _dot(shadow, residual)
        direction = residual + (new / rho) * (alpha / omega) * (direction - omega * image)
        near = M(direction)
        image = A(near)
        alpha = new / _dot(shadow, image)
        half = residual - alpha * image
        early = _squared_norm(half) <= tolerance**2
        near_half = M(half)
        t = A(near_half)
        size = _dot(t, t)
        omega = where(early | (size == 0), 0, _dot(t, half) / where(size == 0, 1, size))
        x = x + alpha * near + omega * near_half
        broken = (new == 0) | ((omega == 0) & ~early)
        return x, half - omega * t, direction, image, new, alpha, omega, count + 1, broken

    def goes_on(state: Any) -> Any:
        residual, count, broken = state[1], state[-2], state[-1]
        return (_squared_norm(residual) > tolerance**2) & (count < most) & ~broken

    nothing = zeros_like(b)
    state = (x, residual, nothing, nothing, one, one, one, 0, False)
    return lax.while_loop(goes_on, step, state)[0]


def _restarted(restart: int, incremental: bool) -> Iteration:
    """GMRES of Saad and Schultz (1986), preconditioned from the right, begun anew after so many steps."""

    def iterate(A: Map, M: Map, b: Any, x: Any, tolerance: Any, most: Any) -> Any:
        def cycle(state: Any) -> Any:
            x, residual, count = state
            x = x + M(_minimal(A, M, residual, tolerance, restart, incremental))
            return x, b - A(x), count + 1

        def goes_on(state: Any) -> Any:
            _, residual, count = state
            return (_norm(residual) > tolerance) & (count < most)

        return lax.while_loop(goes_on, cycle, (x, b - A(x), 0))[0]

    return iterate


def _minimal(A: Map, M: Map, residual: Any, tolerance: Any, restart: int, incremental: bool) -> Any:
    """The u in the Krylov space of A M and the residual for which ``residual - A M u`` is least."""
    size, dtype = residual.shape[0], residual.dtype
    length = _norm(residual)
    basis = concatenate([(residual / length)[None], zeros((restart, size), dtype)])
    projected = zeros((restart, restart + 1), dtype)  # row k: the product with vector k, in the basis
    right = concatenate([length[None].astype(dtype), zeros(restart, dtype)])

    def step(state: Any) -> Any:
        basis, projected, count, _ = state
        image = A(M(basis[count]))
        before = _norm(image)
        weights = zeros(restart + 1, dtype)
        for _ in range(2):  # classical Gram and Schmidt is as good as orthogonal when done twice
            share = matmul(conj(basis), image, precision=_PRECISION)
            image = image - matmul(share, basis, precision=_PRECISION)
            weights = weights + share
        after = _norm(image)
        ends = after <= 10 * np.finfo(real(image).dtype).eps * before  # the space holds the solution
        weights = weights.at[count + 1].set(where(ends, 0, after).astype(dtype))
        basis = basis.at[count + 1].set(where(ends, 0, image / where(ends, 1, after)))
        projected = projected.at[count].set(weights)
        if incremental:
            best = lstsq(projected.T, right)[0]
            left = right - matmul(projected.T, best, precision=_PRECISION)
            ends = ends | (_norm(left) <= tolerance)
        return basis, projected, count + 1, ends

    def goes_on(state: Any) -> Any:
        return (state[2] < restart) & ~state[3]

    basis, projected, _, _ = lax.while_loop(goes_on, step, (basis, projected, 0, False))
    best = lstsq(projected.T, right)[0]  # of full rank or not: columns of steps not made are 0, and so is their share
    return matmul(best, basis[:-1], precision=_PRECISION)


def cg(
    A: Any, b: Any, x0: Any = None, *, tol: Any = 1e-5, atol: Any = 0.0, maxiter: Any = None, M: Any = None
) -> tuple[Any, None]:
    """Solve ``A x = b`` by conjugate gradients; A Hermitian and positive definite.

    Args:
      A: ``[n, n]``, a sparse matrix of JAX, or a linear function of a tree like b.
      b: ``[n]``, or a tree of arrays of any shapes.
      x0: where to start, a tree like b; 0 by default.
      tol, atol: it ends where ``norm(b - A x) <= max(tol * norm(b), atol)``.
      maxiter: or after so many steps; ten for each element of b by default.
      M: an approximation of the inverse of A, given like A, Hermitian and positive definite.

    Returns:
      x, a tree like b, and None. Derivatives by b and by what A closes over are those of the solution.

    Raises:
      TypeError: A or M is neither a matrix nor a function. ValueError: shapes or trees do not fit.

    >>> from functrans.scipy.sparse.linalg import cg
    >>> import numpy as np
    >>> cg(np.float32([[4.0, 1.0], [1.0, 3.0]]), np.float32([6.0, 7.0]))[0].round(4).tolist()
    [1.0, 2.0]
    """
    return _solved("cg", A, b, x0, tol, atol, maxiter, M, _conjugate_gradients, True), None


def bicgstab(
    A: Any, b: Any, x0: Any = None, *, tol: Any = 1e-5, atol: Any = 0.0, maxiter: Any = None, M: Any = None
) -> tuple[Any, None]:
    """Solve ``A x = b`` by stabilised biconjugate gradients; A of any kind. Arguments and results as of ``cg``.

    >>> from functrans.scipy.sparse.linalg import bicgstab
    >>> import numpy as np
    >>> bicgstab(np.float32([[4.0, 1.0], [0.0, 2.0]]), np.float32([6.0, 4.0]))[0].round(4).tolist()
    [1.0, 2.0]
    """
    return _solved("bicgstab", A, b, x0, tol, atol, maxiter, M, _stabilised, False), None


def gmres(
    A: Any, b: Any, x0: Any = None, *, tol: Any = 1e-5, atol: Any = 0.0, restart: int = 20, maxiter: Any = None,
    M: Any = None, solve_method: str = "batched",
) -> tuple[Any, Any]:  # fmt: skip
    """Solve ``A x = b`` by the generalised minimal residual method; A of any kind.

    Args:
      A, b, x0, tol, atol, M: as of ``cg``; M need not be Hermitian.
      restart: after so many products the space begun anew, from what has been found.
      maxiter: how often at most.
      solve_method: 'incremental' looks after each product whether it is enough, 'batched' after ``restart`` of them.

    Returns:
      x, and 0, or -1 where x is not a number.

    Raises:
      As ``cg``; ValueError for another method.

    >>> from functrans.scipy.sparse.linalg import gmres
    >>> import numpy as np
    >>> gmres(np.float32([[4.0, 1.0], [0.0, 2.0]]), np.float32([6.0, 4.0]))[0].round(4).tolist()
    [1.0, 2.0]
    """
    if solve_method not in ("batched", "incremental"):
        raise FunctransValueError(
            f"gmres: solve_method must be 'batched' or 'incremental', got {solve_method!r} at {here()}"
        )
    size = sum(type_of(x).size for x in tree_leaves(b))
    iterate = _restarted(max(1, min(int(restart), size)), solve_method == "incremental")
    x = _solved("gmres", A, b, x0, tol, atol, maxiter, M, iterate, False)
    return x, where(any_(isnan(ravel_pytree(x)[0])), -1, 0)


guard_namespace(globals())
