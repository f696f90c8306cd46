"""What the array API standard asks a namespace about itself (https://data-apis.org/array-api, "Inspection")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransValueError
from functrans.ir.types import canonical_dtype
from functrans.jaxlib_compat.versions import ARRAY_API
from functrans.numpy.dtypes import isdtype

__all__ = ["__array_api_version__", "__array_namespace_info__", "several"]

__array_api_version__ = ARRAY_API

several: Callable[[Iterable[Any]], Sequence[Any]] = tuple if ARRAY_API >= "2025.12" else list
"""What holds the results of functions with as many results as arguments: up to the standard of 2024 a list."""

_NAMES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "complex64",
    "complex128",
)  # fmt: skip
_KINDS = (
    "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric",
)  # fmt: skip


class _NamespaceInfo:
    """The answers; 64-bit dtypes are there where ``jax_enable_x64`` is on."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean masks and results whose shapes depend on values: not in compiled programs, therefore False."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> jax.Device | None:
        """The device of new arrays; None: wherever JAX puts them."""
        return jax.config.jax_default_device  # type: ignore[attr-defined]

    def devices(self) -> Sequence[jax.Device | None]:
        """Those that arrays may be put on; None: the default one."""
        devices = [d for backend in {jax.default_backend(), "cpu"} for d in jax.devices(backend)]
        return several([None, *dict.fromkeys(devices)])

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype[Any]]:
        """The dtypes of results of Python numbers, by kind."""
        kinds: dict[str, Any] = {
            "real floating": np.float64, "complex floating": np.complex128, "integral": np.int64, "indexing": np.int64,
        }  # fmt: skip
        return {kind: canonical_dtype(dtype) for kind, dtype in kinds.items()}

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, np.dtype[Any]]:
        """The dtypes of a kind, or of several.

        Raises ValueError for a kind that the standard does not name.
        """
        for name in () if kind is None else (kind,) if isinstance(kind, str) else kind:
            if name not in _KINDS:
                raise FunctransValueError(f"dtypes: unknown kind {name!r}; one of {', '.join(_KINDS)}")
        found = {name: np.dtype(name) for name in _NAMES if canonical_dtype(np.dtype(name)) == np.dtype(name)}
        return {name: t for name, t in found.items() if kind is None or isdtype(t, kind)}


def __array_namespace_info__() -> _NamespaceInfo:
    """What there is: dtypes, devices, capabilities.

    >>> import functrans.numpy as fnp
    >>> sorted(fnp.__array_namespace_info__().dtypes(kind="real floating"))[:1]
    ['float32']
    """
    return _NamespaceInfo()
