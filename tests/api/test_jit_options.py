"""Static, donated, kept arguments; methods, partials, wraps; disable_jit, eval_shape, make_jaxpr."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

x0 = np.array([1.0, 2.0], np.float32)


class Counted:
    """A function body that counts how often Python runs it, which is how often it is traced."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        return self.function(*arguments, **keywords)


def test_one_trace_serves_equal_types() -> None:
    body = Counted(lambda x: x * 2)
    compiled = ft.jit(body)
    for value in (x0, x0 + 1, fnp.asarray(x0), x0 - 3):
        np.testing.assert_array_equal(compiled(value), np.asarray(value) * 2)
    assert body.calls == 1
    compiled(x0.astype(np.int32))
    compiled(x0[:1])
    assert body.calls == 3
    compiled(1.0)
    compiled(2.5)
    assert body.calls == 4, "a Python float is an input, whatever its value"


@pytest.mark.parametrize(
    "options", [{"static_argnums": 1}, {"static_argnums": (1,)}, {"static_argnums": -1}, {"static_argnames": "n"}]
)
def test_static_arguments_are_python_values(options: Any) -> None:
    body = Counted(lambda x, n: sum(x * i for i in range(n)))
    compiled = ft.jit(lambda x, n: body(x, n), **options)
    for n in (2, 3, 2):
        np.testing.assert_array_equal(compiled(x0, n), x0 * sum(range(n)))
    assert body.calls == 2
    if options.get("static_argnums") != -1:
        np.testing.assert_array_equal(compiled(x0, n=3), x0 * 3)


def test_static_arguments_are_told_apart_by_equality_and_type() -> None:
    body = Counted(lambda x, k: x * k)
    compiled = ft.jit(body, static_argnums=1)
    assert compiled(x0, 1).dtype == np.float32
    assert compiled(np.int32(3), 1).dtype == np.int32
    assert compiled(np.int32(3), 1.0).dtype == np.float32
    assert compiled(np.int32(3), True).dtype == np.int32


def test_static_strings_functions_and_keyword_only_parameters() -> None:
    @functools.partial(ft.jit, static_argnames=("mode", "function"))
    def apply(x: Any, *, mode: str, function: Any = fnp.sin) -> Any:
        return function(x) if mode == "plain" else -function(x)

    np.testing.assert_allclose(apply(x0, mode="plain"), np.sin(x0), rtol=1e-6)
    np.testing.assert_allclose(apply(x0, mode="negated", function=fnp.cos), -np.cos(x0), rtol=1e-6)


def test_default_arguments_and_keywords() -> None:
    compiled = ft.jit(lambda x, scale=3.0, *, shift=1.0: x * scale + shift)
    np.testing.assert_array_equal(compiled(x0), x0 * 3 + 1)
    np.testing.assert_array_equal(compiled(x0, shift=2.0), x0 * 3 + 2)
    np.testing.assert_array_equal(compiled(scale=2.0, x=x0), x0 * 2 + 1)


def test_variadic_functions() -> None:
    compiled = ft.jit(lambda *xs, **named: sum(xs) + sum(named.values()))
    np.testing.assert_array_equal(compiled(x0, x0, a=x0, b=1.0), x0 * 3 + 1)


@pytest.mark.parametrize("options", [{"donate_argnums": 0}, {"donate_argnums": (0,)}, {"donate_argnames": "x"}])
def test_donated_arguments_give_the_same_result(options: Any) -> None:
    compiled = ft.jit(lambda x, y: x + y, **options)
    x, y = fnp.asarray(x0) * 1, fnp.asarray(x0) * 1
    np.testing.assert_array_equal(compiled(x, y), x0 * 2)
    assert not y.is_deleted()
    assert x.is_deleted(), "a donated array of the result's type is given up"


DONATIONS = {
    "one": (lambda x: x + 1, 0),
    "a number of the same size before it": (lambda x: (7, x + 1), 1),
    "the same size, another dtype": (lambda x: (x > 0, x.astype("int32"), -x), 2),
    "of two results the first": (lambda x: (x + 1, x + 2), 0),
}


@pytest.mark.parametrize("name", DONATIONS)
@pytest.mark.parametrize("shape", [(), (1000,)])
def test_a_result_takes_the_memory_of_the_donated_argument(name: str, shape: tuple[int, ...]) -> None:
    function, place = DONATIONS[name]
    for of in (ft, jax):
        x = jnp.zeros(shape) + 3
        memory = x.unsafe_buffer_pointer()
        results = jax.tree.leaves(of.jit(function, donate_argnums=0)(x))
        assert x.is_deleted() and results[place].unsafe_buffer_pointer() == memory


def test_a_donated_argument_that_no_result_is_like_is_kept_with_a_warning() -> None:
    for of in (ft, jax):
        x, y = jnp.ones(3), jnp.array(1.0)
        with pytest.warns(UserWarning, match=r"Some donated buffers were not usable: .*float32\[3\]"):
            result = of.jit(lambda x, y: y + x.sum(), donate_argnums=(0, 1))(x, y)
        assert float(result) == 4 and y.is_deleted()
        assert float(x.sum()) == 3


@pytest.mark.parametrize("options", [
    {"static_argnums": np.int8(1)}, {"static_argnames": "flag"}, {"donate_argnums": 0},
])  # fmt: skip
@pytest.mark.parametrize("transform", [
    lambda f: f, ft.jit, ft.grad, ft.vmap, lambda f: lambda x: ft.jvp(f, (x,), (x,)),
])  # fmt: skip
def test_an_error_of_the_function_is_the_one_that_is_seen(options: Any, transform: Any) -> None:
    def refuses(x: Any, flag: bool) -> Any:
        raise ValueError("of the function")

    with pytest.raises(ValueError, match="of the function"):
        transform(lambda x: ft.jit(refuses, **options)(x, flag=False))(x0)


def test_keep_unused_and_inline_change_no_result() -> None:
    for options in ({"keep_unused": True}, {"inline": True}):
        compiled = ft.jit(lambda x, unused: x * 2, **options)
        np.testing.assert_array_equal(compiled(x0, x0), x0 * 2)
    inlined = ft.jit(lambda x: fnp.sin(x) * x, inline=True)
    nested = ft.jit(lambda x: fnp.sin(x) * x)
    assert "jaxpr=" not in str(ft.make_jaxpr(lambda x: inlined(x) + 1)(x0))
    assert "jaxpr=" in str(ft.make_jaxpr(lambda x: nested(x) + 1)(x0)), "without inline the call stays a call"


def test_methods_class_methods_static_methods_and_properties() -> None:
    class Model:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        @functools.partial(ft.jit, static_argnums=0)
        def method(self, x: Any) -> Any:
            return x * self.scale

        @classmethod
        @functools.partial(ft.jit, static_argnums=0)
        def of_class(cls, x: Any) -> Any:
            return x + len(cls.__name__)

        @staticmethod
        @ft.jit
        def static(x: Any) -> Any:
            return x - 1

    two, three = Model(2.0), Model(3.0)
    np.testing.assert_array_equal(two.method(x0), x0 * 2)
    np.testing.assert_array_equal(three.method(x0), x0 * 3)
    np.testing.assert_array_equal(Model.of_class(x0), x0 + 5)
    np.testing.assert_array_equal(Model.static(x0), x0 - 1)
    bound = ft.jit(two.static)
    np.testing.assert_array_equal(bound(x0), x0 - 1)


def test_a_method_of_a_pytree_class_is_traced_with_its_fields() -> None:
    @jax.tree_util.register_pytree_node_class
    class Scale:
        def __init__(self, factor: Any) -> None:
            self.factor = factor

        def tree_flatten(self) -> Any:
            return (self.factor,), None

        @classmethod
        def tree_unflatten(cls, _: None, children: Any) -> Any:
            return cls(*children)

        @ft.jit
        def __call__(self, x: Any) -> Any:
            return x * self.factor

    np.testing.assert_array_equal(Scale(np.float32(2.0))(x0), x0 * 2)
    gradient = ft.grad(lambda s: fnp.sum(s(x0)))(Scale(np.float32(2.0)))
    assert isinstance(gradient, Scale) and float(gradient.factor) == 3.0


def test_functions_that_cannot_be_referred_to_weakly() -> None:
    class Doubling:
        __slots__ = ()

        def __call__(self, x: Any) -> Any:
            return 2 * x

    doubling = Doubling()
    for _ in range(3):
        assert ft.jit(doubling)(3.0) == 6.0
        np.testing.assert_array_equal(ft.jit(np.cos)(x0), fnp.cos(x0))
        np.testing.assert_array_equal(ft.jit(ft.grad(lambda x: fnp.sum(ft.jit(np.sin)(x))))(x0), fnp.cos(x0))


def test_partials_and_callable_objects() -> None:
    np.testing.assert_array_equal(ft.jit(functools.partial(lambda k, x: x * k, 3.0))(x0), x0 * 3)
    assert float(ft.grad(functools.partial(lambda k, x: k * x**2, 3.0))(np.float32(2.0))) == 12.0
    np.testing.assert_array_equal(
        ft.vmap(functools.partial(fnp.multiply, x0))(np.stack([x0, x0])), np.stack([x0 * x0] * 2)
    )

    class Callable:
        def __call__(self, x: Any) -> Any:
            return x * 5

    np.testing.assert_array_equal(ft.jit(Callable())(x0), x0 * 5)


@pytest.mark.parametrize(
    "name", ["jit", "grad", "value_and_grad", "vmap", "jacfwd", "jacrev", "hessian", "custom_jvp", "custom_vjp"]
)
def test_transforms_wrap_as_functools_does(name: str) -> None:
    def original(x: float, y: int = 3) -> float:
        """What it does."""
        return x

    wrapped = getattr(ft, name)(original)
    assert wrapped.__name__ == "original" or (name in ("grad", "value_and_grad") and "original" in wrapped.__name__)
    assert inspect.unwrap(wrapped) is original
    assert "What it does." in wrapped.__doc__
    assert list(inspect.signature(wrapped).parameters) == ["x", "y"]
    assert wrapped.__module__ == __name__


def test_transforms_work_as_decorators() -> None:
    @ft.jit
    @functools.partial(ft.vmap, in_axes=(0, None))
    @ft.grad
    def function(x: Any, y: Any) -> Any:
        return x * x * y

    np.testing.assert_allclose(function(x0, 3.0), 6 * x0, rtol=1e-6)
    with_options = ft.jit(static_argnums=1)(lambda x, n: x * n) if _jit_takes_options_alone() else None
    if with_options is not None:
        np.testing.assert_array_equal(with_options(x0, 2), x0 * 2)


def _jit_takes_options_alone() -> bool:
    """`jax.jit(static_argnums=1)` returns a decorator from some version on."""
    try:
        return callable(jax.jit(static_argnums=1))
    except TypeError:
        return False


def test_disable_jit_runs_python_each_time_with_concrete_values() -> None:
    seen = []
    body = Counted(lambda x: seen.append(float(x)) or x * 2)
    compiled = ft.jit(body)
    with ft.disable_jit():
        assert float(compiled(np.float32(1.5))) == 3.0
        assert float(compiled(np.float32(2.5))) == 5.0
    assert seen == [1.5, 2.5] and body.calls == 2
    with pytest.raises(TypeError):
        compiled(np.float32(1.5))


@pytest.mark.parametrize("of", [ft, jax])
@pytest.mark.parametrize("static", [("a", [1.0]), np.float32, 1.0, -0.0, True, (2, "b")], ids=repr)
def test_static_arguments_are_themselves_under_disable_jit(of: Any, static: Any) -> None:
    static = tuple(map(str, static)) if isinstance(static, tuple) else static
    for compiled in (of.jit(lambda x, s: (x, s is static), static_argnums=1),
                     of.jit(lambda x, s: (x, s is static), static_argnames="s")):  # fmt: skip
        with jax.disable_jit():
            assert compiled(x0, static)[1] and compiled(x=x0, s=static)[1]
            assert of.grad(lambda x, f=compiled: f(x, s=static)[0])(1.0) == 1.0


def test_python_values_inside_disable_jit_under_grad() -> None:
    function = ft.jit(lambda x: x * x if x > 0 else -x)
    with ft.disable_jit():
        assert float(ft.grad(function)(3.0)) == 6.0
        assert float(ft.grad(function)(-3.0)) == -1.0


def test_tangents_of_integers_go_in_and_out_of_jitted_functions() -> None:
    nothing = np.zeros((2,), jax.dtypes.float0)
    compiled = ft.jit(lambda x, t: (t, x * 2, np.zeros((), jax.dtypes.float0)))
    for _ in range(3):
        given, doubled, made = compiled(x0, nothing)
        assert given.dtype == made.dtype == jax.dtypes.float0 and given.shape == (2,) and made.shape == ()
        assert_same(doubled, fnp.asarray(x0 * 2))
    gradient = ft.jit(ft.grad(lambda x, n: x * n, argnums=(0, 1), allow_int=True))
    expected = jax.jit(jax.grad(lambda x, n: x * n, argnums=(0, 1), allow_int=True))
    found, wanted = gradient(1.0, 2), expected(1.0, 2)
    assert float(found[0]) == float(wanted[0]) and found[1].dtype == wanted[1].dtype


def test_eval_shape_runs_nothing_and_takes_shapes() -> None:
    shape = ft.ShapeDtypeStruct((2000, 30000), np.float32)
    result = ft.eval_shape(lambda x, k: {"y": fnp.sin(x).T @ x, "z": (x[0] * k, 3)}, shape, 2.0)
    expected = jax.eval_shape(lambda x, k: {"y": jax.numpy.sin(x).T @ x, "z": (x[0] * k, 3)}, shape, 2.0)
    assert jax.tree.structure(result) == jax.tree.structure(expected)
    for found, wanted in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        assert (found.shape, found.dtype, found.weak_type) == (wanted.shape, wanted.dtype, wanted.weak_type)


def test_make_jaxpr_shows_program_and_result_shapes() -> None:
    jaxpr = ft.make_jaxpr(lambda x: fnp.sin(x) * 2.0)(x0)
    assert "sin" in str(jaxpr) and "f32[2]" in str(jaxpr) and "mul" in str(jaxpr)
    jaxpr, shape = ft.make_jaxpr(lambda x: (x, {"s": fnp.sum(x)}), return_shape=True)(x0)
    assert shape[1]["s"].shape == () and shape[0].dtype == np.float32
    static = ft.make_jaxpr(lambda x, n: x * n, static_argnums=1)(x0, 3)
    assert "3" in str(static)


def test_make_jaxpr_drops_dead_code_and_shares_equal_operations() -> None:
    def wasteful(x: Any) -> Any:
        fnp.exp(x)
        return fnp.sin(x) + fnp.sin(x)

    text = str(ft.make_jaxpr(wasteful)(x0))
    assert "exp" not in text and text.count("sin") == 1


def test_concrete_calls_inside_a_trace_are_staged() -> None:
    inner = ft.jit(lambda x: fnp.sin(x) + 1)
    constant = fnp.asarray(x0)
    text = str(ft.make_jaxpr(lambda x: x * inner(constant))(x0))
    assert "sin" in text
    assert_same(ft.jit(lambda x: x * inner(constant))(x0), fnp.asarray(x0) * (fnp.sin(constant) + 1))


def test_results_follow_the_width_of_types(both_widths: bool) -> None:
    wide = np.float64 if both_widths else np.float32
    assert ft.jit(lambda x: x * 2.0)(3.0).dtype == wide
    assert ft.jit(lambda x: x * 2)(3).dtype == (np.int64 if both_widths else np.int32)
    assert ft.jit(lambda x: x * 2.0)(x0).dtype == np.float32
    assert ft.grad(lambda x: x * x)(3.0).dtype == wide


def test_one_jitted_function_is_compiled_for_each_width() -> None:
    compiled = ft.jit(lambda x: x + fnp.zeros(2))
    with jax.enable_x64(False):
        assert compiled(1.0).dtype == np.float32
    with jax.enable_x64(True):
        assert compiled(1.0).dtype == np.float64
    with jax.enable_x64(False):
        assert compiled(1.0).dtype == np.float32


def test_float64_data_without_x64_warns_once_and_says_how_to_turn_it_on() -> None:
    import warnings

    wide = np.ones(2)
    with jax.enable_x64(False), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = ft.jit(lambda x: x * 2)
        assert compiled(wide).dtype == np.float32
        assert ft.grad(lambda x: fnp.sum(x * x))(wide).dtype == np.float32
    about = [str(w.message) for w in caught if "x64" in str(w.message)]
    assert len(about) <= 1
    assert all("jax_enable_x64" in text for text in about)


def test_array_functions_work_under_disable_jit() -> None:
    """They are compiled inside; that is not switched off by calling themselves again."""
    x, y = np.float32([0.1, 0.5, 0.9]), np.float32([1.0, 2.0, 3.0])
    functions: list[Any] = [
        fnp.sin, fnp.negative, fnp.abs, lambda x: fnp.add(x, x), lambda x: x * y, lambda x: fnp.dot(x, x),
        lambda x: fnp.matmul(x, x), lambda x: fnp.where(x > 0.2, x, x), fnp.sum, fnp.sort, lambda x: x[1:],
        ft.grad(lambda x: fnp.sum(fnp.sin(x) * x)),
    ]  # fmt: skip
    for function in functions:
        expected = function(fnp.asarray(x))
        with ft.disable_jit():
            np.testing.assert_allclose(function(fnp.asarray(x)), expected, rtol=1e-6)


@pytest.mark.parametrize("option", ["static_argnames", "donate_argnames"])
def test_arguments_by_position_alone_have_no_names(option: str) -> None:
    def function(a: Any, /, b: Any, *rest: Any, **others: Any) -> Any:
        return b

    for name in ("a", "rest"):
        with pytest.raises(ValueError, match=f"has '{name}', and function takes that by position alone"):
            ft.jit(function, **{option: (name,)})
    assert float(ft.jit(function, **{option: ("b", "anything")})(1.0, 2.0)) == 2.0
