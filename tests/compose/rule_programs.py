"""Programs with derivative rules of the user's own, which differ from the true derivative so that skipping one shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.compose.table import program, values

Function = Callable[..., Any]


@program(values(3))
def custom_jvp_rule(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_jvp
    def wave(x: Any) -> Any:
        return fnp.sin(x)

    @wave.defjvp
    def wave_jvp(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return wave(x), 3.0 * fnp.cos(x) * t

    return lambda x: wave(x * x) * x


@program(values(2), values(2, seed=1.0))
def custom_jvp_by_argument(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_jvp
    def product(x: Any, y: Any) -> Any:
        return x * y

    product.defjvps(lambda t, out, x, y: 2.0 * t * y, lambda t, out, x, y: t * x + 0.0 * out * t)
    return lambda x, y: product(fnp.sin(x), y)


@program(values(2))
def custom_jvp_with_static_argument(ft: Any, fnp: Any, lax: Any) -> Function:
    def apply(function: Any, x: Any) -> Any:
        return function(x)

    custom = ft.custom_jvp(apply, nondiff_argnums=(0,))
    custom.defjvp(lambda function, primals, tangents: (function(primals[0]), 2.0 * tangents[0] * primals[0]))
    return lambda x: custom(fnp.exp, x) * x


@program(values(2))
def custom_jvp_that_holds_a_scan(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    @cube.defjvp
    def cube_jvp(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        scaled, _ = lax.scan(lambda c, _: (c * x, None), t, None, length=2)
        return cube(x), 3.0 * scaled

    return lambda x: cube(fnp.sin(x))


# In JAX a custom_vjp has no forward mode; what functrans adds there is tested in tests/api/test_custom_rules.py.


@program(values(2), forward=False)
def custom_vjp_rule(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_vjp
    def wave(x: Any) -> Any:
        return fnp.sin(x)

    wave.defvjp(lambda x: (wave(x), fnp.cos(x)), lambda residual, cotangent: (3.0 * residual * cotangent,))
    return lambda x: wave(x * x) * x


@program(values(3), forward=False)
def custom_vjp_that_clips(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_vjp
    def identity(x: Any) -> Any:
        return x

    identity.defvjp(lambda x: (x, None), lambda _, cotangent: (fnp.clip(cotangent, -0.5, 0.5),))
    return lambda x: fnp.sum(identity(x) ** 3)


@program({"a": values(2), "b": values(seed=1.0)}, values(2, seed=2.0), forward=False)
def custom_vjp_of_trees(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_vjp
    def combine(tree: Any, x: Any) -> Any:
        return {"out": tree["a"] * x, "side": tree["b"]}

    def backward(residuals: Any, cotangent: Any) -> Any:
        tree, x = residuals
        return {"a": 2.0 * cotangent["out"] * x, "b": cotangent["side"]}, cotangent["out"] * tree["a"]

    combine.defvjp(lambda tree, x: (combine(tree, x), (tree, x)), backward)
    return combine


@program(values(2), forward=False)
def custom_vjp_with_static_argument(ft: Any, fnp: Any, lax: Any) -> Function:
    def power(exponent: Any, x: Any) -> Any:
        return x**exponent

    custom = ft.custom_vjp(power, nondiff_argnums=(0,))
    custom.defvjp(
        lambda exponent, x: (x**exponent, x), lambda exponent, x, cotangent: (2.0 * exponent * x * cotangent,)
    )
    return lambda x: custom(3, x) + x


@program(values(2), values(seed=1.0), forward=False)
def custom_vjp_inside_scan(ft: Any, fnp: Any, lax: Any) -> Function:
    @ft.custom_vjp
    def wave(x: Any, y: Any) -> Any:
        return fnp.sin(x) * y

    wave.defvjp(lambda x, y: (wave(x, y), (x, y)), lambda r, ct: (2.0 * fnp.cos(r[0]) * r[1] * ct, fnp.sum(ct * r[0])))
    return lambda x, y: lax.scan(lambda c, _: (wave(c, y), c), x, None, length=3)
