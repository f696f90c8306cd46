"""Random scalar programs, differentiated a few times: a nest of derivatives written out, against the nest collapsed.

    python -m tests.derivatives.nest_programs --count 10000
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from functrans.derivatives import derivatives
from functrans.trace.replay import evaluate

SMOOTH_UNARY: dict[str, Callable[[Any], Any]] = {
    "sin": fnp.sin, "cos": fnp.cos, "tan": fnp.tan, "tanh": fnp.tanh, "sinh": fnp.sinh, "exp": fnp.exp,
    "exp2": fnp.exp2, "expm1": fnp.expm1, "log": fnp.log, "log2": fnp.log2, "log1p": fnp.log1p, "sqrt": fnp.sqrt,
    "rsqrt": lax.rsqrt, "cbrt": fnp.cbrt, "neg": lambda x: -x, "square": fnp.square, "own square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x, "arctan": fnp.arctan, "arcsin": fnp.arcsin, "arcsinh": fnp.arcsinh,
    "erf": lax.erf, "sigmoid": nn.sigmoid, "silu": nn.silu, "gelu": nn.gelu, "cube": lambda x: x**3,
    "cube by a float": lambda x: x**3.0, "power 2.5": lambda x: x**2.5, "power -2": lambda x: x**-2,
    "doubled": lambda x: x * 2.0, "moved": lambda x: x + 1.0,
}  # fmt: skip
OTHER_UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": fnp.abs, "sign": fnp.sign, "floor": fnp.floor, "relu": nn.relu, "softplus": nn.softplus, "sinc": fnp.sinc,
}  # fmt: skip
SMOOTH_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "loop": lambda a, b: lax.fori_loop(0, 3, lambda i, c: c * b + fnp.sin(a), a),
    "call": lambda a, b: ft.jit(lambda u, v: fnp.tanh(u) * v)(a, b),
    "arrays": lambda a, b: fnp.sum(fnp.stack([a, b]) * fnp.stack([b, b * a])),
    "arctan2": fnp.arctan2,
}  # fmt: skip
OTHER_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "max": fnp.maximum, "min": fnp.minimum, "hypot": fnp.hypot, "logaddexp": fnp.logaddexp,
    "where": lambda a, b: fnp.where(a > b, a, b * a), "where of one": lambda a, b: fnp.where(b > 0.5, a, 1.5),
    "cond": lambda a, b: lax.cond(a > b, lambda u, v: u * fnp.sin(v), lambda u, v: v - u * v, a, b),
    "power": lambda a, b: fnp.power(fnp.abs(a) + 0.5, b),
}  # fmt: skip
POINTS = (0.7, -0.3, 1.3, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 10.0, np.inf, -np.inf, np.nan)


class Difference(NamedTuple):
    seed: int
    order: int
    program: tuple[Any, ...]
    point: float
    nest: float
    collapsed: float


@contextlib.contextmanager
def collapsing(on: bool | None) -> Iterator[None]:
    """Inside, nests are collapsed or not."""
    ft.collapse_nests(on)
    try:
        yield
    finally:
        ft.collapse_nests(None)


def random_program(seed: int, smooth: bool) -> tuple[Callable[[Any], Any], tuple[Any, ...]]:
    """A function of one number, made of two to eight operations, and their names."""
    random = np.random.default_rng(seed)
    unary = SMOOTH_UNARY if smooth else {**SMOOTH_UNARY, **OTHER_UNARY}
    binary = SMOOTH_BINARY if smooth else {**SMOOTH_BINARY, **OTHER_BINARY}
    code: list[tuple[Any, ...]] = []
    for count in range(1, random.integers(3, 10)):
        if random.random() < 0.5:
            code.append((str(random.choice(list(unary))), int(random.integers(count))))
        else:
            code.append((str(random.choice(list(binary))), int(random.integers(count)), int(random.integers(count))))

    def function(x: Any) -> Any:
        values = [x]
        for name, *places in code:
            operation: Callable[..., Any] = unary[name] if len(places) == 1 else binary[name]
            values.append(operation(*[values[i] for i in places]))
        return values[-1]

    return function, tuple(code)


def derivative(function: Callable[[Any], Any], order: int) -> Any:
    """The program of the nested derivative."""
    for _ in range(order):
        function = ft.grad(function)
    return ft.make_jaxpr(function)(0.7)


def at_points(program: Any) -> list[list[float]]:
    """Its results, by the NumPy references of its operations: nothing is compiled."""
    with np.errstate(all="ignore"):
        return [list(map(float, evaluate(program, [np.float64(x)]))) for x in POINTS]


def differences(seeds: Any, smooth: bool, on: bool | None) -> Iterator[tuple[Difference, float]]:
    """Each point of each program where one of the two is not finite in the way of the other (then the error is
    infinite), and where both are finite with their error: relative to the largest derivative up to this one, of which
    it is what is left where they cancel."""
    for seed in seeds:
        function, code = random_program(seed, smooth)
        order = 3 + seed % 2
        with collapsing(False):
            nest = at_points(derivative(function, order))
        with collapsing(on):
            collapsed = at_points(derivative(function, order))
        lower = at_points(ft.make_jaxpr(derivatives(function, order))(0.7))
        for point, (a,), (b,), others in zip(POINTS, nest, collapsed, lower, strict=True):
            found = Difference(seed, order, code, point, a, b)
            if np.isfinite(a) and np.isfinite(b):
                scale = max([abs(x) for x in (a, b, *others) if np.isfinite(x)])
                yield found, abs(a - b) / scale if scale else 0.0
            elif not (a == b or (np.isnan(a) and np.isnan(b))):
                yield found, float("inf")


def _kind(x: float) -> str:
    return "NaN" if np.isnan(x) else "infinite" if np.isinf(x) else "finite"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--other", action="store_true", help="selections, extrema, branches and steps too, collapsed")
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    kinds: collections.Counter[tuple[str, str]] = collections.Counter()
    errors, worst = [], []
    seeds = range(given.first, given.first + given.count)
    for i, (found, error) in enumerate(differences(seeds, not given.other, True if given.other else None)):
        if np.isfinite(error):
            errors.append(error)
        else:
            kinds[_kind(found.nest), _kind(found.collapsed)] += 1
        worst = sorted([*worst, (error if np.isfinite(error) else -1.0, found)], key=lambda p: -p[0])[:3]
        if i % 10_000 == 9_999:
            print(f"{i + 1} points of {len(seeds) * len(POINTS)}", flush=True)
    print(f"{len(seeds)} programs, orders 3 and 4; both finite at {len(errors)} points, error up to {max(errors):.1e}")
    for bound in (0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-10, 1e-8):
        print(f"  at most {bound:.0e}: {np.mean(np.array(errors) <= bound):.6f}")
    print("not finite in the same way (nest, collapsed):", dict(kinds))
    for error, found in itertools.takewhile(lambda p: p[0] > 0, worst):
        print(f"{error:.1e}", found)


if __name__ == "__main__":
    main()
