"""Programs of the combinators: associative scans, reductions by a function, implicit solves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from tests.compose.table import program, values

Function = Callable[..., Any]


# -- associative_scan, reduce, map -------------------------------------------------------------------------------------


@program(values(5))
def associative_scan_of_products(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.associative_scan(fnp.multiply, fnp.sin(x))


@program(values(3, 2, 2))
def associative_scan_of_matrices_reversed(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda m: lax.associative_scan(fnp.matmul, m, reverse=True)


@program(values(2, 6), values(2, 6, seed=1.0))
def associative_scan_of_a_linear_recurrence(ft: Any, fnp: Any, lax: Any) -> Function:
    def compose(first: Any, second: Any) -> Any:
        return {"a": first["a"] * second["a"], "b": second["a"] * first["b"] + second["b"]}

    return lambda a, b: lax.associative_scan(compose, {"a": a, "b": b}, axis=-1)["b"]


@program(values(4), values())
def associative_scan_over_a_closed_over_value(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, w: lax.associative_scan(lambda a, b: a + b + w * a * b, x)


@program(values(2, 3), operations=2048)
def reduce_by_known_functions(ft: Any, fnp: Any, lax: Any) -> Function:
    def f(x: Any) -> Any:
        zero, one = x.dtype.type(0), x.dtype.type(1)
        least = x.dtype.type(-np.inf)
        largest = lax.reduce(x, least, lax.max, (1,))
        return lax.reduce(x, zero, lax.add, (0,)), lax.reduce(x, one, lax.mul, (1,)), largest

    return f


@program(values(2, 3))
def reduce_by_a_function_of_two(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.reduce(x, x.dtype.type(0), lambda a, b: a + b + a * b, (0, 1)) * x[0]


@program(values(5, 2), values(2), operations=2048)
def map_in_batches(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda xs, w: lax.map(lambda x: fnp.sin(x) * w, xs, batch_size=2)


@program(values(2), values(2, seed=1.0))
def fori_loop_unrolled(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, w: lax.fori_loop(0, 4, lambda i, c: fnp.sin(c) * w + i, x, unroll=True)


# -- implicit solves ---------------------------------------------------------------------------------------------------


def inverse_by_adjugate(ft: Any, fnp: Any, g: Function, y: Any) -> Any:
    """Solve a 2x2 system given as a linear function."""
    columns = ft.vmap(g)(fnp.eye(2, dtype=y.dtype)).T
    (a, b), (c, d) = (columns[0, 0], columns[0, 1]), (columns[1, 0], columns[1, 1])
    return fnp.stack([d * y[0] - b * y[1], a * y[1] - c * y[0]]) / (a * d - b * c)


@program(values(), operations=4096)
def root_by_newton(ft: Any, fnp: Any, lax: Any) -> Function:
    def newton(f: Any, x: Any) -> Any:
        return lax.while_loop(
            lambda c: c[1] < 12, lambda c: (c[0] - f(c[0]) / ft.jvp(f, (c[0],), (fnp.ones_like(c[0]),))[1], c[1] + 1),
            (x, 0),
        )[0]  # fmt: skip

    def f(a: Any) -> Any:
        return lax.custom_root(lambda x: x**3 + a * x - 2.0, fnp.ones_like(a), newton, lambda g, y: y / g(1.0))

    return f


@program(values(2), values(2, seed=2.0), operations=4096, jacobians=False)
def root_of_a_tree_with_aux(ft: Any, fnp: Any, lax: Any) -> Function:
    def f(a: Any, b: Any) -> Any:
        def equations(x: Any) -> Any:
            return {"p": x["p"] + 0.2 * fnp.sin(x["q"]) - a, "q": x["q"] - 0.1 * x["p"] * b}

        def iterate(g: Any, x: Any) -> Any:
            step = lambda _, c: ft_tree(lambda u, v: u - v, c, g(c))
            return lax.fori_loop(0, 60, step, x), {"steps": a * 0.0 + 60.0}

        def tangent(g: Any, y: Any) -> Any:
            return lax.fori_loop(0, 60, lambda _, c: ft_tree(lambda u, v, w: u + w - v, c, g(c), y), y)

        root, aux = lax.custom_root(equations, {"p": a, "q": b}, iterate, tangent, has_aux=True)
        return root["p"] * root["q"], aux["steps"]

    ft_tree = ft.tree.map
    return f


@program(values(2, 2), values(2, seed=1.0), operations=4096)
def linear_solve_of_a_closed_over_matrix(ft: Any, fnp: Any, lax: Any) -> Function:
    def f(m: Any, b: Any) -> Any:
        matrix = m + 3.0 * fnp.eye(2, dtype=m.dtype)
        solver = lambda g, y: inverse_by_adjugate(ft, fnp, g, y)
        return lax.custom_linear_solve(lambda x: matrix @ x, fnp.sin(b), solver, solver)

    return f


@program(values(3), values(3, seed=1.0), operations=8192)
def symmetric_solve_by_conjugate_gradients(ft: Any, fnp: Any, lax: Any) -> Function:
    def conjugate_gradients(matvec: Any, b: Any) -> Any:
        def step(c: Any) -> Any:
            x, r, p, k = c
            image = matvec(p)
            alpha = fnp.sum(r * r) / fnp.sum(p * image)
            after = r - alpha * image
            return x + alpha * p, after, after + fnp.sum(after * after) / fnp.sum(r * r) * p, k + 1

        going = lambda c: (c[3] < 3) & (fnp.sum(c[1] * c[1]) > 1e-20)
        return lax.while_loop(going, step, (fnp.zeros_like(b), b, b, 0))[0]

    def f(d: Any, b: Any) -> Any:
        matvec = lambda x: (2.0 + d) * x + 0.3 * d * fnp.sum(d * x)
        return lax.custom_linear_solve(matvec, b, conjugate_gradients, symmetric=True)

    return f


@program(values(2), values(), operations=4096, reverse=False)
def linear_solve_without_transpose_and_with_aux(ft: Any, fnp: Any, lax: Any) -> Function:
    def f(b: Any, w: Any) -> Any:
        diagonal = lambda g, y: (y / g(fnp.ones_like(y)), {"norm": fnp.sum(y * y)})
        x, aux = lax.custom_linear_solve(lambda x: x * (1.0 + w * w), b, diagonal, has_aux=True)
        return x * w, aux["norm"]

    return f


# -- rules for vmap, closures, linear calls ----------------------------------------------------------------------------


# In JAX a custom_vmap has no reverse mode, and not every stack of forward mode: it runs the function without the rule,
# which says the same. Rules that say something else stand in tests/control/test_custom_batching.py.


@program(values(3, 3), values(3, seed=1.0))
def custom_vmap_of_a_product(ft: Any, fnp: Any, lax: Any) -> Function:
    def product(m: Any, x: Any) -> Any:
        return {"p": fnp.sin(m) @ x, "q": x}

    if ft is jax:
        return product
    custom = ft.custom_batching.custom_vmap(product)

    @custom.def_vmap
    def rule(size: int, in_batched: Any, m: Any, x: Any) -> Any:
        if in_batched == [False, True]:
            return {"p": x @ fnp.sin(m).T, "q": x}, {"p": True, "q": True}
        x_rows = x if in_batched[1] else fnp.broadcast_to(x, (size, *x.shape))
        return {"p": fnp.einsum("nij,nj->ni", fnp.sin(m), x_rows), "q": x}, {"p": True, "q": in_batched[1]}

    return custom


@program(values(3), values())
def sequential_vmap_of_a_loop(ft: Any, fnp: Any, lax: Any) -> Function:
    def looped(x: Any, w: Any) -> Any:
        return lax.scan(lambda c, _: (fnp.sin(c) * w + x, fnp.sum(c)), x, None, length=3)

    return looped if ft is jax else ft.custom_batching.sequential_vmap(looped)


@program(values(2), values(2, seed=1.0))
def closure_converted_function(ft: Any, fnp: Any, lax: Any) -> Function:
    def f(x: Any, w: Any) -> Any:
        converted, captured = ft.closure_convert(lambda y: fnp.sin(y * w) + x, x)
        return converted(x, *[2.0 * c for c in captured])

    return f


@program(values(3), values(3, seed=1.0), forward=False)
def custom_gradient_with_shared_work(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_gradient
    def product(x: Any, y: Any) -> Any:
        wave = fnp.sin(x)
        return wave * y, lambda ct: (3.0 * ct * y * wave, ct * wave)

    return lambda x, y: product(x, y) * x
