"""The table of coverage is what the command prints, and what it says is so."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache

import jax
import pytest

from functrans.interop.from_jax import TABLE
from functrans.interop.translation import OF_TOKENS
from tests.surface.coverage import PAGE, all_names, computes, page
from tests.surface.names import imported
from tests.surface.reasons import ABSENT, DIFFERENT, HELD
from tests.surface.rows import names_met
from tests.surface.settings import SETTINGS

ROOT = PAGE.parents[1]
WRITTEN_WITH = re.search(r"the names of jax (\d+(?:\.\d+)*)", PAGE.read_text(encoding="utf-8"))[1]
of_this_jax = pytest.mark.skipif(jax.__version__ != WRITTEN_WITH, reason="the page lists the names of another jax")


@of_this_jax
def test_the_page_is_what_the_command_prints():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.surface.coverage --write"


def test_what_is_absent_has_a_reason():
    without = [n.qualified for n in all_names() if n.kind == "absent" and not n.why]
    assert not without, "give a reason in tests/surface/reasons.py"


def test_no_name_is_left_untested():
    assert not [n.qualified for n in all_names() if n.kind == "untested"]


@of_this_jax
def test_reasons_and_evidence_are_of_names_that_there_are():
    qualified = [n.qualified for n in all_names()]
    for table in (ABSENT, DIFFERENT, HELD):
        for names in table.values():
            strangers = [p for p in names.split() if not any(fnmatchcase(q, p) for q in qualified)]
            assert not [p for p in strangers if p not in GONE.split()]


# Names of older versions of JAX than that of the page.
GONE = """
lax.psend lax.precv experimental.cur_qdd experimental.ode.ravel_first_arg_
"""


@cache
def _words(file: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", (ROOT / file).read_text(encoding="utf-8")))


def test_operations_of_jax_have_counterparts():
    """Each is in the table of the bridge, whose tests meet them all; those of sparse matrices its functions meet. A few
    stay JAX's operations, which tests/interop/test_opaque.py meets.
    """
    found = [n for n in all_names() if n.name.endswith("_p") and n.kind == "JAX's own" and n.module.startswith("lax")]
    names = {n.qualified: getattr(imported("jax", n.module), n.name).name for n in found}
    assert len(names) > 100
    stay = {"rng_uniform", "select_and_scatter", *OF_TOKENS}
    assert not [qualified for qualified, name in names.items() if name not in {*TABLE, *stay}]


def test_files_that_hold_names_speak_of_them():
    """Of each that no row holds; of JAX's own objects only of those that compute, where the test of identities does
    not say enough.
    """
    missing = []
    for n in all_names():
        if n.qualified in names_met() or n.kind in ("absent", "untested"):
            continue
        files = [f for f, names in HELD.items() if any(fnmatchcase(n.qualified, p) for p in names.split())]
        ours, theirs = (getattr(imported(package, n.module), n.name) for package in ("functrans", "jax"))
        if ours is theirs and not (n.module.startswith(COMPUTING) and computes(theirs) and not n.name.endswith("_p")):
            continue
        if files and not any(n.name in _words(file) for file in files):
            missing.append(n.qualified)
    assert not missing


COMPUTING = ("example_libraries", "experimental", "image", "ref", "tree", "scipy")


def test_every_setting_is_spoken_of_once():
    listed = [name for names in SETTINGS.values() for name in names.split()]
    assert len(listed) == len(set(listed))
    assert not {name for name in jax.config.values if not name.startswith("functrans")} - set(listed)
