"""The primitives as functions, under the names and with the signatures of ``jax.lax``.

Types are strict, as there: arrays must agree in dtype (and in shape where they are not scalars); a Python number takes
the dtype of the array it meets. ``functrans.numpy`` promotes and broadcasts.
"""

# -- elementwise
from functrans.lax.elementwise import RoundingMethod as RoundingMethod
from functrans.lax.elementwise import convert_element_type as convert_element_type
from functrans.lax.elementwise import pow as pow
from functrans.lax.elementwise import round as round
from functrans.lax.elementwise import select_n as select_n
from functrans.lax.elementwise import stop_gradient as stop_gradient

# -- indexing
from functrans.lax.indexing import dynamic_index_in_dim as dynamic_index_in_dim
from functrans.lax.indexing import dynamic_slice_in_dim as dynamic_slice_in_dim
from functrans.lax.indexing import dynamic_update_index_in_dim as dynamic_update_index_in_dim
from functrans.lax.indexing import dynamic_update_slice_in_dim as dynamic_update_slice_in_dim
from functrans.lax.indexing import index_in_dim as index_in_dim
from functrans.lax.indexing import index_take as index_take
from functrans.lax.products import DotAlgorithmPreset as DotAlgorithmPreset
from functrans.lax.products import Precision as Precision

# -- shapes
from functrans.lax.shapes import broadcast_shapes as broadcast_shapes
from functrans.lax.shapes import broadcast_to_rank as broadcast_to_rank
from functrans.lax.shapes import collapse as collapse
from functrans.lax.shapes import expand_dims as expand_dims
from functrans.lax.shapes import full_like as full_like
from functrans.lax.shapes import reshape as reshape
from functrans.lax.shapes import split as split
from functrans.lax.shapes import squeeze as squeeze
from functrans.lax.shapes import zeros_like_array as zeros_like_array

# -- collectives
from functrans.ops.collectives import all_gather as all_gather
from functrans.ops.collectives import axis_index as axis_index
from functrans.ops.collectives import axis_size as axis_size
from functrans.ops.collectives import pmax as pmax
from functrans.ops.collectives import pmean as pmean
from functrans.ops.collectives import pmin as pmin
from functrans.ops.collectives import psum as psum

# -- the primitives
from functrans.ops.elementwise import abs_ as abs
from functrans.ops.elementwise import acos as acos
from functrans.ops.elementwise import acosh as acosh
from functrans.ops.elementwise import add as add
from functrans.ops.elementwise import asin as asin
from functrans.ops.elementwise import asinh as asinh
from functrans.ops.elementwise import atan as atan
from functrans.ops.elementwise import atan2 as atan2
from functrans.ops.elementwise import atanh as atanh
from functrans.ops.elementwise import and_ as bitwise_and
from functrans.ops.elementwise import bitwise_not as bitwise_not
from functrans.ops.elementwise import or_ as bitwise_or
from functrans.ops.elementwise import xor as bitwise_xor
from functrans.ops.elementwise import cbrt as cbrt
from functrans.ops.elementwise import ceil as ceil
from functrans.ops.elementwise import clamp as clamp
from functrans.ops.elementwise import clz as clz
from functrans.ops.elementwise import complex_ as complex
from functrans.ops.elementwise import conj as conj
from functrans.ops.elementwise import cos as cos
from functrans.ops.elementwise import cosh as cosh
from functrans.ops.elementwise import div as div
from functrans.ops.elementwise import eq as eq
from functrans.ops.elementwise import exp as exp
from functrans.ops.elementwise import exp2 as exp2
from functrans.ops.elementwise import expm1 as expm1
from functrans.ops.elementwise import floor as floor
from functrans.ops.elementwise import ge as ge
from functrans.ops.elementwise import gt as gt
from functrans.ops.elementwise import imag as imag
from functrans.ops.elementwise import integer_pow as integer_pow
from functrans.ops.elementwise import is_finite as is_finite
from functrans.ops.elementwise import le as le
from functrans.ops.elementwise import log as log
from functrans.ops.elementwise import log1p as log1p
from functrans.ops.elementwise import logistic as logistic
from functrans.ops.elementwise import lt as lt
from functrans.ops.elementwise import max_ as max
from functrans.ops.elementwise import min_ as min
from functrans.ops.elementwise import mul as mul
from functrans.ops.elementwise import ne as ne
from functrans.ops.elementwise import neg as neg
from functrans.ops.elementwise import nextafter as nextafter
from functrans.ops.elementwise import population_count as population_count
from functrans.ops.elementwise import real as real
from functrans.ops.elementwise import rem as rem
from functrans.ops.elementwise import rsqrt as rsqrt
from functrans.ops.elementwise import select as select
from functrans.ops.elementwise import shift_left as shift_left
from functrans.ops.elementwise import shift_right_arithmetic as shift_right_arithmetic
from functrans.ops.elementwise import shift_right_logical as shift_right_logical
from functrans.ops.elementwise import sign as sign
from functrans.ops.elementwise import sin as sin
from functrans.ops.elementwise import sinh as sinh
from functrans.ops.elementwise import sqrt as sqrt
from functrans.ops.elementwise import square as square
from functrans.ops.elementwise import sub as sub
from functrans.ops.elementwise import tan as tan
from functrans.ops.elementwise import tanh as tanh
from functrans.ops.structural import broadcast as broadcast
from functrans.ops.structural import broadcast_in_dim as broadcast_in_dim
from functrans.ops.structural import broadcasted_iota as broadcasted_iota
from functrans.ops.structural import full as full
from functrans.ops.structural import iota as iota
from functrans.ops.structural import reduce_sum as reduce_sum
from functrans.ops.structural import transpose as transpose
from functrans.ops.slicing import concatenate as concatenate
from functrans.ops.slicing import dynamic_slice as dynamic_slice
from functrans.ops.slicing import dynamic_update_slice as dynamic_update_slice
from functrans.ops.slicing import pad as pad
from functrans.ops.slicing import rev as rev
from functrans.ops.slicing import slice_ as slice
from functrans.ops.slicing import slice_in_dim as slice_in_dim
from functrans.ops.indexing import GatherDimensionNumbers as GatherDimensionNumbers
from functrans.ops.indexing import GatherScatterMode as GatherScatterMode
from functrans.ops.indexing import ScatterDimensionNumbers as ScatterDimensionNumbers
from functrans.ops.indexing import gather as gather
from functrans.ops.indexing import scatter as scatter
from functrans.ops.indexing import scatter_add as scatter_add
from functrans.ops.indexing import scatter_max as scatter_max
from functrans.ops.indexing import scatter_min as scatter_min
from functrans.ops.indexing import scatter_mul as scatter_mul
from functrans.ops.reductions import argmax as argmax
from functrans.ops.reductions import argmin as argmin
from functrans.ops.reductions import reduce_and as reduce_and
from functrans.ops.reductions import reduce_max as reduce_max
from functrans.ops.reductions import reduce_min as reduce_min
from functrans.ops.reductions import reduce_or as reduce_or
from functrans.ops.reductions import reduce_prod as reduce_prod
from functrans.ops.products import batch_matmul as batch_matmul
from functrans.ops.products import dot as dot
from functrans.ops.products import dot_general as dot_general
from functrans.ops.representation import bitcast_convert_type as bitcast_convert_type
from functrans.ops.representation import optimization_barrier as optimization_barrier
from functrans.ops.representation import reduce_precision as reduce_precision
from functrans.ops.special import digamma as digamma
from functrans.ops.special import erf as erf
from functrans.ops.special import erf_inv as erf_inv
from functrans.ops.special import erfc as erfc
from functrans.ops.special import lgamma as lgamma

# -- control flow (functrans.control)
from functrans.control.conditional import cond as cond
from functrans.control.conditional import switch as switch
from functrans.control.loops import fori_loop as fori_loop
from functrans.control.loops import map as map
from functrans.control.loops import scan as scan
from functrans.control.loops import while_loop as while_loop

# Several names drop the underscore their definitions carry (``abs_`` is ``abs``): this list is what exports them.
from functrans.trace.frames import guard_namespace

__all__ = [
    "RoundingMethod",
    "convert_element_type",
    "pow",
    "round",
    "select_n",
    "stop_gradient",
    "dynamic_index_in_dim",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice_in_dim",
    "index_in_dim",
    "index_take",
    "DotAlgorithmPreset",
    "Precision",
    "broadcast_shapes",
    "broadcast_to_rank",
    "collapse",
    "expand_dims",
    "full_like",
    "reshape",
    "split",
    "squeeze",
    "zeros_like_array",
    "all_gather",
    "axis_index",
    "axis_size",
    "pmax",
    "pmean",
    "pmin",
    "psum",
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "complex",
    "conj",
    "cos",
    "cosh",
    "div",
    "eq",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "imag",
    "integer_pow",
    "is_finite",
    "le",
    "log",
    "log1p",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "ne",
    "neg",
    "nextafter",
    "population_count",
    "real",
    "rem",
    "rsqrt",
    "select",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "tanh",
    "broadcast",
    "broadcast_in_dim",
    "broadcasted_iota",
    "full",
    "iota",
    "reduce_sum",
    "transpose",
    "concatenate",
    "dynamic_slice",
    "dynamic_update_slice",
    "pad",
    "rev",
    "slice",
    "slice_in_dim",
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "gather",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "argmax",
    "argmin",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "batch_matmul",
    "dot",
    "dot_general",
    "bitcast_convert_type",
    "optimization_barrier",
    "reduce_precision",
    "digamma",
    "erf",
    "erf_inv",
    "erfc",
    "lgamma",
    "cond",
    "switch",
    "fori_loop",
    "map",
    "scan",
    "while_loop",
]

guard_namespace(globals())
