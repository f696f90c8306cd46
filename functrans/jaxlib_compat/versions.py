"""Which jax and jaxlib are supported, and the one way to their private names: :func:`private`."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import jax

SUPPORTED_VERSIONS: Final = "jax and jaxlib 0.10.2 to 0.12.x"
_FIRST, _PAST_LAST = (0, 10, 2), (0, 13)


def found_versions() -> dict[str, str]:
    """The versions of jax and jaxlib in this process."""
    return {"jax": jax.__version__, "jaxlib": import_module("jaxlib").__version__}


def _release(version: str) -> tuple[int, ...]:
    """'0.10.2' -> (0, 10, 2)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


JAX: Final = _release(jax.__version__)
"""The release of jax, (0, 10, 2) or later: what differs between two of them is a comparison with it."""

ARRAY_API: Final = "2025.12" if JAX >= (0, 11) else "2024.12"
"""The version of the array API standard that ``jax.numpy`` of this release follows."""


_DIRECTORIES: Final = tuple(
    os.path.dirname(os.path.abspath(import_module(name).__file__ or "")) + os.sep for name in ("jax", "jaxlib")
)


def is_jax_file(filename: str) -> bool:
    """Whether code from this file is JAX's own."""
    return filename.startswith(_DIRECTORIES)


def check_supported(missing: Sequence[str] = ()) -> None:
    """Raises ImportError with the versions found, those supported, and the private names that are missing.

    A version that has never been tried is refused even if it has all the names, for they may mean something else there;
    ``FUNCTRANS_UNTRIED_JAX=1`` lets one in that lacks none.
    """
    versions = found_versions()
    untried = [
        f"{name} {found} has never been tried"
        for name, found in versions.items()
        if not _FIRST <= _release(found) < _PAST_LAST
    ]
    if missing or (untried and os.environ.get("FUNCTRANS_UNTRIED_JAX", "") in ("", "0")):
        reasons = [*untried, *[f"{name} is missing" for name in missing]]
        raise ImportError(_unsupported(versions["jaxlib"], "; ".join(reasons), may_be_tried=not missing))


def _unsupported(version: str, reason: str, may_be_tried: bool = False) -> str:
    untried = ", or set FUNCTRANS_UNTRIED_JAX=1 to run on it untested" if may_be_tried else ""
    return (
        f"functrans does not support jax {jax.__version__} with jaxlib {version}: {reason}. "
        f'Supported: {SUPPORTED_VERSIONS}. Install one of them: pip install "jax>=0.10.2,<0.13"{untried}'
    )


def private(
    names: Mapping[str, Sequence[str]], otherwise: tuple[Any, ...] = (), without: str = ""
) -> tuple[Any, ...]:
    """{module: dotted names in it} -> the modules, in that order; for names that are missing ImportError, as
    :func:`check_supported`, or where one can do without them, ``otherwise`` and a warning of what that means.

    A dotted name goes from object to attribute; the last one may be a field that a class declares for its objects.
    """
    modules: list[Any] = []
    missing = []
    for module_name, dotted_names in names.items():
        try:
            modules.append(import_module(module_name))
        except ImportError:
            missing.append(module_name)
            continue
        missing += [f"{module_name}.{name}" for name in dotted_names if not _is_there(modules[-1], name)]
    if missing and otherwise:
        version = f"jax {jax.__version__} has no {', '.join(missing)}"
        text = f"{version}, and so {without}. Supported: {SUPPORTED_VERSIONS}."
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return otherwise
    check_supported(missing)
    return tuple(modules)


def _is_there(owner: Any, dotted_name: str) -> bool:
    *parents, last = dotted_name.split(".")
    for name in parents:
        owner = getattr(owner, name, None)
    return hasattr(owner, last) or last in getattr(owner, "__annotations__", {})
