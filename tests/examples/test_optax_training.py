"""The example that trains a Flax model by Optax does its job, and its derivatives agree with each other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_flax_model_learns_the_spirals():
    pytest.importorskip("flax")
    pytest.importorskip("optax")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "optax_training.py")],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"accuracy ([\d.]+)%", done.stdout)[1]) > 99.0
    slope = float(re.search(r"learning rate +(\S+)", done.stdout)[1])
    squared = float(re.search(r"squared length of the gradient +(\S+)", done.stdout)[1])
    assert slope < 0
    assert abs(slope - squared) < 1e-2 * abs(slope)
    assert "fourth derivative along the step" in done.stdout
