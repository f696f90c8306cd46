"""``jax.scipy.linalg``: equations, factorisations, the exponential and matrices of a structure."""

from functrans.scipy.linalg.equations import cho_factor as cho_factor
from functrans.scipy.linalg.equations import cho_solve as cho_solve
from functrans.scipy.linalg.equations import cholesky as cholesky
from functrans.scipy.linalg.equations import det as det
from functrans.scipy.linalg.equations import inv as inv
from functrans.scipy.linalg.equations import lu as lu
from functrans.scipy.linalg.equations import lu_factor as lu_factor
from functrans.scipy.linalg.equations import lu_solve as lu_solve
from functrans.scipy.linalg.equations import qr as qr
from functrans.scipy.linalg.equations import solve as solve
from functrans.scipy.linalg.equations import solve_triangular as solve_triangular
from functrans.scipy.linalg.exponential import expm as expm
from functrans.scipy.linalg.spectra import eigh as eigh
from functrans.scipy.linalg.spectra import hessenberg as hessenberg
from functrans.scipy.linalg.spectra import polar as polar
from functrans.scipy.linalg.spectra import schur as schur
from functrans.scipy.linalg.spectra import sqrtm as sqrtm
from functrans.scipy.linalg.spectra import svd as svd
from functrans.scipy.linalg.structured import block_diag as block_diag
from functrans.scipy.linalg.structured import circulant as circulant
from functrans.scipy.linalg.structured import companion as companion
from functrans.scipy.linalg.structured import hankel as hankel
from functrans.scipy.linalg.structured import toeplitz as toeplitz
from functrans.trace.frames import guard_namespace

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "companion", "det", "eigh", "expm", "hankel",
    "hessenberg", "inv", "lu", "lu_factor", "lu_solve", "polar", "qr", "schur", "solve", "solve_triangular",
    "sqrtm", "svd", "toeplitz",
]  # fmt: skip

guard_namespace(globals())
