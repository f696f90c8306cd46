"""The example that README's first command runs does its job, and its own checks hold."""

from tests.examples.running import number, run


def test_quickstart_trains_the_classifier_and_its_derivatives_agree(tmp_path):
    said, progress = run("quickstart", tmp_path / "story.png")
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
    assert "training: 100%" in progress
