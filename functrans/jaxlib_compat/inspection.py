"""Programs and executables looked at: as text, as modules of MLIR and XLA, exported, with their costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export

from functrans.jaxlib_compat.argument_checks import TypedArray
from functrans.jaxlib_compat.array_values import abstract_value
from functrans.jaxlib_compat.compiler import Executable
from functrans.jaxlib_compat.configuration import Device
from functrans.jaxlib_compat.versions import JAX, private

_jax, _hlo, _export, _mlir = private(
    {
        "jaxlib._jax": (
            "LoadedExecutable.cost_analysis",
            "LoadedExecutable.get_compiled_memory_stats",
            "LoadedExecutable.hlo_modules",
            "hlo_module_cost_analysis",
            "mlir.deserialize_portable_artifact",
            "mlir.mlir_module_to_xla_computation",
        ),
        "jaxlib._hlo": (
            "HloModule.to_string",
            "HloPrintOptions.print_metadata",
            "HloPrintOptions.short_parsable",
            "XlaComputation.as_hlo_module",
        ),
        "jax._src.export._export": (
            "Exported._get_vjp",
            "Exported._in_named_shardings",
            "Exported._out_named_shardings",
            *(["Exported._has_named_shardings"] if JAX < (0, 11) else []),
            "_check_module",
            "_module_to_bytecode",
        ),
        "jax._src.interpreters.mlir": (
            "ir.Module.context",
            "ir.Module.operation",
            "ir.Module.parse",
            "ir.Operation.get_asm",
            "make_ir_context",
        ),
    }
)


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
