"""Scenarios that are elementwise arithmetic, from forty operations to ten thousand, and a step of an ODE solver."""

from __future__ import annotations

from typing import Any

import numpy

from benchmarks.scenario import Namespace, Program, normal, scenario


def _chain(np: Namespace, rounds: int) -> Program:
    """`rounds` times eight elementwise operations on a vector, then a sum."""

    def f(x: Any) -> Any:
        y = x
        for round_number in range(rounds):
            y = np.tanh(y) * (0.9 - 0.1 * (round_number % 5)) + np.sin(y * x)
            y = y / (1.0 + np.exp(-y))
        return np.sum(y)

    return f, (normal(numpy.random.default_rng(0), 128),)


@scenario(mapped=(0,))
def chain(np: Namespace) -> Program:
    """Forty elementwise operations on a vector, then a sum."""
    return _chain(np, 5)


@scenario(mapped=(0,), variants=("f", "grad"), samples=5)
def chain_1000(np: Namespace) -> Program:
    """A thousand elementwise operations."""
    return _chain(np, 125)


@scenario(mapped=(0,), variants=("grad",), samples=2)
def chain_10000(np: Namespace) -> Program:
    """Ten thousand elementwise operations: traced and lowered, for compiling them takes any side minutes."""
    return _chain(np, 1250)


@scenario(
    mapped=(0,),
    variants=("f", "grad", "hvp"),
    samples=5,
    sizes=({"size": 8, "steps": 6}, {"size": 64, "steps": 6}, {"size": 64, "steps": 24}),
)
def ode(np: Namespace, size: int = 8, steps: int = 6) -> Program:
    """Runge-Kutta steps of dy_0 = x_0, dy_i = x_i y_(i-1) from y = 0 over a time of 2, as in GradBench (and cmpad).

    The result is the last y, which is x_0 x_1 ... x_n 2^(n+1) / (n+1)! but for the error of the steps.
    """
    h = 2.0 / steps

    def slope(x: Any, y: Any) -> Any:
        return np.concatenate([x[:1], x[1:] * y[:-1]])

    def f(x: Any) -> Any:
        y = np.zeros(size, numpy.float32)
        for _ in range(steps):
            k1 = slope(x, y)
            k2 = slope(x, y + 0.5 * h * k1)
            k3 = slope(x, y + 0.5 * h * k2)
            k4 = slope(x, y + h * k3)
            y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return y[size - 1]

    return f, (numpy.linspace(1.0, 1.7, size, dtype=numpy.float32),)


@scenario(mapped=(0,), variants=("f", "grad", "hvp"), samples=5, sizes=({"size": 3}, {"size": 4}, {"size": 5}))
def determinant(np: Namespace, size: int = 4) -> Program:
    """The determinant of a matrix by expansion along its first row, recursively, as in GradBench (and cmpad).

    det A = sum_j (-1)^j a_0j det A_0j, where A_0j lacks the first row and column j: size! products of scalars.
    """

    def expanded(rows: list[list[Any]]) -> Any:
        if len(rows) == 1:
            return rows[0][0]
        total: Any = None
        for j, entry in enumerate(rows[0]):
            term = entry * expanded([row[:j] + row[j + 1 :] for row in rows[1:]])
            total = term if total is None else total + term if j % 2 == 0 else total - term
        return total

    def f(a: Any) -> Any:
        return expanded([[a[i, j] for j in range(size)] for i in range(size)])

    return f, (normal(numpy.random.default_rng(9), size, size),)
