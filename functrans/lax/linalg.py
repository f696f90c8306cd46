"""Operations on matrices, under the names and with the signatures of ``jax.lax.linalg``."""

from functrans.ops.factorisations import cholesky as cholesky
from functrans.ops.spectra import eigh as eigh
from functrans.ops.spectra import svd as svd
from functrans.ops.triangular import triangular_solve as triangular_solve
from functrans.trace.frames import guard_namespace

__all__ = ["cholesky", "eigh", "svd", "triangular_solve"]

guard_namespace(globals())
