"""Products of curvature matrices with vectors, without the matrices: of the Hessian, Gauss and Newton's and Fisher's.

A Gauss-Newton product is ``J^T (H (J v))``, with J the Jacobian of a model and H the Hessian of a convex loss of its
result (Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", Neural Computation 14,
2002). The model is linearized once, and both J and its transpose are that linearization:

    y, push = linearize(model, x)
    u = push(v)                        J v
    w = slope of the loss at y, along u        H u
    transposed(push)(w)                J^T w

Fisher's information matrix has the same form: H is the one of the distribution whose parameters the model gives
(Amari, "Natural gradient works efficiently in learning", Neural Computation 10, 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.tree_util import tree_map

from functrans import nn
from functrans import numpy as fnp
from functrans.api.arguments import check_callable, check_scalar
from functrans.api.differentiation import grad, jvp
from functrans.api.linear_maps import LinearMap, linear_transpose, linearize
from functrans.api.staging import api_boundary, tree_structure
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.trace.frames import here


@api_boundary
def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of a scalar function with a vector, without the Hessian: forward over reverse.

    For many products at one point, ``functrans.derivatives.hessian_operator`` differentiates the function once.

    Args:
      fun: a function with a scalar result.
      primals: a tuple of its arguments. tangents: a tuple of the same trees and shapes.

    Returns:
      The product, with the tree of the argument (a tuple of trees where there are several arguments).

    Raises:
      TypeError, ValueError: as for ``grad`` and ``jvp``.

    >>> import functrans as ft
    >>> float(ft.hvp(lambda x: x * x * x, (2.0,), (1.0,)))
    12.0
    """
    check_arguments("hvp", primals, tangents)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fun, argnums), primals, tangents)[1]


@api_boundary
def gauss_newton_vp(
    residual: Callable[..., Any], loss: Callable[[Any], Any] | None, primals: Sequence[Any], tangents: Sequence[Any]
) -> Any:
    """``J^T H J v``: J is the Jacobian of ``residual``, H the Hessian of ``loss`` at its result.

    It is the Hessian of ``loss(residual(x))`` without the curvature of ``residual``, and positive semidefinite where
    the loss is convex. The residual is evaluated and linearized once.

    Args:
      residual: a function of arrays or pytrees of them with any floating result: residuals, or the output of a model.
      loss: a function of that result with a scalar result ``[]``; None for half the sum of squares, for which H is the
        identity.
      primals: a tuple of the arguments of ``residual``. tangents: a tuple of the same trees and shapes.

    Returns:
      The product, with the tree of the argument (a tuple of trees where there are several arguments).

    Raises:
      TypeError, ValueError: tangents are not like primals, or the loss is no real scalar.

    >>> import numpy as np
    >>> from functrans.derivatives import gauss_newton_vp
    >>> x, v = np.array([1.0, 2.0], 'float32'), np.array([1.0, 0.0], 'float32')
    >>> gauss_newton_vp(lambda x: x**2, None, (x,), (v,)).tolist()  # J = diag(2 x)
    [4.0, 0.0]
    >>> gauss_newton_vp(lambda x: x**2, lambda r: (r**3).sum(), (x,), (v,)).tolist()  # H = diag(6 r)
    [24.0, 0.0]
    """
    check_arguments("gauss_newton_vp", primals, tangents)
    return _unwrapped(gauss_newton(residual, loss, primals, "gauss_newton_vp")(*tangents))


@api_boundary
def fisher_vp(
    model: Callable[..., Any],
    distribution: str | Callable[[Any, Any], Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    scale: Any = None,
) -> Any:
    """``J^T F J v``: Fisher's information matrix of a model's parameters, applied to a vector.

    J is the Jacobian of ``model``, whose results are parameters of independent distributions; F is the information of
    these, by their parameters. Information adds up: divide by the number of examples for that of a mean.

    Args:
      model: a function of arrays or pytrees of them; its result holds the parameters of a distribution, in any tree.
      distribution: one of

        - ``"categorical"``: the last axis of each array holds logits (log probabilities, up to a constant);
        - ``"bernoulli"``: each number is the logit of a probability;
        - ``"poisson"``: each number is the logarithm of a rate;
        - ``"gaussian"``: each number is the mean of a normal distribution with standard deviation ``scale``;
        - a function ``metric(parameters, tangent)`` for any other: the product of the information matrix of the
          distribution, which is symmetric, with a tangent; it takes and returns trees like the model's result, and is
          linear in ``tangent``.
      primals: a tuple of the arguments of ``model``. tangents: a tuple of the same trees and shapes.
      scale: of ``"gaussian"``: a number, an array that broadcasts against the means, or a tree of them like the result;
        None for 1.

    Returns:
      The product, with the tree of the argument (a tuple of trees where there are several arguments).

    Raises:
      TypeError, ValueError: tangents are not like primals, there is no such distribution, ``scale`` goes with another,
        or the metric is not linear or returns another tree or shape.

    These are exponential families in their natural parameters, so that this is Gauss and Newton's matrix of the
    negative log likelihood, whatever was observed: ``gauss_newton_vp`` with such a loss is the same for any other.

    >>> import numpy as np
    >>> from functrans.derivatives import fisher_vp
    >>> w, v = np.zeros(2, 'float32'), np.ones(2, 'float32')
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]], 'float32')
    >>> fisher_vp(lambda w: x @ w, "bernoulli", (w,), (v,)).tolist()  # X^T diag(p (1 - p)) X
    [0.25, 1.0]
    >>> def of_normals(parameters, tangent):  # by means and logarithms of standard deviations
    ...     return tangent[0] / np.e ** (2.0 * parameters[1]), 2.0 * tangent[1]
    >>> fisher_vp(lambda w: (w[0], w[1]), of_normals, (w,), (v,)).tolist()
    [1.0, 2.0]
    """
    check_arguments("fisher_vp", primals, tangents)
    return _unwrapped(fisher(model, distribution, primals, scale, "fisher_vp")(*tangents))


# -- as linear maps --------------------------------------------------------------------------------------------------


class Curvature(NamedTuple):
    """``J^T H J`` as two linear maps at a point: a pytree, with a call for each product. H is its own transpose."""

    push: LinearMap  # J
    middle: LinearMap  # H

    def __call__(self, *tangents: Any) -> tuple[Any, ...]:
        """The tangents of the arguments -> their products."""
        return self.push.transposed()(applied(self.middle, self.push(*tangents)))  # type: ignore[no-any-return]


def applied(linear: LinearMap | Curvature, vector: Any) -> Any:
    """The product of a map of one argument; pullbacks and curvatures return a tuple of one."""
    alone = isinstance(linear, LinearMap) and linear.direction == "forward"
    return linear(vector) if alone else linear(vector)[0]


def gauss_newton(
    residual: Callable[..., Any], loss: Callable[[Any], Any] | None, primals: Sequence[Any], what: str
) -> Curvature:
    """Gauss and Newton's matrix at ``primals``."""
    check_callable(residual, what)
    if loss is None:
        # The gradient of half the sum of squares; conj is the identity of real numbers, and grad's convention of others
        slope: Callable[[Any], Any] = lambda result: tree_map(fnp.conj, result)
    else:
        check_callable(loss, f"{what}, as its loss,")
        slope = grad(lambda result: check_scalar(loss(result), f"{what}, as its loss,", False))
    value, push = linearize(residual, *primals)
    return Curvature(push, linearize(slope, value)[1])


# Of an exponential family in its natural parameters: what is observed on the average, the gradient of the logarithm of
# the normalising factor. Its Jacobian is the information matrix.
_AVERAGES: dict[str, Callable[[Any], Any]] = {
    "bernoulli": nn.sigmoid,
    "categorical": nn.softmax,
    "gaussian": lambda means: means,
    "poisson": fnp.exp,
}


def fisher(
    model: Callable[..., Any],
    distribution: str | Callable[[Any, Any], Any],
    primals: Sequence[Any],
    scale: Any,
    what: str,
) -> Curvature:
    """Fisher's information matrix at ``primals``."""
    check_callable(model, what)
    if scale is not None and distribution != "gaussian":
        raise FunctransTypeError(f"{what}: scale goes with distribution 'gaussian' alone, at {here()}")
    if callable(distribution):
        value, push = linearize(model, *primals)
        return Curvature(push, _metric_at(distribution, value, what))
    if not isinstance(distribution, str):
        raise FunctransTypeError(
            f"{what}: the distribution must be a name or a function metric(parameters, tangent), got "
            f"{describe(distribution)} at {here()}"
        )
    if distribution not in _AVERAGES:
        raise FunctransValueError(
            f"{what}: distribution {distribution!r} is none of {', '.join(_AVERAGES)}, at {here()}\n"
            "For any other give a function metric(parameters, tangent)."
        )
    average = _AVERAGES[distribution]
    value, push = linearize(model, *primals)
    if scale is None:
        return Curvature(push, linearize(lambda value: tree_map(average, value), value)[1])
    scales = scale if tree_structure(scale) == tree_structure(value) else tree_map(lambda _: scale, value)
    weighted = lambda mean, scale: (mean / fnp.square(scale)).astype(mean.dtype)
    return Curvature(push, linearize(lambda means: tree_map(weighted, means, scales), value)[1])


def _metric_at(metric: Callable[[Any, Any], Any], value: Any, what: str) -> LinearMap:
    """The user's metric at the parameters, as its transpose, which it equals: what is not linear has none."""
    transposed: LinearMap = linear_transpose(lambda tangent: metric(value, tangent), value)  # type: ignore[assignment]
    ins, outs = transposed.in_types, transposed.out_types
    if transposed.out_tree != tree_structure(value) or [t.shape for t in ins] != [t.shape for t in outs]:
        raise FunctransTypeError(
            f"{what}: the metric must return a tree like the tangent that it takes, at {here()}\n  tangent: "
            f"{tree_structure(value)} {', '.join(map(str, ins))}\n  result:  {transposed.out_tree} "
            f"{', '.join(map(str, outs))}"
        )
    return transposed


def _unwrapped(products: tuple[Any, ...]) -> Any:
    """Of one argument its own product, of several a tuple, as of ``grad``."""
    return products[0] if len(products) == 1 else products


def check_arguments(what: str, primals: Any, tangents: Any) -> None:
    """Raise TypeError unless both are tuples or lists of as many arguments."""
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise FunctransTypeError(
                f"{what}: {name} must be a tuple or list of the arguments, got {describe(value)} at {here()}\n"
                "For one argument x write (x,)."
            )
