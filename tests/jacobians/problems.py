"""Patterns of problems that people differentiate, and random ones."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import Delaunay

from functrans.jacobians.patterns import Pattern

FIVE = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
NINE = list(itertools.product((-1, 0, 1), repeat=2))
SEVEN = [(0, 0, 0)] + [tuple(s * (a == b) for b in range(3)) for a in range(3) for s in (1, -1)]


def banded(n, below, above=None):
    """Places from ``below`` under the diagonal to ``above`` over it."""
    offsets = np.arange(-below, (below if above is None else above) + 1)
    rows = np.repeat(np.arange(n), offsets.size)
    columns = rows + np.tile(offsets, n)
    inside = (columns >= 0) & (columns < n)
    return Pattern.from_coordinates(rows[inside], columns[inside], (n, n))


def stencil(shape, offsets, species=1, joined=False):
    """Unknowns [species, *shape] on a grid: each depends on its neighbours and on the others at its place."""
    numbers = np.arange(species * int(np.prod(shape))).reshape(species, *shape)
    points = np.indices(shape)
    rows, columns = [], []
    for offset in offsets:
        there = [p + o for p, o in zip(points, offset)]
        inside = np.ones(shape, bool)
        for axis, size in enumerate(shape):
            inside &= joined | ((there[axis] >= 0) & (there[axis] < size))
            there[axis] %= size
        for own in numbers:
            rows.append(own[inside])
            columns.append(own[tuple(t[inside] for t in there)])
    for own, other in itertools.permutations(numbers, 2):
        rows.append(own.ravel())
        columns.append(other.ravel())
    return Pattern.from_coordinates(np.concatenate(rows), np.concatenate(columns), (numbers.size, numbers.size))


def brusselator(size):
    """Two species with diffusion on a square whose edges are joined."""
    return stencil((size, size), FIVE, species=2, joined=True)


def arrowhead(n):
    i, first = np.arange(n), np.zeros(n, int)
    return Pattern.from_coordinates(np.concatenate([i, first, i]), np.concatenate([i, i, first]), (n, n))


def dense_row(n, length):
    """A diagonal, and ``length`` places in the first row."""
    i = np.arange(n)
    return Pattern.from_coordinates(np.append(i, np.zeros(length, int)), np.append(i, np.arange(length)), (n, n))


def blocks(count, size):
    i = np.arange(count * size)
    columns = i[:, None] // size * size + np.arange(size)
    return Pattern.from_coordinates(np.repeat(i, size), columns.ravel(), (count * size, count * size))


def bundle(cameras, points, observations, seed=0):
    """Two residuals of each observation depend on 11 parameters of a camera, 3 of a point and one weight."""
    draw = np.random.default_rng(seed)
    camera, point = draw.integers(0, cameras, observations), draw.integers(0, points, observations)
    parts = [
        11 * camera[:, None] + np.arange(11),
        11 * cameras + 3 * point[:, None] + np.arange(3),
        11 * cameras + 3 * points + np.arange(observations)[:, None],
    ]
    columns = np.concatenate(parts, axis=1)
    rows = np.arange(2 * observations)
    shape = (2 * observations, 11 * cameras + 3 * points + observations)
    return Pattern.from_coordinates(np.repeat(rows, 15), np.repeat(columns, 2, axis=0).ravel(), shape)


def power_grid(nodes, seed=0):
    """Two unknowns at each node of a planar network: a block of two by two for each node and each line."""
    draw = np.random.default_rng(seed)
    corners = Delaunay(draw.random((nodes, 2))).simplices
    lines = np.unique(np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])), axis=0)
    a, b = lines[draw.random(len(lines)) < 0.5].T
    own, other = np.concatenate([a, b, np.arange(nodes)]), np.concatenate([b, a, np.arange(nodes)])
    rows, columns = np.concatenate([own, own, own + nodes, own + nodes]), np.tile(np.append(other, other + nodes), 2)
    return Pattern.from_coordinates(rows, columns, (2 * nodes, 2 * nodes))


def scattered(m, n, count, seed=0):
    """``count`` places, or fewer, in each row."""
    columns = np.random.default_rng(seed).integers(0, n, m * count)
    return Pattern.from_coordinates(np.repeat(np.arange(m), count), columns, (m, n))


def full(m, n):
    return Pattern.from_dense(np.ones((m, n)))


def drawn(number):
    """The pattern of this number, of up to 200 rows and columns: even, uneven, skewed or banded."""
    draw = np.random.default_rng(number)
    m, n = draw.integers(1, 200, 2)
    kind, each = number % 4, int(draw.integers(1, 9))
    if kind == 0:
        return scattered(m, n, each, number)
    if kind == 1:
        return Pattern.from_dense(draw.random((m, n)) < draw.uniform(0.005, 0.1))
    places = each * m
    if kind == 2:
        rows, columns = m * draw.random(places) ** 2, n * draw.random(places) ** 3
        return Pattern.from_coordinates(rows.astype(int), columns.astype(int), (m, n))
    rows = draw.integers(0, m, places)
    return Pattern.from_coordinates(rows, np.clip(rows + draw.integers(-10, 11, places), 0, m - 1), (m, m))


def symmetric(pattern, diagonal=True):
    """A pattern of n rows and n columns with the places of a pattern and of its transposed one."""
    n = max(pattern.shape)
    rows, columns = np.append(pattern.rows, pattern.columns), np.append(pattern.columns, pattern.rows)
    if diagonal:
        rows, columns = np.append(rows, np.arange(n)), np.append(columns, np.arange(n))
    else:
        rows, columns = rows[rows != columns], columns[rows != columns]
    return Pattern.from_coordinates(rows, columns, (n, n))


PROBLEMS = {
    "tridiagonal": lambda: banded(300, 1),
    "pentadiagonal": lambda: banded(300, 2),
    "lower bidiagonal": lambda: banded(300, 1, 0),
    "brusselator 32": lambda: brusselator(32),
    "brusselator 13": lambda: brusselator(13),
    "arrowhead": lambda: arrowhead(100),
    "blocks": lambda: blocks(50, 20),
    "bundle": lambda: bundle(10, 100, 300),
    "power grid": lambda: power_grid(300),
    "scattered 3": lambda: scattered(300, 200, 3),
    "scattered 10": lambda: scattered(200, 300, 10),
    "dense row": lambda: dense_row(100, 100),
    "half a dense row": lambda: dense_row(300, 150),
    "dense column": lambda: dense_row(100, 100).transposed,
    "full": lambda: full(20, 30),
    "wide": lambda: full(1, 40),
    "one": lambda: full(1, 1),
    "empty": lambda: Pattern((7, 5), np.zeros(8), []),
    "no rows": lambda: Pattern((0, 5), [0], []),
    "no columns": lambda: Pattern((5, 0), np.zeros(6), []),
    "nothing": lambda: Pattern((0, 0), [0], []),
}
