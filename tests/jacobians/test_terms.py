"""Sparse Jacobians entry by entry: against dense forward mode, whichever way would be cheaper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.jacobians import planner, terms
from tests.jacobians import sparse_steps, sparse_sums_and_control
from tests.jacobians.sparse_programs import STEPS, SparseProgram
from tests.jacobians.test_sparse_random_programs import matrix
from tests.turns import covering_share

N = 12
X = np.random.default_rng(0).normal(size=N).astype(np.float32)
TO = np.int32([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
MASK = np.arange(N) % 3 > 0


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Terms are taken wherever they are known; what was found for each Jacobian."""
    found: list[Any] = []

    def forced(*args: Any) -> Any:
        sums = terms.sums_of(*args[:-1], 1000)
        found.append(sums)
        return None if sums is None else sums._replace(cost=-1.0)

    monkeypatch.setattr(planner, "sums_of", forced)
    ft.clear_caches()
    yield found
    ft.clear_caches()


def by_np(np_: Any, lax: Any) -> dict[str, Callable[..., Any]]:
    """Programs, written for functrans and for JAX."""
    return {
        "a product with a neighbour": lambda x: x[1:] * x[:-1],
        "a stencil": lambda x: np_.roll(x, 1) - 2 * x + np_.roll(x, -1) + np_.sin(x),
        "the same twice": lambda x: x * x + x[::-1] * x,
        "gathered": lambda x: np_.cos(x[TO]) * x[TO[::-1]],
        "added up at indices": lambda x: np_.zeros(N, x.dtype).at[TO].add(np_.sin(x) * x[::-1]),
        "added to another": lambda x: (x * 2).at[TO].add(x[::-1] ** 2),
        "subtracted, then moved and scaled": lambda x: np_.exp(x) * np_.roll(x.at[TO].add(-3 * x * x), 2)[::-1],
        "added twice": lambda x: np_.zeros(N).at[TO].add(np_.zeros(N).at[TO[::-1]].add(x**3)),
        "sums of rows": lambda x: np_.sum(np_.reshape(x * x, (3, 4)), 1) * x[:3],
        "written at indices": lambda x: (x * x).at[np.int32([1, 5])].set(x[:2] * x[4]),
        "a mask that is known": lambda x: np_.where(MASK, x * x, x[::-1]),
        "a mask that is not": lambda x: np_.where(x > 0, x * x[::-1], np_.sin(x)),
        "constants added": lambda x: np_.concatenate([np.float32([1, 2]) + x[:2], np_.zeros(2), x[2:4] * 3]),
        "outputs and inputs in trees": lambda x: {"a": (x * x)[:3], "b": np_.reshape(x, (3, 4)).T * 2},
        "nothing": lambda x: np_.zeros(3) + np_.sum(x[:0]),
        "of constants": lambda x: np_.ones(3),
        "empty": lambda x: x[:0] * 2,
        "to half and back": lambda x: (x.astype(jnp.bfloat16) * 2).astype(np.float32) * x,
        "a call": lambda x: (ft.jit if np_ is fnp else jax.jit)(lambda x: x * x[::-1])(x) + x,
        "expanded": lambda x: np_.reshape(x, (N, 1)) * np_.ones((1, 2), np.float32),
        "a loss' gradient": (ft if np_ is fnp else jax).grad(lambda x: np_.sum((x[1:] - x[:-1] ** 2) ** 2)),
        "a loss of a graph": (ft if np_ is fnp else jax).grad(lambda x: np_.sum(np_.sin(x[TO] * x) ** 2)),
    }


NAMES = list(by_np(fnp, ft.lax))
COLOURED = {"nothing", "of constants", "empty", "written at indices"}  # without any entry, or by what is not known


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_that_of_forward_mode(name: str, chosen: list[Any]) -> None:
    ours, theirs = by_np(fnp, ft.lax)[name], by_np(jnp, jax.lax)[name]
    blocks = jax.tree.leaves(jax.jacfwd(theirs)(X))
    wanted = np.concatenate([np.asarray(b, np.float32).reshape(-1, N) for b in blocks])
    for transform in (lambda f: f, ft.jit):
        found = transform(ft.sparse_jacobian(ours))(X)
        np.testing.assert_allclose(found.todense(), wanted, rtol=2e-6, atol=2e-6)
    assert chosen and {sums is None for sums in chosen} == {name in COLOURED}


@pytest.mark.parametrize("name", ["a stencil", "added up at indices", "subtracted, then moved and scaled"])
def test_they_are_differentiated_and_mapped(name: str, chosen: list[Any]) -> None:
    ours, theirs = by_np(fnp, ft.lax)[name], by_np(jnp, jax.lax)[name]
    loss = lambda x: fnp.sum(fnp.sin(ft.sparse_jacobian(ours, format="rows")(x).data))
    places = ft.sparsity(ours)(X)
    dense = lambda x: jnp.sum(jnp.sin(jax.jacfwd(theirs)(x)[places.rows, places.columns]))
    np.testing.assert_allclose(ft.grad(loss)(X), jax.grad(dense)(X), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(ft.jvp(loss, (X,), (X,))[1], jax.jvp(dense, (X,), (X,))[1], rtol=2e-5, atol=2e-5)
    lanes = np.stack([X, 2 * X])
    np.testing.assert_allclose(ft.vmap(loss)(lanes), jax.vmap(dense)(lanes), rtol=2e-5, atol=2e-5)
    assert all(sums is not None for sums in chosen) and chosen


@pytest.mark.parametrize("name", ["a stencil", "a loss of a graph"])
def test_hessians(name: str, chosen: list[Any]) -> None:
    loss = lambda np_, f: lambda x: np_.sum(np_.sin(f(x)))
    ours, theirs = by_np(fnp, ft.lax)[name], by_np(jnp, jax.lax)[name]
    found = ft.sparse_hessian(loss(fnp, ours))(X).todense()
    np.testing.assert_allclose(found, jax.hessian(loss(jnp, theirs))(X), rtol=2e-5, atol=2e-5)
    assert chosen


@pytest.mark.parametrize(
    "f",
    [
        lambda x: fnp.cumsum(x),
        lambda x: fnp.sort(x) * x,
        lambda x: fnp.linalg.solve(3 * fnp.eye(N) + fnp.outer(x, x), x),
        lambda x: ft.lax.scan(lambda c, e: (c + e, c * e), x[0], x)[1],
        lambda x: x[fnp.int32(x * x).clip(0, N - 1)],
        lambda x: fnp.zeros(N).at[TO].add(x).repeat(2)[::2] * x,
    ],
)
def test_what_has_no_terms_is_coloured(f: Any, chosen: list[Any]) -> None:
    np.testing.assert_allclose(ft.sparse_jacobian(f)(X).todense(), ft.jacfwd(f)(X), rtol=2e-5, atol=2e-5)
    assert chosen == [None]


def test_an_entry_far_from_infinities_is_finite(chosen: list[Any]) -> None:
    f = lambda x: fnp.concatenate([fnp.exp(x[:1] * 200), x[1:] * x[:-1]])
    x = np.float32([1, 2, 3])
    assert ft.sparse_jacobian(f)(x).data.tolist() == [np.inf, 2, 1, 3, 2]


def test_captured_indices_count_with_their_values(chosen: list[Any]) -> None:
    to = np.int32([0, 1, 2])
    take = ft.sparse_jacobian(lambda x: fnp.zeros(3).at[to].add(x[to] ** 2))
    assert take(X[:3]).todense().tolist() == np.diag(2 * X[:3]).tolist()
    to[:] = [2, 2, 0]
    wanted = np.zeros((3, 3), np.float32)
    wanted[2, 2], wanted[0, 0] = 4 * X[2], 2 * X[0]
    np.testing.assert_allclose(take(X[:3]).todense(), wanted, rtol=1e-6)


def test_a_pattern_of_the_users_with_fewer_places_is_coloured(chosen: list[Any]) -> None:
    pattern = ft.jacobians.patterns.Pattern.from_dense(np.eye(N, dtype=bool))
    f = lambda x: x * x + 0 * fnp.roll(x, 1)
    np.testing.assert_allclose(ft.sparse_jacobian(f, pattern=pattern)(X).todense(), np.diag(2 * X), rtol=1e-6)
    assert chosen == [None]


def test_a_place_that_no_term_has_is_zero(chosen: list[Any]) -> None:
    pattern = ft.jacobians.patterns.Pattern.from_dense(np.ones((N, N), dtype=bool))
    np.testing.assert_array_equal(ft.sparse_jacobian(lambda x: x * x, pattern=pattern)(X).todense(), np.diag(2 * X))
    assert chosen[0] is not None


def test_it_is_chosen_by_cost_and_said() -> None:
    graph = by_np(fnp, ft.lax)["added up at indices"]
    report = ft.explain(ft.sparse_jacobian(graph))(X)
    assert report.sections["jacobian"][0]["chosen"] == "entry by entry" and "* entry by entry" in str(report)
    for options in ({"mode": "forward"}, {"mode": "reverse"}, {"mode": "both"}, {"chunk_size": 3}):
        report = ft.explain(ft.sparse_jacobian(graph, **options))(X)
        assert "coloured" in report.sections["jacobian"][0]["chosen"]


def test_the_program_holds_no_value_of_the_size_of_passes() -> None:
    n = 1000
    program = ft.make_jaxpr(ft.sparse_jacobian(lambda x: x * (fnp.roll(x, 1) + fnp.roll(x, 2)), format="rows"))(
        np.zeros(n, np.float32)
    )
    assert max(v.type.size for eqn in program.equations for v in eqn.outputs) <= 3 * n + 1


@pytest.mark.parametrize("seed", covering_share(range(1000, 1240), 30))
def test_random_programs(seed: int, chosen: list[Any]) -> None:
    assert sparse_steps and sparse_sums_and_control and STEPS
    program = SparseProgram(seed)
    inputs = program.inputs(0)
    wanted = matrix(ft.jacfwd(program)(inputs), inputs)
    found = np.asarray(ft.sparse_jacobian(program, format="scipy")(inputs).toarray(), np.float64)
    small = any(x.dtype.itemsize < 4 for x in (*inputs, *jax.tree.leaves(ft.eval_shape(program, inputs))))
    bound = (0.1 if small or "casts" in program.names else 2e-3) * max(1.0, np.nanmax(np.abs(wanted), initial=0.0))
    finite = np.isfinite(wanted) & np.isfinite(found)
    assert (np.abs(found - wanted)[finite] <= bound).all(), program.names
