"""Tracers that left their trace or their thread, and what a trace accepts as input and output."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import caught, refusal

scalar = np.float32(2.0)
vector = np.ones(3, np.float32)


@pytest.mark.parametrize("transform", [ft.jit, ft.vmap, ft.grad], ids=["jit", "vmap", "grad"])
def test_an_escaped_tracer_names_where_it_was_made_and_where_it_is_used(transform: Any) -> None:
    kept = []

    def function(x: Any) -> Any:
        y = fnp.sin(x)  # blame
        kept.append(y)
        return y

    transform(function)(scalar if transform is not ft.vmap else vector)

    def use() -> Any:
        return fnp.cos(kept[0])  # used

    found = refusal(RuntimeError, use).says(("escaped", "leaked", "outlived", "ended"), ("return", "result"))
    # Both places: `refusal` has checked where the tracer was made; the use is named too, or is the traceback's end.
    users = [frame.lineno for frame in found.frames if frame.filename == __file__]
    assert use.__code__.co_firstlineno + 1 in users


def test_an_escaped_tracer_is_refused_inside_another_trace() -> None:
    kept: list[Any] = []

    def leak(x: Any) -> Any:
        kept.append(x * 2)  # blame
        return x

    ft.jit(leak)(scalar)
    refusal(RuntimeError, lambda: ft.jit(lambda x: x + kept[0])(scalar)).says(
        ("escaped", "leaked", "outlived", "ended")
    )


def test_an_escaped_loop_variable_is_refused_inside_the_enclosing_trace() -> None:
    def function(x: Any) -> Any:
        kept = []

        def body(carry: Any, _: Any) -> Any:
            kept.append(carry * 2)  # blame
            return carry, None

        lax.scan(body, x, None, length=2)
        return kept[0] + 1.0

    refusal(RuntimeError, lambda: ft.jit(function)(scalar)).says(("escaped", "leaked", "outlived", "ended"))


@pytest.mark.parametrize("ask", [bool, int, lambda x: x > 0, lambda x: f"{x:.2f}", round], ids=lambda f: f.__name__)
def test_an_escaped_argument_has_no_value_any_more(ask: Any) -> None:
    kept: list[Any] = []
    ft.grad(lambda x: (kept.append(x), x * x)[1])(scalar)
    with pytest.raises(ft.errors.EscapedTracerError):
        ask(kept[0])


def test_an_escaped_tracer_can_still_be_printed() -> None:
    kept: list[Any] = []
    ft.jit(lambda x: kept.append(x) or x)(vector)
    assert "float32" in repr(kept[0]) or "f32" in repr(kept[0])


def test_a_tracer_in_another_thread_is_refused_by_name() -> None:
    errors: list[BaseException] = []

    def function(x: Any) -> Any:
        def work() -> None:
            try:
                fnp.sin(x)
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return x

    ft.jit(function)(scalar)
    assert len(errors) == 1, "the other thread was not refused"
    assert "thread" in str(errors[0])


def test_a_result_of_an_unknown_class_is_named_with_its_place() -> None:
    class Unknown:
        pass

    refusal(TypeError, lambda: ft.jit(lambda x: {"ok": x, "bad": Unknown()})(scalar)).says(
        "Unknown", "bad", ("jit", "return")
    )
    refusal(TypeError, lambda: ft.vmap(lambda x: Unknown())(vector)).says("Unknown")
    refusal(TypeError, lambda: ft.grad(lambda x: "text")(scalar)).says("str")
    refusal(TypeError, lambda: ft.make_jaxpr(lambda x: "text")(scalar)).says("str")


def test_an_argument_of_an_unknown_class_proposes_static_argnums() -> None:
    class Unknown:
        pass

    refusal(TypeError, lambda: ft.jit(lambda x, y: x)(scalar, Unknown())).says(
        "Unknown", ("y", "[1]"), "static_argnums"
    )
    refusal(TypeError, lambda: ft.jit(lambda x, mode: x)(scalar, mode="fast")).says("str", "mode", "static_argnames")


def test_an_unhashable_static_argument_names_it_and_its_class() -> None:
    def function(x: Any, sizes: Any) -> Any:
        return x

    compiled = ft.jit(function, static_argnums=1)
    refusal((TypeError, ValueError), lambda: compiled(scalar, [1, 2])).says(
        "static", "sizes", "list", ("hash", "tuple")
    )
    by_name = ft.jit(function, static_argnames="sizes")
    refusal((TypeError, ValueError), lambda: by_name(scalar, sizes=np.ones(2))).says(
        "static", "sizes", "ndarray", "hash"
    )


def test_static_argnames_that_are_no_parameters_are_named() -> None:
    refusal(ValueError, lambda: ft.jit(lambda x: x, static_argnames="missing")).says("static_argnames", "missing")


def test_static_argnums_beyond_the_parameters_are_named() -> None:
    refusal(ValueError, lambda: ft.jit(lambda x: x, static_argnums=3)).says("static_argnums", "3")


def test_an_argument_both_static_and_donated_is_refused() -> None:
    refusal(ValueError, lambda: ft.jit(lambda x: x, static_argnums=0, donate_argnums=0)).says("static", "donate")


def test_a_traced_value_as_a_static_argument_is_refused() -> None:
    inner = ft.jit(lambda x, n: x * n, static_argnums=1)

    def outer(x: Any) -> Any:
        return inner(x, x)  # blame

    refusal((TypeError, ValueError), lambda: ft.jit(outer)(scalar)).says("static", ("traced", "tracer"))


def test_a_donated_array_used_again_says_that_it_was_donated() -> None:
    def function(x: Any) -> Any:
        return x + 1.0

    consume = ft.jit(function, donate_argnums=0)
    array = fnp.asarray(vector) * 1.0
    consume(array)
    if not array.is_deleted():
        pytest.skip("this backend does not implement donation")
    refusal((RuntimeError, ValueError), lambda: ft.jit(function)(array)).says(("donated", "deleted"))
    refusal((RuntimeError, ValueError), lambda: ft.grad(lambda x: fnp.sum(function(x)))(array)).says(
        ("donated", "deleted")
    )


def test_jit_of_what_is_no_function_is_refused() -> None:
    refusal(TypeError, lambda: ft.jit(3)).says(("callable", "function"), "3")
    refusal(TypeError, lambda: ft.vmap(3)(vector)).says(("callable", "function"), "3")


def test_wrong_call_signatures_stay_python_errors() -> None:
    refusal(TypeError, lambda: ft.jit(lambda x: x)(scalar, scalar)).says("argument")
    refusal(TypeError, lambda: ft.grad(lambda x, y: x)(scalar)).says("argument", "'y'")


def test_an_exception_of_the_user_passes_through_unchanged() -> None:
    class OfTheUser(Exception):
        pass

    def function(x: Any) -> Any:
        raise OfTheUser("as it is")

    for transform in (ft.jit, ft.grad, ft.vmap):
        argument = vector if transform is ft.vmap else scalar
        found = caught(OfTheUser, lambda t=transform, a=argument: t(function)(a))
        assert str(found.error) == "as it is"
        assert found.frames[-1].name == "function"
        assert len(found.package_frames()) <= 2


def test_nested_transforms_show_at_most_two_frames_of_the_package() -> None:
    def function(x: Any) -> Any:
        return fnp.reshape(x, (5, 5))

    nested = ft.jit(ft.vmap(ft.grad(lambda x: ft.jit(function)(x))))
    found = caught((TypeError, ValueError), lambda: nested(vector))
    assert len(found.package_frames()) <= 2
    assert "function" in [frame.name for frame in found.frames]


def test_a_switch_shows_every_frame() -> None:
    def function(x: Any) -> Any:
        return fnp.reshape(x, (5, 5))

    action = lambda: ft.jit(ft.vmap(function))(vector)
    few = len(caught((TypeError, ValueError), action).package_frames())
    ft.full_tracebacks(True)
    try:
        many = len(caught((TypeError, ValueError), action).package_frames())
    finally:
        ft.full_tracebacks(False)
    assert few <= 2 < many


def test_a_traced_value_is_not_pickled_and_its_copies_are_itself() -> None:
    def pickled(x: Any) -> Any:
        pickle.dumps({"weights": [x]})
        return x

    with pytest.raises(TypeError, match=r"(?s)of type f32\[\] cannot be pickled.*grad of pickled.*pickle the result"):
        ft.grad(pickled)(np.float32(1.0))
    assert float(ft.grad(lambda x: copy.deepcopy([x])[0] * copy.copy(x))(3.0)) == 6.0
