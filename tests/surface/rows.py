"""An expression for each public function of JAX: the census (``tests.interop.census_rows``), and what it leaves out.

Each is read twice, with the names of functrans and with those of JAX: the values, and the derivatives by every variable
that is a floating or complex array, are to be the same. A leading "~" marks one whose derivative is not compared: it
has none, or JAX refuses it.
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
jnp.linalg.cholesky(s)|jnp.linalg.cond(s)|jnp.linalg.det(s)|jnp.linalg.eigh(s)[0]|jnp.linalg.eigvalsh(s)
jnp.linalg.inv(s)|jnp.linalg.lstsq(s, v[:3])[0]|jnp.linalg.matrix_rank(s) * n|jnp.linalg.pinv(s)|jnp.linalg.qr(s)
jnp.linalg.slogdet(s)|jnp.linalg.solve(s, v[:3])|jnp.linalg.svd(s)[1]|jnp.linalg.svdvals(s)
jnp.linalg.tensorinv(s, ind=1)|jnp.linalg.tensorsolve(s, v[:3])|~jnp.linalg.eigvals(s).real.sort()
~abs(jnp.linalg.eig(s)[0]).sort()|jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(s @ s.T), v[:3])
jax.scipy.linalg.cholesky(s @ s.T)|jax.scipy.linalg.det(s)|jax.scipy.linalg.eigh(s @ s.T)[0]|jax.scipy.linalg.expm(s)
jax.scipy.linalg.inv(s)|jax.scipy.linalg.lu(s)|jax.scipy.linalg.lu_solve(jax.scipy.linalg.lu_factor(s), v[:3])
~jax.scipy.linalg.polar(s)|jax.scipy.linalg.qr(s)|jax.scipy.linalg.solve(s, v[:3])|~jax.scipy.linalg.sqrtm(s).real
jax.scipy.linalg.solve_triangular(s, v[:3])|jax.scipy.linalg.svd(s)[1]|~jax.scipy.linalg.hessenberg(s)
~abs(jnp.diag(jax.scipy.linalg.schur(s)[0]))|lax.linalg.cholesky(s)|lax.linalg.eigh(s)[1]|~lax.linalg.lu(s)[0]
lax.linalg.lu_pivots_to_permutation(j, 3) * n|lax.linalg.qr(s)|lax.linalg.svd(s, compute_uv=False)
lax.linalg.triangular_solve(s, s, left_side=True)|~lax.linalg.hessenberg(s)|~lax.linalg.schur(s)[0]
~lax.linalg.householder_product(s, v[:3])|lax.linalg.tridiagonal_solve(v, v + 2, v, x.T)|~lax.linalg.tridiagonal(s)[1]
jnp.iscomplexobj(c) * n|jnp.isrealobj(c) * n|jnp.isscalar(3.0) * n|jnp.ndim(x) * n|jnp.shape(x)[1] * n|jnp.size(x) * n
jnp.iterable(x) * n|jnp.issubdtype(x.dtype, jnp.floating) * n|jnp.isdtype(x.dtype, "real floating") * n
jnp.can_cast(x.dtype, jnp.float32) * n|x.astype(jnp.promote_types(jnp.float32, jnp.int32))
x.astype(jnp.result_type(x, 1.0))|jnp.broadcast_shapes((3, 1), (4,))[0] * n|jnp.c_[v, v]
jnp.triu_indices_from(s)[0] * n|jnp.mgrid[0:2, 0:3] * n|jnp.empty((2,)) * 0 * n|jnp.corrcoef(y)
~jnp.sort(jnp.argpartition(y, 1)[:, 1:], 1)|~jnp.partition(y, 1, 1)[:, 1]|jnp.polyfit(v, x[0], 1)
jnp.pad(x, 2, "median")|jnp.pad(x, 2, "mean", stat_length=(1, 2))
jnp.pad(i, 2, "linear_ramp", end_values=((1, 2), (3, 4)))
jnp.ufunc(jnp.add, 2, 1).accumulate(v)|lax.broadcast_shapes((3, 1), (4,))[0] * n|lax.broadcast_to_rank(v, 2)
lax.abs(x)|lax.shape_as_value((2, 3)) * n|lax.empty((2,), jnp.float32) * 0 * n
lax.conv_general_permutations(("NCHW", "OIHW", "NCHW"))[0][1] * n
lax.conv_shape_tuple((1, 2, 4, 4), (3, 2, 2, 2), (1, 1), "SAME")[1] * n
lax.conv_transpose_shape_tuple((1, 2, 4, 4), (3, 2, 2, 2), (1, 1), "SAME", ("NCHW", "OIHW", "NCHW"))[1] * n
lax.reduce_window_shape_tuple((3, 4), (2, 2), (1, 1), ((0, 0), (0, 0)))[0] * n
lax.padtype_to_pads((4,), (3,), (1,), "SAME")[0][1] * n
init.kaiming_normal()(k, (2, 3))|init.kaiming_uniform()(k, (2, 3))|init.xavier_normal()(k, (2, 3))
init.xavier_uniform()(k, (2, 3))|init.orthogonal()(k, (3, 3))|init.delta_orthogonal()(k, (3, 2, 2))
jr.multivariate_normal(k, v[:3], s)|jr.orthogonal(k, 3)
lax.broadcast_like(v, x)|jnp.zeros(2, lax.dtype(x)) + n
lax.conv_general_shape_tuple((1, 2, 4, 4), (3, 2, 2, 2), (1, 1), "SAME", ("NCHW", "OIHW", "NCHW"))[1] * n
jax.value_and_grad(lambda t: jnp.sum(t ** 3))(x)|jax.vjp(jnp.sin, x)[1](y)|jax.jacfwd(jnp.sin)(v)|jax.jacrev(jnp.sin)(v)
jax.jacobian(lambda t: t ** 2)(v)|jax.eval_shape(jnp.sin, x).shape[0] * n|jax.tree.leaves({"a": x})[0]
jax.tree_util.tree_map(jnp.sin, {"a": x})|jax.tree_util.tree_reduce(lambda a, t: a + t.sum(), (x, v))
jax.tree_util.Partial(jnp.multiply, x)(y)|jax.tree.transpose(jax.tree.structure([0, 0]), None, [(x, y), (y, x)])
jax.tree.unflatten(jax.tree.structure((0, 0)), jax.tree.flatten([x, v])[0])
"""

# Rows that are not compared whole, by the reason.
NO_FORWARD_MODE = {
    "JAX has a reverse rule alone": [
        "odeint(lambda s, t: -s * v, v, jnp.array([0.0, 0.3]), rtol=1e-4)",
        "jax.custom_gradient(lambda t: (t * 2, lambda g: g * 5))(x)",
    ],
}
NO_SECOND_ORDER = {
    "JAX takes a loop of unknown length": [
        "jr.beta(k, p, 2.0)", "jr.chisquare(k, p)", "jr.dirichlet(k, p[0])", "jr.f(k, p, 3.0)", "jr.gamma(k, p)",
        "jr.loggamma(k, p)", "jr.t(k, p)",
    ],
    "JAX has no derivative of igamma_grad_a": [
        "lax.igamma(p, p)", "lax.igammac(p, p + 1)", "jss.gammainc(p, 1.5)", "jss.gammaincc(p, 1.5)",
    ],
    "an error of JAX": ["jss.exp1(p)", "jss.expn(2, p)"],
}  # fmt: skip
NO_DERIVATIVE = {
    "differentiated by the distribution function: tests/random/test_derivatives.py": ["jr.wald(k, p)"],
    "a loop of unknown length": ["x.at[j].apply(jnp.sin)"],
    "JAX's are NaN around 1.5; held against mpmath": ["jss.spence(p)"],
    "JAX has none": ['lax.reduce_window(x, 0.0, lambda a, b: a + b + a * b, (2, 2), (1, 1), "VALID")'],
}
LEFT_OUT = {
    "correlations of 1, where they are clipped": ["jnp.corrcoef(x)"],
    "JAX's is NaN for small numbers; held against mpmath": ["jss.bessel_jn(p, v=2)"],
    "the order within the parts is not said": ["jnp.argpartition(y, 1)", "jnp.partition(y, 1, 1)"],
}

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
    forward: bool


def _listed(table: dict[str, list[str]]) -> set[str]:
    return {text for texts in table.values() for text in texts}


def is_available(text: str) -> bool:
    """Whether functrans has every name of a row."""
    for name in names_of(text):
        *modules, last = name.split(".")
        place: Any = functrans
        for module in modules:
            place = getattr(place, module, None)
        if last and not hasattr(place, last):
            return False
    return True


TEXTS = [
    text
    for group in (*GROUPS, MORE)
    for text in re.split(r"(?<! )\|(?! )|\n", group.strip())
    if text not in _listed(LEFT_OUT)
]


def variables_of(text: str) -> list[str]:
    """The names of the variables in an expression."""
    return [n for n in VARIABLES if re.search(rf'(?<![\w."]){n}(?![\w"=(])', text)]


def read(text: str, names: dict[str, Any]) -> Callable[..., Any]:
    """An expression, as a function of its variables."""
    return eval(f"lambda {', '.join(variables_of(text))}: {text}", dict(names))  # type: ignore[no-any-return]


def row_of(text: str) -> Row:
    """A row, read."""
    expression = text.lstrip("~")
    used = variables_of(expression)
    inexact = [i for i, n in enumerate(used) if jnp.issubdtype(VARIABLES[n].dtype, np.inexact)]
    order = 1 if text in _listed(NO_SECOND_ORDER) else 2
    if text.startswith("~") or text in _listed(NO_DERIVATIVE):
        order = 0
    return Row(
        text, read(expression, namespace(functrans)), read(expression, namespace(jax)),
        tuple([VARIABLES[n] for n in used]),
        tuple(inexact) if order else (), order, '"a"' in expression, text not in _listed(NO_FORWARD_MODE),
    )  # fmt: skip


def names_of(text: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(text.lstrip("~"), mode="eval")):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in _ALIASES:
            found.add(".".join([part for part in (_ALIASES[node.id], *parts) if part]))
    return found


@cache
def names_met() -> frozenset[str]:
    """The public names that occur in rows, in full."""
    found = set()
    for text in TEXTS:
        for name in names_of(text):
            parts = name.split(".")
            found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(found)
