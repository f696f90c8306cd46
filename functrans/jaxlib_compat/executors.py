"""Executables run on host values and arrays: checked at a signature's first call, in C++ without Python afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.jaxlib_compat.argument_checks import (
    TypedArray,
    canonical_dtype,
    describe,
    device_expression,
    host_argument,
    mismatch,
)
from functrans.jaxlib_compat.array_values import (
    ArrayImpl,
    KeyArray,
    abstract_value,
    array_result,
    deleted_error,
    device_of,
    put,
    single_device_sharding,
    stored_type,
)
from functrans.jaxlib_compat.compiler import Executable
from functrans.jaxlib_compat.configuration import Device
from functrans.jaxlib_compat.versions import private

_jax, _prng, _tree_util = private(
    {
        "jaxlib._jax": (
            "ArrayImpl._committed",
            "ArrayImpl._pjrt_layout",
            "ArrayImpl._sharding",
            "ArrayImpl.aval",
            "ArrayImpl.is_deleted",
            "ExecuteResults.consume_token",
            "ExecuteResults.consume_with_handlers",
            "LoadedExecutable.execute_sharded",
            "LoadedExecutable.get_parameter_layouts",
            "PjitFunction._clear_cache",
            "PjitFunctionCache",
            "ShardedToken.block_until_ready",
            "pjit",
        ),
        "jax._src.random.prng": ("KeyTy._impl", "PRNGKeyArray._base_array"),
        "jax._src.tree_util": ("dispatch_registry",),
    }
)

_dispatch_registry: Any = _tree_util.dispatch_registry


class FastPathRecord(NamedTuple):
    """What the C++ dispatcher reads to run a signature without Python; the field names are jaxlib's."""

    xla_executable: Any
    out_pytree_def: Any
    in_shardings: Sequence[Any]
    out_shardings: Sequence[Any]
    out_avals: Sequence[Any]
    out_committed: Sequence[bool]
    kept_var_bitvec: Sequence[bool]
    in_device_local_layouts: Sequence[Any]
    const_args: Sequence[Any]


def fast_path_record(
    executable: Executable,
    out_tree: Any,
    in_types: Sequence[TypedArray],
    out_types: Sequence[TypedArray],
    device: Device,
    kept: Sequence[bool] | None = None,
    committed: bool = False,
) -> FastPathRecord:
    """What a ``cache_miss`` returns to keep its signature in C++ from now on.

    ``in_types`` are the types of all flat arguments, ``kept`` tells which of them the executable takes (None: all);
    ``committed`` is whether any argument of this signature is committed to its device. Donation needs no entry: the
    executable knows it from its text.
    """
    kept = [True] * len(in_types) if kept is None else list(kept)
    count = sum(kept)
    sharding = single_device_sharding(device)
    return FastPathRecord(
        executable,
        out_tree,
        [sharding] * count,
        [sharding] * len(out_types),
        [abstract_value(t) for t in out_types],
        [committed] * len(out_types),
        kept,
        [None] * count,
        (),
    )


# Counted in signatures over all functions; the least recently used ones leave.
executor_signatures: Any = _jax.PjitFunctionCache(capacity=8192)


def shard_argument(value: Any, sharding: Any, layout: Any) -> Any:
    """What the C++ dispatcher calls for an argument that it cannot place by itself."""
    return jax.device_put(value, sharding)


def executor(
    executable: Executable,
    in_types: Sequence[TypedArray],
    out_types: Sequence[TypedArray],
    device: Device,
    name: str,
    on_error: Callable[[Exception], BaseException] | None = None,
) -> Callable[..., list[jax.Array]]:
    """A function of flat positional arguments (arrays, NumPy values, Python numbers) that runs an executable.

    It is a C++ dispatcher whose signature (dtypes, shapes, weak types, shardings, configuration) is checked here at its
    first call, because the runtime checks nothing, and runs without Python afterwards. Results are committed where an
    argument is. ``on_error``: the program calls Python, so each call waits for its end, and raises what this function
    makes of the runtime's error: what a callback raised.
    Raises TypeError for a wrong dtype, shape or number of arguments, ValueError for an array of another
    device, RuntimeError for a deleted array, each naming the argument.
    """
    in_types = tuple([stored_type(t) for t in in_types])
    out_types = tuple([stored_type(t) for t in out_types])
    out_tree = jax.tree_util.tree_structure([0] * len(out_types))
    handlers: dict[bool, list[Any]] = {}

    def cache_miss(*arguments: Any) -> tuple[list[jax.Array], FastPathRecord | None, bool]:
        try:
            arrays, committed, plain = _place(arguments, in_types, executable.get_parameter_layouts, device, name)
            if committed not in handlers:
                handlers[committed] = [array_result(t, device, committed) for t in out_types]
            if on_error is None:
                outputs = execute(executable, arrays, handlers[committed])
            else:
                outputs = execute_and_wait(executable, arrays, handlers[committed], on_error)
        except BaseException:
            call._clear_cache()  # the entry of a signature that raised would stay in Python for ever
            raise
        if on_error is not None or not plain:
            return outputs, None, False
        return outputs, fast_path_record(executable, out_tree, in_types, out_types, device, None, committed), False

    call = _jax.pjit(name, None, cache_miss, [], [], (), _dispatch_registry, shard_argument, executor_signatures)
    return call  # type: ignore[no-any-return]


def key_executor(
    executable: Executable,
    in_types: Sequence[TypedArray],
    out_types: Sequence[TypedArray],
    physical_type: Callable[[Any], TypedArray],
    device: Device,
    name: str,
    on_error: Callable[[Exception], BaseException] | None = None,
) -> Callable[..., list[jax.Array]]:
    """As :func:`executor` for a program some of whose arguments or results are random keys.

    The executable works on the keys' words; ``physical_type`` gives the type of those.
    """
    in_words, out_words = ([physical_type(t) for t in types] for types in (in_types, out_types))
    run = executor(executable, in_words, out_words, device, name, on_error)
    key_arguments = [(i, t) for i, t in enumerate(in_types) if not isinstance(t.dtype, np.dtype)]
    dtypes: list[Any] = [t.dtype for t in out_types]
    key_results = [(i, dtype._impl) for i, dtype in enumerate(dtypes) if not isinstance(dtype, np.dtype)]

    def call(*arguments: Any) -> list[jax.Array]:
        values = list(arguments)
        for i, expected in key_arguments:
            value = values[i]
            if type(value) is not KeyArray or value.dtype != expected.dtype or value.shape != expected.shape:
                found = describe(value) if isinstance(value, jax.Array) else f"of class {type(value).__name__}"
                raise mismatch(found, expected, i, name)
            values[i] = value._base_array
        results = run(*values)
        for i, implementation in key_results:
            results[i] = KeyArray(implementation, results[i])
        return results

    return call


def execute(executable: Executable, arrays: Sequence[Any], handlers: Sequence[Any]) -> list[jax.Array]:
    """Start a program; its results, which may be computed later."""
    return executable.execute_sharded(arrays).consume_with_handlers(handlers)  # type: ignore[no-any-return]


def execute_and_wait(
    executable: Executable,
    arrays: Sequence[Any],
    handlers: Sequence[Any],
    on_error: Callable[[Exception], BaseException],
) -> list[jax.Array]:
    """Run a program to its end; raises what ``on_error`` makes of the runtime's error."""
    try:
        results = executable.execute_sharded(arrays, with_tokens=True)
        outputs = results.consume_with_handlers(handlers)
        results.consume_token().block_until_ready()
    except jax.errors.JaxRuntimeError as error:
        original = on_error(error)
        if original is error:
            raise
        raise original from None
    return outputs  # type: ignore[no-any-return]


def _place(
    arguments: Sequence[Any],
    in_types: Sequence[TypedArray],
    layouts: Callable[[], Sequence[Any]],
    device: Device,
    name: str,
) -> tuple[list[Any], bool, bool]:
    """Checked arguments as arrays on the device; whether one is committed; whether C++ would place them like this."""
    if len(arguments) != len(in_types):
        raise FunctransTypeError(f"{name} takes {len(in_types)} arguments and was given {len(arguments)}")
    arrays = []
    committed = False
    plain = True
    for position, (value, expected) in enumerate(zip(arguments, in_types, strict=True)):
        if type(value) is ArrayImpl:
            _check_array(value, expected, position, name)
            lives_on = device_of(value, position, None)
            if value._committed:
                if lives_on != device:
                    raise FunctransValueError(
                        f"argument {position} of {name}, {describe(value)}, is committed to {lives_on} and the "
                        f"program to {device}; move it: jax.device_put(x, {device_expression(device)})"
                    )
                committed = True
            sharding = single_device_sharding(device)
            if value._sharding.memory_kind != sharding.memory_kind:
                plain = False  # in host memory, which the C++ path does not look at
            elif len(expected.shape) > 1 and value._pjrt_layout != layouts()[position]:
                plain = False  # neither does it look at layouts; they are rare enough to go by way of the host
                value = put(np.asarray(value), expected, device)
            elif lives_on == device:
                arrays.append(value)
                continue
            arrays.append(jax.device_put(value, sharding))
        else:
            if getattr(value, "dtype", None) == jax.dtypes.float0:
                value, plain = np.zeros(np.shape(value), np.bool_), False
            array = host_argument(value, expected, position, name)
            plain = plain and canonical_dtype(value) == expected.dtype
            arrays.append(put(array, expected, device, copy=False))
    return arrays, committed, plain


def _check_array(value: Any, expected: TypedArray, position: int, name: str) -> None:
    if value.is_deleted():
        raise deleted_error(f"argument {position} of {name}", value)
    aval = value.aval
    if aval.dtype != expected.dtype or aval.shape != expected.shape:
        raise mismatch(describe(aval), expected, position, name)
