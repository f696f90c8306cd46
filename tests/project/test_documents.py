"""The documents describe the house as it is."""

import re

from functrans.trace.primitive import Primitive
from tests.project.test_layers import FLOOR, PACKAGE, ROOT, sources

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and not path.name.startswith("_")}


def test_the_table_of_rooms_lists_those_that_there_are_from_the_ground_up():
    rows = re.findall(r"^\| ((?:`\w+` )+)\|", CONTRIBUTING, re.MULTILINE)
    listed = [re.findall(r"`(\w+)`", row) for row in rows]
    names = [name for row in listed for name in row]
    assert sorted(names) == sorted(ROOMS)
    assert [FLOOR[name] for name in names] == sorted(FLOOR[name] for name in names)


def test_the_order_of_the_house_names_rooms_that_there_are():
    assert set(FLOOR) - {"__init__"} == ROOMS


def test_files_that_the_documents_name_are_there():
    pages = ("docs/jacobians.md", "docs/walkthrough.md", "docs/with_jax_libraries.md")
    for document in ("README.md", "CONTRIBUTING.md", *pages):
        text = (ROOT / document).read_text(encoding="utf-8")
        for name in re.findall(r"`((?:functrans|tests|docs|benchmarks|examples)/[\w/.]+\.\w+)`", text):
            assert (ROOT / name).exists() or name.startswith("examples/figures/"), f"{document} names {name}"
        for name in re.findall(r"\]\((?!http)([\w./-]+\.\w+)\)", text):
            assert ((ROOT / document).parent / name).exists(), f"{document} links to {name}"


def test_what_an_operation_answers_is_declared_and_not_guessed():
    """Nothing asks whether an operation has a member, or goes by its name: Primitive declares them all."""
    guesses = re.compile(r"\b(?:get|has)attr\((?:\w+\.)?op\b|\bop\.name (?:==|!=|in|not in)\b")
    found = [f"functrans/{file}" for file, text in sources().items() if guesses.search(text)]
    assert not found


def test_every_rule_of_a_primitive_is_explained():
    members = [value for name, value in vars(Primitive).items() if not name.startswith("_") and callable(value)]
    unexplained = [member.__name__ for member in members if not (member.__doc__ or "").strip()]
    assert not unexplained
