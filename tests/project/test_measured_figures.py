"""README's figures of speed are those of docs/benchmarks.md, which the benchmarks write: a stale README fails here.

A figure agrees if it is the page's, rounded to the digits that README gives.
"""

import re

import pytest

from tests.project.test_layers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
MEASURED = README.partition("\n## Measured\n")[2].partition("\n## ")[0]

# What README calls a measurement -> what the page calls it.
NAMES = {
    "trace and lower": "trace + lower",
    "XLA compile": "compile",
    "steady run of the compiled program": "steady run",
    "un-jitted gradient, warm": "un-jitted call",
    "un-jitted call of a plain function, no transform": "plain call of f",
    "a Python loop that runs a new number of times": "first call on a new trip count",
    "dispatch of `jit` for 1, 10, 100 arguments": "dispatch",
}
ROUNDED = 0.5 + 1e-9  # of the last digit


def table(text, title):
    """The rows of the first table below a line that begins with ``title``, as lists of cells."""
    lines = iter(text[text.index(title) :].splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


MEANS = table(PAGE, "## Geometric means")
LOSSES = table(PAGE, "## Where JAX is faster")


def agree(figure, exact):
    """Whether a printed number is the other, a printed one too, with no more digits than it has itself."""
    last, finer = (10.0 ** -len(text.partition(".")[2]) for text in (figure, exact))
    return abs(float(figure) - float(exact)) <= ROUNDED * max(last, finer)


def mean(measurement):
    """(geometric mean of all rows, worst row), as printed."""
    return next((row[2], row[3]) for row in MEANS if row[:2] == [measurement, "all"])


def worst_scenario(measurement):
    """(mean of the scenario that does worst, its name)."""
    rows = [row for row in MEANS if row[0] == measurement and not row[1].startswith("all")]
    return min(((row[2], row[1]) for row in rows), key=lambda pair: float(pair[0]))


@pytest.mark.parametrize("row", table(MEASURED, "| what |"), ids=lambda row: row[0])
def test_each_row_of_the_table_is_that_of_the_page(row):
    name, average, worst = row
    measurement = NAMES[name]
    assert agree(average, mean(measurement)[0])
    figure, _, scenario = worst.partition(" ")
    if scenario:
        exact, where = worst_scenario(measurement)
        assert scenario.strip("()").replace(" ", "_") == where
    else:
        exact = mean(measurement)[1]
    assert agree(figure, exact)


def test_the_table_has_every_row_that_has_a_name_here():
    assert [row[0] for row in table(MEASURED, "| what |")] == list(NAMES)


def test_the_page_says_how_it_was_measured_as_readme_does():
    how = next(line for line in PAGE.splitlines() if line.startswith("jax "))
    jax = re.search(r"with jax ([\d.]+)", MEASURED)[1]
    cores = {"two": 2}[re.search(r"on (\w+) shared CPU cores", MEASURED)[1]]
    assert f"jax {jax.rstrip('.')}," in how and f" {cores} cores " in how
    assert ("`--quick`" in MEASURED) == ("quick mode" in how)


def test_the_times_of_a_small_gradient_have_the_ratio_of_the_page():
    ours, theirs = map(float, re.search(r"takes (\d+) µs without `jit` \(JAX: (\d+) µs\)", MEASURED).groups())
    ratio = float(mean("un-jitted grad(x*x + x)(3.0)")[0])
    assert theirs / (ours + ROUNDED) <= ratio <= theirs / (ours - ROUNDED)


def test_the_ratios_of_compiled_gradients_are_those_of_the_page():
    low, high = re.search(r"compiled gradients of the convolutional net, of the mixture and of the transformer .*?"
                          r"\(ratios of ([\d.]+) to ([\d.]+);", MEASURED, re.DOTALL).groups()  # fmt: skip
    named = {"convnet grad", "gmm grad", "transformer grad"}
    ratios = [row[4] for row in LOSSES if row[0] == "steady run" and row[1] in named]
    assert len(ratios) == len(named)
    assert agree(low, min(ratios, key=float)) and agree(high, max(ratios, key=float))


def test_a_stale_figure_is_seen():
    assert agree("0.85", "0.847") and agree("10.2", "10.2") and agree("1", "1")
    assert not agree("0.86", "0.847") and not agree("10.1", "10.2") and not agree("1.6", "1.7")
