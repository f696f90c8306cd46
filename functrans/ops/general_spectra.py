"""Spectra of matrices that need not be Hermitian, and condensed forms: Schur, Hessenberg and tridiagonal matrices."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import Shape, array_type
from functrans.ops.arithmetic import abs_
from functrans.ops.complex_numbers import complex_, conj, imag, real
from functrans.ops.elementwise import add, div, mul, neg, real_dtype
from functrans.ops.factorisations import lu, lu_solve
from functrans.ops.logic import eq, select
from functrans.ops.matrices import INT32, Kernels, MatrixKernel, Written, adjoint, matmul, scipy_linalg
from functrans.ops.reductions import argmax
from functrans.ops.spectral_tangents import DIFFERENCES, VALUES, SpectralSplit, along
from functrans.ops.structural import broadcasted_iota, convert, reduce_sum
from functrans.trace.binding import bind_all
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Tangent, Value


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The complex dtype with parts of this one."""
    return np.dtype(np.result_type(dtype, np.complex64))


class Eig(MatrixKernel):
    """Eigenvalues w of square matrices; if asked for left eigenvectors U and right ones V: U^H A = w U^H, A V = V w.

    Every vector has length 1 and a real largest element.
    """

    compute_left_eigenvectors: bool
    compute_right_eigenvectors: bool
    name = "eig"
    square = True
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        count = self.compute_left_eigenvectors + self.compute_right_eigenvectors
        return [shapes[0][:1], *[shapes[0]] * count]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [complex_dtype(dtype)] * count

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        if not np.isfinite(a).all():
            return [np.nan] * len(self.shapes(a.shape))
        w, left, right = scipy_linalg().eig(a, left=True, right=True)
        asked = (self.compute_left_eigenvectors, self.compute_right_eigenvectors)
        return [w, *[x for x, yes in zip((left, right), asked, strict=True) if yes]]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # dw = diag(V^-1 dA V), dV = V X up to the length and phase of its columns; the left vectors are the right ones
        # of A^H, whose eigenvalues are the conjugates.
        outs = bind_all(Eig(self.compute_left_eigenvectors, True), primals)
        w, right = outs[0], outs[-1]
        moved = convert(tangents[0], w.dtype)
        slope, slope_right = _slopes(w, right, moved)
        slopes = [slope]
        if self.compute_left_eigenvectors:
            slopes.append(_slopes(conj(w), outs[1], adjoint(moved))[1])
        if self.compute_right_eigenvectors:
            slopes.append(slope_right)
        return outs[: len(slopes)], slopes

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        values = array_type(a.shape[:-1], a.dtype)
        vectors = array_type(a.shape, complex_dtype(a.dtype))
        count = 1 if a.dtype.kind == "c" else 2
        attributes = {
            "compute_left": "V" if self.compute_left_eigenvectors else "N",
            "compute_right": "V" if self.compute_right_eigenvectors else "N",
        }
        outs = [*[values] * count, vectors, vectors, kernels.info]
        *w, left, right, info = kernels.lapack("geev", [a], outs, attributes)
        found = [w[0] if count == 1 else kernels.op("stablehlo.complex", w, kernels.out_types[0])]
        if self.compute_left_eigenvectors:
            found.append(left)
        if self.compute_right_eigenvectors:
            found.append(right)
        ok = kernels.succeeded(info)
        return [kernels.where(ok, x) for x in found]


def _slopes(w: Any, vectors: Any, moved: Any) -> tuple[Any, Any]:
    """Tangents of the eigenvalues and of right eigenvectors of length 1 whose largest elements are real."""
    packed, _, order = lu(vectors)
    turned = lu_solve(packed, order, matmul(moved, vectors))
    slope, rotation = SpectralSplit.of([(VALUES, turned), (DIFFERENCES, turned)], w, real_values=False)
    free = matmul(vectors, rotation)
    if not vectors.shape[-1]:
        return slope, free
    rows = vectors.ndim - 2
    largest = argmax(abs_(vectors), rows)
    chosen = eq(broadcasted_iota(INT32, vectors.shape, rows), along(largest, vectors.shape, -1))

    def element(x: Any) -> Any:
        return reduce_sum(select(chosen, x, 0.0), (rows,))

    shrunk = neg(reduce_sum(real(mul(conj(vectors), free)), (rows,)))
    turned_back = neg(div(imag(element(free)), real(element(vectors))))
    return slope, add(free, mul(vectors, along(complex_(shrunk, turned_back), vectors.shape, -1)))


class Schur(MatrixKernel):
    """T, upper triangular (for real matrices with 2 x 2 blocks on its diagonal), and unitary Q: A = Q T Q^H."""

    compute_schur_vectors: bool
    name = "schur"
    square = True
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        return [shapes[0]] * (2 if self.compute_schur_vectors else 1)

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        if not a.size or not np.isfinite(a).all():
            return [a * np.nan] * len(self.shapes(a.shape))
        return list(scipy_linalg().schur(a))[: len(self.shapes(a.shape))]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        values = array_type(a.shape[:-1], a.dtype)
        attributes = {"mode": "V" if self.compute_schur_vectors else "N", "sort": "N"}
        outs = [a.type, a.type, *[values] * (1 if a.dtype.kind == "c" else 2), kernels.info, kernels.info]
        form, vectors, *_, info = kernels.lapack("gees", [a], outs, attributes, {0: 0})
        ok = kernels.succeeded(info)
        return [kernels.where(ok, x) for x in (form, vectors)[: len(kernels.out_types)]]


class Hessenberg(MatrixKernel):
    """Q^H A Q with zeros below the first subdiagonal, where the reflectors that make Q stand, and their factors."""

    name = "hessenberg"
    square = True
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        if not shapes[0][0]:
            raise self.refuse("matrices of at least one row are needed", *shapes)
        return [shapes[0], (shapes[0][0] - 1,)]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        (kernel,) = scipy_linalg().get_lapack_funcs(("gehrd",), (a,))
        packed, taus, _ = kernel(a, lo=0, hi=a.shape[0] - 1)
        return [packed, taus]

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return operands[0], kernels.fill(0, kernels.out_types[1])

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        attributes: Any = {"low": np.int32(1), "high": np.int32(a.shape[-1])}
        *found, info = kernels.lapack("gehrd", [a], [*kernels.out_types, kernels.info], attributes, {0: 0})
        ok = kernels.succeeded(info)
        return [kernels.where(ok, x) for x in found]


class Tridiagonal(MatrixKernel):
    """Q^H A Q with three diagonals for Hermitian A given by one triangle: the reflectors that make Q, the diagonal, the
    one beside it, the factors of the reflectors.
    """

    lower_: bool
    name = "tridiagonal"
    square = True
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        n = shapes[0][0]
        if not n:
            raise self.refuse("matrices of at least one row are needed", *shapes)
        return [shapes[0], (n,), (n - 1,), (n - 1,)]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [dtype, real_dtype(dtype), real_dtype(dtype), dtype]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        (kernel,) = scipy_linalg().get_lapack_funcs(("hetrd" if a.dtype.kind == "c" else "sytrd",), (a,))
        return list(kernel(a, lower=self.lower_))[:4]

    def _solved(self, kernels: Kernels, results: Sequence[Written]) -> Sequence[Written]:
        *found, info = results
        ok = kernels.succeeded(info)
        return [kernels.where(ok, x) for x in found]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        routine = "hetrd" if operands[0].dtype.kind == "c" else "sytrd"
        outs = [*kernels.out_types, kernels.info]
        attributes = {"uplo": "L" if self.lower_ else "U"}
        return self._solved(kernels, kernels.lapack(routine, operands, outs, attributes, {0: 0}))

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        outs = [*kernels.out_types, kernels.info]
        return self._solved(kernels, kernels.gpu("solver_sytrd_ffi", operands, outs, {"lower": self.lower_}, {0: 0}))


def eig(
    x: Any, *, compute_left_eigenvectors: bool = True, compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False, implementation: Any = None, use_magma: bool | None = None,
) -> list[Any]:  # fmt: skip
    """Eigenvalues and eigenvectors of square matrices, on CPU.

    Derivatives of the eigenvalues, and of the eigenvectors with the length and phase that they have here. Where
    eigenvalues are repeated what ``eigh`` says about derivatives holds, as long as there are n independent
    eigenvectors; near matrices without them derivatives grow without bound.

    Args:
      x: ``[..., n, n]``, floating or complex.
      compute_left_eigenvectors: also U with U^H x = diag(w) U^H.
      compute_right_eigenvectors: also V with x V = V diag(w).
      enable_eigvec_derivs: not needed: derivatives of eigenvectors are there in any case. They hold where eigenvalues
        are distinct and no vector has two elements of the largest size.
      implementation, use_magma: None or LAPACK, which computes. Others raise NotImplementedError.

    Returns:
      [w ``[..., n]``, U ``[..., n, n]`` if asked for, V ``[..., n, n]`` if asked for], complex, of length 1 and with
      real largest elements. NaN where LAPACK does not converge.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128; less than two axes; another platform.
      ValueError: matrices that are not square.

    >>> from functrans import lax
    >>> import numpy as np
    >>> w, v = lax.linalg.eig(np.float32([[0, 1], [-1, 0]]), compute_left_eigenvectors=False)
    >>> sorted(w.imag.tolist())
    [-1.0, 1.0]
    """
    refuse("eig", implementation=implementation, use_magma=use_magma or None)
    return list(bind_all(Eig(bool(compute_left_eigenvectors), bool(compute_right_eigenvectors)), [x]))


def schur(
    x: Any, *, compute_schur_vectors: bool = True, sort_eig_vals: bool = False, select_callable: Any = None
) -> list[Any]:
    """The Schur form of square matrices, x = Q T Q^H, on CPU; it has no derivative.

    Args:
      x: ``[..., n, n]``, floating or complex.
      compute_schur_vectors: also Q.
      sort_eig_vals, select_callable: not supported, as in JAX.

    Returns:
      [T ``[..., n, n]``, upper triangular, for real matrices with a 2 x 2 block for each pair of complex eigenvalues;
      Q ``[..., n, n]`` if asked for]. NaN where LAPACK does not converge.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128; less than two axes; another platform.
      ValueError: matrices that are not square. NotImplementedError: ``sort_eig_vals``.

    >>> from functrans import lax
    >>> import numpy as np
    >>> t, q = lax.linalg.schur(np.float32([[2, 1], [0, 3]]))
    >>> t.tolist()
    [[2.0, 1.0], [0.0, 3.0]]
    """
    if sort_eig_vals:
        raise NotImplementedError("schur: sort_eig_vals=True is not supported: eigenvalues come in the order of LAPACK")
    return list(bind_all(Schur(bool(compute_schur_vectors)), [x]))


def hessenberg(a: Any) -> tuple[Any, Any]:
    """The Hessenberg form of square matrices by Householder reflections, on CPU; it has no derivative.

    Args:
      a: ``[..., n, n]`` with n > 0, floating or complex.

    Returns:
      ``[..., n, n]`` with the Hessenberg matrix and, below its first subdiagonal, the reflectors, as
      ``householder_product`` takes them; their factors ``[..., n - 1]``.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128; less than two axes; another platform.
      ValueError: matrices that are not square, or empty.

    >>> from functrans import lax
    >>> import numpy as np
    >>> packed, taus = lax.linalg.hessenberg(np.eye(3, dtype=np.float32))
    >>> taus.tolist()
    [0.0, 0.0]
    """
    packed, taus = bind_all(Hessenberg(), [a])
    return packed, taus


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Any, Any, Any, Any]:
    """The tridiagonal form of Hermitian matrices by Householder reflections, on CPU and GPU; it has no derivative.

    Args:
      a: ``[..., n, n]`` with n > 0, floating or complex.
      lower: which triangle is read.

    Returns:
      the matrix with reflectors in it ``[..., n, n]``, the diagonal ``[..., n]`` and the one beside it
      ``[..., n - 1]``, both real, and the factors of the reflectors ``[..., n - 1]``.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128; less than two axes; another platform.
      ValueError: matrices that are not square, or empty.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.tridiagonal(np.float32([[1, 5], [5, 2]]))[1].tolist()
    [1.0, 2.0]
    """
    packed, diagonal, beside, taus = bind_all(Tridiagonal(bool(lower)), [a])
    return packed, diagonal, beside, taus


class EigImplementation(enum.Enum):
    """Libraries that decompose a general matrix, as JAX names them; LAPACK does."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"
