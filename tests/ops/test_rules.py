"""Every rule of every primitive class agrees with its NumPy reference and with the other rules."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

import functrans
from functrans.testing import check_lowering, check_rules
from functrans.testing.cases import Case
from functrans.testing.rules import check_execution, check_variations
from functrans.testing.variations import VARIATIONS
from functrans.trace.primitive import Primitive
from tests.conftest import THOROUGH
from tests.ops import array_samples, matrix_samples, samples, spectral_samples
from tests.ops.samples import Row
from tests.turns import covering_share, current_turn

ROOT = Path(__file__).resolve().parents[2]
ROWS = [*samples.ROWS, *array_samples.ROWS, *matrix_samples.ROWS, *spectral_samples.ROWS]

# Classes whose rules need a setting of their own (a mapped axis, a held program): the test file that gives it to them.
ELSEWHERE = {
    "Psum": "tests/ops/test_collectives.py",
    "Pmax": "tests/ops/test_collectives.py",
    "Pmin": "tests/ops/test_collectives.py",
    "AllGather": "tests/ops/test_collectives.py",
    "ReduceScatter": "tests/ops/test_collectives.py",
    "Ppermute": "tests/ops/test_collectives.py",
    "Pbroadcast": "tests/ops/test_collectives.py",
    "AllToAll": "tests/ops/test_collectives.py",
    "AxisIndex": "tests/ops/test_collectives.py",
    "JaxOperation": "tests/interop/test_operation_objects.py",
    "Opaque": "tests/interop/test_opaque.py",
    "OpaqueWithState": "tests/interop/test_opaque.py",
    "CallExported": "tests/test_export.py",
    "DebugCallback": "tests/effects/test_debugging.py",
    "Check": "tests/effects/test_checks.py",
    "CheckifyCheck": "tests/interop/test_checkify.py",
    "TwoModes": "tests/interop/test_operation_objects.py",
    "Composite": "tests/api/test_composite.py",
    "Mapped": "tests/api/test_composite.py",
    **dict.fromkeys(
        ("RandomSeed", "RandomWrap", "RandomUnwrap", "RandomSplit", "RandomFoldIn", "RandomBits", "RandomGamma"),
        "tests/random/test_keys.py",
    ),
    **dict.fromkeys(("IgammaGradA", "RandomGammaGrad", "RegularizedIncompleteBetaGrad"), "tests/scipy/test_special.py"),
    "RandomLoggammaGrad": "tests/random/test_derivatives.py",
    "RngBitGenerator": "tests/random/test_bit_generator.py",
    **dict.fromkeys(
        (
            "Cofactors",
            "CofactorSlope",
            "Determinant",
            "Inverse",
            "LogDeterminant",
            "SignOfDeterminant",
            "Solve",
            "SolvePositive",
        ),
        "tests/linalg/test_against_jax.py",
    ),
}


def concrete_primitives() -> set[type[Primitive]]:
    """The classes at the leaves of the tree of primitives, every module of the package imported."""
    for module in pkgutil.walk_packages(functrans.__path__, "functrans."):
        importlib.import_module(module.name)
    found: set[type[Primitive]] = set()
    stack = [Primitive]
    while stack:
        children = [c for c in stack.pop().__subclasses__() if c.__module__.startswith("functrans.")]
        children = [c for c in children if getattr(sys.modules[c.__module__], c.__name__, None) is c]  # not in examples
        stack.extend(children)
        found.update(c for c in children if not c.__subclasses__())
    return found


def test_every_primitive_class_has_a_sample_row() -> None:
    covered = {type(row.op) for row in ROWS}
    missing = [c for c in concrete_primitives() - covered if c.__name__ not in ELSEWHERE]
    assert not missing, f"no sample row in tests/ops/samples.py for {sorted(c.__name__ for c in missing)}"


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_class_checked_elsewhere_is_named_there(name: str) -> None:
    assert name in (ROOT / ELSEWHERE[name]).read_text(encoding="utf-8")


def needs_x64(row: Row) -> bool:
    dtypes = [np.asarray(x).dtype for x in row.operands] + [
        v for v in row.op.parameters().values() if isinstance(v, np.dtype)
    ]
    return any(d.name in ("float64", "complex128", "int64", "uint64") for d in dtypes)


def name_of(row: Row) -> str:
    return re.sub(r"at0x[0-9a-f]+", "", row.name)


@pytest.mark.parametrize("row", covering_share(ROWS, 8), ids=name_of)
def test_rules_agree(row: Row) -> None:
    with jax.enable_x64(needs_x64(row)):
        check_rules(row.op, *row.operands, **row.flags, variations=())


# The variations of the rows, a hundred in one program. A thorough run checks every one and compiles all that its rules
# emit, of ten rows in one program; any other checks a share that moves with each commit, and compiles the operation at
# each sample alone.
TURN, SHARES, TOGETHER = current_turn(), 16, 10 if THOROUGH else 100
BY_WIDTH = ("literal operands", "number values", "integer dtypes")  # also with 64-bit types on, which change numbers


def drawn(row: Row, wide: bool) -> list[str]:
    """The variations of a row that this run checks."""
    names = VARIATIONS if wide == needs_x64(row) else BY_WIDTH
    row_name = name_of(row)
    marks = {name: zlib.crc32(f"{row_name} {name} {wide}".encode()) for name in names}
    left_out = row.flags.get("without", {})
    return [
        name for name, mark in marks.items() if name not in left_out and (THOROUGH or mark % SHARES == TURN % SHARES)
    ]


VARIED = [
    (wide, chosen[i : i + TOGETHER])
    for wide in (False, True)
    for chosen in [[row for row in ROWS if (wide or not needs_x64(row)) and drawn(row, wide)]]
    for i in range(0, len(chosen), TOGETHER)
]


@pytest.mark.parametrize(("wide", "rows"), VARIED, ids=range(len(VARIED)))
def test_rules_agree_in_variations(wide: bool, rows: list[Row]) -> None:
    with jax.enable_x64(wide):
        cases: list[Case] = []
        for row in rows:
            flags = {name: flag for name, flag in row.flags.items() if name not in ("execute", "without")}
            case = Case(row.op, row.operands, **flags)
            cases += check_variations(case, drawn(row, wide), row.flags.get("without"))
        check_execution(cases, samples_alone=not THOROUGH)
    if THOROUGH:
        functrans.clear_caches()  # the machine code of all of them is in more pieces than a process may map


def test_the_shares_make_up_the_whole() -> None:
    assert all(set(row.flags.get("without", {})) <= set(VARIATIONS) for row in ROWS)
    if THOROUGH:
        assert all(
            set(drawn(row, needs_x64(row))) == set(VARIATIONS) - set(row.flags.get("without", {})) for row in ROWS
        )
    else:
        share = sum(len(drawn(row, needs_x64(row))) for row in ROWS) / (len(ROWS) * len(VARIATIONS))
        assert 0.9 / SHARES < share < 1.1 / SHARES


# Rows that test_rules_agree only evaluates, a hundred in one program: compiling is what takes the time. A quarter of
# them at a commit, the next quarter at the next.
UNEXECUTED = covering_share([row for row in ROWS if not row.flags.get("execute", True)], 4)
CHUNKS = [
    (wide, chosen[i : i + 100])
    for wide in (False, True)
    for chosen in [[row for row in UNEXECUTED if needs_x64(row) == wide]]
    for i in range(0, len(chosen), 100)
]


@pytest.mark.parametrize(("wide", "rows"), CHUNKS, ids=range(len(CHUNKS)))
def test_lowering_agrees(wide: bool, rows: list[Row]) -> None:
    with jax.enable_x64(wide):
        check_lowering([(row.op, row.operands) for row in rows], max(row.flags.get("roundings", 64) for row in rows))
