"""JAX's operations on matrices, for the table of ``first_order``."""

from __future__ import annotations

from typing import Any

from functrans import lax
from functrans.interop.translation import Application, Emit
from functrans.ops import orthogonal
from functrans.ops.factorisations import CHOLESKY
from functrans.trace.binding import bind

_FLAGS = ("left_side", "lower", "transpose_a", "conjugate_a", "unit_diagonal")


def _cholesky(application: Application) -> Any:
    return bind(CHOLESKY, application.operands[0])


def _triangular_solve(application: Application) -> Any:
    flags = {name: application.params[name] for name in _FLAGS}
    return lax.linalg.triangular_solve(*application.operands, **flags)


def _qr(application: Application) -> Any:
    params = application.params
    pivoting, full = params["pivoting"], params["full_matrices"]
    return lax.linalg.qr(application.operands[0], pivoting=pivoting, full_matrices=full)


def _tridiagonal_solve(application: Application) -> Any:
    if application.params.get("perturb_singular"):
        raise application.refuse("perturb_singular=True has no counterpart")
    return lax.linalg.tridiagonal_solve(*application.operands)


def _pivots(application: Application) -> Any:
    return lax.linalg.lu_pivots_to_permutation(application.operands[0], application.params["permutation_size"])


MATRICES: dict[str, Emit] = {
    "cholesky": _cholesky,
    "cholesky_update": lambda application: lax.linalg.cholesky_update(*application.operands),
    "geqrf": lambda application: orthogonal.geqrf(*application.operands),
    "householder_product": lambda application: lax.linalg.householder_product(*application.operands),
    "lu": lambda application: lax.linalg.lu(*application.operands),
    "lu_pivots_to_permutation": _pivots,
    "ormqr": lambda application: lax.linalg.ormqr(*application.operands, **application.params),
    "qr": _qr,
    "symmetric_product": lambda application: lax.linalg.symmetric_product(*application.operands, **application.params),
    "triangular_solve": _triangular_solve,
    "tridiagonal_solve": _tridiagonal_solve,
}
