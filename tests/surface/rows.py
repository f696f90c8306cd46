"""An expression for each public function of JAX: the census (``tests.interop.census_rows``), and what it leaves out.

Each is read twice, with the names of functrans and with those of JAX: the values, and the derivatives by every variable
that is a floating or complex array, are to be the same. A leading "~" marks one whose derivative is not compared: it
has none, or JAX refuses it; a leading "'" one whose second derivative is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.example_libraries.optimizers
import jax.example_libraries.stax
import jax.experimental.checkify
import jax.experimental.ode
import jax.experimental.sparse
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
from jax import lax

import functrans
import functrans.experimental.ode
import functrans.flatten_util
from tests.interop.census_rows import GROUPS
from tests.interop.test_census import VARIABLES as CENSUS_VARIABLES

VARIABLES: dict[str, Any] = {**CENSUS_VARIABLES}

MORE = """
jax.scipy.sparse.linalg.gmres(lambda t: s @ t, v[:3], tol=1e-7)[0]
jax.scipy.sparse.linalg.gmres(s, v[:3], tol=1e-7, solve_method="incremental")[0]
jax.scipy.sparse.linalg.cg(s, v[:3], tol=1e-7)[0]|jax.scipy.sparse.linalg.bicgstab(s, v[:3], tol=1e-7)[0]
jax.scipy.fft.dct(c, norm="ortho")|jax.scipy.fft.dct(x, n=7, axis=0)|jax.scipy.fft.idct(x, n=3, norm="ortho", axis=0)
jax.scipy.fft.dctn(x, axes=(0, 1), s=(5, 2), norm="ortho")
jax.scipy.interpolate.RegularGridInterpolator((v[:3].cumsum(), jnp.arange(4.0)), x, fill_value=None)((p[0], 2 * p[1]))
jax.scipy.interpolate.RegularGridInterpolator((jnp.arange(3.0), jnp.arange(4.0)), x, method="nearest")(p[:, :2])
"""

# The second derivative of these is another here, or JAX has none: the row's text and why.
NO_SECOND_ORDER: dict[str, str] = {}
# Rows that functrans or JAX does not evaluate as they stand.
LEFT_OUT: dict[str, str] = {}

_ALIASES = {
    "jnp": "numpy", "lax": "lax", "jss": "scipy.special", "jst": "scipy.stats", "nn": "nn", "jsi": "scipy.signal",
    "init": "nn.initializers", "jr": "random", "odeint": "experimental.ode.odeint", "jax": "",
}  # fmt: skip


def namespace(of: Any) -> dict[str, Any]:
    """What the names in rows mean, in JAX or in functrans."""
    names: dict[str, Any] = {"np": np, "sd": lax.ScatterDimensionNumbers((), (0,), (0,))}
    for alias, path in _ALIASES.items():
        value = of
        for part in path.split(".") if path else ():
            value = getattr(value, part)
        names[alias] = value
    return names


class Row(NamedTuple):
    """A row, as functions of the same arguments."""

    text: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arguments: tuple[Any, ...]
    differentiated: tuple[int, ...]
    order: int
    named: bool  # over the lanes of vmap only: it names their axis


TEXTS = [
    text for group in (*GROUPS, MORE) for text in re.split(r"(?<! )\|(?! )|\n", group.strip()) if text not in LEFT_OUT
]


def row_of(text: str) -> Row:
    """A row, read."""
    expression = text.lstrip("~'")
    used = [n for n in VARIABLES if re.search(rf'(?<![\w."]){n}(?![\w"=(])', expression)]
    source = f"lambda {', '.join(used)}: {expression}"
    inexact = [i for i, n in enumerate(used) if jnp.issubdtype(VARIABLES[n].dtype, np.inexact)]
    order = 0 if text.startswith("~") else 1 if text.startswith("'") or text in NO_SECOND_ORDER else 2
    return Row(
        text, eval(source, namespace(functrans)), eval(source, namespace(jax)), tuple([VARIABLES[n] for n in used]),
        tuple(inexact) if order else (), order, '"a"' in expression,
    )  # fmt: skip


@cache
def names_met() -> frozenset[str]:
    """The public names that occur in rows, in full."""
    found = set()
    for text in TEXTS:
        for node in ast.walk(ast.parse(text.lstrip("~'"), mode="eval")):
            parts: list[str] = []
            while isinstance(node, ast.Attribute):
                parts.insert(0, node.attr)
                node = node.value
            if isinstance(node, ast.Name) and node.id in _ALIASES:
                base = _ALIASES[node.id].split(".") if _ALIASES[node.id] else []
                for end in range(len(parts) + 1):
                    found.add(".".join([*base, *parts[:end]]))
    return frozenset(found)
