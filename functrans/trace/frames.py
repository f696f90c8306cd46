"""The user's frames: where an operation was asked for, and tracebacks that show the user's code.

A frame belongs to functrans when its file lies in the package, and to JAX when it lies in that one, whose functions
work on our tracers: neither is the user's. ``where()`` stops at the first frame outside.
"""

from __future__ import annotations

import ast
import dis
import functools
import itertools
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any, TypeVar

from functrans.errors import ConcretizationError, FunctransError
from functrans.ir.cache import Cache
from functrans.ir.program import Where
from functrans.jaxlib_compat.versions import is_jax_file

F = TypeVar("F", bound=Callable[..., Any])
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = tuple(os.sep + folder + os.sep for folder in ("site-packages", "dist-packages"))
_internal = Cache(40_000)  # by file name: notebooks make one for every cell


def _learn(filename: str) -> bool:
    answer = (
        filename.startswith(_PACKAGE)
        or filename == "<frozen functools>"
        or filename.endswith("/functools.py")
        or is_jax_file(filename)
    )
    return bool(_internal.add(filename, answer))


def is_internal(filename: str) -> bool:
    """Whether code from this file is functrans' own, or JAX's."""
    known = _internal.get(filename)
    return _learn(filename) if known is None else known


def users_place(places: Iterable[tuple[Any, int]]) -> Where:
    """The innermost of these places, given from the inside out, in a file that is no installed package; else the
    innermost.
    """
    innermost: Where = None
    for place in places:
        filename = place[0].co_filename
        if not any(folder in filename for folder in _INSTALLED):
            return place
        innermost = innermost or place
    return innermost


def where(depth: int = 2) -> Where:
    """The innermost frame outside functrans, as (code object, instruction offset)."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        known = _internal.get(code.co_filename)
        if known is None:
            known = _learn(code.co_filename)
        if not known:
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def line_of(place: Where) -> int | None:
    """The line number of a recorded place."""
    if place is None:
        return None
    code, offset = place
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return int(line if line is not None else code.co_firstlineno)
    return int(code.co_firstlineno)


_lines = Cache(20_000)  # notebooks make code for every cell
_codes = Cache(10_000)
_serial_numbers = itertools.count()


def line_key(place: Where) -> tuple[int, int | None] | None:
    """The code, by a number of its own, and the line of a place. Its offset would not do: from Python 3.12 on it may
    move by an instruction when the interpreter specialises the code. Nor would the address of the code: it is another's
    when the code is gone; what is found by address here keeps the code alive.
    """
    if place is None:
        return None
    code, offset = place
    address = id(code)
    found = _lines.get((address, offset)) or _lines.find((address, offset))
    if found is None:
        known = _codes.find(address) or _codes.add(address, (code, next(_serial_numbers)))
        found = _lines.add((address, offset), (code, (known[1], line_of(place))))
    return found[1]  # type: ignore[no-any-return]


def describe_place(place: Where) -> str:
    """``file.py:12 (in f)``, with the source line behind it when it can be read."""
    if place is None:
        return "an unknown place"
    code, _ = place
    line = line_of(place)
    return f"{code.co_filename}:{line} (in {code.co_name}){source_line(code.co_filename, line or 0)}"


def source_line(file: str, line: int) -> str:
    """The line itself on a line of its own; nothing where it cannot be read."""
    source = linecache.getline(file, line).strip()
    return f"\n    {source}" if source else ""


def here() -> str:
    """Where the user's code is now."""
    return describe_place(where(2))


def _users_frame(depth: int) -> FrameType | None:
    """The innermost frame that is neither functrans' nor JAX's nor in an installed package; else the innermost that is
    neither of the first two.
    """
    frame: FrameType | None = sys._getframe(depth)
    innermost: FrameType | None = None
    while frame is not None:
        filename = frame.f_code.co_filename
        known = _internal.get(filename)
        if not (_learn(filename) if known is None else known):
            if not any(folder in filename for folder in _INSTALLED):
                return frame
            innermost = innermost or frame
        frame = frame.f_back
    return innermost


def users_line(depth: int) -> Where:
    """The user's line from which JAX was reached, past JAX's own code and that of packages on top of it."""
    frame = _users_frame(depth + 1)
    return None if frame is None else (frame.f_code, frame.f_lasti)


def users_call() -> tuple[Where, str | None]:
    """Where the user's code is now, the innermost frame outside of installed packages, and what it calls there.

    ``math.sin`` in ``x * math.sin(x)``, ``np.r_`` in ``np.r_[x, y]``; None where it cannot be read, or is functrans'
    own.
    """
    users = _users_frame(2)
    if users is None:
        return None, None
    return (users.f_code, users.f_lasti), _called(users)


def _called(frame: FrameType) -> str | None:
    position = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if position is None or None in position:
        return None
    first, last, begin, end = position
    lines = [linecache.getline(frame.f_code.co_filename, n).encode() for n in range(first, last + 1)]  # type: ignore[arg-type, operator]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    try:
        expression = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    function: ast.expr = expression
    while isinstance(function, ast.Call | ast.Subscript):  # np.vectorize(f)(x), np.r_[x, y]
        function = function.func if isinstance(function, ast.Call) else function.value
    base = function
    while isinstance(base, ast.Attribute):
        base = base.value
    if not isinstance(base, ast.Name):
        return None
    named = frame.f_locals.get(base.id, frame.f_globals.get(base.id))
    if not isinstance(expression, ast.Call) and not isinstance(named, ModuleType):
        return None
    module = getattr(named, "__module__", None) or getattr(named, "__name__", None) or ""
    return None if str(module).split(".")[0] == "functrans" else ast.unparse(function)


_REMAINDER = (6, 19)  # the arguments of BINARY_OP for % and %=


def formats_text(depth: int) -> bool:
    """Whether the frame ``depth`` above the caller is at a ``%``: with a value of ours on the right it formats text."""
    frame = sys._getframe(depth + 1)
    code, place = frame.f_code.co_code, frame.f_lasti
    return dis.opname[code[place]] == "BINARY_OP" and code[place + 1] in _REMAINDER


def show_all_frames() -> bool:
    """Whether tracebacks are left whole: ``FUNCTRANS_TRACEBACK=full`` or ``functrans.config`` ... set through api."""
    return _full or os.environ.get("FUNCTRANS_TRACEBACK", "") == "full"


_full = False


def set_full_tracebacks(on: bool) -> None:
    """Leave tracebacks whole (True), or show the user's frames and at most two of ours (False)."""
    global _full
    _full = on


def filter_traceback(error: BaseException) -> BaseException:
    """The error, without functrans' own frames in its traceback but for the one that raised it, and with a note of the
    user's line. Where NumPy took the refusal of ``float(x)`` to mean that a sequence was given (``array[0] = x``), the
    refusal.
    """
    if type(error) is ValueError and isinstance(error.__cause__, ConcretizationError):
        error = error.__cause__
    _note_line(error)
    if show_all_frames():
        return error
    frames: list[tuple[Any, TracebackType]] = []
    tb = error.__traceback__
    while tb is not None:
        frames.append((is_internal(tb.tb_frame.f_code.co_filename), tb))
        tb = tb.tb_next
    kept = [t for internal, t in frames if not internal]
    if frames and frames[-1][0]:
        kept.append(frames[-1][1])
    head: TracebackType | None = None
    for t in reversed(kept):
        head = TracebackType(head, t.tb_frame, t.tb_lasti, t.tb_lineno)
    error.__traceback__ = head
    return error


def api_boundary(function: F) -> F:
    """Tracebacks of errors that leave this function show the user's frames and at most two of functrans'."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            shown = filter_traceback(error)
            try:
                raise shown from shown.__cause__
            finally:
                del shown  # its traceback holds this frame
        except (KeyboardInterrupt, SystemExit):
            interrupted()
            raise

    outermost_of(wrapper)  # type: ignore[arg-type]
    return wrapper  # type: ignore[return-value]


_boundaries: set[CodeType] = set()
_abandon: list[Callable[[], None]] = []


def outermost_of(function: FunctionType) -> None:
    """Count a function, which calls ``interrupted``, among those of which one is the outermost."""
    _boundaries.add(function.__code__)


def on_interrupt(function: Callable[[], None]) -> None:
    """Have a function called when Ctrl-C has left everything of ours."""
    _abandon.append(function)


def interrupted() -> None:
    """Called where Ctrl-C leaves a function of ours; does something where that was the outermost.

    It may arrive between any two instructions, also those that close a trace.
    """
    frame = sys._getframe(1).f_back
    while frame is not None:
        if frame.f_code in _boundaries:
            return
        frame = frame.f_back
    for function in _abandon:
        function()


def guard_namespace(namespace: dict[str, Any]) -> None:
    """Put ``api_boundary`` around the public functions of a module that trim no tracebacks themselves.

    Those that are pickled by no other name are pickled by their public one.
    """
    for name in namespace["__all__"]:
        function = namespace[name]
        if not isinstance(function, FunctionType):
            continue
        if not hasattr(function, "__wrapped__") and function not in _guarded:
            namespace[name] = function = api_boundary(function)
        if getattr(sys.modules.get(function.__module__), function.__qualname__, None) is not function:
            function.__module__, function.__qualname__ = namespace["__name__"], name


_guarded: set[Any] = set()  # functions that trim tracebacks themselves


def trims_tracebacks(function: F) -> F:
    """Mark a function that trims the tracebacks of its errors itself."""
    _guarded.add(function)
    return function


def _note_line(error: BaseException) -> None:
    """A note with the user's innermost line, on errors of functrans that do not name it."""
    if not isinstance(error, FunctransError) or error.names_line:
        return
    innermost: TracebackType | None = None
    tb = error.__traceback__
    while tb is not None:
        if not is_internal(tb.tb_frame.f_code.co_filename):
            innermost = tb
        tb = tb.tb_next
    if innermost is None:
        return
    place = f"{innermost.tb_frame.f_code.co_filename}:{innermost.tb_lineno}"
    if place not in str(error) and not any(place in note for note in getattr(error, "__notes__", ())):
        error.add_note(f"at {describe_place((innermost.tb_frame.f_code, innermost.tb_lasti))}")


def function_name(function: Any) -> str:
    """What messages call a function: its name, or that of its class."""
    return getattr(function, "__name__", None) or type(function).__name__


def named_as(function: Any, wrapper: F) -> F:
    """``wrapper`` with the name and documentation of ``function``, which may be an object: anything may be its name."""
    try:
        return functools.update_wrapper(wrapper, function)  # type: ignore[return-value]
    except TypeError:
        return functools.update_wrapper(wrapper, function, ("__module__", "__doc__"))  # type: ignore[return-value]
