"""The example of numerical derivatives finds the valleys where theory has them, and its estimates honest."""

import re

import pytest

from tests.examples.running import number, run


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return run("finite_differences", tmp_path_factory.mktemp("figures") / "finite_differences.png")[0]


def test_each_valley_has_its_floor_where_it_must(said):
    """At a step of epsilon^(1/(1 + p)), a few times higher than epsilon^(p/(1 + p))."""
    floors = {name: float(error) for name, error in re.findall(r"^(central \d|\w+) +(\S+) with h", said, re.MULTILINE)}
    for p in (2, 4, 8):
        assert 0.01 < floors[f"central {p}"] / 2.0 ** (-52 * p / (1 + p)) < 10
    assert floors["richardson"] < 1e-12
    assert floors["complex"] < 1e-15


def test_each_order_costs_digits_and_automatic_steps_keep_some(said):
    orders = re.findall(r"order \d: central 2 at best off by (\S+); automatic off by (\S+), estimated (\S+)", said)
    rows = [tuple(map(float, row)) for row in orders]
    assert len(rows) == 4
    for central, automatic, estimated in rows:
        assert automatic < central
        assert automatic <= 5 * estimated < 1e-3
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_the_estimates_are_honest(said):
    assert number(r"of 165 derivatives: at most (\S+)", said) < 5
