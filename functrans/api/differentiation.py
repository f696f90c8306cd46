"""jvp, linearize, linear_transpose, vjp, grad, value_and_grad: JAX's names, signatures and meaning."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from functrans.api.staging import (
    Staged,
    api_boundary,
    apply,
    argument_type,
    as_values,
    stage,
    tree_flatten,
    tree_structure,
    tree_unflatten,
)
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import (
    ArrayType,
    array_type,
    describe,
    float0,
    is_differentiable,
    kind_of,
    short_dtype,
    tangent_type,
    type_of,
)
from functrans.ops.structural import convert, scalar_literal, zeros
from functrans.trace.builder import Builder, Tracer, state
from functrans.trace.frames import here
from functrans.trace.primitive import Linear
from functrans.trace.replay import replay
from functrans.transform.jvp import instantiate_zero
from functrans.transform.jvp import jvp as jvp_replay
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.linearize import linearize as linearize_replay
from functrans.transform.transpose import transpose, transpose_jaxpr
from functrans.xla import execute, jaxlib_compat

_REMEDY = ""


def differentiation_order() -> int:
    """How many derivatives may still be taken of what a new differentiating trace records."""
    builder = state.builder
    return 2 if builder is None else builder.order + 1


def function_name(fun: Any) -> str:
    """A name for messages."""
    return getattr(fun, "__name__", None) or type(fun).__name__


def zero_value(type_: ArrayType) -> Any:
    """A zero tangent or cotangent of this type, as the user sees it (float0 for integers)."""
    if type_.dtype == float0 or not is_differentiable(type_.dtype):
        return np.zeros(type_.shape, float0)
    return zeros(type_.shape, type_)


def check_callable(fun: Any, what: str) -> None:
    """Raise unless the first argument is a function."""
    if not callable(fun):
        raise FunctransTypeError(f"{what} needs a function, got {describe(fun)} at {here()}")


# -- grad --------------------------------------------------------------------------------------------------------------


@api_boundary
def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that evaluates the gradient of ``fun``.

    Args:
      fun: a function of arrays or pytrees of them whose result is a scalar array ``[]`` of floating dtype (complex with
        ``holomorphic``), or a pair ``(scalar, auxiliary)`` with ``has_aux``.
      argnums: the positional argument(s) to differentiate by; a tuple gives a tuple of gradients.
      has_aux: ``fun`` returns ``(scalar, auxiliary)``; the gradient function then returns ``(gradient, auxiliary)``.
      holomorphic: ``fun`` is promised to be holomorphic; inputs and the result are complex.
      allow_int: integer arguments are allowed; their gradients have dtype float0.

    Returns:
      A function of the same arguments whose result has the tree, shapes and dtypes of the differentiated argument(s).

    Raises:
      TypeError: the result is not a scalar, or an argument has no derivative.

    >>> import functrans as ft
    >>> float(ft.grad(lambda x: x * x + x)(3.0))
    7.0
    """
    evaluate = _value_and_gradient(fun, argnums, has_aux, holomorphic, allow_int, "grad")

    @functools.wraps(fun)
    @api_boundary
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = evaluate(args, kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


@api_boundary
def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that evaluates ``fun`` and its gradient; arguments as for ``grad``.

    Returns:
      A function whose result is ``(value, gradient)``, or ``((value, auxiliary), gradient)`` with ``has_aux``.

    >>> import functrans as ft
    >>> value, slope = ft.value_and_grad(lambda x: x * x + x)(3.0)
    >>> float(value), float(slope)
    (12.0, 7.0)
    """
    evaluate = _value_and_gradient(fun, argnums, has_aux, holomorphic, allow_int, "value_and_grad")

    @functools.wraps(fun)
    @api_boundary
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        return evaluate(args, kwargs)

    return value_and_gradient


def _value_and_gradient(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
    _name: str,
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, Any]]:
    """(args, kwargs) -> (value, gradient); ``_name`` is the function the user called."""
    check_callable(fun, _name)
    single = isinstance(argnums, int)
    wanted = argument_numbers(argnums, _name)

    def evaluate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        indices = check_argnums(wanted, args, _name, fun)
        chosen = args[indices[0]] if single else tuple([args[i] for i in indices])
        leaves, tree = tree_flatten(chosen)
        types = [check_input(x, chosen, _name, holomorphic, allow_int) for x in leaves]

        def flat_fun(*inputs: Any) -> Any:
            new = tree_unflatten(tree, inputs)
            full_args = list(args)
            for i, x in zip(indices, (new,) if single else new, strict=True):
                full_args[i] = x
            result = fun(*full_args, **kwargs)
            if not has_aux:
                return check_scalar(result, _name, holomorphic)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise FunctransTypeError(
                    f"with has_aux=True the function given to {_name} must return a pair (value, auxiliary), it "
                    f"returned {describe(result)} at {here()}"
                )
            return check_scalar(result[0], _name, holomorphic), hold_objects(result[1])

        staged = stage(
            flat_fun, leaves, types, f"{_name} of {function_name(fun)}", values=True, order=differentiation_order()
        )
        results = _gradients(staged, leaves, types)
        count = len(staged.jaxpr.outputs)
        gradients = tree_unflatten(tree, [*results[count:]])
        value = tree_unflatten(staged.out_tree, results[:count])
        return release_objects(value) if has_aux else value, gradients

    return evaluate


def _gradients(staged: Staged, leaves: Sequence[Any], types: Sequence[ArrayType]) -> list[Any]:
    """Outputs of the function, then the gradient of its first output by each leaf."""
    jaxpr, captured, _ = staged
    wrt = (False,) * len(captured) + tuple([is_differentiable(t.dtype) for t in types])

    def transformed(jaxpr: Jaxpr, inputs: list[Any]) -> list[Any]:
        outs, linear = linearize_replay(jaxpr, inputs, wrt)
        kinds = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
        cotangents: list[Any] = [None] * len(kinds)
        if linear.nonzero[0]:
            out_type = jaxpr.outputs[0].type
            seed = scalar_literal(1, out_type.dtype, out_type.weak_type)
            rest = [None] * (sum(linear.nonzero) - 1)
            operands = [*linear.residuals, *[Linear(t) for t in kinds]]
            cotangents = transpose(linear.jaxpr, operands, [seed, *rest])
        slopes = [
            zeros(t.shape, t) if ct is None else convert(ct, t.dtype, t.weak_type)
            for ct, t in zip(cotangents, kinds, strict=True)
        ]
        return [*outs, *slopes]

    results = apply(("gradient", wrt), jaxpr, [*captured, *leaves], transformed, "grad")
    if len(results) != len(jaxpr.outputs) + len(types):
        slopes = iter(results[len(jaxpr.outputs) :])
        filled = [next(slopes) if is_differentiable(t.dtype) else np.zeros(t.shape, float0) for t in types]
        results = [*results[: len(jaxpr.outputs)], *filled]
    return results


def argument_numbers(argnums: Any, what: str) -> tuple[int, ...]:
    """argnums as a tuple; raises TypeError when it is neither an int nor a sequence of ints."""
    if isinstance(argnums, int):
        return (argnums,)
    if not isinstance(argnums, Sequence) or not all(hasattr(i, "__index__") for i in argnums):
        raise FunctransTypeError(
            f"argnums of {what} must be an int or a sequence of ints, got {describe(argnums)} at {here()}"
        )
    return tuple(int(i) for i in argnums)


def check_argnums(wanted: tuple[int, ...], args: Sequence[Any], what: str, fun: Any) -> tuple[int, ...]:
    """argnums made non-negative; raises ValueError or TypeError when they do not fit the call."""
    result = []
    for i in wanted:
        if not hasattr(i, "__index__"):
            raise FunctransTypeError(
                f"argnums of {what} must be an int or a sequence of ints, got {wanted!r} at {here()}"
            )
        if not -len(args) <= i < len(args):
            raise FunctransValueError(
                f"{what} of {function_name(fun)} was asked to differentiate by positional argument {i} (argnums="
                f"{wanted[0] if len(wanted) == 1 else wanted}), and the call has {len(args)} positional argument(s). "
                f"At {here()}\nKeyword arguments cannot be differentiated by: pass the argument by position."
            )
        result.append(i % len(args))
    if len(set(result)) != len(result):
        raise FunctransValueError(f"argnums={wanted} of {what} names an argument twice, at {here()}")
    return tuple(result)


def _place(x: Any, tree: Any) -> str:
    return next((keystr(path) for path, leaf in tree_flatten_with_path(tree)[0] if leaf is x), "")


def check_input(x: Any, tree: Any, what: str, holomorphic: bool, allow_int: bool) -> ArrayType:
    """The type of a differentiated leaf; raises TypeError when it has no derivative."""
    kind = type(x)
    if kind is float and not holomorphic:
        return type_of(x)
    type_ = argument_type(x, f"the argument{_place(x, tree)} of {what}")
    dtype = type_.dtype
    if holomorphic:
        if kind_of(dtype) != "c":
            raise FunctransTypeError(
                f"{what} with holomorphic=True needs complex inputs, and the argument{_place(x, tree)} has dtype "
                f"{dtype.name} at {here()}\nConvert it with .astype(complex)."
            )
    elif kind_of(dtype) == "c":
        return type_
    elif not is_differentiable(dtype) and not allow_int:
        raise FunctransTypeError(
            f"{what} needs real or complex floating inputs, and the argument{_place(x, tree)} has dtype "
            f"{short_dtype(dtype)} ({type_}) at {here()}\nConvert it to a float (3.0 instead of 3, x.astype(float)), "
            "or pass allow_int=True to get a zero derivative of dtype float0."
        )
    return type_


def check_scalar(result: Any, what: str, holomorphic: bool) -> Any:
    """The function's value; raises TypeError unless it is a floating scalar."""
    if type(result) is not Tracer:
        try:
            type_ = type_of(result)
        except FunctransTypeError:
            raise FunctransTypeError(
                f"{what} needs a function with a scalar result, and it returned {describe(result)} at {here()}\n"
                "Return one number; with extra results, return (value, extra) and pass has_aux=True."
            ) from None
    else:
        type_ = result.type
    if type_.shape != ():
        raise FunctransTypeError(
            f"{what} needs a function with a scalar result, and it returned an array of shape {type_.shape} ({type_}) "
            f"at {here()}\nReduce it (sum or mean), or use jacrev or jacfwd for the derivative of an array."
        )
    kind = kind_of(type_.dtype)
    if holomorphic and kind != "c":
        raise FunctransTypeError(f"{what} with holomorphic=True needs a complex result, got {type_} at {here()}")
    if not holomorphic and not (is_differentiable(type_.dtype) and kind != "c"):
        fix = "Pass holomorphic=True, or return its real part." if kind == "c" else "Convert it to a float."
        raise FunctransTypeError(f"{what} needs a function with a real floating result, got {type_} at {here()}\n{fix}")
    return result


@jax.tree_util.register_pytree_node_class
class _Held:
    """An auxiliary result that is no array: it passes through a transform untouched."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten(self) -> Any:
        return (), (id(self.value), self.value)

    @classmethod
    def tree_unflatten(cls, static: Any, _: Any) -> _Held:
        return cls(static[1])


def hold_objects(aux: Any) -> Any:
    """The auxiliary result with its leaves that are no arrays set aside in the tree."""
    return jax.tree_util.tree_map(lambda x: x if _is_arraylike(x) else _Held(x), aux)


def release_objects(result: Any) -> Any:
    """The result with the objects set aside by ``hold_objects`` back in their places."""
    return jax.tree_util.tree_map(
        lambda x: x.value if type(x) is _Held else x, result, is_leaf=lambda x: type(x) is _Held
    )


def _is_arraylike(x: Any) -> bool:
    return type(x) is Tracer or isinstance(x, jax.Array | np.ndarray | np.generic | bool | int | float | complex)


# -- jvp ---------------------------------------------------------------------------------------------------------------


@api_boundary
def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its directional derivative along ``tangents`` (forward mode).

    Args:
      fun: a function of positional arguments.
      primals: a tuple or list of its arguments.
      tangents: a tuple or list of the same trees, shapes and dtypes (float0 for integer arguments).
      has_aux: ``fun`` returns ``(result, auxiliary)``.

    Returns:
      ``(value, tangent of the value)``, and the auxiliary result third with ``has_aux``.

    Raises:
      TypeError: trees or dtypes of primals and tangents differ. ValueError: their shapes differ.

    >>> import functrans as ft
    >>> value, slope = ft.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    check_callable(fun, "jvp")
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise FunctransTypeError(
                f"jvp: {name} must be a tuple or list of the arguments, got {describe(value)} at {here()}"
            )
    leaves, tree = tree_flatten(tuple(primals))
    slopes, slope_tree = tree_flatten(tuple(tangents))
    if tree != slope_tree:
        raise FunctransTypeError(
            f"jvp: primals and tangents must have the same tree structure, at {here()}\n  primals:  {tree}\n  "
            f"tangents: {slope_tree}"
        )
    types = [argument_type(x, f"primals{_place(x, primals)} of jvp") for x in leaves]
    nonzero = []
    for i, (t, type_) in enumerate(zip(slopes, types, strict=True)):
        nonzero.append(check_tangent("jvp", "tangent", t, tangent_type(type_), i))
    out_tree_aux: list[Any] = []

    def flat_fun(*inputs: Any) -> Any:
        result = fun(*tree_unflatten(tree, inputs))
        return split_aux(result, "jvp", out_tree_aux) if has_aux else result

    staged = stage(flat_fun, leaves, types, f"jvp of {function_name(fun)}", values=True, order=differentiation_order())
    jaxpr, captured, out_tree = staged
    count = len(captured)
    mask = (False,) * count + tuple(nonzero)
    is_slope = [is_differentiable(t.dtype) for t in jaxpr.out_types]
    first = staged.out_tree.num_leaves if not has_aux else out_tree_aux[0]

    def transformed(jaxpr: Jaxpr, inputs: list[Any]) -> list[Any]:
        rest = iter(inputs[len(mask) :])
        ts = [next(rest) if m else None for m in mask]
        outs, out_ts = jvp_replay(jaxpr, inputs[: len(mask)], ts)
        atoms = jaxpr.outputs
        wanted = [
            convert(instantiate_zero(t, a), a.type.dtype, a.type.weak_type)
            for t, a, d in list(zip(out_ts, atoms, is_slope, strict=True))[:first]
            if d
        ]
        return [*outs, *wanted]

    given = [x for x, nz in zip(slopes, nonzero, strict=True) if nz]
    extended = jvp_signature(jaxpr, mask)
    results = apply(
        ("jvp", mask, first), extended, [*captured, *leaves, *given], lambda _, ins: transformed(jaxpr, ins), "jvp"
    )
    outs = results[: len(jaxpr.outputs)]
    rest = iter(results[len(jaxpr.outputs) :])
    out_slopes = [
        next(rest) if d else np.zeros(t.shape, float0)
        for t, d in list(zip(jaxpr.out_types, is_slope, strict=True))[:first]
    ]
    value = tree_unflatten(out_tree, outs)
    if not has_aux:
        return value, tree_unflatten(out_tree, out_slopes)
    value, aux = value
    return value, tree_unflatten(tree_structure(value), out_slopes), aux


def jvp_signature(jaxpr: Jaxpr, mask: Sequence[bool]) -> Jaxpr:
    """A program with the inputs of the jvp of ``jaxpr``, whose memo holds what is derived from it."""
    key = ("jvp signature", tuple(mask))
    known = jaxpr.memo.get(key)
    if known is None:
        extra = [type(v)(-1, v.type) for v, m in zip(jaxpr.inputs, mask, strict=True) if m]
        known = jaxpr.memo[key] = Jaxpr([*jaxpr.inputs, *extra], jaxpr.equations, jaxpr.outputs)
    return known


def split_aux(result: Any, what: str, sizes: list[int]) -> Any:
    """Check a (result, auxiliary) pair and note how many leaves belong to the result."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise FunctransTypeError(
            f"with has_aux=True the function given to {what} must return a pair (result, auxiliary), it returned "
            f"{describe(result)} at {here()}"
        )
    sizes.append(tree_structure(result[0]).num_leaves)
    return result


def check_tangent(what: str, word: str, t: Any, wanted: ArrayType, i: int) -> bool:
    """Whether a tangent (or cotangent) is given and not float0; raises when its type is wrong."""
    if isinstance(t, np.ndarray) and t.dtype == float0:
        if wanted.dtype == float0 and t.shape == wanted.shape:
            return False
        raise FunctransTypeError(f"{what}: {word} {i} has dtype float0 and its primal needs {wanted} at {here()}")
    type_ = argument_type(t, f"{word} {i} of {what}")
    if wanted.dtype == float0:
        raise FunctransTypeError(
            f"{what}: {word} {i} has type {type_}, and the value it belongs to is integer or bool, whose {word}s have "
            f"dtype float0, at {here()}\nPass np.zeros({wanted.shape}, functrans.float0)."
        )
    if type_.shape != wanted.shape:
        raise FunctransValueError(
            f"{what}: {word} {i} has shape {type_.shape} and the value it belongs to has shape {wanted.shape}, at "
            f"{here()}"
        )
    if type_.dtype != wanted.dtype and not isinstance(t, bool | int | float):
        raise FunctransTypeError(
            f"{what}: {word} {i} has dtype {short_dtype(type_.dtype)} and the value it belongs to has dtype "
            f"{short_dtype(wanted.dtype)}, at {here()}\nConvert it with .astype({wanted.dtype.name!r})."
        )
    return True


def as_type(t: Any, wanted: ArrayType) -> Any:
    """A tangent or cotangent with exactly this dtype (Python numbers and weak types adapt).

    While something is traced a number stays a number: as an array it would be captured, and nothing would fold.
    """
    if isinstance(t, bool | int | float | complex):
        if state.builder is not None:
            return scalar_literal(t, wanted.dtype, wanted.weak_type)
        return np.asarray(t, wanted.dtype)
    return t


# -- linearize and vjp -------------------------------------------------------------------------------------------------


@jax.tree_util.register_pytree_node_class
class LinearMap:
    """A linear function held as a program and its residuals: what ``linearize`` and ``vjp`` return.

    A pytree: the residuals are leaves, the program is static and compares structurally, so it passes through jit, vmap,
    cond and scan, may be stored, called many times, and differentiated.
    """

    __slots__ = (
        "direction",
        "in_tree",
        "in_types",
        "jaxpr",
        "nonzero",
        "num_residuals",
        "out_tree",
        "out_types",
        "residuals",
    )

    def __init__(
        self, direction: str, jaxpr: Jaxpr, residuals: Sequence[Any], nonzero: tuple[bool, ...],
        in_tree: Any, in_types: tuple[ArrayType, ...], out_tree: Any, out_types: tuple[ArrayType, ...],
    ) -> None:  # fmt: skip
        self.direction = direction  # "forward": tangents to tangents, "backward": cotangents to cotangents
        self.jaxpr = jaxpr  # (residuals, differentiable inputs) -> nonzero outputs
        self.residuals = residuals
        self.nonzero = nonzero
        self.in_tree, self.in_types = in_tree, in_types
        self.out_tree, self.out_types = out_tree, out_types

    def tree_flatten(self) -> Any:
        static = (self.direction, self.jaxpr, self.nonzero, self.in_tree, self.in_types, self.out_tree, self.out_types)
        return tuple(self.residuals), static

    @classmethod
    def tree_unflatten(cls, static: Any, residuals: Any) -> LinearMap:
        direction, jaxpr, *rest = static
        return cls(direction, jaxpr, residuals, *rest)

    @api_boundary
    def __call__(self, *args: Any) -> Any:
        forward = self.direction == "forward"
        if not forward and len(args) != 1:
            raise FunctransTypeError(
                f"a pullback takes one argument, the cotangent of the function's result, and was given {len(args)} at "
                f"{here()}"
            )
        what, word = ("linearized function", "tangent") if forward else ("pullback", "cotangent")
        given = args if forward else args[0]
        wanted_tree = self.in_tree if forward else self.out_tree
        leaves, tree = tree_flatten(given)
        if tree != wanted_tree:
            raise FunctransTypeError(
                f"{what}: the {word} must have the tree structure of the function's "
                f"{'arguments' if forward else 'result'}, at {here()}\n  expected: {wanted_tree}\n  given:    {tree}"
            )
        wanted = [tangent_type(t) for t in (self.in_types if forward else self.out_types)]
        values = []
        for i, (x, t) in enumerate(zip(leaves, wanted, strict=True)):
            if check_tangent(what, word, x, t, i):
                values.append(as_type(x, t))
        return self._forward(values) if forward else self._backward(values)

    def _forward(self, tangents: list[Any]) -> Any:
        outs = iter(self._apply("forward", self.jaxpr, [*self.residuals, *tangents], replay))
        wanted = [tangent_type(t) for t in self.out_types]
        leaves = [next(outs) if nz else zero_value(t) for nz, t in zip(self.nonzero, wanted, strict=True)]
        return tree_unflatten(self.out_tree, leaves)

    def _backward(self, cotangents: list[Any]) -> Any:
        linear = (False,) * len(self.residuals) + (True,) * (len(self.jaxpr.inputs) - len(self.residuals))
        differentiable = [is_differentiable(t.dtype) for t in self.out_types]
        rest = iter(cotangents)
        by_output = [next(rest) if d else None for d in differentiable]
        used = [ct for ct, nz in zip(by_output, self.nonzero, strict=True) if nz]
        program, has = transpose_jaxpr(self.jaxpr, linear, (True,) * len(used))
        results = iter(self._apply("backward", program, [*self.residuals, *used], replay))
        by_input = iter([next(results) if h else None for h in has])
        leaves = []
        for t in self.in_types:
            if not is_differentiable(t.dtype):
                leaves.append(np.zeros(t.shape, float0))
                continue
            ct = next(by_input)
            leaves.append(zero_value(t) if ct is None else ct)
        return tree_unflatten(self.in_tree, leaves)

    def _apply(self, key: str, program: Jaxpr, values: list[Any], run: Any) -> list[Any]:
        types = tuple(type_of(x) for x in values)
        if state.builder is None and all(
            t is v.type or (t.shape == v.type.shape and t.dtype == v.type.dtype)
            for t, v in zip(types, program.inputs, strict=True)
        ):
            return execute.run(program, values, key)
        values = [
            x if t is v.type else convert(x, v.type.dtype, v.type.weak_type)
            for x, t, v in zip(values, types, program.inputs, strict=True)
        ]
        return as_values(run(program, values))

    def __repr__(self) -> str:
        kind = "linearized function" if self.direction == "forward" else "pullback"
        return f"<{kind} with {len(self.residuals)} residuals, {len(self.jaxpr.equations)} equations>"


def _linear_map(fun: Callable[..., Any], primals: Sequence[Any], what: str, direction: str, has_aux: bool) -> Any:
    check_callable(fun, what)
    leaves, tree = tree_flatten(tuple(primals))
    types = [argument_type(x, f"argument{_place(x, primals)} of {what}") for x in leaves]
    sizes: list[int] = []

    def flat_fun(*inputs: Any) -> Any:
        result = fun(*tree_unflatten(tree, inputs))
        return split_aux(result, what, sizes) if has_aux else result

    staged = stage(
        flat_fun, leaves, types, f"{what} of {function_name(fun)}", values=True, order=differentiation_order()
    )
    jaxpr, captured, out_tree = staged
    wrt = (False,) * len(captured) + tuple(is_differentiable(t.dtype) for t in types)
    values = [*captured, *leaves]
    if state.builder is not None:
        outs, program = linearize_replay(jaxpr, values, wrt)
        outs = as_values(outs)
        linear, residuals, nonzero = program.jaxpr, list(program.residuals), program.nonzero
    else:
        split, extra = _linearized(jaxpr, wrt)
        results = execute.run(split.primal, [*extra, *values], what)
        residuals = split.residuals([*extra, *values], results)
        outs, linear, nonzero = results[: split.num_outputs], split.linear, split.nonzero
        residuals = [as_array(r) for r in residuals]
    value = tree_unflatten(out_tree, outs)
    out_types = jaxpr.out_types
    aux = None
    if has_aux:
        value, aux = value
        first = sizes[0]
        if any(nonzero[first:]):
            keep = [a for a, nz in zip(range(len(out_types)), nonzero, strict=True) if nz]
            linear = Jaxpr(
                linear.inputs, linear.equations, [o for o, i in zip(linear.outputs, keep, strict=True) if i < first]
            )
        nonzero, out_types = nonzero[:first], out_types[:first]
        out_tree = tree_structure(value)
    function = LinearMap(direction, linear, residuals, nonzero, tree, tuple(types), out_tree, tuple(out_types))
    return (value, function, aux) if has_aux else (value, function)


def as_array(x: Any) -> Any:
    """A residual as an array (arguments may be Python numbers)."""
    return x if isinstance(x, jax.Array) else jaxlib_compat.put(x, type_of(x), jaxlib_compat.default_device())


def _linearized(jaxpr: Jaxpr, wrt: tuple[bool, ...]) -> tuple[LinearizedJaxpr, list[Any]]:
    return linearize_jaxpr(jaxpr, wrt), []


@api_boundary
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its derivative there, as a function that may be called many times.

    Returns:
      ``(value, f_jvp)`` with ``f_jvp(*tangents)``; with ``has_aux``, ``(value, f_jvp, auxiliary)``.

    >>> import functrans as ft
    >>> value, push = ft.linearize(lambda x: x * x, 3.0)
    >>> float(push(1.0)), float(push(2.0))
    (6.0, 12.0)
    """
    return _linear_map(fun, primals, "linearize", "forward", has_aux)


@api_boundary
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its pullback: cotangent of the result -> tuple of cotangents of the
    arguments.

    The pullback is a closure over its residuals; it may be called many times, stored, passed through jit, vmap and
    scan, and is itself differentiable.

    Returns:
      ``(value, pullback)``; with ``has_aux``, ``(value, pullback, auxiliary)``.

    >>> import functrans as ft
    >>> value, pullback = ft.vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> [float(g) for g in pullback(1.0)]
    [4.0, 3.0]
    """
    return _linear_map(fun, primals, "vjp", "backward", has_aux)


@api_boundary
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[..., Any]:
    """The transpose of a function that is linear in its arguments.

    Args:
      fun: a linear function of floating arguments.
      primals: its arguments, or ``ShapeDtypeStruct``s: only shapes and dtypes count.

    Returns:
      A function: cotangent of the result -> tuple of cotangents of the arguments.

    Raises:
      NotLinearError (a TypeError): ``fun`` is not linear.

    >>> import functrans as ft
    >>> transposed = ft.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> float(transposed(2.0)[0])
    6.0
    """
    check_callable(fun, "linear_transpose")
    leaves, tree = tree_flatten(tuple(primals))
    types = [argument_type(x, f"argument{_place(x, primals)} of linear_transpose") for x in leaves]
    for t in types:
        if not is_differentiable(t.dtype):
            raise FunctransTypeError(f"linear_transpose needs floating arguments, got {t} at {here()}")
    staged = stage(
        lambda *inputs: fun(*tree_unflatten(tree, inputs)), leaves, types, f"linear_transpose of {function_name(fun)}"
    )
    jaxpr, captured, out_tree = staged
    nonzero = (True,) * len(jaxpr.outputs)
    return LinearMap("backward", jaxpr, captured, nonzero, tree, tuple(types), out_tree, jaxpr.out_types)


__all__ = [
    "Builder",
    "LinearMap",
    "array_type",
    "grad",
    "jvp",
    "linear_transpose",
    "linearize",
    "value_and_grad",
    "vjp",
]
