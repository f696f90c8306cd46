"""Spectra of matrices with orthogonal vectors: eigenvalues of Hermitian matrices, singular values of any.

What their derivatives are where values are repeated or zero stands in ``spectral_tangents``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransValueError
from functrans.ir.types import ArrayType, Shape, array_type
from functrans.ops.elementwise import add, mul, neg, real_dtype, sub
from functrans.ops.matrices import (
    Kernels,
    MatrixKernel,
    Written,
    adjoint,
    diagonal_halved,
    matmul,
    scipy_linalg,
    tril,
    triu,
)
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.spectral_tangents import (
    COLUMNS,
    DIFFERENCES,
    SUMS,
    VALUES,
    SpectralSplit,
    diagonal_matrix,
    diagonal_part,
)
from functrans.trace.binding import bind_all
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Tangent, Value


def check_subset(name: str, subset: tuple[int, int] | None, count: int) -> None:
    """Raises ValueError where a part of the values is asked for: kernels compute all of them."""
    if subset is not None and tuple(subset) != (0, count):
        raise FunctransValueError(
            f"{name}: subset_by_index={tuple(subset)} asks for a part of the {count} values, and kernels compute them "
            "all; leave it out and slice the results"
        )


class Eigh(MatrixKernel):
    """Eigenvectors V and eigenvalues w, in ascending order, of Hermitian matrices given by one triangle: A V = V w."""

    lower_: bool
    name = "eigh"
    square = True
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        return [shapes[0], shapes[0][:1]]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [dtype, real_dtype(dtype)]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        (kernel,) = scipy_linalg().get_lapack_funcs(("heevd" if a.dtype.kind == "c" else "syevd",), (a,))
        w, v, info = kernel(a, lower=self.lower_)
        return [v, w] if info == 0 else [np.nan, np.nan]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        vectors, values = bind_all(self, primals)
        half = diagonal_halved((tril if self.lower_ else triu)(tangents[0]))
        turned = matmul(adjoint(vectors), matmul(add(half, adjoint(half)), vectors))
        slopes, rotation = SpectralSplit.of([(VALUES, turned), (DIFFERENCES, turned)], values)
        return [vectors, values], [matmul(vectors, rotation), slopes]

    def _solved(self, kernels: Kernels, results: Sequence[Written]) -> Sequence[Written]:
        vectors, values, info = results
        ok = kernels.succeeded(info)
        return [kernels.where(ok, vectors), kernels.where(ok, values)]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        routine = "heevd" if a.dtype.kind == "c" else "syevd"
        attributes = {"mode": "V", "uplo": "L" if self.lower_ else "U"}
        outs = [*kernels.out_types, kernels.info]
        return self._solved(kernels, kernels.lapack(routine, [a], outs, attributes, {0: 0}))

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        attributes: dict[str, str | bool] = {"lower": self.lower_, "algorithm": "\0"}  # 0: the library chooses
        outs = [*kernels.out_types, kernels.info]
        return self._solved(kernels, kernels.gpu("solver_syevd_ffi", operands, outs, attributes, {0: 0}))


class Svd(MatrixKernel):
    """Singular values s in descending order; with ``compute_uv`` also U and V^H: A = U s V^H.

    ``full_matrices``: U and V are square; else they have as many columns as there are singular values.
    """

    compute_uv: bool
    full_matrices: bool
    name = "svd"
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        m, n = shapes[0]
        k = min(m, n)
        if not self.compute_uv:
            return [(k,)]
        return [(k,), (m, m if self.full_matrices else k), (n if self.full_matrices else k, n)]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [real_dtype(dtype), dtype, dtype][:count]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        if not arrays[0].size:
            if not self.compute_uv:
                return [np.zeros(0)]
            m, n = arrays[0].shape
            return [np.zeros(0), np.eye(m, self.shapes((m, n))[1][1]), np.eye(self.shapes((m, n))[2][0], n)]
        if not self.compute_uv:
            return [scipy_linalg().svd(arrays[0], compute_uv=False)]
        u, s, vh = scipy_linalg().svd(arrays[0], full_matrices=self.full_matrices)
        return [s, u, vh]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # A = U s V^H. With P = U^H dA V = H + K, its Hermitian and its skew part: ds = diag(H), and the rotations of U
        # and V are H_ij / (s_j - s_i) + K_ij / (s_i + s_j) and the same with a minus. What leaves the space of U (m >
        # n) or that of V (m < n) is divided by s_j.
        (a,), (a_t,) = primals, tangents
        m, n = a.shape[-2:]
        s, u, vh = bind_all(Svd(True, self.compute_uv and self.full_matrices), primals)
        if not self.compute_uv:
            return [s], [SpectralSplit.of([(VALUES, matmul(matmul(adjoint(u), a_t), adjoint(vh)))], s)[0]]
        k = min(m, n)
        left, right = _columns(u, k), _columns(adjoint(vh), k)
        moved = a_t if m >= n else adjoint(a_t)  # the larger side is that of ``outer``
        outer, inner = (left, right) if m >= n else (right, left)
        product = matmul(moved, inner)
        turned = matmul(adjoint(left), matmul(a_t, right))
        hermitian = mul(add(turned, adjoint(turned)), 0.5)
        skew = mul(sub(turned, adjoint(turned)), 0.5)
        parts = [(VALUES, hermitian), (DIFFERENCES, hermitian), (SUMS, skew)]
        rest = None
        if m != n and self.full_matrices:
            whole = u if m > n else adjoint(vh)
            rest = slice_in_dim(whole, k, whole.shape[-1], axis=a.ndim - 1)
            parts.append((COLUMNS, matmul(adjoint(rest), product)))
        elif m != n:
            parts.append((COLUMNS, sub(product, matmul(outer, turned if m > n else adjoint(turned)))))
        slopes, even, odd, *away = SpectralSplit.of(parts, s)
        if a.dtype.kind == "c":  # of the phase that U and V share, U takes all
            diagonal = diagonal_matrix(diagonal_part(odd))
            left_odd, right_odd = add(odd, diagonal), sub(odd, diagonal)
        else:
            left_odd = right_odd = odd
        slope_left = matmul(left, add(even, left_odd))
        slope_right = matmul(right, sub(even, right_odd))
        if not away:
            return [s, u, vh], [slopes, slope_left, adjoint(slope_right)]
        slope_outer = slope_left if m > n else slope_right
        if rest is None:
            slope_outer = add(slope_outer, away[0])
        else:
            both = add(slope_outer, matmul(rest, away[0])), neg(matmul(outer, adjoint(away[0])))
            slope_outer = concatenate(both, a.ndim - 1)
        if m > n:
            return [s, u, vh], [slopes, slope_outer, adjoint(slope_right)]
        return [s, u, vh], [slopes, slope_left, adjoint(slope_outer)]

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        values, *vectors = kernels.out_types
        return [kernels.fill(0, values), *[kernels.identity(t) if t.size else kernels.fill(0, t) for t in vectors]]

    def _outputs(self, kernels: Kernels, a: Written, full: bool) -> tuple[Any, Any, Any]:
        """The types of s, U and V^H that a kernel writes, asked for or not."""
        m, n = a.shape[-2:]
        k = min(m, n)
        return (
            kernels.out_types[0],
            array_type((*kernels.batch, m, m if full else k), a.dtype),
            array_type((*kernels.batch, n if full else k, n), a.dtype),
        )

    def _solved(self, kernels: Kernels, info: Written, *results: Written) -> Sequence[Written]:
        ok = kernels.succeeded(info)
        return [kernels.where(ok, x) for x in results[: 3 if self.compute_uv else 1]]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        mode = ("A" if self.full_matrices else "S") if self.compute_uv else "N"
        outs = [a.type, *self._outputs(kernels, a, self.full_matrices), kernels.info]
        _, s, u, vh, info = kernels.lapack("gesdd", [a], outs, {"mode": mode}, {0: 0})
        return self._solved(kernels, info, s, u, vh)

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        m, n = a.shape[-2:]
        if max(m, n) <= 1024:
            return self._by_jacobi(kernels, a)
        wide = m < n  # gesvd wants the longer side first
        s_type, u_type, vh_type = self._outputs(kernels, a, self.full_matrices)
        if wide:
            a, u_type, vh_type = flipped(kernels, a), flipped_type(vh_type), flipped_type(u_type)
        outs = [a.type, s_type, u_type, vh_type, kernels.info]
        attributes = {"full_matrices": self.full_matrices, "compute_uv": self.compute_uv, "transposed": False}
        _, s, u, vh, info = kernels.gpu("solver_gesvd_ffi", [a], outs, attributes, {0: 0})
        if wide and self.compute_uv:
            u, vh = flipped(kernels, vh), flipped(kernels, u)
        return self._solved(kernels, info, s, u, vh)

    def _by_jacobi(self, kernels: Kernels, a: Written) -> Sequence[Written]:
        """cuSOLVER's kernel for small matrices: it gives V, and the batched one, up to 32, square matrices only."""
        m, n = a.shape[-2:]
        k = min(m, n)
        full = self.full_matrices or m <= 32 or n <= 32
        s_type, u_type, vh_type = self._outputs(kernels, a, full)
        v_type = flipped_type(vh_type)
        attributes = {"full_matrices": full, "compute_uv": self.compute_uv}
        outs = [a.type, s_type, u_type, v_type, kernels.info]
        _, s, u, v, info = kernels.gpu("solver_gesvdj_ffi", [a], outs, attributes, {0: 0})
        if not self.compute_uv:
            return self._solved(kernels, info, s)
        if full and not self.full_matrices:
            u, v = (kernels.resized(x, x.type.update(shape=(*x.shape[:-1], k))) for x in (u, v))
        return self._solved(kernels, info, s, u, kernels.conjugated(flipped(kernels, v)))


def flipped_type(type: ArrayType) -> ArrayType:
    """The type of transposed matrices."""
    *batch, m, n = type.shape
    return type.update(shape=(*batch, n, m))


def flipped(kernels: Kernels, x: Written) -> Written:
    """The transposed matrices."""
    n = x.type.ndim
    to = flipped_type(x.type)
    dims = [*range(n - 2), n - 1, n - 2]
    return Written(kernels.emitter.op(f"stablehlo.transpose {x.name}, dims = {dims}", [x.type], to), to)


def _columns(x: Any, count: int) -> Any:
    """The first columns of matrices."""
    return x if x.shape[-1] == count else slice_in_dim(x, 0, count, axis=x.ndim - 1)


def eigh(
    x: Any, *, lower: bool = True, symmetrize_input: bool = True, sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None, implementation: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Eigenvectors and eigenvalues of Hermitian matrices.

    Where eigenvalues are repeated, the derivative of a function of them that treats equal ones equally is right, and so
    is that of a function of the eigenvectors which depends on the space of equal eigenvalues only; a derivative through
    both together is NaN, since none is right (``ops.spectral_tangents`` says why).

    Args:
      x: ``[..., n, n]``, floating or complex.
      lower: with ``symmetrize_input=False``, which triangle is read.
      symmetrize_input: decompose (x + x^H) / 2. If False one triangle alone is read, and has a derivative.
      sort_eigenvalues: they are in ascending order in any case.
      subset_by_index: None or (0, n), all of them.
      implementation: None: which kernel computes is given by the platform. Others raise NotImplementedError.

    Returns:
      eigenvectors ``[..., n, n]`` in columns, eigenvalues ``[..., n]``, real. NaN where the kernel does not converge.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, or less than two axes.
      ValueError: matrices that are not square; a part of the eigenvalues.

    >>> from functrans import lax
    >>> import numpy as np
    >>> vectors, values = lax.linalg.eigh(np.float32([[2, 0], [0, 1]]))
    >>> values.tolist()
    [1.0, 2.0]
    """
    refuse("eigh", implementation=implementation)
    shape = np.shape(x)
    if symmetrize_input and len(shape) > 1 and shape[-1] == shape[-2]:  # others are refused by the operation
        x = mul(add(x, adjoint(x)), 0.5)
    outs = bind_all(Eigh(bool(lower)), [x])
    check_subset("eigh", subset_by_index, outs[1].shape[-1])
    return outs[0], outs[1]


def svd(
    x: Any, *, full_matrices: bool = True, compute_uv: bool = True, subset_by_index: tuple[int, int] | None = None,
    algorithm: Any = None,
) -> Any:  # fmt: skip
    """Singular values and vectors: x = U diag(s) V^H.

    Where singular values are repeated or zero, derivatives are as for ``eigh``: right for functions of the values that
    treat equal ones equally, and for functions of the vectors alone which do not depend on the choice among those of
    equal values; NaN where none is right. The derivative of a singular value that is zero is one-sided: a singular
    value cannot become negative.

    Args:
      x: ``[..., m, n]``, floating or complex; k = min(m, n).
      full_matrices: U ``[..., m, m]`` and V^H ``[..., n, n]``, else ``[..., m, k]`` and ``[..., k, n]``.
      compute_uv: if False the singular values alone.
      subset_by_index: None or (0, k), all of them.
      algorithm: None or DEFAULT: which kernel computes is given by the platform. Others raise NotImplementedError.

    Returns:
      U, s ``[..., k]`` in descending order, V^H; or s. NaN where the kernel does not converge.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, or less than two axes.
      ValueError: a part of the singular values.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.svd(np.float32([[0, 2], [1, 0]]), compute_uv=False).tolist()
    [2.0, 1.0]
    """
    refuse("svd", algorithm=algorithm)
    s, *vectors = bind_all(Svd(bool(compute_uv), bool(full_matrices)), [x])
    check_subset("svd", subset_by_index, s.shape[-1])
    return (vectors[0], s, vectors[1]) if vectors else s


class EighImplementation(enum.Enum):
    """Ways to decompose a Hermitian matrix, as JAX names them; none is chosen by hand."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


class SvdAlgorithm(enum.Enum):
    """Ways to decompose a matrix into singular values and vectors, as JAX names them; ``DEFAULT`` is taken."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"
