"""Every public function of JAX over the bridge: its operations and their rules are there, and the numbers are JAX's.

All rows are traced, under vmap and grad too, which shows an operation or a rule that is missing. A sample of them (all
with ``FUNCTRANS_TESTS=thorough``) is compiled and compared with JAX's values and derivatives.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import jax.scipy.cluster.vq
import jax.scipy.fft
import jax.scipy.integrate
import jax.scipy.interpolate
import jax.scipy.ndimage
import jax.scipy.optimize
import jax.scipy.signal
import jax.scipy.sparse.linalg
import jax.scipy.spatial.transform
import numpy as np
import pytest
from jax import lax
from jax.experimental.ode import odeint

import functrans as ft
from tests.agreement import assert_same
from tests.interop.census_rows import ABSENT, GROUPS

pytestmark = pytest.mark.filterwarnings("ignore")  # of JAX, about deprecated functions and casts

X = np.linspace(-0.9, 0.8, 12, dtype=np.float32).reshape(3, 4)


def _waves(*shape: int) -> np.ndarray:
    return np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


VARIABLES: dict[str, Any] = {
    "x": X,
    "y": np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4),
    "p": np.linspace(0.3, 2.1, 12, dtype=np.float32).reshape(3, 4)[::-1].copy(),
    "v": np.float32([0.2, 0.7, 0.4, 0.9]),
    "n": np.float32(0.6),
    "s": np.float32([[2, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.2]]),
    "i": np.arange(-3, 9, dtype=np.int32).reshape(3, 4),
    "j": np.int32([1, 0, 2]),
    "u": np.arange(1, 13, dtype=np.uint32).reshape(3, 4) * np.uint32(77777777),
    "b": X > -0.2,
    "c": (X + 0.5 + 1j * np.cos(X * 3)).astype(np.complex64),
    "k": jax.random.key(3),
    "o": jax.random.PRNGKey(4),
    "long": _waves(32),
    "q": _waves(1, 4, 2, 4),
    "qa": _waves(2, 4),
    "im": _waves(1, 2, 4, 4),
    "ke": _waves(3, 2, 2, 2),
    "kl": _waves(3, 8, 3, 3),
    "kt": _waves(2, 2, 2, 3),
}
NAMESPACE = {
    "jax": jax, "jnp": jnp, "np": np, "lax": lax, "jss": jax.scipy.special, "jst": jax.scipy.stats, "nn": jax.nn,
    "jsi": jax.scipy.signal, "init": jax.nn.initializers, "jr": jax.random, "odeint": odeint,
    "sd": lax.ScatterDimensionNumbers((), (0,), (0,)),
}  # fmt: skip


NO_DERIVATIVE_IN_JAX = frozenset(
    ["x.at[j].apply(jnp.sin)", 'lax.reduce_window(x, 0.0, lambda a, b: a + b + a * b, (2, 2), (1, 1), "VALID")']
)


class Row(NamedTuple):
    text: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    differentiated: tuple[int, ...]
    named: bool  # over the lanes of vmap only: it names their axis


def _row(text: str) -> Row:
    expression = text.removeprefix("~")
    used = [n for n in VARIABLES if re.search(rf'(?<![\w."]){n}(?![\w"=(])', expression)]
    function = eval(f"lambda {', '.join(used)}: {expression}", dict(NAMESPACE))
    inexact = [i for i, n in enumerate(used) if jnp.issubdtype(VARIABLES[n].dtype, np.inexact)]
    differentiated = () if text.startswith("~") or text in NO_DERIVATIVE_IN_JAX else tuple(inexact)
    return Row(text, function, tuple([VARIABLES[n] for n in used]), differentiated, '"a"' in expression)


ROWS = [text for group in GROUPS for text in re.split(r"(?<! )\|(?! )|\n", group.strip())]
EVERY = 1 if os.environ.get("FUNCTRANS_TESTS") == "thorough" else 31


def lanes(x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.split(x, 2)
    return np.stack([x, x[::-1] if x.ndim else x * np.float32(0.9)])


def total_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The inexact results, each with its own weight, added up."""

    def total(*arguments: Any) -> Any:
        result = np.float32(0)
        for leaf in jax.tree.leaves(function(*arguments)):
            if jnp.issubdtype(leaf.dtype, np.inexact):
                weights = np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
                result = result + (leaf * weights.astype(leaf.dtype)).sum().real.astype(np.float32)
        return result

    return total


def _everything(transforms: Any, function: Callable[..., Any], row: Row) -> Callable[[], Any]:
    """() -> the value, and the value and the gradient over two lanes, by the transforms of JAX or ours."""
    smooth = row.differentiated and any(
        jnp.issubdtype(leaf.dtype, np.inexact)
        for leaf in jax.tree.leaves(jax.eval_shape(jax.vmap(row.function, axis_name="a"), *map(lanes, row.arguments)))
    )

    def results(*arguments: Any) -> Any:
        lanes = transforms.vmap(function, axis_name="a")(*arguments[1])
        slopes = None
        if smooth:
            gradient = transforms.grad(total_of(function), row.differentiated)
            slopes = transforms.vmap(gradient, axis_name="a")(*arguments[1])
        return None if row.named else function(*arguments[0]), lanes, slopes

    return lambda run: run(results)(row.arguments, tuple(map(lanes, row.arguments)))


@pytest.mark.parametrize("part", range(10))
def test_every_function_is_traced_under_vmap_and_grad(part: int) -> None:
    for text in ROWS[part::10]:
        row = _row(text)
        expected = jax.eval_shape(jax.vmap(row.function, axis_name="a"), *map(lanes, row.arguments))
        program = _everything(ft, ft.from_jax(row.function), row)(ft.make_jaxpr)
        found = [(t.shape, t.dtype) for t in program.out_types]
        start = 0 if row.named else len(jax.tree.leaves(expected))
        wanted = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(expected)]
        assert found[start : start + len(wanted)] == wanted, text


@pytest.mark.parametrize("text", ROWS[::EVERY])
def test_numbers_agree_with_jax(text: str) -> None:
    row = _row(text)
    expected = _everything(jax, row.function, row)(jax.jit)
    assert_same(_everything(ft, ft.from_jax(row.function), row)(ft.jit), expected, 1024, context=text)


PUBLIC = (
    "numpy", "numpy.fft", "scipy.special", "scipy.signal", "scipy.fft", "scipy.ndimage", "scipy.integrate", "nn",
    "nn.initializers", "lax", "random", "image", "ops",
)  # fmt: skip


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="later versions have more functions")
@pytest.mark.parametrize("module", PUBLIC)
def test_the_census_leaves_nobody_out(module: str) -> None:
    namespace = importlib.import_module(f"jax.{module}")
    functions = {
        name
        for name in dir(namespace)
        if not name.startswith("_") and callable(getattr(namespace, name))
        if not inspect.isclass(getattr(namespace, name))
    }
    met = set(re.findall(r"\w+", "\n".join(ROWS)))
    assert sorted(functions - met - set(ABSENT.split())) == []
