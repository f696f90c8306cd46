"""Pictures of patterns: in letters for a terminal, in the axes of matplotlib."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from functrans.errors import FunctransRuntimeError, FunctransValueError
from functrans.trace.frames import here

if TYPE_CHECKING:
    from functrans.jacobians.colouring import Colouring
    from functrans.jacobians.patterns import Pattern

_LETTERS = 16  # rows and columns up to which each place is a letter
_DOTS = 128  # rows and columns up to which each place is a dot in a plot
_TILE = 3  # pixels along an edge of the tiles of larger plots, at least
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # the bits of its eight dots, from 0x2800
_SINGLE = (0.15, 0.35, 0.60)


def _tiled(pattern: Pattern, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tile of each place when at most ``height`` by ``width`` tiles cover the matrix: (row, column)."""
    m, n = pattern.shape
    rows, columns = pattern.rows.astype(np.int64), pattern.columns.astype(np.int64)
    return rows * min(height, m) // max(m, 1), columns * min(width, n) // max(n, 1)


def in_letters(pattern: Pattern, width: int, height: int) -> str:
    """See ``Pattern.picture``."""
    if width < 3 or height < 3:
        raise FunctransValueError(
            f"Pattern.picture: at least 3 by 3 letters are needed, not {width} by {height}, at {here()}"
        )
    m, n = pattern.shape
    if max(m, n) <= min(_LETTERS, height - 2, (width - 3) // 2):
        places = np.full((m, n), "·")
        places[pattern.rows, pattern.columns] = "■"
        lines = [f" {' '.join(line)} " if n else "" for line in places.tolist()]
    else:
        row, column = _tiled(pattern, 4 * (height - 2), 2 * (width - 2))
        tall, wide = min(m, 4 * (height - 2)), min(n, 2 * (width - 2))
        dots = np.zeros((-(-tall // 4) * 4, -(-wide // 2) * 2), np.int64)
        dots[row, column] = 1
        cells = dots.reshape(dots.shape[0] // 4, 4, dots.shape[1] // 2, 2)
        letters = 0x2800 + np.einsum("aibj,ij->ab", cells, _BRAILLE)
        lines = ["".join(map(chr, line)) for line in letters.tolist()]
    edge = "─" * max(map(len, lines), default=0)
    return "\n".join([f"┌{edge}┐", *[f"│{line}│" for line in lines], f"└{edge}┘"])


def _palette(count: int) -> NDArray[np.float64]:
    """[count, 3] colours that differ from those beside them: hues in steps of the golden section."""
    hues = (0.58 + 0.381966 * np.arange(count)) % 1.0
    shades = [(0.80, 0.75), (0.75, 0.90), (0.90, 0.50)]
    return np.array([colorsys.hsv_to_rgb(hue, *shades[i % 3]) for i, hue in enumerate(hues)]).reshape(count, 3)


def in_axes(pattern: Pattern, ax: Any, colouring: Colouring | None) -> Any:
    """See ``Pattern.plot``."""
    if colouring is not None and colouring.pattern != pattern:
        raise FunctransValueError(
            f"Pattern.plot: the colouring is one of {colouring.pattern}, not of {pattern}, at {here()}"
        )
    if ax is None:
        ax = _new_axes()
    m, n = pattern.shape
    if colouring is None:
        paint, title = np.broadcast_to(_SINGLE, (pattern.size, 3)), f"{m} × {n}, {pattern.size} places"
        reverse = np.zeros(pattern.size, np.bool_)
    else:
        paint, title = _palette(colouring.columns + colouring.rows)[colouring.products], colouring.summary
        reverse = colouring.products >= colouring.columns
    if max(m, n) <= _DOTS:
        _draw_dots(pattern, ax, paint, reverse)
    else:
        box = ax.get_window_extent()
        image = _image(pattern, paint, int(box.height / _TILE) + 1, int(box.width / _TILE) + 1)
        ax.imshow(image, extent=(-0.5, n - 0.5, m - 0.5, -0.5), interpolation="nearest", aspect="auto")
    if reverse.any():
        title += "\nthose of reverse passes are squares" if max(m, n) <= _DOTS else ""
    ax.set(xlim=(-0.5, n - 0.5), ylim=(m - 0.5, -0.5), title=title, xlabel="column", ylabel="row")
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    if n and m and 0.2 <= m / n <= 5:
        ax.set_aspect("equal")
    return ax


def _new_axes() -> Any:
    try:
        from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise FunctransRuntimeError(
            f"plot needs matplotlib, which is not installed, at {here()}\n"
            "pip install matplotlib, or print(pattern.picture()) for one made of letters."
        ) from None
    return pyplot.subplots(figsize=(6, 6), layout="constrained")[1]


def _draw_dots(pattern: Pattern, ax: Any, paint: NDArray[Any], reverse: NDArray[np.bool_]) -> None:
    """Each place as a disc, or a square if it is read from a reverse product, that fills most of its cell."""
    m, n = pattern.shape
    box = ax.get_window_extent()
    cell = min(box.width / max(n, 1), box.height / max(m, 1)) * 72 / ax.figure.dpi  # in points
    for chosen, marker in ((~reverse, "o"), (reverse, "s")):
        places = pattern.columns[chosen], pattern.rows[chosen]
        ax.scatter(*places, s=(0.75 * cell) ** 2, c=paint[chosen], marker=marker, linewidths=0)


def _image(pattern: Pattern, paint: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """[height, width, 3], or less for few rows or columns: in each tile the mean colour of its places, on white."""
    tall, wide = min(pattern.shape[0], height), min(pattern.shape[1], width)
    row, column = _tiled(pattern, height, width)
    tile = row * wide + column
    counts = np.bincount(tile, minlength=tall * wide)
    sums = [np.bincount(tile, weights=paint[:, channel], minlength=tall * wide) for channel in range(3)]
    image = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    image[counts == 0] = 1.0
    return image.reshape(tall, wide, 3)
