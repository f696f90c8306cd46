"""The table: each loop written once against the three namespaces, with its inputs and an independent answer.

``reference`` is NumPy or SciPy on float64 data, by another method than the loop's where there is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.stats

Function = Callable[..., Any]


@dataclass(frozen=True)
class Loop:
    """``build(transforms, numpy, lax)`` gives the function; ``wrt``: the arguments that have derivatives."""

    name: str
    build: Callable[[Any, Any, Any], Function]
    arguments: tuple[Any, ...]
    reference: Function
    wrt: tuple[int, ...]
    reverse: bool
    rtol: float


LOOPS: dict[str, Loop] = {}


def loop(
    *arguments: Any, reference: Function, wrt: tuple[int, ...] | None = None, reverse: bool = True, rtol: float = 1e-9
) -> Any:
    """Put the decorated builder into the table."""
    floating = tuple([i for i, x in enumerate(arguments) if np.asarray(x).dtype.kind == "f"])

    def register(build: Any) -> Any:
        name = build.__name__
        LOOPS[name] = Loop(name, build, arguments, reference, floating if wrt is None else wrt, reverse, rtol)
        return build

    return register


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers between -1 and 1."""
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape)


# -- roots -----------------------------------------------------------------------------------------------------------


@loop(np.float64(5.0), reference=lambda a: np.cbrt(a), rtol=1e-12)
def newton_with_a_fixed_number_of_steps(ft: Any, np_: Any, lax: Any) -> Function:
    def f(a: Any) -> Any:
        residual = lambda x: x**3 - a
        return lax.fori_loop(0, 12, lambda _, x: x - residual(x) / ft.grad(residual)(x), np_.ones_like(a))

    return f


@loop(np.float64(5.0), reference=lambda a: np.cbrt(a), reverse=False, rtol=1e-12)
def newton_until_it_stands_still(ft: Any, np_: Any, lax: Any) -> Function:
    def f(a: Any) -> Any:
        def step(carry: Any) -> Any:
            x, _, n = carry
            return x - (x**3 - a) / (3.0 * x * x), x, n + 1

        far = lambda c: (np_.abs(c[0] - c[1]) > 1e-13) & (c[2] < 50)
        return lax.while_loop(far, step, (a * 0.0 + 2.0, a * 0.0, 0))[0]

    return f


@loop(np.float64(0.7), np.float64(1.3), reference=lambda a, b: _brent(a, b), rtol=1e-10)
def bisection_as_an_implicit_root(ft: Any, np_: Any, lax: Any) -> Function:
    """x with a x + sin(x) = b, whose derivative is that of the equation: bisection itself has none."""

    def bisect(f: Any, x: Any) -> Any:
        def halve(carry: Any) -> Any:
            low, high = carry
            middle = 0.5 * (low + high)
            right = f(middle) < 0.0
            return np_.where(right, middle, low), np_.where(right, high, middle)

        return lax.while_loop(lambda c: c[1] - c[0] > 1e-12, halve, (x - 4.0, x + 4.0))[0]

    def f(a: Any, b: Any) -> Any:
        return lax.custom_root(lambda x: a * x + np_.sin(x) - b, a * 0.0, bisect, lambda g, y: y / g(1.0))

    return f


def _brent(a: float, b: float) -> float:
    return float(scipy.optimize.brentq(lambda x: a * x + np.sin(x) - b, -4.0, 4.0, xtol=1e-13))


# -- linear algebra ----------------------------------------------------------------------------------------------------

FACTOR = numbers(5, 5)


@loop(FACTOR, numbers(5, seed=1), reference=lambda m, b: np.linalg.solve(m @ m.T + 2 * np.eye(5), b))
def conjugate_gradients(ft: Any, np_: Any, lax: Any) -> Function:
    def solve(matvec: Any, b: Any) -> Any:
        def step(carry: Any) -> Any:
            x, r, p, n = carry
            image = matvec(p)
            square = np_.dot(r, r)
            alpha = square / np_.dot(p, image)
            after = r - alpha * image
            return x + alpha * p, after, after + np_.dot(after, after) / square * p, n + 1

        far = lambda c: (np_.dot(c[1], c[1]) > 1e-26) & (c[3] < 20)
        return lax.while_loop(far, step, (np_.zeros_like(b), b, b, 0))[0]

    def f(m: Any, b: Any) -> Any:
        return lax.custom_linear_solve(lambda v: m @ (m.T @ v) + 2.0 * v, b, solve, symmetric=True)

    return f


@loop(FACTOR, reference=lambda m: np.linalg.eigvalsh(m @ m.T + np.eye(5))[-1], rtol=1e-7)
def power_iteration(ft: Any, np_: Any, lax: Any) -> Function:
    def f(m: Any) -> Any:
        matrix = m @ m.T + np_.eye(5, dtype=m.dtype)

        def step(v: Any, _: Any) -> Any:
            image = matrix @ v
            return image / np_.sqrt(np_.dot(image, image)), np_.dot(v, image)

        start = np_.ones(5, m.dtype) / np_.sqrt(5.0)
        return lax.scan(step, start, None, length=60)[1][-1]

    return f


# -- differential equations --------------------------------------------------------------------------------------------

NODES = [[], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9],
         [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
         [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
         [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]]  # fmt: skip
ERRORS = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]


def _dormand_prince(np_: Any, field: Any, y: Any, h: Any) -> Any:
    slopes: list[Any] = []
    for row in NODES:
        at = y
        for weight, k in zip(row, slopes, strict=True):
            at = at + h * weight * k
        slopes.append(field(at))
    error = sum(e * k for e, k in zip(ERRORS, slopes, strict=True))
    return at, np_.max(np_.abs(h * error))


def _adaptive(np_: Any, lax: Any, field: Any, carry: Any) -> Any:
    """One try of a step towards time 2: (time, y, step size). The choice of the step size is not differentiated: its
    derivative is that of a rounding error."""
    time, y, h = carry
    h = np_.minimum(h, 2.0 - time)
    new, error = _dormand_prince(np_, field, y, h)
    error = lax.stop_gradient(error)
    ok = error < 1e-8
    factor = np_.clip(0.9 * (1e-8 / (error + 1e-30)) ** 0.2, 0.2, 4.0)
    return np_.where(ok, time + h, time), np_.where(ok, new, y), h * factor


def _pendulum(np_: Any, w: Any) -> Any:
    return lambda y: np_.stack([y[1], -w * np_.sin(y[0]) - 0.1 * y[1]])


def _integrated(w: Any, y: Any) -> Any:
    field = _pendulum(np, w)
    return scipy.integrate.solve_ivp(lambda _, y: field(y), (0.0, 2.0), y, rtol=1e-11, atol=1e-12).y[:, -1]


@loop(np.float64(1.7), np.array([0.9, -0.3]), reference=_integrated, reverse=False, rtol=1e-6)
def runge_kutta_45_until_the_end(ft: Any, np_: Any, lax: Any) -> Function:
    def f(w: Any, y: Any) -> Any:
        step = lambda carry: _adaptive(np_, lax, _pendulum(np_, w), carry)
        return lax.while_loop(lambda c: c[0] < 2.0, step, (w * 0.0, y, w * 0.0 + 0.1))[1]

    return f


@loop(np.float64(1.7), np.array([0.9, -0.3]), reference=_integrated, rtol=1e-6)
def runge_kutta_45_with_at_most_so_many_steps(ft: Any, np_: Any, lax: Any) -> Function:
    def f(w: Any, y: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            go = lambda c: _adaptive(np_, lax, _pendulum(np_, w), c)
            return lax.cond(carry[0] < 2.0, go, lambda c: c, carry), None

        return lax.scan(step, (w * 0.0, y, w * 0.0 + 0.1), None, length=40)[0][1]

    return f


# -- sequences ---------------------------------------------------------------------------------------------------------


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _lstm(w: Any, u: Any, b: Any, xs: Any) -> Any:
    h = c = np.zeros(u.shape[0])
    for x in xs:
        i, f, g, o = np.split(x @ w + h @ u + b, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
    return h


@loop(numbers(2, 12), numbers(3, 12, seed=1), numbers(12, seed=2), numbers(6, 2, seed=3), reference=_lstm)
def lstm(ft: Any, np_: Any, lax: Any) -> Function:
    def f(w: Any, u: Any, b: Any, xs: Any) -> Any:
        def cell(carry: Any, x: Any) -> Any:
            h, c = carry["h"], carry["c"]
            gates = x @ w + h @ u + b
            i, forget, o = (lax.logistic(gates[k : k + 3]) for k in (0, 3, 9))
            c = forget * c + i * np_.tanh(gates[6:9])
            return {"h": o * np_.tanh(c), "c": c}, None

        zero = np_.zeros(3, xs.dtype)
        return lax.scan(cell, {"h": zero, "c": zero}, xs)[0]["h"]

    return f


def _by_enumeration(start: Any, moves: Any, emissions: Any, seen: Any) -> float:
    """The logarithm of the sum over every path."""
    p, t, e = (np.exp(x - np.log(np.sum(np.exp(x), -1, keepdims=True))) for x in (start, moves, emissions))
    total = 0.0
    for path in itertools.product(range(3), repeat=len(seen)):
        weight = p[path[0]] * e[path[0], seen[0]]
        for before, now, y in zip(path, path[1:], seen[1:], strict=False):
            weight *= t[before, now] * e[now, y]
        total += weight
    return float(np.log(total))


@loop(numbers(3), numbers(3, 3, seed=1), numbers(3, 4, seed=2), np.array([0, 3, 1, 2, 2]), reference=_by_enumeration)
def hidden_markov_forward(ft: Any, np_: Any, lax: Any) -> Function:
    def normalised(x: Any) -> Any:
        return x - np_.log(np_.sum(np_.exp(x), axis=-1, keepdims=True))

    def f(start: Any, moves: Any, emissions: Any, seen: Any) -> Any:
        p, t, e = normalised(start), normalised(moves), normalised(emissions)

        def step(alpha: Any, y: Any) -> Any:
            joint = alpha[:, None] + t
            top = lax.stop_gradient(np_.max(joint, axis=0))
            return top + np_.log(np_.sum(np_.exp(joint - top), axis=0)) + e[:, y], None

        last, _ = lax.scan(step, p + e[:, seen[0]], seen[1:])
        return np_.log(np_.sum(np_.exp(last)))

    return f


def _gaussian_likelihood(a: Any, q: Any, r: Any, ys: Any) -> float:
    """The joint density of the observations y_t = x_t[0] + noise, x_t = a x_{t-1} + noise."""
    n, d = len(ys), 2
    cov_x = np.eye(d)
    blocks = {}
    for t in range(n):
        cov_x = a @ cov_x @ a.T + np.exp(q) * np.eye(d)
        blocks[t, t] = cov_x
        for s in range(t):
            blocks[t, s] = a @ blocks[t - 1, s]
    cov = np.array([[(blocks[max(t, s), min(t, s)])[0, 0] for s in range(n)] for t in range(n)])
    return float(scipy.stats.multivariate_normal(np.zeros(n), cov + np.exp(r) * np.eye(n)).logpdf(ys))


@loop(0.8 * numbers(2, 2), np.float64(-1.0), np.float64(-0.5), numbers(6, seed=1), reference=_gaussian_likelihood)
def kalman_filter(ft: Any, np_: Any, lax: Any) -> Function:
    def f(a: Any, q: Any, r: Any, ys: Any) -> Any:
        identity = np_.eye(2, dtype=a.dtype)

        def step(carry: Any, y: Any) -> Any:
            mean, cov = carry
            mean, cov = a @ mean, a @ cov @ a.T + np_.exp(q) * identity
            variance = cov[0, 0] + np_.exp(r)
            gain, surprise = cov[:, 0] / variance, y - mean[0]
            likelihood = -0.5 * (np_.log(2.0 * np.pi * variance) + surprise**2 / variance)
            return (mean + gain * surprise, cov - np_.outer(gain, cov[0])), likelihood

        return np_.sum(lax.scan(step, (np_.zeros(2, a.dtype), identity), ys)[1])

    return f


# -- discrete ----------------------------------------------------------------------------------------------------------

GLIDER = np.zeros((8, 8), np.int32)
GLIDER[[0, 1, 2, 2, 2], [1, 2, 0, 1, 2]] = 1


@loop(GLIDER, reference=lambda board: np.roll(board, (1, 1), (0, 1)), wrt=())
def game_of_life(ft: Any, np_: Any, lax: Any) -> Function:
    """Four generations move a glider by one cell along the diagonal."""

    def generation(_: Any, board: Any) -> Any:
        rows = [np_.concatenate([board[k:], board[:k]], axis=0) for k in (-1, 0, 1)]
        cells = [np_.concatenate([r[:, k:], r[:, :k]], axis=1) for r in rows for k in (-1, 0, 1)]
        count = sum(cells[1:], cells[0]) - board
        return ((count == 3) | ((count == 2) & (board == 1))).astype(board.dtype)

    return lambda board: lax.fori_loop(0, 4, generation, board)


def _best_sequence(scores: Any, moves: Any) -> float:
    best = -np.inf
    for path in itertools.product(range(4), repeat=len(scores)):
        pairs = itertools.pairwise(path)
        best = max(best, sum(s[k] for s, k in zip(scores, path, strict=True)) + sum(moves[p] for p in pairs))
    return float(best)


@loop(numbers(5, 4), numbers(4, 4, seed=1), reference=_best_sequence)
def beam_search(ft: Any, np_: Any, lax: Any) -> Function:
    """The best of the sequences that a beam of eight keeps: with four symbols it loses none that could win."""

    def f(scores: Any, moves: Any) -> Any:
        def step(beam: Any, score: Any) -> Any:
            candidates = np_.reshape(beam["total"][:, None] + moves[beam["last"]] + score, (-1,))

            def take(left: Any, _: Any) -> Any:
                k = np_.argmax(left)
                return left.at[k].set(-np.inf), (left[k], (k % 4).astype(np_.int32))

            _, (total, last) = lax.scan(take, candidates, None, length=8)
            return {"total": total, "last": last}, None

        first = np_.concatenate([scores[0], np_.full(4, -1e3, scores.dtype)])
        start = {"total": first, "last": np_.concatenate([np_.arange(4, dtype=np_.int32)] * 2)}
        return np_.max(lax.scan(step, start, scores[1:])[0]["total"])

    return f
