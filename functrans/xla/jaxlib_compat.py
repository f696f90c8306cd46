"""The one room that knows private names of jax and jaxlib; a new jaxlib breaks this file and no other.

Four services: configuration (what enters JAX's jit key), what ``compilation`` asks of the compiler, execution
(host values and arrays in, ``jax.Array`` out), and the C++ dispatcher behind the public ``jit``. Each name is probed
once at import by :func:`check_supported`. What belongs to the array class itself is in ``array_patch``.

Differences between versions are branches here: ``array_result_handler`` lost ``_skip_checks`` after jaxlib 0.10.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import types
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

import jax
import jax.export
import numpy as np

from functrans.errors import FunctransRuntimeError, FunctransTypeError, FunctransValueError
from functrans.xla.argument_checks import (
    TypedArray,
    argument_name,
    canonical_dtype,
    describe,
    device_expression,
    host_argument,
    host_array,
    mismatch,
)

SUPPORTED_VERSIONS: Final = "jax and jaxlib 0.10.x, 0.11.x and 0.12.x"
_FIRST, _PAST_LAST = (0, 10), (0, 13)

_PRIVATE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "jaxlib._jax": (
        "ArrayImpl._committed",
        "ArrayImpl._pjrt_layout",
        "ArrayImpl._sharding",
        "ArrayImpl.aval",
        "ArrayImpl.is_deleted",
        "DeviceList",
        "LoadedExecutable.execute_sharded",
        "LoadedExecutable.get_parameter_layouts",
        "ExecuteResults.consume_token",
        "ExecuteResults.consume_with_handlers",
        "PjitFunction._clear_cache",
        "PjitFunctionCache",
        "array_result_handler",
        "config.Config.set_global",
        "config.unset",
        "batched_device_put",
        "get_topology_for_devices",
        "hlo_module_cost_analysis",
        "mlir.mlir_module_to_xla_computation",
        "config.Config.get_local",
        "config.Config.set_local",
        "config.Config.swap_local",
        "config.trace_context",
        "pjit",
    ),
    "jaxlib._hlo": ("HloPrintOptions.short_parsable",),
    "jax._src.interpreters.mlir": ("make_ir_context", "ir.Module.parse"),
    "jax._src.export._export": ("_check_module", "_module_to_bytecode"),
    "jax._src.config": (
        "debug_infs._add_hooks",
        "debug_nans._add_hooks",
        "default_matmul_precision.value",
        "enable_x64.value",
    ),
    "jax._src.api": ("_post_hook_state",),
    "jax._src.dtypes": ("register_canonicalize_value_handler",),
    "jax._src.tree_util": ("dispatch_registry",),
    # Public in jax.extend.backend, whose import takes 15 ms: jax.extend loads Pallas.
    "jax._src.compiler": ("get_compile_options",),
    "jax._src.interpreters.pxla": ("get_default_device",),
    "jax._src.core": ("Ref", "pytype_aval_mappings"),
    "jax._src.state.discharge": ("discharge_state",),
    "jax._src.debugging": ("debug_effect",),
    "jax._src.callback": ("_IOEffect",),
    "jaxlib.mlir.ir": ("Module.parse",),
    "jax._src.numpy.array_methods": ("_IndexUpdateHelper", "_IndexUpdateRef", "_array_operators"),
}


def check_supported() -> None:
    """Check the version and probe every private name; raises ImportError with the version found, those supported, and
    the names that are missing.

    A version that has never been tried is refused even if it has all the names, for they may mean something else there;
    the message says which it lacks, and ``FUNCTRANS_UNTRIED_JAX=1`` lets one in that lacks none.
    """
    versions = {"jax": jax.__version__, "jaxlib": import_module("jaxlib").__version__}
    untried = [
        f"{name} {found} has never been tried"
        for name, found in versions.items()
        if not _FIRST <= tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < _PAST_LAST
    ]
    missing = [f"{name} is missing" for name in _missing_names()]
    if missing or (untried and os.environ.get("FUNCTRANS_UNTRIED_JAX", "") in ("", "0")):
        raise ImportError(_unsupported(versions["jaxlib"], "; ".join([*untried, *missing]), may_be_tried=not missing))


def _missing_names() -> list[str]:
    missing = []
    for module_name, names in _PRIVATE_NAMES.items():
        try:
            module = import_module(module_name)
        except ImportError:
            missing.append(module_name)
            continue
        for name in names:
            try:
                functools.reduce(getattr, name.split("."), module)
            except AttributeError:
                missing.append(f"{module_name}.{name}")
    return missing


def _unsupported(version: str, reason: str, may_be_tried: bool = False) -> str:
    untried = ", or set FUNCTRANS_UNTRIED_JAX=1 to run on it untested" if may_be_tried else ""
    return (
        f"functrans does not support jax {jax.__version__} with jaxlib {version}: {reason}. "
        f'Supported: {SUPPORTED_VERSIONS}. Install one of them: pip install "jax>=0.10,<0.13"{untried}'
    )


check_supported()

_jax: Any = import_module("jaxlib._jax")
_config: Any = import_module("jax._src.config")
_get_compile_options: Any = import_module("jax._src.compiler").get_compile_options
_make_ir_context: Any = import_module("jax._src.interpreters.mlir").make_ir_context
_ir: Any = import_module("jaxlib.mlir.ir")
_dispatch_registry: Any = import_module("jax._src.tree_util").dispatch_registry
pytype_aval_mappings: dict[type, Callable[[Any], Any]] = import_module("jax._src.core").pytype_aval_mappings
register_canonicalize_value_handler: Any = import_module("jax._src.dtypes").register_canonicalize_value_handler
_array_methods: Any = import_module("jax._src.numpy.array_methods")
_mlir: Any = import_module("jax._src.interpreters.mlir")
_hlo: Any = import_module("jaxlib._hlo")
_export: Any = import_module("jax._src.export._export")

_reference: Any = import_module("jax._src.core").Ref

_objects: Any = import_module("jax._src.hijax")
OPERATION_OBJECT: Final[Any] = _objects.HiPrim if hasattr(_objects, "HiPrim") else _objects.VJPHiPrimitive
"""The class of JAX's operations that are objects with their own rules; named ``HiPrim`` from jax 0.11 on."""
ArrayImpl: Any = _jax.ArrayImpl


def _key_array_class() -> Any:
    """The class of ``jax.random.key(0)``; its module moved in jax 0.10."""
    for name in ("jax._src.random.prng", "jax._src.prng"):
        try:
            return import_module(name).PRNGKeyArray
        except (ImportError, AttributeError):
            continue
    raise ImportError(_unsupported(import_module("jaxlib").__version__, "jax._src.random.prng.PRNGKeyArray is missing"))


KeyArray: Any = _key_array_class()
IndexUpdateHelper: Any = _array_methods._IndexUpdateHelper
IndexUpdateRef: Any = _array_methods._IndexUpdateRef
array_operators: Mapping[str, Callable[..., Any]] = _array_methods._array_operators

Device = Any
Executable = Any

_JAX_DIRECTORIES: Final = tuple(
    os.path.dirname(os.path.abspath(import_module(name).__file__ or "")) + os.sep for name in ("jax", "jaxlib")
)


def is_jax_file(filename: str) -> bool:
    """Whether code from this file is JAX's own."""
    return filename.startswith(_JAX_DIRECTORIES)


# -------------------------------------------------------------------------------------------------- JAX's programs


def is_reference(x: Any) -> bool:
    """Whether x is a mutable array (``jax.new_ref``)."""
    return isinstance(x, _reference)


def jax_effects(*, debug: bool, input_output: bool) -> set[Any]:
    """The unordered effects of JAX that an operation has: those of ``jax.debug.print`` and of ``io_callback``."""
    found = set()
    if debug:
        found.add(import_module("jax._src.debugging").debug_effect)
    if input_output:
        found.add(import_module("jax._src.callback")._IOEffect)
    return found


# Operations of JAX that run by what they are lowered to: the functions that are.
_LOWERED_FROM: Final = {
    "bcoo_dot_general": ("jax.experimental.sparse.bcoo", "_bcoo_dot_general_impl"),
    "bcsr_dot_general": ("jax.experimental.sparse.bcsr", "_bcsr_dot_general_impl"),
    "ragged_dot_general": ("jax._src.lax.lax", "_ragged_dot_general_impl"),
    "symmetric_product": ("jax._src.lax.linalg", "_symmetric_product_jax_fn"),
}


def implementation_of(primitive: Any) -> Callable[..., Any]:
    """What an operation of JAX does, as a function in JAX's other operations."""
    module, name = _LOWERED_FROM.get(primitive.name, ("", ""))
    return getattr(import_module(module), name) if module else primitive.impl  # type: ignore[no-any-return]


def has_jvp(primitive: Any) -> bool:
    """Whether an operation of JAX has a rule for forward mode."""
    return primitive in import_module("jax._src.interpreters.ad").primitive_jvps


def has_transpose(primitive: Any) -> bool:
    """Whether an operation of JAX has a rule by which it is transposed."""
    ad = import_module("jax._src.interpreters.ad")
    return primitive in ad.primitive_transposes or primitive in ad.fancy_transposes


def discharged(jaxpr: Any, consts: Iterable[Any]) -> Any:
    """A program of JAX, closed, in which the references made in it have become values."""
    closed = import_module("jax.extend.core").ClosedJaxpr(jaxpr, tuple(consts))
    return import_module("jax._src.state.discharge").discharge_state(closed)


# ---------------------------------------------------------------------------------------------------- configuration


def _reader(state: Any) -> Callable[[], Any]:
    """() -> the present value of a configuration state; bound to the C++ getter it costs 28 ns, as a def 53."""
    for cls in type(state).__mro__:
        getter = cls.__dict__.get("value")
        if isinstance(getter, property) and getter.fget is not None:
            return types.MethodType(getter.fget, state)
    return lambda: state.value


trace_context: Callable[[], Hashable] = _jax.config.trace_context
"""() -> a tuple of every configuration value that JAX keys its own traces on (x64, precision, default device ...)."""

x64_enabled: Callable[[], bool] = _reader(_config.enable_x64)
"""() -> whether 64-bit types are enabled in this thread."""

matmul_precision: Callable[[], str | None] = _reader(_config.default_matmul_precision)
"""() -> ``jax_default_matmul_precision`` of this thread."""

default_device: Callable[[], Device] = import_module("jax._src.interpreters.pxla").get_default_device
"""() -> the device of uncommitted values: ``jax.default_device`` (a device or a platform), else the first local one."""


class TracingMarker:
    """A value in the key of the C++ dispatcher, set while a trace is open in this thread.

    Calls of jitted functions on concrete arguments then miss the C++ fast path and reach our ``cache_miss``, which
    stages them. It enters JAX's C++ key only, not JAX's trace context: JAX functions called meanwhile look their
    program up once more and do not trace or compile again (a public ``jax.make_user_context`` would recompile them).
    """

    __slots__ = ("_config", "enter", "exit")

    _OPEN: Final = "functrans: a trace is open"

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_tracing", None, include_in_jit_key=True, include_in_trace_context=False
        )
        # Bound C++ methods: a pair of calls is on the path of every un-jitted transform.
        self.enter: Callable[[], object] = functools.partial(self._config.swap_local, self._OPEN)
        self.exit: Callable[[object], None] = self._config.set_local

    def active(self) -> bool:
        """Whether a trace is open in this thread."""
        return self._config.value is not None


tracing_marker = TracingMarker()


class RecomputationBound:
    """How often a compiled program may compute a value (optimise.recomputation); None: as often as XLA likes.

    A value in JAX's configuration: what was traced and compiled under another one is not taken for it.
    """

    DEFAULT = 16  # of 4, 8, 16 and 32 the least that leaves short programs alone (docs/benchmarks.md)

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_recomputation_bound", self.DEFAULT, include_in_jit_key=True, include_in_trace_context=True
        )
        self.value: Callable[[], int | None] = _reader(self._config)
        self.set: Callable[[int | None], None] = self._config.set_global


recomputation_bound = RecomputationBound()


class ValueChecks:
    """Whether ``jax_debug_nans`` or ``jax_debug_infs`` is on, as one value in every key of traces and dispatch.

    The two are in none of JAX's keys: JAX looks at results behind the dispatcher's back, and knows no user lines there.
    """

    __slots__ = ("_config", "_jax_looks", "on")

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_value_checks", False, include_in_jit_key=True, include_in_trace_context=True
        )
        self.on: Callable[[], bool] = _reader(self._config)
        self._jax_looks = import_module("jax._src.api")._post_hook_state
        for state in (_config.debug_nans, _config.debug_infs):
            state._add_hooks(
                self._after(state._update_global_hook, self._set_global),
                self._after(state._update_thread_local_hook, self._set_local),
            )

    @staticmethod
    def _after(first: Callable[[Any], None] | None, then: Callable[[], None]) -> Callable[[Any], None]:
        def hook(value: Any) -> None:
            if first is not None:
                first(value)
            then()

        return hook

    def _set_global(self) -> None:
        self._config.set_global(bool(_config.debug_nans.get_global() or _config.debug_infs.get_global()))

    def _set_local(self) -> None:
        unset = _jax.config.unset
        if _config.debug_nans.get_local() is unset and _config.debug_infs.get_local() is unset:
            self._config.set_local(unset)
        else:
            self._config.set_local(bool(_config.debug_nans.value or _config.debug_infs.value))

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Neither we nor JAX look at results inside."""
        ours, theirs = self._config.swap_local(False), self._jax_looks.swap_local(None)
        try:
            yield
        finally:
            self._config.set_local(ours)
            self._jax_looks.set_local(theirs)


value_checks = ValueChecks()


# ------------------------------------------------------------------------------------------------------ compilation


@functools.cache
def initialize_lapack() -> None:
    """Until then the kernels that ``@lapack_`` custom calls name are null pointers."""
    import_module("jaxlib.lapack")._lapack.initialize()


def compile_options(device: Device, overrides: Mapping[str, Any]) -> Any:
    """Options of the public JAX configuration for one device, with ``overrides`` on top, named as in XLA_FLAGS."""
    return _get_compile_options(
        1,
        1,
        device_assignment=np.array([[device.id]]),
        env_options_overrides=dict(overrides) or None,
        backend=device.client,
    )


def compiled(text: bytes, device: Device, options: Any, functions: Sequence[Callable[..., Any]] = ()) -> Executable:
    """StableHLO -> an executable; ``functions`` are what its custom calls name by number."""
    devices = _jax.DeviceList((device,))
    if not functions:
        return device.client.compile_and_load(text, devices, options)
    with _make_ir_context():
        module = _ir.Module.parse(text)  # the overload that takes callbacks refuses text
        return device.client.compile_and_load(module, devices, options, host_callbacks=list(functions))


def deserialized(stored: bytes, device: Device, options: Any) -> Executable:
    """What ``executable.serialize()`` gave, as an executable; JaxRuntimeError or ValueError where it is none."""
    return device.client.deserialize_executable(stored, _jax.DeviceList((device,)), options)


def topology_fingerprint(device: Device) -> str:
    """What tells devices apart that need different machine code; empty where the platform has nothing to say."""
    try:
        return str(_jax.get_topology_for_devices([device]).fingerprint())
    except jax.errors.JaxRuntimeError:
        return ""


def lowering_platform(device: Device) -> str:
    """The name under which programs are lowered for a device: ``cpu``, ``tpu``, ``cuda`` or ``rocm``."""
    if device.platform != "gpu":
        return str(device.platform)
    return "rocm" if "rocm" in device.client.platform_version else "cuda"


# ---------------------------------------------------------------------------------------------- looking at programs


def parsed_module(text: str) -> Any:
    """StableHLO text -> an ``ir.Module`` of jaxlib's MLIR bindings."""
    context = _mlir.make_ir_context()
    with context:
        return _mlir.ir.Module.parse(text)


def canonical_text(text: str, locations: bool = False) -> str:
    """StableHLO text as MLIR prints it. ``locations``: with what the text says of the operations' origin."""
    return parsed_module(text).operation.get_asm(enable_debug_info=locations)  # type: ignore[no-any-return]


def hlo_computation(text: str) -> Any:
    """StableHLO text -> an ``XlaComputation``."""
    return _jax.mlir.mlir_module_to_xla_computation(text, use_tuple_args=False)


def hlo_text(text: str, metadata: bool = False) -> str:
    """StableHLO text -> HLO text as XLA receives it. ``metadata``: with the operations' origin."""
    options = _hlo.HloPrintOptions.short_parsable()
    options.print_metadata = metadata
    return hlo_computation(text).as_hlo_module().to_string(options)  # type: ignore[no-any-return]


def exported(
    text: str,
    fun_name: str,
    trees: tuple[Any, Any],
    types: tuple[Sequence[TypedArray], Sequence[TypedArray]],
    kept: Sequence[int],
    platforms: Sequence[str],
    disabled_checks: Sequence[Any],
    vjp: Callable[[Any], Any] | None,
) -> Any:
    """A ``jax.export.Exported`` around a StableHLO module for one device.

    ``trees`` and ``types`` are those of arguments and results, ``kept`` the leaves that the module takes; ``vjp`` makes
    the exported pullback when it is asked for. Raises ValueError for custom calls without a promise of stability.
    """
    module = parsed_module(text)
    with module.context:
        _export._check_module(module, disabled_checks=disabled_checks, shardy_enabled=False)
        artifact = _export._module_to_bytecode(module)
    in_avals, out_avals = [tuple([abstract_value(t) for t in group]) for group in types]
    fields = {
        "fun_name": fun_name,
        "in_tree": trees[0],
        "in_avals": in_avals,
        "out_tree": trees[1],
        "out_avals": out_avals,
        "_has_named_shardings": True,  # lost by jax 0.11
        "_in_named_shardings": (None,) * len(in_avals),
        "_out_named_shardings": (None,) * len(out_avals),
        "in_shardings_hlo": (None,) * len(in_avals),
        "out_shardings_hlo": (None,) * len(out_avals),
        "nr_devices": 1,
        "platforms": tuple(platforms),
        "ordered_effects": (),
        "unordered_effects": (),
        "disabled_safety_checks": tuple(disabled_checks),
        "mlir_module_serialized": artifact,
        "calling_convention_version": jax.export.maximum_supported_calling_convention_version,
        "module_kept_var_idx": tuple(kept),
        "uses_global_constants": False,
        "_get_vjp": vjp,
    }
    known = {field.name for field in dataclasses.fields(jax.export.Exported)}
    return jax.export.Exported(**{name: value for name, value in fields.items() if name in known})


def exported_text(found: Any) -> str:
    """The module of a ``jax.export.Exported`` as MLIR prints it."""
    with _mlir.make_ir_context():
        module = _jax.mlir.deserialize_portable_artifact(found.mlir_module_serialized)
        return module.operation.get_asm()  # type: ignore[no-any-return]


def lowered_cost(text: str, device: Device) -> dict[str, float] | None:
    """XLA's estimate of a program before optimisation; None where the platform has none."""
    return _unless_unimplemented(  # type: ignore[no-any-return]
        lambda: _jax.hlo_module_cost_analysis(device.client, hlo_computation(text).as_hlo_module())
    )


def executable_text(executable: Executable) -> str:
    """The optimised HLO of an executable."""
    return "\n\n".join([module.to_string() for module in executable.hlo_modules()])


def executable_cost(executable: Executable) -> dict[str, float] | None:
    """XLA's estimate of an executable; None where the platform has none."""
    return _unless_unimplemented(executable.cost_analysis)  # type: ignore[no-any-return]


def executable_memory(executable: Executable) -> Any:
    """XLA's account of an executable's memory; None where the platform has none."""
    return _unless_unimplemented(executable.get_compiled_memory_stats)


def _unless_unimplemented(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except jax.errors.JaxRuntimeError as error:
        if "UNIMPLEMENTED" in str(error):
            return None
        raise


# ------------------------------------------------------------------------------------------------- values and types


@functools.lru_cache(maxsize=8192)
def _abstract(shape: tuple[int, ...], dtype: np.dtype[Any], weak_type: bool) -> Any:
    return jax.core.ShapedArray(shape, dtype, weak_type=weak_type)


def abstract_value(array_type: TypedArray) -> Any:
    """The ``jax.core.ShapedArray`` of a type, one object for equal types."""
    return _abstract(array_type.shape, array_type.dtype, array_type.weak_type)


class _Stored(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak_type: bool


def _stored(array_type: TypedArray) -> TypedArray:
    """The type that a program has in the place of another: bool for float0, which holds no information."""
    if array_type.dtype != jax.dtypes.float0:
        return array_type
    return _Stored(array_type.shape, np.dtype(np.bool_), False)


@functools.lru_cache(maxsize=1024)
def single_device_sharding(device: Device) -> jax.sharding.SingleDeviceSharding:
    """The sharding of an array that lives on one device, one object for each device."""
    return jax.sharding.SingleDeviceSharding(device)


def array_result(array_type: TypedArray, device: Device, committed: bool = False) -> Any:
    """The handler that turns an executable's output buffer into a ``jax.Array`` of this type."""
    arguments = (abstract_value(array_type), single_device_sharding(device), committed)
    try:
        return _jax.array_result_handler(*arguments, _skip_checks=True)
    except TypeError:  # jaxlib 0.11 and later
        return _jax.array_result_handler(*arguments)


def put(value: Any, array_type: TypedArray, device: Device, *, committed: bool = False, copy: bool = True) -> jax.Array:
    """A host value as an array of exactly this type on this device, 64-bit types kept whatever ``jax_enable_x64`` says.

    ``copy=False`` may share memory with a NumPy array that nobody will write to. Raises TypeError where the conversion
    would lose more than precision (3.7 to an integer), ValueError for a wrong shape.
    """
    if array_type.dtype == jax.dtypes.float0:
        value, array_type = np.zeros(np.shape(value), np.bool_), _stored(array_type)
    array = host_array(value, array_type.dtype)
    if array.shape != array_type.shape:
        raise FunctransValueError(f"a value of shape {array.shape} cannot become {describe(array_type)}")
    return _jax.batched_device_put(  # type: ignore[no-any-return]
        abstract_value(array_type),
        single_device_sharding(device),
        [array],
        [device],
        committed,
        copy and array is value,  # np.asarray made a fresh array otherwise
        enable_x64=True,
    )


# ------------------------------------------------------------------------------------------------ where arrays live


def placement(arrays: Iterable[Any], names: Sequence[str] | None = None) -> Device:
    """The one device on which committed arrays live; the default device where none is committed.

    Host values and uncommitted arrays go anywhere. Raises ValueError that names the argument for an array that is
    spread over several devices, and for arrays committed to different ones.
    """
    found: Device = None
    found_at = 0
    known: Any = None
    for position, array in enumerate(arrays):
        if type(array) is KeyArray:
            array = array._base_array
        if type(array) is ArrayImpl and array._committed:
            sharding = array._sharding
            if sharding is known:  # nearly always: results share the sharding object of their program
                continue
            device = _single_device(array, position, names)
            if found is None:
                found, found_at = device, position
            elif device != found:
                raise FunctransValueError(
                    f"{argument_name(found_at, names)} is committed to {found} and "
                    f"{argument_name(position, names)} to {device}; "
                    f"move one of them: jax.device_put(x, {device_expression(found)})"
                )
            known = sharding
    return default_device() if found is None else found


def _single_device(array: Any, position: int, names: Sequence[str] | None) -> Device:
    """The device of an array that lives on one, or ValueError."""
    devices = array._sharding.device_set
    if len(devices) != 1:
        raise FunctransValueError(
            f"{argument_name(position, names)}, {describe(array)}, is spread over {len(devices)} devices "
            f"({array._sharding}), and this program runs on one; gather it first: "
            f"jax.device_put(x, {device_expression(default_device())})"
        )
    return next(iter(devices))


def deleted_argument_error(arguments: Sequence[Any], names: Sequence[str] | None = None) -> RuntimeError | None:
    """The error that names the first deleted (donated) array among the arguments, if there is one.

    The C++ fast path reports a donated array only as 'Buffer has been deleted or donated'; who catches that ValueError
    asks here.
    """
    for position, array in enumerate(arguments):
        if type(array) is ArrayImpl and array.is_deleted():
            return _deleted(argument_name(position, names), array)
    return None


def _deleted(argument: str, array: Any) -> RuntimeError:
    return FunctransRuntimeError(
        f"{argument}, {describe(array)}, has been deleted: it was donated to an earlier call (donate_argnums) or its "
        ".delete() was called; keep the result of that call, or do not donate it"
    )


# -------------------------------------------------------------------------------------------------------- execution


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
_executor_signatures: Any = _jax.PjitFunctionCache(capacity=8192)
_jit_signatures: Any = _jax.PjitFunctionCache(capacity=8192)


def _shard_argument(value: Any, sharding: Any, layout: Any) -> Any:
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
    in_types = tuple([_stored(t) for t in in_types])
    out_types = tuple([_stored(t) for t in out_types])
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

    call = _jax.pjit(name, None, cache_miss, [], [], (), _dispatch_registry, _shard_argument, _executor_signatures)
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
            lives_on = _single_device(value, position, None)
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
        raise _deleted(f"argument {position} of {name}", value)
    aval = value.aval
    if aval.dtype != expected.dtype or aval.shape != expected.shape:
        raise mismatch(describe(aval), expected, position, name)


# --------------------------------------------------------------------------------------------- the public jit's C++


def jit_function(
    name: str,
    fun: Callable[..., Any],
    cache_miss: Callable[..., tuple[Any, FastPathRecord | None, bool]],
    static_argnums: Sequence[int] = (),
    static_argnames: Sequence[str] = (),
    key: Hashable = (),
    on_error: Callable[[Exception], BaseException] = lambda error: error,
) -> Any:
    """The C++ callable behind ``jit``: looks the signature up, and asks ``cache_miss(*args, **kwargs)`` for a new one.

    ``cache_miss`` returns ``(outputs, record, False)``; the signature runs in C++ from then on if ``record`` is a
    :class:`FastPathRecord`, and comes back at each call if it is None. A record made while a trace is open is dropped:
    those calls must be staged. Callables of equal ``fun`` and ``key`` share their signatures, so ``key`` holds every
    option of the jit (donation, static arguments, ...). Arguments of classes unknown to JAX, such as our tracers, make
    the signature fail and arrive in ``cache_miss`` at each call. ``on_error`` may trim an error's traceback.
    """

    def guarded(*args: Any, **kwargs: Any) -> tuple[Any, FastPathRecord | None, bool]:
        try:
            outputs, record, remove = cache_miss(*args, **kwargs)
        except Exception as error:
            call._clear_cache()
            raise on_error(error) from error.__cause__
        except BaseException:
            call._clear_cache()
            raise
        return outputs, None if record is not None and tracing_marker.active() else record, remove

    call = _jax.pjit(
        name,
        fun,
        guarded,
        list(static_argnums),
        list(static_argnames),
        key,
        _dispatch_registry,
        _shard_argument,
        _jit_signatures,
    )
    return call


def clear_all() -> None:
    """Forget every signature of every callable of :func:`jit_function` and :func:`executor`."""
    _jit_signatures.clear()
    _executor_signatures.clear()


def clear(function: Any) -> None:
    """Forget the signatures that a callable of :func:`jit_function` or :func:`executor` has seen."""
    function._clear_cache()
