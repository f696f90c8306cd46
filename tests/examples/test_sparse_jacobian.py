"""The example of sparse Jacobians agrees with matrices by hand and an explicit method, in few products."""

import re

import pytest

from tests.examples.running import number, run


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    picture = tmp_path_factory.mktemp("figures") / "sparse_jacobian.png"
    return run("sparse_jacobian", picture, "--sizes", "6", "12", "--buses", "120")[0]


def test_integrations_take_the_same_steps_by_every_jacobian(said):
    rows = re.findall(r"^n = +(\d+), +\d+ unknowns, ([a-z ]+?) +(\d+) +(\d+) +(\d+) +(\d+) +\S+$", said, re.MULTILINE)
    assert [(int(n), way) for n, way, *_ in rows] == [
        (n, way) for n in (6, 12) for way in ("sparse", "coloured quotients", "dense", "quotients")
    ]
    for size in ("6", "12"):
        steps = {int(row[2]) for row in rows if row[0] == size}
        assert max(steps) - min(steps) <= 2
        calls = {row[1]: int(row[5]) for row in rows if row[0] == size}
        assert calls["sparse"] == calls["dense"] < calls["coloured quotients"] < calls["quotients"]


def test_entries_and_solutions_agree_with_independent_ones(said):
    assert number(r"entries against those by hand +differ by (\S+)", said) < 1e-14
    assert number(r"their results +differ by (\S+)", said) < 1e-9  # of tolerances of 1e-8 and 1e-10
    assert number(r"entries against the textbook's +differ by (\S+)", said) < 1e-14
    assert number(r"by the textbook's matrices +residual (\S+),", said) < 1e-10
    assert number(r"of the last point of the curve (\S+)", said) < 1e-10


def test_few_passes_suffice_where_columns_alone_would_not(said):
    assert number(r"one Jacobian, (\d+) forward passes", said) <= 8
    assert number(r"passes on the curve +(\d+) passes, \d+ forward and \d+ reverse", said) <= 20
    assert "columns alone would take 241" in said
    assert re.search(r"jacobian, 241 x 241: coloured columns and rows, \d+ forward \+ \d+ reverse passes", said)


def test_the_curve_goes_around_its_nose(said):
    assert number(r"the nose +at (\S+) times", said) > 1.5
    residuals = re.search(r"Newton's residuals +(.*)", said)[1].split(", ")
    assert float(residuals[-1]) < 1e-10 and len(residuals) < 9
