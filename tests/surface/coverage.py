"""docs/coverage.md: the public names of JAX, and what functrans has of each.

    python -m tests.surface.coverage --write

Names are those of the JAX that is installed (``tests.surface.names``). A name is *there* when functrans has it and a
test holds it: a row of ``tests.surface.rows`` (value, jvp, vjp, second order and vmap against JAX), the name of a test
file in ``HELD``, or, of what computes nothing, the identity with JAX's own object. ``tests/surface/test_coverage.py``
fails where the page is not what this prints.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import functrans
from tests.surface.names import every_name, imported
from tests.surface.reasons import ABSENT, BY_THE_CROSSING, DIFFERENT, HELD, WHOLE_MODULES_ABSENT
from tests.surface.rows import names_met
from tests.surface.settings import SETTINGS

PAGE = Path(__file__).resolve().parents[2] / "docs/coverage.md"
KINDS = ("there", "JAX's own", "different", "absent", "untested")

HEAD = """# Coverage of JAX's names

Made by `python -m tests.surface.coverage --write` from the names of jax {version}. *There*: functrans' own, with a test
of its values, of forward and reverse mode, of second order and of vmap against JAX where it computes (`tests/surface`),
or a test of its own. *JAX's own*: the same object as in JAX; what computes is reached through the crossing
([with JAX's libraries](with_jax_libraries.md)), and passes the same tests as what is there. *Different*: there and
tested, and it differs as is said. *Absent*: not there, and why one can do without. *Untested*: there, and no test holds
it. The last two count as missing.

"""


class Name(NamedTuple):
    """A public name of JAX and what became of it."""

    module: str
    name: str
    kind: str
    why: str

    @property
    def qualified(self) -> str:
        return f"{self.module}.{self.name}" if self.module else self.name


def _reason(table: dict[str, str], module: str, name: str) -> str | None:
    """The reason in a table {reason: names}, by full name or by a pattern (``lax.*_p``)."""
    return _by_name(id(table), module, name, tuple(table.items()))


@cache
def _by_name(_: int, module: str, name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    qualified = f"{module}.{name}" if module else name
    for why, names in table:
        if any(fnmatchcase(qualified, pattern) for pattern in names.split()):
            return why
    return None


def computes(value: Any) -> bool:
    """Whether an object may compute arrays from arrays: a function, or a class of JAX's that is one."""
    return callable(value) and not isinstance(value, type | types.GenericAlias) and not isinstance(value, np.dtype)


def _is_the_same_thing(ours: Any, theirs: Any) -> bool:
    """A constant of the same value, or a dtype."""
    if isinstance(theirs, int | float | complex | str):
        return bool(ours == theirs or (ours != ours and theirs != theirs))
    try:
        return np.dtype(ours) == np.dtype(theirs)
    except TypeError:
        return False


def classified(module: str, name: str) -> Name:
    """What functrans has of a name."""
    if module in WHOLE_MODULES_ABSENT:
        return Name(module, name, "absent", WHOLE_MODULES_ABSENT[module])
    theirs = getattr(imported("jax", module), name, None)
    place = imported("functrans", module)
    missing = object()
    ours = missing if place is None else getattr(place, name, missing)
    if ours is missing:
        return Name(module, name, "absent", _reason(ABSENT, module, name) or "")
    qualified = f"{module}.{name}" if module else name
    tested = qualified in names_met() or _reason(HELD, module, name) is not None
    same = ours is theirs and (tested or not computes(theirs) or _reason(BY_THE_CROSSING, module, name) is not None)
    if not same and not tested and not _is_the_same_thing(ours, theirs):
        return Name(module, name, "untested", "")
    different = _reason(DIFFERENT, module, name)
    if different is not None:
        return Name(module, name, "different", different)
    return Name(module, name, "JAX's own" if same else "there", "")


@cache
def all_names() -> list[Name]:
    """Every public name, classified."""
    return [classified(module, name) for module, name in every_name()]


def _share(names: list[Name]) -> str:
    good = sum(n.kind not in ("absent", "untested") for n in names)
    return f"{100 * good / max(1, len(names)):.1f} %"


def lines() -> Iterator[str]:
    """The page behind its head."""
    names = all_names()
    core = [n for n in names if not n.module.startswith("experimental")]
    yield f"Of {len(names)} names {_share(names)}; outside of `jax.experimental`, of {len(core)}, {_share(core)}.\n"
    yield "| module | names | " + " | ".join(KINDS) + " | there in all |"
    yield "|---|---|" + "---|" * (len(KINDS) + 1)
    for module in dict.fromkeys(n.module for n in names):
        own = [n for n in names if n.module == module]
        counts = " | ".join(str(sum(n.kind == kind for n in own) or "") for kind in KINDS)
        yield f"| `{_full(module)}` | {len(own)} | {counts} | {_share(own)} |"
    for kind, title in (("different", "Different"), ("absent", "Absent")):
        yield f"\n## {title}\n"
        for why, group in _grouped([n for n in names if n.kind == kind]):
            yield f"- {group}: {why}"
    yield "\n## Untested\n"
    if not any(n.kind == "untested" for n in names):
        yield "None."
    for module in dict.fromkeys(n.module for n in names):
        found = [n.name for n in names if n.module == module and n.kind == "untested"]
        if found:
            yield f"- `{_full(module)}`: {', '.join(found)}"
    yield "\n## Settings\n\nOf `jax.config`, and the contexts of the same names.\n"
    for what, settings in SETTINGS.items():
        here = [name for name in sorted(settings.split()) if name in jax.config.values]
        yield f"- {what}: {', '.join(f'`{name}`' for name in here)}"
    yield "\n## Name by name\n\nNames that are JAX's own are in italics.\n"
    for module in dict.fromkeys(n.module for n in names):
        own = [n for n in names if n.module == module and n.kind not in ("absent", "untested")]
        if own:
            listed = ", ".join(f"*{n.name}*" if n.kind == "JAX's own" else n.name for n in own)
            yield f"- `{_full(module)}`: {listed}".replace("_", "\\_")


def _full(module: str) -> str:
    return f"jax.{module}" if module else "jax"


def _grouped(names: list[Name]) -> list[tuple[str, str]]:
    """(why, the names of which it is said), in order of appearance."""
    found: dict[str, list[Name]] = {}
    for n in names:
        found.setdefault(n.why, []).append(n)
    result = []
    for why, group in found.items():
        modules: dict[str, list[str]] = {}
        for n in group:
            modules.setdefault(n.module, []).append(n.name)
        texts = []
        for module, listed in modules.items():
            if module in WHOLE_MODULES_ABSENT:
                texts.append(f"`{_full(module)}` (all {len(listed)})")
            else:
                texts.append(f"`{_full(module)}`: {', '.join(f'`{n}`' for n in listed)}")
        result.append((why, "; ".join(texts)))
    return result


def page() -> str:
    """The whole page."""
    return HEAD.format(version=jax.__version__) + "\n".join(lines()) + "\n"


if __name__ == "__main__":
    assert functrans.__name__ == "functrans"
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
