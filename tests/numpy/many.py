"""Many small functions in one program, so that a comparison of hundreds costs one compilation on each side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

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


def assert_cases_agree(
    ours: Cases, theirs: Cases, *args: Any, operations: int = 64, scale: float = 1.0, weak: bool = True
) -> None:
    """Each of ``ours`` under functrans does what its namesake of ``theirs`` does under JAX: result, or refusal."""
    found, refused = _results(ours, ft.jit, *args)
    expected, refused_by_jax = _results(theirs, jax.jit, *args)
    problems = []
    for name in ours:
        if (name in refused) != (name in refused_by_jax):
            problems.append(f"{name}: {refused.get(name, 'a result')!r}, JAX: {refused_by_jax.get(name, 'a result')!r}")
        elif name not in refused:
            boolean = all(getattr(leaf, "dtype", None) == bool for leaf in jax.tree.leaves(expected[name]))
            try:
                # JAX calls comparisons of weak operands weak bools, which means nothing: there is one bool dtype.
                assert_same(
                    found[name], expected[name], operations, weak=weak and not boolean, scale=scale, context=name
                )
            except AssertionError as error:
                problems.append(str(error))
    types = ", ".join(f"{getattr(a, 'dtype', type(a).__name__)}{getattr(a, 'shape', '')}" for a in args)
    assert not problems, f"for {types}:\n" + "\n".join(problems)


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
