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
from functrans.scipy.linalg.functions_of_matrices import eigh_tridiagonal as eigh_tridiagonal
from functrans.scipy.linalg.functions_of_matrices import expm_frechet as expm_frechet
from functrans.scipy.linalg.functions_of_matrices import funm as funm
from functrans.scipy.linalg.functions_of_matrices import qr_multiply as qr_multiply
from functrans.scipy.linalg.functions_of_matrices import rsf2csf as rsf2csf
from functrans.scipy.linalg.functions_of_matrices import solve_sylvester as solve_sylvester
from functrans.scipy.linalg.named_matrices import convolution_matrix as convolution_matrix
from functrans.scipy.linalg.named_matrices import dft as dft
from functrans.scipy.linalg.named_matrices import fiedler as fiedler
from functrans.scipy.linalg.named_matrices import fiedler_companion as fiedler_companion
from functrans.scipy.linalg.named_matrices import hadamard as hadamard
from functrans.scipy.linalg.named_matrices import helmert as helmert
from functrans.scipy.linalg.named_matrices import hilbert as hilbert
from functrans.scipy.linalg.named_matrices import invhilbert as invhilbert
from functrans.scipy.linalg.named_matrices import invpascal as invpascal
from functrans.scipy.linalg.named_matrices import leslie as leslie
from functrans.scipy.linalg.named_matrices import pascal as pascal
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
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "companion", "convolution_matrix", "det",
    "dft", "eigh", "eigh_tridiagonal", "expm", "expm_frechet", "fiedler", "fiedler_companion", "funm", "hadamard",
    "hankel", "helmert", "hessenberg", "hilbert", "inv", "invhilbert", "invpascal", "leslie", "lu", "lu_factor",
    "lu_solve", "pascal", "polar", "qr", "qr_multiply", "rsf2csf", "schur", "solve", "solve_sylvester",
    "solve_triangular", "sqrtm", "svd", "toeplitz",
]  # fmt: skip

guard_namespace(globals())
