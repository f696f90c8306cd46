"""NumPy's own functions on traced values do what those of functrans.numpy do, or refuse, and say what to take instead.

The rows of the surface are read with NumPy's names in place of ``jax.numpy``'s: what is traced is to be the same
program, also under ``grad``. What NumPy computes without a traced value is captured as numbers; there the results are
compared.
"""

from __future__ import annotations

import linecache
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.special

import functrans
import functrans as ft
import functrans.numpy as fnp
from functrans.errors import FunctransError
from tests.agreement import assert_same
from tests.errors.refusal import caught
from tests.interop.test_census import total_of
from tests.surface.rows import TEXTS, VARIABLES, is_available, names_of, namespace, read, row_of, variables_of
from tests.turns import covering_share

pytestmark = pytest.mark.filterwarnings("ignore")  # of NumPy and JAX, about deprecated functions and casts

OURS = namespace(functrans)
NUMPYS = {**OURS, "jnp": np, "scipy_special": scipy.special}

# With arguments at other places than JAX's, by other names, or of NumPy's alone; and how ours is called.
ARRANGED = {
    "jnp.histogram(v, 3, None, True)[0]": "jnp.histogram(v, 3, density=True)[0]",
    "jnp.histogram(x, 3, None, None, p)[0]": "jnp.histogram(x, 3, weights=p)[0]",
    "jnp.histogram2d(x[0], v, 3, None, True)[0]": "jnp.histogram2d(x[0], v, 3, density=True)[0]",
    "jnp.histogramdd(x, 2, None, True)[0]": "jnp.histogramdd(x, 2, density=True)[0]",
    "jnp.linalg.matrix_rank(s, 1.5) * n": "jnp.linalg.matrix_rank(s, tol=1.5) * n",
    "jnp.linalg.matrix_rank(A=s) * n": "jnp.linalg.matrix_rank(s) * n",
    "jnp.linalg.pinv(s, 0.5)": "jnp.linalg.pinv(s, rcond=0.5)",
    "jnp.clip(a=x, a_min=-0.1, a_max=y)": "jnp.clip(x, -0.1, y)",
    "jnp.clip(x, None, 0.2)": "jnp.clip(x, None, 0.2)",
    "jnp.real(val=c)": "jnp.real(c)",
    "jnp.zeros_like(x, None, 'K') + n": "jnp.zeros_like(x) + n",
    "jnp.ones_like(x, jnp.int32, shape=(2,)) + n": "jnp.ones_like(x, jnp.int32, (2,)) + n",
    "jnp.concatenate([x, y], 0, None)": "jnp.concatenate([x, y], 0)",
    "jnp.full((2, 3), n, like=n)": "jnp.full((2, 3), n)",
    "jnp.array([n, 2 * n], like=n)": "jnp.array([n, 2 * n])",
    "jnp.asarray(x, like=x)": "jnp.asarray(x)",
    "jnp.add.reduce(x)": "jnp.sum(x, 0)",
    "jnp.maximum.reduce(x, axis=None, keepdims=True)": "jnp.max(x, keepdims=True)",
    "jnp.logaddexp.reduce(x, 1)": "jnp.logaddexp.reduce(x, 1)",
    "jnp.add.reduce(x, where=b)": "jnp.sum(x, 0, where=b)",
    "jnp.add.reduce(x, where=True)": "jnp.sum(x, 0)",
    "jnp.multiply.accumulate(x, 1)": "jnp.cumprod(x, 1)",
    "jnp.subtract.outer(v, x)": "jnp.subtract.outer(v, x)",
    "jnp.add.reduceat(v, [0, 2])": "jnp.add.reduceat(v, jnp.array([0, 2]))",
    "jnp.vecdot(x, y, axis=0)": "jnp.vecdot(x, y, axis=0)",
    "jnp.compress(jnp.array([True, False, True]), x, 0)": "jnp.compress(np.array([True, False, True]), x, 0)",
    "jnp.repeat(v, [1, 0, 2, 1])": "jnp.repeat(v, np.array([1, 0, 2, 1]))",
    "jnp.sort(y, 1)": "jnp.sort(y, 1)",
    "jnp.fix(x)": "jnp.fix(x)",
    "jnp.row_stack([v, v])": "jnp.row_stack([v, v])",
    "jnp.trim_zeros(jnp.array([0, 1, 0])) * n": "jnp.trim_zeros(np.array([0, 1, 0])) * n",
    "jnp.mask_indices(3, jnp.triu)[0] * n": "jnp.mask_indices(3, np.triu)[0] * n",
    "len(jnp.array_repr(x) + jnp.array_str(x)) * n": "len(jnp.array_repr(x) + jnp.array_str(x)) * n",
    "len(jnp.einsum_path('ij,ij->i', x, x)[0]) * n": "len(jnp.einsum_path('ij,ij->i', x, x)[0]) * n",
}  # fmt: skip

# Refused under jit, and what the message says.
SIZE = "size="
REFUSED = {
    "jnp.argwhere(b)": SIZE, "jnp.nonzero(b)": SIZE, "jnp.flatnonzero(b)": SIZE, "jnp.where(b)": SIZE,
    "jnp.unique(i)": SIZE, "jnp.unique_all(i)": SIZE, "jnp.unique_counts(i)": SIZE, "jnp.unique_inverse(i)": SIZE,
    "jnp.unique_values(i)": SIZE, "jnp.intersect1d(j, i[0])": SIZE, "jnp.setdiff1d(j, i[0])": SIZE,
    "jnp.setxor1d(j, i[0])": SIZE, "jnp.union1d(j, i[0])": SIZE, "jnp.bincount(i[0] % 4)": "length=",
    "jnp.compress(b[0], x, 1)": "the condition must be known", "jnp.extract(b, x)": "the condition must be known",
    "jnp.repeat(v, j[0])": "repeats must be known", "jnp.roots(v)": "strip_zeros=True",
    "jnp.trim_zeros(v)": "must be known",
    "jnp.fill_diagonal(s, n)": "inplace=False", "jnp.place(x, b, v)": "inplace=False",
    "jnp.put(x, j, v[:3])": "inplace=False", "jnp.put_along_axis(x, i % 4, y, 1)": "inplace=False",
    "jnp.add.at(v, j, n)": "functrans.numpy.add.at with inplace=False",
    "jnp.add(x, y, out=jnp.zeros((3, 4)))": "out= would write a traced value",
    "jnp.sin(x, dtype=jnp.float64)": "with dtype=, which functrans.numpy.sin does not take",
    "jnp.add(x, y, where=b)": "where=",
    "jnp.add(jnp.zeros((3, 4)), 1.0, where=b)": "where=",
    "jnp.zeros_like(x, order='F')": "with order=, which functrans.numpy.zeros_like does not take",
    "jnp.dot(x, v, jnp.zeros(3))": "with out=, which functrans.numpy.dot does not take",
    "jnp.sum(x, 0, None, jnp.zeros(4))": "sum: out= is not supported",
    "jnp.sort(y, 1, 'heapsort')": "stable=True",
    "jnp.full_like(jnp.zeros(2), n)": "Use functrans.numpy.full_like instead of np.full_like",
    "jnp.array([n, n])": "Use functrans.numpy.array instead of np.array",
    "jnp.asarray(x)": "Use functrans.numpy.asarray instead of np.asarray",
    "jnp.full(2, n)": "Use functrans.numpy.full instead of np.full",
    "jnp.arange(n)": "Use functrans.numpy.arange instead of np.arange",
    "jnp.vectorize(lambda t: t + 1)(v)": "Use functrans.numpy.vectorize instead of np.vectorize",
    "jnp.frompyfunc(lambda t: t + 1, 1, 1)(v)": "Use functrans.numpy.frompyfunc instead of np.frompyfunc",
    "jnp.frompyfunc(lambda a, t: t + a, 2, 1).reduce(v)": "frompyfunc",
    "jnp.sum([n, n])": "Use functrans.numpy.sum instead of np.sum",
    "jnp.r_[v, 1.0]": "Use functrans.numpy.r_ instead of np.r_",
    "jnp.c_[v, v]": "Use functrans.numpy.c_ instead of np.c_",
    "jnp.emath.sqrt(x)": "np.lib.scimath.sqrt was called on a traced value, and functrans.numpy has no function",
    "scipy_special.erf(x)": "Use functrans.scipy.special.erf instead of scipy_special.erf",
    "jnp.copyto(jnp.zeros(4), v)": "functrans.numpy has no function of that name",
    "jnp.save('x.npy', x)": "needs a concrete value", "jnp.savez('x.npz', x)": "needs a concrete value",
    "jnp.from_dlpack(x)": "__dlpack__() method was called on traced array",
    "jnp.frombuffer(x)": "bytes-like object is required", "jnp.fromstring(x)": "bytes-like object is required",
    "jnp.fromiter(v, jnp.float32)": "needs a concrete value",
}  # fmt: skip

OF_NO_ARRAYS = frozenset(["get_printoptions", "set_printoptions", "printoptions", "load", "fromfile"])


def numpy_has(text: str) -> bool:
    """Whether every name of ``jax.numpy`` in a row is one of NumPy, too."""
    for name in names_of(text):
        place: Any = np
        for part in name.split(".")[1:] if name.startswith("numpy") else ():
            place = getattr(place, part, None)
        if place is None:
            return False
    return True


ROWS = [
    text
    for text in TEXTS
    if any(name.startswith("numpy.") for name in names_of(text)) and is_available(text) and numpy_has(text)
    and not row_of(text).named
]  # fmt: skip
TRACED = [text for text in ROWS if row_of(text).arguments]


def numpys(text: str) -> Callable[..., Any]:
    """An expression with NumPy's functions, whose source a message can show."""
    expression = re.sub(r"\bjnp\.", "np.", text.lstrip("~"))
    source = f"lambda {', '.join(variables_of(expression))}: {expression}\n"
    file = f"<{expression}>"
    linecache.cache[file] = len(source), None, [source], file
    return eval(compile(source, file, "eval"), dict(NUMPYS))  # type: ignore[no-any-return]


def takes_jax_names(text: str) -> bool:
    """Whether NumPy itself refuses a row, for a keyword that its function has not."""
    try:
        ft.make_jaxpr(numpys(text))(*row_of(text).arguments)
    except FunctransError:
        return False
    except TypeError as error:
        return bool(re.search("got an unexpected keyword argument '|cannot create 'numpy.ufunc' instances", str(error)))
    return False


def assert_same_program(found: Callable[..., Any], wanted: Callable[..., Any], arguments: Any, context: str) -> None:
    """The same jaxpr, or, of captured numbers, the same results."""
    if str(ft.make_jaxpr(found)(*arguments)) == str(ft.make_jaxpr(wanted)(*arguments)):
        return
    results = ft.jit(found)(*arguments), ft.jit(wanted)(*arguments)
    assert_same(*[jax.tree.map(fnp.asarray, r) for r in results], weak=False, context=context)


@pytest.mark.parametrize("part", range(8))
def test_functions_are_those_of_functrans(part: int) -> None:
    for text in TRACED[part::8]:
        if text in REFUSED or takes_jax_names(text):
            continue
        row, function = row_of(text), numpys(text)
        try:
            assert_same_program(function, row.ours, row.arguments, text)
        except FunctransError as error:
            assert "functrans.numpy" in "\n".join([str(error), *getattr(error, "__notes__", ())]), text
            continue
        if row.differentiated:
            slopes = [ft.grad(total_of(f), row.differentiated) for f in (function, row.ours)]
            assert_same_program(*slopes, row.arguments, f"grad of {text}")


@pytest.mark.parametrize("text", list(filter(numpy_has, ARRANGED)))
def test_arguments_go_by_the_names_of_numpy(text: str) -> None:
    arguments = [VARIABLES[name] for name in variables_of(text)]
    assert_same_program(numpys(text), read(ARRANGED[text], OURS), arguments, text)


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_traced_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # np.save has made its file by then
    arguments = [VARIABLES[name] for name in variables_of(text)]
    refused = caught((TypeError, ValueError, NotImplementedError), lambda: ft.jit(numpys(text))(*arguments))
    refused.says(REFUSED[text])


@pytest.mark.parametrize("part", range(4))
def test_nothing_is_a_constant_to_a_derivative(part: int) -> None:
    """Without jit NumPy's functions could read the values of what is differentiated."""
    rows = [row for text in covering_share(TRACED, 4) if (row := row_of(text)).differentiated]
    for row in rows[part::4]:
        function = numpys(row.text)
        try:
            found = ft.grad(total_of(function), row.differentiated)(*row.arguments)
        except (FunctransError, TypeError):
            continue
        expected = ft.grad(total_of(row.ours), row.differentiated)(*row.arguments)
        assert_same(found, expected, context=row.text)


def test_every_function_of_both_is_met() -> None:
    met = {name for text in [*TRACED, *ARRANGED, *REFUSED] for name in names_of(text) if not takes_jax_names_of(text)}
    missing = []
    for module in ("", "linalg", "fft"):
        theirs, ours = (getattr(of, module) if module else of for of in (np, fnp))
        for name in dir(theirs):
            function = getattr(theirs, name)
            if name.startswith("_") or not callable(function) or isinstance(function, type) or not hasattr(ours, name):
                continue
            qualified = f"numpy.{module}.{name}" if module else f"numpy.{name}"
            if qualified not in met and name not in OF_NO_ARRAYS:
                missing.append(qualified)
    assert not missing


def takes_jax_names_of(text: str) -> bool:
    return text in TRACED and takes_jax_names(text)


# NumPy's function drops the mask of a masked array, without a traced value.
BARE_BY_NUMPY = re.compile(r"jnp\.(broadcast_to|linalg\.matrix_rank)\(")


def test_no_mask_is_lost() -> None:
    """What is under the mask of a masked array has no influence, next to a traced value; most functions refuse it."""
    refusals = 0
    for text in [*TRACED, *ARRANGED]:
        names = variables_of(text)
        for at, name in enumerate(names if len(names) > 1 and not BARE_BY_NUMPY.match(text) else ()):
            data = VARIABLES[name]
            if not isinstance(data, np.ndarray):
                continue
            other, function = data.copy(), numpys(text)
            other.flat[0] = not data.flat[0] if data.dtype == bool else data.flat[0] + 1
            arguments = [VARIABLES[n] for n in names]

            def result(values: Any, at: int = at, function: Any = function, arguments: Any = arguments) -> Any:
                masked = np.ma.masked_array(values, np.arange(values.size).reshape(values.shape) == 0)
                traced = lambda *rest: function(*rest[:at], masked, *rest[at:])
                return ft.jit(traced)(*arguments[:at], *arguments[at + 1 :])

            try:
                first, second = result(data), result(other)
            except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
                refusals += "its mask would be lost" in str(error)
                continue
            assert_same(first, second, context=f"{text} with {name} masked")
    assert refusals > 100


# Next to arrays of NumPy, A, without jit: the derivative is JAX's, or nothing comes of it.
A = np.arange(4.0, dtype=np.float32)
BESIDE = """
np.where(A > 1, v, A)|np.select([A > 1], [v], 0.0)|np.insert(A, 1, v[0])|np.append(A, v)|np.block([A, v])|A @ v|v @ A
np.kron(A, v)|np.interp(v, A, A)|np.trapezoid(A, v)|np.einsum("i,i", A, v)|np.correlate(A, v)|np.linspace(v[0], 1.0, 3)
np.full_like(v, v[1])|np.linalg.solve(np.eye(4), v)|np.polyval(A, v)|np.hstack([v[0], A])|np.outer(A, v)
np.clip(A, v, None)|np.zeros(np.shape(v)) + v[0]|A - v|v ** A|np.maximum(A, v)
np.float32(2) * v|np.stack([v, A])|sum([v[0], A[1], v[1]])
"""
BESIDE_REFUSED = """
np.vectorize(lambda a: a * v[0])(A)|np.apply_along_axis(lambda a: a * v[0], 0, A)|np.sum([v[0], v[1]])|A.dot(v)
np.piecewise(A, [A > 1], [lambda a: a * v[0], 0.0])|np.array([v[0], v[1]], dtype=object).sum()|A.take(v)
np.put(A, [0], v[0])|operator.iadd(A, v)|operator.setitem(A, 0, v[0])|operator.setitem(A, slice(None), v)|A.fill(v[0])
np.asarray([v, A])|np.float32(v[0])|np.random.normal(v)|np.ma.dot(A, v)|np.ma.masked_array(A, A > 1) * v
np.pad(A, 1, constant_values=v[0])|np.nan_to_num(A, nan=v[0])|np.concatenate([[v[0]], A])
np.add(A, np.ma.masked_array(A, A > 1)) + np.ma.masked_array(v)
"""


def beside(of: Any, text: str) -> Any:
    return eval(f"lambda v: {text}", {"np": of, "A": A.copy(), "operator": operator})


@pytest.mark.parametrize("text", re.split(r"\||\n", BESIDE.strip()))
def test_next_to_arrays_of_numpy(text: str) -> None:
    v = VARIABLES["v"]
    expected = jax.grad(total_of(beside(jax.numpy, text)))(v)
    assert_same(ft.grad(total_of(beside(np, text)))(v), expected, context=text)
    assert_same(ft.jit(ft.grad(total_of(beside(np, text))))(v), expected, context=text)


@pytest.mark.parametrize("text", re.split(r"\||\n", BESIDE_REFUSED.strip()))
def test_what_arrays_of_numpy_cannot_hold_is_refused(text: str) -> None:
    for transform in (ft.grad, lambda f: ft.jit(ft.grad(f))):
        refused = caught((TypeError, ValueError), lambda: transform(total_of(beside(np, text)))(VARIABLES["v"]))  # noqa: B023
        assert isinstance(refused.error, FunctransError), refused.text


def test_a_value_that_is_there_is_saved(tmp_path: Any) -> None:
    x, w = VARIABLES["x"], VARIABLES["v"]

    def loss(x: Any, w: Any) -> Any:
        np.save(tmp_path / "w.npy", w)
        return np.sum(x * w)

    np.testing.assert_array_equal(ft.grad(loss)(x, w), np.broadcast_to(w, x.shape))
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), w)
    caught(TypeError, lambda: ft.grad(loss, 1)(x, w)).says("its derivative would be lost")
