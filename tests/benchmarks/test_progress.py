"""A run says how far it is and how long it will take, and keeps what it has when it is interrupted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import calls, progress, sizes
from benchmarks.progress import Progress
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import FunctransSide, JaxSide
from benchmarks.timing import Effort


def test_the_time_left_follows_from_earlier_runs_and_the_pace_of_this_one() -> None:
    known = {"a f": 10.0, "b f": 30.0}
    jobs = Progress([("a f", None), ("b f", None), ("c grad", None)], known, io.StringIO())
    assert jobs.remaining(0, 0.0) == 10 + 30 + progress.GUESSES["grad"]
    assert jobs.remaining(1, 20.0) == 2 * (30 + progress.GUESSES["grad"])  # twice as slow as expected so far
    assert jobs.remaining(3, 99.0) == 0.0


def test_each_case_is_shown_with_its_place_and_the_time_left() -> None:
    stream = io.StringIO()
    assert [name for name, _ in Progress([("a f", None), ("b f", None)], {"a f": 50.0, "b f": 75.0}, stream)] == [
        "a f", "b f"
    ]  # fmt: skip
    first, second = stream.getvalue().splitlines()
    assert first == "1/2  0:00 gone, about 2:05 left  a f"
    assert second.startswith("2/2  0:00 gone, about ")


def test_only_runs_of_the_same_mode_are_remembered_and_later_ones_count() -> None:
    def result(quick: bool, control: bool, seconds: float) -> dict[str, Any]:
        return {"environment": {"quick": quick, "control": control, "seconds by case": {"mlp f": seconds}}}

    results = [result(True, False, 1.0), result(False, False, 2.0), result(True, False, 3.0), result(True, True, 4.0)]
    assert progress.known_seconds(results, quick=True) == {"mlp f": 3.0}


def test_an_interrupted_run_keeps_the_cases_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(calls, "dispatch", lambda sides, effort: calls.nested_gradients(sides, 1))
    monkeypatch.setattr(calls, "smallest_gradient", interrupted)
    assert program.main(["--only", "dispatch", "--only", "smallest", "--output", str(tmp_path)]) == 130
    (kept,) = tmp_path.glob("*.json")
    assert [row["scenario"] for row in json.loads(kept.read_text())["rows"]] == ["depth 1"]
    assert "interrupted after 1 of 2 cases, which are kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("taken", "elapsed", "more"),
    [
        (0, 99.0, True),
        (2, 99.0, True),
        (3, 99.0, False),
        (4, 5.0, True),
        (5, 0.1, True),
        (5, 0.4, False),
        (25, 0, False),
    ],
)
def test_a_slow_case_gets_three_samples_and_a_quick_one_many(taken: int, elapsed: float, more: bool) -> None:
    assert Effort(5, 25, 0.3, patience=6.0).wants_more(taken, elapsed) is more


def test_the_cost_of_a_derivative_is_measured_at_the_size_asked_for() -> None:
    scenario, size = SCENARIOS["kmeans"], {"means": 2, "dimension": 3, "count": 4}
    (row,) = sizes.rows((FunctransSide(), JaxSide()), (), scenario, size, Effort(1, 1, 0.0))
    assert (row.scenario, row.variant, row.unit) == ("kmeans", "2 means, 3 dimension, 4 count", "x")
    assert row.ours is not None
    assert row.jax is not None
    assert min(row.ours.median, row.jax.median) > 0
