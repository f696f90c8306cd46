"""A result depends on nothing that anybody does to NumPy arrays afterwards, nor a trace on what it did to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.ir.snapshots import is_settled, snapshot

N = 1000


def product(x: Any) -> Any:
    return fnp.sum(fnp.matmul(x, x))


compiled = ft.jit(lambda x: fnp.matmul(x, x))
compiled_gradient = ft.jit(ft.grad(product))
bridged = ft.from_jax(lambda x: x @ x)
ahead = ft.jit(lambda x: fnp.matmul(x, x)).lower(ft.ShapeDtypeStruct((N, N), np.float32)).compile()


@ft.jit
def with_static_argument(x: Any, *, scale: float = 2.0) -> Any:
    return fnp.matmul(x, x) * scale


# Each gives a result, or a function that is called after the array has been written to.
CALLS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda a: ft.grad(product)(a),
    "jit": lambda a: compiled(a),
    "jit, keyword": lambda a: with_static_argument(x=a),
    "jit(grad)": lambda a: compiled_gradient(a),
    "ahead of time": lambda a: ahead(a),
    "vjp": lambda a: (lambda pullback: lambda: pullback(np.float32(1.0))[0])(ft.vjp(product, a)[1]),
    "cotangent": lambda a: ft.vjp(lambda x: fnp.matmul(x, x), fnp.eye(N))[1](a)[0],
    "linearize": lambda a: (lambda push: lambda: push(fnp.ones((N, N))))(ft.linearize(product, a)[1]),
    "jvp": lambda a: ft.jvp(product, (a,), (a,))[1],
    "vmap": lambda a: ft.vmap(lambda v: fnp.matmul(v, v[:, None] * v))(a[:16]),
    "captured": lambda a: ft.grad(lambda x: x * product(a))(1.0),
    "captured by jit": lambda a: ft.jit(lambda x: x * fnp.matmul(a, a))(1.0),
    "captured, then called": lambda a: (lambda f: f(1.0) is None or (lambda: f(2.0)))(ft.jit(lambda x: x * product(a))),
    "a function of functrans.numpy": lambda a: fnp.matmul(a, a),
    "an operation": lambda a: lax.add(a, a),
    "asarray": lambda a: fnp.asarray(a),
    "array": lambda a: fnp.array(a, copy=False),
    "a view": lambda a: fnp.asarray(a.T[::2]),
    "device_put": lambda a: ft.device_put({"a": a})["a"],
    "a result that is an argument": lambda a: ft.grad(lambda x: (fnp.sum(x), a), has_aux=True)(fnp.ones(()))[1],
    "from_jax": lambda a: bridged(a),
    "a callback": lambda a: ft.pure_callback(lambda: a, ft.ShapeDtypeStruct((N, N), np.float32)),
    "a callback of jit": lambda a: ft.jit(
        lambda: ft.pure_callback(lambda: a, ft.ShapeDtypeStruct((N, N), np.float32)) * 2.0
    )(),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_an_array_may_be_written_to_as_soon_as_the_call_has_returned(name: str) -> None:
    rng = np.random.default_rng(0)
    call = CALLS[name]

    def result(a: Any, then: Callable[[], None]) -> Any:
        found = call(a)
        then()
        return np.array(found() if callable(found) else found)

    original = rng.normal(size=(N, N)).astype(np.float32)
    expected = result(original.copy(), lambda: None)
    for k in range(6):
        a = original.copy()
        a.flags.writeable = k % 2 == 0  # read-only for a while is written to later, too

        def write(a: Any = a) -> None:
            a.flags.writeable = True
            a.fill(0)

        np.testing.assert_array_equal(result(a, write), expected)


class Subclass(np.ndarray[Any, Any]):
    """An array of another class."""


# Arrays of N by N whose memory begins where XLA reads it in place, and what writes to that memory.
def aligned() -> Any:
    memory = np.zeros(4 * N * N + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * N * N].view(np.float32).reshape(N, N)


def frozen(x: Any) -> Any:
    view = x[:]
    view.flags.writeable = False
    return view


OTHERS: dict[str, Callable[[Any], Any]] = {
    "aligned": lambda x: x,
    "a subclass": lambda x: x.view(Subclass),
    "a read-only view": frozen,
    "transposed": lambda x: x.T,
    "memory of another object": lambda x: np.frombuffer(memoryview(x).toreadonly(), np.float32).reshape(N, N),
    "reversed": lambda x: x[::-1],
    "a record's field": lambda x: x.view([("a", np.float32)])["a"],
}
TAKING = [
    "jit", "jit, keyword", "jit, donated", "grad", "vmap", "asarray", "a function of functrans.numpy", "device_put",
]  # fmt: skip
donating = ft.jit(lambda x: fnp.matmul(x, x), donate_argnums=0)


@pytest.mark.parametrize("name", TAKING)
@pytest.mark.parametrize("kind", [*OTHERS, "a file"])
def test_so_may_arrays_of_every_kind(kind: str, name: str, tmp_path: Path) -> None:
    call = CALLS.get(name, donating)
    original = np.random.default_rng(0).normal(size=(N, N)).astype(np.float32)
    if kind == "a file":
        memory = np.memmap(tmp_path / "file", np.float32, "w+", shape=(N, N))
        argument = memory
    else:
        memory = aligned()
        argument = OTHERS[kind](memory)
    memory[...] = original
    expected = np.array(call(np.array(argument)))
    for _ in range(3):
        memory[...] = original
        found = call(argument)
        memory.fill(0)
        np.testing.assert_array_equal(np.array(found), expected)


def test_a_trace_sees_an_array_as_it_is_at_each_use() -> None:
    a = np.ones(3, np.float32)

    def function(x: Any) -> Any:
        y = x * a
        a[:] = 5.0
        z = x * a  # again, as it is
        return fnp.sum(y + z + x * a)

    np.testing.assert_array_equal(ft.grad(function)(np.ones(3, np.float32)), [11.0, 11.0, 11.0])
    a[:] = 1.0
    np.testing.assert_array_equal(ft.jit(function)(np.ones(3, np.float32)), 33.0)


def test_a_trace_sees_its_argument_as_it_was_at_the_call() -> None:
    for transform, expected in ((ft.grad, [2.0, 2.0]), (lambda f: lambda x: ft.vjp(f, x)[1](1.0)[0], [2.0, 2.0])):
        a = np.ones(2, np.float32)

        def function(x: Any, a: Any = a) -> Any:
            a[:] = 7.0
            return fnp.sum(x * x)

        np.testing.assert_array_equal(transform(function)(a), expected)


def test_an_array_made_where_another_was_is_another() -> None:
    def function(x: Any) -> Any:
        total = 0.0
        for i in range(50):
            total = total + x * np.full(3, i, np.float32)  # gone before the next is made, perhaps at its address
        return fnp.sum(total)

    np.testing.assert_array_equal(ft.grad(function)(np.ones(3, np.float32)), [1225.0] * 3)


def test_an_array_used_twice_is_captured_once() -> None:
    a = np.arange(5, dtype=np.float32)
    jaxpr = ft.make_jaxpr(lambda x: x * a + a)(np.ones(5, np.float32))
    assert len(jaxpr.inputs) == 2


def test_callbacks_may_keep_and_change_their_arguments() -> None:
    kept: list[Any] = []

    def double(x: Any) -> Any:
        kept.append(x)
        result = x * 2
        x[...] = -1.0
        return result

    shape = ft.ShapeDtypeStruct((4,), np.float32)
    function = ft.jit(lambda x: (ft.pure_callback(double, shape, x + 1.0), x + 1.0))
    for start in range(3):
        x = np.full(4, start, np.float32)
        doubled, same = function(x)
        np.testing.assert_array_equal(doubled, 2 * (x + 1))
        np.testing.assert_array_equal(same, x + 1)
    assert all(np.all(np.asarray(array) == -1.0) for array in kept)


def test_what_nobody_can_write_to_is_not_copied() -> None:
    mine = np.ones((3000, 3), np.float32)
    kept = snapshot(mine)
    assert kept is not mine and is_settled(kept) and snapshot(kept) is kept and kept.ctypes.data % 64 == 0
    small = snapshot(np.ones(3))
    assert snapshot(small) is small and is_settled(kept[::2].T) and is_settled(small[1:])
    for settled in (kept, small):
        with pytest.raises(ValueError, match="WRITEABLE"):
            settled.flags.writeable = True
    mine.flags.writeable = False
    assert not is_settled(mine) and not is_settled(mine[1:]), "its owner may make it writeable again"
    view = np.ones(3)
    frozen = view[:]
    frozen.flags.writeable = False
    assert not is_settled(frozen), "its base can be written to"
    assert is_settled(np.asarray(fnp.ones(3))) and is_settled(np.frombuffer(b"12345678"))
    assert not is_settled(np.frombuffer(memoryview(bytearray(8)).toreadonly()))


def test_a_jitted_function_takes_every_kind_of_numpy_array_after_every_other() -> None:
    """C++ tells them apart by dtype and shape alone."""
    compiled = ft.jit(lambda x: x * 2.0)
    donating = ft.jit(lambda x: x * 2.0, donate_argnums=0)
    plain = np.ones((2, 2), np.float32)
    frozen = plain.copy()
    frozen.flags.writeable = False
    masked = np.ma.masked_array(plain, plain > 0)
    for _ in range(2):
        for array in (plain, frozen, plain.view(Subclass), plain[::-1].T, np.broadcast_to(plain[0], (2, 2))):
            for function in (compiled, donating):
                assert type(function(array)) is type(fnp.ones(1))
                np.testing.assert_array_equal(function(array), np.full((2, 2), 2.0))
        for function in (compiled, donating):
            with pytest.raises(ValueError, match="mask"):
                function(masked)
            with pytest.raises(TypeError, match="byte order"):
                function(plain.astype(">f4"))
    assert np.all(plain == 1.0)
    with ft.enable_x64(True):
        assert compiled(np.ones(3)).dtype == np.float64
    with ft.enable_x64(False):
        assert compiled(np.ones(3, np.float32)).dtype == np.float32


def test_a_warm_jitted_call_of_numpy_arrays_compiles_and_traces_nothing() -> None:
    traces = []
    compiled = ft.jit(lambda tree, scale: (traces.append(1), tree["a"] * scale)[1])
    for k in range(1, 5):
        a = np.full(5000, k, np.float32)
        result = compiled({"a": a}, np.float32(k))
        a[:] = -1.0
        np.testing.assert_array_equal(result, np.full(5000, k * k, np.float32))
    assert len(traces) == 1
    compiled.clear_cache()
    compiled({"a": a}, np.float32(1.0))
    assert len(traces) == 2


def _constants(function: Any) -> int:
    """How many arrays the compiled program of a function of one argument takes besides it."""
    text = ft.jit(function).lower(np.ones(4, np.float32)).as_text()
    return next(line for line in text.splitlines() if "@main" in line).count("%arg") - 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, jax.numpy.bfloat16])
@pytest.mark.filterwarnings("ignore:a NumPy array has dtype")
def test_an_array_that_is_used_again_has_one_place_in_a_program(dtype: Any) -> None:
    """Each nested trace, each conversion and each use by linear algebra had a copy of its own: a matrix that was solved
    with twice was factorised twice."""
    matrix, equal = np.eye(4).astype(dtype), np.eye(4).astype(dtype)
    for function in (
        lambda x: matrix @ (matrix @ x),
        lambda x: matrix @ (equal @ x),
        lambda x: ft.lax.scan(lambda c, _: (fnp.asarray(matrix @ c, "float32"), None), x * (matrix @ x)[0], None, 2)[0],
        lambda x: ft.jit(lambda y: matrix @ y)(x) + matrix @ x,
        lambda x: ft.grad(lambda y: fnp.sum(matrix @ fnp.sin(y)))(x) + matrix @ x,
        lambda x: fnp.asarray(matrix) @ (fnp.asarray(matrix) @ x),
        lambda x: fnp.linalg.solve(matrix.astype(np.float32), fnp.linalg.solve(matrix.astype(np.float32), x)),
    ):
        assert _constants(function) == 1


def test_an_array_that_was_written_to_has_another_place() -> None:
    def function(x: Any) -> Any:
        a = np.ones(4, np.float32)
        y = x * a
        a[:] = 3
        y = fnp.asarray(a) * y
        a[:] = 5
        y = ft.jit(lambda y: y * a)(y)
        a[:] = 7
        return y + fnp.asarray(a)

    np.testing.assert_array_equal(ft.jit(function)(np.ones(4, np.float32)), np.full(4, 22))


def test_arrays_of_other_bits_or_dtypes_are_not_confused() -> None:
    with jax.enable_x64(True):
        zeros = [np.zeros(2, t) for t in (np.float32, np.int32, np.float64, np.int64)]
        zeros += [-zeros[0], zeros[0][:0], zeros[0][:1], zeros[0].reshape(2, 1)]
        found = ft.jit(lambda: [fnp.asarray(z) for z in zeros])()
        for mine, given in zip(found, zeros, strict=True):
            assert (mine.dtype, mine.shape) == (given.dtype, given.shape)
            np.testing.assert_array_equal(np.signbit(mine), np.signbit(given))


def test_the_same_array_under_other_settings_is_converted_again() -> None:
    def function() -> Any:
        a = np.arange(4)
        with jax.enable_x64(True):
            wide = fnp.asarray(a)
        return wide, fnp.asarray(a)

    with jax.enable_x64(False):
        assert [x.dtype for x in ft.jit(function)()] == [np.int64, np.int32]


same = ft.custom_jvp(lambda x: x)
same.defjvp(lambda primals, tangents: (primals[0], tangents[0]))

HANDED_ON: dict[str, Callable[[Any], Any]] = {
    "vmap": lambda a: ft.vmap(lambda x: x)(a),
    "vmap, beside others": lambda a: ft.vmap(lambda x: (2 * x, x))(a)[1],
    "jvp": lambda a: ft.jvp(lambda x: (fnp.sin(x), x), (a,), (2 * a,))[0][1],
    "a tangent": lambda a: ft.jvp(lambda x: (fnp.sin(x), x), (2 * a,), (a,))[1][1],
    "has_aux": lambda a: ft.grad(lambda x: (fnp.sum(fnp.sin(x)), x), has_aux=True)(a)[1],
    "a function with a rule": lambda a: ft.vmap(same)(a),
    "a jitted function": lambda a: ft.vmap(ft.jit(lambda x, y: (x + y, ft.jit(same)(y))))(a, a)[1],
    "a function with a rule, of which a derivative is taken": lambda a: ft.jvp(same, (a,), (2 * a,))[0],
}


@pytest.mark.parametrize("how", HANDED_ON)
def test_an_array_that_is_a_result_as_it_was_given_is_not_copied(how: str) -> None:
    array, host = fnp.arange(4.0), np.arange(4, dtype=np.float32)
    for _ in range(2):
        assert HANDED_ON[how](array) is array
        assert HANDED_ON[how](host).tolist() == [0, 1, 2, 3]
