"""The example of a neural ODE learns its field, and its derivatives agree with differences and with Liouville."""

import pytest

from tests.examples.running import number, run


def test_a_field_is_learned_through_a_solver(tmp_path):
    pytest.importorskip("diffrax")
    pytest.importorskip("optax")
    said, _ = run("neural_ode", tmp_path / "neural_ode.png", "--steps", "60")
    assert number(r"learning +[\d.]+ to (\S+)", said) < 0.2 * number(r"learning +(\S+)", said)
    assert number(r"differs from differences of gradients by (\S+)", said) < 1e-2
    assert number(r"against Liouville's formula +differ by (\S+)", said) < 1e-2
