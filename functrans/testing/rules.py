"""``check_rules``: every rule of a primitive against its NumPy reference and against one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from functrans.ir.program import Jaxpr
from functrans.testing.cases import ROUNDINGS, Case
from functrans.testing.strides import oddly_laid_out
from functrans.testing.structure import check_structure
from functrans.testing.variations import VARIATIONS
from functrans.trace.primitive import Primitive
from functrans.xla.execute import run

_OTHER_STRUCTURE = frozenset({"literal operands", "short axes"})  # variations in which elements may go other ways


def check_rules(
    primitive: Primitive,
    *sample: Any,
    derivative: bool = True,
    second_order: bool = True,
    batch: bool = True,
    wrt: Sequence[int] | None = None,
    reverse: bool = True,
    execute: bool = True,
    roundings: float = ROUNDINGS,
    variations: Collection[str] | None = None,
    without: Mapping[str, str] | None = None,
) -> None:
    """Check every rule of a primitive at a sample of operands.

    - ``infer`` gives the shapes and dtypes of what ``impl`` returns;
    - ``lower``, compiled and run, gives the values of ``impl``;
    - ``jvp`` gives the central differences of ``impl``, for each choice of operands; its derivative those of ``jvp``;
    - ``linearize`` gives what ``jvp`` gives, ``transpose`` its adjoint, also where cotangents are missing or add up;
    - ``batch`` gives what a Python loop gives, for each choice of mapped operands, and again when mapped twice;
    - what ``moving``, ``elementwise``, ``sums_over`` and ``sparsity`` say of its structure is so;
    - all this in variations of the sample that everyday programs bring about (see functrans.testing.variations).

    Args:
      primitive: the operation, its parameters included.
      sample: operands: arrays of any shape; a Python number stands for a literal of the dtype of the first array.
      derivative: compare jvp with differences (False: the function is not what its derivative rule says on purpose).
      second_order: compare the derivative of jvp with differences of jvp.
      batch: check batch.
      wrt: the arrays to differentiate by, counted without literals; by default every floating or complex one.
      reverse: check linearize and transpose (False: the operation has no reverse mode).
      execute: compile and run what the rules emit, ``lower`` included; False: evaluate it with NumPy alone.
      roundings: the tolerance of values, in units of the dtype's epsilon.
      variations: names of the variations to check (by default all of them).
      without: variations that make no sense for this operation or sample, each with the reason.

    Raises:
      AssertionError: a rule is wrong; the message says which, at which operands, with both results.

    >>> import numpy as np
    >>> from functrans.ops import elementwise, functions
    >>> from functrans.testing import check_rules
    >>> check_rules(elementwise.MUL, np.float32([1, 2, 3]), np.float32([4, 5, 6]))
    """
    case = Case(
        primitive, sample, roundings, derivative=derivative, second_order=second_order, batch=batch, wrt=wrt,
        reverse=reverse,
    )  # fmt: skip
    case.check_all()
    check_structure(case)
    cases = [case, *check_variations(case, variations, without)]
    if execute:
        check_execution(cases)


def check_variations(
    case: Case, variations: Collection[str] | None = None, without: Mapping[str, str] | None = None
) -> list[Case]:
    """Check the rules in these variations (None: all) of a sample; what was run by NumPy, to be run by XLA.

    ``without``: the variations that make no sense for the operation or the sample, each with the reason.
    """
    without = without or {}
    for name in (*(variations or ()), *without):
        if name not in VARIATIONS:
            raise ValueError(f"{name!r} is no variation; there are {', '.join(VARIATIONS)}")
    for name, reason in without.items():
        if not reason:
            raise ValueError(f"{case.op} is not checked in the variation {name!r}, and no reason is given")
    ran: list[Case] = []
    for name in VARIATIONS if variations is None else variations:
        if name not in without:
            cases = VARIATIONS[name](case)
            for other in cases if name in _OTHER_STRUCTURE else ():
                check_structure(other)
            ran += cases
    return ran


def check_lowering(samples: Sequence[tuple[Primitive, Sequence[Any]]], roundings: float = ROUNDINGS) -> None:
    """Check that what ``lower`` writes, compiled and run, gives the values of ``impl``: all samples in one program.

    Compiling takes most of the time of check_rules; a table of rows pays it once here, with ``execute=False`` there.

    >>> import numpy as np
    >>> from functrans.ops import elementwise, functions
    >>> from functrans.testing import check_lowering
    >>> check_lowering([(functions.SIN, [np.float32([1, 2])]), (functions.COS, [np.float32(3)])])
    """
    cases = [Case(op, operands, roundings) for op, operands in samples]
    for case in cases:
        case.check_values()
    check_execution(cases)


def check_execution(cases: Sequence[Case], samples_alone: bool = False) -> None:
    """Every program that the cases evaluated with NumPy, compiled together and run; or of each the operation itself."""
    distinct = {id(case): case for case in cases}.values()
    runs = [
        (case, *entry) for case in distinct for entry in case.seen.values()
        if entry[0] is case.jaxpr or not samples_alone
    ]  # fmt: skip
    first = size = 0
    for i, (_, jaxpr, _, _) in enumerate(runs):
        size += _written(jaxpr)
        if size > _TOGETHER or i + 1 == len(runs):
            _check_together(runs[first : i + 1], first)
            first, size = i + 1, 0


_TOGETHER = 2000  # operations: XLA takes three times as long for eight programs of that size together as for each alone


def _written(jaxpr: Jaxpr) -> int:
    """How many operations the program has when those that stand for others are written out."""
    parts = [eqn.op.in_place(eqn.inputs) for eqn in jaxpr.equations]
    return sum(1 if part is None else _written(part[0]) for part in parts)


def _check_together(runs: Sequence[Any], first: int) -> None:
    together = Jaxpr(
        [v for _, jaxpr, _, _ in runs for v in jaxpr.inputs],
        [eqn for _, jaxpr, _, _ in runs for eqn in jaxpr.equations],
        [a for _, jaxpr, _, _ in runs for a in jaxpr.outputs],
    )
    args = [oddly_laid_out(a, first + i) for i, a in enumerate([a for _, _, args, _ in runs for a in args])]
    actual = iter(run(together, args))
    for case, jaxpr, _, expected in runs:
        for b, type_ in zip(expected, jaxpr.out_types, strict=True):
            a = next(actual)
            if (a.shape, a.dtype) != (type_.shape, type_.dtype):
                raise AssertionError(f"{case.message('lower')}: it gives {a.dtype}{a.shape}, infer says {type_}")
            case.close(a, b, "lower")
