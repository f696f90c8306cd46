"""The table of JAX's operations on matrices that give spectra and condensed forms."""

from __future__ import annotations

from typing import Any

from functrans import lax
from functrans.interop.translation import Application, Emit


def _eigh(application: Application) -> Any:
    params = application.params
    return lax.linalg.eigh(
        *application.operands, lower=params["lower"], symmetrize_input=False, subset_by_index=params["subset_by_index"]
    )


def _svd(application: Application) -> Any:
    params = application.params
    options = {name: params[name] for name in ("full_matrices", "compute_uv", "subset_by_index")}
    found = lax.linalg.svd(*application.operands, **options)
    return [found[1], found[0], found[2]] if params["compute_uv"] else [found]


def _eig(application: Application) -> Any:
    params = application.params
    sides = ("compute_left_eigenvectors", "compute_right_eigenvectors")
    return lax.linalg.eig(*application.operands, **{side: params[side] for side in sides})


def _schur(application: Application) -> Any:
    params = application.params
    options = {name: params[name] for name in ("compute_schur_vectors", "sort_eig_vals")}
    return lax.linalg.schur(*application.operands, **options)


SPECTRA: dict[str, Emit] = {
    "eig": _eig,
    "eigh": _eigh,
    "hessenberg": lambda application: lax.linalg.hessenberg(*application.operands),
    "schur": _schur,
    "svd": _svd,
    "tridiagonal": lambda a: lax.linalg.tridiagonal(*a.operands, lower=a.params["lower"]),
}
