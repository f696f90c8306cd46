"""The example that trains a Flax model by Optax does its job, and its derivatives agree with each other."""

import pytest

from tests.examples.running import number, run


def test_a_flax_model_learns_the_spirals(tmp_path):
    pytest.importorskip("flax")
    pytest.importorskip("optax")
    said, _ = run("optax_training", tmp_path / "optax_training.png")
    assert number(r"accuracy ([\d.]+)%", said) > 99.0
    assert number(r"their mean differs from the gradient by (\S+)", said) < 1e-4
    assert number(r"the largest one (\S+)", said) >= number(r"curvature along the gradient ([\d.]+)", said) > 0
    slope = number(r"learning rate +(\S+)", said)
    assert slope < 0
    assert abs(slope - number(r"squared length of the gradient +(\S+)", said)) < 1e-2 * abs(slope)
    second = number(r"second derivative along the step +(\S+)", said)
    assert abs(second - number(r"curvature times the squared length +(\S+)", said)) < 1e-2 * abs(second)
    assert "fourth derivative along the step" in said
