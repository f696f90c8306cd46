"""How an example is run: in a process of its own, as a user does, for it switches x64 on for the whole process."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(name, picture, *options):
    """What `examples/<name>.py` printed and what its progress bars said, warnings being errors; it must draw."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), "--figure", str(picture), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    return done.stdout, done.stderr


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return float(found[1].replace(",", ""))
