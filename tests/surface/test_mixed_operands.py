"""Each row of the surface with some operands traced and others NumPy's, its numbers of NumPy's types: types are JAX's.

What a function does to a value that it knows (it asks NumPy) it must not do to one that it does not know. Traced only.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import functrans as ft
from tests.surface.rows import TEXTS, VARIABLES, is_available, namespace
from tests.turns import covering_share

pytestmark = pytest.mark.filterwarnings("ignore")  # of JAX, about deprecated functions and casts

SHARES, TOGETHER = 16, 8
NUMBERS = [("np.float32({})", (float,)), ("np.float64({})", (float,)), ("np.asarray({})", (float,)),
           ("np.int8({})", (int,))]  # fmt: skip
ROWS = [text.lstrip("~") for text in TEXTS if is_available(text) and '"a"' not in text]  # over no named axis
SHARE = covering_share(ROWS, SHARES)


class _Wrapped(ast.NodeTransformer):
    def __init__(self, form: str, kinds: tuple[type, ...]) -> None:
        self.form, self.kinds = form, kinds

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.parse(self.form.format(node.value), mode="eval").body if type(node.value) in self.kinds else node


def variants(text: str) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """The expression, its variables, and which of them are traced."""
    used = [n for n in VARIABLES if re.search(rf'(?<![\w."]){n}(?![\w"=(])', text)]
    for count in range(len(used)):
        for traced in itertools.combinations(used, count):
            yield text, used, traced
    for form, kinds in NUMBERS:
        changed = ast.unparse(_Wrapped(form, kinds).visit(ast.parse(text, mode="eval")))
        if changed != ast.unparse(ast.parse(text, mode="eval")):
            yield changed, used, used


def types(of: Any, text: str, used: Sequence[str], traced: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    function: Callable[..., Any] = eval(f"lambda {', '.join(used)}: {text}", namespace(of))

    def closed(*given: Any) -> Any:
        return function(**{n: VARIABLES[n] for n in used} | dict(zip(traced, given, strict=True)))

    leaves = jax.tree.leaves(of.eval_shape(closed, *[VARIABLES[n] for n in traced]))
    return [(str(jnp.result_type(x)), jnp.shape(x)) for x in leaves]


@pytest.mark.parametrize("part", range(-(-len(SHARE) // TOGETHER)))
def test_rows_with_some_operands_traced(part: int) -> None:
    differing = []
    for row in SHARE[part * TOGETHER : (part + 1) * TOGETHER]:
        for text, used, traced in variants(row):
            try:
                expected = types(jax, text, used, traced)
            except Exception:
                continue  # JAX takes no number of this type there
            try:
                found: Any = types(ft, text, used, traced)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found != expected:
                differing.append((text, traced, found, expected))
    assert not differing
