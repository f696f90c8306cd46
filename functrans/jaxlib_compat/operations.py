"""JAX's operations by the names that its modules give them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def jax_operation(module: str, name: str, functions: frozenset[str] = frozenset()) -> Any:
    """The operation that a module of JAX names ``add_p`` and the like, or one of these ``functions`` made of JAX's
    operations; raises AttributeError for others, and where JAX has none.
    """
    is_function = name in functions
    found = getattr(import_module(f"jax.{module}"), name, None) if is_function or name.endswith("_p") else None
    if found is None or not (is_function or isinstance(found, import_module("jax.extend.core").Primitive)):
        raise AttributeError(f"module 'functrans.{module}' has no attribute {name!r}")
    return found


def type_of_keys() -> Any:
    """``jax.random.Key``; AttributeError where JAX has none."""
    return import_module("jax.random").Key
