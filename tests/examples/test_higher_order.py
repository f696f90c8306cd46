"""The example of higher derivatives reproduces what celestial mechanics and the cluster tables say."""

import re

from tests.examples.running import number, run


def test_higher_derivatives_agree_with_what_is_known(tmp_path):
    said, progress = run("higher_order", tmp_path / "higher_order.png")
    assert 480 < number(r"error for e = 0\.1 +\S+, (\d+) times", said) < 530  # 2**9, and terms of higher order
    # The icosahedron of thirteen atoms in the Cambridge Cluster Database: -44.326801.
    assert abs(number(r"energy of thirteen atoms +(-\S+)", said) + 44.326801) < 1e-6
    assert number(r"force left +(\S+)", said) < 1e-11
    assert number(r"steepest descent +(\S+) after", said) > 1e-7
    # A frequency is the root of an eigenvalue, whose rounding error is 1e-16 of the largest, 600.
    assert number(r"must be zero +at most ([^\s;]+)", said) < 1e-5
    assert number(r"the next is (\S+)", said) > 1.0
    assert number(r"hvp against the Hessian's product +differ by (\S+)", said) < 1e-14
    for mode in ("grad", "jvp"):
        counts = [int(count) for count in re.search(rf"equations of {mode} nested .*times +([\d ]+)", said)[1].split()]
        assert len(counts) == 8 and counts == sorted(counts)
    together = [int(n) for n in re.search(r"equations by Taylor mode, orders 1 to 8 +([\d ]+)", said)[1].split()]
    assert len(together) == 8 and together[-1] < counts[-1] / 2
    assert "Lagrange's series: 100%" in progress
