"""The functions of ``jax.experimental.sparse``, JAX's own, by the entries of their matrices: the numbers are JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from functrans.experimental import sparse
from tests.agreement import assert_same
from tests.surface.test_by_the_crossing import X, transformed

M = np.float32([[0, 2, 0], [1, 0, 0], [0, 0, 3]])
A = sparse.bcoo_fromdense(M)
R = sparse.bcsr_fromdense(M)
C = sparse.coo_fromdense(M)
S = sparse.csr_fromdense(M)
LAST = (((1,), (0,)), ((), ()))


def _a(data: Any) -> Any:
    return sparse.BCOO((data, A.indices), shape=A.shape)


def _r(data: Any) -> Any:
    return sparse.BCSR((data, R.indices, R.indptr), shape=R.shape)


def _c(data: Any) -> Any:
    return sparse.COO((data, C.row, C.col), shape=C.shape)


def _s(data: Any) -> Any:
    return sparse.CSR((data, S.indices, S.indptr), shape=S.shape)


IMAGE = sparse.bcoo_fromdense(np.float32([[[1, 0, 2, 0, 3]]]), n_batch=0, n_dense=0)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bcoo_todense": lambda x: sparse.bcoo_todense(_a(x[0])),
    "bcoo_fromdense": lambda x: sparse.bcoo_fromdense(x, nse=6).data * x[0, 0],
    "bcoo_extract": lambda x: sparse.bcoo_extract(A, x.T @ x).data,
    "bcoo_transpose": lambda x: sparse.bcoo_transpose(_a(x[0]), permutation=(1, 0)).todense(),
    "bcoo_dot_general": lambda x: sparse.bcoo_dot_general(_a(x[0]), x.T, dimension_numbers=LAST),
    "bcoo_dot_general_sampled": lambda x: sparse.bcoo_dot_general_sampled(
        x.T, x, A.indices, dimension_numbers=LAST),
    "bcoo_sort_indices": lambda x: sparse.bcoo_sort_indices(sparse.bcoo_rev(_a(x[0]), dimensions=(0,))).data,
    "bcoo_sum_duplicates": lambda x: sparse.bcoo_sum_duplicates(
        sparse.bcoo_concatenate([_a(x[0]), _a(x[1])], dimension=0), nse=6).data,
    "bcoo_update_layout": lambda x: sparse.bcoo_update_layout(
        _a(x[0]), n_batch=1, on_inefficient=None).todense(),
    "bcoo_broadcast_in_dim": lambda x: sparse.bcoo_broadcast_in_dim(
        _a(x[0]), shape=(2, 3, 3), broadcast_dimensions=(1, 2)).todense(),
    "bcoo_concatenate": lambda x: sparse.bcoo_concatenate([_a(x[0]), _a(x[1])], dimension=1).todense(),
    "bcoo_reshape": lambda x: sparse.bcoo_reshape(_a(x[0]), new_sizes=(9,)).todense(),
    "bcoo_rev": lambda x: sparse.bcoo_rev(_a(x[0]), dimensions=(1,)).todense(),
    "bcoo_squeeze": lambda x: sparse.bcoo_squeeze(sparse.bcoo_reshape(_a(x[0]), new_sizes=(1, 9)), dimensions=(0,))
        .todense(),
    "bcoo_slice": lambda x: sparse.bcoo_slice(_a(x[0]), start_indices=(0, 1), limit_indices=(3, 3)).todense(),
    "bcoo_dynamic_slice": lambda x: sparse.bcoo_dynamic_slice(_a(x[0]), (1, 0), (2, 3)).todense(),
    "bcoo_reduce_sum": lambda x: sparse.bcoo_reduce_sum(_a(x[0]), axes=(0,)).todense(),
    "bcoo_multiply_sparse": lambda x: sparse.bcoo_multiply_sparse(_a(x[0]), _a(x[1])).todense(),
    "bcoo_multiply_dense": lambda x: sparse.bcoo_multiply_dense(_a(x[0]), x[1]),
    "bcoo_gather": lambda x: sparse.bcoo_gather(
        _a(x[0]), jnp.array([[1]]), jax.lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, 3)).todense(),
    "bcoo_conv_general_dilated": lambda x: sparse.bcoo_conv_general_dilated(
        sparse.BCOO((x[0], IMAGE.indices), shape=IMAGE.shape), sparse.bcoo_fromdense(x[1].reshape(1, 1, 3), nse=3),
        window_strides=(1,), padding="SAME").todense(),
    "bcsr_todense": lambda x: sparse.bcsr_todense(_r(x[0])),
    "bcsr_fromdense": lambda x: sparse.bcsr_fromdense(x, nse=6).data * x[0, 0],
    "bcsr_extract": lambda x: sparse.bcsr_extract(R.indices, R.indptr, x.T @ x),
    "bcsr_dot_general": lambda x: sparse.bcsr_dot_general(_r(x[0]), x.T, dimension_numbers=LAST),
    "bcsr_broadcast_in_dim": lambda x: sparse.bcsr_broadcast_in_dim(
        _r(x[0]), shape=(2, 3, 3), broadcast_dimensions=(1, 2)).todense(),
    "bcsr_concatenate": lambda x: sparse.bcsr_concatenate([_r(x[0]), _r(x[1])], dimension=0).todense(),
    "bcsr_sum_duplicates": lambda x: sparse.bcsr_sum_duplicates(_r(x[0]), nse=3).data,
    "coo_todense": lambda x: sparse.coo_todense(_c(x[0])),
    "coo_matvec": lambda x: sparse.coo_matvec(_c(x[0]), x[1]),
    "coo_matmat": lambda x: sparse.coo_matmat(_c(x[0]), x.T),
    "coo_fromdense": lambda x: sparse.coo_fromdense(x, nse=6).data * x[0, 0],
    "csr_todense": lambda x: sparse.csr_todense(_s(x[0])),
    "csr_matvec": lambda x: sparse.csr_matvec(_s(x[0]), x[1]),
    "csr_matmat": lambda x: sparse.csr_matmat(_s(x[0]), x.T),
    "csr_fromdense": lambda x: sparse.csr_fromdense(x, nse=6).data * x[0, 0],
    "todense": lambda x: sparse.todense(_a(x[0])) + sparse.todense(x[1]),
    "eye": lambda x: sparse.eye(3) @ x.T + sparse.empty((3, 3), nse=2) @ x.T,
    "sparsify": lambda x: sparse.sparsify(lambda m, v: jnp.sum(m.T * 2, 1) @ v)(_a(x[0]), x[1]),
    "random_bcoo": lambda x: sparse.random_bcoo(jax.random.key(0), (4, 3), nse=5, dtype=np.float32) @ x.T,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function = FUNCTIONS[name]
    try:
        wanted = transformed(jax, function, X)
    except (NotImplementedError, jax.errors.TracerArrayConversionError):  # JAX has no rule for it
        wanted = [of(X) for of in (jax.jit(function), lambda x: jax.jvp(function, (x,), (jnp.cos(x),)))]
        found = [of(X) for of in (ft.jit(function), lambda x: ft.jvp(function, (x,), (jnp.cos(x),)))]
    else:
        found = transformed(ft, function, X)
    assert_same(found, wanted, 512, weak=False, context=name)


def test_derivatives_by_matrices() -> None:
    ours, theirs = (lambda m: ft.numpy.sum(ft.numpy.sin(m @ X[0])) , lambda m: jnp.sum(jnp.sin(m @ X[0])))
    assert_same(sparse.grad(ours)(A).data, sparse.grad(theirs)(A).data, 64, weak=False)
    assert_same(sparse.value_and_grad(ours)(A)[1].data, sparse.value_and_grad(theirs)(A)[1].data, 64, weak=False)
    vector = lambda m: m @ X[0]
    for name in ("jacfwd", "jacrev", "jacobian"):
        of = getattr(sparse, name)
        assert_same(ft.jit(lambda data, of=of: of(vector)(_a(data)).data)(A.data), of(vector)(A).data, 64, weak=False)


def test_solutions() -> None:
    from functrans.experimental.sparse import linalg

    dense = (M + 4 * np.eye(3)).astype(np.float32)
    m = sparse.BCSR.fromdense(dense)
    solved = lambda data, b: linalg.spsolve(data, m.indices, m.indptr, b)
    assert_same(ft.jit(solved)(m.data, X[0]), np.linalg.solve(dense, X[0]), 256, weak=False)
    slopes = ft.grad(lambda data, b: jnp.sum(solved(data, b) ** 2), (0, 1))(m.data, X[0])
    wanted = jax.grad(lambda data, b: jnp.sum(solved(data, b) ** 2), (0, 1))(m.data, X[0])
    assert_same(slopes, wanted, 256, weak=False)
    symmetric = np.diag(np.arange(1.0, 21.0, dtype=np.float32))
    start = np.eye(20, 2, dtype=np.float32) + 0.1
    values, _, _ = ft.jit(lambda m: linalg.lobpcg_standard(m, start, 50))(symmetric)
    np.testing.assert_allclose(values, [20, 19], rtol=1e-3)
