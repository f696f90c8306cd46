"""From StableHLO text to an executable: the options that our programs need, and the persistent cache before XLA."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from functrans.jaxlib_compat.compiler import (
    Executable,
    compile_options,
    compiled,
    deserialized,
    initialize_lapack,
    topology_fingerprint,
)
from functrans.jaxlib_compat.configuration import Device
from functrans.jaxlib_compat.versions import found_versions
from functrans.xla import persistent_cache
from functrans.xla.barriers import Barriers
from functrans.xla.host_callbacks import HostCallback, for_runtime


def compile_or_load(
    text: str | bytes,
    device: Device,
    *,
    disable_fusion: bool = False,
    barriers: Barriers = Barriers.NONE,
    extra_options: Mapping[str, Any] | None = None,
    callbacks: Sequence[HostCallback] = (),
) -> tuple[Executable, bool]:
    """StableHLO module text -> an executable loaded on one device, and whether it came out of the persistent cache.

    Options are those of the public JAX configuration (``jax_optimization_level``, XLA_FLAGS ...) with ``extra_options``
    on top, named as in XLA_FLAGS. ``disable_fusion`` leaves XLA's fusion pass out, on CPU only: it grows faster than
    linearly with a scalar program, and GPU code depends on it. ``barriers`` leave out the pass that removes
    optimization barriers, on CPU only: behind it XLA merges a checkpoint's second computation with the first and
    fuses what is to be kept; nested ones also the pass that makes one kernel of a small loop, whose emitter ends the
    process at a barrier (jaxlib 0.10.2).
    ``callbacks`` are the Python functions that custom calls in the text name by number. Raises
    ``jax.errors.JaxRuntimeError`` with XLA's message where the text is wrong.
    """
    overrides = dict(extra_options or {})
    on_cpu = device.platform == "cpu"
    passes = [
        overrides.pop("xla_disable_hlo_passes", ""),
        "fusion" if disable_fusion and on_cpu else "",
        "cse_barrier_expander" if barriers is not Barriers.NONE and on_cpu else "",
        "small-while-loop-hoisting" if barriers is Barriers.NESTED and on_cpu else "",
    ]
    disabled_passes = ",".join([name for name in passes if name])
    options = compile_options(device, overrides)
    if disabled_passes:
        # The option is one list: passes that the user's XLA_FLAGS or jax.config disabled stay disabled.
        debug_options = options.executable_build_options.debug_options
        present = debug_options.xla_disable_hlo_passes
        debug_options.xla_disable_hlo_passes = f"{present},{disabled_passes}" if present else disabled_passes
    encoded = text.encode() if isinstance(text, str) else text
    if b"@lapack_" in encoded:
        initialize_lapack()
    if not callbacks:
        return _cached(encoded, device, options)
    # addresses in this process cannot be stored
    return compiled(encoded, device, options, [for_runtime(callback) for callback in callbacks]), False


def compile_text(text: str | bytes, device: Device, **options: Any) -> Executable:
    """The executable that ``compile_or_load`` gives."""
    return compile_or_load(text, device, **options)[0]


def _cached(text: bytes, device: Device, options: Any) -> tuple[Executable, bool]:
    folder = persistent_cache.directory()
    if folder is None:
        return compiled(text, device, options), False
    key = persistent_cache.entry_key(text, options.SerializeAsString(), *_machine(device))
    stored = persistent_cache.read(folder, key)
    if stored is not None:
        try:
            return deserialized(stored, device, options), True
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            persistent_cache.reject(folder, key, error)
    start = time.perf_counter()
    executable = compiled(text, device, options)
    persistent_cache.write(folder, key, executable.serialize(), time.perf_counter() - start)
    return executable, False


@functools.lru_cache(maxsize=64)
def _machine(device: Device) -> tuple[str, ...]:
    """What an executable depends on besides its text and options: versions, the hardware, flags of the environment."""
    client = device.client
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    versions = (*found_versions().values(), client.platform, client.platform_version)
    processor = _processor() if client.platform == "cpu" else ""
    return (*versions, device.device_kind, topology_fingerprint(device), processor, *flags)


@functools.cache
def _processor() -> str:
    """The processor's instruction set: machine code of one that has more would end in an illegal instruction.

    Linux lists the features in one short file; /proc/cpuinfo, which measures every core, would take 20 ms to open.
    """
    found = [platform.system(), platform.machine()]
    try:
        found.append(Path("/sys/devices/system/cpu/modalias").read_text(encoding="utf-8"))
    except OSError:
        found.append(platform.processor())
    return "\n".join(found)
