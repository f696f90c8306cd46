"""Order, running and windowed reductions, convolution and transforms of functrans.lax: as jax.lax does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from tests.numpy.many import assert_cases_agree, assert_types_agree, grad_of, jvp_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(2, 6, 5)).astype(np.float32)
TIES = np.round(A).astype(np.float32)
SPECIAL = np.float32([[np.nan, 1.0, -0.0, 0.0, np.inf, -np.inf, -np.nan, 2.0, 1.0]])
COMPLEX = (A + 1j * A[:, ::-1]).astype(np.complex64)
T = RNG.normal(size=A.shape).astype(np.float32)

Cases = dict[str, Callable[..., Any]]


def order(m: Any) -> Cases:
    return {
        "sort": lambda x: [m.sort(x), m.sort(x, dimension=0), m.sort(x, is_stable=False)],
        "sort two": lambda x: m.sort((x, x * 2), dimension=1, num_keys=2),
        "sort_key_val": lambda x: m.sort_key_val(x, m.broadcasted_iota(np.int32, x.shape, 1), 1),
        "none": lambda x: m.sort(()),
        "keys": lambda x: m.sort((x,), num_keys=2),
        "axis": lambda x: m.sort(x, dimension=3),
    }


def top(m: Any) -> Cases:
    return {
        "top_k": lambda x: [tuple(t) for t in (m.top_k(x, 2), m.top_k(x, 0), m.top_k(x, 1, axis=0))],
        "too many": lambda x: m.top_k(x, 100),
        "negative": lambda x: m.top_k(x, -1),
    }


def running(m: Any) -> Cases:
    names = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
    options: list[dict[str, Any]] = [{}, {"axis": 1}, {"axis": 1, "reverse": True}, {"axis": 7}]
    return {f"{n} {o}": lambda x, n=n, o=o: getattr(m, n)(x, **o) for n in names for o in options}


WINDOWS: list[dict[str, Any]] = [
    {"window_dimensions": (1, 2, 3)},
    {"window_dimensions": (1, 3, 2), "window_strides": (1, 2, 1), "padding": "SAME"},
    {"window_dimensions": (2, 3, 2), "window_strides": (1, 2, 3), "padding": "SAME_LOWER"},
    {"window_dimensions": (1, 2, 2), "padding": ((0, 0), (2, 1), (0, 3)), "window_dilation": (1, 2, 3)},
    {"window_dimensions": (1, 5, 7), "padding": ((0, 0), (2, 2), (3, 3))},
]
BAD_WINDOWS: list[dict[str, Any]] = [
    {"window_dimensions": (1, 2)},
    {"window_dimensions": (1, 2, 0)},
    {"window_dimensions": (1, 2, 2), "padding": "FULL"},
    {"window_dimensions": (1, 2, 2), "window_strides": (1, 0, 1)},
]


def windowed(m: Any, kinds: tuple[str, ...] = ("add", "max", "min")) -> Cases:
    neutral = {"add": 0.0, "max": -np.inf, "min": np.inf}
    return {
        f"{kind} {o}": lambda x, kind=kind, o=o: m.reduce_window(x, neutral[kind], getattr(m, kind), **o)
        for kind in kinds
        for o in (*WINDOWS, {"window_dimensions": (1, 3, 2), "base_dilation": (1, 2, 3)})
        if kind == "add" or not {"base_dilation", "window_dilation"} & set(o)  # of extrema JAX has no derivative there
    }


def general(m: Any) -> Cases:
    cases: Cases = {
        f"prod {o}": lambda x, o=o: m.reduce_window(x, np.float32(1), lambda a, b: a * b, **o) for o in WINDOWS
    }
    cases["max from 0"] = lambda x: m.reduce_window(x, np.float32(0), m.max, **WINDOWS[1])

    def earlier(a: Any, b: Any) -> Any:
        keep = a[0] >= b[0]
        return m.select(keep, a[0], b[0]), m.select(keep, a[1], b[1])

    cases["two"] = lambda x: m.reduce_window(
        (x, m.broadcasted_iota(np.int32, x.shape, 2)), (np.float32(-np.inf), np.int32(-1)), earlier, **WINDOWS[0]
    )
    return cases


def test_order_agrees_with_jax() -> None:
    for x in (A, SPECIAL, COMPLEX, (A * 3).astype(np.int8), A > 0, A.astype(jax.numpy.bfloat16), A[:, :0]):
        assert_cases_agree(order(lax), order(jax.lax), x)


def test_top_k_agrees_with_jax() -> None:
    for x in (A, SPECIAL, (A * 3).astype(np.int8), (A * A * 9).astype(np.uint8), A.astype(jax.numpy.bfloat16), COMPLEX):
        assert_cases_agree(top(lax), top(jax.lax), x)


def test_running_reductions_agree_with_jax() -> None:
    for x in (A, (A * 3).astype(np.int32), COMPLEX[:, :4], A[:, :0]):
        names = [
            n
            for n in running(lax)
            if not (x.dtype.kind in "ci" and ("exp" in n or (x.dtype.kind == "c" and "m" in n[3:6])))
        ]
        ours, theirs = ({n: c for n, c in running(m).items() if n in names} for m in (lax, jax.lax))
        assert_cases_agree(ours, theirs, x)


@pytest.mark.parametrize("length", [1, 2, 7, 100, 1000])
def test_long_running_reductions_agree_with_numpy(length: int) -> None:
    x = RNG.normal(size=(length,))
    with jax.enable_x64(True):
        np.testing.assert_allclose(lax.cumsum(x), np.cumsum(x), rtol=1e-12)
        np.testing.assert_allclose(lax.cumprod(x), np.cumprod(x), rtol=1e-12)
        np.testing.assert_allclose(
            lax.cumlogsumexp(x, reverse=True), np.logaddexp.accumulate(x[::-1])[::-1], rtol=1e-12
        )


def test_windowed_reductions_agree_with_jax() -> None:
    dilated = {"window_dimensions": (1, 3, 2), "base_dilation": (1, 2, 3), "window_dilation": (1, 2, 1)}
    assert_cases_agree(
        *({"dilated": lambda x, m=m: m.reduce_window(x, np.inf, m.min, **dilated)} for m in (lax, jax.lax)), A
    )
    assert_cases_agree(windowed(lax), windowed(jax.lax), A)
    assert_cases_agree(general(lax), general(jax.lax), A)
    for o in BAD_WINDOWS:
        with pytest.raises((TypeError, ValueError)):
            lax.reduce_window(A, 0.0, lax.add, **o)


FAMILIES = {"order": order, "running": running, "windowed": windowed}


@pytest.mark.parametrize("family", FAMILIES)
def test_derivatives_agree_with_jax(family: str) -> None:
    cases = FAMILIES[family]
    left_out = ("none", "keys", "axis", "sort_key_val")  # refused, or with integer results
    ours, theirs = ({n: c for n, c in cases(m).items() if n not in left_out} for m in (lax, jax.lax))
    x = A[:, :6, :5] + 2.0
    assert_cases_agree(jvp_of(ours, ft.jvp), jvp_of(theirs, jax.jvp), x, T, operations=512)

    def cotangent(out: Any) -> Any:
        return np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)

    assert_cases_agree(grad_of(ours, ft.vjp, cotangent), grad_of(theirs, jax.vjp, cotangent), x, operations=512)


def test_second_derivatives_agree_with_jax() -> None:
    def of(grad: Any, m: Any) -> Cases:
        firsts = {
            "cumprod": lambda x: m.sin(m.cumprod(x)).sum(),
            "cumlogsumexp": lambda x: m.sin(m.cumlogsumexp(x)).sum(),
            "sort": lambda x: m.sin(m.cumsum(m.sort(x))).sum(),
            "top_k": lambda x: (m.top_k(x, 2)[0] ** 3).sum(),
            "max pool": lambda x: (m.reduce_window(x, -np.inf, m.max, (3,), (2,)) ** 3).sum(),
            "average pool": lambda x: (m.reduce_window(x, 0.0, m.add, (3,), (2,), "SAME") ** 3).sum(),
        }
        return {n: lambda x, f=f: grad(lambda y: (grad(f)(y) * T[0, 0]).sum())(x) for n, f in firsts.items()}

    assert_cases_agree(of(ft.grad, lax), of(jax.grad, jax.lax), A[0, 0] + 1.5, operations=512)


@pytest.mark.parametrize(
    "reduced",
    [
        lambda x: lax.reduce_window(x, 1.0, lax.mul, (3,)),
        lambda x: lax.reduce_window(x, -np.inf, lax.max, (2,), (1,), ((1, 1),), (2,), (3,)),
    ],
)
def test_windows_have_derivatives_where_jax_has_none(reduced: Any) -> None:
    x = np.float64([0.5, 2.0, 3.0, -1.0])

    def f(x: Any) -> Any:
        return lax.sin(reduced(x)).sum()

    with jax.enable_x64(True):
        step = 1e-6
        expected = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(4)]
        np.testing.assert_allclose(ft.grad(f)(x), expected, rtol=1e-7)


def test_the_product_rule_is_exact_at_zeros() -> None:
    x = np.float32([2.0, 0.0, 3.0, 0.0, 5.0])
    jacobian = ft.jacrev(lax.cumprod)(x)
    expected = [
        [np.prod([v for k, v in enumerate(x[: i + 1]) if k != j]) if j <= i else 0.0 for j in range(5)]
        for i in range(5)
    ]
    np.testing.assert_array_equal(jacobian, expected)


def test_gradients_of_sorting_hold_one_sort() -> None:
    program = ft.make_jaxpr(ft.grad(lambda x: (lax.sort(x) * np.float32([1, 2, 3])).sum()))(np.float32([3, 1, 2]))
    assert [e.op.name for e in program.equations].count("sort") == 1
    twice = ft.make_jaxpr(ft.grad(lambda x: ft.grad(lambda y: (lax.sort(y) ** 3).sum())(x)[0]))(np.float32([3, 1, 2]))
    assert [e.op.name for e in twice.equations].count("sort") == 1


# -- convolution -------------------------------------------------------------------------------------------------------

IMAGE = RNG.normal(size=(2, 5, 6, 4)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 2, 4, 6)).astype(np.float32)
SPECS = ("NHWC", "HWIO", "NHWC")


def convolutions(m: Any) -> Cases:
    def conv(strides: Any, padding: Any, **options: Any) -> Callable[..., Any]:
        return lambda x, k: m.conv_general_dilated(x, k, strides, padding, dimension_numbers=SPECS, **options)

    return {
        "valid": conv((1, 1), "VALID"),
        "same": conv((2, 3), "SAME"),
        "same lower": conv((2, 1), "SAME_LOWER", rhs_dilation=(1, 2)),
        "dilated": conv((1, 2), ((1, 2), (-1, 3)), lhs_dilation=(2, 1), rhs_dilation=(1, 2)),
        "features": lambda x, k: conv((1, 1), "SAME", feature_group_count=2)(x, k[:, :, :2]),
        "batches": lambda x, k: conv((1, 1), "SAME", batch_group_count=2)(x, k),
        "depthwise": lambda x, k: conv((1, 1), "SAME", feature_group_count=4)(x, k[:, :, :1, :4]),
        "transpose same": lambda x, k: m.conv_transpose(x, k, (2, 3), "SAME"),
        "transpose valid": lambda x, k: m.conv_transpose(x, k, (2, 1), "VALID", rhs_dilation=(1, 2)),
        "transpose pairs": lambda x, k: m.conv_transpose(x, k, (2, 1), ((1, 0), (2, 2))),
        "transpose consistent": lambda x, k: m.conv_transpose(
            x, k, (2, 2), ((1, 0), (1, 1)), use_consistent_padding=True
        ),
        "transpose kernel": lambda x, k: m.conv_transpose(x, k[:, :, :, :4], (2, 2), "SAME", transpose_kernel=True),
        "general padding": lambda x, k: m.conv_with_general_padding(
            x[:, :2], k, (1, 1), ((3, 1), (5, 0)), (1, 2), None
        ),
        "no axis": lambda x, k: m.conv(x[0, 0], m.transpose(k[0, 0], (1, 0)), (), "VALID"),
        "patches": lambda x, k: m.conv_general_dilated_patches(x, (2, 3), (1, 2), "SAME", dimension_numbers=SPECS),
        "highest": conv((1, 1), "VALID", precision="highest"),
    }


def test_convolutions_agree_with_jax() -> None:
    assert_cases_agree(convolutions(lax), convolutions(jax.lax), IMAGE, KERNEL, operations=256, scale=4.0)
    few = ("valid", "dilated", "features", "batches")
    ours, theirs = ({n: c for n, c in convolutions(m).items() if n in few} for m in (lax, jax.lax))
    wide = (IMAGE + 1j * IMAGE[::-1]).astype(np.complex64), (KERNEL + 1j * KERNEL[::-1]).astype(np.complex64)
    assert_cases_agree(ours, theirs, *wide, operations=512, scale=8.0)
    assert_types_agree(ours, theirs, IMAGE.astype(np.int8), KERNEL.astype(np.int8))


def test_gradients_of_convolutions_agree_with_jax() -> None:
    def gradients(module: Any, vjp: Any) -> Cases:
        def both(f: Any) -> Any:
            def case(x: Any, k: Any) -> Any:
                out, pullback = vjp(f, x, k)
                return pullback(np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape))

            return case

        return {n: both(f) for n, f in convolutions(module).items()}

    assert_cases_agree(gradients(lax, ft.vjp), gradients(jax.lax, jax.vjp), IMAGE, KERNEL, operations=512, scale=16.0)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_mapped_convolutions_agree_with_jax(axes: Any) -> None:
    names = ("valid", "same", "dilated", "features", "batches", "depthwise")
    x, k = (np.stack([v, v[::-1] * 0.5, v + 1.0]) if a == 0 else v for v, a in zip((IMAGE, KERNEL), axes, strict=True))
    ours, theirs = (
        {n: vmap(c, axes) for n, c in convolutions(m).items() if n in names}
        for m, vmap in ((lax, ft.vmap), (jax.lax, jax.vmap))
    )
    assert_cases_agree(ours, theirs, x, k, operations=256, scale=16.0)
    twice_ours, twice_theirs = (
        {n: vmap(vmap(c, axes), (None, 0)) for n, c in convolutions(m).items() if n in names[2:5]}
        for m, vmap in ((lax, ft.vmap), (jax.lax, jax.vmap))
    )
    assert_cases_agree(twice_ours, twice_theirs, x, np.stack([k, k * 2]), operations=256, scale=16.0)


def test_narrow_convolutions_accumulate_in_the_preferred_type() -> None:
    def cases(m: Any) -> Cases:
        return {
            "bfloat16": lambda x, k, i, j: m.conv_general_dilated(
                x, k, (1,), "VALID", preferred_element_type=np.float32
            ),
            "int8": lambda x, k, i, j: m.conv_general_dilated(i, j, (1,), "VALID", preferred_element_type=np.int32),
        }

    x, k = RNG.normal(size=(1, 3, 5)).astype(jax.numpy.bfloat16), RNG.normal(size=(2, 3, 2)).astype(jax.numpy.bfloat16)
    i, j = (v.astype(np.float32) * 20 for v in (x, k))
    assert_cases_agree(cases(lax), cases(jax.lax), x, k, i.astype(np.int8), j.astype(np.int8))


# -- arrays put together ----------------------------------------------------------------------------------------------


def joined(m: Any) -> Cases:
    kernels = np.cos(np.arange(2 * 2 * 24 * 7, dtype=np.float32)).reshape(2, 2, 24, 7)
    return {
        "stack": lambda x: [m.stack([x, x * 2], 1), m.stack([x, x], -1)],
        "different shapes": lambda x: m.stack([x, x[0]]),
        "unstack": lambda x: [tuple(m.unstack(x)), tuple(m.unstack(x, -1))],
        "tile": lambda x: m.tile(x, (1, 2, 3, 1)),
        "other rank": lambda x: m.tile(x, (1, 2)),
        "reciprocal": lambda x: m.reciprocal(x),
        "approximately": lambda x: [tuple(m.approx_max_k(x, 2)), tuple(m.approx_min_k(x, 2, 1))],
        "shape": lambda x: m.shape_as_value((2, 3)),
        "local": lambda x: m.conv_general_dilated_local(
            x, kernels, (2, 3), ((0, 0), (1, 0)), (2, 3), dimension_numbers=SPECS
        ),
        "local, channels first": lambda x: m.conv_general_dilated_local(
            m.transpose(x, (0, 3, 1, 2)), m.transpose(kernels, (3, 2, 0, 1)), (2, 3), ((0, 0), (1, 0)), (2, 3)
        ),
        "subtracted": lambda x: m.scatter_sub(
            x[0, 0], np.int32([[1], [1], [9]]), x[0, 0, :3], m.ScatterDimensionNumbers((1,), (0,), (0,))
        ),
        "applied": lambda x: m.scatter_apply(
            x[0, 0, :, 0], np.int32([[1], [1], [9]]), lambda v: v * v + 1, m.ScatterDimensionNumbers((), (0,), (0,)),
            update_shape=(3,),
        ),
    }  # fmt: skip


def test_arrays_put_together_agree_with_jax() -> None:
    assert_cases_agree(joined(lax), joined(jax.lax), IMAGE, operations=256, scale=4.0)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: lax.sort(()), TypeError, "sort: at least one operand is needed, got an empty sequence"),
        (lambda: lax.sort((A, A[0])), TypeError, r"sort: all operands must have one shape, got \(2, 6, 5\), \(6, 5\)"),
        (lambda: lax.sort(A, num_keys=2), ValueError, "num_keys is 2; it must be between 1 and 1"),
        (lambda: lax.top_k(A, 9), ValueError, "top_k: k is 9; it must be between 0 and 5, the size of axis 2"),
        (lambda: lax.top_k(COMPLEX, 1), ValueError, "top_k: complex numbers have no order"),
        (lambda: lax.cumsum(A > 0), TypeError, "cumsum does not accept operands of dtype bool"),
        (lambda: lax.cumsum(A, 3), ValueError, "cumsum: axis 3 is out of bounds for an array of rank 3"),
        (lambda: lax.reduce_window(A, 0.0, lax.add, (2,)), TypeError, r"must have one entry for each of the 3 axes"),
        (lambda: lax.reduce_window(A, 0.0, lax.add, (1, 1, 0)), ValueError, "window_dimensions must be positive"),
        (lambda: lax.reduce_window(A, A, lax.add, (1, 1, 1)), TypeError, "initial value must be a scalar, got shape"),
        (
            lambda: lax.reduce_window(A, 0.0, lambda a, b: (a, b), (1, 1, 1)), TypeError,
            "the computation must return the tree of its operands",
        ),
        (lambda: lax.padtype_to_pads((5,), (2,), (1,), "FULL"), ValueError, "unknown padding 'FULL': use 'SAME'"),
        (
            lambda: lax.conv(IMAGE, KERNEL, (1, 1), "SAME"), ValueError,
            r"lhs of shape \(2, 5, 6, 4\) has 5 features; rhs of shape \(3, 2, 4, 6\) takes 2",
        ),
        (
            lambda: lax.conv_general_dilated(IMAGE, KERNEL.astype(np.int8), (1, 1), "SAME", dimension_numbers=SPECS),
            TypeError, "lhs f32.* and rhs i8.* must have one dtype",
        ),
        (lambda: lax.conv_dimension_numbers((1, 2, 3), (1, 2, 3), ("NHC", "HIO")), TypeError, "or three strings"),
        (lambda: lax.conv_dimension_numbers((1, 2), (1, 2), ("NN", "IO", "NC")), TypeError, "must hold 'N' and 'C'"),
        (
            lambda: lax.conv_general_dilated(IMAGE, KERNEL, (1, 1), "SAME", (2, 1), dimension_numbers=SPECS),
            ValueError, "padding 'SAME' is ambiguous with lhs_dilation",
        ),
        (lambda: lax.fft(A, "dct", (5,)), ValueError, "fft: unknown transform 'dct'; use 'fft', 'ifft'"),
        (lambda: lax.fft(COMPLEX, "rfft", (5,)), TypeError, "'rfft' needs a real operand, got dtype c64"),
        (lambda: lax.fft(A, "fft", (4,)), ValueError, r"needs an operand whose last axes have the sizes \(4,\)"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_why(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


# -- transforms --------------------------------------------------------------------------------------------------------


def transforms(m: Any) -> Cases:
    return {
        "fft": lambda x: [
            m.fft(x + 1j * x, kind, (6, 5))
            for kind in ("fft", "ifft", "FFT", m.FftType.IFFT if hasattr(m, "FftType") else "ifft")
        ],
        "rfft": lambda x: [m.fft(x, "rfft", (5,)), m.fft(x, "rfft", (2, 6, 5))],
        "irfft": lambda x: [m.fft(x + 1j * x, "irfft", (n,)) for n in (8, 9)] + [m.fft(x + 1j * x, "irfft", (6, 8))],
        "mixed": lambda x: m.fft(m.fft(x, "rfft", (6, 5)), "irfft", (6, 5)),
        "unknown": lambda x: m.fft(x, "dct", (5,)),
        "length": lambda x: m.fft(x, "rfft", (4,)),
    }


def test_transforms_agree_with_jax() -> None:
    assert_cases_agree(transforms(lax), transforms(jax.lax), A, operations=256)
    names = ("rfft", "irfft", "mixed", "fft")

    def real(m: Any) -> Cases:
        return {
            n: lambda x, c=c: jax.tree.map(lambda v: abs(v * v).sum(), c(x))
            for n, c in transforms(m).items()
            if n in names
        }

    def cotangent(out: Any) -> Any:
        return np.ones(out.shape, out.dtype)

    assert_cases_agree(
        grad_of(real(lax), ft.vjp, cotangent), grad_of(real(jax.lax), jax.vjp, cotangent), A, operations=2048, scale=8.0
    )
