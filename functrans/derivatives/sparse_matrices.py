"""Sparse derivatives as SciPy's matrices: the one place from which the optimisers ask for them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from functrans.derivatives.linear_operators import DerivativeOperator, hessian_operator, jacobian_operator


def sparse_jacobian(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``x -> csr_array [m, n]``, with the leaves of result and argument in the order of their trees."""
    return lambda x: _compressed(jacobian_operator(fun, x))


def sparse_hessian(fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``x -> csr_array [n, n]``, with the leaves of the argument in the order of its tree."""
    return lambda x: _compressed(hessian_operator(fun, x))


def _compressed(operator: DerivativeOperator) -> Any:
    """From all columns: a stand-in, until patterns are known."""
    dense = np.asarray(operator @ np.eye(operator.shape[1], dtype=operator.dtype))
    return import_module("scipy.sparse").csr_array(dense)
