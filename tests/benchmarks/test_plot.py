"""The results are drawn and written down as they are, losses included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import plot, report
from benchmarks.report import Row
from benchmarks.timing import Samples

ENVIRONMENT = {
    "jax": "0.10.2", "python": "3.11.7", "device": "cpu:0", "cores": 2, "load at the end": [0.5, 0.5, 0.5],
    "when": "2026-01-02T03:04:05+00:00", "quick": False, "left out": ["torch.func is left out: not installed"],
    "failures": [],
}  # fmt: skip


def rows() -> list[Row]:
    fast, slow, far = (Samples((value, 1.02 * value, 1.04 * value)) for value in (1e-3, 2e-3, 30e-3))
    return [
        Row("trace + lower", "chain", "grad", fast, far),
        Row("trace + lower", "mlp", "grad", slow, fast),
        Row("un-jitted call", "chain", "grad", fast, far, others={"autograd": slow, "torch.func": far}),
        Row("un-jitted call", "rnn", "grad", slow, far, others={"autograd": fast, "torch.func": slow}),
        Row("steady run", "chain", "f", fast, fast),
        Row(
            "derivative over function",
            "gmm",
            "5 components",
            Samples((2.5,)),
            Samples((3.0,)),
            "x",
            others={"autograd": Samples((1.5,))},
        ),
        Row("equations of nested grad", "depth 1", "", Samples((22.0,)), Samples((34.0,)), unit=""),
        Row("equations of nested grad", "depth 2", "", Samples((49.0,)), Samples((98.0,)), unit=""),
    ]


def test_results_become_a_picture_and_a_page_that_names_the_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps(report.as_json(rows(), ENVIRONMENT)))
    assert plot.main([str(results), "--docs", str(tmp_path / "docs")]) == 0
    assert "benchmarks.png" in capsys.readouterr().out
    assert (tmp_path / "docs" / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "jax 0.10.2, Python 3.11.7, cpu:0, 2 cores (load 0.5 at the end), 2026-01-02, full mode" in page
    losses, others = page.split("## Where JAX is faster")[1].split("## Where another library is faster")
    assert "| trace + lower | mlp grad | 2.04 ms | 1.02 ms | 0.5 |" in losses
    assert "chain" not in losses
    assert "| un-jitted call | all, autograd for jax | 1 | 0.5 | 2 |" in page
    assert "| un-jitted call | rnn grad | 2.04 ms | autograd | 1.02 ms | 0.5 |" in others
    others, costs = others.split("## Time of the derivative over the time of its function")
    assert "torch.func |" not in others
    assert "gmm" not in others
    assert "| gmm | 5 components | 2.5 | 3 | 1.5 |" in costs
    assert "- torch.func is left out: not installed" in page


def test_without_results_the_plot_says_how_to_make_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "RESULTS", tmp_path)
    assert plot.main([]) == 2
    assert "python -m benchmarks makes some" in capsys.readouterr().err
