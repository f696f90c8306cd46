"""Products in scaled blocks: JAX's own rounding and derivatives around the product that its documentation says.

JAX computes the innermost product on some GPUs alone; here it is replaced by what ``jax.nn.scaled_matmul`` is said to
be equivalent to. What surrounds it (blocks, scales, rounding, the backward pass) is JAX's.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import nn
from functrans.testing import check_grads
from tests.agreement import assert_same

RNG = np.random.default_rng(7)
F32, BF16, F16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)
# Of nvfp4 a power of two: an error of the last digit would send numbers that stand between two of four bits elsewhere.
GLOBAL = {"mxfp8": None, "nvfp4": np.float32([2.0**-5])}
# (shape of lhs, of rhs, dimension numbers): free axes of a multiple of 32, which the cotangents are rounded along.
SHAPES: dict[str, Any] = {
    "a batch": ((2, 32, 64), (2, 96, 64), (((2,), (2,)), ((0,), (0,)))),
    "matrices": ((32, 64), (64, 32), (((1,), (0,)), ((), ()))),
    "several axes": ((4, 4, 3, 8, 8), (4, 8, 3, 32), (((1, 3), (0, 1)), ((2,), (2,)))),
}


def as_said(lhs: Any, rhs: Any, lhs_scales: Any, rhs_scales: Any, preferred_element_type: Any = F32) -> Any:
    def wide(x: Any, scales: Any) -> Any:
        return x.astype(F32) * jnp.repeat(scales.astype(F32), x.shape[-1] // scales.shape[-1], axis=-1)

    product = jnp.einsum("bmk,bnk->bmn", wide(lhs, lhs_scales), wide(rhs, rhs_scales))
    return product.astype(preferred_element_type)


@pytest.fixture(autouse=True)
def _jax_computes_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax._src.cudnn.scaled_matmul_stablehlo._scaled_matmul", as_said)


def operands(name: str, dtype: Any) -> tuple[Any, Any]:
    left, right, _ = SHAPES[name]
    return tuple(jnp.asarray(5 * RNG.normal(size=shape), dtype) for shape in (left, right))


def rounded(of: Any, mode: str, name: str, dtype: Any = F32) -> Any:
    config = of.get_scaled_dot_general_config(mode, GLOBAL[mode] if GLOBAL[mode] is None else jnp.asarray(GLOBAL[mode]))
    return lambda x, y: of.scaled_dot_general(x, y, SHAPES[name][2], dtype, [config] * 3)


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mode", GLOBAL)
def test_rounded_products_and_their_gradients_are_those_of_jax(mode: str, name: str, dtype: Any) -> None:
    x, y = operands(name, dtype)
    found, wanted = (rounded(of, mode, name, dtype) for of in (nn, jax.nn))
    assert_same(found(x, y), wanted(x, y), 8)
    weights = jnp.cos(jnp.arange(wanted(x, y).size, dtype=F32)).reshape(wanted(x, y).shape)

    def everything(of: Any, f: Any) -> Any:
        slope = of.grad(lambda x, y: (f(x, y) * weights).sum(), (0, 1))
        lanes = jnp.stack([x, 3 * x])
        return of.jit(lambda x, y: [f(x, y), slope(x, y), of.vmap(f, (0, None))(lanes, y)])(x, y)

    assert_same(everything(ft, found), everything(jax, wanted), 8, context=f"{mode} {name}")


def test_results_of_other_types_and_blocks_of_extremes() -> None:
    x, y = operands("a batch", F32)
    for mode in GLOBAL:
        for dtype in (F16, BF16):
            ours, theirs = (rounded(of, mode, "a batch", dtype)(x / 64, y) for of in (nn, jax.nn))
            assert_same(ours, theirs, 8)
    blocks = np.stack([np.zeros(32), np.full(32, 2.0**-100), np.full(32, 448.0), np.full(32, 449.0), np.full(32, 3e38)])
    ones = jnp.ones((32, 32), F32)
    numbers = (((1,), (1,)), ((), ()))
    config = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    found = nn.scaled_dot_general(jnp.asarray(blocks, F32), ones, numbers, configs=config)[:, 0]
    np.testing.assert_allclose(found[:4], [0, 32 * 2.0**-100, 448 * 32, 448 * 32], rtol=1e-6)  # 449 rounds to 448
    assert np.isinf(found[4]) or found[4] > 3e38
    lost = nn.scaled_dot_general(jnp.full((1, 32), np.nan, F32), ones, numbers, configs=config)
    assert np.isnan(lost).all()
    four = [nn.get_scaled_dot_general_config("nvfp4")] * 3
    assert nn.scaled_dot_general(jnp.zeros((1, 32)), ones, numbers, configs=four).tolist() == [[0.0] * 32]


def test_a_number_too_large_for_its_scale_has_no_gradient() -> None:
    """Of four bits with a scale of eight: 6 * 448 is the largest."""
    x, y = jnp.full((16, 16), 3000.0).at[0].set(2.0), jnp.ones((16, 16))
    config = [nn.get_scaled_dot_general_config("nvfp4")] * 3
    f = lambda x: nn.scaled_dot_general(x, y, (((1,), (1,)), ((), ())), configs=config).sum()
    assert ft.grad(f)(x).tolist() == [[16.0] * 16, *[[0.0] * 16] * 15]
    assert_same(ft.jvp(f, (x,), (jnp.ones_like(x),))[1], np.float32(256.0), weak=False)


def test_without_configs_nothing_is_rounded() -> None:
    x, y = operands("several axes", F32)
    found = nn.scaled_dot_general(x, y, SHAPES["several axes"][2])
    assert_same(found, jax.nn.scaled_dot_general(x, y, SHAPES["several axes"][2]), 8)
    with pytest.warns(DeprecationWarning, match="implementation"):
        nn.scaled_dot_general(x, y, SHAPES["several axes"][2], implementation="cudnn")


def test_axes_that_are_paired_crosswise() -> None:
    """The axes of rhs follow those of lhs that they are contracted with, as in ``lax.dot_general``."""
    x, y = jnp.asarray(RNG.normal(size=(3, 8, 8)), F32), jnp.asarray(RNG.normal(size=(8, 8, 5)), F32)
    config = [nn.get_scaled_dot_general_config("mxfp8")] * 3
    crosswise = nn.scaled_dot_general(x, y, (((1, 2), (1, 0)), ((), ())), configs=config)
    straight = nn.scaled_dot_general(x, y.transpose(1, 0, 2), (((1, 2), (0, 1)), ((), ())), configs=config)
    assert_same(crosswise, straight)
    theirs = [jax.nn.get_scaled_dot_general_config("mxfp8")] * 3
    straight = jax.nn.scaled_dot_general(x, y.transpose(1, 0, 2), (((1, 2), (0, 1)), ((), ())), configs=theirs)
    assert_same(crosswise, straight, 8)


# -- numbers that are narrow already -----------------------------------------------------------------------------------

NARROW = {
    "mxfp8": (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu, 32),
    "mxfp8, other numbers": (ml_dtypes.float8_e5m2, ml_dtypes.float8_e8m0fnu, 32),
    "nvfp4": (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn, 16),
    "wide": (np.float32, np.float32, 8),
    "integers": (np.int32, np.float32, 1),
}


@pytest.mark.parametrize("name", NARROW)
def test_products_of_narrow_numbers(name: str) -> None:
    data, scale, size = NARROW[name]
    x, y = (jnp.asarray(4 * RNG.normal(size=(2, rows, 64)), data) for rows in (3, 5))
    of_x, of_y = (jnp.asarray(2.0 ** RNG.integers(-3, 4, (2, rows, 64 // size)), scale) for rows in (3, 5))
    for dtype in (F32, BF16):
        theirs = jax.nn.scaled_matmul(x, y, of_x, of_y, dtype)
        for run in (nn.scaled_matmul, ft.jit(nn.scaled_matmul, static_argnums=4)):
            assert_same(run(x, y, of_x, of_y, dtype), theirs, 8)
    lanes = ft.vmap(nn.scaled_matmul, (0, None, 0, None))(x[:, None], y[:1], of_x[:, None], of_y[:1])
    assert_same(lanes, jnp.stack([as_said(x[i : i + 1], y[:1], of_x[i : i + 1], of_y[:1]) for i in range(2)]), 8)


def test_products_in_blocks_are_differentiated_by_numbers_and_scales() -> None:
    given = [RNG.normal(size=shape).astype(F32) for shape in ((2, 3, 8), (2, 4, 8), (2, 3, 2), (2, 4, 2))]
    check_grads(nn.scaled_matmul, given, order=2)
    ours, theirs = (of.grad(lambda *xs, f=f: (f(*xs) ** 2).sum(), (0, 1, 2, 3))(*given)
                    for of, f in ((ft, nn.scaled_matmul), (jax, as_said)))  # fmt: skip
    assert_same(ours, theirs, 64)


ONE = np.ones((1, 2, 4), F32)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: nn.scaled_matmul(ONE, ONE[0], ONE, ONE), ValueError, r"shapes \[B, M, K\].*got \(1, 2, 4\), \(2, 4\)"),
    (lambda: nn.scaled_matmul(ONE, ONE, ONE[..., :3], ONE[..., :3]), ValueError, "where S divides K"),
    (lambda: nn.scaled_matmul(ONE, ONE, ONE[..., :2], ONE), ValueError, "are needed"),
    (lambda: nn.get_scaled_dot_general_config("int8"), ValueError, "'mxfp8' or 'nvfp4', got 'int8'"),
    (lambda: _dot(configs=[nn.get_scaled_dot_general_config("mxfp8")]), ValueError, "configs are three"),
    (lambda: _dot(mode="nvfp4", second="mxfp8"), ValueError, "the mode of the three configs"),
    (lambda: _dot(dtype=np.int32), TypeError, "float32, bfloat16 or float16, not int32"),
    (lambda: _dot(fnp.ones((32, 32), int)), TypeError, "operands are real and floating"),
    (lambda: _dot(fnp.ones((32, 33))[:, :31]), ValueError, "31 numbers along the contracted axes"),
    (lambda: ft.grad(lambda x: _dot(x).sum())(fnp.ones((5, 32))), ValueError, "5 numbers along the contracted axes"),
])  # fmt: skip
def test_wrong_use(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=rf"(?s){text}.*test_scaled_products\.py"):
        call()


def _dot(x: Any = None, mode: str = "mxfp8", second: str | None = None, dtype: Any = F32, configs: Any = None) -> Any:
    x = fnp.ones((32, 32)) if x is None else x
    modes = [mode, second or mode, mode]
    configs = configs or [nn.get_scaled_dot_general_config(m) for m in modes]
    return nn.scaled_dot_general(x, x, (((1,), (1,)), ((), ())), dtype, configs)
