"""The C++ function behind the public ``jit``: signatures looked up without Python."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from functrans.jaxlib_compat.executors import FastPathRecord, executor_signatures, shard_argument
from functrans.jaxlib_compat.tracing import evaluates
from functrans.jaxlib_compat.versions import private

_jax, _tree_util = private(
    {
        "jaxlib._jax": ("PjitFunction._clear_cache", "PjitFunctionCache.clear", "pjit"),
        "jax._src.tree_util": ("dispatch_registry",),
    }
)

_dispatch_registry: Any = _tree_util.dispatch_registry
_jit_signatures: Any = _jax.PjitFunctionCache(capacity=8192)  # as executor_signatures


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
            forget()
            shown = on_error(error)
            try:
                raise shown from shown.__cause__
            finally:
                del shown  # its traceback holds this frame
        except BaseException:
            forget()
            raise
        return outputs, record if record is None or evaluates() else None, remove

    call = _jax.pjit(
        name,
        _weakly_held(fun),
        guarded,
        list(static_argnums),
        list(static_argnames),
        key,
        _dispatch_registry,
        shard_argument,
        _jit_signatures,
    )
    # Weakly: what a function closes over lives as long as the function, and not until the next collection of cycles.
    own = Weakly(call)

    def forget() -> None:
        if (alive := own()) is not None:
            alive._clear_cache()

    return call


class Weakly:
    """A weak reference, called for its object, that is pickled with it."""

    __slots__ = ("_reference",)

    def __init__(self, value: Any) -> None:
        self._reference = weakref.ref(value)

    def __call__(self) -> Any:
        return self._reference()

    def __reduce__(self) -> Any:
        return Weakly, (self(),)


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of an object that owns, and outlives, what calls it."""
    owner, function = Weakly(method.__self__), method.__func__  # type: ignore[attr-defined]
    return lambda *args, **kwargs: function(owner(), *args, **kwargs)


def _weakly_held(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or a stand-in for one that no weak reference can be made to (``np.sin``, a class with slots): the
    cache of signatures makes one, and what is left of it when that fails crashes the process later.
    """
    try:
        weakref.ref(fun)
    except TypeError:
        return functools.partial(fun)
    return fun


def clear_all() -> None:
    """Forget every signature of every callable of :func:`jit_function` and of ``executors.executor``."""
    _jit_signatures.clear()
    executor_signatures.clear()


def clear(function: Any) -> None:
    """Forget the signatures that a callable of :func:`jit_function` or of ``executors.executor`` has seen."""
    function._clear_cache()
