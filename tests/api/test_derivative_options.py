"""argnums, has_aux, holomorphic, allow_int of the derivatives; pullbacks as values."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

float0 = jax.dtypes.float0
x0, y0 = np.float32(0.5), np.array([1.0, 2.0], np.float32)


def loss(x: Any, y: Any, scale: float = 1.0) -> Any:
    return scale * fnp.sum(fnp.sin(x * y) * y)


def reference(x: Any, y: Any, scale: float = 1.0) -> Any:
    return scale * jax.numpy.sum(jax.numpy.sin(x * y) * y)


@pytest.mark.parametrize("argnums", [0, 1, -1, (0,), (0, 1), (1, 0), (-1, 0)])
@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacfwd", "jacrev", "hessian"])
def test_argnums_choose_arguments_and_the_tree_of_the_result(name: str, argnums: Any) -> None:
    actual = getattr(ft, name)(loss, argnums)(x0, y0)
    assert_same(actual, getattr(jax, name)(reference, argnums)(x0, y0))


def test_keyword_arguments_pass_through_undifferentiated() -> None:
    assert_same(ft.grad(loss)(x0, y0, scale=3.0), jax.grad(reference)(x0, y0, scale=3.0))


def test_has_aux_returns_the_second_result_untouched() -> None:
    def with_aux(x: Any) -> Any:
        return x**2, {"cube": x**3, "name": "label", "none": None}

    gradient, aux = ft.grad(with_aux, has_aux=True)(x0)
    assert float(gradient) == 1.0 and float(aux["cube"]) == 0.125
    assert aux["name"] == "label" and aux["none"] is None
    (value, aux), gradient = ft.value_and_grad(with_aux, has_aux=True)(x0)
    assert (float(value), float(gradient), float(aux["cube"])) == (0.25, 1.0, 0.125)


def test_has_aux_of_the_other_derivatives() -> None:
    def with_aux(x: Any) -> Any:
        return fnp.sin(x) * x, (x * 2, x + 1)

    def by_jax(x: Any) -> Any:
        return jax.numpy.sin(x) * x, (x * 2, x + 1)

    assert_same(ft.jacfwd(with_aux, has_aux=True)(y0), jax.jacfwd(by_jax, has_aux=True)(y0))
    assert_same(ft.jacrev(with_aux, has_aux=True)(y0), jax.jacrev(by_jax, has_aux=True)(y0))
    assert_same(ft.hessian(with_aux, has_aux=True)(y0), jax.hessian(by_jax, has_aux=True)(y0))
    assert_same(ft.jvp(with_aux, (y0,), (y0,), has_aux=True), jax.jvp(by_jax, (y0,), (y0,), has_aux=True))
    value, pullback, aux = ft.vjp(with_aux, y0, has_aux=True)
    wanted_value, wanted_pullback, wanted_aux = jax.vjp(by_jax, y0, has_aux=True)
    assert_same((value, pullback(y0), aux), (wanted_value, wanted_pullback(y0), wanted_aux))
    value, pushforward, aux = ft.linearize(with_aux, y0, has_aux=True)
    wanted_value, wanted_pushforward, wanted_aux = jax.linearize(by_jax, y0, has_aux=True)
    assert_same((value, pushforward(y0), aux), (wanted_value, wanted_pushforward(y0), wanted_aux))


def test_objects_in_the_auxiliary_result_are_handed_on() -> None:
    thing = object()

    def with_aux(x: Any) -> Any:
        return x * x, {"thing": thing, "cube": x**3, "none": None, "number": 2.5}

    for T in (jax, ft):
        found = [
            T.vjp(with_aux, y0, has_aux=True)[2],
            T.jvp(with_aux, (y0,), (y0,), has_aux=True)[2],
            T.linearize(with_aux, y0, has_aux=True)[2],
            T.jacrev(with_aux, has_aux=True)(y0)[1],
        ]
        for aux in found:
            assert aux["thing"] is thing and aux["none"] is None
            assert type(aux["number"]) is float
            np.testing.assert_allclose(aux["cube"], y0**3, rtol=1e-6)


def test_the_name_of_an_object_that_is_called_may_be_anything() -> None:
    class Square:
        __name__ = 5

        def __call__(self, x: Any) -> Any:
            return x * x

    f = Square()
    for T in (jax, ft):
        assert float(T.grad(f)(3.0)) == float(T.jacfwd(f)(3.0)) == float(T.grad(T.checkpoint(f))(3.0)) == 6.0
        assert T.vmap(f)(np.float32([1.0, 2.0])).tolist() == [1.0, 4.0]
        assert float(T.hessian(f)(3.0)) == 2.0


def test_aux_of_an_inner_derivative_can_be_differentiated() -> None:
    def outer(x: Any) -> Any:
        gradient, aux = ft.grad(lambda y: (y**3, y * x), has_aux=True)(x)
        return gradient + aux

    assert float(ft.grad(outer)(np.float32(2.0))) == pytest.approx(6 * 2 + 2 * 2)


def test_holomorphic_derivatives_are_complex_derivatives() -> None:
    z = np.complex64(0.3 + 0.4j)
    for name in ("grad", "jacfwd", "jacrev"):
        actual = getattr(ft, name)(lambda z: fnp.exp(z) * z, holomorphic=True)(z)
        assert_same(actual, getattr(jax, name)(lambda z: jax.numpy.exp(z) * z, holomorphic=True)(z))
    assert_same(ft.hessian(lambda z: z**3, holomorphic=True)(z), jax.hessian(lambda z: z**3, holomorphic=True)(z))


def test_the_gradient_of_a_real_function_of_a_complex_number_follows_jax() -> None:
    z = np.array([0.3 + 0.4j, -1.0 + 2.0j], np.complex64)
    actual = ft.grad(lambda z: fnp.sum(fnp.abs(z) ** 2 * fnp.real(z)))(z)
    assert_same(actual, jax.grad(lambda z: jax.numpy.sum(jax.numpy.abs(z) ** 2 * jax.numpy.real(z)))(z))


def test_allow_int_gives_float0_for_integers_and_booleans() -> None:
    n, mask = np.array([1, 2], np.int32), np.array([True, False])
    gradient = ft.grad(lambda n, mask, y: fnp.sum(fnp.where(mask, n * y, y)), argnums=(0, 1, 2), allow_int=True)(
        n, mask, y0
    )
    assert [g.dtype for g in gradient] == [float0, float0, np.float32]
    assert [np.shape(g) for g in gradient] == [(2,)] * 3
    assert_same(gradient[2], np.array([1.0, 1.0], np.float32), weak=False)


def test_jvp_and_vjp_use_float0_for_integers() -> None:
    n = np.array([1, 2], np.int32)
    zero = np.zeros(2, float0)
    _, tangent = ft.jvp(lambda n, y: (n * y, n + 1), (n, y0), (zero, y0))
    assert tangent[1].dtype == float0 and tangent[1].shape == (2,)
    assert_same(tangent[0], np.array([1.0, 4.0], np.float32), weak=False)
    _value, pullback = ft.vjp(lambda n, y: (n * y, n + 1), n, y0)
    cotangents = pullback((y0, zero))
    assert cotangents[0].dtype == float0
    assert_same(cotangents[1], np.array([1.0, 4.0], np.float32), weak=False)


def test_gradients_of_trees_have_their_tree() -> None:
    parameters = {"w": (y0, None), "b": [x0]}
    gradient = ft.grad(lambda p: fnp.sum(p["w"][0] * p["b"][0]))(parameters)
    assert_same(gradient, {"w": (np.full(2, 0.5, np.float32), None), "b": [np.float32(3.0)]}, weak=False)


def test_jacobians_of_trees_nest_results_outside_arguments() -> None:
    tree = {"a": y0, "b": x0}
    for name in ("jacfwd", "jacrev"):
        actual = getattr(ft, name)(lambda t: (t["a"] * t["b"], {"s": fnp.sum(t["a"])}))(tree)
        expected = getattr(jax, name)(lambda t: (t["a"] * t["b"], {"s": jax.numpy.sum(t["a"])}))(tree)
        assert_same(actual, expected)
    actual = ft.hessian(lambda t: fnp.sum(t["a"] ** 2) * t["b"])(tree)
    assert_same(actual, jax.hessian(lambda t: jax.numpy.sum(t["a"] ** 2) * t["b"])(tree))


@pytest.mark.parametrize("transform", ["jacfwd", "jacrev", "hessian"])
def test_jacobians_by_an_argument_without_elements(transform: str) -> None:
    """No direction is left in which a value that a rule computes for all of them would come out."""

    def value(m: Any, lax: Any, transforms: Any) -> Any:
        either = lambda z, y: lax.cond(m.sum(z) > 0, lambda z: z, lambda z: m.sin(y), z)
        f = lambda y: m.sum(transforms.vmap(either, (0, None))(m.stack([y, y]), y)) + 2.0
        aux = lambda y: (f(y), m.cos(f(y)))
        return getattr(transforms, transform)(aux, has_aux=True)

    empty = np.zeros((0,), np.float32)
    for mapped in (lambda g, m: g, lambda g, m: m.jit(g), lambda g, m: lambda x: m.vmap(g)(np.stack([x, x]))):
        assert_same(
            mapped(value(fnp, lax, ft), ft)(empty), mapped(value(jax.numpy, jax.lax, jax), jax)(empty)
        )


def test_hvp_is_the_hessian_applied_to_a_direction() -> None:
    def energy(x: Any, y: Any) -> Any:
        return fnp.sum(fnp.sin(x * y) * x)

    def by_jax(x: Any, y: Any) -> Any:
        return jax.numpy.sum(jax.numpy.sin(x * y) * x)

    directions = (y0 * 0.5, y0 - 1.5)
    expected = jax.jvp(lambda x, y: jax.grad(by_jax, (0, 1))(x, y), (y0, y0 + 1), directions)[1]
    assert_same(ft.hvp(energy, (y0, y0 + 1), directions), expected)


# The pullback is a value.


def square_and_pullback(x: Any) -> Any:
    return ft.vjp(lambda y: fnp.sin(y) * y, x)


def expected_cotangent(x: Any, cotangent: Any) -> np.ndarray:
    return (np.cos(x) * x + np.sin(x)) * cotangent


def test_a_pullback_is_called_many_times_and_stored() -> None:
    pullbacks = [square_and_pullback(y0 * scale)[1] for scale in (1.0, 2.0)]
    for scale, pullback in zip((1.0, 2.0), pullbacks, strict=True):
        for cotangent in (y0, -y0):
            np.testing.assert_allclose(pullback(cotangent)[0], expected_cotangent(y0 * scale, cotangent), rtol=1e-6)


def test_a_pullback_is_a_pytree_with_its_residuals_as_leaves() -> None:
    _, pullback = square_and_pullback(y0)
    leaves, structure = jax.tree.flatten(pullback)
    assert leaves and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves)
    rebuilt = jax.tree.unflatten(structure, leaves)
    assert_same(rebuilt(y0), pullback(y0))
    again = square_and_pullback(y0 * 2)[1]
    assert jax.tree.structure(again) == structure, "pullbacks of one function compare structurally"


def test_a_pullback_is_returned_from_jit_and_passed_into_jit() -> None:
    _value, pullback = ft.jit(square_and_pullback)(y0)
    np.testing.assert_allclose(pullback(y0)[0], expected_cotangent(y0, y0), rtol=1e-6)
    applied = ft.jit(lambda pull, cotangent: pull(cotangent)[0])(pullback, y0)
    np.testing.assert_allclose(applied, expected_cotangent(y0, y0), rtol=1e-6)


def test_a_pullback_is_returned_from_vmap_and_applied_under_vmap() -> None:
    xs = np.stack([y0, y0 + 1, y0 + 2])
    _, pullbacks = ft.vmap(square_and_pullback)(xs)
    mapped = ft.vmap(lambda pull, cotangent: pull(cotangent)[0])(pullbacks, xs)
    np.testing.assert_allclose(mapped, expected_cotangent(xs, xs), rtol=2e-6, atol=1e-6)
    shared = ft.vmap(square_and_pullback(y0)[1])(xs)[0]
    np.testing.assert_allclose(shared, expected_cotangent(y0, xs), rtol=2e-6, atol=1e-6)


def test_a_pullback_is_differentiated() -> None:
    def through(x: Any) -> Any:
        _, pullback = ft.vjp(fnp.sin, x)
        return pullback(x * x)[0]  # cos(x) x²

    x = np.float32(0.7)
    assert float(ft.grad(through)(x)) == pytest.approx(float(-np.sin(x) * x * x + 2 * x * np.cos(x)), rel=1e-6)
    _, pullback = ft.vjp(fnp.sin, x)
    assert float(ft.grad(lambda ct: pullback(ct)[0] * ct)(np.float32(3.0))) == pytest.approx(6 * np.cos(0.7), rel=1e-6)


def test_a_pullback_is_carried_through_scan_and_chosen_by_cond() -> None:
    def chain(x: Any) -> Any:
        _, pullback = square_and_pullback(x)

        def step(carry: Any, _: Any) -> Any:
            pull, cotangent = carry
            return (pull, pull(cotangent)[0]), None

        return lax.scan(step, (pullback, x), None, length=2)[0][1]

    factor = expected_cotangent(y0, 1.0)
    np.testing.assert_allclose(ft.jit(chain)(y0), factor**2 * y0, rtol=2e-6, atol=1e-6)

    def choose(flag: Any, x: Any) -> Any:
        _, pullback = square_and_pullback(x)
        return lax.cond(flag, lambda pull: pull(x)[0], lambda pull: pull(-x)[0], pullback)

    np.testing.assert_allclose(ft.jit(choose)(False, y0), -factor * y0, rtol=2e-6, atol=1e-6)


def test_a_linearized_function_is_returned_mapped_and_transposed() -> None:
    _value, pushforward = ft.jit(lambda x: ft.linearize(lambda y: fnp.sin(y) * y, x))(y0)
    basis = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(ft.vmap(pushforward)(basis), np.diag(expected_cotangent(y0, 1.0)), rtol=1e-6, atol=1e-7)
    transposed = ft.linear_transpose(pushforward, y0)
    np.testing.assert_allclose(transposed(y0)[0], expected_cotangent(y0, y0), rtol=1e-6)


def test_a_number_given_to_a_pullback_in_a_trace_is_no_input_of_the_program() -> None:
    def f(x: Any) -> Any:
        return fnp.log(x) + x * x

    def by_pullback(x: Any) -> Any:
        return ft.vjp(f, x)[1](1.0)[0]

    def by_linearized(x: Any) -> Any:
        return ft.linearize(f, x)[1](1)

    assert ft.make_jaxpr(by_pullback)(2.0) == ft.make_jaxpr(ft.grad(f))(2.0)
    assert len(ft.make_jaxpr(by_linearized)(2.0).inputs) == 1
    assert_same(ft.jit(by_pullback)(2.0), ft.grad(f)(2.0))
    assert_same(
        ft.jit(by_linearized)(np.float32(2.0)),
        jax.jit(lambda x: jax.linearize(lambda x: jax.numpy.log(x) + x * x, x)[1](1.0))(np.float32(2.0)),
    )
