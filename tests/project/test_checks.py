"""The one command of all checks does what README and CONTRIBUTING say that it does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest
from tests.turns import THOROUGH, covering_share

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [1, 2])
def test_the_commands_it_runs_are_those_of_readme(number):
    function = re.search(r"^readme_command\(\) \{\n.*?^\}\n", SCRIPT, re.MULTILINE | re.DOTALL)[0]
    run = subprocess.run(["bash", "-c", f"{function}readme_command {number}"], cwd=ROOT, capture_output=True, text=True)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert run.stdout == blocks[number - 1]
    assert f"$(readme_command {number})" in SCRIPT


def test_every_step_of_it_is_there_and_what_it_offers_is_documented():
    steps = re.findall(r"^step '([^']+)'", SCRIPT, re.MULTILINE)
    assert steps == ["main job", "tests", "tools", "lint", "types", "newest jax"]
    assert ".ci/run --all-versions" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_an_option_that_it_does_not_know_is_refused():
    run = subprocess.run([ROOT / ".ci/run", "--everything"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "usage: .ci/run [--all-versions]\n")


class _Item:
    def __init__(self, room, name, file="test_it.py"):
        self.path, self.name = conftest.ROOT / room / file, name
        self.nodeid = f"{room}/{file}::{name}"

    def get_closest_marker(self, name):
        return None


class _Config:
    def __init__(self, share=(1, 1), quick=False):
        self.options, self.hook = {"share": share, "quick": quick}, self

    def getoption(self, name):
        return self.options[name]

    def pytest_deselected(self, items):
        self.left_out = items


def test_the_shares_make_up_the_suite_and_each_holds_the_rooms_next_to_jaxlib():
    found = []
    for turn in (1, 2, 3):
        items = [_Item(room, f"{room}[{i}]") for room in ("xla", "ops") for i in range(300)]
        config = _Config((turn, 3))
        conftest.pytest_collection_modifyitems(config, items)
        assert len(items) + len(config.left_out) == 600
        assert sum(item.path.parent.name == "xla" for item in items) == 300
        found.append({item.name for item in items if item.path.parent.name == "ops"})
    assert all(60 < len(part) < 140 for part in found)
    assert len(set().union(*found)) == sum(map(len, found)) == 300


@pytest.mark.skipif(THOROUGH, reason="runs every test")
@pytest.mark.parametrize("parts", [1, 3])
def test_commits_in_a_row_run_every_test_of_a_product(parts, monkeypatch):
    file = "compose/test_compose.py"
    tests = [f"test[{i}]" for i in range(300)] + ["test"]
    found = []
    for turn in range(50, 50 + parts * conftest.IN_TURNS[file]):
        monkeypatch.setattr(conftest, "current_turn", lambda turn=turn: turn)
        items = [_Item("compose", name, "test_compose.py") for name in tests]
        conftest.pytest_collection_modifyitems(_Config((turn % parts + 1, parts)), items)
        found.append({item.name for item in items})
    assert sorted(set().union(*found)) == sorted(tests)
    assert sum(map(len, found)) == 300 + conftest.IN_TURNS[file]  # what is no product runs whenever its share does


@pytest.mark.skipif(THOROUGH, reason="compiles everything as for users")
@pytest.mark.parametrize("file", ["test_against_jax.py", "test_messages.py"], ids=["a product", "no product"])
def test_commits_in_a_row_compile_every_test_as_for_users(file, monkeypatch):
    """As many times the parts of the product: at each of the commits that run a test one in so many is compiled so."""
    tests = [f"test[{i}]" for i in range(300)]
    found = []
    for turn in range(50, 50 + conftest.IN_TURNS.get(f"control/{file}", 1) * conftest.OPTIMISED_PARTS):
        monkeypatch.setattr(conftest, "current_turn", lambda turn=turn: turn)
        items = [_Item("control", name, file) for name in tests]
        conftest.pytest_collection_modifyitems(_Config(), items)
        found += [item.name for item in items if not conftest._compiled_quickly(item)]
    assert sorted(found) == sorted(tests)


def test_the_quick_sample_touches_every_room():
    items = [_Item(room, f"{room}[{i}]") for room, size in (("xla", 300), ("ops", 900), ("nn", 1)) for i in range(size)]
    conftest.pytest_collection_modifyitems(_Config(quick=True), items)
    assert {item.path.parent.name for item in items} == {"xla", "ops", "nn"}
    assert 40 < len(items) < 120


def test_turns_in_a_row_cover_a_product_once():
    for offset in (0, 5):
        drawn = [case for turn in range(7, 11) for case in covering_share(range(30), 4, offset=offset, turn=turn)]
        assert sorted(drawn) == list(range(30))


def test_the_turn_is_the_number_of_the_commit_or_what_the_environment_says():
    command = [sys.executable, "-c", "from tests.turns import current_turn; print(current_turn())"]
    run = lambda **names: subprocess.run(command, cwd=ROOT, env=os.environ | names, capture_output=True, text=True)
    assert run(FUNCTRANS_TURN="5").stdout == "5\n"
    assert int(run().stdout) >= 0


def test_the_rooms_named_for_the_tests_exist():
    rooms = conftest.NEXT_TO_JAXLIB | conftest.QUICKLY_COMPILED | conftest.OPTIMISED_IN_TURNS
    for name in (*rooms, *conftest.IN_TURNS):
        assert (conftest.ROOT / name).exists(), name
