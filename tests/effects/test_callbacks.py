"""pure_callback and io_callback: values, vmap methods and results against JAX's; exceptions reach the caller."""

from __future__ import annotations

import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.errors import MissingRuleError

X = np.array([3.0, 1.0, 2.0], np.float32)


def promise(*shape: int, dtype: Any = np.float32) -> Any:
    return ft.ShapeDtypeStruct(shape, np.dtype(dtype))


@pytest.mark.parametrize("stack", [lambda f: f, ft.jit, lambda f: ft.jit(lambda x: ft.jit(f)(x)), ft.jit])
def test_a_tree_goes_out_and_a_tree_comes_back(stack: Any) -> None:
    def host(a: Any, b: Any, *, scale: Any) -> Any:
        assert isinstance(a["x"], np.ndarray)
        return {"sum": a["x"].sum() * scale, "both": (b, a["x"] > 1.5)}

    def f(x: Any) -> Any:
        result = {"sum": promise(), "both": (promise(2, dtype=np.int32), promise(3, dtype=bool))}
        return ft.pure_callback(host, result, {"x": x}, np.array([4, 5], np.int32), scale=2.0)

    found = stack(f)(X)
    assert float(found["sum"]) == 12.0
    assert found["both"][0].tolist() == [4, 5]
    assert found["both"][1].tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 1, 3)])
def test_every_dtype_and_shape_goes_through(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.arange(int(np.prod(shape))).reshape(shape).astype(jnp.dtype(dtype))
    seen = []

    def host(a: Any) -> Any:
        seen.append((a.dtype.name, a.shape))
        return a

    found = ft.jit(lambda a: ft.pure_callback(host, a, a))(x)
    assert seen == ([(dtype, shape)] if x.size else [])  # nothing is asked where there is nothing to know
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(np.asarray(found), x)


def test_wide_types_go_through(x64: None) -> None:
    x = np.array([1e300, 2.0])
    assert ft.jit(lambda a: ft.pure_callback(np.sqrt, a, a))(x).tolist() == [1e150, 2.0**0.5]
    assert int(ft.jit(lambda: ft.pure_callback(lambda: 2**40, promise(dtype=np.int64)))()) == 2**40


def test_wide_results_are_narrowed_where_wide_types_are_off() -> None:
    found = ft.jit(lambda a: ft.pure_callback(lambda v: v.astype(np.float64) * 2, promise(3), a))(X)
    assert found.dtype == np.float32
    assert found.tolist() == [6.0, 2.0, 4.0]


METHODS = ["sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("axes", [(0, None), (None, 1), (0, 0), (1, 1)])
def test_vmap_calls_the_function_with_the_shapes_that_jax_does(method: str, axes: tuple[Any, Any]) -> None:
    def both(library: Any) -> Any:
        shapes: list[Any] = []

        def host(a: Any, b: Any) -> Any:
            shapes.append((np.shape(a), np.shape(b)))
            return np.broadcast_to(np.asarray(a) + 2 * np.asarray(b), np.broadcast_shapes(np.shape(a), np.shape(b)))

        def f(a: Any, b: Any) -> Any:
            result = jax.ShapeDtypeStruct(np.broadcast_shapes(a.shape, b.shape), np.float32)
            return library.pure_callback(host, result, a, b, vmap_method=method)

        a, b = np.arange(9, dtype=np.float32).reshape(3, 3), np.ones((3, 3), np.float32)
        a, b = (x if axis is not None else x[0] for x, axis in zip((a, b), axes, strict=True))
        return np.asarray(library.jit(library.vmap(f, in_axes=axes))(a, b)), shapes

    ours, our_shapes = both(ft)
    theirs, their_shapes = both(jax)
    np.testing.assert_array_equal(ours, theirs)
    assert our_shapes == their_shapes


def test_vmap_twice_and_in_a_scan() -> None:
    f = lambda x: ft.pure_callback(lambda v: np.sin(v), x, x, vmap_method="expand_dims")
    x = np.linspace(0.0, 1.0, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(ft.vmap(ft.vmap(f))(x), np.sin(x), rtol=1e-6)
    total = ft.vmap(lambda row: lax.scan(lambda c, a: (c + f(a), None), 0.0, row)[0])(x)
    np.testing.assert_allclose(total, np.sin(x).sum(1), rtol=1e-6)


def test_custom_jvp_gives_the_derivative_of_a_callback() -> None:
    @ft.custom_jvp
    def sine(x: Any) -> Any:
        return ft.pure_callback(np.sin, x, x, vmap_method="expand_dims")

    @sine.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return sine(*primals), cosine(*primals) * tangents[0]

    @ft.custom_jvp
    def cosine(x: Any) -> Any:
        return ft.pure_callback(np.cos, x, x, vmap_method="expand_dims")

    @cosine.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return cosine(*primals), -sine(*primals) * tangents[0]

    x = np.float32(0.7)
    assert float(ft.grad(sine)(x)) == pytest.approx(np.cos(0.7), rel=1e-6)
    assert float(ft.jit(ft.grad(ft.grad(sine)))(x)) == pytest.approx(-np.sin(0.7), rel=1e-6)
    np.testing.assert_allclose(ft.vmap(ft.grad(sine))(X), np.cos(X), rtol=1e-5)
    f = lambda x: lax.scan(lambda c, _: (sine(c), None), x, None, length=3)[0]
    expected = jax.grad(lambda x: jnp.sin(jnp.sin(jnp.sin(x))))(0.7)
    assert float(ft.jit(ft.grad(f))(x)) == pytest.approx(float(expected), rel=1e-5)


def test_a_callback_is_not_in_the_way_of_other_derivatives() -> None:
    index = lambda x: ft.pure_callback(lambda v: np.argmax(v).astype(np.int32), promise(dtype=np.int32), x)
    f = lambda x: fnp.sum(x * x) * 1.0 + 0.0 * index(lax.stop_gradient(x)).astype("float32")
    np.testing.assert_allclose(ft.grad(f)(X), 2 * X)


def test_an_unused_pure_callback_is_dropped_and_an_equal_one_shared() -> None:
    calls: list[int] = []

    def host(v: Any) -> Any:
        calls.append(1)
        return v

    def ask(x: Any) -> Any:
        return ft.pure_callback(host, x, x)

    def f(x: Any) -> Any:
        ask(x)
        return ask(x * 2) + ask(x * 2)

    assert ft.jit(f)(1.0) == 4.0
    assert len(calls) == 1


class Trouble(Exception):
    """An exception of the user's own."""


def failing(v: Any) -> Any:
    if np.any(v > 2):
        raise Trouble(f"too large: {v}")  # the line that raises
    return v


@pytest.mark.parametrize("call", [
    lambda x: ft.pure_callback(failing, x, x),
    lambda x: ft.io_callback(failing, x, x),
    lambda x: ft.io_callback(failing, x, x, ordered=True),
    lambda x: (ft.debug.callback(failing, x), x)[1],
    lambda x: lax.fori_loop(0, 5, lambda i, c: ft.io_callback(failing, c, c) + 1.0, x),
])  # fmt: skip
@pytest.mark.parametrize("stack", [lambda f: f, ft.jit, ft.jit, lambda f: ft.jit(ft.jit(f))])
def test_what_a_callback_raises_reaches_the_caller_as_it_is(call: Any, stack: Any) -> None:
    f = stack(call)
    assert float(f(-9.0)) in (-9.0, -4.0)
    with pytest.raises(Trouble, match=r"too large: 3.0") as caught:
        f(3.0)
    frames = [frame.frame.code.name for frame in caught.traceback]
    assert "failing" in frames
    assert float(f(-9.0)) in (-9.0, -4.0)  # and the program can be called again


def test_an_exception_in_compiled_code_names_the_line_of_the_call() -> None:
    def f(x: Any) -> Any:
        return ft.pure_callback(failing, x, x)  # this one

    with pytest.raises(Trouble) as caught:
        ft.jit(f)(3.0)
    notes = "\n".join(caught.value.__notes__)
    assert "in the function that pure_callback calls" in notes
    assert "return ft.pure_callback(failing, x, x)  # this one" in notes


def test_threads_get_the_exceptions_of_their_own_calls() -> None:
    def host(v: Any) -> Any:
        raise Trouble(str(int(v)))

    f = ft.jit(lambda x: ft.io_callback(host, x, x))
    found: dict[int, str] = {}

    def call(i: int) -> None:
        for _ in range(20):
            try:
                f(float(i))
            except Trouble as error:
                found[i] = found.get(i, "") + str(error)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: str(i) * 20 for i in range(4)}


def test_functrans_can_be_used_inside_a_callback() -> None:
    slope = ft.grad(lambda v: v * v * v)
    f = ft.jit(lambda x: ft.pure_callback(lambda v: np.asarray(slope(v)), x, x))
    assert float(f(2.0)) == 12.0


def test_programs_without_effects_stay_in_the_fast_path() -> None:
    calls: list[int] = []
    f = ft.jit(lambda x: x + 1.0)
    f(1.0)
    before = ft.compilation_count()
    for i in range(50):
        f(float(i))
    assert ft.compilation_count() == before
    assert f._cache_size() == 1
    g = ft.jit(lambda x: (ft.debug.callback(lambda v: calls.append(1), x), x)[1])
    for i in range(50):
        g(float(i))
    assert len(calls) == 50
    assert ft.compilation_count() == before + 1


def test_a_program_traced_again_is_compiled_once() -> None:
    seen: list[Any] = []
    round_ = -1

    def step(x: Any) -> Any:
        ft.debug.callback(print_nothing, x)
        ft.debug.print("", skip_format_check=True)
        ft.debug.callback(lambda v: seen.append((round_, float(v))), x)  # made anew by each trace
        return x * x

    ft.grad(step)(1.0)
    before = ft.compilation_count()
    for round_ in range(5):
        ft.grad(step)(float(round_))
    assert ft.compilation_count() == before
    assert seen == [(-1, 1.0)] + [(i, float(i)) for i in range(5)]


def test_callbacks_that_close_over_their_own_variables_are_told_apart() -> None:
    seen: list[Any] = []

    def step(x: Any, tag: str) -> Any:
        ft.debug.callback(lambda v: seen.append((tag, float(v))), x)
        return x * x

    for tag in ("a", "b", "a"):
        ft.grad(step)(2.0, tag)
    assert seen == [("a", 2.0), ("b", 2.0), ("a", 2.0)]


def print_nothing(_: Any) -> None:
    """A callback that does nothing."""


DERIVATIVES = {
    "pure_callback": lambda x: ft.pure_callback(np.sin, x, x),
    "io_callback": lambda x: ft.io_callback(np.sin, x, x),
}


@pytest.mark.parametrize(
    "transform", [ft.grad, lambda f: lambda x: ft.jvp(f, (x,), (1.0,)), lambda f: ft.jit(ft.grad(f))]
)
@pytest.mark.parametrize("what", DERIVATIVES)
def test_a_derivative_of_a_callback_is_refused_with_the_way_out(what: str, transform: Any) -> None:
    with pytest.raises(MissingRuleError) as caught:
        transform(DERIVATIVES[what])(1.0)
    text = str(caught.value)
    assert f"{what} has no derivative: functrans cannot look into the Python function sin" in text
    assert "functrans.custom_jvp" in text
    assert f"{__file__.rpartition('/')[2]}:" in text


@pytest.mark.parametrize("stack", ["plain", "jit", "vmap", "jit vmap"])
@pytest.mark.parametrize("method", ["sequential", "expand_dims", "broadcast_all"])
@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_random_keys_come_as_their_words_as_in_jax(stack: str, method: str, implementation: str) -> None:
    keys = jax.random.split(jax.random.key(3, impl=implementation), 3)

    def results(module: Any) -> Any:
        shapes = []

        def host(words: Any, x: Any) -> Any:
            shapes.append((np.shape(words), np.shape(x)))
            return np.asarray(np.sum(np.asarray(words) % 1000, axis=-1) + np.asarray(x), np.float32)

        def f(key: Any, x: Any) -> Any:
            return module.pure_callback(host, jax.ShapeDtypeStruct((), np.float32), key, x, vmap_method=method)

        if "vmap" not in stack:
            return (module.jit(f) if stack == "jit" else f)(keys[0], X[0]), shapes
        mapped = module.vmap(f)
        return (module.jit(mapped) if "jit" in stack else mapped)(keys, X), shapes

    (found, seen), (expected, there) = results(ft), results(jax)
    np.testing.assert_array_equal(found, expected)
    assert seen == there


def test_random_keys_are_not_promised() -> None:
    key = jax.random.key(0)
    for f in (lambda k: ft.pure_callback(lambda k: k, k, k), ft.jit(lambda k: ft.io_callback(lambda k: k, k, k))):
        with pytest.raises(TypeError, match="promises random keys, and a Python function gets and returns their words"):
            f(key)
