"""The documentation in the code keeps its word: every example runs, and every public name has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import functrans

PACKAGE = Path(functrans.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
PUBLIC = sorted(
    name
    for name, value in vars(functrans).items()
    if not name.startswith("_") and getattr(value, "__module__", "").startswith("functrans") and callable(value)
)


def examples_of(name):
    """Each example once, where its function is written, or made: not where another module gives it a public name."""
    module, kept = importlib.import_module(name), []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        value = vars(module).get(test.name.removeprefix(f"{name}."))
        if inspect.isfunction(value):
            written = inspect.unwrap(value)
            if written.__globals__ is not vars(module):
                if written.__globals__.get(written.__name__) is written:
                    continue
                test.globs = dict(written.__globals__)
        if test.examples:
            kept.append(test)
    return kept


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    runner, said = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS), []
    for test in examples_of(name):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name):
    """A class by its docstring, a function by an example as well."""
    value = getattr(functrans, name)
    text = inspect.getdoc(value) or ""
    assert text, f"functrans.{name} has no docstring"
    if not inspect.isclass(value):
        assert ">>>" in text, f"functrans.{name} has no executed example in its docstring"


def test_there_are_examples_to_run():
    """The finder sees the package's docstrings at all."""
    assert sum(len(examples_of(name)) for name in MODULES) >= len(PUBLIC) // 2
