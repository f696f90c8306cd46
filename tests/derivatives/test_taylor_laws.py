"""Taylor mode keeps the laws of derivatives: it is nested jvp, under and over every other transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.experimental.jet as jax_jet
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from functrans.derivatives import derivatives
from functrans.experimental.jet import jet
from functrans.scipy import linalg as scipy_linalg
from functrans.scipy import special

pytestmark = pytest.mark.usefixtures("x64")

X = np.array([0.3, 0.9, 0.7, 1.2])
V = np.array([1.0, -0.5, 0.3, 0.8])
W = np.array([-0.2, 0.4, 1.1, -0.6])
_SQUARE = np.array([[1.3, -0.7, 0.2, 0.5], [0.1, 0.4, -1.2, 0.6], [-0.3, 0.9, 0.8, -0.1], [0.7, 0.2, -0.5, 1.1]])
A = _SQUARE @ _SQUARE.T + 4 * np.eye(4)
SPREAD = np.diag(np.arange(4.0) * 3)  # eigenvalues far apart


@ft.custom_jvp
def twice_sine(x: Any) -> Any:
    return 2 * fnp.sin(x)


@twice_sine.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return twice_sine(primals[0]), 2 * fnp.cos(primals[0]) * tangents[0]


@ft.custom_vjp
def own_backward(x: Any) -> Any:
    return fnp.exp(x) * x


own_backward.defvjp(lambda x: (own_backward(x), x), lambda x, ct: (ct * fnp.exp(x) * (1 + x),))


def cube_root(x: Any) -> Any:
    """The z with z^3 + z = x, by Newton's method."""

    def newton(f: Any, z: Any) -> Any:
        return lax.fori_loop(0, 40, lambda i, z: z - f(z) / (3 * z * z + 1), z)

    return lax.custom_root(lambda z: z**3 + z - x, x, newton, lambda g, y: y / g(fnp.ones_like(y)))


def linear_solve(x: Any) -> Any:
    def solve(matvec: Any, b: Any) -> Any:
        return fnp.linalg.solve(A + fnp.diag(lax.stop_gradient(x)), b)

    return lax.custom_linear_solve(lambda v: (A + fnp.diag(x)) @ v, x * x, solve, solve)


def scanned(x: Any) -> Any:
    return lax.scan(lambda c, y: (fnp.sin(c) * y + c, c * y), x, fnp.stack([x, x * 2, x]))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    # control flow
    "scan": scanned,
    "scan, reverse": lambda x: lax.scan(lambda c, y: (c * y, fnp.exp(-c)), x, fnp.stack([x, x * 2]), reverse=True),
    "scan over indices": lambda x: lax.scan(lambda c, i: (fnp.sin(c) * i + x, None), x, fnp.arange(3))[0],
    "fori_loop": lambda x: lax.fori_loop(0, 5, lambda i, c: c * fnp.cos(c) + x, x),
    "while_loop": lambda x: lax.while_loop(
        lambda c: c[1] < 4, lambda c: (c[0] * x + fnp.sin(c[0]), c[1] + 1), (x, 0)
    )[0],
    "while_loop on values": lambda x: lax.while_loop(lambda c: fnp.sum(c) < 50, lambda c: c * c + x, x),
    "cond": lambda x: lax.cond(fnp.sum(x) > 0, lambda x: x * x * fnp.sin(x), fnp.exp, x),
    "switch": lambda x: lax.switch(1, [fnp.sin, lambda x: x**3 * fnp.exp(x), fnp.cos], x),
    "vmap of cond": ft.vmap(lambda e: lax.cond(e > 0.8, lambda x: x * x * fnp.sin(x), fnp.exp, e)),
    "vmap of while_loop": ft.vmap(lambda e: lax.while_loop(lambda c: c < 5, lambda c: c * (1 + e), e)),
    "checkpoint": lambda x: ft.checkpoint(lambda y: fnp.tanh(y) * y)(x * 2),
    "nested jit": lambda x: ft.jit(lambda y: fnp.tanh(y) * y)(x * 2),
    "cond in scan": lambda x: lax.scan(
        lambda c, y: (lax.cond(fnp.sum(c) > 2, fnp.sin, lambda c: c * y, c), c), x, fnp.stack([x, x + 1, x])
    ),
    # rules of users
    "custom_jvp": twice_sine,
    "custom_vjp": own_backward,
    "custom_root": cube_root,
    "custom_linear_solve": linear_solve,
    "functions of JAX": lambda x: jnp.sinh(x) * jax.nn.gelu(x),
    "a program of JAX": lambda x: jax.jit(lambda y: jnp.cumsum(jnp.exp(y) * y))(x),
    # linear algebra
    "cholesky": lambda x: fnp.linalg.cholesky(A + fnp.diag(x * x)),
    "solve": lambda x: fnp.linalg.solve(A + fnp.outer(x, x), x),
    "eigh": lambda x: fnp.linalg.eigh(A + fnp.outer(x, x) + SPREAD)[0],
    "eigh, vectors": lambda x: fnp.linalg.eigh(A + fnp.outer(x, x) + SPREAD)[1] ** 2,
    "svd": lambda x: fnp.linalg.svd(A + fnp.outer(x, x) + SPREAD)[1],
    "qr": lambda x: fnp.linalg.qr(A + fnp.outer(x, x))[1],
    "det": lambda x: fnp.linalg.det(A + fnp.outer(x, x)),
    "slogdet": lambda x: fnp.linalg.slogdet(A + fnp.outer(x, x))[1],
    "inv": lambda x: fnp.linalg.inv(A + fnp.outer(x, x)),
    "norm": lambda x: fnp.linalg.norm(x),
    "matrix power": lambda x: fnp.linalg.matrix_power(fnp.outer(x, x) + A, 3),
    # arrays
    "softmax": lambda x: nn.softmax(x * x),
    "logsumexp": lambda x: nn.logsumexp(x * x),
    "prod": fnp.prod,
    "cumprod": fnp.cumprod,
    "cumsum": lambda x: fnp.cumsum(x * x),
    "max": lambda x: fnp.max(x * x),
    "var": lambda x: fnp.var(fnp.exp(x)),
    "sort": lambda x: fnp.sort(fnp.sin(3 * x)),
    "take": lambda x: fnp.take(x * x, fnp.array([2, 0, 2])),
    "at": lambda x: fnp.asarray(x).at[fnp.array([0, 2])].multiply(x[1] * x[1:3], unique_indices=True),
    "where": lambda x: fnp.where(x > 0.5, x**3, fnp.sin(x)),
    "convolve": lambda x: fnp.convolve(x, x * x),
    "einsum": lambda x: fnp.einsum("i,j,k->ijk", x, x, x),
    "matmul": lambda x: fnp.outer(x, x * x) @ A @ fnp.outer(fnp.sin(x), x),
    "fft": lambda x: fnp.abs(fnp.fft.fft(x)) ** 2,
    "complex": lambda x: fnp.real(fnp.exp(1j * x) / (x + 2j)),
    "powers": lambda x: (x * x + 1) ** 2.5 + x**7 + (x * x) ** x,
    # other transforms inside
    "grad": ft.grad(lambda y: fnp.sum(fnp.sin(y) * y * y)),
    "hessian": ft.hessian(lambda y: fnp.prod(y) * fnp.sum(y)),
    "jvp": lambda x: ft.jvp(lambda y: fnp.sin(y) * y * x, (x,), (V,))[1],
    "linearize": lambda x: ft.linearize(lambda y: fnp.exp(y) * x, x * x)[1](x),
    "vmap": lambda x: ft.vmap(lambda y: y * fnp.sin(x))(x),
    "taylor": lambda x: ft.taylor(lambda y: fnp.sin(y) * y, (x,), ([x * x, None],))[1],
}


def curve(order: int) -> list[Any]:
    """A line that bends: its coefficients from the first on."""
    return [V, W, *[None] * (order - 2)]


def nested(f: Callable[[Any], Any], order: int) -> list[Any]:
    """The coefficients of f(X + V s + W s^2) by jvp of jvp."""
    along, found = (lambda s: f(X + s * V + s * s * W)), []
    for k in range(1, order + 1):
        along = (lambda g: lambda s: ft.jvp(g, (s,), (1.0,))[1])(along)
        found.append(jax.tree.map(lambda c, k=k: c / math.factorial(k), along(0.0)))
    return found


def close(found: Any, wanted: Any, tolerance: float = 1e-11) -> None:
    """Trees, by the largest number of each of their arrays."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1e-300, np.max(np.abs(b), initial=0)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_taylor_mode_is_nested_jvp_jitted_or_not(name: str) -> None:
    order, f = 4, FUNCTIONS[name]
    wanted = ft.jit(lambda: nested(f, order))()
    value, found = ft.taylor(f, (X,), (curve(order),))
    close(value, f(X))
    close(found, wanted)
    close(ft.jit(lambda x, v, w: ft.taylor(f, (x,), ([v, w, None, None],)))(X, V, W), (value, found))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(("transposed", "conjugate"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("unit", [True, False])
def test_triangular_systems_are_solved_along_a_line(
    left: bool, lower: bool, transposed: bool, conjugate: bool, unit: bool
) -> None:
    def f(x: Any) -> Any:
        triangle = A * fnp.exp(1j * x) + fnp.outer(x, x)
        right = fnp.stack([fnp.sin(x), x * x + 1j, x], 1)
        return lax.linalg.triangular_solve(
            triangle, right if left else right.T, left_side=left, lower=lower, transpose_a=transposed,
            conjugate_a=conjugate, unit_diagonal=unit,
        )  # fmt: skip

    close(ft.taylor(f, (X,), (curve(3),))[1], ft.jit(lambda: nested(f, 3))())


@pytest.mark.parametrize("assume", ["gen", "pos", "her"])
@pytest.mark.parametrize("transposed", [False, True])
def test_linear_systems_are_solved_along_a_line(assume: str, transposed: bool) -> None:
    def f(x: Any) -> Any:
        matrix = (A + 0j) * fnp.exp(fnp.sum(x)) + fnp.outer(x + 1j, x - 1j)
        return scipy_linalg.solve(matrix.T if transposed else matrix, fnp.sin(x) + 1j, assume_a=assume)

    close(ft.taylor(f, (X,), (curve(3),))[1], ft.jit(lambda: nested(f, 3))())


def test_many_systems_and_a_matrix_that_does_not_move() -> None:
    matrices = np.stack([A, A + np.eye(4)])
    for f in (
        lambda x: fnp.linalg.solve(matrices * fnp.exp(x[0]), fnp.stack([x, x * x])[..., None]),
        lambda x: fnp.linalg.solve(A, x**3),
        lambda x: fnp.linalg.solve(A * x, V),
        lambda x: ft.vmap(lambda e: fnp.linalg.solve(A * e, x))(x),
    ):
        close(ft.taylor(f, (X,), (curve(3),))[1], nested(f, 3))


@pytest.mark.parametrize("at", [0.0, 0.5])
@pytest.mark.parametrize("function", [special.xlogy, lambda x, y: special.xlog1py(x, y - 1)], ids=["xlogy", "xlog1py"])
def test_a_weight_of_zero_outweighs_an_infinite_logarithm_along_a_line(function: Any, at: float) -> None:
    for f in (
        lambda s: function(s, s),
        lambda s: function(0.0, s),
        lambda s: function(s, 2.0 + s),
        lambda s: function(s * s, 1 + 0.0 * s),
        lambda s: function(fnp.stack([s, 1 - s]), fnp.stack([1 - s, s + 1])),
    ):
        found = derivatives(f, 4)(at)
        for c in found:
            np.testing.assert_allclose(np.asarray(c), np.asarray(f(at)), rtol=1e-13)
            f = (lambda g: lambda s: ft.jvp(g, (s,), (1.0,))[1])(f)


def product(x: Any) -> Any:
    return fnp.sin(x) * fnp.exp(x * x) / (1 + x)


def coefficients(x: Any, v: Any) -> list[Any]:
    return ft.taylor(product, (x,), ([v, None, v],))[1]


def test_taylor_under_grad_is_the_gradient_of_nested_jvp() -> None:
    def by_nesting(x: Any, v: Any) -> Any:
        along, found = (lambda s: product(x + s * v + s**3 * v)), []
        for k in range(1, 4):
            along = (lambda g: lambda s: ft.jvp(g, (s,), (1.0,))[1])(along)
            found.append(along(0.0) / math.factorial(k))
        return found

    def total(f: Any) -> Any:
        return lambda x, v: sum(fnp.sum(c * c) for c in f(x, v))

    close(ft.grad(total(coefficients), (0, 1))(X, V), ft.grad(total(by_nesting), (0, 1))(X, V))
    close(ft.jvp(coefficients, (X, V), (W, V)), ft.jvp(by_nesting, (X, V), (W, V)))


def test_taylor_under_vmap_is_a_loop() -> None:
    xs = np.stack([X, X + 0.1, X * 2])
    close(ft.vmap(coefficients, (0, None))(xs, V), [np.stack(c) for c in zip(*[coefficients(x, V) for x in xs])])
    close(ft.vmap(coefficients)(xs, xs), [np.stack(c) for c in zip(*[coefficients(x, x) for x in xs])])


def test_taylor_in_a_scan_is_a_python_loop() -> None:
    def step(x: Any, v: Any) -> Any:
        found = coefficients(x, v)
        return fnp.tanh(found[1]), found[2]

    last, rows = lax.scan(step, X, np.stack([V, W, V]))
    x, wanted = X, []
    for v in (V, W, V):
        x, row = step(x, v)
        wanted.append(row)
    close((last, rows), (x, np.stack(wanted)))


def test_taylor_of_taylor_has_the_mixed_coefficients() -> None:
    """f(x + a s + b t): that of s^j t^k is a^j b^k f^(j + k)(x) / (j! k!)."""
    a, b, x = 0.7, -1.3, 0.4
    outer = ft.taylor(lambda x: ft.taylor(product, (x,), ([a, None, None],))[1], (x,), ([b, None, None],))[1]
    found = derivatives(product, 6)(x)
    for k, row in enumerate(outer, 1):
        for j, c in enumerate(row, 1):
            wanted = a**j * b**k * float(found[j + k]) / math.factorial(j) / math.factorial(k)
            np.testing.assert_allclose(float(c), wanted, rtol=1e-11)


def test_a_taylor_coefficient_is_a_function_like_others() -> None:
    """Derivatives by the argument: d/dx of the k-th coefficient is k + 1 times the next."""
    third = lambda x: ft.taylor(product, (x,), ([1.0, None, None],))[1][2]
    np.testing.assert_allclose(float(ft.grad(third)(0.4)), 4 * float(derivatives(product, 4)(0.4)[4]) / 24, rtol=1e-12)
    np.testing.assert_allclose(
        float(ft.jit(ft.grad(ft.grad(third)))(0.4)), float(derivatives(product, 5)(0.4)[5]) / 6, rtol=1e-12
    )


@pytest.mark.parametrize("transform", [lambda f: f, ft.jit], ids=["eager", "jit"])
def test_polynomials_are_exact(transform: Any) -> None:
    found = transform(derivatives(lambda x: 3 * x**4 - 2 * x**3 + x - 7, 7))(2.0)
    assert [float(d) for d in found] == [27.0, 73.0, 120.0, 132.0, 72.0, 0.0, 0.0, 0.0]
    value, rest = transform(lambda x: ft.taylor(lambda x: x * x, (x,), ([1.0, 2.0, None, None],)))(3.0)
    assert [float(value), *map(float, rest)] == [9.0, 6.0, 13.0, 4.0, 4.0]  # (3 + s + 2 s^2)^2
    integers = transform(lambda x: ft.taylor(lambda x: x**2 * (x - 1), (x,), ([1.0, None, None, None],)))(0.0)[1]
    assert [float(c) for c in integers] == [0.0, -1.0, 1.0, 0.0]


POWERS: dict[str, Callable[[Any], Any]] = {
    "x**2.5": lambda x: x**2.5,
    "x**3.0": lambda x: x**3.0,
    "x**3": lambda x: x**3,
    "x**0": lambda x: x**0,
    "x**0.0": lambda x: x**0.0,
    "x**1.0": lambda x: x**1.0,
    "x**n": lambda x: fnp.sum(x ** fnp.arange(5)),
    "x**y": lambda x: x ** fnp.asarray(2.0),
    "x*x": lambda x: x * x,
    "square": fnp.square,
    "sqrt of square": lambda x: fnp.sqrt(1 + x * x),
    "abs": fnp.abs,
    "relu": nn.relu,
    "sinc": fnp.sinc,
    "xlogy": lambda x: x * fnp.log1p(x),
    "sqrt": fnp.sqrt,
    "log": fnp.log,
    "cbrt": fnp.cbrt,
    "reciprocal": lambda x: fnp.reciprocal(x),
    "where": lambda x: fnp.where(x == 0, x * x, fnp.sin(x)),
}


@pytest.mark.parametrize("name", POWERS)
def test_at_zero_it_is_a_number_where_nested_derivatives_are(name: str) -> None:
    f, order, x = POWERS[name], 5, 0.0
    found = derivatives(f, order)(x)
    for k in range(order + 1):
        wanted = np.asarray(f(x))
        if not np.isnan(wanted):
            np.testing.assert_allclose(np.asarray(found[k]), wanted, rtol=1e-13, err_msg=f"derivative {k}")
        f = (lambda g: lambda x: ft.jvp(g, (x,), (1.0,))[1])(f)


def test_several_arguments_and_trees() -> None:
    def f(tree: Any, scale: Any) -> Any:
        return {"out": fnp.sin(tree["a"]) * scale, "pair": (tree["b"][0] ** 3, fnp.sum(tree["a"]) * tree["b"][0])}

    primals = ({"a": X, "b": [2.0]}, 0.5)
    first = ({"a": V, "b": [1.0]}, 0.25)
    second = ({"a": W, "b": [0.0]}, -1.0)
    value, found = ft.taylor(f, primals, ([first[0], second[0], None], [first[1], second[1], None]))
    assert set(value) == {"out", "pair"}

    def along(s: Any) -> Any:
        return f(*jax.tree.map(lambda x, a, b: x + a * s + b * s * s, primals, first, second))

    for k in range(3):
        along = (lambda g: lambda s: ft.jvp(g, (s,), (1.0,))[1])(along)
        close(found[k], jax.tree.map(lambda c, k=k: c / math.factorial(k + 1), along(0.0)))


def test_an_absent_coefficient_is_zero_and_makes_a_smaller_program() -> None:
    def equations(series: Any) -> int:
        return len(ft.make_jaxpr(lambda x: ft.taylor(product, (x,), (series,)))(X).equations)

    zero = np.zeros(4)
    absent, given = [V, None, None, None], [V, zero, zero, zero]
    close(ft.taylor(product, (X,), (absent,)), ft.taylor(product, (X,), (given,)))
    assert equations(absent) < equations(given)


def test_without_coefficients_the_value_alone_is_returned() -> None:
    assert ft.taylor(fnp.sin, (0.0,), ([],)) == (0.0, [])
    assert [float(d) for d in derivatives(fnp.sin, 0)(0.0)] == [0.0]


def test_what_does_not_vary_has_coefficients_zero() -> None:
    value, found = ft.taylor(lambda x, y: (y * 2, fnp.floor(x), x), (1.5, 2.0), ([1.0, None], [None, None]))
    assert [[float(c) for c in row] for row in (value, *found)] == [[4.0, 1.0, 1.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_integers_pass_and_have_no_coefficients() -> None:
    value, found = ft.taylor(lambda x, n: (x**2 * n, n + 1), (2.0, 3), ([1.0, None], [None, None]))
    assert float(value[0]) == 12.0 and int(value[1]) == 4
    assert [float(c[0]) for c in found] == [12.0, 3.0]
    assert all(c[1].dtype == jax.dtypes.float0 for c in found)


EPS = {np.float32: 1.2e-7, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3, np.complex64: 1.2e-7, np.complex128: 2.2e-16}


@pytest.mark.parametrize("dtype", EPS, ids=lambda d: np.dtype(d).name)
def test_other_dtypes_keep_their_type_and_agree_with_double(dtype: Any) -> None:
    def f(x: Any) -> Any:
        return fnp.exp(x) * fnp.sin(x) / (1 + x * x)

    kind = np.dtype(dtype).kind
    x, v = (X + 0.5j * V, V - 0.3j) if kind == "c" else (X, V)
    x, v = x.astype(dtype), v.astype(dtype)
    wide = np.complex128 if kind == "c" else np.float64
    found = ft.taylor(f, (x,), ([v, None, None, None],))
    wanted = ft.taylor(f, (x.astype(wide),), ([v.astype(wide), None, None, None],))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == np.dtype(dtype)
        np.testing.assert_allclose(
            np.asarray(a).astype(wide), np.asarray(b), rtol=0, atol=30 * EPS[dtype] * np.max(np.abs(b))
        )


def test_holomorphic_functions_have_their_complex_derivatives() -> None:
    z = 0.3 + 0.8j
    found = derivatives(lambda z: fnp.exp(1j * z), 5)(z)
    np.testing.assert_allclose([complex(d) for d in found], [1j**k * np.exp(1j * z) for k in range(6)], rtol=1e-15)
    found = derivatives(lambda z: 1 / z, 5)(z)
    wanted = [(-1) ** k * math.factorial(k) / z ** (k + 1) for k in range(6)]
    np.testing.assert_allclose([complex(d) for d in found], wanted, rtol=1e-14)


def test_empty_arrays_stay_empty() -> None:
    empty = np.zeros((0, 3))
    value, found = ft.taylor(lambda x: (fnp.sin(x) * x, fnp.sum(x)), (empty,), ([empty, None],))
    assert value[0].shape == found[1][0].shape == (0, 3)
    assert float(value[1]) == float(found[0][1]) == 0.0


@pytest.mark.parametrize("transform", [lambda f: f, ft.jit], ids=["eager", "jit"])
def test_what_a_function_prints_it_prints_once(transform: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        ft.debug.print("x is {}", x)
        return lax.fori_loop(0, 2, lambda i, c: c * fnp.sin(c), x)

    transform(lambda x: ft.taylor(f, (x,), ([1.0, None, None, None],)))(0.5)
    ft.effects_barrier()
    assert capfd.readouterr().out.count("x is 0.5") == 1


@pytest.mark.parametrize("transform", [lambda f: f, ft.jit], ids=["eager", "jit"])
def test_what_a_loop_prints_it_prints_once_a_step(transform: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def step(i: Any, c: Any) -> Any:
        ft.debug.print("step {}", i)
        return c * fnp.sin(c)

    transform(lambda x: ft.taylor(lambda x: lax.fori_loop(0, 3, step, x), (x,), ([1.0, None, None],)))(0.5)
    ft.effects_barrier()
    said = capfd.readouterr().out
    assert [said.count(f"step {i}") for i in range(3)] == [1, 1, 1]


def test_jet_is_that_of_jax() -> None:
    """Where JAX's is right: its series are derivatives."""
    series = [V, W, X, V * W]
    for f, g in ((product, lambda x: jnp.sin(x) * jnp.exp(x * x) / (1 + x)), (fnp.tanh, jnp.tanh), (fnp.log, jnp.log)):
        close(jet(f, (X,), (series,)), jax_jet.jet(g, (X,), (series,)))
    several = lambda m: lambda x, y: m.dot(m.sin(x), y) * m.exp(x)
    close(
        jet(several(fnp), (X, V), (series, series[::-1])), jax_jet.jet(several(jnp), (X, V), (series, series[::-1]))
    )


@pytest.mark.parametrize("order", [1, 3])
def test_jet_of_a_tree_has_a_list_for_each_leaf(order: int) -> None:
    series = [V, W, X][:order]
    of = lambda m: lambda x: {"a": (m.sin(x), x), "b": [x * x]}
    ours, theirs = jet(of(fnp), (X,), (series,)), jax_jet.jet(of(jnp), (X,), (series,))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    close(ours, theirs)


def test_jet_is_taylor_times_factorials() -> None:
    value, by_taylor = ft.taylor(product, (X,), ([V, W, X],))
    again, by_jet = jet(product, (X,), ([V, 2 * W, 6 * X],))
    close((again, by_jet), (value, [c * math.factorial(k) for k, c in enumerate(by_taylor, 1)]))


# -- costs -----------------------------------------------------------------------------------------------------------


def equations_of(f: Any, *args: Any) -> int:
    """How many equations a program has, those of the programs that it holds among them."""

    def count(jaxpr: Any) -> int:
        held = [p for eqn in jaxpr.equations for p in jax.tree.leaves(list(eqn.op.parameters().values()))]
        return len(jaxpr.equations) + sum(count(p) for p in held if hasattr(p, "equations"))

    return count(ft.make_jaxpr(f)(*args))


def chain(n: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        for i in range(n):
            x = (fnp.sin, fnp.tanh, fnp.exp, lambda x: 1 / (1 + x * x))[i % 4](x * 0.5)
        return x

    return f


def test_the_cost_of_a_chain_is_linear_in_its_length() -> None:
    short, long = (equations_of(derivatives(chain(n), 3), 0.3) for n in (125, 500))
    assert 3.9 * short < long < 4.1 * short


def test_a_chain_of_a_thousand_operations_is_differentiated() -> None:
    f = chain(1000)
    found = derivatives(f, 3)(0.3)
    wanted = ft.jvp(f, (0.3,), (1.0,))
    close([found[0], found[1]], list(wanted))


COSTLY = {
    "product": product,
    "tanh": fnp.tanh,
    "erf": lax.erf,
    "power": lambda x: (1 + x * x) ** 2.5,
    "arctan": fnp.arctan,
    "gammaln": lambda x: fnp.log(fnp.cosh(x)) ** 3,
    "scan": lambda x: lax.scan(lambda c, _: (fnp.sin(c) * x, None), x, None, length=5)[0],
    "while": lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, fnp.exp(-c[1]) * x), (0, x))[1],
    "cond": lambda x: lax.cond(x > 0, fnp.sin, lambda x: fnp.exp(x) * fnp.tanh(x), x),
    "solve": lambda x: fnp.linalg.solve(A * fnp.exp(x), V),
}


@pytest.mark.parametrize("name", COSTLY)
def test_the_cost_grows_as_the_square_of_the_order(name: str) -> None:
    counts = [equations_of(derivatives(COSTLY[name], order), 0.3) for order in (8, 16, 32)]
    assert counts[1] < 5 * counts[0] and counts[2] < 5 * counts[1], counts  # 4, and terms of lower order; a cube: 8
