"""Concrete arrays hand indexing by a tracer, and operators with one, to us, and the rest to JAX."""

from __future__ import annotations

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans
from functrans.jaxlib_compat import dispatcher
from functrans.jaxlib_compat.array_values import ArrayImpl, IndexUpdateHelper, IndexUpdateRef
from functrans.numpy import array_methods
from functrans.trace.tracer import Tracer as RealTracer
from functrans.xla import array_patch

UPDATES = ("set", "add", "subtract", "multiply", "mul", "divide", "power", "min", "max")
OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift lt le gt ge eq ne".split()
)


class Tracer:
    """Stand-in of our tracer: every operator answers with its own name."""

    __slots__ = ("dtype", "shape")

    def __init__(self):
        self.dtype = np.dtype(np.int32)
        self.shape = (2,)

    @property
    def __jax_array__(self):
        return array_patch.jax_array_protocol()

    __hash__ = object.__hash__


def _answer(name):
    return lambda self, other: (name, other)


REFLECTED = "radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor rlshift rrshift rdivmod".split()
for _name in [*REFLECTED, "lt", "le", "gt", "ge", "eq", "ne"]:
    setattr(Tracer, f"__{_name}__", _answer(_name))


@pytest.fixture
def calls(monkeypatch):
    """The patch with hooks that record what they are given; whatever was there before comes back."""
    monkeypatch.setattr(ArrayImpl, "__getitem__", ArrayImpl.__getitem__)
    monkeypatch.setattr(ArrayImpl, "at", ArrayImpl.at)
    recorded = []

    def getitem(array, index):
        recorded.append(("getitem", array, index))
        return "ours"

    def at_method(array, index, name, args, kwargs):
        recorded.append((name, array, index, args, dict(kwargs)))
        return "ours"

    def read(array, pattern, *positions):
        recorded.append(("read", array, pattern, *positions))
        return "read"

    array_patch.patch_array_indexing(lambda x: isinstance(x, Tracer), getitem, at_method, read)
    return recorded


@pytest.mark.parametrize(
    "index",
    [
        lambda t: t,
        lambda t: (t, 2),
        lambda t: (t, slice(2, None)),
        lambda t: (..., t),
        lambda t: (None, slice(None), t),
        lambda t: slice(t, None),
        lambda t: slice(None, t),
        lambda t: slice(None, None, t),
        lambda t: (0, slice(t, 3)),
        lambda t: ([0, 1], t),
    ],
)
def test_an_index_that_holds_a_tracer_reaches_us(calls, index):
    array = jnp.ones((3, 4))
    tracer = Tracer()
    chosen = index(tracer)
    assert array[chosen] == "ours"
    ((kind, received, received_index),) = calls
    assert kind == "getitem"
    assert received is array
    assert received_index is chosen


@pytest.mark.parametrize("name", UPDATES)
def test_updates_with_a_tracer_reach_us(calls, name):
    array = jnp.ones((3, 4))
    tracer = Tracer()
    assert getattr(array.at[tracer], name)(1.0) == "ours"
    assert getattr(array.at[0, tracer], name)(1.0, mode="drop") == "ours"
    assert getattr(array.at[2], name)(tracer) == "ours"
    assert getattr(array.at[2:], name)(values=tracer) == "ours"
    expected = "multiply" if name == "mul" else name
    assert [call[0] for call in calls] == [expected] * 4
    assert calls[1][2:] == ((0, tracer), (1.0,), {"mode": "drop"})
    assert calls[2][2:] == (2, (tracer,), {})
    assert calls[3][3:] == ((), {"values": tracer})


def test_get_and_apply_at_a_tracer_reach_us(calls):
    tracer = Tracer()
    array = jnp.ones(3)
    assert array.at[tracer].get(mode="fill", fill_value=0) == "ours"
    assert array.at[tracer].apply(jnp.sin) == "ours"
    assert [(c[0], c[3], c[4]) for c in calls] == [
        ("get", (), {"mode": "fill", "fill_value": 0}),
        ("apply", (jnp.sin,), {}),
    ]


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, 3),
        ...,
        None,
        (1, 2),
        (slice(None), None, 1),
        np.array([0, 2]),
        np.int32(1),
        jnp.array([2, 0]),
        (jnp.array([0, 1]), slice(1, 3)),
        np.array([True, False, True]),
    ],
)
def test_other_indices_reach_jax(calls, index):
    values = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    array = jnp.asarray(values)
    numpy_index = jax.tree.map(np.asarray, index) if isinstance(index, tuple | jax.Array) else index
    if isinstance(index, tuple):
        numpy_index = tuple(np.asarray(i) if isinstance(i, jax.Array) else i for i in index)
    np.testing.assert_array_equal(array[index], values[numpy_index])
    changed = values.copy()
    changed[numpy_index] = 7
    np.testing.assert_array_equal(array.at[index].set(7), changed)
    np.testing.assert_array_equal(array.at[index].get(), values[numpy_index])
    assert calls == []


@pytest.mark.parametrize("name", UPDATES)
def test_other_updates_reach_jax(calls, name):
    array = jnp.array([1.0, 2.0, 3.0])
    expected = getattr(IndexUpdateRef(array, 1), name)(2.0)
    np.testing.assert_array_equal(getattr(array.at[1], name)(2.0), expected)
    assert calls == []


def test_errors_of_jax_stay(calls):
    with pytest.raises(TypeError, match="non-tuple sequence"):
        jnp.ones(3)[[0, 1]]
    with pytest.raises(IndexError, match="Too many indices"):
        jnp.ones(3)[0, 0]
    with pytest.raises(TypeError, match=r"JAX arrays are immutable.*\.at"):
        jnp.ones(3)[0] = 1


def test_jax_transformations_index_as_before(calls):
    array = jnp.arange(5.0)
    assert jax.jit(lambda i: array[i])(3) == 3
    assert jax.jit(lambda x: x[2])(array) == 2
    np.testing.assert_array_equal(jax.vmap(lambda i: array.at[i].set(0.0))(jnp.arange(2))[1], [0, 0, 2, 3, 4])
    assert jax.grad(lambda x: x.at[1].multiply(3.0).sum())(array)[1] == 3
    assert calls == []


def test_patching_again_replaces_the_hooks_and_does_not_stack(calls):
    second = lambda *_: "second"
    array_patch.patch_array_indexing(lambda x: isinstance(x, Tracer), second, second, second)
    array = jnp.ones(3)
    assert array[Tracer()] == "second"
    assert array.at[Tracer()].set(1) == "second"
    assert calls == []
    assert not hasattr(ArrayImpl.__getitem__.__wrapped__, "__wrapped__")


@pytest.mark.parametrize("position", [0, 3, -1, -4, True, 4, -5])
def test_a_row_read_while_tracing_is_ours_where_the_position_is_in_bounds(calls, position):
    array = jnp.arange(4.0)
    read = []
    functrans.grad(lambda x: (read.append(array[position]), x)[1])(1.0)
    if type(position) is int and -4 <= position < 4:
        assert read == ["read"]
        assert calls == [("read", array, (int,), position)]
    else:
        assert calls == []
        np.testing.assert_array_equal(read[0], array[position])


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "complex64", "bfloat16"])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 0, 3)])
def test_a_row_read_while_tracing_is_the_row_that_jax_reads(shape, dtype):
    array = jnp.arange(np.prod(shape)).reshape(shape).astype(dtype)
    rows = []
    functrans.grad(lambda x: (rows.extend(array[i] for i in range(-4, 4)), x)[1])(1.0)
    for i, row in zip(range(-4, 4), rows, strict=True):
        assert isinstance(row, jax.Array)
        assert (row.dtype, row.weak_type) == (array[i].dtype, array[i].weak_type)
        np.testing.assert_array_equal(row, array[i])


NUMBERS = jnp.array([1, 0, -1])
READ = {
    "column": ((slice(None), 1), True),
    "element": ((-1, 2), True),
    "rows": (NUMBERS, True),
    "rows by NumPy": (np.array([[0, 2], [1, 1]]), True),
    "elements": ((NUMBERS, NUMBERS), True),
    "columns": ((slice(None), NUMBERS), True),
    "new axis": ((None, 1), True),
    "last": ((..., 1), True),
    "last of a new axis": ((..., 1, None), True),
    "around": ((0, ..., 1), True),
    "numbers and a place": ((NUMBERS, 2), True),
    "beyond": (jnp.array([5, -7]), True),
    "unsigned": (jnp.array([2, 0], np.uint8), True),
    "number beyond": ((slice(None), 4), False),
    "part": ((slice(1, None), 0), False),
    "all": (..., False),
    "flags": (jnp.array([True, False, True]), False),
    "none": (np.zeros(0, np.int32), False),
    "a number that is no int": (np.int32(1), False),
    "a flag": ((True, 0), False),
}


@pytest.mark.parametrize("name", READ)
def test_positions_read_while_tracing_are_what_jax_reads(calls, name):
    index, ours = READ[name]
    original = ArrayImpl.__getitem__
    array = jnp.arange(12.0).reshape(3, 4)
    results = []
    functrans.grad(lambda x: (results.append(array[index]), x)[1])(1.0)
    assert bool(calls) == ours
    expected = original(array, index)
    if ours:
        _, received, pattern, *positions = calls[0]
        results = [array_methods._read(received, pattern, *positions)]
    assert (results[0].dtype, results[0].weak_type) == (expected.dtype, expected.weak_type)
    np.testing.assert_array_equal(results[0], expected)


def test_too_many_positions_are_refused_by_jax(calls):
    with pytest.raises(IndexError, match="Too many indices"):
        functrans.grad(lambda x: (jnp.ones(3)[0, 1], x)[1])(1.0)


def test_rows_of_keys_and_of_weakly_typed_arrays_stay_what_they_are():
    keys, weak = jax.random.split(jax.random.key(1), 3), jnp.broadcast_to(2.0, (3,))
    rows = []
    functrans.grad(lambda x: (rows.extend([keys[1], weak[1]]), x)[1])(1.0)
    assert rows[0] == keys[1]
    assert rows[1].weak_type
    assert rows[1].weak_type == weak[1].weak_type


def test_at_is_still_what_jax_says_it_is(calls):
    array = jnp.ones(3)
    assert isinstance(array.at, IndexUpdateHelper)
    assert isinstance(array.at[0], IndexUpdateRef)
    assert ArrayImpl.at.__doc__ == IndexUpdateHelper.__doc__
    assert "IndexUpdate" in repr(array.at[0])


# __jax_array__


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_arrays_defer_to_the_tracer(name):
    array, tracer = jnp.ones(2, jnp.int32), Tracer()
    answer, other = getattr(operator, name)(array, tracer)
    mirrored = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
    assert answer == mirrored.get(name, "r" + name.rstrip("_"))
    assert other is array


def test_divmod_defers_to_the_tracer():
    assert divmod(jnp.ones(2), Tracer())[0] == "rdivmod"


def test_operators_of_jax_tracers_defer_to_the_tracer():
    seen = []

    def f(x):
        seen.append((x + Tracer())[0])
        return x

    jax.jit(f)(1.0)
    assert seen == ["radd"]


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_arrays_and_a_real_tracer_are_ours(name):
    array, other = jnp.array([3, 1], jnp.int32), jnp.array([1, 2], jnp.int32)
    apply = getattr(operator, name)
    places = []
    functrans.make_jaxpr(lambda t: (places.append(type(apply(array, t))), t)[1])(other)
    assert places == [RealTracer]
    found, expected = functrans.jit(lambda t: apply(array, t))(other), apply(array, other)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_to_all_but_the_operators_a_tracer_is_an_array_as_it_is():
    assert Tracer().__jax_array__ is None
    seen = []
    functrans.make_jaxpr(lambda x: (seen.append(x.__jax_array__), x)[1])(1.0)
    assert seen == [None]


def test_a_tracer_reaches_our_own_jit():
    tracer = Tracer()
    call = dispatcher.jit_function("f", lambda x: x, lambda *args, **kwargs: ((args, kwargs), None, False))
    for _ in range(2):
        (first, nested), keywords = call(tracer, {"a": [tracer, 1.0]}, k=tracer)
        assert first is tracer
        assert nested["a"][0] is tracer
        assert keywords["k"] is tracer
