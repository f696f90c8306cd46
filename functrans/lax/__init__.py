"""The primitives as functions, under the names and with the signatures of ``jax.lax``.

Types are strict, as there: arrays must agree in dtype (and in shape where they are not scalars); a Python number takes
the dtype of the array it meets. ``functrans.numpy`` promotes and broadcasts.
"""

from jax.lax import ConvGeneralDilatedDimensionNumbers as ConvGeneralDilatedDimensionNumbers
from jax.lax import DotDimensionNumbers as DotDimensionNumbers
from jax.lax import PrecisionLike as PrecisionLike

from functrans.api.associative_scan import associative_scan as associative_scan
from functrans.api.conditional import cond as cond
from functrans.api.conditional import switch as switch
from functrans.api.custom_root import custom_root as custom_root
from functrans.api.linear_solve import custom_linear_solve as custom_linear_solve
from functrans.api.loops import fori_loop as fori_loop
from functrans.api.loops import map as map
from functrans.api.loops import scan as scan
from functrans.api.loops import while_loop as while_loop
from functrans.api.reduce import reduce as reduce
from functrans.jaxlib_compat.operations import jax_operation
from functrans.lax import linalg as linalg
from functrans.lax.convolution import conv as conv
from functrans.lax.convolution import conv_dimension_numbers as conv_dimension_numbers
from functrans.lax.convolution import conv_general_dilated as conv_general_dilated
from functrans.lax.convolution import conv_general_dilated_local as conv_general_dilated_local
from functrans.lax.convolution import conv_general_dilated_patches as conv_general_dilated_patches
from functrans.lax.convolution import conv_general_permutations as conv_general_permutations
from functrans.lax.convolution import conv_general_shape_tuple as conv_general_shape_tuple
from functrans.lax.convolution import conv_shape_tuple as conv_shape_tuple
from functrans.lax.convolution import conv_transpose as conv_transpose
from functrans.lax.convolution import conv_transpose_shape_tuple as conv_transpose_shape_tuple
from functrans.lax.convolution import conv_with_general_padding as conv_with_general_padding
from functrans.lax.elementwise import RoundingMethod as RoundingMethod
from functrans.lax.elementwise import atan2 as atan2
from functrans.lax.elementwise import conj as conj
from functrans.lax.elementwise import convert_element_type as convert_element_type
from functrans.lax.elementwise import pow as pow
from functrans.lax.elementwise import reciprocal as reciprocal
from functrans.lax.elementwise import round as round
from functrans.lax.elementwise import select_n as select_n
from functrans.lax.elementwise import stop_gradient as stop_gradient
from functrans.lax.fourier import FftType as FftType
from functrans.lax.fourier import fft as fft
from functrans.lax.incomplete_beta import betainc as betainc
from functrans.lax.incomplete_gamma import igamma as igamma
from functrans.lax.incomplete_gamma import igamma_grad_a as igamma_grad_a
from functrans.lax.incomplete_gamma import igammac as igammac
from functrans.lax.incomplete_gamma import random_gamma_grad as random_gamma_grad
from functrans.lax.indexing import dynamic_index_in_dim as dynamic_index_in_dim
from functrans.lax.indexing import dynamic_slice_in_dim as dynamic_slice_in_dim
from functrans.lax.indexing import dynamic_update_index_in_dim as dynamic_update_index_in_dim
from functrans.lax.indexing import dynamic_update_slice_in_dim as dynamic_update_slice_in_dim
from functrans.lax.indexing import index_in_dim as index_in_dim
from functrans.lax.indexing import index_take as index_take
from functrans.lax.indexing import scatter_apply as scatter_apply
from functrans.lax.placement import broadcast_like as broadcast_like
from functrans.lax.placement import composite as composite
from functrans.lax.placement import dce_sink as dce_sink
from functrans.lax.placement import dtype as dtype
from functrans.lax.placement import platform_dependent as platform_dependent
from functrans.lax.placement import stage as stage
from functrans.lax.placement import with_sharding_constraint as with_sharding_constraint
from functrans.lax.polynomials import log2 as log2
from functrans.lax.polynomials import one_minus_square as one_minus_square
from functrans.lax.polynomials import polynomial as polynomial
from functrans.lax.products import AccuracyMode as AccuracyMode
from functrans.lax.products import DotAlgorithm as DotAlgorithm
from functrans.lax.products import DotAlgorithmPreset as DotAlgorithmPreset
from functrans.lax.products import Precision as Precision
from functrans.lax.products import Tolerance as Tolerance
from functrans.lax.segments import segment_max as segment_max
from functrans.lax.segments import segment_min as segment_min
from functrans.lax.segments import segment_prod as segment_prod
from functrans.lax.segments import segment_sum as segment_sum
from functrans.lax.shapes import broadcast_shapes as broadcast_shapes
from functrans.lax.shapes import broadcast_to_rank as broadcast_to_rank
from functrans.lax.shapes import collapse as collapse
from functrans.lax.shapes import empty as empty
from functrans.lax.shapes import expand_dims as expand_dims
from functrans.lax.shapes import full_like as full_like
from functrans.lax.shapes import reshape as reshape
from functrans.lax.shapes import shape_as_value as shape_as_value
from functrans.lax.shapes import split as split
from functrans.lax.shapes import squeeze as squeeze
from functrans.lax.shapes import stack as stack
from functrans.lax.shapes import tile as tile
from functrans.lax.shapes import unstack as unstack
from functrans.lax.shapes import zeros_like_array as zeros_like_array
from functrans.lax.wide_products import RaggedDotDimensionNumbers as RaggedDotDimensionNumbers
from functrans.lax.wide_products import mulhi as mulhi
from functrans.lax.wide_products import ragged_dot as ragged_dot
from functrans.lax.wide_products import ragged_dot_general as ragged_dot_general
from functrans.lax.wide_products import scaled_dot as scaled_dot
from functrans.lax.windowed import padtype_to_pads as padtype_to_pads
from functrans.lax.windowed import reduce_window as reduce_window
from functrans.lax.windowed import reduce_window_shape_tuple as reduce_window_shape_tuple
from functrans.ops.arithmetic import abs_ as abs
from functrans.ops.arithmetic import ceil as ceil
from functrans.ops.arithmetic import clamp as clamp
from functrans.ops.arithmetic import floor as floor
from functrans.ops.arithmetic import integer_pow as integer_pow
from functrans.ops.arithmetic import max_ as max
from functrans.ops.arithmetic import min_ as min
from functrans.ops.arithmetic import nextafter as nextafter
from functrans.ops.arithmetic import rem as rem
from functrans.ops.arithmetic import sign as sign
from functrans.ops.arithmetic import square as square
from functrans.ops.bessel import bessel_i0e as bessel_i0e
from functrans.ops.bessel import bessel_i1e as bessel_i1e
from functrans.ops.collectives import all_gather as all_gather
from functrans.ops.collectives import all_to_all as all_to_all
from functrans.ops.collectives import axis_index as axis_index
from functrans.ops.collectives import axis_size as axis_size
from functrans.ops.collectives import pbroadcast as pbroadcast
from functrans.ops.collectives import pmax as pmax
from functrans.ops.collectives import pmean as pmean
from functrans.ops.collectives import pmin as pmin
from functrans.ops.collectives import ppermute as ppermute
from functrans.ops.collectives import pshuffle as pshuffle
from functrans.ops.collectives import psum as psum
from functrans.ops.collectives import psum_scatter as psum_scatter
from functrans.ops.collectives import pswapaxes as pswapaxes
from functrans.ops.complex_numbers import complex_ as complex
from functrans.ops.complex_numbers import imag as imag
from functrans.ops.complex_numbers import real as real
from functrans.ops.convolution import ConvDimensionNumbers as ConvDimensionNumbers
from functrans.ops.cumulative import cumlogsumexp as cumlogsumexp
from functrans.ops.cumulative import cummax as cummax
from functrans.ops.cumulative import cummin as cummin
from functrans.ops.cumulative import cumprod as cumprod
from functrans.ops.cumulative import cumsum as cumsum
from functrans.ops.dynamic_slicing import dynamic_slice as dynamic_slice
from functrans.ops.dynamic_slicing import dynamic_update_slice as dynamic_update_slice
from functrans.ops.elementwise import add as add
from functrans.ops.elementwise import div as div
from functrans.ops.elementwise import mul as mul
from functrans.ops.elementwise import neg as neg
from functrans.ops.elementwise import sub as sub
from functrans.ops.exponentials import acosh as acosh
from functrans.ops.exponentials import asinh as asinh
from functrans.ops.exponentials import atanh as atanh
from functrans.ops.exponentials import cosh as cosh
from functrans.ops.exponentials import exp2 as exp2
from functrans.ops.exponentials import logistic as logistic
from functrans.ops.exponentials import sinh as sinh
from functrans.ops.exponentials import tanh as tanh
from functrans.ops.functions import acos as acos
from functrans.ops.functions import asin as asin
from functrans.ops.functions import atan as atan
from functrans.ops.functions import cbrt as cbrt
from functrans.ops.functions import cos as cos
from functrans.ops.functions import exp as exp
from functrans.ops.functions import expm1 as expm1
from functrans.ops.functions import log as log
from functrans.ops.functions import log1p as log1p
from functrans.ops.functions import rsqrt as rsqrt
from functrans.ops.functions import sin as sin
from functrans.ops.functions import sqrt as sqrt
from functrans.ops.functions import tan as tan
from functrans.ops.indexing import gather as gather
from functrans.ops.indexing import scatter as scatter
from functrans.ops.indexing import scatter_add as scatter_add
from functrans.ops.logic import and_ as bitwise_and
from functrans.ops.logic import bitwise_not as bitwise_not
from functrans.ops.logic import clz as clz
from functrans.ops.logic import eq as eq
from functrans.ops.logic import ge as ge
from functrans.ops.logic import gt as gt
from functrans.ops.logic import is_finite as is_finite
from functrans.ops.logic import le as le
from functrans.ops.logic import lt as lt
from functrans.ops.logic import ne as ne
from functrans.ops.logic import or_ as bitwise_or
from functrans.ops.logic import population_count as population_count
from functrans.ops.logic import select as select
from functrans.ops.logic import shift_left as shift_left
from functrans.ops.logic import shift_right_arithmetic as shift_right_arithmetic
from functrans.ops.logic import shift_right_logical as shift_right_logical
from functrans.ops.logic import xor as bitwise_xor
from functrans.ops.products import batch_matmul as batch_matmul
from functrans.ops.products import dot as dot
from functrans.ops.products import dot_general as dot_general
from functrans.ops.random_bits import RandomAlgorithm as RandomAlgorithm
from functrans.ops.random_bits import rng_bit_generator as rng_bit_generator
from functrans.ops.reductions import argmax as argmax
from functrans.ops.reductions import argmin as argmin
from functrans.ops.reductions import reduce_and as reduce_and
from functrans.ops.reductions import reduce_max as reduce_max
from functrans.ops.reductions import reduce_min as reduce_min
from functrans.ops.reductions import reduce_or as reduce_or
from functrans.ops.reductions import reduce_prod as reduce_prod
from functrans.ops.reductions import reduce_xor as reduce_xor
from functrans.ops.representation import bitcast_convert_type as bitcast_convert_type
from functrans.ops.representation import optimization_barrier as optimization_barrier
from functrans.ops.representation import reduce_precision as reduce_precision
from functrans.ops.scatters import scatter_max as scatter_max
from functrans.ops.scatters import scatter_min as scatter_min
from functrans.ops.scatters import scatter_mul as scatter_mul
from functrans.ops.scatters import scatter_sub as scatter_sub
from functrans.ops.slicing import concatenate as concatenate
from functrans.ops.slicing import pad as pad
from functrans.ops.slicing import rev as rev
from functrans.ops.slicing import slice_ as slice
from functrans.ops.slicing import slice_in_dim as slice_in_dim
from functrans.ops.sorting import approx_max_k as approx_max_k
from functrans.ops.sorting import approx_min_k as approx_min_k
from functrans.ops.sorting import sort as sort
from functrans.ops.sorting import sort_key_val as sort_key_val
from functrans.ops.sorting import top_k as top_k
from functrans.ops.special import digamma as digamma
from functrans.ops.special import erf as erf
from functrans.ops.special import erf_inv as erf_inv
from functrans.ops.special import erfc as erfc
from functrans.ops.special import lgamma as lgamma
from functrans.ops.special import polygamma as polygamma
from functrans.ops.special import zeta as zeta
from functrans.ops.structural import broadcast as broadcast
from functrans.ops.structural import broadcast_in_dim as broadcast_in_dim
from functrans.ops.structural import broadcasted_iota as broadcasted_iota
from functrans.ops.structural import full as full
from functrans.ops.structural import iota as iota
from functrans.ops.structural import reduce_sum as reduce_sum
from functrans.ops.structural import transpose as transpose
from functrans.ops.windows import GatherDimensionNumbers as GatherDimensionNumbers
from functrans.ops.windows import GatherScatterMode as GatherScatterMode
from functrans.ops.windows import ScatterDimensionNumbers as ScatterDimensionNumbers
from functrans.trace.frames import guard_namespace

__all__ = [
    "AccuracyMode", "ConvDimensionNumbers", "DotAlgorithm", "DotAlgorithmPreset", "FftType", "GatherDimensionNumbers",
    "GatherScatterMode", "Precision", "RaggedDotDimensionNumbers", "RandomAlgorithm", "RoundingMethod",
    "ScatterDimensionNumbers", "Tolerance", "abs", "acos", "acosh", "add", "all_gather", "all_to_all", "approx_max_k",
    "approx_min_k", "argmax", "argmin", "asin", "asinh", "associative_scan", "atan", "atan2", "atanh", "axis_index",
    "axis_size", "batch_matmul", "bessel_i0e", "bessel_i1e", "betainc", "bitcast_convert_type", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "broadcast", "broadcast_in_dim", "broadcast_like", "broadcast_shapes",
    "broadcast_to_rank", "broadcasted_iota", "cbrt", "ceil", "clamp", "clz", "collapse", "complex", "composite",
    "concatenate", "cond", "conj", "conv", "conv_dimension_numbers", "conv_general_dilated",
    "conv_general_dilated_local", "conv_general_dilated_patches", "conv_general_permutations",
    "conv_general_shape_tuple", "conv_shape_tuple", "conv_transpose", "conv_transpose_shape_tuple",
    "conv_with_general_padding", "convert_element_type", "cos", "cosh", "cumlogsumexp", "cummax", "cummin", "cumprod",
    "cumsum", "custom_linear_solve", "custom_root", "dce_sink", "digamma", "div", "dot", "dot_general", "dtype",
    "dynamic_index_in_dim", "dynamic_slice", "dynamic_slice_in_dim", "dynamic_update_index_in_dim",
    "dynamic_update_slice", "dynamic_update_slice_in_dim", "empty", "eq", "erf", "erf_inv", "erfc", "exp", "exp2",
    "expand_dims", "expm1", "fft", "floor", "fori_loop", "full", "full_like", "gather", "ge", "gt", "igamma",
    "igamma_grad_a", "igammac", "imag", "index_in_dim", "index_take", "integer_pow", "iota", "is_finite", "le",
    "lgamma", "linalg", "log", "log1p", "log2", "logistic", "lt", "map", "max", "min", "mul", "mulhi", "ne", "neg",
    "nextafter", "one_minus_square", "optimization_barrier", "pad", "padtype_to_pads", "pbroadcast",
    "platform_dependent", "pmax", "pmean", "pmin", "polygamma", "polynomial", "population_count", "pow", "ppermute",
    "pshuffle", "psum", "psum_scatter", "pswapaxes", "ragged_dot", "ragged_dot_general", "random_gamma_grad", "real",
    "reciprocal", "reduce", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_precision", "reduce_prod",
    "reduce_sum", "reduce_window", "reduce_window_shape_tuple", "reduce_xor", "rem", "reshape", "rev",
    "rng_bit_generator", "round", "rsqrt", "scaled_dot", "scan", "scatter", "scatter_add", "scatter_apply",
    "scatter_max", "scatter_min", "scatter_mul", "scatter_sub", "segment_max", "segment_min", "segment_prod",
    "segment_sum", "select", "select_n", "shape_as_value", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "sign", "sin", "sinh", "slice", "slice_in_dim", "sort", "sort_key_val", "split", "sqrt",
    "square", "squeeze", "stack", "stage", "stop_gradient", "sub", "switch", "tan", "tanh", "tile", "top_k",
    "transpose", "unstack", "while_loop", "with_sharding_constraint", "zeros_like_array", "zeta",
]  # fmt: skip

guard_namespace(globals())


_OF_JAX = frozenset("after_all create_token pcast ragged_all_to_all rng_uniform".split())


def __getattr__(name: str) -> object:
    """JAX's own operations (``add_p``), which take traced values: for programs that bind them; and functions that give
    nothing but one of them.
    """
    return jax_operation("lax", name, _OF_JAX)
