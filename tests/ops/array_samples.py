"""Sample rows of the primitives that work along the axes of arrays: order, running and windowed reductions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from functrans.ops import convolution, cumulative, fourier, scatters, sorting, windowed_reductions, windows
from tests.ops.samples import Row, bf16, boolean, c64, c128, f32, f64, i8, i32, i64, numbers, u8


def sorting_rows() -> Iterator[Row]:
    for dtype in (f32, f64, c64, bf16, i32, u8, boolean):
        fast = {"execute": dtype == f32}
        yield Row(sorting.Sort(0, True, 1), (numbers((4, 2), dtype),), fast)
        if dtype not in (c64, boolean):
            yield Row(sorting.TopK(2, 1), (numbers((2, 4), dtype),), fast)
    keys, values = np.int32([[1, 0, 1], [2, 2, 2]]), numbers((2, 3), f32)
    yield Row(sorting.Sort(1, True, 1), (keys, values, np.arange(6, dtype=i64).reshape(2, 3)))
    yield Row(sorting.Sort(1, True, 2), (keys, values), {"execute": False})
    pairs = np.complex64([1 + 2j, 1 + 1j, 1 + 1j, 0])
    yield Row(sorting.Sort(0, True, 2), (pairs, np.float32([1, 4, 3, 2])), {"wrt": (1,)})
    special = np.float32([np.nan, 1.0, -0.0, 0.0, np.inf, -np.inf, -np.nan])
    yield Row(sorting.Sort(0, True, 1), (special, np.arange(7, dtype=i32)), {"wrt": ()})
    yield Row(sorting.Sort(0, False, 1), (numbers((5,), f32),), {"execute": False})
    yield Row(sorting.Sort(0, True, 1), (numbers((0, 2), f32),), {"execute": False})
    yield Row(sorting.TopK(3, 0), (numbers((4, 2), f32),), {"execute": False})
    yield Row(sorting.TopK(0, 0), (numbers((3,), f32),), {"execute": False})
    yield Row(sorting.TopK(4, 0), (np.float32([2, 1, 2, 1]),), {"wrt": ()})


def cumulative_rows() -> Iterator[Row]:
    for kind, accepts in (
        (cumulative.Cumsum, (f32, f64, c64, bf16, i32, u8)),
        (cumulative.Cumprod, (f32, f64, c64, i32)),
        (cumulative.Cummax, (f32, f64, bf16, c64, i32, u8)),
        (cumulative.Cummin, (f32, f64, bf16, c64, i32, u8)),
        (cumulative.Cumlogsumexp, (f32, f64, bf16)),
    ):
        for dtype in accepts:
            yield Row(kind(0, False), (numbers((4,), dtype),), {"execute": False})
        yield Row(kind(1, True), (numbers((2, 5), f32),))
        for shape in ((2, 5, 2), (2, 1), (2, 0)):
            yield Row(kind(1, False), (numbers(shape, f64),), {"execute": False})
    yield Row(cumulative.Cumprod(0, False), (np.float64([2.0, 0.0, 3.0, 0.0, 0.5]),))
    yield Row(cumulative.Cumlogsumexp(0, False), (np.float64([1.0, 1.0, 1.0, 1.0]),))
    yield Row(cumulative.Cumlogsumexp(0, True), (np.float32([-np.inf, 2.0, -np.inf, -np.inf]),), {"wrt": ()})


def windowed_rows() -> Iterator[Row]:
    none = ((0, 0), (0, 0))
    geometries = [
        ((6, 5), ((2, 3), (1, 1), none, (1, 1), (1, 1))),
        ((6, 5), ((3, 2), (2, 3), ((1, 1), (0, 2)), (1, 1), (1, 1))),
        ((5, 4), ((2, 2), (1, 2), ((0, 1), (2, 0)), (2, 1), (1, 2))),
        ((5, 4), ((2, 2), (2, 1), ((-1, 3), (4, -1)), (1, 3), (2, 1))),
        ((2, 3), ((4, 1), (1, 1), none, (1, 1), (1, 1))),  # no window fits
        ((0, 3), ((2, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), (1, 1))),  # padding alone
    ]
    for kind in (windowed_reductions.ReduceWindowSum, windowed_reductions.ReduceWindowMax,
                 windowed_reductions.ReduceWindowMin, windowed_reductions.WindowArgmax,
                 windowed_reductions.WindowArgmin):  # fmt: skip
        for i, (shape, geometry) in enumerate(geometries):
            flags = {"execute": i == 2, "derivative": kind is windowed_reductions.ReduceWindowSum or i < 2}
            yield Row(kind(*geometry), (numbers(shape, f32),), flags)
        some = (f64, bf16, i32, c64) if kind is windowed_reductions.ReduceWindowSum else (f64, bf16, i32, u8)
        for dtype in some:
            yield Row(kind((3,), (2,), ((1, 0),), (1,), (1,)), (numbers((6,), dtype),), {"execute": False})
        yield Row(kind((2,), (1,), ((0, 0),), (1,), (1,)), (np.float32([1, 1, np.nan, np.nan, 2, 2]),), {"wrt": ()})
        yield Row(kind((), (), (), (), ()), (np.float32(1.5),), {"execute": False})


def scatter_rows() -> Iterator[Row]:
    d = windows.ScatterDimensionNumbers((1,), (0,), (0,))
    for dtype in (f32, c64, i32):
        x, updates = numbers((5, 3), dtype), numbers((4, 3), dtype, seed=1)
        yield Row(scatters.ScatterSub(d, "fill"), (x, np.int32([[4], [0], [7], [4]]), updates), {"execute": False})


def convolution_rows() -> Iterator[Row]:
    def conv(
        x: tuple[int, ...], y: tuple[int, ...], dtype: Any = f32, strides: Any = None, padding: Any = None,
        base: Any = None, gaps: Any = None, numbering: Any = None, features: int = 1, batch: int = 1,
        to: Any = None, execute: bool = False,
    ) -> Row:  # fmt: skip
        n = len(x) - 2
        plain = tuple(range(n + 2))
        op = convolution.ConvGeneralDilated(
            strides or (1,) * n, padding or ((0, 0),) * n, base or (1,) * n, gaps or (1,) * n,
            convolution.ConvDimensionNumbers(*(numbering or (plain, plain, plain))), features, batch, "DEFAULT",
            np.dtype(to or dtype),
        )  # fmt: skip
        return Row(op, (numbers(x, dtype), numbers(y, dtype, seed=1)), {"execute": execute, "second_order": False})

    for dtype in (f32, f64, c64, bf16, i32):
        yield conv((2, 3, 5), (4, 3, 2), dtype, execute=dtype in (f32, c64))
    yield conv((2, 3), (4, 3))
    yield conv((1, 2, 5, 4), (3, 2, 2, 3), strides=(2, 1), padding=((1, 2), (0, 1)))
    yield conv((1, 2, 7, 4), (3, 2, 2, 2), strides=(3, 2), padding=((-1, 2), (1, -1)), base=(2, 1), gaps=(1, 2))
    yield conv((2, 5, 4, 3), (2, 2, 3, 4), numbering=((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)), execute=True)
    yield conv((2, 4, 5), (6, 2, 2), features=2, padding=((1, 1),), strides=(2,))
    yield conv((5, 2, 4), (2, 6, 2), features=2, numbering=((1, 2, 0), (1, 0, 2), (2, 0, 1)))
    yield conv((4, 3, 5), (6, 3, 2), batch=2, padding=((1, 1),), strides=(2,))
    yield conv((5, 4, 3), (3, 6, 2), batch=2, numbering=((1, 2, 0), (1, 0, 2), (2, 1, 0)))
    yield conv((3, 3, 5), (3, 1, 2), features=3)
    yield conv((2, 3, 2), (4, 3, 5))  # no window fits
    yield conv((0, 3, 5), (4, 3, 2))
    yield conv((2, 0, 5), (4, 0, 2))
    yield conv((2, 3, 5), (4, 3, 2), bf16, to=f32)
    yield conv((2, 3, 5), (4, 3, 2), i8, to=i32)


def fourier_rows() -> Iterator[Row]:
    for dtype in (c64, c128):
        fast = {"execute": dtype == c64}
        for kind in ("FFT", "IFFT"):
            yield Row(fourier.Fft(kind, (3,)), (numbers((2, 3), dtype),), fast)
            yield Row(fourier.Fft(kind, (2, 4)), (numbers((3, 2, 4), dtype),), {"execute": False})
        for n in (5, 6):
            yield Row(fourier.Fft("IRFFT", (n,)), (numbers((2, n // 2 + 1), dtype),), fast)
            yield Row(fourier.Fft("IRFFT", (3, n)), (numbers((2, 3, n // 2 + 1), dtype),), {"execute": False})
    for dtype in (f32, f64):
        for n in (1, 2, 5, 6):
            yield Row(fourier.Fft("RFFT", (n,)), (numbers((2, n), dtype),), {"execute": dtype == f32 and n > 4})
        yield Row(fourier.Fft("RFFT", (3, 4)), (numbers((3, 4), dtype),), {"execute": False})
    yield Row(fourier.Fft("FFT", (3,)), (numbers((0, 3), c64),), {"execute": False})


ROWS = [
    *sorting_rows(), *cumulative_rows(), *windowed_rows(), *scatter_rows(), *convolution_rows(), *fourier_rows(),
]  # fmt: skip
