"""What ``functrans.xla.compilation`` asks of the compiler: options, executables, what tells devices apart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from functrans.jaxlib_compat.configuration import Device
from functrans.jaxlib_compat.versions import private

_jax, _compiler, _mlir, _lapack, _ir = private(
    {
        "jaxlib._jax": (
            "Client.compile_and_load",
            "Client.deserialize_executable",
            "Client.platform_version",
            "DeviceList",
            "DeviceTopology.fingerprint",
            "get_topology_for_devices",
        ),
        # Public in jax.extend.backend, whose import takes 15 ms: jax.extend loads Pallas.
        "jax._src.compiler": ("get_compile_options",),
        "jax._src.interpreters.mlir": ("make_ir_context",),
        "jaxlib.lapack": ("_lapack.initialize",),
        "jaxlib.mlir.ir": ("Module.parse",),
    }
)

_get_compile_options: Any = _compiler.get_compile_options

Executable = Any


@functools.cache
def initialize_lapack() -> None:
    """Until then the kernels that ``@lapack_`` custom calls name are null pointers."""
    _lapack._lapack.initialize()


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
    with _mlir.make_ir_context():
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
