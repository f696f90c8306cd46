"""The example of physics-informed networks converges on all five equations, by operators that are right."""

import re

from tests.examples.running import number, run


def test_networks_approach_the_exact_solutions(tmp_path):
    said, _ = run("pinn", tmp_path / "pinn.png", "--steps", "80")
    rows = re.findall(r"^(.+?) +(?:337|501) +80 +\S+ +(\S+) +(\S+)$", said, re.MULTILINE)
    errors = {name: float(error) for name, _, error in rows}
    assert list(errors) == ["heat", "Burgers", "Helmholtz", "Korteweg–de Vries", "clamped plate"]
    assert errors.pop("Korteweg–de Vries") < 0.05
    assert max(errors.values()) < 5e-3
    assert number(r"differ by at most (\S+)", said) < 1e-9
