"""Every public function of lax, numpy, nn and scipy.special is held to the last digits, or it is said why not.

A new name fails here until it has a row in elementwise_table or test_mixed_derivatives_to_the_last_digits, or a reason.
"""

from __future__ import annotations

import types
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from functrans.scipy import special
from tests.oracle import elementwise_table
from tests.oracle.special_table import SPECIAL_ROWS
from tests.oracle.test_mixed_derivatives_to_the_last_digits import PAIRS

ROWS = {**elementwise_table.ROWS, **SPECIAL_ROWS}
NAMESPACES = {"lax": lax, "numpy": fnp, "nn": nn, "special": special}

# The row of a function that has another name than it.
ROW_OF = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "atan2": "arctan2", "pow": "power", "float_power": "power", "true_divide": "divide",
    "div": "divide", "mul": "multiply", "swish": "silu", "sigmoid": "logistic", "expit": "logistic",
    "erf_inv": "erfinv", "lgamma": "gammaln", "bessel_i0e": "i0e", "bessel_i1e": "i1e", "integer_pow": "x**3",
    "igamma": "igamma by x", "igammac": "igammac by x", "gammainc": "igamma by x", "gammaincc": "igammac by x",
    "betainc": "betainc by x", "polygamma": "trigamma", "owens_t": "owens_t by h", "sici": "sici, sine",
    "fresnel": "fresnel, sine", "expn": "expn, order 1", "jv": "jv, order 2.25", "yv": "yv, order 2.25",
    "iv": "iv, order 2.25", "ive": "ive, order 2.25", "kv": "kv, order 2.25", "kve": "kve, order 2.25",
    "airy": "airy, first", "hyp1f1": "hyp1f1 by x", "hyp2f1": "hyp2f1 by x",
}  # fmt: skip

NOT_HELD = {
    "linear: the derivative is a number": """
        add array asarray astype complex conj conjugate convert_element_type copy deg2rad degrees identity imag
        ldexp neg negative optimization_barrier positive rad2deg radians real reduce_precision stop_gradient sub
        subtract
    """,
    "linear or constant in pieces": """
        abs absolute angle around ceil choose clamp clip copysign divmod fabs fix floor floor_divide fmax fmin
        fmod frexp gammasgn hard_sigmoid hard_tanh heaviside interp leaky_relu max maximum min minimum mod modf
        nan_to_num nextafter piecewise relu relu6 rem remainder rint round select select_n sign signbit spacing
        sparse_sigmoid trunc unwrap where
    """,
    "a polynomial in pieces, of the second degree": """
        one_minus_square polynomial
        glu hard_silu hard_swish sparse_plus
    """,
    "of integers, bools or bits": """
        bitcast_convert_type bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
        bitwise_right_shift bitwise_xor clz eq equal gcd ge greater greater_equal gt invert is_finite isclose
        iscomplex isfinite isinf isnan isneginf isposinf isreal lcm le left_shift less less_equal logical_and
        logical_not logical_or logical_xor lt mulhi ne not_equal packbits population_count right_shift shift_left
        shift_right_arithmetic shift_right_logical unpackbits
    """,
    "derivatives of igamma: of these that by its parameter, and the same over its derivative": """
        igamma_grad_a random_gamma_grad
    """,
    "held against mpmath and SciPy in tests/scipy/test_special_values.py": """
        bernoulli bessel_jn loggamma lpmn lpmn_values sph_harm_y struve wofz
    """,
    "not elementwise": """
        broadcast_like composite dce_sink dtype frompyfunc minmax platform_dependent ragged_dot
        ragged_dot_general scaled_dot stage
        get_scaled_dot_general_config scaled_dot_general scaled_matmul
        with_sharding_constraint
        all all_gather all_to_all allclose amax amin any append apply_along_axis apply_over_axes approx_max_k
        approx_min_k arange argmax argmin argpartition argsort argwhere array_equal array_equiv array_repr
        array_split array_str associative_scan atleast_1d atleast_2d atleast_3d average axis_index axis_size
        bartlett batch_matmul bincount blackman block broadcast broadcast_arrays broadcast_in_dim
        broadcast_shapes broadcast_to broadcast_to_rank broadcasted_iota can_cast collapse column_stack compress
        concat concatenate cond conv conv_dimension_numbers conv_general_dilated conv_general_dilated_local
        conv_general_dilated_patches conv_general_permutations conv_general_shape_tuple conv_shape_tuple
        conv_transpose conv_transpose_shape_tuple conv_with_general_padding convolve corrcoef correlate
        count_nonzero cov cross cumlogsumexp cummax cummin cumprod cumsum cumulative_prod cumulative_sum
        custom_linear_solve custom_root delete diag diag_indices diag_indices_from diagflat diagonal diff
        digitize dot dot_general dot_product_attention dsplit dstack dynamic_index_in_dim dynamic_slice
        dynamic_slice_in_dim dynamic_update_index_in_dim dynamic_update_slice dynamic_update_slice_in_dim
        ediff1d einsum einsum_path empty empty_like expand_dims extract eye fft fill_diagonal flatnonzero flip
        fliplr flipud fori_loop from_dlpack frombuffer fromfile fromfunction fromiter fromstring full full_like
        gather geomspace get_printoptions gradient hamming hanning histogram histogram2d histogram_bin_edges
        histogramdd hsplit hstack index_in_dim index_take indices inner insert intersect1d iota iscomplexobj
        isdtype isin isrealobj isscalar issubdtype iterable ix_ kaiser kron lexsort linspace load log_softmax
        logmeanexp logspace logsumexp map mask_indices matmul matrix_transpose matvec mean median meshgrid
        moveaxis nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod
        nanquantile nanstd nansum nanvar ndim nonzero one_hot ones ones_like outer pad padtype_to_pads partition
        pbroadcast percentile permute_dims place pmax pmean pmin poly polyadd polyder polydiv polyfit polyint
        polymul polysub polyval ppermute printoptions prod promote_types pshuffle psum psum_scatter pswapaxes
        ptp put put_along_axis quantile ravel ravel_multi_index reduce reduce_and reduce_max reduce_min
        reduce_or reduce_prod reduce_sum reduce_window reduce_window_shape_tuple reduce_xor repeat reshape
        resize result_type rev rng_bit_generator roll rollaxis roots rot90 row_stack save savez scan scatter
        scatter_add scatter_apply scatter_max scatter_min scatter_mul scatter_sub searchsorted segment_max
        segment_min segment_prod segment_sum set_printoptions setdiff1d setxor1d shape shape_as_value size slice
        slice_in_dim softmax sort sort_complex sort_key_val split squeeze stack standardize std sum swapaxes
        switch take take_along_axis tensordot tile top_k trace transpose trapezoid tri tril tril_indices
        tril_indices_from trim_zeros triu triu_indices triu_indices_from union1d unique unique_all unique_counts
        unique_inverse unique_values unravel_index unstack vander var vdot vecdot vecmat vectorize vsplit vstack
        while_loop zeros zeros_like zeros_like_array
    """,
}
REASONS = {name: reason for reason, names in NOT_HELD.items() for name in names.split()}


def public_functions() -> dict[str, list[Any]]:
    """The functions of a name, in every namespace that has one."""
    found: dict[str, list[Any]] = {}
    for namespace in NAMESPACES.values():
        for name in namespace.__all__:
            value = getattr(namespace, name)
            if callable(value) and not isinstance(value, type | types.ModuleType):
                found.setdefault(name, []).append(value)
    return found


def test_every_function_has_a_row_or_a_reason() -> None:
    rows, names = {*ROWS, *PAIRS}, public_functions().keys()
    held = {name for name in names if ROW_OF.get(name, name) in rows}
    assert not names - held - REASONS.keys(), "neither a row nor a reason"
    assert not REASONS.keys() - names, "a reason for what is no public function"
    assert not held & REASONS.keys(), "a row and a reason"
    assert all(row in rows for row in ROW_OF.values())


# Of more operands or results than one, or with a row for another parameter than by default.
PARAMETERS = frozenset("""
    airy betainc celu expn fresnel gammainc gammaincc hyp1f1 hyp2f1 igamma igammac integer_pow iv ive jv kv kve
    multigammaln owens_t polygamma sici yv zeta
""".split())  # fmt: skip


def unary() -> list[tuple[str, int]]:
    """Names with a row for one operand, and the namespaces' functions of that name."""
    rows = {name: ROW_OF.get(name, name) for name in public_functions()}
    chosen = [name for name, row in rows.items() if row in ROWS and row not in PAIRS and name not in PARAMETERS]
    return [(name, k) for name in chosen for k in range(len(public_functions()[name]))]




def elementwise() -> list[tuple[str, int, int]]:
    """The functions with a row: name, which of that name, and how many operands."""
    found = [(name, k, 1) for name, k in unary()]
    pairs = [name for name in public_functions() if ROW_OF.get(name, name) in PAIRS and name not in PARAMETERS]
    return found + [(name, k, 2) for name in pairs for k in range(len(public_functions()[name]))]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "k", "count"), elementwise())
def test_half_precision_is_single_rounded(name: str, k: int, count: int, dtype: Any) -> None:
    function, eps = public_functions()[name][k], float(ml_dtypes.finfo(dtype).eps)
    if name == "squareplus":
        count = 1  # the other one is a parameter
    points = [np.float64([1.3, 1.62, 1.91] if name in ("acosh", "arccosh") else [0.3, 0.62, 0.91])]
    points.append(points[0] + 0.11)
    x = [p.astype(dtype) for p in points[:count]]
    half, single = np.asarray(function(*x)), np.asarray(function(*[p.astype(np.float32) for p in x]))
    assert half.dtype == dtype
    np.testing.assert_allclose(half.astype(np.float32), single, rtol=eps)


@pytest.mark.parametrize(("name", "k"), unary())
def test_the_row_of_a_name_is_that_function(name: str, k: int) -> None:
    x = np.float32([0.3, 0.6])
    program = [str(ft.make_jaxpr(f)(x)) for f in (public_functions()[name][k], ROWS[ROW_OF.get(name, name)].function)]
    assert program[0] == program[1]
