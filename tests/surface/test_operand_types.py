"""Result types by operand types: dtype and weak type are JAX's, or both refuse, for every public array function.

Of ``numpy``, ``lax``, ``nn`` and ``scipy.special``: each row of the surface, and each function called with as many
arrays as it must have, its operands drawn of every type: Python numbers, weak arrays, arrays of each kind. Traced
only: what is called un-jitted runs programs that answer with ones, nothing is compiled.
"""

from __future__ import annotations

import inspect
import itertools
import random
import re
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
from tests.laws.test_weak_types import nothing_compiled as nothing_compiled
from tests.surface.rows import TEXTS, VARIABLES, is_available, namespace, variables_of
from tests.turns import covering_share

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("nothing_compiled")]

MODULES = {"jnp": "numpy", "lax": "lax", "nn": "nn", "jss": "scipy.special"}
OPERANDS = ("x", "y", "p")  # of a function called with as many arrays as it must have
STRONG = {np.dtype(t).name: np.dtype(t) for t in (bool, "i1", "i4", "u1", "f2", ml_dtypes.bfloat16, "f4", "c8")}
NUMBERS: dict[str, Any] = {"bool": True, "int": 2, "float": 0.5, "complex": 0.5 + 0.5j}
KINDS = (*STRONG, *[f"weak {n}" for n in ("int", "float", "complex")], *[f"Python {n}" for n in NUMBERS])
MODES = [(wide, mode) for wide in (False, True) for mode in ("traced", "constants", "called")]
SHARES, TOGETHER = 37, 500  # 37 divides no number of kinds or modes: a share has cases of every function

# Where functrans answers and JAX refuses, by what JAX says: no program that runs there is another here.
MORE_THAN_JAX = {
    "a number beside an array takes its dtype, in lax too; bools and integers become what they must be": """
        requires arguments to have the same dtypes|does not accept dtype|is not supported|must be a floating type
        must have an inexact|not inexact|not compatible with finfo|must be same dtype|have an integer type
        integers of the same type|reduce_window got inconsistent|must have a number dtype|RFFT input must be
        has no attribute 'shape'|argument must be a string|expected number, got|select `which` must be scalar
        clamp requires min.shape|Boolean arguments to jax.numpy.ix_|select cases must have the same shapes
        Pred type must be|must be integer typed|Passing complex start
    """,
    "an error of JAX: it asks the product of a weak integer for the narrower dtype": "must not be narrower",
    "a number is a vector of one element, and a polynomial of degree 0": """
        of unsized object|tuple index out of range|must be 1D, got shapes|must be one-dimensional, but
    """,
    "an array stands for its dtype": "array as a dtype|construct a dtype from an array",
    "by default: all axes of size 1, the index type": "missing 1 required positional argument",
    "a mask may be longer": "is out of bounds for axis 0 with size 1|obj must be a slice",
    "complex numbers are standardised and ordered": "Clip received a complex value|compatible with complex inputs",
    "a list, or an array that is known, is a shape": "must have __hash__|only integer scalar arrays|not iterable",
    "there is one more way to write it": "Cannot broadcast to shape with fewer dimensions",
}  # fmt: skip
# Where JAX answers and functrans refuses.
REFUSED = {
    "JAX's value is none: it compares, rounds or casts in silence what is no index, number or axis": r"""
        jnp.roll\( jss.owens_t\( jnp.unravel_index\( nn.dot_product_attention\( jnp.repeat\(x,.2,.1\) jnp.polyfit\(
        jnp.pad\( jnp.bartlett\( jnp.blackman\( jnp.hamming\( jnp.hanning\( jnp.delete\( jnp.repeat\(x,.y\)
        jss.multigammaln\(
    """,
    "polynomials are vectors": r"jnp.polyadd\(x,.y\) jnp.polysub\(x,.y\)",
    "lax takes operands of one dtype, and what it selects by is bool or int32": r"""
        lax.reduce\( lax.select\( lax.select_n\( lax.random_gamma_grad\( lax.linalg.
    """,
    "complex numbers have no order": r"lax.clamp\( lax.cumlogsumexp\(",
    "the imaginary part of Python's number would be lost": r"(jnp|lax).full_like\(",
    "a shape is known, and the positions of insert": r"lax.shape_as_value\(x\) jnp.insert\(",
    "an axis name is bound by vmap": r"lax.p?[a-z]*\(x,.y lax.axis_index\(",
}
# Where the types differ.
OTHER_TYPE = {
    "half precision stays half precision, as in every function": r"jss.owens_t\(",
    "JAX's is an integer: the third root is the power int(1 / 3), which is 1": r"jnp.linalg.vector_norm\(x,.ord=3\)",
    "JAX drops or keeps the weakness of what it does not compute with": r"""
        lax.linalg.lu_pivots_to_permutation\( lax.reduce_window\(x,.-jnp.inf jnp.unravel_index\(
        jss.sph_harm_y\( jss.multigammaln\(
    """,
    "of more than two branches JAX takes the first one's": r"lax.switch\(",
    "Python's own arithmetic": r"lax.stop_gradient\(x\).\* lax.shape_as_value\(\(2",
}

Case = tuple[str, tuple[str, ...], tuple[bool, str]]  # expression, the kind of each variable, how it is evaluated


def operand(variable: str, kind: str) -> Any:
    """The value of a variable of the rows in another type; a number in place of an array where the kind is one."""
    value = VARIABLES[variable]
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if kind in STRONG:
        return (value.real if kind != "complex64" else value).astype(STRONG[kind])
    where, number = kind.split()
    return NUMBERS[number] if where == "Python" else jnp.broadcast_to(jnp.asarray(NUMBERS[number]), value.shape)


def module(of: Any, path: str) -> Any:
    for part in path.split("."):
        of = getattr(of, part)
    return of


def functions() -> Iterator[tuple[str, int]]:
    """The public functions that JAX has too, by their names in rows, and how many operands each must have."""
    for alias, path in MODULES.items():
        place, theirs = module(ft, path), {*dir(module(jax, path))}
        for name in sorted(theirs.intersection(place.__all__)):
            value = getattr(place, name)
            if not callable(value) or isinstance(value, type | types.ModuleType):
                continue
            try:
                parameters = inspect.signature(value).parameters.values()
            except ValueError:
                continue
            count = sum(p.kind <= p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters)
            several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
            yield f"{alias}.{name}", max(count, 2 if several else 1)


def expressions() -> list[str]:
    """The rows of arrays, and each function with as many arrays as it must have."""
    rows = [text.lstrip("~") for text in TEXTS if is_available(text) and '"a"' not in text]
    other = re.compile(r"^jax\.|\b(jr|jst|jsi|init|odeint)\b|_shape|permutations|padtype")
    plain = [f"{name}({', '.join(OPERANDS[:count])})" for name, count in functions() if count <= len(OPERANDS)]
    return list(dict.fromkeys([text for text in rows if not other.search(text)] + plain))


def draws(count: int) -> list[tuple[str, ...]]:
    """Kinds for this many operands: each one for all, all pairs, and of more operands some."""
    if count < 3:
        return list(itertools.product(KINDS, repeat=count))
    chance = random.Random(count)
    return [*zip(*[KINDS] * count, strict=True), *[tuple(chance.choices(KINDS, k=count)) for _ in range(60)]]


def cases() -> list[Case]:
    found: list[Case] = []
    for text in expressions():
        kinds = draws(len(variables_of(text)))
        found += [(text, k, MODES[(len(found) + i) % len(MODES)]) for i, k in enumerate(kinds)]
    return found


def described(tree: Any) -> Any:
    # A comparison of weak operands is a weak bool in JAX, which means nothing: there is one bool dtype.
    leaves = [x if hasattr(x, "dtype") else ft.numpy.asarray(x) for x in jax.tree.leaves(tree)]
    weak = [bool(getattr(x, "weak_type", False)) and x.dtype != np.bool_ for x in leaves]
    return [f"{x.dtype}{list(x.shape)}{'*' if w else ''}" for x, w in zip(leaves, weak, strict=True)]


def outcome(evaluate: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return described(evaluate())
        except Exception as error:
            return error


def function_of(of: Any, text: str) -> Callable[..., Any]:
    return eval(f"lambda {', '.join(variables_of(text))}: {text}", namespace(of))  # type: ignore[no-any-return]


def evaluated(of: Any, text: str, operands: Sequence[Any], mode: str) -> Any:
    function = function_of(of, text)
    if mode == "traced":
        return outcome(lambda: of.eval_shape(function, *operands))
    if mode == "called" and of is ft:
        return outcome(lambda: function(*operands))
    return outcome(lambda: of.eval_shape(lambda: function(*operands)))


def is_refused_when_compiled(text: str, operands: Sequence[Any]) -> bool:
    """Whether JAX, which has traced a program, refuses to compile it."""
    try:
        jax.jit(function_of(jax, text)).lower(*operands).compile()
    except Exception:
        return True
    return False


UNKNOWN = (
    jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError, jax.errors.TracerIntegerConversionError,
    jax.errors.TracerBoolConversionError,
)  # fmt: skip


def has_reason(text: str, table: dict[str, str]) -> bool:
    return any(re.match(pattern, text) for patterns in table.values() for pattern in patterns.split())


def difference(case: Case) -> str | None:
    """What functrans does and what JAX does, where that is not the same and no reason is given."""
    text, kinds, (wide, mode) = case
    with jax.enable_x64(wide):
        operands = list(map(operand, variables_of(text), kinds))
        if mode == "called":
            operands = [jnp.asarray(x) if isinstance(x, np.ndarray | np.generic) else x for x in operands]
        expected, found = (evaluated(of, text, operands, mode) for of in (jax, ft))
        if isinstance(expected, Exception):
            if isinstance(found, Exception) or (mode != "traced" and isinstance(expected, UNKNOWN)):
                return None  # JAX traces where it is called with values, too, and so knows none
            patterns = [p for patterns in MORE_THAN_JAX.values() for p in map(str.strip, re.split(r"[|\n]", patterns))]
            if any(p and re.search(p, str(expected)) for p in patterns):
                return None
        elif isinstance(found, Exception):
            if has_reason(text, REFUSED) or is_refused_when_compiled(text, operands):
                return None
        elif found == expected or has_reason(text, OTHER_TYPE):
            return None
    return f"{text}, of {', '.join(kinds)}, {mode}, x64 {'on' if wide else 'off'}: {found!r}; JAX: {expected!r}"


SHARE = covering_share(cases(), SHARES)


@pytest.mark.parametrize("part", range(-(-len(SHARE) // TOGETHER)))
def test_types_are_those_of_jax(part: int) -> None:
    found = map(difference, SHARE[part * TOGETHER : (part + 1) * TOGETHER])
    assert not [text for text in found if text is not None]
