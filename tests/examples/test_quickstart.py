"""The example that README's first command runs does its job, and its own checks hold."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def number(pattern, text):
    return float(re.search(pattern, text)[1])


def test_quickstart_trains_the_classifier_and_its_derivatives_agree(tmp_path):
    """In a process of its own, as a user runs it: it switches x64 on for the whole process."""
    picture = tmp_path / "story.png"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / "quickstart.py"), "--figure", str(picture)],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert number(r"held-out accuracy +([\d.]+)%", said) >= 96.0
    assert number(r"against the batch's gradient +differs by (\S+)", said) < 1e-13
    assert number(r"reverse mode against forward mode +differ by (\S+)", said) < 1e-12
    assert number(r"\|Hv - cv\| / c +(\S+)", said) < 1e-6
    largest = number(r"largest eigenvalue of the Hessian +(\S+)", said)
    assert 0 < number(r"curvature along the last step +(\S+)", said) <= largest
    fourth = number(r"fourth derivative along the last step +(\S+)", said)
    # The central difference is off by phi''''''/12 * width**2 with width 1e-3, a few parts in a million.
    assert abs(number(r"by differences of the second +(\S+)", said) - fourth) < 1e-5 * abs(fourth)
    assert 28 < number(r"falls ([\d.]+)-fold", said) < 40
    assert "training: 100%" in done.stderr  # the progress bar
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
