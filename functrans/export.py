"""Programs that leave the process: serialised StableHLO, in the format of ``jax.export`` and readable by it.

    exported = export(jit(f), platforms=("cpu", "tpu"))(x)
    data = exported.serialize()                       # bytes for a file
    deserialize(data).call(x)                         # here, or jax.export.deserialize(data).call(x) without functrans

What the function closes over is written into the module. Reverse mode goes along when ``vjp_order`` asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export

from functrans.api.ahead_of_time import Traced, checked_platforms
from functrans.api.arguments import check_callable
from functrans.api.compilation import jit
from functrans.api.custom_rules import custom_vjp
from functrans.api.linear_maps import vjp
from functrans.api.staging import api_boundary, as_values, tree_flatten, tree_unflatten
from functrans.errors import FunctransError, FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr, Var
from functrans.ir.types import ArrayType, array_type, describe, is_key_dtype, tangent_type, type_of
from functrans.jaxlib_compat import compiler, configuration, inspection
from functrans.ops.modules import CallExported
from functrans.optimise.key_arrays import on_words
from functrans.trace.binding import bind_all
from functrans.trace.frames import function_name, here
from functrans.trace.leaves import leaf_types
from functrans.trace.replay import replay
from functrans.xla.modules import platform_module

DisabledSafetyCheck = jax.export.DisabledSafetyCheck
default_export_platform = jax.export.default_export_platform
maximum_supported_calling_convention_version = jax.export.maximum_supported_calling_convention_version
minimum_supported_calling_convention_version = jax.export.minimum_supported_calling_convention_version
register_namedtuple_serialization = jax.export.register_namedtuple_serialization
register_pytree_node_serialization = jax.export.register_pytree_node_serialization

__all__ = [
    "DisabledSafetyCheck",
    "Exported",
    "deserialize",
    "export",
    "register_namedtuple_serialization",
    "register_pytree_node_serialization",
]


class Exported:
    """A function as a module of StableHLO with the types and trees of its arguments and results.

    Attributes, with the meaning that they have in ``jax.export.Exported``: ``fun_name``, ``in_tree``, ``in_avals``,
    ``out_tree``, ``out_avals``, ``platforms``, ``nr_devices``, ``module_kept_var_idx``, ``mlir_module_serialized``,
    ``calling_convention_version``, ``disabled_safety_checks``.

    >>> import functrans as ft
    >>> from functrans.export import export
    >>> exported = export(ft.jit(lambda x: {"y": x * 2.0}))(1.0)
    >>> exported.platforms, exported.out_tree
    (('cpu',), PyTreeDef({'y': *}))
    """

    def __init__(self, found: jax.export.Exported) -> None:
        self._found = found
        self._call: Callable[..., Any] | None = None
        self.fun_name = found.fun_name
        self.in_tree, self.in_avals = found.in_tree, found.in_avals
        self.out_tree, self.out_avals = found.out_tree, found.out_avals
        self.platforms = tuple(found.platforms)
        self.nr_devices = found.nr_devices
        self.module_kept_var_idx = tuple(int(i) for i in found.module_kept_var_idx)
        self.mlir_module_serialized = found.mlir_module_serialized
        self.calling_convention_version = found.calling_convention_version
        self.disabled_safety_checks = found.disabled_safety_checks

    def __repr__(self) -> str:
        given, results = [
            ", ".join([f"{a.dtype}[{','.join(map(str, a.shape))}]" for a in avals])
            for avals in (self.in_avals, self.out_avals)
        ]
        return f"Exported({self.fun_name}: ({given}) -> ({results}) for {', '.join(self.platforms)})"

    def mlir_module(self) -> str:
        """The module as text.

        >>> import functrans as ft
        >>> from functrans.export import export
        >>> "stablehlo.multiply" in export(ft.jit(lambda x: x * 2.0))(1.0).mlir_module()
        True
        """
        return inspection.exported_text(self._found)

    def has_vjp(self) -> bool:
        """Whether ``vjp`` can make the exported pullback.

        >>> import functrans as ft
        >>> from functrans.export import export
        >>> export(ft.jit(lambda x: x * 2.0))(1.0).has_vjp()
        True
        """
        return bool(self._found.has_vjp())

    @api_boundary
    def vjp(self) -> Exported:
        """The pullback: of the flat arguments and a cotangent for each flat result, a cotangent for each argument.

        Raises ValueError where the bytes came without it.

        >>> import functrans as ft
        >>> from functrans.export import export
        >>> [float(ct) for ct in export(ft.jit(lambda x: x * x))(1.0).vjp().call(3.0, 1.0)]
        [6.0]
        """
        if not self.has_vjp():
            raise FunctransValueError(
                f"{self.fun_name} was serialised without its derivative; serialise it with vjp_order=1"
            )
        return Exported(self._found.vjp())

    @api_boundary
    def serialize(self, vjp_order: int = 0) -> bytearray:
        """Bytes that ``deserialize`` and ``jax.export.deserialize`` read.

        ``vjp_order``: how many orders of reverse mode go along. Raises ImportError without the package flatbuffers,
        ValueError for a class in the trees that is not registered for serialisation.

        >>> import functrans as ft
        >>> from functrans.export import deserialize, export
        >>> float(deserialize(export(ft.jit(lambda x: x * 2.0))(1.0).serialize()).call(4.0))
        8.0
        """
        if not isinstance(vjp_order, int) or vjp_order < 0:
            raise FunctransValueError(
                f"serialize: vjp_order is a number of orders, 0 or more, got {describe(vjp_order)}"
            )
        _need_flatbuffers()
        return self._found.serialize(vjp_order=vjp_order)

    @api_boundary
    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the function, or emit a call of it into the program being traced; it can be jitted, and differentiated in
        reverse mode where it has its vjp.

        Raises TypeError for arguments of another tree or type, ValueError on a platform that it was not exported for.

        >>> import functrans as ft
        >>> from functrans.export import export
        >>> square = export(ft.jit(lambda x: x * x))(1.0)
        >>> float(ft.grad(square.call)(3.0))
        6.0
        """
        leaves, tree = tree_flatten((args, kwargs))
        if tree != self.in_tree:
            raise FunctransTypeError(
                f"the exported function {self.fun_name} takes arguments of the tree {self.in_tree} and was given "
                f"{tree}, at {here()}\nThe tree is (positional arguments, keyword arguments), as it was exported."
            )
        leaf_types(leaves, lambda i: f"an argument of exported {self.fun_name}")
        if self._call is None:
            self._call = _flat_call(self)
        return tree_unflatten(self.out_tree, self._call(*leaves))


def _flat_call(exported: Exported) -> Callable[..., Any]:
    """flat arguments -> flat results, with the exported pullback as its derivative."""
    found = exported._found
    if found.ordered_effects or found.unordered_effects or found.nr_devices != 1:
        raise FunctransValueError(
            f"{exported.fun_name} was exported for {found.nr_devices} devices with the effects "
            f"{(*found.ordered_effects, *found.unordered_effects)}; call it by jax.export.deserialize(data).call"
        )
    operation = CallExported(
        exported.mlir_module(),
        exported.fun_name,
        _types(exported.in_avals, exported.fun_name),
        _types(exported.out_avals, exported.fun_name),
        exported.module_kept_var_idx,
        exported.platforms,
        DisabledSafetyCheck.platform() in found.disabled_safety_checks,
    )

    def plain(*leaves: Any) -> Any:
        return as_values(bind_all(operation, leaves))

    if not exported.has_vjp():
        return plain
    call = custom_vjp(plain)
    call.defvjp(
        lambda *leaves: (call(*leaves), leaves),  # itself, so that it can be differentiated again
        lambda leaves, cotangents: tuple(exported.vjp().call(*leaves, *cotangents)),
    )
    return call


def _types(avals: Sequence[Any], fun_name: str) -> tuple[ArrayType, ...]:
    for aval in avals:
        if not all(isinstance(n, int) for n in aval.shape):
            raise FunctransValueError(
                f"{fun_name} was exported with the symbolic shape {aval.shape}; functrans needs numbers, "
                "jax.export.deserialize(data).call takes any size"
            )
        if is_key_dtype(aval.dtype):
            raise FunctransValueError(
                f"{fun_name} was exported with random keys ({aval}); functrans calls modules of numbers: export it "
                "with jax.random.key_data, or use jax.export.deserialize(data).call"
            )
    return tuple(array_type(tuple(a.shape), a.dtype, bool(a.weak_type)) for a in avals)


@api_boundary
def export(
    fun_jit: Callable[..., Any],
    *,
    platforms: Sequence[str] | None = None,
    disabled_checks: Sequence[Any] = (),
) -> Callable[..., Exported]:
    """A function of the arguments (arrays, numbers or ``ShapeDtypeStruct``) that gives ``fun_jit`` exported for them.

    Args:
      fun_jit: a function made by ``functrans.jit``.
      platforms: names among cpu, cuda, rocm, tpu; None is the platform of this process.
      disabled_checks: ``DisabledSafetyCheck``s, for example of custom calls without a promise of stability.

    Returns:
      A function of the arguments, which returns an ``Exported``.

    Raises:
      TypeError: for a function that is not jitted; ValueError: for an unknown platform.

    >>> import numpy as np, functrans as ft
    >>> from functrans.export import export
    >>> exported = export(ft.jit(lambda x: x @ x.T), platforms=("cpu", "cuda"))(np.ones((2, 3), np.float32))
    >>> exported.call(np.ones((2, 3), np.float32)).shape
    (2, 2)
    """
    check_callable(fun_jit, "export")
    wanted = None if platforms is None else checked_platforms(platforms, "export", "platforms")

    @api_boundary
    def exported(*args: Any, **kwargs: Any) -> Exported:
        traced = fun_jit.trace(*args, **kwargs) if hasattr(fun_jit, "trace") else None
        if not isinstance(traced, Traced):
            raise FunctransTypeError(
                f"export takes a function made by functrans.jit, and {function_name(fun_jit)} is not one; write "
                f"export(functrans.jit({function_name(fun_jit)}))"
            )
        here_only = (compiler.lowering_platform(configuration.default_device()),)
        return Exported(_exported(traced, wanted or here_only, tuple(disabled_checks)))

    return exported


def _exported(traced: Traced, platforms: Sequence[str], disabled_checks: Sequence[Any]) -> Any:
    """The traced function as ``jax.export.Exported``."""
    jaxpr, captured = traced.jaxpr, traced.captured
    read = {a for eqn in jaxpr.equations for a in eqn.inputs if type(a) is Var} | set(jaxpr.outputs)
    taken = [i for i, v in enumerate(jaxpr.inputs) if v in read]
    count = len(captured)
    kept_jaxpr = on_words(Jaxpr([jaxpr.inputs[i] for i in taken], jaxpr.equations, jaxpr.outputs))
    constants = [words_of(captured[i]) for i in taken if i < count]
    module = platform_module(kept_jaxpr, traced.fun_name, platforms, constants=constants)
    if module.callbacks:
        raise FunctransValueError(
            f"{traced.fun_name} calls the Python function {module.callbacks[0].what or 'of a callback'}, which stays "
            "in this process: export a function without callbacks"
        )

    def pullback(_: Any) -> Any:
        def of_flat(*leaves_and_cotangents: Any) -> Any:
            leaves = leaves_and_cotangents[: len(traced.in_types)]
            _, run = vjp(lambda *flat: as_values(replay(jaxpr, [*captured, *flat])), *leaves)
            return run(list(leaves_and_cotangents[len(leaves) :]))

        types = [*traced.in_types, *[tangent_type(t) for t in jaxpr.out_types]]
        structs = [jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types]  # type: ignore[no-untyped-call]
        of_flat.__name__ = f"{traced.fun_name}_vjp"
        return _exported(jit(of_flat).trace(*structs), platforms, disabled_checks)

    try:
        return inspection.exported(
            module.text,
            traced.fun_name,
            (traced.in_tree, traced.out_tree),
            (traced.in_types, jaxpr.out_types),
            [i - count for i in taken if i >= count],
            platforms,
            disabled_checks,
            pullback,
        )
    except ValueError as error:
        if isinstance(error, FunctransError) or "compatibility guarantees" not in str(error):
            raise
        raise FunctransValueError(
            f"{traced.fun_name} calls kernels of jaxlib that later versions may not have:\n{error}\n"
            "To export it all the same: export(f, disabled_checks=[DisabledSafetyCheck.custom_call('name')])"
        ) from None


def words_of(x: Any) -> Any:
    """The words of an array of random keys; anything else itself."""
    return jax.random.key_data(x) if is_key_dtype(type_of(x).dtype) else x


@api_boundary
def deserialize(blob: bytes | bytearray) -> Exported:
    """What ``Exported.serialize`` (or that of ``jax.export``) wrote. Only for bytes that you trust: they are run.

    Raises TypeError for what is no bytes, ValueError for other bytes, ImportError without the package flatbuffers.

    >>> import functrans as ft
    >>> from functrans.export import deserialize, export
    >>> deserialize(export(ft.jit(lambda x: x * 2.0))(1.0).serialize()).fun_name
    '<lambda>'
    """
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise FunctransTypeError(f"deserialize takes bytes, got {describe(blob)}")
    _need_flatbuffers()
    try:
        return Exported(jax.export.deserialize(bytearray(blob)))
    except FunctransError:
        raise
    except Exception as error:
        raise FunctransValueError(
            f"these {len(blob)} bytes are not an exported function ({type(error).__name__}: {error}); they must be "
            "what Exported.serialize returned, whole"
        ) from error


def _need_flatbuffers() -> None:
    try:
        importlib.import_module("flatbuffers")
    except ImportError as error:
        raise ImportError(
            "exported programs are stored with the package flatbuffers: pip install flatbuffers"
        ) from error
