"""README keeps its word: its snippets run and print what it says they print, and its two commands are there."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """(line number of the first line, text) of each fenced block of one language."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(TEXT.count("\n", 0, found.start(1)), found[1]) for found in pattern.finditer(TEXT)]


def test_the_tour_prints_what_it_says():
    """The python blocks are one session: a later one may use the names of an earlier one."""
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    names, report = {}, []
    for line, text in blocks("python"):
        example = parser.get_doctest(text, names, "README.md", str(ROOT / "README.md"), line)
        assert example.examples, f"README.md line {line}: a python block without a >>> example is never checked"
        runner.run(example, out=report.append, clear_globs=False)
        names = example.globs
    assert not runner.failures, "".join(report)
    assert runner.tries >= 20


def test_the_two_commands_name_files_and_extras_that_exist():
    main_job, tests = (text.strip() for _, text in blocks("sh")[:2])
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in (main_job, tests):
        assert "\n" not in command
        for extra in re.search(r"\.\[(.*?)\]", command)[1].split(","):
            assert f"\n{extra} = [" in extras
    assert (ROOT / main_job.split("python ")[1]).is_file()
    assert "pytest" in tests
