"""What enters JAX's jit key: the configuration that we read, and two values of our own."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from functrans.jaxlib_compat.versions import private

_jax, _api, _config, _pxla = private(
    {
        "jaxlib._jax": (
            "config.Config.set_global",
            "config.Config.set_local",
            "config.Config.swap_local",
            "config.Config.value",
            "config.trace_context",
            "config.unset",
        ),
        "jax._src.api": ("_post_hook_state.set_local", "_post_hook_state.swap_local"),
        "jax._src.config": (
            "check_tracer_leaks._add_hooks",
            "check_tracer_leaks._update_global_hook",
            "check_tracer_leaks._update_thread_local_hook",
            "check_tracer_leaks.get_global",
            "check_tracer_leaks.get_local",
            "check_tracer_leaks.value",
            "check_static_indices.value",
            "allow_f16_reductions._add_hooks",
            "allow_f16_reductions._update_global_hook",
            "allow_f16_reductions._update_thread_local_hook",
            "allow_f16_reductions.get_global",
            "allow_f16_reductions.get_local",
            "allow_f16_reductions.value",
            "debug_infs._add_hooks",
            "debug_infs._update_global_hook",
            "debug_infs._update_thread_local_hook",
            "debug_infs.get_global",
            "debug_infs.get_local",
            "debug_infs.value",
            "debug_key_reuse._add_hooks",
            "debug_key_reuse._update_global_hook",
            "debug_key_reuse._update_thread_local_hook",
            "debug_key_reuse.get_global",
            "debug_key_reuse.get_local",
            "debug_key_reuse.value",
            "debug_nans._add_hooks",
            "debug_nans._update_global_hook",
            "debug_nans._update_thread_local_hook",
            "debug_nans.get_global",
            "debug_nans.get_local",
            "debug_nans.value",
            "default_matmul_precision.get_local",
            "default_matmul_precision.swap_local",
            "default_matmul_precision.value",
            "eager_constant_folding.value",
            "default_prng_impl.get_local",
            "default_prng_impl.swap_local",
            "enable_x64.get_local",
            "enable_x64.swap_local",
            "enable_x64.value",
            "explain_cache_misses.value",
            "explicit_x64_dtypes.value",
            "legacy_prng_key.value",
            "log_compiles.value",
            "no_execution._add_hooks",
            "no_execution._update_global_hook",
            "no_execution._update_thread_local_hook",
            "no_execution.get_global",
            "no_execution.get_local",
            "no_execution.value",
            "no_tracing.value",
            "numpy_dtype_promotion.get_local",
            "numpy_dtype_promotion.swap_local",
            "numpy_rank_promotion.get_local",
            "numpy_rank_promotion.swap_local",
            "numpy_rank_promotion.value",
            "random_seed_offset.value",
            "threefry_partitionable.get_local",
            "threefry_partitionable.swap_local",
        ),
        "jax._src.interpreters.pxla": ("get_default_device",),
    }
)

Device = Any


def reader(state: Any) -> Callable[[], Any]:
    """() -> the present value of a configuration state; bound to the C++ getter it costs 28 ns, as a def 53."""
    for cls in type(state).__mro__:
        getter = cls.__dict__.get("value")
        if isinstance(getter, property) and getter.fget is not None:
            return types.MethodType(getter.fget, state)
    return lambda: state.value


trace_context: Callable[[], Hashable] = _jax.config.trace_context
"""() -> a tuple of every configuration value that JAX keys its own traces on (x64, precision, default device ...)."""

x64_enabled: Callable[[], bool] = reader(_config.enable_x64)
"""() -> whether 64-bit types are enabled in this thread."""

matmul_precision: Callable[[], str | None] = reader(_config.default_matmul_precision)
"""() -> ``jax_default_matmul_precision`` of this thread."""

folds_constants: Callable[[], bool] = reader(_config.eager_constant_folding)
"""() -> whether JAX computes what no traced value enters at once (``jax.ensure_compile_time_eval``)."""

rank_promotion: Callable[[], str] = reader(_config.numpy_rank_promotion)
"""() -> ``jax_numpy_rank_promotion``: whether arrays of different ranks may meet ('allow', 'warn', 'raise')."""

checks_indices: Callable[[], bool] = reader(_config.check_static_indices)
"""() -> ``jax_check_static_indices``: whether a static index out of bounds is an error."""

refuses_tracing: Callable[[], bool] = reader(_config.no_tracing)
"""() -> ``jax_no_tracing``: whether a jitted function may not be traced again."""

seed_offset: Callable[[], int] = reader(_config.random_seed_offset)
"""() -> ``jax_random_seed_offset``: what is added to the seed of every key."""


def logs_compilations() -> bool:
    """Whether ``jax_log_compiles`` or ``jax_explain_cache_misses`` asks for compilations to be logged."""
    return bool(_config.log_compiles.value or _config.explain_cache_misses.value)


def _word(choice: Any) -> str:
    return str(choice.name).lower()


def on_words_for_keys() -> str:
    """``jax_legacy_prng_key``: 'allow', 'warn' or 'error' where words are given for a random key."""
    return _word(_config.legacy_prng_key.value)


def on_wide_dtypes() -> str:
    """``jax_explicit_x64_dtypes``: 'warn', 'error' or 'allow' where 64 bits are asked for and they are off."""
    return _word(_config.explicit_x64_dtypes.value)


default_device: Callable[[], Device] = _pxla.get_default_device
"""() -> the device of uncommitted values: ``jax.default_device`` (a device or a platform), else the first local one."""


_MEANING = (
    _config.enable_x64, _config.numpy_dtype_promotion, _config.numpy_rank_promotion, _config.default_matmul_precision,
    _config.default_prng_impl, _config.threefry_partitionable,
)  # fmt: skip
_READERS = tuple([state.get_local for state in _MEANING])


class Surroundings:
    """What the ``with`` statements around (``jax.enable_x64``, ``jax.numpy_dtype_promotion``) say of what operations
    mean, to be said again where a function runs that belongs inside of them.
    """

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = [read() for read in _READERS]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, they are as they were when this was made."""
        before = [state.swap_local(value) for state, value in zip(_MEANING, self.values, strict=True)]
        try:
            yield
        finally:
            for state, value in zip(_MEANING, before, strict=True):
                state.set_local(value)


class RecomputationBound:
    """How often a compiled program may compute a value (optimise.recomputation); None: as often as XLA likes.

    A value in JAX's configuration: what was traced and compiled under another one is not taken for it.
    """

    DEFAULT = 16  # of 4, 8, 16 and 32 the least that leaves most short programs alone (docs/unrolled.md)

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_recomputation_bound", self.DEFAULT, include_in_jit_key=True, include_in_trace_context=True
        )
        self.value: Callable[[], int | None] = reader(self._config)
        self.set: Callable[[int | None], None] = self._config.set_global


recomputation_bound = RecomputationBound()


class CollapsesNests:
    """Whether nested derivatives of a scalar function of a scalar are one operation (control.derivatives); None: those
    of smooth functions."""

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_collapses_nests", None, include_in_jit_key=True, include_in_trace_context=True
        )
        self.value: Callable[[], bool | None] = reader(self._config)
        self.set: Callable[[bool | None], None] = self._config.set_global


collapses_nests = CollapsesNests()


_REFUSED = {
    "no_execution": (RuntimeError, "jax_no_execution is set, and a program of functrans was to be run."),
    "debug_key_reuse": (
        NotImplementedError,
        "jax_debug_key_reuse is set, and functrans does not look for keys that are used twice. Leave it off, or look "
        "at the function in JAX.",
    ),
    "check_tracer_leaks": (
        NotImplementedError,
        "jax_check_tracer_leaks is set, and functrans does not look for leaks at the end of every trace. Run what is "
        "to be looked at in a block `with jax.checking_leaks():`, and leave the setting off.",
    ),
}


class _Not:
    """A setting that counts while it is False."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_global(self) -> bool:
        return not self._state.get_global()

    @property
    def value(self) -> bool:
        return not self._state.value


class ValueChecks:
    """Whether programs are not simply run: ``jax_debug_nans`` or ``jax_debug_infs`` is on, or a setting that forbids
    it, as one value in every key of traces and dispatch.

    The first two are in none of JAX's keys: JAX looks at results behind the dispatcher's back, and knows no user lines
    there.
    """

    __slots__ = ("_config", "_jax_looks", "_states", "on")

    def __init__(self) -> None:
        self._config = _jax.config.Config(
            "functrans_value_checks", False, include_in_jit_key=True, include_in_trace_context=True
        )
        self.on: Callable[[], bool] = reader(self._config)
        self._jax_looks = _api._post_hook_state
        self._states = (
            _config.debug_nans, _config.debug_infs, _config.no_execution, _config.debug_key_reuse,
            _config.check_tracer_leaks, _Not(_config.allow_f16_reductions),
        )  # fmt: skip
        for state in self._states:
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
        self._config.set_global(any(state.get_global() for state in self._states))

    def _set_local(self) -> None:
        unset = _jax.config.unset
        if all(state.get_local() is unset for state in self._states):
            self._config.set_local(unset)
        else:
            self._config.set_local(any(state.value for state in self._states))

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Neither we nor JAX look at results inside. Raises where a setting forbids to run a program."""
        for name, (error, text) in _REFUSED.items():
            if getattr(_config, name).value and not (name == "check_tracer_leaks" and _blocks.ends):
                raise error(text)
        if not _config.allow_f16_reductions.value:
            raise NotImplementedError(
                "jax_allow_f16_reductions is False, and functrans does not look for sums in half precision. Leave it "
                "on."
            )
        ours, theirs = self._config.swap_local(False), self._jax_looks.swap_local(None)
        try:
            yield
        finally:
            self._config.set_local(ours)
            self._jax_looks.set_local(theirs)


value_checks = ValueChecks()


class _Blocks(threading.local):
    """What to do at the end of the block of ``jax.checking_leaks`` that is open in this thread."""

    ends: Callable[[], None] | None = None


_blocks = _Blocks()


def watch_leaks(begin: Callable[[], Callable[[], None]]) -> None:
    """``begin()`` is called where a block of ``jax.checking_leaks`` begins, and what it returns where it ends."""
    setting = _config.check_tracer_leaks
    first = setting._update_thread_local_hook

    def hook(value: Any) -> None:
        first(value)
        ends = _blocks.ends
        if value and ends is None:
            _blocks.ends = begin()
        elif not value and ends is not None:
            _blocks.ends = None
            ends()

    setting._add_hooks(setting._update_global_hook, hook)
