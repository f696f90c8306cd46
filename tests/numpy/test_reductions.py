"""Reductions, calculus and products: as jax.numpy does."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree, grad_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(2, 3, 4)).astype(np.float32)
N = A.copy()
N[0, 1, 2] = np.nan
N[:, 0, 0] = np.nan
MASK = RNG.random((2, 3, 4)) > 0.4

REDUCTIONS = """
sum prod max min amax amin all any mean var std ptp count_nonzero argmax argmin nansum nanprod nanmax nanmin nanmean
nanvar nanstd nanargmax nanargmin
""".split()
OPTIONS: list[dict[str, Any]] = [
    {}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)}, {"keepdims": True}, {"where": MASK},
    {"where": MASK, "initial": 1, "axis": 1}, {"dtype": np.float32}, {"ddof": 1}, {"axis": ()},
    {"axis": (1, 1)}, {"axis": 3},
]  # fmt: skip
INPUTS = {
    "float32": A,
    "with nans": N,
    "int8": (A * 5).astype(np.int8),
    "uint8": (A * A * 9).astype(np.uint8),
    "bool": A > 0,
    "bfloat16": A.astype(jnp.bfloat16),
    "complex64": (A + 1j * A[::-1]).astype(np.complex64),
    "empty": A[:, :0],
}


def reduction_cases(module: Any, options: list[dict[str, Any]], names: list[str] = REDUCTIONS) -> dict[str, Any]:
    return {
        f"{n} {o}": lambda x, n=n, o=o: getattr(module, n)(x, **o)
        for n in names
        for o in options
        # JAX's positions of extremes silently ignore what they do not know
        if "arg" not in n or set(o) <= {"axis", "keepdims"}
    }


@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # what dtype=float32 asks for, of both sides
@pytest.mark.parametrize("kind", INPUTS)
def test_reductions_agree_with_jax(kind: str) -> None:
    names = REDUCTIONS
    if kind == "complex64":  # extremes of complex arrays are refused here; their positions JAX fails to lower
        names = [n for n in names if not any(part in n for part in ("max", "min", "ptp"))]
    assert_cases_agree(reduction_cases(fnp, OPTIONS, names), reduction_cases(jnp, OPTIONS, names), INPUTS[kind])


def test_reductions_of_scalars_agree_with_jax() -> None:
    options: list[dict[str, Any]] = [{}, {"keepdims": True}, {"axis": ()}]
    for x in (2.5, 3, np.float32(1.5), np.array(True)):
        assert_cases_agree(reduction_cases(fnp, options), reduction_cases(jnp, options), x)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "std", "nansum", "nanmean", "nanmax"])
def test_gradients_of_reductions_agree_with_jax(name: str) -> None:
    options: list[dict[str, Any]] = [{}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}]
    if name in ("sum", "mean"):
        options.append({"where": MASK, "axis": 0})
    x = A.copy()
    x[1, 2] = x[1, 1]  # ties of max and min
    ours, theirs = reduction_cases(fnp, options, [name]), reduction_cases(jnp, options, [name])
    assert_cases_agree(
        grad_of(ours, ft.vjp, lambda out: np.ones(out.shape, out.dtype)),
        grad_of(theirs, jax.vjp, lambda out: np.ones(out.shape, out.dtype)),
        x,
        operations=256,
    )


@pytest.mark.parametrize("name", ["var", "std"])
def test_masked_spreads_have_the_gradients_of_their_kept_elements(name: str) -> None:
    """As JAX has them, but 0 where nothing or one element is kept: NaN there, in JAX, spoils what is beside it."""
    ours, theirs = getattr(fnp, name), getattr(jnp, name)
    slope = np.asarray(ft.grad(lambda x: fnp.sum(fnp.nan_to_num(ours(x, 0, where=MASK))))(A))
    with_jax = np.asarray(jax.grad(lambda x: jnp.sum(theirs(x, 0, where=MASK)))(A))
    finite = np.isfinite(with_jax)
    assert 0 < finite.sum() < A.size
    np.testing.assert_allclose(slope[finite], with_jax[finite], rtol=1e-4, atol=1e-6)
    for place in np.ndindex(A.shape[1:]):
        kept = MASK[(slice(None), *place)]
        column = A[(slice(None), *place)]
        expected = np.zeros(len(column), np.float32)
        if kept.sum() > 1:
            expected[kept] = jax.grad(theirs)(column[kept])
        np.testing.assert_allclose(slope[(slice(None), *place)], expected, rtol=1e-4, atol=1e-6)


def test_a_mean_is_one_sum_and_one_division() -> None:
    program = ft.make_jaxpr(fnp.mean)(A)
    assert [e.op.name for e in program.equations] == ["reduce_sum", "div"]


def test_average_agrees_with_jax() -> None:
    w = np.array([1.0, 2.0, 3.0], np.float32)

    def cases(m: Any) -> dict[str, Any]:
        return {
            "plain": lambda x: m.average(x),
            "axis": lambda x: m.average(x, 1, w),
            "full": lambda x: m.average(x, weights=x * x, keepdims=True),
            "returned": lambda x: m.average(x, 1, w, returned=True),
            "both axes": lambda x: m.average(x, (0, 1), np.ones((2, 3), np.float32) * w, returned=True),
        }

    assert_cases_agree(cases(fnp), cases(jnp), A)


def test_calculus_agrees_with_jax() -> None:
    at = np.array([0.0, 0.5, 2.0, 2.5], np.float32)

    def cases(m: Any) -> dict[str, Any]:
        return {
            "diff": lambda x: [
                m.diff(x),
                m.diff(x, 2),
                m.diff(x, axis=1),
                m.diff(x, prepend=0.0),
                m.diff(x, append=x),
                m.diff(x > 0),
            ],
            "ediff1d": lambda x: [m.ediff1d(x), m.ediff1d(x, 1.0, np.array([2.0, 3.0], np.float32))],
            "gradient": lambda x: [
                m.gradient(x),
                m.gradient(x, 2.0, axis=1),
                m.gradient(x[0], 0.5, at),
                m.gradient(x[0, 0]),
            ],
            "trapezoid": lambda x: [m.trapezoid(x), m.trapezoid(x, at), m.trapezoid(x, dx=0.5, axis=0)],
            "interp": lambda x: [
                m.interp(x, at, at**2),
                m.interp(x, at, at**2, left=-1.0, right=9.0),
                m.interp(x, at, at**2, left="extrapolate", right="extrapolate"),
            ],
            "interp of two": lambda x: m.interp(x, at[:2], at[1:3]),
            "polyval": lambda x: [m.polyval(at, x), m.polyval(x[0, 0], 2.0), m.polyval(at[:1], x)],
            "trace": lambda x: [m.trace(x), m.trace(x, 1, 1, 2)],
        }

    assert_cases_agree(cases(fnp), cases(jnp), A)


SHAPES: list[tuple[int, ...]] = [
    (),
    (3,),
    (2, 3),
    (3, 2),
    (4, 2, 3),
    (4, 3, 2),
    (1, 3, 2),
    (5, 1, 3, 2),
    (0, 3),
    (3, 0),
]


@pytest.mark.parametrize("name", ["dot", "matmul", "inner", "tensordot", "kron", "outer", "vdot", "vecdot"])
def test_products_of_all_shapes_agree_with_jax(name: str) -> None:
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]

    def cases(m: Any) -> dict[str, Any]:
        return {
            f"{SHAPES[i]} {SHAPES[j]}": lambda *xs, i=i, j=j: getattr(m, name)(xs[i], xs[j])
            for i in range(len(SHAPES))
            for j in range(len(SHAPES))
        }

    assert_cases_agree(cases(fnp), cases(jnp), *arrays)


def test_products_promote_and_prefer_as_jax_does() -> None:
    i, f = np.arange(6, dtype=np.int8).reshape(2, 3), RNG.normal(size=(3, 2)).astype(np.float32)

    def cases(m: Any) -> dict[str, Any]:
        return {
            "mixed": lambda i, f: [m.dot(i, f), m.matmul(i, f), m.einsum("ij,jk", i, f), m.inner(i, i), m.outer(i, f)],
            "preferred": lambda i, f: [g(i, i.T, preferred_element_type=np.float32) for g in (m.dot, m.matmul)],
            "einsum preferred": lambda i, f: m.einsum("ij,kj", i, i, preferred_element_type=np.int32),
            "bfloat16": lambda i, f: m.matmul(f.astype(jnp.bfloat16), f.T),
            "bool": lambda i, f: m.matmul(i > 1, (i > 2).T),
            "tensordot": lambda i, f: m.tensordot(i, f, axes=((1, 0), (0, 1))),
            "precision": lambda i, f: m.dot(f.T, f, precision="highest"),
            "cross": lambda i, f: [m.cross(i, i[0]), m.cross(f.T, f[:, 0]), m.cross(f.T, f, axisb=0, axisc=0)],
            "matvec": lambda i, f: [m.matvec(i, f[:, 0]), m.vecmat(f[:, 0], f)],
            "operator": lambda i, f: [i @ f, f @ i],
        }

    assert_cases_agree(cases(fnp), cases(jnp), i, f)


def test_vectors_of_two_components_are_crossed_as_those_of_three_whose_third_is_zero() -> None:
    """NumPy took them until 2.5, JAX until 0.12; programs written for those run here."""
    u, v, w = (RNG.normal(size=shape).astype(np.float32) for shape in ((4, 2), (4, 2), (3,)))
    u_in_space, v_in_space = (np.pad(a, ((0, 0), (0, 1))) for a in (u, v))
    np.testing.assert_allclose(fnp.cross(u, v), np.cross(u_in_space, v_in_space)[:, 2], rtol=1e-6)
    np.testing.assert_allclose(fnp.cross(u.T, w, axisa=0), np.cross(u_in_space, w), rtol=1e-6)
    np.testing.assert_allclose(fnp.cross(w, u[0]), np.cross(w, u_in_space[0]), rtol=1e-6)
    assert fnp.cross(u[0], v[0]).shape == ()


EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ii", [(3, 3)]), ("ii->i", [(3, 3)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]), ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("i,j,k->ijk", [(2,), (3,), (4,)]), ("ij,jk,kl,lm->im", [(2, 3), (3, 4), (4, 5), (5, 6)]),
    ("iij,j->i", [(3, 3, 4), (4,)]),
    ("i,i->i", [(3,), (3,)]), ("ab,ab,ab->", [(2, 3)] * 3), ("ij,ij", [(1, 3), (2, 3)]),
    ("i...,i...->...", [(3, 2), (3, 2)]),
    ("iji,i->j", [(3, 2, 3), (3,)]), (",ij->ij", [(), (2, 3)]), ("...a,a->...", [(4,), (4,)]),
    ("ij,jk->ik", [(2, 3), (4, 4)]),
    ("ij,j->k", [(2, 3), (3,)]), ("ij", [(2,)]),
]  # fmt: skip


@pytest.mark.parametrize("optimize", ["auto", True, False, "greedy"])
def test_einsum_agrees_with_jax(optimize: Any) -> None:
    arrays = [RNG.normal(size=shape).astype(np.float32) for _, shapes in EINSUMS for shape in shapes]

    def cases(m: Any) -> dict[str, Any]:
        found, at = {}, 0
        for subscripts, shapes in EINSUMS:
            span = slice(at, at + len(shapes))
            found[f"{subscripts} {shapes}"] = lambda *xs, s=subscripts, span=span: m.einsum(
                s, *xs[span], optimize=optimize
            )
            at += len(shapes)
        return found

    assert_cases_agree(cases(fnp), cases(jnp), *arrays)


def test_a_product_in_einsum_ends_as_the_result_does() -> None:
    """So nothing but leading axes is left to transpose; the precisions change places with the operands."""
    a, b = np.ones((2, 3, 4), np.float32), np.ones((5, 4), np.float32)
    program = ft.make_jaxpr(lambda a, b: fnp.einsum("bij,vj->bvi", a, b, precision=("highest", "default")))(a, b)
    (product,) = [eqn for eqn in program.equations if eqn.op.name == "dot_general"]
    assert product.outputs[0].type.shape == (5, 2, 3)
    plain = ft.make_jaxpr(lambda a, b: fnp.einsum("bij,vj->biv", a, b, precision=("highest", "default")))(a, b)
    (other,) = plain.equations
    assert other.op.precision.split(":") == product.op.precision.split(":")[::-1]
    assert len(set(other.op.precision.split(":"))) == 2


def test_a_pair_in_einsum_is_one_dot_general() -> None:
    q = np.ones((2, 3, 4, 5), np.float32)
    program = ft.make_jaxpr(lambda q, k: fnp.einsum("bhqd,bhkd->bhqk", q, k))(q, q)
    assert [e.op.name for e in program.equations] == ["dot_general"]


def test_norms_and_chains_agree_with_jax() -> None:
    m, n, v = A[0], A[1].T, A[0, 0]

    def cases(linalg: Any) -> dict[str, Any]:
        orders: list[Any] = [None, "fro", 1, -1, np.inf, -np.inf]
        found = {
            f"norm {o}": lambda m, n, v, o=o: [linalg.norm(m, o), linalg.norm(m, o, keepdims=True)] for o in orders
        }
        vector: list[Any] = [None, 0, 1, 2, 3, -1, 2.5, np.inf, -np.inf]
        found |= {
            f"vector norm {o}": lambda m, n, v, o=o: [linalg.norm(v, o), linalg.norm(m, o, axis=1)] for o in vector
        }
        found["vector_norm"] = lambda m, n, v: [linalg.vector_norm(m), linalg.vector_norm(m, axis=0, ord=1)]
        found["matrix_norm"] = lambda m, n, v: linalg.matrix_norm(m, ord=1)
        found["power"] = lambda m, n, v: [linalg.matrix_power(m @ n, k) for k in (0, 1, 2, 5)]
        found["multi_dot"] = lambda m, n, v: [
            linalg.multi_dot([m, n, m]),
            linalg.multi_dot([v, n, m]),
            linalg.multi_dot([m, v]),
        ]
        found["trace"] = lambda m, n, v: [linalg.trace(m), linalg.diagonal(m, offset=1), linalg.outer(v, v)]
        return found

    assert_cases_agree(cases(fnp.linalg), cases(jnp.linalg), m, n, v, operations=256)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: fnp.sum(A, 3), ValueError, "sum: axis 3 is out of bounds for an array of 3 dimensions"),
        (lambda: fnp.sum(A, (0, 0)), ValueError, "names the same axis twice"),
        (lambda: fnp.max(A[:0]), ValueError, "reduced axes (0, 1, 2) of shape (0, 3, 4) hold no element"),
        (lambda: fnp.max(A, where=MASK), ValueError, "with where= an initial value is needed"),
        (lambda: fnp.sum(A, where=A), ValueError, "where must be a bool array, got dtype float32"),
        (lambda: fnp.sum(A[0], where=MASK), ValueError, "does not broadcast to the array of shape (3, 4)"),
        (lambda: fnp.sum(A, out=A), NotImplementedError, "out= is not supported"),
        (lambda: fnp.matmul(A, A), TypeError, "do not fit: the contracted axes 2 and 1 have sizes 4 and 3"),
        (lambda: fnp.matmul(A, 2.0), TypeError, "scalars have no axis to contract"),
        (lambda: fnp.dot(A, A[0]), TypeError, "contracted axes 2 and 0 have sizes 4 and 3"),
        (lambda: fnp.einsum("ij,jk->ik", A[0], A[0]), TypeError, "axis 'j' has sizes 4 and 3"),
        (lambda: fnp.einsum("ij->ij", A), ValueError, "the subscripts 'ij' do not fit an operand of 3 dimensions"),
        (lambda: fnp.einsum("ij->k", A[0]), ValueError, "must name axes of the operands"),
        (lambda: fnp.einsum("ij,jk", A[0]), ValueError, "name 2 operands, and 1 are given"),
        (lambda: fnp.linalg.norm(A[0], 3), ValueError, "ord of matrices must be 'fro', 'nuc'"),
        (lambda: fnp.cross(A, A), ValueError, "vectors need 2 or 3 components, got 4 and 4"),
    ],
)  # fmt: skip
def test_wrong_operands_are_named(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
