"""Operations on matrices, under the names and with the signatures of ``jax.lax.linalg``."""


from functrans.jaxlib_compat.operations import jax_operation
from functrans.lax.symmetric import cholesky_update as cholesky_update
from functrans.lax.symmetric import symmetric_product as symmetric_product
from functrans.ops.factorisations import cholesky as cholesky
from functrans.ops.factorisations import lu as lu
from functrans.ops.general_spectra import EigImplementation as EigImplementation
from functrans.ops.general_spectra import eig as eig
from functrans.ops.general_spectra import hessenberg as hessenberg
from functrans.ops.general_spectra import schur as schur
from functrans.ops.general_spectra import tridiagonal as tridiagonal
from functrans.ops.orthogonal import householder_product as householder_product
from functrans.ops.orthogonal import ormqr as ormqr
from functrans.ops.orthogonal import qr as qr
from functrans.ops.permutations import lu_pivots_to_permutation as lu_pivots_to_permutation
from functrans.ops.spectra import EighImplementation as EighImplementation
from functrans.ops.spectra import SvdAlgorithm as SvdAlgorithm
from functrans.ops.spectra import eigh as eigh
from functrans.ops.spectra import svd as svd
from functrans.ops.triangular import triangular_solve as triangular_solve
from functrans.ops.triangular import tridiagonal_solve as tridiagonal_solve
from functrans.trace.frames import guard_namespace

__all__ = [
    "EigImplementation", "EighImplementation", "SvdAlgorithm", "cholesky", "cholesky_update", "eig", "eigh",
    "hessenberg", "householder_product", "lu", "lu_pivots_to_permutation", "ormqr", "qr", "schur", "svd",
    "symmetric_product", "triangular_solve", "tridiagonal", "tridiagonal_solve",
]  # fmt: skip

guard_namespace(globals())


_OF_JAX = frozenset(("qdwh",))


def __getattr__(name: str) -> object:
    """JAX's own operations (``cholesky_p``), which take traced values: for programs that bind them; and an inner
    function of JAX's.
    """
    return jax_operation("lax.linalg", name, _OF_JAX)
