"""sparse_jacobian, sparse_hessian, jacobian, hessian: the entries are those of JAX's dense matrices, everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.errors import FunctransTypeError, FunctransValueError, NotLinearError

generator = np.random.default_rng(3)


def values(*shape: int, dtype: Any = np.float32) -> Any:
    return generator.uniform(-1.0, 1.0, shape).astype(dtype)


def gapped(m: int, n: int, share: float = 0.1) -> Any:
    return (values(m, n) * (generator.random((m, n)) < share)).astype(np.float32)


N = 24
A, B = gapped(30, N), gapped(N, N)
EDGES = generator.integers(0, N, (2, 40))
LAPLACE = np.float32(np.eye(N, k=1) + np.eye(N, k=-1) - 2 * np.eye(N))


def brusselator(np_: Any, x: Any) -> Any:
    u, v = x.reshape((2, 3, 4))
    around = lambda w: sum(np_.roll(w, s, a) for s in (1, -1) for a in (0, 1)) - 4 * w
    reaction = u * u * v
    return np_.stack([1 + reaction - 4.4 * u + around(u), 3.4 * u - reaction + around(v)]).ravel()


def energy(np_: Any, x: Any) -> Any:
    """Of a graph: each edge has its own angle."""
    angle = x[EDGES[0]] - x[EDGES[1]]
    return np_.sum((1 - np_.cos(angle)) * np_.arange(1, 41)) + np_.sum(x[0] * x)


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "neighbours": lambda np_, x: np_.sin(x[1:]) * x[:-1] ** 2,
    "reaction and diffusion": brusselator,
    "an arrow": lambda np_, x: np_.concatenate([np_.sum(x * x)[None], x[1:] * x[0] + x[1:] ** 3]),
    "an arrow lying": lambda np_, x: x * x[3] + np_.zeros(N).at[3].set(np_.sum(np_.sin(x))),
    "blocks": lambda np_, x: np_.einsum("bi,bj->bij", x.reshape((6, 4)), np_.cos(x.reshape((6, 4)))),
    "a random matrix": lambda np_, x: np_.tanh(A @ x) * 2,
    "two random matrices": lambda np_, x: (np_.sin(B @ x), A @ (x * x)),
    "edges": lambda np_, x: np_.zeros(N).at[EDGES[0]].add(np_.sin(x[EDGES[0]] * x[EDGES[1]])),
    "one column": lambda np_, x: np_.exp(x[5]) * np.arange(1, 31, dtype=np.float32),
    "one row": lambda np_, x: np_.sum(np_.sin(x)),
    "dense": lambda np_, x: x / np_.sum(x * x),
    "constant": lambda np_, x: np_.floor(x),
    "nothing": lambda np_, x: x[:0],
}
SCALARS: dict[str, Callable[[Any, Any], Any]] = {
    "a graph": energy,
    "neighbours": lambda np_, x: np_.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "a random form": lambda np_, x: np_.sum(np_.sin(x) * (B @ np_.cos(x))),
    "a grid": lambda np_, x: np_.sum((LAPLACE @ x) ** 3),
    "an arrow": lambda np_, x: x[0] * np_.sum(x**3),
    "a diagonal": lambda np_, x: np_.sum(x**3),
    "linear": lambda np_, x: np_.sum(x * 2),
    "blocks": lambda np_, x: np_.sum(np_.prod(x.reshape((8, 3)), 1)),
}
X = values(N)


def dense(name: str, x: Any = X) -> Any:
    found = jax.jit(jax.jacfwd(lambda v: FUNCTIONS[name](jnp, v)))(x)
    return np.concatenate([np.reshape(block, (-1, x.size)) for block in jax.tree.leaves(found)])


def close(found: Any, expected: Any, wide: bool = False) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    bound = (1e-12 if wide else 3e-5) * max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


# -- formats and modes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_entries_are_those_of_the_dense_matrix(name: str) -> None:
    f, expected = lambda x: FUNCTIONS[name](fnp, x), dense(name)
    close(ft.sparse_jacobian(f)(X).todense(), expected)
    close(ft.sparse_jacobian(f, mode="forward", format="scipy")(X).toarray(), expected)
    close(ft.sparse_jacobian(f, mode="reverse", format="rows")(X).to_scipy().toarray(), expected)
    close(ft.jit(ft.sparse_jacobian(f, mode="both", chunk_size=2))(X).todense(), expected)


@pytest.mark.parametrize("name", SCALARS)
def test_entries_of_hessians_are_those_of_the_dense_matrix(name: str) -> None:
    f, expected = lambda x: SCALARS[name](fnp, x), jax.jit(jax.hessian(lambda x: SCALARS[name](jnp, x)))(X)
    close(ft.sparse_hessian(f, format="scipy")(X).toarray(), expected)
    close(ft.jit(ft.sparse_hessian(f, chunk_size=3))(X).todense(), expected)
    close(ft.hessian(f)(X), expected)


@pytest.mark.usefixtures("x64")
def test_entries_with_64_bits() -> None:
    x = values(N, dtype=np.float64)
    expected = np.asarray(jax.jit(jax.jacfwd(lambda v: brusselator(jnp, v)))(x))
    for mode in (None, "reverse", "both"):
        found = ft.sparse_jacobian(lambda v: brusselator(fnp, v), mode=mode, format="scipy")(x)
        close(found.toarray(), expected, wide=True)
    expected = jax.jit(jax.hessian(lambda v: energy(jnp, v)))(x)
    close(ft.sparse_hessian(lambda v: energy(fnp, v))(x).todense(), expected, wide=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_entries_of_small_floats(dtype: str, mode: Any) -> None:
    x = values(6).astype(fnp.bfloat16 if dtype == "bfloat16" else dtype)
    f = lambda x: (x[1:] * x[:-1], x.astype(np.float32))
    rows = ft.sparse_jacobian(f, mode=mode, format="rows")(x)
    assert rows.data.dtype == np.float32
    matrix = ft.sparse_jacobian(lambda x: x[1:] * x[:-1], mode=mode, format="scipy")(x)
    expected = np.diag(np.float32(x[1:]), 0)
    np.testing.assert_array_equal(matrix.toarray()[:, :-1] - np.diag(np.float32(x[:-2]), 1), expected)


def test_outputs_of_two_half_types_have_a_common_dtype() -> None:
    x = values(3)
    found = ft.sparse_jacobian(lambda x: (x.astype(fnp.bfloat16), x.astype(np.float16) * 2))(x)
    assert found.data.dtype == fnp.promote_types(fnp.bfloat16, np.float16)
    np.testing.assert_array_equal(found.todense(), np.concatenate([np.eye(3), 2 * np.eye(3)]))


def test_a_function_without_results_has_no_rows() -> None:
    assert ft.sparse_jacobian(lambda x: ())(X).shape == (0, N)
    assert ft.sparse_jacobian(lambda x: fnp.ones(2))(()).shape == (2, 0)


# -- trees, arguments, patterns ----------------------------------------------------------------------------------------


def test_trees_argnums_and_auxiliary_results() -> None:
    tree = {"u": values(5), "v": (values(2, 2), np.float32(0.7))}
    y = values(4)

    def f(np_: Any, tree: Any, y: Any) -> Any:
        return (np_.sin(tree["u"]) * tree["v"][1], tree["v"][0] @ y.reshape((2, 2))), {"n": np_.sum(y)}

    blocks, _ = jax.jit(jax.jacfwd(lambda *a: f(jnp, *a), (1, 0), has_aux=True))(tree, y)
    rows = [[np.reshape(b, (size, -1)) for b in jax.tree.leaves(row)] for row, size in zip(blocks, (5, 4), strict=True)]
    expected = np.block(rows)
    for format in ("bcoo", "scipy"):
        found, aux = ft.sparse_jacobian(lambda *a: f(fnp, *a), (1, 0), True, format=format)(tree, y)
        close(found.todense() if format == "bcoo" else found.toarray(), expected)
        np.testing.assert_allclose(aux["n"], np.sum(y), rtol=1e-6)
    pattern = ft.sparsity(lambda *a: f(fnp, *a), (1, 0), True)(tree, y)
    assert (pattern.to_scipy().toarray() >= (expected != 0)).all()
    scalar = lambda np_: lambda tree, y: np_.sum(f(np_, tree, y)[0][1] ** 2) + np_.sum(tree["u"] ** 3)
    blocks = jax.jit(jax.hessian(scalar(jnp), (0, 1)))(tree, y)
    leaves, sizes = jax.tree.leaves(blocks), (5, 4, 1, 4)
    expected = np.block([[np.reshape(leaves[4 * i + j], (sizes[i], sizes[j])) for j in range(4)] for i in range(4)])
    close(ft.sparse_hessian(scalar(fnp), (0, 1))(tree, y).todense(), expected)


def test_a_given_pattern_is_believed() -> None:
    f = lambda x: x / fnp.sum(x)  # dense; of which the diagonal alone is asked for
    wide = ft.sparsity(lambda x: fnp.cumsum(x))(X)
    x = X[:6]
    g = lambda x: fnp.sin(x)
    lower = ft.sparsity(lambda x: fnp.cumsum(x))(x)
    found = ft.sparse_jacobian(g, pattern=lower, format="rows")(x)
    assert found.pattern == lower
    close(found.to_scipy().toarray(), np.diag(np.cos(x)))
    with pytest.raises(FunctransValueError, match=r"\(24, 24\)"):
        ft.sparse_jacobian(f, pattern=wide)(x)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5])
def test_chunks_of_directions_give_the_same_entries(chunk: int) -> None:
    f = lambda x: FUNCTIONS["reaction and diffusion"](fnp, x)
    for mode in ("forward", "reverse"):
        whole = ft.sparse_jacobian(f, mode=mode, format="rows")(X)
        close(ft.sparse_jacobian(f, mode=mode, format="rows", chunk_size=chunk)(X).data, whole.data)


# -- in other transforms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["neighbours", "an arrow", "edges", "two random matrices"])
def test_functions_of_entries_are_differentiated(name: str) -> None:
    def total(library: Any, np_: Any, take: Any) -> Any:
        f = lambda x: FUNCTIONS[name](np_, x)
        of = lambda x: sum(np_.sum(v**3) for v in take(f, x))
        return library.jit(lambda x: (of(x), library.grad(of)(x), library.jvp(library.grad(of), (x,), (x,))[1]))

    expected = total(jax, jnp, lambda f, x: jax.tree.leaves(jax.jacfwd(f)(x)))(X)
    for mode in ("forward", "reverse", "both"):
        entries = lambda f, x, mode=mode: [ft.sparse_jacobian(f, mode=mode)(x).data]
        for a, b in zip(total(ft, fnp, entries)(X), expected, strict=True):
            close(a, b)


def test_functions_of_a_hessian_are_differentiated() -> None:
    f = lambda np_: lambda x: SCALARS["a graph"](np_, x)
    sum_of = lambda np_, take: lambda x: np_.sum(np_.sin(take(x)))
    expected = jax.jit(jax.grad(sum_of(jnp, jax.hessian(f(jnp)))))(X)
    close(ft.grad(sum_of(fnp, ft.hessian(f(fnp))))(X), expected)
    close(ft.grad(sum_of(fnp, lambda x: ft.sparse_hessian(f(fnp))(x).data))(X), expected)


def test_matrices_in_lanes_are_those_of_each() -> None:
    rows = np.stack([X, 2 * X, X[::-1]])
    f = lambda x: FUNCTIONS["edges"](fnp, x)
    expected = np.stack([dense("edges", x) for x in rows])
    close(ft.vmap(ft.sparse_jacobian(f))(rows).todense(), expected)
    close(ft.jit(ft.vmap(ft.sparse_jacobian(f, mode="reverse")))(rows).todense(), expected)
    close(ft.vmap(lambda x: ft.sparse_jacobian(f)(x).todense(), chunk_size=2)(rows), expected)
    close(ft.vmap(lambda x: ft.sparse_jacobian(f)(x) @ x)(rows), np.einsum("bij,bj->bi", expected, rows))
    twice = ft.vmap(ft.vmap(lambda x: {"J": ft.sparse_jacobian(f)(x), "x": x}))(rows[None])
    close(twice["J"].todense(), expected[None])
    close(twice["x"], rows[None])
    batched = ft.vmap(ft.sparse_jacobian(f, format="rows"))(rows)
    close(batched.pattern.to_scipy(batched.data[1]).toarray(), expected[1])
    shared = ft.vmap(ft.sparse_jacobian(f), in_axes=None, axis_size=2)(X)
    close(shared.todense(), np.stack([dense("edges")] * 2))
    hessians = ft.vmap(ft.sparse_hessian(lambda x: SCALARS["a graph"](fnp, x)))(rows)
    close(hessians.todense(), jax.jit(jax.vmap(jax.hessian(lambda x: SCALARS["a graph"](jnp, x))))(rows))


def test_a_matrix_within_a_loop() -> None:
    """Newton's method on neighbours, its matrix dense only where it is solved with."""
    f = lambda np_: lambda x: x + 0.3 * np_.sin(np_.roll(x, 1)) - 1.0

    def newton(library: Any, np_: Any, matrix: Any) -> Any:
        turn = lambda _, x: x - np_.linalg.solve(matrix(x), f(np_)(x))
        return library.jit(lambda x: library.lax.fori_loop(0, 4, turn, x))(X)

    found = newton(ft, fnp, lambda x: ft.sparse_jacobian(f(fnp))(x).todense())
    close(found, newton(jax, jnp, jax.jacfwd(f(jnp))))


# -- the values that a pattern was made for ----------------------------------------------------------------------------


def test_equal_code_with_other_captured_indices() -> None:
    def of(index: Any, take: Any = ft.sparse_jacobian) -> Any:
        return take(lambda x: x[index] * 2)

    x = values(4)
    for index in ([0, 0, 1], [2, 1, 0], [0, 0, 1], [3, 3, 3]):
        found = of(np.array(index))(x)
        np.testing.assert_array_equal(found.todense(), 2 * np.eye(4)[index])
        np.testing.assert_array_equal(of(jnp.array(index))(x).todense(), 2 * np.eye(4)[index])
        np.testing.assert_array_equal(ft.jit(of(np.array(index)))(x).todense(), 2 * np.eye(4)[index])
        np.testing.assert_array_equal(of(np.array(index), ft.jacobian)(x), 2 * np.eye(4)[index])


@pytest.mark.parametrize("mode", ["fill", "clip", "promise_in_bounds"])
def test_seeds_are_taken_by_known_indices(mode: str) -> None:
    """Taken twice, scaled, moved again; by indices outside of the array, too; in both modes and in chunks."""
    inside, outside = np.array([[4, 0], [1, 4], [-1, 2]]), np.array([5, 9, -7, 0, 1])
    index = inside if mode == "promise_in_bounds" else outside

    def f(lib: Any) -> Any:
        def g(x: Any) -> Any:
            taken = (x * x).at[index].get(mode=mode, fill_value=0.5)
            again = taken.ravel()[np.array([3, 0, 3, 1])]
            return lib.concatenate([taken.ravel() * 2, again * x[np.array([0, 0, 1, 2])], x[2:3] + again[:1]])

        return g

    x = values(5)
    expected = np.asarray(jax.jacfwd(f(jnp))(x))
    for way in (None, "forward", "reverse", "both"):
        close(ft.sparse_jacobian(f(fnp), mode=way)(x).todense(), expected)
    close(ft.sparse_jacobian(f(fnp), chunk_size=1)(x).todense(), expected)
    close(ft.jit(ft.jacobian(f(fnp)))(x), expected)
    once = ft.jit(ft.sparse_jacobian(lambda x: ft.jit(lambda y: y[inside] * y[inside[::-1]])(x * 3.0)))
    close(once(x).todense(), jax.jacfwd(lambda x: (9 * x[inside] * x[inside[::-1]]).ravel())(x))


def test_a_captured_array_may_change_between_calls() -> None:
    index, holes = np.array([0, 1, 2]), np.float32([1.0, 0.0, 2.0])
    take = ft.sparse_jacobian(lambda x: x[index] * holes, format="scipy")
    x = values(4)
    np.testing.assert_array_equal(take(x).toarray(), np.eye(4)[index] * holes[:, None])
    index[:] = 3, 0, 0
    np.testing.assert_array_equal(take(x).toarray(), np.eye(4)[index] * holes[:, None])
    holes[:] = 0.0, 5.0, 0.0
    found = take(x)
    np.testing.assert_array_equal(found.toarray(), np.eye(4)[index] * holes[:, None])
    assert found.nnz == 1


def test_indices_as_another_argument() -> None:
    f = lambda x, index, holes: x[index] * holes
    x, holes = values(4), np.float32([1.0, 0.0, 2.0])
    take, compiled = ft.sparse_jacobian(f), ft.jit(ft.sparse_jacobian(f))
    for index in ([0, 0, 1], [2, 1, 0]):
        expected = np.eye(4)[index] * holes[:, None]
        found = take(x, np.array(index), holes)
        assert found.nse == 2
        np.testing.assert_array_equal(found.todense(), expected)
        everything = compiled(x, np.array(index), holes)  # indices without values: anything may be indexed
        assert everything.nse == 12
        np.testing.assert_array_equal(everything.todense(), expected)


def test_numbers_and_static_choices_in_the_code() -> None:
    x = values(6)
    for start in (0, 2, 3):
        found = ft.sparse_jacobian(lambda x, s=start: ft.lax.dynamic_slice(x, (s,), (2,)) * 3.0)(x)
        np.testing.assert_array_equal(found.todense(), 3 * np.eye(6)[start : start + 2])
    for factor in (0.0, 2.0, 0.0):
        found = ft.sparse_jacobian(lambda x, s=factor: x * s)(x)
        np.testing.assert_array_equal(found.todense(), factor * np.eye(6, dtype=np.float32))


def test_a_pattern_is_found_once_for_equal_values(monkeypatch: Any) -> None:
    """Values that are no numbers are equal to themselves."""
    found: list[Any] = []
    detect = ft.jacobians.remembered.detect
    monkeypatch.setattr(ft.jacobians.remembered, "detect", lambda *args: found.append(1) or detect(*args))

    def take(hole: float, index: int) -> Any:
        captured, limits = np.arange(4) * index % 4, np.float32([1.0, np.nan, hole, 2.0])
        chosen = lambda x: ft.lax.select(ft.lax.rev(limits, (0,)) > np.full(4, 0.5, np.float32), x, 0 * x)
        return ft.sparse_jacobian(lambda x: chosen(x)[captured])(values(4))

    for hole, index, count in ((0.0, 1, 1), (0.0, 1, 1), (0.0, 3, 2), (5.0, 3, 3), (0.0, 1, 3)):
        take(hole, index)
        assert len(found) == count


def test_threads_at_once() -> None:
    """Each with captured arrays of its own, of one structure."""
    x = values(8)
    faults: list[Any] = []
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        try:
            start.wait()
            for k in range(6):
                index = np.random.default_rng(10 * seed + k % 3).integers(0, 8, 8)
                found = ft.sparse_jacobian(lambda x, index=index: x[index] * x, format="scipy")(x).toarray()
                np.testing.assert_allclose(found, np.eye(8)[index] * x[:, None] + np.diag(x[index]), rtol=1e-6)
                np.testing.assert_allclose(ft.jacobian(lambda x, index=index: x[index] * 2)(x), 2 * np.eye(8)[index])
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# -- rules of the user's -----------------------------------------------------------------------------------------------


@ft.custom_vjp
def clipped(x: Any) -> Any:
    return x * 1.0


clipped.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (fnp.clip(ct, -0.5, 0.5),))


@jax.custom_jvp
def theirs(x: Any) -> Any:
    return x * x


@theirs.defjvp
def theirs_rule(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return theirs(x), t * jnp.roll(x, 1)


@ft.custom_jvp
def ours(x: Any) -> Any:
    return x * x


@ours.defjvp
def ours_rule(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return ours(x), t * fnp.roll(x, 1)


def test_a_rule_that_is_not_linear_is_not_pushed_nor_added_up() -> None:
    f = lambda x: fnp.concatenate([3 * clipped(x), x[:2] ** 2])
    expected = np.concatenate([0.5 * np.eye(N), np.diag(2 * X)[:2]]).astype(np.float32)
    close(ft.jacobian(f)(X), expected)
    close(ft.jacobian(f, chunk_size=5)(X), expected)
    close(ft.jit(ft.jacobian(f))(X), expected)
    for mode in (None, "forward", "reverse", "both"):
        with pytest.raises(NotLinearError):
            ft.sparse_jacobian(f, mode=mode)(X)
    with pytest.raises(NotLinearError):
        ft.sparsity(f)(X)
    # The gradient runs the rule as it stands, and is a function like others.
    hessian = np.diag(np.where(3 * X**2 < 0.5, 6 * X, 0.0)).astype(np.float32)
    close(ft.sparse_hessian(lambda x: fnp.sum(clipped(x) ** 3))(X).todense(), hessian)


class Squared(ft.Primitive):
    """With the same rule."""

    def infer(self, x: Any) -> Any:
        return x

    def impl(self, x: Any) -> Any:
        return x * x

    def jvp(self, primals: Any, tangents: Any) -> Any:
        return ft.bind(self, primals[0]), tangents[0] * fnp.roll(primals[0], 1)

    def batch(self, lanes: Any, operands: Any, mapped: Any) -> Any:
        return ft.bind(self, *operands), True

    def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
        return emitter.elementwise("multiply", [operands[0]] * 2, [in_types[0]] * 2, out_types[0])


def test_a_rule_that_is_no_gradient_has_a_hessian_that_is_not_symmetric() -> None:
    """The rule says that the slope is the neighbour's value."""
    f = lambda np_, g: lambda x: np_.sum(g(x) * np_.arange(1.0, N + 1))
    expected = jax.jit(jax.hessian(f(jnp, theirs)))(X)
    assert not np.allclose(expected, np.transpose(expected))
    close(ft.hessian(f(fnp, ours))(X), expected)
    close(ft.sparse_hessian(f(fnp, ours))(X).todense(), expected)
    own = lambda x: ft.bind(Squared(), x)
    close(ft.hessian(f(fnp, own))(X), expected)
    close(ft.sparse_hessian(f(fnp, own))(X).todense(), expected)
    inside = lambda x: f(fnp, lambda v: ft.lax.scan(lambda c, _: (ft.jit(ours)(c), None), v, None, length=1)[0])(x)
    close(ft.sparse_hessian(inside)(X).todense(), expected)


def test_the_pattern_of_a_rule_is_that_of_the_rule() -> None:
    rounded = ft.custom_jvp(fnp.round)
    rounded.defjvp(lambda primals, tangents: (rounded(primals[0]), tangents[0]))
    np.testing.assert_array_equal(ft.sparse_jacobian(lambda x: 2 * rounded(x))(X).todense(), 2 * np.eye(N))
    assert ft.sparse_jacobian(lambda x: 2 * fnp.round(x))(X).nse == 0


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ins", "outs"), [(4, 80), (80, 4), (40, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_types_do_not_depend_on_the_plan(ins: int, outs: int, dtype: Any) -> None:
    w = values(outs, ins)
    x = values(ins, dtype=dtype)
    f = lambda np_: lambda x: ((w @ x) * 2, np_.sin(x).astype(np.float16), np_.sum(x.astype(np.float32)) * 1.5)
    found, expected = ft.jacobian(f(fnp))(x), jax.jit(jax.jacrev(f(jnp)))(x)
    assert [b.dtype for b in found] == [b.dtype for b in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.float32(a), np.float32(b), rtol=2e-3, atol=2e-3)
    g = lambda np_: lambda x, y: np_.sum((w @ x) ** 2) * np_.sum(y)
    found, expected = ft.hessian(g(fnp), (0, 1))(x, X[:2]), jax.jit(jax.hessian(g(jnp), (0, 1)))(x, X[:2])
    assert jax.tree.map(lambda b: b.dtype, found) == jax.tree.map(lambda b: b.dtype, expected)


@pytest.mark.parametrize(("ins", "outs"), [(4, 80), (80, 4), (40, 40)])
def test_complex_results_of_real_inputs_are_pushed_forward(ins: int, outs: int) -> None:
    w, x = values(outs, ins), values(ins)
    f = lambda x: (w @ x) * (x[0] + 1j)
    close(ft.jacobian(f)(x), jax.jit(jax.jacfwd(f))(x))
    z = (x + 1j * values(ins)).astype(np.complex64)
    g = lambda z: (w @ z) * z[0]
    close(ft.jacobian(g, holomorphic=True)(z), jax.jit(jax.jacfwd(g, holomorphic=True))(z))


@pytest.mark.parametrize(("call", "kind", "words"), [
    (lambda: ft.sparse_jacobian(fnp.sin, format="csr"), FunctransValueError, "'csr'"),
    (lambda: ft.sparse_jacobian(fnp.sin, mode="fwd"), FunctransValueError, "'fwd'"),
    (lambda: ft.sparse_jacobian(fnp.sin, pattern=np.eye(3)), FunctransTypeError, "Pattern"),
    (lambda: ft.sparse_jacobian(fnp.sin, chunk_size=0), FunctransValueError, "chunk_size=0"),
    (lambda: ft.sparse_jacobian(lambda x: x * 1j)(X), FunctransTypeError, "sparse_jacobian"),
    (lambda: ft.sparse_hessian(lambda x: x)(X), FunctransTypeError, "scalar"),
    (lambda: ft.sparsity(lambda x: x if x[0] > 0 else -x)(X), FunctransTypeError, "value"),
    (lambda: ft.jit(ft.sparse_jacobian(fnp.sin, format="scipy"))(X), FunctransTypeError, "rows"),
    (
        lambda: ft.sparsity(lambda x, i: x[i])(X, jax.ShapeDtypeStruct((3,), np.int32)),
        FunctransTypeError, "argument 1 holds a ShapeDtypeStruct",
    ),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(call: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "test_sparse_derivatives.py" in str(caught.value)


def test_types_alone_have_a_pattern() -> None:
    struct = jax.ShapeDtypeStruct((3,), np.float32)
    found = ft.sparsity(lambda i, x: x[i] * 2, argnums=-1)(np.array([2, 0]), struct)
    np.testing.assert_array_equal(found.to_scipy().toarray(), np.eye(3)[[2, 0]] != 0)
