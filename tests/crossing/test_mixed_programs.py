"""Random programs that mix both libraries, operation by operation and transform by transform: JAX alone computes them.
"""

from __future__ import annotations

import pytest

from tests.crossing.mixed_programs import compare
from tests.turns import THOROUGH

COUNT = 400 if THOROUGH else 48  # python -m tests.crossing.mixed_programs compares as many as one likes


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("number", range(COUNT))
def test_a_mixed_program_is_what_jax_computes(number: int) -> None:
    compare(number, depth=2 + number % 3)
