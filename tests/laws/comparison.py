"""One draw of `impolite_programs` run by both libraries, and what differs, named so that equal causes have equal names.
"""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

from functrans.numpy import promotion
from tests.agreement import describe, rounding
from tests.laws import numpy_reference
from tests.laws.impolite_programs import Draw, compiled, environment, smaller, source
from tests.laws.libraries import Library, ours, theirs

float0 = jax.dtypes.float0


class Leaf(NamedTuple):
    """A leaf of a result: what it is, and its value as a NumPy array."""

    kind: str
    value: np.ndarray


class Result(NamedTuple):
    tree: Any
    leaves: list[Leaf]


class Raised(NamedTuple):
    """What a library raised: where inside of it, and the words without the numbers."""

    text: str
    whole: str


class Difference(NamedTuple):
    """``cause`` is the same for differences that look alike; ``details`` are of this one."""

    cause: str
    details: str


_NUMBERS = re.compile(r"0x[0-9a-f]+|-?\d+(\.\d+)?(e[-+]?\d+)?")
_TYPES = re.compile(r"\b(float|int|uint|complex|bfloat|f|i|u|c|bf)N\b|\bbool\b|\[[N, ]*\]|\((N,? ?)*\)")


def _raised(error: BaseException) -> Raised:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/functrans/" in f.filename]
    place = f" in {frames[-1].filename.rsplit('/functrans/')[-1]}:{frames[-1].name}" if frames else ""
    line = (str(error).strip() or " ").splitlines()[0]
    text = _TYPES.sub("T", _NUMBERS.sub("N", line))[:110]
    return Raised(f"{type(error).__name__}{place}: {text}", "".join(traceback.format_exception(error))[-3000:])


# -- calling ----------------------------------------------------------------------------------------------------------


def _batched(leaf: Any, axis: int, seen: dict[int, Any]) -> Any:
    """Two lanes that differ, of the same kind of array; one object for one object."""
    if id(leaf) not in seen:
        x = np.asarray(leaf)
        if x.dtype == bool:
            lanes = [x, ~x]
        elif x.dtype.kind in "iu":
            lanes = [x, x // 2]
        else:
            lanes = [x, (x * 0.75).astype(x.dtype)]
        array = np.stack(lanes, axis)
        seen[id(leaf)] = leaf, (jax.numpy.asarray(array) if isinstance(leaf, jax.Array) else array)
    return seen[id(leaf)][1]


def _for_stack(stack: Sequence[tuple[str, int]], arguments: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The arguments that the stacked function takes, and for each step from the innermost on what it has to know."""
    arguments, specs = list(arguments), []
    for name, choice in reversed(stack):
        spec = None
        if name == "vmap":
            axes: list[Any] = [(0, None, -1, 0, None)[(choice + 2 * i) % 5] for i in range(len(arguments))]
            mappable = [i for i, x in enumerate(arguments) if jax.tree.leaves(x)]
            if mappable and all(axes[i] is None for i in mappable):
                axes[mappable[0]] = 0
            seen: dict[Any, Any] = {}
            for axis in (0, -1):
                lanes = seen.setdefault(axis, {})
                for i, x in enumerate(arguments):
                    if axes[i] == axis:
                        arguments[i] = jax.tree.map(lambda leaf, axis=axis, lanes=lanes: _batched(leaf, axis, lanes), x)
            spec = tuple(axes)
        specs.append(spec)
    return arguments, specs


def _mutated(x: Any) -> None:
    if isinstance(x, np.ndarray) and x.flags.writeable and x.size:
        x[...] = ~x if x.dtype == bool else x + 1 if x.dtype.kind in "iu" else x * 0.5 + 0.25


def _widened(text: str) -> str:
    """The code with its numbers of narrow types in double precision."""
    text = re.sub(r"np\.float(16|32)\b|\bbfloat16(?=\()", "np.float64", text)
    return text.replace("np.complex64", "np.complex128")


Outcome = Result | Raised
Run = Callable[[Callable[..., Any], Sequence[Any]], Callable[[], Outcome]]


def outcomes(draw: Draw, library: Library, run: Run) -> list[Outcome]:
    """What each call of the draw gives."""
    def code(text: str) -> str:
        return _widened(text) if library.wide else text

    env = environment(library.wide)
    arguments: list[Any] = []
    env["A"] = arguments
    for text in draw.arguments:
        arguments.append(eval(code(text), env))
    state: list[Any] = [0.5, 2, env["array"]((3,), "float32", "", 5)]
    env["L"] = state
    constants = [eval(code(text), env) for text in draw.constants]
    make = compiled(code(source(draw)), env)
    passed, specs = _for_stack(draw.stack, arguments)
    if not draw.stack:  # no transform makes arrays of NumPy's, which then compute by themselves
        passed = _with_jax_arrays(passed)
    pending: list[Callable[[], Outcome]] = []

    def function(number: str) -> Any:
        program = make(library, eval(code(number), env), constants, state)
        for (name, choice), spec in zip(reversed(draw.stack), specs, strict=True):
            program = library.stacked(name, choice, program, spec)
        return program

    for number in draw.numbers:
        stacked = function(number)
        pending.append(run(stacked, passed))
    if draw.mutation:
        if draw.mutation == "arguments":
            for leaf in jax.tree.leaves(passed):
                _mutated(leaf)
        else:
            state[0], state[1] = 0.25, 2.0
            for x in (*constants, state[2]):
                _mutated(x)
        pending.append(run(stacked, passed))
    return [read() for read in pending]


def _leaf(x: Any) -> Leaf:
    """A leaf that no transform has made an array of is described as the array that it would become."""
    return Leaf(describe(x if isinstance(x, jax.Array) else jax.numpy.asarray(x)), np.array(x))


def _result(tree: Any) -> Result:
    leaves, structure = jax.tree.flatten(tree)
    return Result(structure, [_leaf(x) for x in leaves])


def run_ours(function: Callable[..., Any], arguments: Sequence[Any]) -> Callable[[], Outcome]:
    """The values are looked at after everything has been called: a result does not change afterwards."""
    try:
        found = function(*arguments)
    except Exception as error:
        raised = _raised(error)
        return lambda: raised
    return lambda: _result(found)


def _with_jax_arrays(arguments: Sequence[Any]) -> Sequence[Any]:
    """The same with NumPy's arrays and scalars and Python's integers as arrays of JAX's, one for one object."""
    seen: dict[int, Any] = {}

    def array(x: Any) -> Any:
        return jax.numpy.asarray(x) if isinstance(x, np.ndarray | np.generic | int) else x

    return jax.tree.map(lambda x: seen.setdefault(id(x), array(x)), arguments)  # type: ignore[no-any-return]


def _theirs(wide: bool, on_values: bool) -> Run:
    def run(function: Callable[..., Any], arguments: Sequence[Any]) -> Callable[[], Outcome]:
        try:
            # JAX hands NumPy's integers on as they are where functrans always traces: `x * 0.5` would be NumPy's own.
            arguments = _with_jax_arrays(arguments)
            if on_values:
                result = _result(function(*arguments))
            else:
                # Nothing is an argument of the trace: numbers and arrays meet JAX's transforms as they are.
                jaxpr, shapes = jax.make_jaxpr(lambda: function(*arguments), return_shape=True)()
                kinds, tree = jax.tree.flatten(shapes)
        except Exception as error:
            raised = _raised(error)
            return lambda: raised
        if not on_values:
            try:
                values = numpy_reference.evaluate(jaxpr, wide)
            except jax.errors.TracerArrayConversionError:
                return lambda: Raised("a constant of the jaxpr is a tracer that escaped", "")
            except numpy_reference.Refused as error:
                raised = _raised(error.__cause__ or error)
                return lambda: raised
            result = Result(tree, [Leaf(describe(k), v) for k, v in zip(kinds, values, strict=True)])
        return lambda: result

    return run


def run_draw(
    draw: Draw, wide: bool = False, abs_by_sign: bool = False, strong_derivatives: bool = False
) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes of both libraries."""
    with jax.enable_x64(draw.x64 or wide), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = outcomes(draw, theirs(wide, abs_by_sign, strong_derivatives), _theirs(wide, draw.on_values))
        # Integers become floats of single precision of themselves: no other dtype in the code says so.
        with mock.patch.object(promotion, "_FLOAT32", np.dtype(np.float64)) if wide else nullcontext():
            actual = outcomes(draw, ours(wide, strong_derivatives), run_ours)
    return actual, expected


# -- comparing --------------------------------------------------------------------------------------------------------


def _deviation(actual: np.ndarray, expected: np.ndarray) -> tuple[float, bool]:
    """The largest difference as a part of the size of the leaf, and whether infinities and NaNs stand alike."""
    wide = np.complex128 if np.iscomplexobj(expected) else np.float64
    with np.errstate(all="ignore"):
        a, b = actual.astype(wide), expected.astype(wide)
        finite = np.isfinite(b)
        alike = bool(np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(np.isfinite(a), finite))
        if alike and wide is np.float64:
            alike = bool(np.array_equal(a[np.isinf(b)], b[np.isinf(b)]))
        both = finite & np.isfinite(a)
        size = max(1.0, float(np.max(np.abs(b[finite]), initial=0.0)))
        return float(np.max(np.abs(a[both] - b[both]), initial=0.0)) / size, alike


def _differences(actual: Result, expected: Result, units: float, kinds: bool) -> Difference | None:
    if kinds and actual.tree != expected.tree:
        return Difference("tree", f"{actual.tree}, expected {expected.tree}")
    for i, (found, wanted) in enumerate(zip(actual.leaves, expected.leaves, strict=kinds)):
        if kinds and found.kind != wanted.kind:
            weak = found.kind.removesuffix("{weak}") == wanted.kind.removesuffix("{weak}")
            cause = f"weak type that JAX has{'' if 'weak' in wanted.kind else ' not'}" if weak else "type"
            return Difference(cause, f"leaf {i}: {found.kind}, expected {wanted.kind}")
        unit = rounding(wanted.value.dtype)
        if unit == 0.0:
            if not np.array_equal(found.value, wanted.value):
                return Difference("value of an integer", f"leaf {i}: {found.value}, expected {wanted.value}")
            continue
        deviation, alike = _deviation(found.value, wanted.value)
        if not alike:
            if np.isfinite(found.value[~np.isfinite(wanted.value)]).all() and np.isfinite(found.value).all():
                return Difference("(not finite in JAX alone)", f"leaf {i}: {found.value}, expected {wanted.value}")
            return Difference("NaN or infinity", f"leaf {i}: {found.value}, expected {wanted.value}")
        if deviation > units * unit:
            return Difference("value", f"leaf {i}: {found.value}, expected {wanted.value}")
    return None


REFUSED = ["is differentiated with respect to a value it closes over, and its rule gives"]
"""What functrans refuses on purpose where JAX gives a value: there, a derivative that is silently wrong."""
UNITS = 32
"""Rounding steps at the scale of a leaf that pass without being looked at in double precision."""
WIDE_UNITS = 1e7
"""In double precision a true difference is larger than this, and a chain of roundings is not."""


def difference(draw: Draw) -> Difference | None:
    """The first difference between the libraries, or None; a cause that begins with "(" is no fault."""
    actual, expected = run_draw(draw)
    for call, (found, wanted) in enumerate(zip(actual, expected, strict=True)):
        call_name = f" of call {call}" if call else ""
        if isinstance(wanted, Raised):
            if isinstance(found, Raised):
                return Difference("(both raise)", f"{wanted.text} | {found.text}")
            return Difference(f"(JAX refuses) {wanted.text}", wanted.whole)
        if isinstance(found, Raised) and any(text in found.text for text in REFUSED):
            return Difference(f"(refused) {found.text}", found.whole)
        if isinstance(found, Raised):
            return Difference(f"raises{call_name}: {found.text}", found.whole)
        seen = _differences(found, wanted, UNITS, True)
        if seen is None:
            continue
        if seen.cause.startswith(("value", "NaN")) and not (draw.x64 and seen.cause == "NaN or infinity"):
            return _in_double_precision(draw, call, seen)._replace()
        if seen.cause.startswith("weak type") and draw.differentiates:
            # Whether a derivative is weak depends in JAX on how each rule was written; the everyday cases have tests.
            return Difference(f"({seen.cause}, in a derivative)", seen.details)
        if seen.cause == "type" and draw.differentiates and _types_agree_without_weak_derivatives(draw, call):
            return Difference("(type that a weak type in a derivative decides)", seen.details)
        return Difference(f"{seen.cause}{call_name}", seen.details)
    first, last = actual[0], actual[-1]
    if len(draw.numbers) > 1 and draw.numbers[0] == draw.numbers[-1] and isinstance(first, Result):
        assert isinstance(last, Result)
        for i, (a, b) in enumerate(zip(first.leaves, last.leaves, strict=True)):
            if a.value.tobytes() != b.value.tobytes():
                return Difference("bits of a repeated call", f"leaf {i}: {a.value}, then {b.value}")
    return None


def _types_agree_without_weak_derivatives(draw: Draw, call: int) -> bool:
    """Whether both agree where both libraries' derivatives are made strong before anything is done with them; that of
    abs at 0, which JAX takes from the right, by the sign."""
    actual, expected = run_draw(draw, abs_by_sign="o.np.abs" in source(draw), strong_derivatives=True)
    found, wanted = actual[call], expected[call]
    if isinstance(found, Raised) or isinstance(wanted, Raised):
        return False
    again = _differences(found, wanted, UNITS, True)
    return again is None or again.cause.startswith("weak type")


def _in_double_precision(draw: Draw, call: int, seen: Difference) -> Difference:
    """A difference of values, looked at again with every float and complex number in double precision."""
    actual, expected = run_draw(draw, wide=True)
    found, wanted = actual[call], expected[call]
    if isinstance(found, Raised) or isinstance(wanted, Raised):
        return Difference(f"{seen.cause}, not comparable in double precision", seen.details)
    again = _differences(found, wanted, WIDE_UNITS, False)
    if again is None:
        return Difference("(NaN or infinity by rounding)" if "NaN" in seen.cause else "(rounding)", seen.details)
    if "o.np.abs" in source(draw):
        actual, expected = run_draw(draw, wide=True, abs_by_sign=True)
        found, wanted = actual[call], expected[call]
        both = isinstance(found, Result) and isinstance(wanted, Result)
        if both and _differences(found, wanted, WIDE_UNITS, False) is None:
            return Difference("(derivative of abs at 0)", again.details)
    return Difference(f"{again.cause}{' of call ' + str(call) if call else ''}", f"{seen.details}\n{again.details}")


# -- shrinking ------------------------------------------------------------------------------------------------------


def shrunk(draw: Draw, cause: str, most: int = 400) -> Draw:
    """A smallest draw with this cause."""
    tried = 0
    while tried < most:
        for candidate in smaller(draw):
            tried += 1
            try:
                found = difference(candidate)
            except Exception:
                continue
            if found is not None and found.cause == cause:
                draw = candidate
                break
            if tried >= most:
                break
        else:
            break
    return draw


def reproduction(draw: Draw) -> str:
    """A script that runs the draw."""
    return (
        "from tests.laws.comparison import difference\nfrom tests.laws.impolite_programs import Draw, Statement\n\n"
        f"# {source(draw)}\n".replace("\n    ", "\n#     ").replace("\n# \n", "\n")
        + f"print(difference({draw!r}))\n"
    )
