"""Many small functions in one program, so that a comparison of hundreds costs one compilation on each side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import functrans as ft
from tests.agreement import assert_same

Cases = Mapping[str, Callable[..., Any]]


def _results(cases: Cases, jit: Callable[..., Any], *args: Any) -> tuple[dict[str, Any], dict[str, Exception]]:
    """The results by name, and the exceptions of those cases that refuse the arguments."""
    refused: dict[str, Exception] = {}

    def together(*traced: Any) -> dict[str, Any]:
        refused.clear()
        results = {}
        for name, function in cases.items():
            try:
                results[name] = function(*traced)
            except (TypeError, ValueError, NotImplementedError, IndexError, OverflowError) as error:
                refused[name] = error
        return results

    return jit(together)(*args), refused


def assert_types_agree(ours: Cases, theirs: Cases, *args: Any) -> None:
    """As assert_cases_agree, but types and refusals alone, which compiles nothing."""
    assert_cases_agree(ours, theirs, *args, values=False)


def assert_cases_agree(
    ours: Cases,
    theirs: Cases,
    *args: Any,
    operations: int = 64,
    scale: float = 1.0,
    weak: bool = True,
    values: bool = True,
) -> None:
    """Each of ``ours`` under functrans does what its namesake of ``theirs`` does under JAX: result, or refusal."""
    our_run, their_run = (ft.jit, jax.jit) if values else (_shapes(ft.eval_shape), _shapes(jax.eval_shape))
    found, refused = _results(ours, our_run, *args)
    expected, refused_by_jax = _results(theirs, their_run, *args)
    problems = []
    for name in ours:
        if (name in refused) != (name in refused_by_jax):
            problems.append(f"{name}: {refused.get(name, 'a result')!r}, JAX: {refused_by_jax.get(name, 'a result')!r}")
        elif name not in refused:
            # Comparisons of weak operands are weak bools in JAX, which means nothing: there is one bool dtype.
            boolean = all(getattr(leaf, "dtype", None) == np.bool_ for leaf in jax.tree.leaves(expected[name]))
            strict = weak and not boolean
            try:
                compare = assert_same if values else _assert_same_type
                compare(found[name], expected[name], operations, weak=strict, scale=scale, context=name)
            except AssertionError as error:
                problems.append(str(error))
    types = ", ".join(f"{getattr(a, 'dtype', type(a).__name__)}{getattr(a, 'shape', '')}" for a in args)
    assert not problems, f"for {types}:\n" + "\n".join(problems)


def _shapes(eval_shape: Callable[..., Any]) -> Callable[..., Any]:
    return lambda function: lambda *args: eval_shape(function, *args)


def _assert_same_type(found: Any, expected: Any, _: int, *, weak: bool, context: str, **__: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected), context
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        types = [(t.shape, t.dtype, weak and t.weak_type) for t in (ours, theirs)]
        assert types[0] == types[1], f"{context}: {types[0]}, expected {types[1]}"


def jvp_of(cases: Cases, jvp: Callable[..., Any], argnum: int = 0) -> Cases:
    """The tangent of each case in its argument ``argnum``; the last argument of the new cases is the input tangent."""

    def tangent(function: Callable[..., Any]) -> Callable[..., Any]:
        def case(*args: Any) -> Any:
            *primals, t = args

            def of_one(x: Any) -> Any:
                return function(*primals[:argnum], x, *primals[argnum + 1 :])

            return jvp(of_one, (primals[argnum],), (t,))[1]

        return case

    return {name: tangent(function) for name, function in cases.items()}


def grad_of(cases: Cases, vjp: Callable[..., Any], cotangent: Callable[[Any], Any]) -> Cases:
    """The gradient of each case in its first argument, for the cotangents that ``cotangent`` makes of the result."""

    def pulled(function: Callable[..., Any]) -> Callable[..., Any]:
        def case(x: Any, *rest: Any) -> Any:
            out, pullback = vjp(lambda x: function(x, *rest), x)
            return pullback(jax.tree.map(cotangent, out))[0]

        return case

    return {name: pulled(function) for name, function in cases.items()}
