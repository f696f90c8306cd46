"""Operations on matrices, under the names and with the signatures of ``jax.lax.linalg``."""

from functrans.ops.factorisations import cholesky as cholesky
from functrans.ops.factorisations import lu as lu
from functrans.ops.orthogonal import householder_product as householder_product
from functrans.ops.orthogonal import qr as qr
from functrans.ops.permutations import lu_pivots_to_permutation as lu_pivots_to_permutation
from functrans.ops.triangular import triangular_solve as triangular_solve
from functrans.ops.triangular import tridiagonal_solve as tridiagonal_solve
from functrans.trace.frames import guard_namespace

__all__ = [
    "cholesky", "householder_product", "lu", "lu_pivots_to_permutation", "qr", "triangular_solve", "tridiagonal_solve",
]  # fmt: skip

guard_namespace(globals())
