"""The table of JAX's first-order operations: each by the function of the same meaning in functrans.lax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.interop.translation import Application, Emit
from functrans.ir.program import Literal
from functrans.ir.types import is_differentiable, type_of
from functrans.ops import structural
from functrans.ops.reductions import argmax, argmin


def _by(function: Callable[..., Any], *options: str) -> Emit:
    """The function on the operands; ``options`` name the parameters that it takes as keyword arguments."""

    def emit(application: Application) -> Any:
        params = application.params
        return function(*application.operands, **{name: params[name] for name in options})

    return emit


def _operation(function: Callable[..., Any], *parameters: str) -> Emit:
    """The function on the operands and then on these parameters, in this order."""

    def emit(application: Application) -> Any:
        return function(*application.operands, *[application.params[name] for name in parameters])

    return emit


def _same(application: Application) -> Any:
    """An operation that changes no value: where it lives, how it is laid out, what it is called."""
    return application.operands


def _elementwise(function: Callable[..., Any]) -> Emit:
    """The function on operands of one shape: JAX lets an axis of size 1 stand for any size."""

    def emit(application: Application) -> Any:
        # The highest accuracy is that of every implementation that XLA has on CPU and GPU; jax 0.12 asks for it in the
        # derivative of erf.
        if getattr(application.params.get("accuracy"), "name", application.params.get("accuracy")) not in (
            None, "DEFAULT", "HIGHEST",
        ):  # fmt: skip
            raise application.refuse(f"a required accuracy ({application.params['accuracy']}) cannot be asked for")
        shape = application.out_types[0].shape
        return function(
            *[
                lax.broadcast_in_dim(x, shape, range(len(shape))) if t.shape and t.shape != shape else x
                for x, t in zip(application.operands, application.in_types, strict=True)
            ]
        )

    return emit


def _convert(application: Application) -> Any:
    (type_,) = application.out_types
    return structural.convert(application.operands[0], type_.dtype, type_.weak_type)


def _multiplied(application: Application) -> Any:
    """A product whose type may be asked for, from jax 0.12 on: the factors are converted to it."""
    dtype = application.out_types[0].dtype
    return _elementwise(lambda x, y: lax.mul(_converted(x, dtype), _converted(y, dtype)))(application)


def _converted(x: Any, dtype: Any) -> Any:
    return x if type_of(x).dtype == dtype else lax.convert_element_type(x, dtype)


def _reshape(application: Application) -> Any:
    if application.params.get("dimensions") is not None:
        operand = lax.transpose(application.operands[0], application.params["dimensions"])
        return lax.reshape(operand, application.params["new_sizes"])
    return lax.reshape(application.operands[0], application.params["new_sizes"])


def _shaped(application: Application) -> Any:
    """squeeze, expand_dims: the same elements in the shape of the result."""
    return lax.reshape(application.operands[0], application.out_types[0].shape)


def _broadcast(application: Application) -> Any:
    params = application.params
    dims = [int(d) for d in params["broadcast_dimensions"]]
    return lax.broadcast_in_dim(application.operands[0], params["shape"], dims)


def _dynamic_slice(application: Application) -> Any:
    operand, *starts = application.operands
    sizes = application.params["slice_sizes"]
    return lax.dynamic_slice(operand, starts, sizes, allow_negative_indices=False)


def _dynamic_update_slice(application: Application) -> Any:
    operand, update, *starts = application.operands
    return lax.dynamic_update_slice(operand, update, starts, allow_negative_indices=False)


def _gather(application: Application) -> Any:
    params = application.params
    names = ("unique_indices", "indices_are_sorted", "mode", "fill_value")
    operand, indices = application.operands
    return lax.gather(
        operand, indices, params["dimension_numbers"], params["slice_sizes"], **{name: params[name] for name in names}
    )


def _dot_general(application: Application) -> Any:
    lhs, rhs = application.operands
    params = application.params
    return lax.dot_general(
        lhs, rhs, params["dimension_numbers"], params["precision"], application.out_types[0].dtype
    )


def _iota(application: Application) -> Any:
    (type_,) = application.out_types
    return lax.broadcasted_iota(type_.dtype, type_.shape, application.params["dimension"])


def _optimization_barrier(application: Application) -> Any:
    return lax.optimization_barrier(tuple(application.operands))


def _totally_ordered(compare: Callable[..., Any]) -> Emit:
    """A comparison by IEEE's total order: -NaN < -inf < ... < -0 < +0 < ... < inf < NaN.

    Bits of a float, those behind the sign turned over where it is set, are integers in this order.
    """

    def ordered(x: Any) -> Any:
        dtype = type_of(x).dtype
        if not is_differentiable(dtype):
            return x
        integer = np.dtype(f"int{8 * dtype.itemsize}")
        bits = lax.bitcast_convert_type(x, integer)
        sign = lax.shift_right_arithmetic(bits, lax.full((), 8 * dtype.itemsize - 1, integer))
        return lax.bitwise_xor(bits, lax.bitwise_and(sign, lax.full((), np.iinfo(integer).max, integer)))

    return _elementwise(lambda x, y: compare(ordered(x), ordered(y)))


def _stack(application: Application) -> Any:
    axis = int(application.params["axis"])
    shape = application.out_types[0].shape
    part = (*shape[:axis], 1, *shape[axis + 1 :])
    return lax.concatenate([lax.reshape(x, part) for x in application.operands], axis)


def _unstack(application: Application) -> Any:
    axis = int(application.params["axis"])
    return [lax.index_in_dim(application.operands[0], i, axis, False) for i in range(len(application.out_types))]


def _tile(application: Application) -> Any:
    """``reps`` copies along each axis: every axis gets an axis of copies before it, and both become one."""
    operand, reps = application.operands[0], application.params["reps"]
    shape = application.in_types[0].shape
    spread = tuple([n for pair in zip(reps, shape, strict=True) for n in pair])
    copies = lax.broadcast_in_dim(operand, spread, [2 * i + 1 for i in range(len(shape))])
    return lax.reshape(copies, application.out_types[0].shape)


_SCATTERED = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
_set = _by(lax.scatter, *_SCATTERED)


def _scatter(application: Application) -> Any:
    """New values at the places; with a program, that of each old value (``scatter_apply``, ``.at[].apply``)."""
    params = application.params
    program = params["update_jaxpr"]
    if program is None:
        return _set(application)
    operand, indices, updates = application.operands
    given = {name: params[name] for name in _SCATTERED}
    unused = lax.full((), 0, application.in_types[2].dtype)
    return lax.scatter_apply(
        operand, indices, lambda x: application.translator.run(program, params["update_consts"], [x, unused])[0],
        update_shape=type_of(updates).shape, **given,
    )  # fmt: skip


def _scatter_sub(application: Application) -> Any:
    operand, indices, updates = application.operands
    given = {name: application.params[name] for name in _SCATTERED}
    return lax.scatter_add(operand, indices, lax.neg(updates), **given)


def _platform_index(application: Application) -> Any:
    """Which of the branches of ``platform_dependent`` the default backend takes."""
    platform = jax.default_backend()
    names = {"gpu": ("cuda", "rocm"), "cuda": ("gpu",), "rocm": ("gpu",)}.get(platform, ())
    for i, platforms in enumerate(application.params["platforms"]):
        if platforms is None or {platform, *names} & set(platforms):
            return Literal(np.int32(i), application.out_types[0])
    raise application.refuse(f"no branch for the platform {platform!r}")


def _filled(application: Application) -> Any:
    (type_,) = application.out_types
    return lax.full(type_.shape, 0, type_.dtype)


def _polynomial(x: Any, *coefficients: Any) -> Any:
    """The polynomial with these coefficients, the constant term first, by Horner's rule."""
    *rest, value = coefficients
    for coefficient in reversed(rest):
        value = lax.add(lax.mul(value, x), coefficient)  # a coefficient may be a literal, which has no operators
    return value


def _upper_half_of_product(x: Any, y: Any) -> Any:
    """The upper half of the bits of a product of integers, from the four products of their halves.

    With x = a B + b and y = c B + d the product is a c B^2 + (a d + b c) B + b d. Only the upper halves carry a sign.
    """
    dtype = type_of(x).dtype
    half = 4 * dtype.itemsize
    shift = lax.shift_right_arithmetic if dtype.kind == "i" else lax.shift_right_logical
    count, mask = np.asarray(half, dtype), np.asarray((1 << half) - 1, dtype)
    (a, b), (c, d) = [(shift(z, lax.full_like(z, count)), z & mask) for z in (x, y)]
    low = lax.shift_right_logical(b * d, lax.full_like(b, count))
    first = a * d + low
    second = b * c + (first & mask)
    return a * c + shift(first, lax.full_like(first, count)) + shift(second, lax.full_like(second, count))


def _approximate_top_k(application: Application) -> Any:
    """JAX may miss some of the largest elements; this finds them all, as JAX does on CPU."""
    params = application.params
    find = lax.approx_max_k if params["is_max_k"] else lax.approx_min_k
    if not params["aggregate_to_topk"]:
        raise application.refuse("results that are not aggregated (aggregate_to_topk=False) have no counterpart")
    return find(application.operands[0], params["k"], params["reduction_dimension"], params["recall_target"])


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    name: getattr(lax, name)
    for name in (
        "abs acos acosh add asin asinh atan atan2 atanh ceil clamp clz complex conj cosh digamma div eq erf erf_inv "
        "erfc floor ge gt imag is_finite le lgamma lt max min ne neg nextafter population_count pow real rem "
        "select_n shift_left shift_right_arithmetic shift_right_logical sign sinh square sub stop_gradient cbrt "
        "zeta polygamma bessel_i0e bessel_i1e igamma igammac igamma_grad_a random_gamma_grad "
        "cos exp exp2 expm1 log log1p logistic reciprocal rsqrt sin sqrt tan tanh"
    ).split()
} | {
    "and": lax.bitwise_and, "or": lax.bitwise_or, "xor": lax.bitwise_xor, "not": lax.bitwise_not, "add_any": lax.add,
    "regularized_incomplete_beta": lax.betainc, "log2": fnp.log2,
    "one_minus_square": lambda x: lax.mul(lax.add(1, x), lax.sub(1, x)),
    "polynomial": _polynomial, "mulhi": _upper_half_of_product,
}  # fmt: skip
_REDUCTIONS = "reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor".split()
_SCATTERS = {
    "scatter-add": lax.scatter_add, "scatter-mul": lax.scatter_mul,
    "scatter-min": lax.scatter_min, "scatter-max": lax.scatter_max,
}  # fmt: skip
_PLACEMENT = (
    "copy", "copy_p", "device_put", "sharding_constraint", "mesh_cast", "reshard", "pvary", "pcast",
    "layout_constraint", "with_memory_space_constraint", "relayout", "pin", "unpin", "stage", "reduced_vary_cast",
    "reduced_vary_cast_p", "vary_unreduced_cast", "vary_unreduced_cast_p", "preduced", "xla_metadata_value",
)  # fmt: skip

FIRST_ORDER: dict[str, Emit] = {
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
    **{name: _by(function, *_SCATTERED) for name, function in _SCATTERS.items()},
    "scatter": _scatter,
    **{name: _operation(getattr(lax, name), "axes") for name in _REDUCTIONS},
    **dict.fromkeys(_PLACEMENT, _same),
    "mul": _multiplied,
    "integer_pow": _operation(lax.integer_pow, "y"),
    "round": _operation(lax.round, "rounding_method"),
    "convert_element_type": _convert,
    "bitcast_convert_type": _operation(lax.bitcast_convert_type, "new_dtype"),
    "reduce_precision": _operation(lax.reduce_precision, "exponent_bits", "mantissa_bits"),
    "optimization_barrier": _optimization_barrier,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _shaped,
    "expand_dims": _shaped,
    "transpose": _operation(lax.transpose, "permutation"),
    "iota": _iota,
    "rev": _operation(lax.rev, "dimensions"),
    "slice": _operation(lax.slice, "start_indices", "limit_indices", "strides"),
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "pad": _operation(lax.pad, "padding_config"),
    "concatenate": lambda a: lax.concatenate(a.operands, a.params["dimension"]),
    "split": _operation(lax.split, "sizes", "axis"),
    "gather": _gather,
    "scatter-sub": _scatter_sub,
    "eq_to": _totally_ordered(lax.eq),
    "le_to": _totally_ordered(lax.le),
    "lt_to": _totally_ordered(lax.lt),
    "stack": _stack,
    "unstack": _unstack,
    "tile": _tile,
    "broadcast_to": lambda a: lax.broadcast_in_dim(a.operands[0], a.out_types[0].shape),
    "platform_index": _platform_index,
    **dict.fromkeys(("empty", "empty2"), _filled),
    "dot_general": _dot_general,
    "approx_top_k": _approximate_top_k,
    "tie": lambda a: a.operands[1],
    "dce_sink": lambda a: [],
    "argmax": lambda a: argmax(a.operands[0], a.params["axes"][0], a.params["index_dtype"]),
    "argmin": lambda a: argmin(a.operands[0], a.params["axes"][0], a.params["index_dtype"]),
}
