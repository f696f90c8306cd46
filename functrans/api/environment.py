"""Names of JAX that mean the same here, and the switches of functrans."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from functrans.api import compilation, staging
from functrans.api.arguments import argument_numbers, check_callable
from functrans.api.linear_maps import vjp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.snapshots import snapshot
from functrans.ir.types import describe
from functrans.jaxlib_compat import configuration
from functrans.trace.frames import function_name, named_as, set_full_tracebacks
from functrans.trace.state import untraced
from functrans.trace.tracer import Tracer
from functrans.xla import execute, host_callbacks

config = jax.config
ShapeDtypeStruct = jax.ShapeDtypeStruct
Array = jax.Array
float0 = jax.dtypes.float0
Device = jax.Device
devices = jax.devices
local_devices = jax.local_devices
default_backend = jax.default_backend
default_device = jax.default_device
enable_x64 = jax.enable_x64
disable_jit = jax.disable_jit
default_matmul_precision = jax.default_matmul_precision
default_prng_impl = jax.default_prng_impl
numpy_dtype_promotion = jax.numpy_dtype_promotion
numpy_rank_promotion = jax.numpy_rank_promotion
debug_nans = jax.debug_nans
debug_infs = jax.debug_infs
enable_checks = jax.enable_checks
enable_custom_prng = jax.enable_custom_prng
legacy_prng_key = jax.legacy_prng_key
threefry_partitionable = jax.threefry_partitionable
softmax_custom_jvp = jax.softmax_custom_jvp
allow_f16_reductions = jax.allow_f16_reductions
jax2tf_associative_scan_reductions = jax.jax2tf_associative_scan_reductions
explain_cache_misses = jax.explain_cache_misses
no_tracing = jax.no_tracing
no_execution = jax.no_execution
debug_key_reuse = jax.debug_key_reuse
transfer_guard = jax.transfer_guard
transfer_guard_host_to_device = jax.transfer_guard_host_to_device
transfer_guard_device_to_device = jax.transfer_guard_device_to_device
transfer_guard_device_to_host = jax.transfer_guard_device_to_host
array_garbage_collection_guard = jax.array_garbage_collection_guard
check_tracer_leaks = jax.check_tracer_leaks
checking_leaks = jax.checking_leaks
thread_guard = jax.thread_guard
make_user_context = jax.make_user_context
remove_size_one_mesh_axis_from_type = jax.remove_size_one_mesh_axis_from_type
auto_pcast = jax.auto_pcast
typeof = jax.typeof
live_arrays = jax.live_arrays
device_count = jax.device_count
local_device_count = jax.local_device_count
process_count = jax.process_count
process_index = jax.process_index
process_indices = jax.process_indices
host_count = jax.host_count
host_id = jax.host_id
host_ids = jax.host_ids
ds = jax.ds
NamedSharding = jax.NamedSharding
P = jax.P
Shard = jax.Shard
make_mesh = jax.make_mesh
make_array_from_callback = jax.make_array_from_callback
make_array_from_process_local_data = jax.make_array_from_process_local_data
make_array_from_single_device_arrays = jax.make_array_from_single_device_arrays


def device_put(
    x: Any, device: Any = None, *, src: Any = None, donate: Any = False, may_alias: Any = None
) -> Any:
    """The leaves of ``x`` on a device (or sharding); traced values are returned as they are.

    ``src``, ``donate``, ``may_alias``: as in JAX, for arrays.

    >>> import numpy as np, functrans as ft
    >>> ft.device_put(np.ones(2, np.float32)).tolist()
    [1.0, 1.0]
    """
    options = {"src": src, "donate": donate, "may_alias": may_alias}
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


def copy_to_host_async(x: Any) -> Any:
    """Begin to copy every array in ``x`` to the host, and return ``x`` at once.

    >>> import functrans as ft
    >>> float(ft.copy_to_host_async(ft.grad(lambda x: x * x)(3.0)))
    6.0
    """
    return jax.copy_to_host_async(x)  # type: ignore[no-untyped-call]


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """A name for a part of a program, for people who read profiles. (It does not change what is computed.)

    >>> import functrans as ft
    >>> with ft.named_scope("loss"):
    ...     slope = ft.grad(lambda x: x * x)(3.0)
    """
    with jax.named_scope(name):
        yield


def named_call(fun: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]:
    """``fun`` in a ``named_scope`` of this name, its own by default.

    >>> import functrans as ft
    >>> float(ft.grad(ft.named_call(lambda x: x * x, name="square"))(3.0))
    6.0
    """
    check_callable(fun, "named_call")
    scope = function_name(fun) if name is None else name

    def named(*args: Any, **kwargs: Any) -> Any:
        with named_scope(scope):
            return fun(*args, **kwargs)

    return named_as(fun, named)


def fwd_and_bwd(
    fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool = False, jitted: bool = True
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward pass of a function, as two functions; compiled, unless ``jitted`` is False.

    Args:
      fun: the function.
      argnums: which arguments it is differentiated by, an int or several.
      has_aux: it returns a pair, and its second part is passed on.

    Returns:
      ``forward(*args)`` returns the value and the residuals (and the auxiliary part);
      ``backward(residuals, cotangent)`` returns the cotangents of the arguments, a tuple where ``argnums`` is one.

    Raises:
      TypeError: ``fun`` is no function, ``argnums`` no integers. What ``vjp`` raises is raised by ``forward``.

    >>> import functrans as ft
    >>> forward, backward = ft.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
    >>> value, residuals = forward(3.0, 4.0)
    >>> float(value), [float(x) for x in backward(residuals, 1.0)]
    (12.0, [4.0, 3.0])
    """
    check_callable(fun, "fwd_and_bwd")
    numbers = argument_numbers(argnums, "fwd_and_bwd")

    def forward(*args: Any, **kwargs: Any) -> Any:
        places = [i + len(args) if i < 0 else i for i in numbers]

        def of_these(*moving: Any) -> Any:
            given = list(args)
            for i, x in zip(places, moving, strict=True):
                given[i] = x
            return fun(*given, **kwargs)

        return vjp(of_these, *[args[i] for i in places], has_aux=has_aux)

    def backward(residuals: Any, cotangent: Any) -> Any:
        sent = residuals(cotangent)
        return sent[0] if isinstance(argnums, int) else sent

    if jitted:
        return compilation.jit(forward), compilation.jit(backward)
    return forward, backward


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """In the block operations are run at once, also while a function is traced: their results have values.

    Raises EscapedTracerError where an operation takes a value that is being traced: it has none.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> @ft.jit
    ... def scaled(x):
    ...     with ft.ensure_compile_time_eval():
    ...         size = int(fnp.sum(fnp.arange(4)))  # a number, for a shape or a test
    ...     return x * size
    >>> float(scaled(2.0))
    12.0
    """
    with jax.ensure_compile_time_eval(), untraced():
        yield


def print_environment_info(return_string: bool = False) -> str | None:
    """Print the versions of functrans, JAX and NumPy, the devices and the system: what a report of a fault should hold.

    >>> import functrans as ft
    >>> ft.print_environment_info(return_string=True).splitlines()[0]
    'functrans: 0.1.0'
    """
    version = importlib.metadata.version("functrans")
    text = f"functrans: {version}\n{jax.print_environment_info(return_string=True)}"
    if return_string:
        return text
    print(text)
    return None


def clear_caches() -> None:
    """Forget every remembered trace, program and executable.

    >>> import functrans as ft
    >>> ft.clear_caches()
    """
    staging.clear()
    compilation.clear()


class log_compiles:
    """Log every compilation with its reason to the logger ``functrans.compile`` (or set FUNCTRANS_LOG_COMPILES=1).

    Called, it holds from then on; in a ``with`` statement it holds for the block, as ``jax.log_compiles``.

    >>> import functrans as ft
    >>> with ft.log_compiles(False):
    ...     slope = ft.grad(lambda x: x * x)(3.0)
    """

    def __init__(self, new_val: bool = True) -> None:
        self.before = execute.log_compiles
        execute.set_log_compiles(new_val)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        execute.set_log_compiles(self.before)


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
