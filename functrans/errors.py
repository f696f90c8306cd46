"""Every exception that functrans raises on purpose, and its one way to warn.

    FunctransError
     ├─ FunctransTypeError (TypeError)            wrong kind of argument, dtype, tree
     │   ├─ ConcretizationError                   a traced value was asked for a concrete one
     │   │   ├─ TracerBoolConversionError         ``if x``, ``bool(x)``
     │   │   ├─ TracerIntegerConversionError      ``range(x)``, ``a[x]`` on a list, ``int(x)``
     │   │   └─ TracerArrayConversionError        ``np.asarray(x)``, ``float(x)``
     │   │       └─ DifferentiatedValueError      they would lose a derivative
     │   └─ NotLinearError                        a rule that must be linear is not
     ├─ FunctransValueError (ValueError)          right kind, wrong value, shape or size
     │   └─ CheckError                            a value is not as ``error_if`` or ``check`` want it
     ├─ FunctransIndexError (IndexError)          wrong index
     │   └─ NonConcreteBooleanIndexError          ``x[mask]`` for a traced mask
     ├─ FunctransOverflowError (OverflowError)    a Python integer that no integer dtype in use holds
     ├─ FunctransRuntimeError (RuntimeError)      an array that is gone, a device that failed
     ├─ NonFiniteError (FloatingPointError)       a NaN or infinity was born, and debug_nans or debug_infs is on
     ├─ EscapedTracerError (RuntimeError)         a tracer outlived its trace or changed thread
     ├─ MissingRuleError (NotImplementedError)    a primitive lacks the rule that a transform asked for
     │   └─ ReverseLoopError (ValueError)         reverse mode through a loop whose length is not known
     └─ InternalError (AssertionError)            a malformed jaxpr: a fault of a rule or of functrans

Each subclasses the built-in that a Python user would expect to catch, and those that JAX has too (``jax.errors``)
subclass JAX's: code written for JAX catches them. Names of ``jax.errors`` that have no class here are JAX's classes.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Any

import jax
from jax.errors import ConcretizationTypeError as ConcretizationTypeError
from jax.errors import InconclusiveDimensionOperation as InconclusiveDimensionOperation
from jax.errors import JAXIndexError as JAXIndexError
from jax.errors import JaxprTypeError as JaxprTypeError
from jax.errors import JaxRuntimeError as JaxRuntimeError
from jax.errors import JAXTypeError as JAXTypeError
from jax.errors import KeyReuseError as KeyReuseError
from jax.errors import UnexpectedTracerError as UnexpectedTracerError

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class FunctransError(Exception):
    """Base class of every exception raised on purpose by functrans."""

    names_line = False  # whether the message names the user's line, so that no note is needed

    def __init__(self, *args: Any) -> None:
        Exception.__init__(self, *args)  # and not those of JAX's classes, which make their text of a tracer


class FunctransTypeError(FunctransError, TypeError):
    """An argument is of the wrong kind: its class, dtype or tree structure."""


class FunctransValueError(FunctransError, ValueError):
    """An argument is of the right kind and has a wrong value, shape or size."""


class CheckError(FunctransValueError):
    """``error_if`` or ``check`` found a value that is not as it should be."""


class FunctransIndexError(FunctransError, IndexError):
    """An index is out of range or of a kind that cannot index."""


class NonConcreteBooleanIndexError(FunctransIndexError, jax.errors.NonConcreteBooleanIndexError):
    """``x[mask]`` where the mask has no value yet: how many elements it chooses is not known."""


class ConcretizationError(FunctransTypeError, jax.errors.ConcretizationTypeError):
    """Python asked a traced value for the number behind it and there is none."""


class TracerBoolConversionError(ConcretizationError, jax.errors.TracerBoolConversionError):
    """``if x``, ``while x``, ``x and y``, ``bool(x)`` on a value that has no number yet."""


class TracerIntegerConversionError(ConcretizationError, jax.errors.TracerIntegerConversionError):
    """``int(x)``, ``range(x)`` or a list index on a value that has no number yet."""


class TracerArrayConversionError(ConcretizationError, jax.errors.TracerArrayConversionError):
    """``np.asarray(x)``, ``float(x)``, ``x.item()`` on a value that has no number yet."""


class DifferentiatedValueError(TracerArrayConversionError):
    """``float(x)``, ``np.asarray(x)`` on a value that is being differentiated: the number would be a constant."""


class NotLinearError(FunctransTypeError):
    """A function that has to be linear in its argument is not.

    ``equation``: the one whose transpose rule found that out, if one did.
    """

    equation: Any = None


class FunctransOverflowError(FunctransError, OverflowError):
    """A Python integer does not fit the dtype that it would take."""


class FunctransRuntimeError(FunctransError, RuntimeError):
    """A value can no longer be used: a donated array, a device that failed."""


class NonFiniteError(FunctransError, FloatingPointError):
    """A NaN or an infinity was computed while ``debug_nans`` or ``debug_infs`` is on."""


class EscapedTracerError(FunctransError, RuntimeError, jax.errors.UnexpectedTracerError):
    """A tracer was used after its trace ended or in a thread other than its own."""


class MissingRuleError(FunctransError, NotImplementedError):
    """A primitive does not define the rule that a transform needs."""


class ReverseLoopError(MissingRuleError, ValueError):
    """Reverse mode through a ``while_loop``: the number of steps, whose values it needs, is not known before it runs.

    A ValueError as well, as from JAX.
    """


class InternalError(FunctransError, AssertionError):
    """A jaxpr is not well formed: a rule, or functrans itself, is at fault."""


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning that names the line of the user's code, the innermost outside functrans, which led here."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
