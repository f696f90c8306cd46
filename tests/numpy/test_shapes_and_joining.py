"""Rearranging, joining, splitting, padding and making arrays: as jax.numpy does."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

SHAPING = {
    "reshape": [((4, -1),), ((4, -1), "F"), (24,), ((2, 12, 1),)],
    "ravel": [(), ("F",)],
    "transpose": [(), ((1, 0, 2),), ((-1, 0, 1),)],
    "swapaxes": [(0, -1)],
    "moveaxis": [((0, 1), (-1, 0)), (0, 2)],
    "rollaxis": [(2,), (0, 3), (1, 0)],
    "expand_dims": [((0, -1),), (1,)],
    "matrix_transpose": [()],
    "permute_dims": [((2, 0, 1),)],
    "flip": [(), (1,), ((0, 2),)],
    "fliplr": [()],
    "flipud": [()],
    "rot90": [(), (3,), (2,), (1, (1, 2)), (4,)],
    "roll": [(5,), ((1, -2), (0, 1)), (-1, 1), (0,), (2, (0, 1))],
    "resize": [((5, 7),), ((2, 2),), ((0,),)],
    "squeeze": [()],
    "broadcast_to": [((5, 2, 3, 4),)],
    "atleast_1d": [()],
    "atleast_2d": [()],
    "atleast_3d": [()],
    "split": [(3, 1), ([1, 2], 2), (np.array([1, 2]), 1)],
    "array_split": [(3, 2), (5, 1)],
    "hsplit": [(3,)],
    "vsplit": [(2,)],
    "dsplit": [(2,)],
    "tile": [((2, 1, 3),), (2,), ((2, 1, 1, 1, 2),), ((0, 1),)],
    "repeat": [(2,), (2, 1), (np.array([1, 0, 2]), 1), (0, 0)],
    "delete": [(1, 1), (np.array([0, -1]), 2), (slice(0, 2), 1), (5,), (np.array([True, False, True]), 1)],
    "insert": [(1, 5.0), (1, 5.0, 1), (np.array([0, 2]), 7, 1), (-1, 3, 2), (slice(0, 2), 1, 1)],
    "append": [(X,), (X, 1)],
    "unstack": [()],
    "diagonal": [(), (1, 1, 2), (-1, 0, 2), (5,)],
    "trace": [(), (1, 1, 2)],
    "tril": [(), (1,), (-2,)],
    "triu": [(), (1,), (-2,)],
    "size": [(), (1,)],
    "ndim": [()],
    "shape": [()],
}
PADS: list[tuple[Any, dict[str, Any]]] = [
    (1, {}),
    ((1, 2), {}),
    (((1, 0), (0, 2), (3, 1)), {"constant_values": 5}),
    (2, {"mode": "constant", "constant_values": (1, 2)}),
    *[(((1, 2), (5, 0), (0, 7)), {"mode": mode}) for mode in ("edge", "reflect", "symmetric", "wrap")],
    *[(1, {"mode": mode}) for mode in ("maximum", "minimum", "mean")],
]


def shaping_cases(module: Any) -> dict[str, Any]:
    return {
        f"{name}{args}": lambda x, name=name, args=args: getattr(module, name)(x, *args)
        for name, calls in SHAPING.items()
        for args in calls
    }


def refusals(module: Any, x: Any) -> list[str]:
    """The names of the cases that the module refuses for x."""
    refused = []
    for name, function in shaping_cases(module).items():
        try:
            function(x)
        except (TypeError, ValueError, IndexError):
            refused.append(name)
    return refused


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_rearranging_agrees_with_jax(dtype: str) -> None:
    x = (X % 5).astype(dtype)
    assert_cases_agree(shaping_cases(fnp), shaping_cases(jnp), x, operations=1)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 4), (1, 1, 1)], ids=str)
def test_rearranging_agrees_with_jax_for_small_and_empty_shapes(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    ours, theirs, refused = shaping_cases(fnp), shaping_cases(jnp), {*refusals(jnp, x), *refusals(np, x)}
    kept = [name for name in ours if name not in refused]
    assert_cases_agree({name: ours[name] for name in kept}, {name: theirs[name] for name in kept}, x, operations=1)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 4), (1, 1, 1)], ids=str)
def test_what_numpy_refuses_for_small_and_empty_shapes_is_refused(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    ours, refused = shaping_cases(fnp), refusals(np, x)
    assert [name for name in refused if name not in refusals(fnp, x)] == []
    assert all(name in ours for name in refused)


def test_joining_agrees_with_jax() -> None:
    def cases(module: Any) -> dict[str, Any]:
        joins = ["concatenate", "concat", "stack", "hstack", "vstack", "dstack", "column_stack"]
        found = {f"{name} two": lambda x, y, n=name: getattr(module, n)([x, y]) for name in joins}
        found |= {f"{name} rows": lambda x, y, n=name: getattr(module, n)(list(x)) for name in joins}
        found |= {f"{name} numbers": lambda x, y, n=name: getattr(module, n)([x[0, 0, 0], 2]) for name in joins}
        for axis in (0, 1, -1, None):
            found[f"concatenate {axis}"] = lambda x, y, axis=axis: module.concatenate((x, y, x), axis)
        for axis in (0, 2, -1):
            found[f"stack {axis}"] = lambda x, y, axis=axis: module.stack([x, y], axis)
        found["dtype"] = lambda x, y: module.concatenate([x, y], dtype=np.float16)
        found["block"] = lambda x, y: module.block([[x[0], x[1]], [x[1], x[0]]])
        found["broadcast_arrays"] = lambda x, y: module.broadcast_arrays(x, x[0], 2)
        found["array"] = lambda x, y: module.array([[x[0], x[1]], [x[1], 0 * x[0]]])
        found["array of numbers"] = lambda x, y: module.array([1, x[0, 0, 0], 2.5])
        found["ndmin"] = lambda x, y: module.array(x[0, 0], ndmin=3)
        return found

    assert_cases_agree(cases(fnp), cases(jnp), X, (X * 2).astype(np.int32), operations=1)


def test_padding_agrees_with_jax() -> None:
    def cases(module: Any) -> dict[str, Any]:
        return {f"{w} {kw}": lambda x, w=w, kw=kw: module.pad(x, w, **kw) for w, kw in PADS}

    for x in (X, X.astype(np.int32)):
        assert_cases_agree(cases(fnp), cases(jnp), x)


def test_a_dict_of_pad_widths_works_as_in_numpy() -> None:
    """NumPy 2 takes widths by axis; jax.numpy does not yet."""
    np.testing.assert_array_equal(fnp.pad(X, {1: 2, -1: (0, 1)}), np.pad(X, ((0, 0), (2, 2), (0, 1))))


def test_a_traced_shift_rolls_like_a_static_one() -> None:
    for shift in (-7, -1, 0, 2, 9):
        np.testing.assert_array_equal(ft.jit(lambda x, n: fnp.roll(x, n, 1))(X, shift), np.roll(X, shift, 1))


@pytest.mark.parametrize("kind", [list, np.asarray, jnp.asarray])
def test_shifts_may_be_an_array_of_any_kind(kind: Any) -> None:
    shifts, axes = kind([1, -2]), (0, 1)
    np.testing.assert_array_equal(fnp.roll(X, shifts, axes), np.roll(X, [1, -2], axes))
    slopes = ft.grad(lambda x: fnp.sum(fnp.roll(x, shifts, axes) * X))(X)
    np.testing.assert_array_equal(slopes, np.roll(X, [-1, 2], axes))


@pytest.mark.parametrize("axis", [np.int8(1), np.array(1), jnp.asarray(1)])
def test_an_axis_may_be_an_array_of_one_integer(axis: Any) -> None:
    np.testing.assert_array_equal(fnp.sum(X, axis), X.sum(1))
    np.testing.assert_array_equal(fnp.moveaxis(X, axis, 0), np.moveaxis(X, 1, 0))
    slopes = ft.grad(lambda x: fnp.sum(fnp.max(x, axis=fnp.argmax(x[0, 0]) * 0 + axis)))(X)
    np.testing.assert_array_equal(fnp.sum(slopes, 1), np.ones(X.max(1).shape))


def test_made_arrays_agree_with_jax() -> None:
    def cases(m: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "zeros": lambda: [m.zeros(3), m.zeros((2, 0)), m.zeros((), int), m.ones((2, 2), np.int8), m.empty(2, bool)],
            "full": lambda: [
                m.full((2,), 2.5),
                m.full(2, np.int8(3)),
                m.full((2, 3), np.arange(3)),
                m.full(2, 1, float),
            ],
            "like": lambda: [
                m.zeros_like(2.0),
                m.ones_like(X),
                m.full_like(X, 2),
                m.zeros_like(X, int, (3,)),
                m.ones_like(1),
            ],
            "array": lambda: [
                m.array(2.0),
                m.array([1, 2]),
                m.array([1, 2.5]),
                m.array([[True]]),
                m.array([]),
                m.array(1j),
            ],
            "scalars": lambda: [
                m.asarray(np.float32(2)),
                m.asarray([np.int8(1), 2]),
                m.array(3, np.float16),
                m.array("5" == 5),
            ],
            "arange": lambda: [
                m.arange(3),
                m.arange(3.0),
                m.arange(1, 9, 3),
                m.arange(5, 0, -2),
                m.arange(0),
                m.arange(3, dtype=np.int8),
            ],
            "linspace": lambda: [
                m.linspace(0, 1, 5),
                m.linspace(0, 1, 5, endpoint=False),
                m.linspace(2, 2, 1),
                m.linspace(0, 9, 4, dtype=int),
            ],
            "linspace of arrays": lambda: [
                m.linspace(X[0, 0], X[1, 0], 3),
                m.linspace(X[0, 0], 1.0, 3, axis=1),
                m.linspace(0.0, 1.0, 3, retstep=True),
            ],
            "logarithmic": lambda: [
                m.logspace(0, 2, 3),
                m.logspace(0, 2, 4, base=2),
                m.geomspace(1, 8, 4),
                m.geomspace(-1, -8, 3),
            ],
            "eye": lambda: [
                m.eye(3),
                m.eye(2, 4, 1),
                m.eye(3, k=-1, dtype=int),
                m.identity(2),
                m.tri(3),
                m.tri(2, 4, 1, bool),
            ],
            "diag": lambda: (
                [m.diag(np.arange(3), k) for k in (-2, -1, 0, 1)] + [m.diag(X[0], 1), m.diagflat(X[0, :2], 1)]
            ),
            "grids": lambda: [
                *m.meshgrid(np.arange(2), np.arange(3)),
                *m.meshgrid(np.arange(2), np.arange(3), indexing="ij", sparse=True),
            ],
            "indices": lambda: [
                m.indices((2, 3)),
                *m.indices((2, 3), sparse=True),
                *m.ix_(np.array([0, 2]), np.array([1])),
                *m.tril_indices(3),
                *m.triu_indices(3, 1),
            ],
            "vander": lambda: [m.vander(np.arange(3.0)), m.vander(np.arange(3), 2, increasing=True)],
        }
        return made

    assert_cases_agree(cases(fnp), cases(jnp))


def test_linspace_is_differentiable_in_its_ends() -> None:
    ends = ft.grad(lambda a, b: (fnp.linspace(a, b, 5) * np.arange(5.0, dtype=np.float32)).sum(), argnums=(0, 1))(
        0.0, 1.0
    )
    assert [float(e) for e in ends] == pytest.approx([2.5, 7.5])


def test_a_dtype_of_64_bits_without_x64_warns_and_is_narrowed() -> None:
    with pytest.warns(UserWarning, match=r"zeros: dtype float64 was asked for and float32 is used, .*jax_enable_x64"):
        assert fnp.zeros(2, np.float64).dtype == np.float32


def test_64_bit_dtypes_are_kept_with_x64(x64: None) -> None:
    made = [
        fnp.zeros(2),
        fnp.arange(2),
        fnp.array([1.0]),
        fnp.sin(np.arange(2)),
        fnp.zeros(2, np.float64),
        fnp.array(1j),
    ]
    assert [a.dtype.name for a in made] == ["float64", "int64", "float64", "float64", "float64", "complex128"]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: fnp.reshape(X, (5, 5)),
            ValueError,
            "shape (2, 3, 4) (24 elements) cannot take shape (5, 5) (25 elements)",
        ),
        (lambda: fnp.reshape(X, (-1, 5)), ValueError, "has no shape (-1, 5): 24 is not a multiple of 5"),
        (lambda: fnp.reshape(X, (-1, -1)), ValueError, "may hold one -1"),
        (
            lambda: fnp.transpose(X, (0, 0, 1)),
            ValueError,
            "axes (0, 0, 1) do not name each axis of shape (2, 3, 4) once",
        ),
        (lambda: fnp.squeeze(X, 1), ValueError, "axis 1 of shape (2, 3, 4) has size 3, not 1"),
        (lambda: fnp.expand_dims(X, 9), ValueError, "axis 9 is out of bounds for an array of 4 dimensions"),
        (lambda: fnp.broadcast_to(X, (2, 3)), ValueError, "shape (2, 3, 4) does not broadcast to (2, 3)"),
        (
            lambda: fnp.concatenate([X, X[:, :, :2]]),
            ValueError,
            "shapes (2, 3, 4) and (2, 3, 2) cannot be joined along axis 0",
        ),
        (lambda: fnp.concatenate([]), ValueError, "at least one array is needed"),
        (lambda: fnp.concatenate(2.0), TypeError, "a sequence of arrays is needed, got 2.0 of type float"),
        (lambda: fnp.stack([X, X[0]]), ValueError, "all arrays must have one shape, got (2, 3, 4), (3, 4)"),
        (lambda: fnp.split(X, 5), ValueError, "has size 2 and cannot be cut into 5 equal parts; use array_split"),
        (lambda: fnp.array([[1, 2], [3]]), ValueError, "nested lists of unequal lengths"),
        (lambda: fnp.array("text"), TypeError, "numbers or nested lists of numbers are needed, got 'text' of type str"),
        (lambda: fnp.zeros((2, -1)), ValueError, "sizes of a shape cannot be negative, got (2, -1)"),
        (lambda: fnp.zeros(2.5), TypeError, "a shape is an int or a sequence of ints, got 2.5 of type float"),
        (lambda: fnp.pad(X, -1), ValueError, "widths cannot be negative"),
        (
            lambda: fnp.pad(X, 1, mode="constant", stat_length=1),
            ValueError,
            "mode 'constant' has no option stat_length",
        ),
        (lambda: ft.jit(lambda n: fnp.zeros(n))(3), TypeError, "must be known while tracing"),
        (lambda: ft.jit(lambda n: fnp.arange(n))(3), TypeError, "must be known while tracing"),
    ],
)
def test_wrong_shapes_are_named(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


VIEWED = [
    *"int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128".split(),
    *(bool, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(2, 16), (16,), (0, 16), (2, 0), ()], ids=str)
def test_views_are_those_of_numpy(shape):
    """Of every dtype as every dtype: bit for bit."""
    bits = np.random.default_rng(0).integers(0, 256, (*shape, 16), np.uint8)
    for kind in VIEWED:
        source = np.dtype(kind)
        values = bits[..., : source.itemsize] & (1 if source.kind == "b" else 255)
        x = np.ascontiguousarray(values).view(source)[..., 0]
        targets = [t for t in map(np.dtype, VIEWED) if (shape or t.itemsize == source.itemsize) and t.kind != "b"]
        views = ft.jit(lambda x, targets=targets: [x.view(t) for t in targets])(x)
        for view, to in zip(views, targets, strict=True):
            assert view.dtype == to
            expected = x.view(to) if shape else x.reshape(1).view(to)[0]
            assert view.shape == expected.shape
            assert np.asarray(view).tobytes() == expected.tobytes()
    flags = np.array([[0, 1, 1]], np.uint8)
    np.testing.assert_array_equal(ft.jit(lambda x: x.view(bool))(flags), flags.view(bool))


def test_views_of_complex_numbers_are_differentiable():
    def energy(x):
        return fnp.sum(x.view(np.float32) * np.arange(4.0, dtype=np.float32))

    x = np.complex64([1 + 2j, 3 - 1j])
    np.testing.assert_array_equal(ft.grad(energy)(x), [0 - 1j, 2 - 3j])  # JAX's convention: conjugate
    assert ft.vmap(lambda z: z.view(np.float32))(np.stack([x, x])).shape == (2, 4)


@pytest.mark.parametrize(("x", "to"), [(np.zeros((2, 3), np.int16), np.int32), (np.int16(1), np.int8)], ids=["3", "0"])
def test_views_that_do_not_fit_are_refused(x, to):
    with pytest.raises(ValueError, match=r"x.view.*takes \d each(?s:.*)x.astype"):
        ft.jit(lambda x: x.view(to))(x)
