"""The documents keep their word: snippets print what stands there, and README's two commands name what exists."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def blocks(document, language):
    """(line number of the first line, text) of each fenced block of one language."""
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in pattern.finditer(text)]


DOCUMENTS = {"README.md": 40, "docs/walkthrough.md": 12, "docs/with_jax_libraries.md": 20, "docs/jacobians.md": 20}


@pytest.mark.parametrize(("document", "least"), DOCUMENTS.items())
def test_the_snippets_print_what_they_say(document, least):
    """The python blocks are one session: a later one may use the names of an earlier one."""
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    names, report = {}, []
    for line, text in blocks(ROOT / document, "python"):
        example = parser.get_doctest(text, names, document, document, line)
        assert example.examples, f"{document} line {line}: a python block without a >>> example is never checked"
        runner.run(example, out=report.append, clear_globs=False)
        names = example.globs
    assert not runner.failures, "".join(report)
    assert runner.tries >= least


def test_the_two_commands_name_files_and_extras_that_exist():
    main_job, tests = (text.strip() for _, text in blocks(README, "sh")[:2])
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in (main_job, tests):
        assert "\n" not in command
        for extra in re.search(r"\.\[(.*?)\]", command)[1].split(","):
            assert f"\n{extra} = [" in extras
    assert (ROOT / main_job.split("python ")[1]).is_file()
    assert "pytest" in tests
