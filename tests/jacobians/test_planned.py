"""A planned Jacobian is JAX's, whatever the plan; the plan is the cheap one, within its budget, and says so."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from benchmarks import jacobian_shapes as shapes
from functrans.errors import FunctransTypeError, FunctransValueError, NotLinearError

rng = np.random.default_rng(0)

SMALL: dict[str, tuple[Any, str]] = {  # the twelve shapes, small; and by what each is computed
    "tall": (shapes.network(4, 8, 8, 60), "forward"),
    "wide": (shapes.network(60, 8, 8, 4), "reverse"),
    "square": (shapes.network(40, 40, 40), "reverse"),
    "bottleneck": (shapes.network(60, 20, 2, 20, 60), "mixed"),
    "per example": (lambda np_, lib: shapes.each_example(np_, lib, 20, 4), "coloured columns"),
    "elementwise": (lambda np_, lib: shapes.elementwise(np_, lib, 50), "coloured columns"),
    "banded": (lambda np_, lib: shapes.banded(np_, lib, 60), "coloured columns"),
    "blocks": (lambda np_, lib: shapes.blocks(np_, lib, 12, 4), "coloured columns"),
    "convolution": (lambda np_, lib: shapes.convolution(np_, lib, 8), "coloured columns"),
    "ode": (lambda np_, lib: shapes.ode(np_, lib, 5), "reverse"),
    "graph": (lambda np_, lib: shapes.graph(np_, lib, 60), "coloured columns"),
    "bundle": (lambda np_, lib: shapes.bundle(np_, lib, 4, 10, 40), "coloured columns"),
}


def planned(f: Any, *args: Any, take: Any = ft.jacobian, **options: Any) -> dict[str, Any]:
    return ft.explain(take(f, **options))(*args).sections["jacobian"][0]  # type: ignore[no-any-return]


def least(f: Any, x: Any) -> int:
    with pytest.raises(FunctransValueError, match="below the least possible") as caught:
        ft.jacobian(f, memory=1)(x)
    found = re.search(r"least possible, (\d+) bytes", str(caught.value))
    assert found
    return int(found[1])


@pytest.mark.parametrize("name", SMALL)
def test_a_shape_has_its_plan_and_jax_numbers(name: str) -> None:
    build, kind = SMALL[name]
    f, x = build(fnp, ft)
    g, _ = build(jnp, jax)
    assert planned(f, x)["chosen"] == kind
    expected = jax.jit(jax.jacfwd(g))(x)
    chunked = [ft.jacobian(f, chunk_size=3)(x)] if name in ("square", "bottleneck", "banded") else []
    for found in (ft.jacobian(f)(x), ft.jit(ft.jacobian(f))(x), *chunked):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


TURNS = np.exp(1j * np.arange(30, dtype=np.float32))
THROUGH_COMPLEX_NUMBERS: dict[str, Any] = {  # each as narrow as two complex numbers, whose parts are four directions
    "parts": lambda np_, lib: lambda x: np_.real(TURNS * np_.sum(lib.lax.complex(x[:15], x[15:]))),
    "spectrum": lambda np_, lib: lambda x: np_.fft.irfft(np_.fft.rfft(x)[:2] * np_.array([1.0, 2.0j]), 30),
    "modulus": lambda np_, lib: lambda x: np_.abs(np_.exp(1j * np_.sum(x[:15]) * np_.sum(x[15:])) + 1j) * x,
    "a second order": lambda np_, lib: lib.grad(lambda x: np_.real(np_.sum(lib.lax.complex(x[:15], x[15:])) ** 2)),
}


@pytest.mark.parametrize("name", THROUGH_COMPLEX_NUMBERS)
def test_a_narrow_place_of_complex_numbers_is_no_bottleneck(name: str) -> None:
    f, g = THROUGH_COMPLEX_NUMBERS[name](fnp, ft), THROUGH_COMPLEX_NUMBERS[name](jnp, jax)
    x = np.linspace(0.1, 0.5, 30, dtype=np.float32)
    np.testing.assert_allclose(ft.jacobian(f)(x), jax.jit(jax.jacfwd(g))(x), rtol=2e-5, atol=2e-5)


@pytest.mark.machine_code
@pytest.mark.parametrize("name", SMALL)
def test_a_compiled_plan_stays_within_its_budget(name: str) -> None:
    build, _ = SMALL[name]
    f, x = build(fnp, ft)
    for factor in (1.0,) if name in ("bundle", "ode") else (1.0, 1.5):
        memory = int(least(f, x) * factor)
        compiled = ft.jit(ft.jacobian(f, memory=memory)).lower(x).compile()
        used = compiled.memory_analysis()
        assert used.temp_size_in_bytes + used.output_size_in_bytes <= memory


def test_directions_are_pushed_in_as_many_chunks_as_the_budget_asks_for() -> None:
    f, x = shapes.network(60, 50, 60)(fnp, ft)
    smallest = least(f, x)
    chunks = [planned(f, x, memory=int(smallest * factor))["candidates"][0]["chunk"] for factor in (1.0, 1.3)]
    assert chunks[0] == 1 < chunks[1] < 60
    assert planned(f, x)["candidates"][0]["chunk"] is None


@pytest.mark.machine_code
def test_the_phases_of_an_interferometer_take_the_memory_of_their_jacobian() -> None:
    """JAX's issue 215: reverse mode took 1,089 times the size of the result."""
    lm, uvw = rng.uniform(-0.3, 0.3, (10, 2)).astype(np.float32), rng.normal(size=(128, 3)).astype(np.float32)
    frequency = np.linspace(1, 2, 16, dtype=np.float32)

    def phase(lm: Any) -> Any:
        left, m = lm[:, 0, None], lm[:, 1, None]
        n = fnp.sqrt(1 - left**2 - m**2) - 1
        return (uvw[:, 0] * left + uvw[:, 1] * m + uvw[:, 2] * n)[..., None] * frequency

    used = ft.jit(ft.jacobian(phase)).lower(lm).compile().memory_analysis()
    result = 10 * 128 * 16 * 10 * 2 * 4
    assert used.temp_size_in_bytes + used.output_size_in_bytes <= 4 * result
    np.testing.assert_allclose(ft.jacobian(phase)(lm), ft.jacfwd(phase)(lm), rtol=1e-5)


@ft.custom_vjp
def clipped(x: Any) -> Any:
    return x


clipped.defvjp(lambda x: (x, None), lambda _, ct: (fnp.clip(ct, -0.5, 0.5),))


def test_a_rule_that_is_not_linear_is_pulled_back_row_by_row() -> None:
    f = lambda x: 2 * clipped(x)
    x = rng.normal(size=50).astype(np.float32)
    section = planned(f, x)
    assert section["chosen"] == "reverse"
    assert "not linear" in section["candidates"][0]["why_not"]
    np.testing.assert_array_equal(ft.jacobian(f)(x), 0.5 * np.eye(50))
    for take in (ft.sparse_jacobian(f), ft.sparse_jacobian(f, mode="reverse", pattern=ft.sparsity(lambda x: x)(x))):
        with pytest.raises(NotLinearError, match="jac"):
            take(x)


def test_a_loop_of_unknown_length_is_pushed_forward() -> None:
    f = lambda x: ft.lax.while_loop(lambda c: fnp.sum(c) < 100.0, lambda c: c * 2, x)
    x = np.ones(3, np.float32)
    section = planned(f, x)
    assert section["chosen"] == "forward"
    assert section["candidates"][1]["why_not"]
    np.testing.assert_allclose(ft.jacobian(f)(x), 64 * np.eye(3))


def test_a_rule_of_the_users_takes_symmetry_from_a_hessian() -> None:
    @ft.custom_jvp
    def half(x: Any) -> Any:
        return x * x / 2

    half.defjvp(lambda primals, tangents: (half(primals[0]), primals[0] * tangents[0]))
    loss = lambda g: lambda x: fnp.sum(g(x[1:] - x[:-1]) * fnp.cos(x[:-1]))
    x = rng.normal(size=60).astype(np.float32)
    assert planned(loss(lambda x: x * x / 2), x, take=ft.hessian)["chosen"] == "star colouring"
    assert planned(loss(half), x, take=ft.hessian)["chosen"] == "coloured columns"
    expected = ft.hessian(loss(lambda x: x * x / 2))(x)
    np.testing.assert_allclose(ft.hessian(loss(half))(x), expected, rtol=1e-4, atol=1e-5)


def test_hessians_are_those_of_jax() -> None:
    def rosenbrock(np_: Any) -> Any:
        return lambda x: np_.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x = rng.normal(size=50).astype(np.float32)
    expected = jax.jit(jax.hessian(rosenbrock(jnp)))(x)
    for found in (ft.hessian(rosenbrock(fnp))(x), ft.jit(ft.hessian(rosenbrock(fnp), chunk_size=2))(x)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_trees_argnums_and_auxiliary_results_are_laid_out_as_by_jax() -> None:
    def f(np_: Any) -> Any:
        def function(tree: Any, y: Any) -> Any:
            return {"a": np_.sin(tree["u"]) * tree["v"], "b": y * y[::-1]}, tree["u"].sum()

        return function

    tree = {"u": rng.normal(size=40).astype(np.float32), "v": np.float32(2.0)}
    y = rng.normal(size=30).astype(np.float32)
    for argnums in (0, (1, 0)):
        found, aux = ft.jacobian(f(fnp), argnums, has_aux=True)(tree, y)
        expected, expected_aux = jax.jit(jax.jacfwd(f(jnp), argnums, has_aux=True))(tree, y)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
        np.testing.assert_allclose(aux, expected_aux, rtol=1e-6)


def test_other_values_of_captured_indices_are_another_plan() -> None:
    """One structure serves both."""
    x = rng.normal(size=40).astype(np.float32)
    index = np.arange(40)
    f = lambda x: x[index] * x
    first = np.array(ft.jacobian(f)(x))
    index[:] = index[::-1].copy()
    second = np.array(ft.jacobian(f)(x))
    np.testing.assert_allclose(first, np.diag(2 * x), rtol=1e-6)
    np.testing.assert_allclose(second, np.diag(x[::-1]) + np.diag(x)[:, ::-1], rtol=1e-6)


def test_derivatives_of_a_planned_jacobian() -> None:
    f = lambda x: fnp.sin(x[1:]) * x[:-1] ** 2
    x = rng.normal(size=40).astype(np.float32)
    of = lambda take: lambda x: fnp.sum(take(f)(x) ** 2)
    np.testing.assert_allclose(ft.grad(of(ft.jacobian))(x), ft.grad(of(ft.jacfwd))(x), rtol=1e-4, atol=1e-5)
    rows = np.stack([x, x + 1])
    np.testing.assert_allclose(ft.vmap(ft.jacobian(f))(rows), ft.vmap(ft.jacfwd(f))(rows), rtol=1e-5, atol=1e-6)


def test_a_report_speaks_to_people_and_programs_and_runs_nothing() -> None:
    seen: list[str] = []

    def f(x: Any) -> Any:
        ft.debug.callback(lambda: seen.append("ran"))
        return x[1:] * x[:-1]

    report = ft.explain(ft.jit(lambda x: ft.jacobian(f)(x).sum()))(np.ones(50, np.float32))
    (section,) = report.sections["jacobian"]
    assert section["shape"] == (49, 50)
    assert section["entries"] == 98
    assert {c["name"]: c["forward"] + c["reverse"] for c in section["candidates"]} == {
        "forward": 50, "reverse": 49, "coloured columns": 2, "coloured rows": 2
    }  # fmt: skip
    assert report.sections["program"][0]["flops"] > 0
    assert "* coloured columns  2 forward passes" in str(report)
    assert not seen


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"chunk_size": 0}, FunctransValueError, "chunk_size=0"),
        ({"chunk_size": -3}, FunctransValueError, "chunk_size=-3"),
        ({"chunk_size": 1.5}, FunctransTypeError, "must be an integer"),
        ({"chunk_size": True}, FunctransTypeError, "must be an integer"),
        ({"memory": "1 GB"}, FunctransTypeError, "number of bytes"),
        ({"memory": 10}, FunctransValueError, "below the least possible"),
        ({"memory": -1}, FunctransValueError, "below the least possible"),
    ],
)
@pytest.mark.parametrize("take", [ft.jacobian, ft.hessian])
def test_what_cannot_be_asked_for_is_refused(take: Any, options: Any, kind: Any, words: str) -> None:
    f = (lambda x: x * x) if take is ft.jacobian else (lambda x: fnp.sum(x**3))
    with pytest.raises(kind, match=words) as caught:
        take(f, **options)(np.ones(3, np.float32))
    assert "test_planned.py" in str(caught.value)
