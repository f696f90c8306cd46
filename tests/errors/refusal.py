"""Run something that must be refused, and collect what the user gets to see: text, notes and traceback frames."""

from __future__ import annotations

import inspect
import os
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import functrans

PACKAGE = os.path.dirname(os.path.abspath(functrans.__file__)) + os.sep
MOST_PACKAGE_FRAMES = 2


@dataclass(frozen=True)
class Refusal:
    """An exception as its reader meets it."""

    error: BaseException
    text: str
    frames: tuple[traceback.FrameSummary, ...]

    def says(self, *fragments: str | tuple[str, ...]) -> Refusal:
        """Every fragment is in the text, or one of them where a tuple gives several wordings; case does not count.

        Types may be spelled as in printed programs: `f32[3]` says `float32` and `(3,)`.
        """
        low = (self.text + "\n" + _spelled_out(self.text)).lower()
        for fragment in fragments:
            wordings = (fragment,) if isinstance(fragment, str) else fragment
            assert any(wording.lower() in low for wording in wordings), f"{wordings} not said in:\n{self.text}"
        return self

    def package_frames(self) -> list[traceback.FrameSummary]:
        return [frame for frame in self.frames if os.path.abspath(frame.filename).startswith(PACKAGE)]


def _spelled_out(text: str) -> str:
    """The short types of a text, `f32[2,3]`, as NumPy prints them: `float32 (2, 3)`."""
    families = {"f": "float", "i": "int", "u": "uint", "c": "complex", "bf": "bfloat", "bool": "bool"}

    def spell(match: re.Match[str]) -> str:
        sizes = tuple(int(size) for size in match[3].split(",") if size)
        return f"{families[match[1]]}{match[2]} {sizes}"

    return "\n".join(spell(match) for match in re.finditer(r"\b(bf|bool|f|i|u|c)(\d*)\[([\d,]*)\]", text))


def _shown(error: BaseException) -> Iterator[BaseException]:
    """The error and those that Python prints with it."""
    current: BaseException | None = error
    seen: list[BaseException] = []
    while current is not None:
        assert not any(current is e for e in seen), f"an error is its own cause: {current!r}"
        seen.append(current)
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _collect(error: BaseException) -> Refusal:
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    frames = tuple(frame for shown in _shown(error) for frame in traceback.extract_tb(shown.__traceback__))
    return Refusal(error, text, frames)


def _blamed_lines(test: Any) -> set[int]:
    """The lines of the calling test that end in the comment `# blame`."""
    lines, start = inspect.getsourcelines(test)
    return {start + i for i, line in enumerate(lines) if line.rstrip().endswith("# blame")}


def _names_line(text: str, filename: str, lines: set[int]) -> bool:
    numbers = "|".join(str(line) for line in sorted(lines))
    return re.search(rf"{re.escape(os.path.basename(filename))}['\"]?(:|,? line )({numbers})\b", text) is not None


Kind = type[BaseException] | tuple[type[BaseException], ...]


def caught(kind: Kind, action: Callable[[], Any]) -> Refusal:
    """The refusal of `action`, which must be of the built-in `kind`, without a look at its lines and frames."""
    try:
        result = action()
    except kind as error:
        return _collect(error)
    raise AssertionError(f"not refused: {kind} expected, the result was {result!r}")


def refusal(kind: Kind, action: Callable[[], Any]) -> Refusal:
    """The refusal of `action` by an exception of the built-in `kind`, which blames the right line in few frames.

    Lines of the calling test marked `# blame` are those of which the text or the notes must name one. Without a mark
    the call itself is at fault, and the innermost user frame of the traceback must be in the test's file.
    """
    found = caught(kind, action)
    caller = inspect.currentframe().f_back.f_code  # type: ignore[union-attr]
    blamed = _blamed_lines(caller)
    filename = caller.co_filename
    if blamed:
        assert _names_line(found.text, filename, blamed), (
            f"none of the lines {sorted(blamed)} is named in:\n{found.text}"
        )
    else:
        users = [frame for frame in found.frames if not os.path.abspath(frame.filename).startswith(PACKAGE)]
        assert users and users[-1].filename == filename, f"the traceback ends in {users[-1:]}, not in the test"
    foreign = [frame for frame in found.frames if frame.filename != filename and frame not in _own(found.frames)]
    assert len(foreign) <= MOST_PACKAGE_FRAMES, "\n".join(f"{f.filename}:{f.lineno} {f.name}" for f in foreign)
    return found


def _own(frames: tuple[traceback.FrameSummary, ...]) -> list[traceback.FrameSummary]:
    """The frames of this file, which stands between the test and its action."""
    return [frame for frame in frames if frame.filename == __file__]
