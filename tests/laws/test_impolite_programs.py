"""Impolite random programs under stacks of transforms give what JAX gives: a fixed share of `tests.laws.campaign`.

With ``FUNCTRANS_TESTS=thorough`` as many as ``FUNCTRANS_PROGRAMS`` says, from a place that moves with each run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest

from functrans.control.loops import Scan
from functrans.ops.elementwise import Mul
from functrans.optimise import nested_literals
from tests.conftest import THOROUGH
from tests.laws import numpy_reference
from tests.laws.campaign import checked
from tests.laws.comparison import _theirs, difference, outcomes, reproduction, shrunk
from tests.laws.impolite_programs import Draw, Statement, draw
from tests.laws.libraries import theirs

SHARE = 25
FIRST = int(time.time()) if THOROUGH else 0
CHUNKS = int(os.environ.get("FUNCTRANS_PROGRAMS", 2000)) // SHARE if THOROUGH else 8


def _agree(numbers: range) -> None:
    faults = []
    for number in numbers:
        found = checked(number)
        if found is not None and not found.cause.startswith("("):
            small = shrunk(draw(number), found.cause, most=60)
            faults.append(f"draw {number}: {found.cause}\n{found.details}\n{reproduction(small)}")
    assert not faults, "\n\n".join(faults)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_agree_with_jax(chunk: int) -> None:
    with numpy_reference.interpreted():
        _agree(range(FIRST + chunk * SHARE, FIRST + (chunk + 1) * SHARE))


@pytest.mark.parametrize("chunk", range(2 if not THOROUGH else CHUNKS // 20))
def test_compiled_programs_agree_with_jax(chunk: int) -> None:
    first = FIRST + 1_000_000 + chunk * SHARE
    _agree(range(first, first + (SHARE if THOROUGH else 8)))
