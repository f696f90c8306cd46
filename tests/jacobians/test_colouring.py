"""Colourings: what is read from the passes is the matrix, in as few as the textbook needs or fewer."""

import itertools
import tracemalloc

import numpy as np
import pytest

from functrans.jacobians import first_fit, lattices
from functrans.jacobians.colouring import Colouring, best, bicolour, colour_columns, colour_rows, colour_star
from functrans.jacobians.columns import column_colours
from functrans.jacobians.interchange import with_interchange
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.stars import occurrences, star_colours
from tests.errors.refusal import refusal
from tests.jacobians.problems import (
    FIVE,
    NINE,
    PROBLEMS,
    SEVEN,
    arrowhead,
    banded,
    blocks,
    brusselator,
    bundle,
    dense_row,
    drawn,
    full,
    power_grid,
    scattered,
    stencil,
    symmetric,
)

KINDS = {"columns": colour_columns, "rows": colour_rows, "both": bicolour, "best": best}


def matrix_of(pattern, seed=0):
    """A matrix with a random whole number at each place: sums of them are exact."""
    matrix = np.zeros(pattern.shape)
    matrix[pattern.rows, pattern.columns] = np.random.default_rng(seed).integers(1, 2**40, pattern.size)
    return matrix


def passes(matrix, colouring):
    """The results of all forward and reverse passes, flattened."""
    found = []
    if colouring.column_colours is not None:
        seeds = np.arange(colouring.columns)[:, None] == colouring.column_colours
        found.append((seeds @ matrix.T).ravel())
    if colouring.row_colours is not None:
        found.append(((np.arange(colouring.rows)[:, None] == colouring.row_colours) @ matrix).ravel())
    return np.concatenate(found)


def is_read(matrix, colouring):
    pattern = colouring.pattern
    return np.array_equal(passes(matrix, colouring)[colouring.source], matrix[pattern.rows, pattern.columns])


def count(colouring):
    return colouring.columns + colouring.rows


# What is read is the matrix.


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_place_of_a_problem_is_read(name):
    pattern = PROBLEMS[name]()
    matrix = matrix_of(pattern)
    for kind in KINDS.values():
        colouring = kind(pattern)
        assert is_read(matrix, colouring)
        colouring.check(pattern)
    m, n = pattern.shape
    assert colour_columns(pattern).row_colours is None
    assert colour_columns(pattern).column_colours.shape == (n,)
    assert colour_rows(pattern).row_colours.shape == (m,)
    assert colour_rows(pattern).column_colours is None


@pytest.mark.parametrize("group", range(10))
def test_every_place_of_a_random_pattern_is_read(group):
    for number in range(group, 100, 10):
        pattern = drawn(number)
        matrix = matrix_of(pattern, number)
        for kind in KINDS.values():
            assert is_read(matrix, kind(pattern))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("diagonal", [True, False])
def test_every_place_of_a_symmetric_matrix_is_read(name, diagonal):
    pattern = symmetric(PROBLEMS[name](), diagonal)
    matrix = matrix_of(pattern)
    matrix = matrix + matrix.T
    colouring = colour_star(pattern)
    assert is_read(matrix, colouring)
    colouring.check()
    assert colouring.columns <= colour_columns(pattern).columns


@pytest.mark.parametrize("group", range(10))
def test_every_place_of_a_random_symmetric_matrix_is_read(group):
    for number in range(group, 100, 10):
        pattern = symmetric(drawn(number), diagonal=number % 3 > 0)
        matrix = matrix_of(pattern, number)
        assert is_read(matrix + matrix.T, colour_star(pattern))


@pytest.mark.parametrize("number", range(20))
def test_half_of_a_symmetric_pattern_is_read_of_a_whole_matrix(number):
    whole = symmetric(drawn(number), diagonal=number % 2 > 0)
    keep = (whole.rows <= whole.columns) | (np.random.default_rng(number).random(whole.size) < 0.3)
    part = Pattern.from_coordinates(whole.rows[keep], whole.columns[keep], whole.shape)
    matrix = matrix_of(whole, number)
    colouring = colour_star(part)
    assert is_read(matrix + matrix.T, colouring)
    colouring.check(whole)


def test_the_number_of_the_pass_of_each_place_is_that_of_its_colour():
    colouring = bicolour(arrowhead(20))
    pattern = colouring.pattern
    reverse = colouring.products >= colouring.columns
    assert np.array_equal(colouring.products[~reverse], colouring.column_colours[pattern.columns[~reverse]])
    assert np.array_equal(colouring.products[reverse] - colouring.columns, colouring.row_colours[pattern.rows[reverse]])


def test_an_empty_column_is_in_no_pass():
    pattern = Pattern.from_dense([[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert np.array_equal(colour_columns(pattern).column_colours < 0, [False, True, False, True])
    assert np.array_equal(colour_rows(pattern).row_colours < 0, [False, False, True])
    assert np.array_equal(colour_star(Pattern.from_dense(np.diag([1, 0, 1]))).column_colours, [0, -1, 0])
    for name in ("empty", "no rows", "no columns", "nothing"):
        empty = PROBLEMS[name]()
        assert [count(kind(empty)) for kind in KINDS.values()] == [0, 0, 0, 0]
        assert best(empty).kind == "columns"
    assert colour_star(PROBLEMS["nothing"]()).columns == 0


# In how few passes.

KNOWN = [  # pattern, colours of columns, of rows, of both, of the symmetric matrix
    (banded(1000, 1), 3, 3, 3, 3),
    (banded(1000, 2), 5, 5, 5, 5),
    (banded(50, 7), 15, 15, 15, 15),
    (banded(1000, 1, 0), 2, 2, 2, None),
    (arrowhead(1000), 1000, 1000, 3, 2),
    (blocks(50, 20), 20, 20, 20, 20),
    (dense_row(1000, 1000), 1000, 2, 2, None),
    (dense_row(1000, 1000).transposed, 2, 1000, 2, None),
    (full(20, 30), 30, 20, 20, None),
    (full(1, 1), 1, 1, 1, 1),
    (bundle(10, 100, 300), 15, None, 15, None),
    (power_grid(300), 16, 16, 16, None),
    (stencil((40, 30), FIVE), 5, 5, 5, 5),
    (stencil((40, 30), NINE), 9, 9, 9, None),
    (stencil((12, 11, 10), SEVEN), 7, 7, 7, 7),
    (stencil((30, 30), FIVE, species=2), 6, 6, 6, None),
    (stencil((9, 10, 11), SEVEN, species=3), 9, 9, 9, None),
]


@pytest.mark.parametrize(("pattern", "columns", "rows", "both", "star"), KNOWN, ids=range(len(KNOWN)))
def test_patterns_of_which_the_least_number_is_known_need_no_more(pattern, columns, rows, both, star):
    """A row of k places needs k colours of columns, a column of k places k of rows."""
    assert np.diff(pattern.starts).max() == columns
    assert colour_columns(pattern).columns == columns
    if rows is not None:
        assert np.diff(pattern.transposed.starts).max() == rows
        assert colour_rows(pattern).rows == rows
    assert count(bicolour(pattern)) == both
    assert count(best(pattern)) == both
    if star is not None:
        assert colour_star(pattern).columns == star


def test_grids_whose_edges_are_joined_need_few_colours():
    assert colour_columns(stencil((1000,), [(0,), (1,), (-1,)], joined=True)).columns == 4  # 1000 is 1 mod 3
    assert colour_columns(brusselator(30)).columns == 6
    assert colour_columns(brusselator(32)).columns == 8
    assert colour_star(brusselator(32)).columns == 8


def textbook(pattern):
    """The number of colours by largest first, from sets of conflicting columns."""
    conflicts = {j: set() for j in set(pattern.columns.tolist())}
    for i in range(pattern.shape[0]):
        row = set(pattern.columns[pattern.starts[i] : pattern.starts[i + 1]].tolist())
        for j in row:
            conflicts[j] |= row - {j}
    colours = {}
    for j in sorted(conflicts, key=lambda j: (-len(conflicts[j]), j)):
        taken = {colours.get(other) for other in conflicts[j]}
        colours[j] = next(c for c in itertools.count() if c not in taken)
    return max(colours.values(), default=-1) + 1


@pytest.mark.parametrize("group", range(10))
def test_no_more_colours_than_the_textbook_on_three_hundred_random_patterns(group):
    for number in range(group, 300, 10):
        pattern = drawn(number)
        columns, rows = textbook(pattern), textbook(pattern.transposed)
        assert colour_columns(pattern).columns <= columns
        assert colour_rows(pattern).rows <= rows
        assert count(best(pattern)) <= min(columns, rows)


@pytest.mark.parametrize("name", ["brusselator 13", "power grid", "scattered 3", "scattered 10", "bundle"])
def test_no_more_colours_than_the_textbook_on_problems(name):
    pattern = PROBLEMS[name]()
    assert colour_columns(pattern).columns <= textbook(pattern)
    assert colour_rows(pattern).rows <= textbook(pattern.transposed)


def textbook_star(pattern):
    """The number of colours by largest first, each the first that makes no path of four vertices in two colours."""
    n = pattern.shape[0]
    near = [set(pattern.columns[pattern.starts[i] : pattern.starts[i + 1]].tolist()) - {i} for i in range(n)]
    colours = {}

    def ends_badly(v, c):
        """Whether a path a, b, v, d or v, b, d, e has the colours x, c, x, c or c, x, c, x."""
        coloured = [w for w in near[v] if w in colours]
        if any(colours[w] == c for w in coloured):
            return True
        for w, d in itertools.permutations(coloured, 2):
            if colours[w] == colours[d] and any(colours.get(a) == c for a in near[w] - {v}):
                return True
        for w in coloured:
            for d in near[w] - {v}:
                if colours.get(d) == c and any(colours.get(e) == colours[w] for e in near[d] - {w}):
                    return True
        return False

    for v in sorted(range(n), key=lambda v: (-len(near[v]), v)):
        colours[v] = next(c for c in range(n) if not ends_badly(v, c))
    return max(colours.values(), default=-1) + 1


@pytest.mark.parametrize("group", range(5))
def test_no_more_products_than_the_textbook_for_symmetric_matrices(group):
    for number in range(group, 60, 5):
        pattern = symmetric(drawn(number))
        assert star_colours(pattern).max() + 1 == textbook_star(pattern)
        assert colour_star(pattern).columns <= textbook_star(pattern)


def least(pattern):
    """The least number of colours of columns, of all assignments."""
    n = pattern.shape[1]
    conflict = np.zeros((n, n), bool)
    for i in range(pattern.shape[0]):
        row = pattern.columns[pattern.starts[i] : pattern.starts[i + 1]]
        conflict[np.ix_(row, row)] = True
    a, b = np.nonzero(np.triu(conflict, 1))
    used = np.flatnonzero(conflict.diagonal())
    if not used.size:
        return 0
    found = np.array(list(itertools.product(range(used.size), repeat=n)))
    valid = (found[:, a] != found[:, b]).all(axis=1)
    return min(len(set(row)) for row in found[valid][:, used].tolist())


def test_columns_of_tiny_matrices_need_the_least_number_of_colours():
    for places in itertools.product([0, 1], repeat=9):
        pattern = Pattern.from_dense(np.reshape(places, (3, 3)))
        assert colour_columns(pattern).columns == least(pattern)


@pytest.mark.parametrize("seed", range(30))
def test_five_columns_need_the_least_number_of_colours(seed):
    pattern = Pattern.from_dense(np.random.default_rng(seed).random((6, 5)) < 0.35)
    assert colour_columns(pattern).columns == least(pattern)


def least_of_both(matrix):
    """The least number of passes, of all assignments of colours to rows and columns, -1 among them."""
    m, n = matrix.shape
    choices = [np.array(list(itertools.product(range(-1, k), repeat=k))) for k in (n, m)]
    best_found = m + n
    for columns in choices[0]:
        for rows in choices[1]:
            total = len(set(columns[columns >= 0])) + len(set(rows[rows >= 0]))
            if total < best_found and all(
                (columns[j] >= 0 and (matrix[i] & (columns == columns[j])).sum() == 1)
                or (rows[i] >= 0 and (matrix[:, j] & (rows == rows[i])).sum() == 1)
                for i, j in np.argwhere(matrix)
            ):
                best_found = total
    return best_found


@pytest.mark.parametrize("seed", range(8))
def test_tiny_matrices_need_the_least_number_of_passes_of_both_kinds(seed):
    matrix = np.random.default_rng(seed).random((3, 3)) < 0.6
    assert count(bicolour(Pattern.from_dense(matrix))) == least_of_both(matrix)


def test_dense_rows_and_columns_are_read_apart():
    """Four dense rows, three dense columns and a diagonal: each a pass, and one for all that is left."""
    matrix = np.eye(200, dtype=bool)
    matrix[:4] = True
    matrix[:, 197:] = True
    colouring = best(Pattern.from_dense(matrix))
    assert (colouring.kind, count(colouring)) == ("both", 8)


def test_the_cheaper_direction_is_taken():
    pattern = full(3, 4)
    assert best(pattern).kind == "rows"
    assert best(pattern, reverse_cost=1.5).kind == "columns"
    assert best(pattern, forward_cost=0.5).kind == "columns"
    assert (best(banded(50, 1)).kind, best(banded(50, 1), forward_cost=1.1).kind) == ("columns", "rows")
    spread = arrowhead(50)
    for forward, reverse in ((1.0, 10.0), (10.0, 1.0)):
        colouring = best(spread, forward, reverse)
        assert forward * colouring.columns + reverse * colouring.rows == 12.0


@pytest.mark.parametrize(("forward", "reverse"), [(0.0, 1.0), (1.0, -2.0), (np.nan, 1.0), (1.0, np.inf)])
def test_a_cost_that_is_not_positive_is_refused(forward, reverse):
    refusal(ValueError, lambda: best(banded(5, 1), forward, reverse)).says("positive numbers are wanted")  # blame
    refusal(ValueError, lambda: bicolour(banded(5, 1), forward, reverse)).says("bicolour: passes cost")  # blame


def test_a_zero_diagonal_spares_products():
    """All places of a bilinear form's Hessian are read from the columns of the fewer variables."""
    matrix = np.zeros((30, 30), bool)
    matrix[:4, 4:] = np.random.default_rng(0).random((4, 26)) < 0.7
    pattern = symmetric(Pattern.from_dense(matrix), diagonal=False)
    colouring = colour_star(pattern)
    assert colouring.columns == 4
    assert np.array_equal(colouring.column_colours < 0, np.arange(30) >= 4)
    values = matrix_of(pattern)
    assert is_read(values + values.T, colouring)
    for n in (2, 9, 50):
        assert colour_star(symmetric(dense_row(n, n), diagonal=False)).columns == 1
        assert colour_star(symmetric(dense_row(n, n))).columns == 2


# What is refused.


def test_only_a_square_pattern_is_that_of_a_symmetric_matrix():
    refusal(ValueError, lambda: colour_star(full(2, 3))).says("shape (2, 3)")  # blame


def wrong(pattern, kind, columns=None, rows=None):
    return Colouring(pattern, kind, *[None if c is None else np.array(c, np.int32) for c in (columns, rows)])


@pytest.mark.parametrize(
    ("colouring", "says"),
    [
        (wrong(banded(3, 1), "columns", [0, 1, 0]), "place (1, 0) is read from a sum of 2 places"),
        (wrong(banded(3, 1), "columns", [0, 1, -1]), "place (1, 2) is read from a sum of 0 places"),
        (wrong(banded(3, 1), "columns", [-1, -1, -1]), "place (0, 0) is read from a sum of 0 places"),
        (wrong(banded(3, 1), "rows", None, [0, 1, 0]), "place (0, 1) is read from a sum of 2 places"),
        (wrong(banded(3, 1), "columns", [0, 1]), "2 colours for 3 columns"),
        (wrong(arrowhead(4), "both", [0, 1, 1, 1], [-1, -1, -1, -1]), "place (0, 1) is read from a sum of 0 places"),
        (wrong(banded(4, 1), "star", [0, 1, 0, 1]), "place (1, 2) is read from a sum of 2 places"),
    ],
)
def test_colours_from_which_a_place_cannot_be_read_are_refused(colouring, says):
    refusal(ValueError, lambda: colouring.check()).says(says)  # blame


def test_colours_are_checked_against_another_pattern():
    colouring = colour_columns(banded(10, 1))
    colouring.check(banded(10, 1, 0))
    refusal(ValueError, lambda: colouring.check(banded(10, 2))).says("sum of 2 places")  # blame


# The parts.


def in_order(pattern, order):
    """The rows of the columns, in this order, and where each begins."""
    transposed = pattern.transposed
    parts = [transposed.columns[transposed.starts[j] : transposed.starts[j + 1]] for j in order]
    return np.concatenate(parts), np.concatenate([[0], np.cumsum([part.size for part in parts])])


@pytest.mark.parametrize("name", ["scattered", "long rows", "power grid", "arrowhead", "banded"])
def test_all_ways_of_first_fit_give_the_same_colours(name):
    pattern = {
        "scattered": scattered(2000, 1500, 5),
        "long rows": scattered(40, 400, 90),  # more than 64 colours
        "power grid": power_grid(400),
        "arrowhead": arrowhead(200),
        "banded": banded(500, 3),
    }[name]
    used = first_fit.columns_in_use(pattern)
    for seed in range(3):
        rows, bounds = in_order(pattern, np.random.default_rng(seed).permutation(used))
        ways = [first_fit._by_masks, first_fit._by_spans, first_fit._by_windows]
        expected, *others = [np.asarray(way(pattern.shape[0], rows, bounds, 10**6)) for way in ways]
        assert all(np.array_equal(expected, other) for other in others)
        needed = int(expected.max()) + 1
        assert all(way(pattern.shape[0], rows, bounds, needed) is not None for way in ways)
        assert all(way(pattern.shape[0], rows, bounds, needed - 1) is None for way in ways)


@pytest.mark.parametrize("pattern", [scattered(6000, 6000, 5), dense_row(4000, 2000)], ids=repr)
def test_large_patterns_are_coloured_in_other_ways(pattern, monkeypatch):
    """In windows if they are wide, by spans if a row is long: neither by masks."""
    monkeypatch.setattr(first_fit, "_by_masks", None)
    colours = first_fit.first_fit(pattern)
    assert not lattices.failing_rows(pattern.starts, pattern.columns, colours).size


@pytest.mark.parametrize("number", range(40))
def test_interchange_keeps_colours_valid_and_adds_none(number):
    pattern = drawn(number)
    colours = first_fit.first_fit(pattern)
    fewer = with_interchange(pattern, colours, 1)
    assert fewer.max(initial=-1) <= colours.max(initial=-1)
    assert np.array_equal(fewer < 0, colours < 0)
    Colouring(pattern, "columns", fewer, None).check()


def test_interchange_drops_a_colour_that_first_fit_needs():
    """First fit colours a path's ends first, and alike: then its middle needs a third colour, if none moves."""
    path = Pattern.from_dense([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    assert np.array_equal(with_interchange(path, np.array([0, 1, 2, 0], np.int32), 2), [0, 1, 0, 1])


def test_a_rule_gives_way_where_first_fit_needs_fewer_colours():
    """By the rule of the many rows 4 colours are needed, by first fit 3."""
    rows = [[0, 2], [0, 1], [1, 2]] * 2 + [[j, j + 1] for j in range(3, 400)]
    places = [(i, j) for i, row in enumerate(rows) for j in row]
    pattern = Pattern.from_coordinates(*np.transpose(places), (len(rows), 401))
    assert colour_columns(pattern).columns == textbook(pattern) == 3


@pytest.mark.parametrize("number", range(20))
def test_failing_rows_are_those_with_two_columns_of_a_colour(number):
    pattern, draw = drawn(number), np.random.default_rng(number)
    colours = draw.integers(-1, 150, pattern.shape[1]).astype(np.int32)
    colours[pattern.columns[colours[pattern.columns] < 0]] = 0
    expected = []
    for i in range(pattern.shape[0]):
        row = colours[pattern.columns[pattern.starts[i] : pattern.starts[i + 1]]]
        expected += [i] if len(set(row)) < len(row) else []
    assert np.array_equal(lattices.failing_rows(pattern.starts, pattern.columns, colours), expected)


def test_numbers_are_counted_alike_with_and_without_a_table():
    numbers = np.random.default_rng(0).integers(0, 50, 100)
    asked = np.arange(50)
    expected = [(numbers == k).sum() for k in asked]
    assert np.array_equal(occurrences(numbers, asked, 50), expected)
    assert np.array_equal(occurrences(numbers, asked, 10**9), expected)


# Memory.


def peak(action):
    """The bytes that were in use at most at any time of a call, beside those before."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LINEAR = {
    "band, columns": (lambda n: banded(n, 2), colour_columns),
    "band, star": (lambda n: banded(n, 2), colour_star),
    "band, best": (lambda n: banded(n, 2), best),
    "dense row": (lambda n: dense_row(n, n), best),
    "half a dense row": (lambda n: dense_row(n, n // 2), colour_columns),
    "arrowhead, both": (arrowhead, bicolour),
    "arrowhead, star": (arrowhead, colour_star),
    "scattered": (lambda n: scattered(n, n, 3), colour_columns),
}


@pytest.mark.parametrize("name", LINEAR)
def test_memory_is_linear_in_the_places(name):
    make, colour = LINEAR[name]
    small, large = make(4000), make(16_000)
    used = [peak(lambda: colour(pattern).source) for pattern in (small, large)]  # noqa: B023
    assert used[1] < 5 * used[0]
    assert used[1] < 600 * large.size


def test_a_band_of_a_million_columns_is_coloured():
    pattern = banded(10**6, 1)
    assert peak(lambda: colour_columns(pattern)) < 20 * pattern.size
    colours = column_colours(pattern)
    assert np.array_equal(colours, np.arange(10**6) % 3)
