"""x[key], x.at[key] and taking: what NumPy-style keys read and write is what JAX reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.numpy.updates import IndexUpdateHelper
from tests.numpy.many import assert_cases_agree, grad_of, jvp_of
from tests.turns import covering_share

X = np.arange(60, dtype=np.float32).reshape(3, 4, 5) / 7
I = np.array([0, 1, -1])  # distinct on every axis of X
II = np.array([[0, 1], [2, -1]])
M = X > 30 / 7

# Each key from an index vector i, an index matrix m and an integer n; given as static and as traced values.
INTEGER_KEYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "n": lambda i, m, n: n,
    "n,n": lambda i, m, n: (n, n),
    "n,:,n": lambda i, m, n: (n, slice(None), n),
    "...,n": lambda i, m, n: (Ellipsis, n),
    "n,1:3": lambda i, m, n: (n, slice(1, 3)),
    "n,::-1": lambda i, m, n: (n, slice(None, None, -1)),
    "n,::2": lambda i, m, n: (n, slice(None, None, 2)),
    "None,n,None": lambda i, m, n: (None, n, None),
    "i": lambda i, m, n: i,
    "m": lambda i, m, n: m,
    ":,i": lambda i, m, n: (slice(None), i),
    "i,i": lambda i, m, n: (i, i),
    "i,:,i": lambda i, m, n: (i, slice(None), i),
    ":,i,i": lambda i, m, n: (slice(None), i, i),
    "n,:,i": lambda i, m, n: (n, slice(None), i),
    "n,i": lambda i, m, n: (n, i),
    "i,n": lambda i, m, n: (i, n),
    ":,n,i": lambda i, m, n: (slice(None), n, i),
    "i,None,i": lambda i, m, n: (i, None, i),
    "i,...,i": lambda i, m, n: (i, Ellipsis, i),
    "i,...,n": lambda i, m, n: (i, Ellipsis, n),
    "...,i,None": lambda i, m, n: (Ellipsis, i, None),
    "m,1:3": lambda i, m, n: (m, slice(1, 3)),
    "m,::-1": lambda i, m, n: (m, slice(None, None, -1)),
    "::2,m,1:2": lambda i, m, n: (slice(None, None, 2), m, slice(1, 2)),
    "i[:,None],i": lambda i, m, n: (i[:, None], i),
    "i+9": lambda i, m, n: i + 9,
    "i,True": lambda i, m, n: (i, True),
    ":,True,i": lambda i, m, n: (slice(None), True, i),
}
STATIC_KEYS: dict[str, Any] = {
    "1:": slice(1, None),
    "::-1": slice(None, None, -1),
    "3:0:-2": slice(3, 0, -2),
    "5:9": slice(5, 9),
    "0:0": slice(0, 0),
    "None": None,
    "...": Ellipsis,
    "()": (),
    "True": True,
    "False": False,
    "True,0": (True, 0),
    "mask": M,
    "mask of 2 axes": M[:, :, 0],
    "0,mask": (0, M[0]),
    ":,mask": (slice(None), M[0]),
    "None,mask": (None, M),
    "mask and integers": (np.array([True, False, True]), np.array([0, 1])),
    "list in a tuple": (slice(None), [0, 1]),
    "no positions": np.array([], int),
    "far outside": 7,
    "far below": -9,
}
NAMES = [*INTEGER_KEYS, *STATIC_KEYS]


def readers(get: Callable[[Any, Any], Any]) -> dict[str, Callable[..., Any]]:
    """One case a key: integers static in a closure, then traced as arguments of the program."""
    cases: dict[str, Callable[..., Any]] = {}
    for name, key in INTEGER_KEYS.items():
        cases[f"static {name}"] = lambda x, *_, key=key: get(x, key(I, II, 1))
        cases[f"traced {name}"] = lambda x, i, m, n, key=key: get(x, key(i, m, n))
    for name, key in STATIC_KEYS.items():
        cases[name] = lambda x, *_, key=key: get(x, key)
    return cases


def item(x: Any, key: Any) -> Any:
    return x[key]


def test_every_key_reads_what_jax_reads() -> None:
    assert_cases_agree(readers(item), readers(item), X, I, II, np.int32(-1), operations=1)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_traced_indices_of_any_integer_dtype_read_the_same(dtype: str) -> None:
    i, m = np.abs(I).astype(dtype), np.abs(II).astype(dtype)
    cases = {k: v for k, v in readers(item).items() if k.startswith("traced") and "+9" not in k}
    assert_cases_agree(cases, cases, X, i, m, np.asarray(1, dtype), operations=1)


@pytest.mark.parametrize("mode", ["fill", "clip", "promise_in_bounds", "drop"])
def test_modes_of_get_treat_positions_out_of_bounds_as_jax_does(mode: str) -> None:
    def cases(at: Callable[[Any], Any]) -> dict[str, Any]:
        keys = {"7": 7, "-9": -9, "i+1": I + 1, "0,9": (0, 9), "i,9": (I, 9)}
        found: dict[str, Any] = {k: lambda x, j, key=key: at(x)[key].get(mode=mode) for k, key in keys.items()}
        found["traced"] = lambda x, j: at(x)[j].get(mode=mode)
        found["unwrapped"] = lambda x, j: at(x)[j].get(mode=mode, wrap_negative_indices=False)
        if mode == "fill":
            found["filled"] = lambda x, j: at(x)[j].get(mode=mode, fill_value=-1.0)
        return found

    j = np.array([1, 5, -1, -9])
    for x in (X, X.astype(np.int32)):
        assert_cases_agree(cases(IndexUpdateHelper), cases(lambda x: jnp.asarray(x).at), x, j, operations=1)


def test_gradients_of_reading_are_those_of_jax() -> None:
    def cotangent(out: Any) -> Any:
        return (np.arange(np.prod(out.shape), dtype=np.float32).reshape(out.shape) + 1) / 9

    ours, theirs = readers(item), readers(item)
    args = (X, I, II, np.int32(-1))
    assert_cases_agree(grad_of(ours, ft.vjp, cotangent), grad_of(theirs, jax.vjp, cotangent), *args)


UPDATES = ["set", "add", "subtract", "multiply", "divide", "power", "min", "max"]


@pytest.mark.parametrize("operation", UPDATES)
def test_every_key_writes_what_jax_writes(operation: str) -> None:
    """All keys for two operations; for each of the others a third, another at each commit."""
    parts = 2 if operation in ("set", "add") else 6

    def writers(at: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
        def write(x: Any, key: Any) -> Any:
            place = at(x)[key]
            shape = place.get().shape
            distinct = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
            return [getattr(place, operation)(v, mode=mode) for v in (3.0, distinct) for mode in (None, "clip")]

        return {
            k: f
            for k, f in covering_share(list(readers(write).items()), parts, offset=UPDATES.index(operation))
            # Of two values for one place any may win.
            if operation != "set" or not any(part in k for part in ("m", "+9", "i,True", "True,i", "i,...,i"))
        }

    ours, theirs = writers(IndexUpdateHelper), writers(lambda x: jnp.asarray(x).at)
    assert_cases_agree(ours, theirs, X + 1, I, II, np.int32(-1))


@pytest.mark.parametrize("operation", ["set", "add", "multiply"])
def test_tangents_of_writing_agree_with_jax(operation: str) -> None:
    keys: dict[str, Any] = {"0": 0, "1:3": (slice(None), slice(1, 3)), "i": I[:2], "::2": slice(None, None, 2)}

    def writers(at: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
        return {k: lambda x, key=key: getattr(at(x)[key], operation)(x[key] * x[key]) for k, key in keys.items()}

    ours, theirs = jvp_of(writers(IndexUpdateHelper), ft.jvp), jvp_of(writers(lambda x: x.at), jax.jvp)
    if operation == "multiply":  # JAX refuses; the tangent at distinct places is known
        ours, theirs = ({k: f for k, f in cases.items() if k != "i"} for cases in (ours, theirs))
    assert_cases_agree(ours, theirs, X, np.cos(X))


def test_apply_replaces_by_a_function_of_what_was_there() -> None:
    found = ft.jit(lambda x: x.at[1].apply(fnp.sin))(X)
    np.testing.assert_allclose(found, np.concatenate([X[:1], np.sin(X[1:2]), X[2:]]), rtol=1e-6)


def test_repeated_places_add_up() -> None:
    assert ft.jit(lambda x, i: x.at[i].add(1.0))(np.zeros(3, np.float32), np.array([1, 1, 1, 2])).tolist() == [0, 3, 1]


def test_a_function_is_applied_as_often_as_a_place_is_named(both_widths: bool) -> None:
    places = np.array([2, 0, 2])
    expected = X.copy()
    expected[0], expected[2] = X[0] ** 2, (X[2] ** 2) ** 2
    np.testing.assert_allclose(ft.jit(lambda x, i: x.at[i].apply(fnp.square))(X, places), expected, rtol=1e-6)
    slope = ft.grad(lambda x: x.at[places].apply(fnp.square).sum())(X)
    np.testing.assert_allclose(slope[2], 4 * X[2] ** 3, rtol=1e-6)
    found = ft.jit(lambda x, i: x.at[i].apply(fnp.negative, unique_indices=True))(X, np.array([2, 0]))
    np.testing.assert_allclose(found, X * np.array([-1, 1, -1], np.float32)[:, None, None])


def test_values_that_do_not_fit_the_dtype_warn() -> None:
    with pytest.warns(FutureWarning, match=r"values of dtype f32 do not fit an array of dtype i32"):
        assert ft.jit(lambda x: x.at[0].set(2.5))(np.arange(3)).tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        ((0, 0, 0, 0), IndexError, r"too many indices: 4 for an array of 3 dimensions \(shape \(3, 4, 5\)\)"),
        ((Ellipsis, Ellipsis), IndexError, "only one ellipsis"),
        ("name", TypeError, "an index must be an integer, slice"),
        (1.5, TypeError, "an index must be an integer, slice"),
        ([0, 1], TypeError, r"x\[tuple\(key\)\]"),
        (np.array([0.5]), TypeError, "must be of integers or bools, got dtype float64"),
        (np.ones(2, bool), IndexError, r"mask of shape \(2,\) does not match the array: axis 0 has size 3"),
        (slice(0.5, 2), TypeError, "bounds of a slice must be integers"),
        ((np.zeros(2, int), np.zeros(3, int)), ValueError, r"indexing: shapes \(2,\) and \(3,\) cannot be broadcast"),
    ],
    ids=str,
)
def test_wrong_keys_say_what_is_wrong(key: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ft.jit(lambda x: x[key])(X)


def test_traced_slice_bounds_and_masks_name_the_construct_to_use() -> None:
    with pytest.raises(IndexError, match=r"bounds of a slice decide the shape .* functrans.lax.dynamic_slice"):
        ft.jit(lambda x, n: x[:n])(X, 2)
    with pytest.raises(IndexError, match=r"x\[mask\] needs the values .* functrans.numpy.where\(mask, x, 0\)"):
        ft.jit(lambda x: x[x > 1])(X)


def test_a_mask_with_values_works_in_an_unjitted_gradient() -> None:
    gradient = ft.grad(lambda x: (x[x > 1.0] ** 2).sum())(np.array([0.5, 1.5, 2.0], np.float32))
    assert gradient.tolist() == [0.0, 3.0, 4.0]


def test_assignment_is_refused_with_the_way_to_write_it() -> None:
    def assign(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(TypeError, match=r"x.at\[index\].set\(value\)"):
        ft.jit(assign)(X)


@pytest.mark.parametrize(
    ("key", "operations"),
    [
        (0, ["slice", "reshape"]),
        (slice(None, None, -1), ["rev"]),
        ((slice(None), slice(1, 3)), ["slice"]),
        ((Ellipsis, None), ["reshape"]),
        (I, ["gather"]),
        ((0, I), ["slice", "reshape", "gather"]),
    ],
    ids=str,
)
def test_static_keys_become_few_equations(key: Any, operations: list[str]) -> None:
    program = ft.make_jaxpr(lambda x: x[key])(X)
    assert [eqn.op.name for eqn in program.equations] == operations


TAKES: dict[str, tuple[Any, ...]] = {
    "vector": (I, 1), "matrix": (II, 0), "flat": (I, None), "scalar": (np.int32(2), -1), "outside": (I + 4, 1),
}  # fmt: skip


@pytest.mark.parametrize("mode", [None, "fill", "clip", "wrap"])
def test_take_agrees_with_jax(mode: str | None) -> None:
    def cases(module: Any) -> dict[str, Any]:
        return {name: lambda x, i=i, axis=axis: module.take(x, i, axis, mode=mode) for name, (i, axis) in TAKES.items()}

    for x in (X, X.astype(np.int8)):
        assert_cases_agree(cases(fnp), cases(jnp), x, operations=1)


def test_take_along_axis_agrees_with_jax() -> None:
    rng = np.random.default_rng(0)

    def cases(module: Any) -> dict[str, Any]:
        found = {}
        for shape, axis in (((3, 4, 5), 0), ((3, 2, 5), 1), ((1, 4, 2), 2), ((3, 1, 7), -1), ((3, 4, 1), 2)):
            at = rng.integers(-6, 6, shape)
            for mode in (None, "clip"):
                found[f"{shape} {axis} {mode}"] = lambda x, at=at, axis=axis, mode=mode: module.take_along_axis(
                    x, at, axis, mode=mode
                )
        found["flat"] = lambda x: module.take_along_axis(x, np.array([3, 1]), None)
        found["broadcast array"] = lambda x: module.take_along_axis(x[:, :1], np.zeros((3, 4, 2), int), 2)
        return found

    ours = cases(fnp)
    rng = np.random.default_rng(0)
    assert_cases_agree(ours, cases(jnp), X, operations=1)


def test_rows_lengths_and_membership_of_a_traced_array() -> None:
    def walk(x: Any) -> Any:
        first, second = x
        return len(x), [row.sum() for row in x], first - second

    assert_cases_agree({"walk": walk}, {"walk": walk}, X[:2])
    assert ft.grad(lambda x: x.sum() * (2.0 if 3.0 in x else 1.0))(np.array([1.0, 3.0], np.float32)).tolist() == [2, 2]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of values that do not fit
@pytest.mark.parametrize("key", [0, slice(None), [0, 2], [], [True, False, True]], ids=str)
@pytest.mark.parametrize("wide", [False, True], ids=["x64 off", "x64 on"])
def test_an_update_has_the_type_that_jax_gives_it(key: Any, wide: bool) -> None:
    key = np.array(key, None if key else int) if isinstance(key, list) else key

    def updates(asarray: Any, x: Any, value: Any) -> list[Any]:
        weak, at = asarray(x), asarray(x).at[key]
        return [weak, *[getattr(at, name)(value) for name in UPDATES], at.apply(lambda y: y * 2)]

    with jax.enable_x64(wide):
        for number in (2.0, 3, 0.5j):
            weak = jnp.broadcast_to(jnp.asarray(number), (3,))
            for x in (weak, jax.lax.convert_element_type(weak, weak.dtype)):
                for value in (1, weak[0], np.int8(1), np.ones((), weak.dtype)):
                    wanted = jax.eval_shape(lambda x, v=value: updates(jnp.asarray, x, v), x)
                    found = ft.eval_shape(lambda x, v=value: updates(fnp.asarray, x, v), x)
                    assert [(y.dtype, y.weak_type) for y in found] == [(y.dtype, y.weak_type) for y in wanted]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of values that do not fit
@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("key", [1, slice(0, 2), [0, 0, 2]], ids=str)
def test_an_update_by_values_of_another_dtype_is_computed_in_the_wider_one(name: str, key: Any) -> None:
    key = np.array(key) if isinstance(key, list) else key
    for x in (np.array([3, 4, 5], np.int32), np.array([1.5, 2.0, 3.0], np.float32)):
        for value in (2, 2.5, np.float32(2.5), np.int32(2)):
            wanted = getattr(jnp.asarray(x).at[key], name)(value)
            for found in (
                getattr(IndexUpdateHelper(x)[key], name)(value),
                ft.jit(lambda x, v=value: getattr(x.at[key], name)(v))(x),
            ):
                assert found.dtype == wanted.dtype
                np.testing.assert_allclose(found, wanted, rtol=3e-7)


def test_a_value_that_does_not_fit_leaves_the_other_elements_exact() -> None:
    with pytest.warns(FutureWarning, match=r"values of dtype f32 do not fit"):
        assert ft.jit(lambda x: x.at[0].set(2.5))(np.array([1, 2**24 + 1], np.int32)).tolist() == [2, 2**24 + 1]


@pytest.mark.parametrize("base", [2.5, 3], ids=str)
def test_a_power_by_a_strong_exponent_is_strong(base: Any) -> None:
    for exponent in (np.arange(3), jnp.full((3,), 3)):
        wanted = jnp.power(base, exponent)
        found = ft.jit(lambda n: fnp.power(base, n))(exponent)
        assert (found.dtype, found.weak_type) == (wanted.dtype, wanted.weak_type)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_written_windows_are_strong() -> None:
    weak = jnp.broadcast_to(jnp.asarray(2.0), (3,))
    for x, update in ((weak, weak[:1]), (weak, weak[:1].astype(np.float32)), (weak.astype(np.float32), weak[:1])):
        wanted = jax.eval_shape(lambda x, u: jax.lax.dynamic_update_slice(x, u, (0,)), x, update)
        found = ft.eval_shape(lambda x, u: ft.lax.dynamic_update_slice(x, u, (0,)), x, update)
        assert (found.dtype, found.weak_type) == (wanted.dtype, wanted.weak_type)


def test_insert_and_select_of_weak_arrays_are_weak() -> None:
    weak = jnp.broadcast_to(jnp.asarray(2.0), (3,))
    strong = jnp.ones(3)
    for a, b in ((weak, 1.5), (weak, weak), (weak, strong), (strong, weak), (weak, np.float32(1.5))):
        for both in (lambda m, a, b: m.insert(a, 1, b), lambda m, a, b: m.select([a > 0], [a], b)):
            wanted = jax.eval_shape(lambda a, b=b, both=both: both(jnp, a, b), a)
            found = ft.eval_shape(lambda a, b=b, both=both: both(fnp, a, b), a)
            assert (found.dtype, found.weak_type) == (wanted.dtype, wanted.weak_type)


MASKED = np.ma.masked_array([0, 1, 2], [False, True, False])
MASKED_TRUTH = np.ma.masked_array([True, False, True], [False, True, False])
WITH_MASKS: dict[str, Callable[[Any], Any]] = {
    "x[i]": lambda x: x[MASKED],
    "x[i, None]": lambda x: x[MASKED, None],
    "x[mask]": lambda x: x[MASKED_TRUTH],
    "set": lambda x: x.at[MASKED].set(0.0),
    "add at a mask": lambda x: x.at[MASKED_TRUTH].add(1.0),
    "take": lambda x: fnp.take(x, MASKED),
    "delete": lambda x: fnp.delete(x, MASKED),
    "insert": lambda x: fnp.insert(x, MASKED, 0.0),
    "repeat": lambda x: fnp.repeat(x, MASKED),
    "compress": lambda x: fnp.compress(MASKED_TRUTH, x),
    "split": lambda x: fnp.split(x, MASKED),
    "array_equiv": lambda x: fnp.array_equiv(x, MASKED),
}


@pytest.mark.parametrize("name", WITH_MASKS)
def test_masked_arrays_choose_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="its mask would be lost"):
        ft.jit(WITH_MASKS[name])(fnp.arange(3.0))
    with pytest.raises(ValueError, match=r"mask would be lost|masked arrays are not supported"):  # or JAX's words
        WITH_MASKS[name](fnp.arange(3.0))
