"""``from_jax``: a JAX function as a function of functrans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jax.tree_util import tree_unflatten

from functrans.api.arguments import check_callable, resolve_names, tuple_of
from functrans.api.compilation import JitSettings, compiled_function
from functrans.interop.collectives import COLLECTIVES
from functrans.interop.control_flow import CONTROL_FLOW
from functrans.interop.custom_rules import CUSTOM_RULES
from functrans.interop.first_order import FIRST_ORDER
from functrans.interop.host_calls import HOST_CALLS
from functrans.interop.jax_checks import CHECKS
from functrans.interop.jax_tracing import trace_jax_function
from functrans.interop.matrices import MATRICES
from functrans.interop.other_libraries import OTHER_LIBRARIES, implementation
from functrans.interop.randomness import RANDOMNESS
from functrans.interop.spectra import SPECTRA
from functrans.interop.translation import Translator
from functrans.interop.windows_and_order import WINDOWS_AND_ORDER
from functrans.ir.cache import Cache
from functrans.ir.types import ArrayType, type_of
from functrans.jaxlib_compat import configuration
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.trace.frames import api_boundary
from functrans.trace.leaves import leaf_types

TABLE = {
    **FIRST_ORDER,
    **COLLECTIVES,
    **WINDOWS_AND_ORDER,
    **MATRICES,
    **RANDOMNESS,
    **SPECTRA,
    **CONTROL_FLOW,
    **CUSTOM_RULES,
    **HOST_CALLS,
    **CHECKS,
    **OTHER_LIBRARIES,
}
_CAPACITY = 256  # signatures that a bridged function remembers


class BridgedFunction(JitSettings):
    """A JAX function, and its programs by signature (types and tree of the arguments, static ones, configuration)."""

    __slots__ = ("programs",)

    def __init__(
        self, function: Callable[..., Any], static_argnums: tuple[int, ...], static_argnames: tuple[str, ...]
    ) -> None:
        super().__init__(function, static_argnums, static_argnames, (), (), False, True)
        self.programs = Cache(2 * _CAPACITY)

    def types(self, leaves: Sequence[Any]) -> list[ArrayType]:
        return leaf_types(leaves, lambda i: f"an argument of from_jax({self.name})")

    def call(self, tree: Any, static: Any, inputs: Sequence[Any]) -> Any:
        """Write the JAX program of this signature into the program that is being traced."""
        types = [type_of(x) for x in inputs]
        key = (tuple(types), tree, static, configuration.trace_context())
        program = self.programs.find(key)
        if program is None:
            original = super().call
            made = trace_jax_function(lambda *leaves: original(tree, static, leaves), types, self.name)
            program = made, Translator(TABLE, implementation, self.name)
            if not any(isinstance(x, JaxTracer) for x in made.closed.consts):
                program = self.programs.add(key, program)
        (closed, out_tree), translator = program
        return tree_unflatten(out_tree, translator.run(closed.jaxpr, closed.consts, inputs))


@api_boundary
def from_jax(
    fun: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
) -> Callable[..., Any]:
    """A JAX function, translated once and kept, as a function of functrans.

    The transforms of functrans take functions of JAX as they are; this saves tracing one again at each call, in a loop
    of un-jitted calls say. JAX traces the function once for each signature of its arguments; its program is written
    again with the operations of functrans, so that ``functrans.grad``, ``vmap``, ``hessian``, ``jit`` work by its
    rules. Rules that the function or an operation of another library was given in JAX (``jax.custom_jvp``,
    ``jax.custom_vjp``, a linear solver's) stay its rules. What only JAX can compile (a Pallas kernel, a foreign or
    exported function) stays one operation. Arrays that the function closes over are inputs of the program. There are no
    values on demand in it: JAX traces it once for all values.

    Args:
      fun: a function of arrays or pytrees of them that JAX can trace: made of ``jax.numpy`` and ``jax.lax``, the
        ``apply`` of a Flax module, an Equinox model, an optax update, a diffrax
        solve.
      static_argnums, static_argnames: arguments that are hashable Python values, as in ``jit``.

    Returns:
      A function of the same arguments.

    Raises:
      TypeError: the function closes over a traced value of functrans; pass it as an argument.
      NotImplementedError: it uses an operation that has no counterpart in functrans, or a transform that JAX has no
        rule for of an operation that only JAX knows; it is named with its line.

    >>> import functrans as ft, jax.numpy as jnp
    >>> slope = ft.grad(ft.from_jax(lambda x: jnp.sin(x) * x))
    >>> round(float(slope(0.0)), 6)
    0.0
    """
    check_callable(fun, "from_jax")
    numbers = tuple_of(static_argnums, int, "static_argnums")
    names = resolve_names(fun, numbers, tuple_of(static_argnames, str, "static_argnames"), "static_")
    return compiled_function(BridgedFunction(fun, *names))  # type: ignore[no-any-return]
