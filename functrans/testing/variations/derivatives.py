"""Variations of the derivatives asked for: some of them zero, and second ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import is_differentiable, type_of
from functrans.testing.cases import Case
from functrans.testing.closeness import epsilon, wide
from functrans.testing.variations.trials import (
    all_subsets,
    linearized,
    placed,
    slopes_of,
    tangents_of,
)
from functrans.trace.primitive import Linear
from functrans.trace.replay import trace
from functrans.transform.jvp import instantiate_zero, jvp
from functrans.transform.linearize import linearize
from functrans.transform.transpose import transpose


def zero_tangents(case: Case) -> list[Case]:
    """Each subset of tangents None, and of cotangents, against zeros in their places."""
    n, wrt = len(case.types), case.differentiable
    for chosen in all_subsets(wrt):
        slopes = tangents_of(case, chosen)
        every = [
            slopes[chosen.index(i)] if i in chosen else np.zeros(case.types[i].shape, case.types[i].dtype) for i in wrt
        ]
        values, tangents = case.jvp(case.arrays, wrt, every)
        expected = [*values, *tangents]
        for rule, how in (("jvp", jvp), ("linearize", linearized)):
            if rule == "linearize" and not case.reverse:
                continue

            def forward(*xs: Any, chosen: Any = chosen, how: Any = how) -> list[Any]:
                outs, out_ts = how(case.jaxpr, xs[:n], placed(xs[n:], chosen, n))
                return [*outs, *slopes_of(case, out_ts)]

            case.agree(f"{rule} (tangents of {chosen} alone)", forward, [*case.arrays, *slopes], expected)
    if wrt and case.reverse:
        _zero_cotangents(case)
    return [case]


def _zero_cotangents(case: Case) -> None:
    n, wrt = len(case.types), case.differentiable
    outs = [k for k, t in enumerate(case.jaxpr.out_types) if is_differentiable(t.dtype)]
    cotangents = {k: case.direction(case.jaxpr.out_types[k]) for k in outs}

    def backward(*xs: Any, given: Sequence[int]) -> list[Any]:
        _, program = linearize(case.jaxpr, xs[:n], [i in wrt for i in range(n)])
        seeds = placed(xs[n:], given, len(program.nonzero))
        operands = [*program.residuals, *[Linear(case.types[i]) for i in wrt]]
        sent = transpose(
            program.jaxpr, operands, [s for s, nonzero in zip(seeds, program.nonzero, strict=True) if nonzero]
        )
        return [instantiate_zero(ct, case.jaxpr.inputs[i]) for i, ct in zip(wrt, sent, strict=True)]

    types = [*case.types, *[case.jaxpr.out_types[k] for k in outs]]
    whole, _ = trace(lambda *xs: backward(*xs, given=outs), types, "a check")
    for given in [(), *all_subsets(outs)]:
        seeds = [cotangents[k] if k in given else np.zeros_like(cotangents[k]) for k in outs]
        expected = case.run(whole, [*case.arrays, *seeds])
        case.agree(
            f"transpose (cotangents of {given} alone)",
            lambda *xs, given=given: backward(*xs, given=given),
            [*case.arrays, *[cotangents[k] for k in given]], expected,
        )  # fmt: skip


def second_derivatives(case: Case) -> list[Case]:
    """Forward over reverse against forward over forward: <ct, d2f[s, t]> = <d(J^T ct)[s], t>."""
    n, wrt = len(case.types), case.differentiable
    if not (wrt and case.reverse and case.derivative):
        return []
    slopes, moves = tangents_of(case, wrt), tangents_of(case, wrt)
    outs = [k for k, t in enumerate(case.jaxpr.out_types) if is_differentiable(t.dtype)]
    cotangents = [case.direction(case.jaxpr.out_types[k]) for k in outs]

    def backward(*xs: Any) -> list[Any]:
        _, program = linearize(case.jaxpr, xs[:n], [i in wrt for i in range(n)])
        seeds = placed(xs[n:], outs, len(program.nonzero))
        operands = [*program.residuals, *[Linear(case.types[i]) for i in wrt]]
        given = [s for s, nonzero in zip(seeds, program.nonzero, strict=True) if nonzero]
        sent = transpose(program.jaxpr, operands, given)
        return [instantiate_zero(ct, case.jaxpr.inputs[i]) for i, ct in zip(wrt, sent, strict=True)]

    def forward(*xs: Any) -> list[Any]:
        _, out_ts = jvp(case.jaxpr, xs[:n], placed(xs[n:], wrt, n))
        return slopes_of(case, out_ts)

    def moved(function: Any, args: Sequence[Any], how: Any = jvp) -> list[Any]:
        types = [*case.types, *[type_of(x) for x in args[n:]]]
        program, captured = trace(function, types, "a check")
        nothing = [None] * len(captured)

        def derivative(*xs: Any) -> list[Any]:
            ts = [*nothing, *placed(xs[len(types) :], wrt, len(types))]
            _, found = how(program, [*captured, *xs[: len(types)]], ts)
            return [instantiate_zero(t, a) for t, a in zip(found, program.outputs, strict=True)]

        whole, more = trace(derivative, [*types, *[case.types[i] for i in wrt]], "a check")
        return case.run(whole, [*more, *args, *moves])

    try:
        curved = moved(forward, [*case.arrays, *slopes])
        for how in (jvp, linearized):
            bent = moved(backward, [*case.arrays, *cotangents], how)
            _check_symmetric(case, cotangents, curved, bent, slopes)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{case.message('second order')}: it raises {type(error).__name__}: {error}") from error
    return [case]


def _check_symmetric(
    case: Case, cotangents: Sequence[Any], curved: Sequence[Any], bent: Sequence[Any], slopes: Sequence[Any]
) -> None:
    sides = [
        [wide(a) * wide(b) for a, b in zip(cotangents, curved, strict=True)],
        [wide(a) * wide(b) for a, b in zip(bent, slopes, strict=True)],
    ]
    left, right = (sum(float(np.sum(np.real(p))) for p in side) for side in sides)
    size = max(1.0, sum(float(np.sum(np.abs(p))) for side in sides for p in side))
    close = abs(left - right) <= case.roundings * epsilon(case.dtype) * size
    if not close and not (np.isnan(left) and np.isnan(right)):
        raise AssertionError(
            f"{case.message('second order')}: <ct, d2f[s, t]> = {left}, and <d(J^T ct)[s], t> = {right}"
        )
