"""The example of a Hessian's spectrum finds by products what the whole matrix has, its outliers, and the edge."""

import re

import pytest

from tests.examples.running import number, run

OPTIONS = ("--examples", "400", "--classes", "3", "--rates", "0.6", "--steps", "300")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return run("hessian_spectrum", tmp_path_factory.mktemp("figures") / "hessian_spectrum.png", *OPTIONS)[0]


def test_products_find_the_spectrum_of_the_whole_matrix(said):
    differences = re.findall(r"they differ by +(\S+) of the largest", said)
    assert len(differences) == 4
    assert max(map(float, differences)) < 1e-12
    assert max(map(float, re.findall(r"distributions differ by +(\S+) of the largest", said))) < 0.01


def test_gauss_newton_has_the_outliers_and_the_rest_the_negative_eigenvalues(said):
    smallest = [float(x) for x in re.findall(r"smallest, outliers +(\S+),", said)]
    hessian, gauss_newton, hessian_later, gauss_newton_later = smallest
    assert hessian < -0.3 and hessian < hessian_later < 0
    assert abs(gauss_newton) < 1e-12 and abs(gauss_newton_later) < 1e-12
    assert re.findall(r"smallest, outliers +\S+, (\d)", said)[2:] == ["4", "4"]
    assert "outliers  2 of 3 classes, 4 of 5 classes" in said


def test_the_matrix_is_computed_in_chunks_within_the_budget(said):
    assert re.search(r"\* reverse +1397 reverse passes in chunks of \d+: \S+ operations, [\d.]+ MB", said)
    assert number(r"\* reverse .* operations, ([\d.]+) MB", said) <= 100


def test_sharpness_goes_to_the_edge_of_stability(said):
    edge, start, late = map(float, re.search(r"^ +0\.6 +(\S+) +(\S+) +(\S+) ±", said, re.MULTILINE).groups())
    assert edge == pytest.approx(2 / 0.6, abs=1e-3)
    assert start > 1.2 * edge
    assert late == pytest.approx(edge, rel=0.1)
