"""The textbook example's tables, sizes and costs are those of the textbooks."""

import math
import re

import pytest

from tests.examples.running import number, run


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return run("textbook", tmp_path_factory.mktemp("figures") / "textbook.png")[0]


def test_the_table_holds_the_values_and_derivatives_of_the_textbook(said):
    """Values, tangents and adjoints of Baydin et al. (2018), tables 2 and 3, by their formulas."""
    x1, x2 = 2.0, 5.0
    expected = {
        "x1": (x1, 1, 0, 1 / x1 + x2),
        "x2": (x2, 0, 1, x1 - math.cos(x2)),
        "v1": (math.log(x1), 1 / x1, 0, 1),
        "v2": (x1 * x2, x2, x1, 1),
        "v3": (math.log(x1) + x1 * x2, 1 / x1 + x2, x1, 1),
        "v4": (math.sin(x2), 0, math.cos(x2), -1),
        "v5": (math.log(x1) + x1 * x2 - math.sin(x2), 1 / x1 + x2, x1 - math.cos(x2), 1),
    }
    found = {name: rest.split()[-4:] for name, rest in re.findall(r"^([xv]\d) (.*)$", said, re.MULTILINE)}
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert [float(cell) for cell in found[name]] == pytest.approx(row, abs=5.1e-7), name  # six decimals


def test_the_four_ways_agree_as_well_as_each_can(said):
    assert number(r"automatic +differs by (\S+)", said) < 1e-15
    assert number(r"symbolic +differs by ([^\s;]+)", said) < 1e-15
    # The best width balances truncation h against rounding e/h: errors sqrt(e) = 1.5e-8 and e**(2/3) = 4e-11.
    assert 1e-10 < number(r"forward difference at best off by ([^\s,]+)", said) < 1e-7
    assert 1e-13 < number(r"central difference at best off by ([^\s,]+)", said) < 1e-9


def test_the_formula_and_the_tape_outgrow_the_program(said):
    assert number(r"logistic map: (\d+) operations", said) > 100 * number(r"against (\d+) equations", said)
    tape, program = (
        [int(count) for count in re.search(rf"{row} +([\d ]+)", said)[1].split()]
        for row in ("entries on the tape", "equations of the program")
    )
    assert len(tape) == len(program) == 7
    assert tape[-1] > 3 * program[-1]
    assert number(r"the derivatives differ by +(\S+)", said) < 1e-12


def test_forward_mode_is_cheaper_for_tall_jacobians_and_reverse_mode_for_wide_ones(said):
    costs = re.findall(r"^(\d+) x (\d+) +([\d,]+) ops.*? ([\d,]+) ops.*us   (.*)$", said, re.MULTILINE)
    assert len(costs) == 5
    for rows, columns, forward, reverse, verdict in costs:
        forward, reverse = (int(count.replace(",", "")) for count in (forward, reverse))
        if rows == columns:
            assert forward == reverse and verdict == "they cost the same"
        else:
            tall = int(rows) > int(columns)
            assert (forward < reverse) == tall and verdict == f"{'forward' if tall else 'reverse'} is cheaper"
