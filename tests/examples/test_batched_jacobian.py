"""The example of batched Jacobians agrees with itself backwards, with differences, and with what water does."""

from tests.examples.running import number, run


def test_a_jacobian_for_each_particle_is_right(tmp_path):
    said, progress = run("batched_jacobian", tmp_path / "batched_jacobian.png", "--columns", "80")
    assert "for each of 3200 particles" in said
    assert number(r"forward against reverse mode +differ by (\S+)", said) < 1e-12
    starts, constants = said.split("in the constants of the flow")
    assert number(r"against difference quotients +differ by (\S+)", starts) < 1e-4
    assert number(r"against difference quotients +differ by (\S+)", constants) < 1e-2  # near the barriers they are poor
    # Runge-Kutta steps of fourth order keep areas up to their own error.
    assert number(r"differ from 1 by at most (\S+)", said) < 1e-3
    assert number(r"one Jacobian puts it within ([\d.]+)%", said) < 10
    assert "vmap(jacfwd): 100%" in progress
