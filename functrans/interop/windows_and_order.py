"""The table of JAX's operations that look at many elements at once: windows, convolutions, prefixes, order, transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans import lax
from functrans.api.differentiation import jvp
from functrans.api.linear_maps import vjp
from functrans.interop.translation import Application, Emit
from functrans.ops.windowed_reductions import ReduceWindowMax, ReduceWindowMin, ReduceWindowSum
from functrans.trace.binding import bind

_GEOMETRY = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")

_CONV_OPTIONS = (
    "lhs_dilation", "rhs_dilation", "dimension_numbers", "feature_group_count", "batch_group_count", "precision",
)  # fmt: skip


def _axes(values: Any) -> tuple[int, ...]:
    return tuple([int(v) for v in values])


def _geometry(application: Application) -> tuple[Any, ...]:
    """Window, strides, padding, dilations; some of JAX's operations leave the dilations out."""
    params, rank = application.params, len(application.params["window_dimensions"])
    window, strides, padding, base, dilation = [params.get(name, (1,) * rank) for name in _GEOMETRY]
    pairs = tuple([_axes(pair) for pair in padding])
    return _axes(window), _axes(strides), pairs, _axes(base), _axes(dilation)


def _windowed(kind: Callable[..., Any]) -> Emit:
    def emit(application: Application) -> Any:
        return bind(kind(*_geometry(application)), application.operands[0])

    return emit


def _computation(application: Application, closed: Any, consts: Sequence[Any] = ()) -> Callable[[Any, Any], Any]:
    """The function of two (lists of) scalars that JAX holds as a program."""
    inner = getattr(closed, "jaxpr", closed)
    values = list(getattr(closed, "consts", ())) or list(consts)

    def computation(earlier: Any, later: Any) -> Any:
        return application.translator.run(inner, values, [*earlier, *later])

    return computation


def _halves(application: Application) -> tuple[list[Any], list[Any]]:
    half = len(application.operands) // 2
    return application.operands[:half], application.operands[half:]


def _reduce_window(application: Application) -> Any:
    params = application.params
    operands, initial = _halves(application)
    computation = _computation(application, params["jaxpr"], params.get("consts", ()))
    return lax.reduce_window(operands, initial, computation, *_geometry(application))


def _reduce(application: Application) -> Any:
    """A reduction by a function. JAX starts it from any value, ours from the one that changes nothing."""
    params = application.params
    operands, initial = _halves(application)
    computation = _computation(application, params["jaxpr"])
    if 0 in [application.in_types[0].shape[d] for d in params["dimensions"]]:
        shape = application.out_types[0].shape
        return [lax.broadcast_in_dim(x, shape) for x in initial]
    return lax.reduce(operands, initial, computation, params["dimensions"])


def _extremum(application: Application) -> Any:
    """The reduction whose places a select-and-scatter or select-and-gather is about."""
    name = str(application.params["select_prim"])
    kinds = {"ge": ReduceWindowMax, "le": ReduceWindowMin}
    if name not in kinds:
        raise application.refuse(f"a selection by {name!r} has no counterpart (ge and le have)")
    return kinds[name](*_geometry(application))


def _select_and_scatter_add(application: Application) -> Any:
    source, operand = application.operands
    kind = _extremum(application)
    return vjp(lambda x: bind(kind, x), operand)[1](source)


def _select_and_gather_add(application: Application) -> Any:
    tangent, operand = application.operands
    kind = _extremum(application)
    return jvp(lambda x: bind(kind, x), (operand,), (tangent,))[1]


def _conv(application: Application) -> Any:
    params = application.params
    options = {name: params[name] for name in _CONV_OPTIONS}
    lhs, rhs = application.operands
    options["preferred_element_type"] = application.out_types[0].dtype
    return lax.conv_general_dilated(lhs, rhs, params["window_strides"], params["padding"], **options)


def _sort(application: Application) -> Any:
    params = application.params
    return lax.sort(tuple(application.operands), params["dimension"], params["is_stable"], params["num_keys"])


def _fft(application: Application) -> Any:
    kind = application.params["fft_type"]
    name = ("fft", "ifft", "rfft", "irfft")[int(getattr(kind, "value", kind))]
    return lax.fft(application.operands[0], name, application.params["fft_lengths"])


def _prefix(name: str) -> Emit:
    function = getattr(lax, name)
    return lambda a: function(a.operands[0], a.params["axis"], a.params["reverse"])


WINDOWS_AND_ORDER: dict[str, Emit] = {
    **{name: _prefix(name) for name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")},
    "reduce_window_sum": _windowed(ReduceWindowSum),
    "reduce_window_max": _windowed(ReduceWindowMax),
    "reduce_window_min": _windowed(ReduceWindowMin),
    "reduce_window": _reduce_window,
    "reduce": _reduce,
    "select_and_scatter_add": _select_and_scatter_add,
    "select_and_gather_add": _select_and_gather_add,
    "conv_general_dilated": _conv,
    "sort": _sort,
    "top_k": lambda a: lax.top_k(a.operands[0], a.params["k"], axis=a.params.get("axis", -1)),
    "fft": _fft,
}
