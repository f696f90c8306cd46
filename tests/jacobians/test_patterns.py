"""Patterns against dense matrices and SciPy's sparse ones."""

import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from functrans.jacobians.colouring import bicolour, colour_columns
from functrans.jacobians.patterns import Pattern
from tests.errors.refusal import refusal
from tests.jacobians.problems import PROBLEMS, arrowhead, banded, drawn

matplotlib.use("Agg")


def dense(pattern):
    """The matrix of booleans, one place after the other."""
    matrix = np.zeros(pattern.shape, bool)
    for i in range(pattern.shape[0]):
        for j in pattern.columns[pattern.starts[i] : pattern.starts[i + 1]]:
            matrix[i, j] = True
    return matrix


@pytest.mark.parametrize("number", range(12))
def test_a_pattern_holds_the_places_of_a_matrix(number):
    matrix = dense(drawn(number))
    pattern = Pattern.from_dense(matrix)
    assert np.array_equal(dense(pattern), matrix)
    assert (pattern.starts.dtype, pattern.columns.dtype, pattern.rows.dtype) == (np.int64, np.int32, np.int32)
    assert (pattern.size, pattern.density) == (matrix.sum(), matrix.mean())
    assert np.array_equal(np.stack([pattern.rows, pattern.columns]), np.nonzero(matrix))
    assert np.array_equal(dense(pattern.transposed), matrix.T)
    assert pattern.transposed.transposed == pattern
    assert np.array_equal(pattern.to_scipy().toarray(), matrix)
    values = np.random.default_rng(number).random(pattern.size)
    expected = np.zeros(matrix.shape)
    expected[matrix] = values
    assert np.array_equal(pattern.to_scipy(values).toarray(), expected)


@pytest.mark.parametrize("number", range(12))
def test_places_may_be_given_in_any_order_and_more_than_once(number):
    pattern, draw = drawn(number), np.random.default_rng(number)
    order = draw.permutation(np.append(np.arange(pattern.size), draw.integers(0, max(pattern.size, 1), pattern.size)))
    given = Pattern.from_coordinates(pattern.rows[order], pattern.columns[order], pattern.shape)
    assert given == pattern
    assert (given.digest, hash(given)) == (pattern.digest, hash(pattern))


def test_patterns_with_other_places_or_shapes_differ():
    pattern = banded(5, 1)
    wider = Pattern((5, 6), pattern.starts, pattern.columns)
    others = [banded(6, 1), banded(5, 2), Pattern.from_coordinates([0], [0], (5, 5)), wider]
    assert len({other.digest for other in others} | {pattern.digest}) == 5
    assert all(other != pattern for other in others)
    assert pattern != "a pattern"
    assert Pattern((5, 5), pattern.starts, pattern.columns, assumed=("a value at line 3",)) == pattern


def test_a_number_that_is_not_zero_is_a_place_and_so_is_nan():
    assert np.array_equal(Pattern.from_dense([[0.0, np.nan], [-1.0, -0.0]]).columns, [1, 0])


@pytest.mark.parametrize("name", PROBLEMS)
def test_symmetry_is_that_of_the_matrix(name):
    pattern = PROBLEMS[name]()
    matrix = dense(pattern)
    assert pattern.is_symmetric == (matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, matrix.T))


def test_what_was_assumed_is_kept():
    assert Pattern((1, 1), [0, 1], [0], ("x[i] at line 3",)).transposed.assumed == ("x[i] at line 3",)


def test_a_pattern_cannot_be_changed():
    pattern = banded(5, 1)
    for array in (pattern.starts, pattern.columns, pattern.rows, pattern.transposed.columns):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        pattern.size = 3


def test_a_pattern_says_in_one_line_what_it_is():
    assert repr(banded(1000, 1)) == "Pattern(1000 x 1000, 2998 places, 0.3% dense)"
    assert repr(PROBLEMS["nothing"]()) == "Pattern(0 x 0, 0 places, 0% dense)"


WRONG_ARRAYS = [
    ((2, 3), [0, 1], [0], "starts of shape (2,)"),
    ((2, 3), [0, 2, 1], [0], "ascend from 0 to 1"),
    ((2, 3), [1, 1, 1], [0], "ascend from 0 to 1"),
    ((2, 3), [0, 1, 3], [0, 1], "ascend from 0 to 2"),
    ((2, 3), [0, 1, 2], [0, 3], "columns from 0 to 3, where there are 3"),
    ((2, 3), [0, 1, 2], [-1, 0], "columns from -1 to 0"),
    ((2, 3), [0, 0, 2], [1, 1], "the columns of row 1 do not ascend: [1 1]"),
    ((2, 3), [0, 2, 2], [2, 1], "the columns of row 0 do not ascend: [2 1]"),
    ((2, 3, 4), [0, 1, 2], [0, 0], "the shape of a matrix is wanted"),
    ((-1, 3), [0], [], "the shape of a matrix is wanted"),
]


@pytest.mark.parametrize(("shape", "starts", "columns", "says"), WRONG_ARRAYS)
def test_arrays_that_are_no_compressed_rows_are_refused(shape, starts, columns, says):
    refusal(ValueError, lambda: Pattern(shape, starts, columns)).says(says)  # blame


def test_rows_may_fall_from_one_to_the_next_and_be_empty():
    pattern = Pattern((5, 3), [0, 0, 2, 2, 3, 3], [1, 2, 0])
    assert np.array_equal(pattern.rows, [1, 1, 3])


@pytest.mark.parametrize(
    ("kind", "rows", "columns", "says"),
    [
        (IndexError, [0, 2], [0, 0], "there is no row 2 in a matrix of shape (2, 3)"),
        (IndexError, [0, 1], [0, -4], "there is no column -4"),
        (TypeError, [0.0], [1], "rows are of dtype float64"),
        (ValueError, [0, 1], [1], "two vectors of one length"),
    ],
)
def test_places_outside_of_the_matrix_are_refused(kind, rows, columns, says):
    refusal(kind, lambda: Pattern.from_coordinates(rows, columns, (2, 3))).says(says)  # blame


def test_values_that_are_not_one_for_each_place_are_refused():
    refusal(ValueError, lambda: banded(3, 1).to_scipy([1.0, 2.0])).says("values of shape (2,) for 7 places")  # blame


def test_an_array_that_is_no_matrix_is_refused():
    refusal(ValueError, lambda: Pattern.from_dense([1.0, 2.0])).says("shape (2,)")  # blame


def test_a_small_picture_has_a_letter_for_each_place():
    lines = banded(6, 1, 0).picture().splitlines()
    found = [[letter == "■" for letter in line if letter in "■·"] for line in lines[1:-1]]
    assert np.array_equal(found, dense(banded(6, 1, 0)))
    assert len({len(line) for line in lines}) == 1


def dots(picture):
    """The dots of the Braille letters of a picture as a matrix of booleans."""
    rows = [[ord(letter) - 0x2800 for letter in line[1:-1]] for line in picture.splitlines()[1:-1]]
    places = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}  # of Unicode
    found = np.zeros((4 * len(rows), 2 * len(rows[0])), bool)
    for i, row in enumerate(rows):
        for j, letter in enumerate(row):
            for bit, (down, right) in places.items():
                found[4 * i + down, 2 * j + right] = letter >> bit & 1
    return found


@pytest.mark.parametrize("pattern", [arrowhead(40), drawn(1), banded(17, 3)], ids=repr)
def test_a_picture_has_a_dot_for_each_place_where_there_is_room(pattern):
    found = dots(pattern.picture(width=120, height=60))
    m, n = pattern.shape
    assert np.array_equal(found[:m, :n], dense(pattern))
    assert not found[m:].any()
    assert not found[:, n:].any()


def test_a_picture_of_a_large_matrix_shows_which_tiles_hold_a_place():
    found = dots(banded(10_000, 5).picture(width=22, height=12))
    assert np.array_equal(found, dense(banded(40, 1)))  # the band meets the next tile at each corner
    lines = banded(10_000, 5).picture().splitlines()
    assert (len(lines), {len(line) for line in lines}) == (32, {64})


@pytest.mark.parametrize("name", ["nothing", "no rows", "no columns", "empty"])
def test_a_picture_of_nothing_is_a_frame(name):
    picture = PROBLEMS[name]().picture()
    assert set(picture) <= set("┌─┐│└┘ ·\n")
    assert len(picture.splitlines()) == 2 + PROBLEMS[name]().shape[0]


def test_a_picture_without_room_is_refused():
    refusal(ValueError, lambda: banded(5, 1).picture(width=2)).says("at least 3 by 3 letters")  # blame


def axes():
    return Figure(figsize=(5, 5)).subplots()


def test_a_plot_of_a_small_pattern_has_a_dot_for_each_place():
    pattern = drawn(3)
    small = Pattern.from_dense(dense(pattern)[:60, :50])
    discs, squares = small.plot(axes()).collections
    assert np.array_equal(discs.get_offsets(), np.stack([small.columns, small.rows], axis=1))
    assert len(squares.get_offsets()) == 0


def test_a_plot_of_a_colouring_shows_from_which_pass_each_place_is_read():
    colouring = bicolour(arrowhead(30))
    ax = colouring.plot(axes())
    discs, squares = ax.collections
    assert ax.get_title() == "3 passes, 2 forward and 1 reverse\nthose of reverse passes are squares"
    products = colouring.products
    assert len(discs.get_offsets()) == (products < 2).sum()
    assert len(squares.get_offsets()) == (products == 2).sum()
    for shown, chosen in ((discs, products < 2), (squares, products == 2)):
        paint = {tuple(color) for color in shown.get_facecolors()}
        assert len(paint) == len(set(products[chosen]))
    assert np.array_equal(discs.get_offsets()[:, 0], colouring.pattern.columns[products < 2])


def test_a_plot_of_a_large_pattern_is_an_image_of_tiles():
    pattern = banded(100_000, 2)
    (image,) = colour_columns(pattern).plot(axes()).images
    shown = np.asarray(image.get_array())
    painted = (shown < 1).any(axis=-1)
    tall, wide = painted.shape
    assert 50 < tall < 500
    assert 50 < wide < 500
    assert painted.any(axis=0).all()
    assert painted.any(axis=1).all()
    i, j = np.nonzero(painted)
    assert np.abs(i / tall - j / wide).max() < 1.5 / min(tall, wide)  # nothing beside the band
    assert image.get_extent() == [-0.5, 99_999.5, 99_999.5, -0.5]


def test_a_plot_of_the_colouring_of_another_pattern_is_refused():
    refusal(ValueError, lambda: banded(5, 1).plot(axes(), colour_columns(banded(6, 1)))).says("not of")  # blame


def test_without_matplotlib_a_plot_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refusal(RuntimeError, lambda: banded(5, 1).plot()).says("pip install matplotlib", "pattern.picture()")  # blame


def test_a_plot_without_axes_makes_some():
    ax = banded(5, 1).plot()
    assert ax.get_title() == "5 × 5, 13 places"
    matplotlib.pyplot.close(ax.figure)
