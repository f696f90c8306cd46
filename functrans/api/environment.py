"""Names of JAX that mean the same here, and the switches of functrans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from functrans.api import compilation, staging
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.snapshots import snapshot
from functrans.ir.types import describe
from functrans.jaxlib_compat import configuration
from functrans.trace.frames import set_full_tracebacks
from functrans.trace.tracer import Tracer
from functrans.xla import execute, host_callbacks

config = jax.config
tree = jax.tree
tree_util = jax.tree_util
ShapeDtypeStruct = jax.ShapeDtypeStruct
Array = jax.Array
float0 = jax.dtypes.float0
devices = jax.devices
local_devices = jax.local_devices
default_backend = jax.default_backend
default_device = jax.default_device
enable_x64 = jax.enable_x64
disable_jit = jax.disable_jit
default_matmul_precision = jax.default_matmul_precision


def device_put(x: Any, device: Any = None, **options: Any) -> Any:
    """The leaves of ``x`` on a device (or sharding); traced values are returned as they are.

    >>> import numpy as np, functrans as ft
    >>> ft.device_put(np.ones(2, np.float32)).tolist()
    [1.0, 1.0]
    """
    leaves, structure = jax.tree_util.tree_flatten(x)
    if any(isinstance(leaf, np.ndarray) for leaf in leaves):
        leaves = [snapshot(leaf) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
        x = jax.tree_util.tree_unflatten(structure, leaves)
    if any(type(leaf) is Tracer for leaf in leaves):
        moved = [leaf if type(leaf) is Tracer else jax.device_put(leaf, device, **options) for leaf in leaves]
        return jax.tree_util.tree_unflatten(structure, moved)
    return jax.device_put(x, device, **options)


def device_get(x: Any) -> Any:
    """The leaves of ``x`` as NumPy arrays; traced values are returned as they are.

    >>> import functrans as ft
    >>> type(ft.device_get(ft.device_put(1.0))).__name__
    'ndarray'
    """
    return jax.tree_util.tree_map(lambda leaf: leaf if type(leaf) is Tracer else jax.device_get(leaf), x)


def block_until_ready(x: Any) -> Any:
    """Wait until every array in ``x`` has been computed; returns ``x``.

    >>> import functrans as ft
    >>> float(ft.block_until_ready(ft.grad(lambda x: x * x)(3.0)))
    6.0
    """
    return jax.block_until_ready(x)  # type: ignore[no-untyped-call]


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """A name for a part of a program, for people who read profiles. (It does not change what is computed.)

    >>> import functrans as ft
    >>> with ft.named_scope("loss"):
    ...     slope = ft.grad(lambda x: x * x)(3.0)
    """
    with jax.named_scope(name):
        yield


def clear_caches() -> None:
    """Forget every remembered trace, program and executable.

    >>> import functrans as ft
    >>> ft.clear_caches()
    """
    staging.clear()
    compilation.clear()


def log_compiles(on: bool = True) -> None:
    """Log every compilation with its reason to the logger ``functrans.compile`` (or set FUNCTRANS_LOG_COMPILES=1).

    >>> import functrans as ft
    >>> ft.log_compiles(False)
    """
    execute.set_log_compiles(on)


def recomputation_bound(computations: int | None) -> None:
    """How often XLA may compute a value of a compiled program, for all that is compiled from now on; 16 at first.

    XLA's fusion computes what is cheap again in each kernel that reads it, and in a loop that Python has unrolled each
    round reads the one before: the time to compile or to run it may double with each round. What would be computed
    more often is kept instead, by an optimization barrier; programs of ordinary length have none. In the body of a
    small loop, of which XLA makes one kernel where it has no barrier, the bound is eight times that. CPU only.

    Args:
      computations: how often, at least 1; None for as often as XLA likes.

    Raises:
      ValueError: for another number.

    >>> import functrans as ft
    >>> ft.recomputation_bound(16)
    """
    if computations is not None and (type(computations) is not int or computations < 1):
        raise FunctransValueError(f"recomputation_bound: at least 1, or None, got {describe(computations)}")
    configuration.recomputation_bound.set(computations)


def collapse_nests(on: bool | None) -> None:
    """Whether a nest of derivatives of a scalar function of one scalar is evaluated as one, for all traced from now on.

    From the third order on Taylor mode gives the derivative in a program whose size grows with the square of the order,
    where the nest doubles with each level. Where the nest is finite the values are the same but for rounding; where it
    is not (overflow, an infinite argument, a division by zero), NaN may stand for infinity and the other way round.
    Functions with effects or a ``custom_vjp`` are never collapsed.

    Args:
      on: None, the setting at first: functions made of smooth operations alone. True: those with selections, extrema,
        branches and steps too; there an infinite slope times the zero of what was not selected is NaN, where reverse
        mode gives 0. False: none.

    Raises:
      TypeError: another value.

    >>> import functrans as ft
    >>> ft.collapse_nests(None)
    """
    if on is not None and not isinstance(on, bool):
        raise FunctransTypeError(f"collapse_nests: True, False or None, got {describe(on)}")
    configuration.collapses_nests.set(on)


def full_tracebacks(on: bool = True) -> None:
    """Show functrans' own frames in tracebacks (or set FUNCTRANS_TRACEBACK=full).

    >>> import functrans as ft
    >>> ft.full_tracebacks(False)
    """
    set_full_tracebacks(on)


compilation_count = execute.compilation_count
compilation_log = execute.compilation_log
effects_barrier = host_callbacks.effects_barrier
