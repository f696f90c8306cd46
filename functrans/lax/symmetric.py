"""Products and updates that keep a matrix symmetric."""

from __future__ import annotations

from typing import Any

from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.ops.arithmetic import sign
from functrans.ops.elementwise import add, mul
from functrans.ops.logic import eq, select
from functrans.ops.orthogonal import qr
from functrans.ops.products import dot_general
from functrans.ops.slicing import concatenate
from functrans.ops.structural import broadcast_in_dim, broadcasted_iota, full, reduce_sum, reshape
from functrans.trace.frames import here


def cholesky_update(r_matrix: Any, w_vector: Any) -> Any:
    """The Cholesky factor of ``r_matrix.T @ r_matrix + outer(w_vector, w_vector)``, upper triangular.

    By the QR decomposition of the rows of both: no matrix is squared. Differentiable.

    Args:
      r_matrix: ``[n, n]``, upper triangular, with a positive diagonal. w_vector: ``[n]``.

    Raises:
      ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.cholesky_update(np.float32([[3.0]]), np.float32([4.0])).tolist()
    [[5.0]]
    """
    r, w = type_of(r_matrix), type_of(w_vector)
    if len(r.shape) != 2 or r.shape != (*w.shape, *w.shape):
        raise FunctransValueError(
            f"cholesky_update: an upper triangular matrix [n, n] and a vector [n] are needed, got shapes {r.shape} and "
            f"{w.shape} at {here()}"
        )
    size = w.shape[0]
    factor = qr(concatenate([r_matrix, reshape(w_vector, (1, size))], 0), full_matrices=False)[1]
    rows, columns = (broadcasted_iota("int32", (size, size), axis) for axis in (0, 1))
    diagonal = reduce_sum(select(eq(rows, columns), factor, full((size, size), 0, r.dtype)), (1,))
    return mul(factor, broadcast_in_dim(sign(diagonal), (size, size), (0,)))


def symmetric_product(
    a_matrix: Any, c_matrix: Any, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Any:
    """``alpha * a_matrix @ a_matrix.T + beta * c_matrix``, the whole of it.

    Args:
      a_matrix: ``[..., n, k]``. c_matrix: ``[..., n, n]``, symmetric.
      symmetrize_output: accepted; JAX leaves the upper triangle undefined without it.

    Raises:
      ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.symmetric_product(np.float32([[1.0], [2.0]]), np.eye(2, dtype=np.float32), beta=3.0).tolist()
    [[4.0, 2.0], [2.0, 7.0]]
    """
    a, c = type_of(a_matrix), type_of(c_matrix)
    rank = len(a.shape)
    if rank < 2 or c.shape != (*a.shape[:-1], a.shape[-2]):
        raise FunctransValueError(
            f"symmetric_product: matrices [..., n, k] and [..., n, n] are needed, got shapes {a.shape} and {c.shape} "
            f"at {here()}"
        )
    batch = tuple(range(rank - 2))
    product = dot_general(a_matrix, a_matrix, (((rank - 1,), (rank - 1,)), (batch, batch)), precision="highest")
    scaled = [mul(x, full(c.shape, factor, a.dtype)) for x, factor in ((product, alpha), (c_matrix, beta))]
    return add(*scaled)
