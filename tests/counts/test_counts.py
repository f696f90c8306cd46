"""No count rises unseen: instructions and Python calls, equations and kernels stand in one file, with reasons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.counts import measure

ROOT = Path(__file__).resolve().parents[2]
FALLEN = 0.97  # below this part of the record it is to be lowered: a ratchet holds only where it stands
HOW = "`python -m tests.counts.measure --record` writes it down; then say in the line's second field why it changed"


def found() -> dict[str, int]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    environment |= {"PYTHONHASHSEED": "0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.counts.measure"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    counts: dict[str, int] = json.loads(run.stdout)
    return counts


def complaint(name: str, count: int, record: tuple[int, str]) -> str:
    """What is wrong with a count beside its record; empty where nothing is."""
    if count > record[0]:
        return f"{name}: {count}, more than the {record[0]} on record ({record[1]}). Make it less; or {HOW}"
    if count < FALLEN * record[0]:
        return f"{name}: {count}, less than the {record[0]} on record: hold what was won. {HOW}"
    return ""


def test_no_count_is_above_its_record() -> None:
    """One test for all of them: they are counted in one process, which takes seconds."""
    record, counts = measure.recorded(), found()
    if measure.THIS_PAIR != measure.PAIR:  # equations do not depend on the versions
        record = {name: entry for name, entry in record.items() if name.startswith("equations:")}
    assert counts.keys() == record.keys(), HOW
    complaints = [complaint(name, count, record[name]) for name, count in counts.items()]
    assert not any(complaints), "\n".join(filter(None, complaints))


def test_every_count_on_record_has_a_reason() -> None:
    assert all(why for _, why in measure.recorded().values())


def test_a_count_that_rises_or_falls_far_is_named_with_what_to_do() -> None:
    assert complaint("calls: f", 100, (100, "first record")) == ""
    assert complaint("calls: f", 98, (100, "first record")) == ""
    for count in (101, 90):
        message = complaint("calls: f", count, (100, "first record"))
        assert message.startswith(f"calls: f: {count}, ")
        assert "--record" in message


def test_counting_sees_one_instruction_and_one_call_more() -> None:
    def inner() -> None:
        pass

    once, twice = (lambda: inner()), (lambda: (inner(), inner()))
    assert measure.python_calls(twice) == measure.python_calls(once) + 1
    assert measure.bytecode_instructions(twice) > measure.bytecode_instructions(once) > 0
    entry = "ENTRY %main (x: f32[2]) -> f32[2] {"
    text = f"{entry}\n  %x = f32[2]{{0}} parameter(0)\n  ROOT %f = f32[2]{{0}} fusion(%x), kind=kLoop\n}}"
    assert measure.kernels(text) == 1
