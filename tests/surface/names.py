"""The public names of the JAX that is installed: what a script may import."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any

import jax

# Modules of one file, and packages whose modules are all walked through.
SINGLE = (
    "", "ad_checkpoint", "core", "custom_batching", "custom_derivatives", "debug", "distributed", "dlpack", "dtypes",
    "errors", "export", "extend.backend", "extend.core", "extend.linear_util", "extend.random", "extend.sharding",
    "extend.source_info_util", "ffi", "flatten_util", "image", "interpreters.ad", "interpreters.batching",
    "interpreters.mlir", "interpreters.partial_eval", "interpreters.pxla", "interpreters.xla", "lax", "lax.linalg",
    "monitoring", "nn", "nn.initializers", "numpy", "numpy.fft", "numpy.linalg", "ops", "profiler", "random", "ref",
    "sharding", "stages", "test_util", "tree", "tree_util", "typing",
)  # fmt: skip
PACKAGES = ("scipy", "example_libraries", "experimental")
# Modules behind the face of a package of jax.experimental: what they hold is of the package's making, or of another
# program's (a compiler's, TensorFlow's).
INNER = (
    "experimental.sparse.", "experimental.pallas.", "experimental.mosaic.", "experimental.jax2tf.",
    "experimental.array_serialization.", "experimental.colocated_python.", "experimental.roofline.",
    "experimental.source_mapper.", "experimental.key_reuse.", "experimental.compilation_cache.",
)  # fmt: skip
FACES = ("experimental.sparse.linalg", "experimental.compilation_cache.compilation_cache", "experimental.pallas.ops")


def modules() -> list[str]:
    """The modules, by the name that they have in JAX and in functrans; "" is the package itself."""
    found = list(SINGLE)
    for package in PACKAGES:
        root = importlib.import_module(f"jax.{package}")
        found.append(package)
        for module in pkgutil.walk_packages(root.__path__, f"jax.{package}.", onerror=lambda _: None):
            name = module.name.removeprefix("jax.")
            if "._" in name or "test" in name:
                continue
            if name.startswith(INNER) and name not in FACES:
                continue
            found.append(name)
    return found


def imported(package: str, name: str) -> Any:
    """The module of this name in a package; None where there is none, or where it needs what is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"{package}.{name}" if name else package)
    except Exception:  # not a module; it may be a namespace in one
        place: Any = importlib.import_module(package)
        for part in name.split("."):
            place = getattr(place, part, None)
        return place


def public_names(name: str) -> list[str]:
    """The public names of a module of JAX, without modules and without what it has only imported from elsewhere."""
    module = imported("jax", name)
    if module is None:
        return []
    listed = getattr(module, "__all__", None)
    if listed is not None:
        names = [n for n in listed if not isinstance(getattr(module, n, None), types.ModuleType)]
    else:
        names = [n for n, value in vars(module).items() if not n.startswith("_") and _is_its_own(module, n, value)]
    return sorted(names)


def _is_its_own(module: Any, name: str, value: Any) -> bool:
    """Whether a script would ask this module for it: not for modules, for what Python brings along, nor, where the
    module defines functions, for what it has imported to define them.
    """
    if isinstance(value, types.ModuleType) or name in ("annotations", "TYPE_CHECKING"):
        return False
    home = getattr(value, "__module__", None)
    if not isinstance(home, str):
        return True
    if home.split(".")[0] in sys.stdlib_module_names and getattr(sys.modules.get(home), name, None) is value:
        return False
    return home == module.__name__ or not home.startswith("jax") or not _defines_functions(module)


def _defines_functions(module: Any) -> bool:
    codes = [getattr(value, "__code__", None) for value in vars(module).values()]
    return any(code is not None and code.co_filename == module.__file__ for code in codes)


def every_name() -> Iterator[tuple[str, str]]:
    """(module, name) of every public name."""
    for module in modules():
        for name in public_names(module):
            yield module, name


if __name__ == "__main__":
    total = 0
    for module in modules():
        names = public_names(module)
        total += len(names)
        print(f"{module or 'jax'} ({len(names)}):", *names)
    print(jax.__version__, total)
