"""The one command of all checks does what README and CONTRIBUTING say that it does."""

import re
import subprocess
from pathlib import Path

import pytest

from tests import conftest

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
    def __init__(self, room, name):
        self.path, self.nodeid = conftest.ROOT / room / "test_it.py", name


class _Config:
    def __init__(self, share):
        self.share, self.hook = share, self

    def getoption(self, name):
        return self.share if name == "share" else None

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
        found.append({item.nodeid for item in items if item.path.parent.name == "ops"})
    assert all(60 < len(part) < 140 for part in found)
    assert len(set().union(*found)) == sum(map(len, found)) == 300


def test_the_rooms_named_for_the_tests_exist():
    for name in conftest.NEXT_TO_JAXLIB | conftest.QUICKLY_COMPILED:
        assert (conftest.ROOT / name).exists(), name
