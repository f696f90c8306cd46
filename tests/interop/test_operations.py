"""Every operation of the bridge's table, met where JAX programs meet it: value, gradient, forward mode and vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core.primitives as jax_primitives
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax as jlax
from jax._src.random.philox2x32 import philox2x32_p
from jax._src.random.philox4x32 import philox4x32_p
from jax._src.random.threefry4x32 import threefry4x32_p
from jax.ad_checkpoint import checkpoint_name
from jax.custom_derivatives import linear_call
from jax.experimental import sparse

import functrans as ft
from functrans.interop.from_jax import TABLE
from functrans.interop.translation import equations_of
from functrans.testing import check_grads
from tests.agreement import assert_same
from tests.jax_version import JAX

X = np.linspace(-0.9, 0.8, 12, dtype=np.float32).reshape(3, 4)
Y = np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4)
V = np.linspace(0.2, 0.9, 4, dtype=np.float32)
I = np.arange(-3, 9, dtype=np.int32).reshape(3, 4)
U = np.arange(1, 13, dtype=np.uint32).reshape(3, 4)
B = X > 0
C = (X + 1j * Y).astype(np.complex64)

Function = Callable[..., Any]

REAL: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "matrices": (lambda a: _of_matrices(a @ a.T + 3 * jnp.eye(3)), (X[:, :3],)),
    "trigonometry": (lambda x: jnp.sin(x) + jnp.cos(x) + jnp.tan(x) + jnp.arcsin(x) + jnp.arccos(x), (X,)),
    "inverse tangents": (lambda x, y: jnp.arctan(x) + jnp.arctan2(x, y), (X, Y)),
    "hyperbolic": (lambda x: jnp.sinh(x) + jnp.cosh(x) + jnp.tanh(x) + jnp.arcsinh(x) + jnp.arctanh(x), (X,)),
    "arccosh": (lambda x: jnp.arccosh(x + 2.5), (X,)),
    "exponentials": (lambda x: jnp.exp(x) + jnp.exp2(x) + jnp.expm1(x), (X,)),
    "logarithms": (lambda x: jnp.log(x + 2) + jnp.log1p(x), (X,)),
    "roots": (lambda x: jnp.sqrt(x + 1) + jlax.rsqrt(x + 1) + jnp.cbrt(x + 1), (X,)),
    "powers": (lambda x, y: x**3 + (x + 1) ** y + jnp.square(x) + (x + 2) ** -2, (X, Y)),
    "special functions": (lambda x: jlax.erf(x) + jlax.erfc(x) + jlax.erf_inv(x) + jax.nn.sigmoid(x), (X,)),
    "slopes": (jax.grad(lambda x: (jnp.tanh(x) * x + jnp.arctanh(x) + jlax.erf(x)).sum()), (X,)),
    "sinc and log2": (lambda x: jnp.sinc(x + 1) + jnp.log2(x + 2), (X,)),
    "gamma": (lambda x: jlax.lgamma(x + 2) + jlax.digamma(x + 2), (X,)),
    "arithmetic": (lambda x, y: x + y - x * y / (y + 3) + (-x), (X, Y)),
    "extrema": (lambda x, y: jnp.maximum(x, y) + jnp.minimum(x, 0.1) + jnp.clip(x, -0.5, 0.5), (X, Y)),
    "signs": (lambda x: jnp.abs(x) * jnp.sign(x), (X,)),
    "steps": (lambda x: jnp.floor(3 * x) + jnp.ceil(3 * x) + jnp.round(3 * x) + x, (X,)),
    "round half away": (lambda x: jlax.round(4 * x) * x, (X,)),
    "remainders": (lambda x: jnp.fmod(x, 0.3) + jlax.rem(x, jnp.float32(0.4)), (X,)),
    "choice": (lambda x, y: jnp.where(x > y, x, y * 2) + jnp.where(x == y, 0.0, x), (X, Y)),
    "select of three": (lambda x, y: jlax.select_n(jnp.asarray(I % 3), x, y, x * y), (X, Y)),
    "stop_gradient": (lambda x: jlax.stop_gradient(x) * x, (X,)),
    "reduce_precision": (lambda x: jlax.reduce_precision(x, 8, 10) * x, (X,)),
    "barrier": (lambda x, y: jlax.optimization_barrier((x * 2, y))[0], (X, Y)),
    "casts": (lambda x: x.astype(jnp.bfloat16).astype(jnp.float32) + x.astype(jnp.int32), (X,)),
    "complex": (lambda x, y: jnp.abs(jlax.complex(x, y)) + jnp.real(jlax.complex(x, y) ** 2), (X, Y)),
    "fill": (lambda x: x + jnp.ones((3, 4)) + jnp.arange(4.0) + jnp.full((3, 1), 2.0), (X,)),
    "broadcast": (lambda x: jnp.broadcast_to(x, (2, 3, 4)) + x[None, :, :1], (X,)),
    "size 1 against size n": (lambda x: x - x.max(axis=1, keepdims=True), (X,)),
    "reshape": (lambda x: x.reshape(2, 6) + x.T.reshape(2, 6) + jnp.ravel(x).reshape(2, 6), (X,)),
    "reshape of another order": (lambda x: jlax.reshape(x, (12,), (1, 0)), (X,)),
    "squeeze and expand": (lambda x: jnp.squeeze(x[None, :, None], (0, 2)) + x[..., None][..., 0], (X,)),
    "transpose": (lambda x: jnp.transpose(x) @ x, (X,)),
    "slices": (lambda x: x[1:, ::2] + x[:-1, 1::2] + jnp.flip(x, 1)[1:, :2], (X,)),
    "pad": (lambda x: jlax.pad(x, jnp.float32(2), ((1, 0, 1), (-1, 2, 0))), (X,)),
    "joining": (lambda x, y: jnp.concatenate([x, y], 1) * jnp.stack([x, y], 1).reshape(3, 8), (X, Y)),
    "splitting": (lambda x: sum(jnp.split(x, 2, 1)) + jlax.split(x, (1, 3), 1)[1][:, :2], (X,)),
    "unstack": (lambda x: jnp.unstack(x, axis=1)[2], (X,)),
    "tile": (lambda x: jnp.tile(x, (2, 3)), (X,)),
    "repeat": (lambda x: jnp.repeat(x, 2, axis=1), (X,)),
    "roll": (lambda x: jnp.roll(x, 2, 1) * x, (X,)),
    "triangle": (lambda x: jnp.tril(x @ x.T), (X,)),
    "gather": (lambda x: x[jnp.array([0, 2, 0])] + x[:, jnp.array([1, 1, 3])][:, :1], (X,)),
    "gather outside": (lambda x: x.at[jnp.array([0, 5])].get(mode="fill", fill_value=7.0), (X,)),
    "take_along_axis": (lambda x: jnp.take_along_axis(x, jnp.asarray(abs(I) % 4), 1), (X,)),
    "scatter": (lambda x, y: x.at[1].set(y[0]) + x.at[:, jnp.array([0, 2])].add(y[:, :2]), (X, Y)),
    "scatter by products": (lambda x, y: x.at[jnp.array([0, 2])].multiply(y[:2], unique_indices=True), (X, Y)),
    "scatter by extrema": (lambda x, y: x.at[jnp.array([0, 2])].max(y[:2]) + x.at[0].min(y[0]), (X, Y)),
    "scatter by differences": (lambda x, y: x.at[jnp.array([0, 2])].subtract(y[:2]), (X, Y)),
    "dynamic slices": (
        lambda x, y: jlax.dynamic_update_slice(x, y[:1, :2], (1, 1)) + jlax.dynamic_slice(y, (0, 0), (3, 4)),
        (X, Y),
    ),
    "products": (lambda x, y: (x @ y.T) @ (x.T @ y).T[:3, :3], (X, Y)),
    "einsum": (lambda x, y: jnp.einsum("ij,kj,ij->ik", x, y, x), (X, Y)),
    "batched product": (lambda x, y: jnp.einsum("bij,bjk->bik", x.reshape(2, 3, 2), y.reshape(2, 2, 3)), (X, Y)),
    "precise product": (lambda x, y: jnp.dot(x, y.T, precision="highest"), (X, Y)),
    "reductions": (lambda x: x.sum(0) + x.max(0) + x.min(0) + x.prod(0) + x.mean(0) + x.std(0) + x.var(), (X,)),
    "logsumexp": (lambda x: jax.scipy.special.logsumexp(x, axis=1) + jax.nn.softmax(x)[:, 0], (X,)),
    "norm": (lambda x: jnp.linalg.norm(x, axis=1), (X,)),
    "reduce by a product": (lambda x: jlax.reduce(x, jnp.float32(1), jlax.mul, (1,)), (X,)),
    "activations": (lambda x: jax.nn.relu(x) + jax.nn.gelu(x) + jax.nn.silu(x) + jax.nn.softplus(x), (X,)),
    "more activations": (lambda x: jax.nn.elu(x) + jax.nn.selu(x) + jax.nn.log_softmax(x) + jax.nn.relu6(x), (X,)),
    "scan": (lambda x: jlax.scan(lambda c, r: (jnp.sin(c + r), c * r), jnp.zeros(4), x), (X,)),
    "scan reversed": (lambda x: jlax.scan(lambda c, r: (c * r, c), x[0], x, reverse=True, unroll=2), (X,)),
    "fori_loop": (lambda x: jlax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * x + i, x), (X,)),
    "cond": (lambda x: jlax.cond(x[0, 0] > 0, jnp.sin, lambda t: t * x[0], x), (X,)),
    "switch": (lambda x: jlax.switch(1, [jnp.sin, jnp.cos, jnp.tanh], x), (X,)),
    "map": (lambda x: jlax.map(lambda r: jnp.sin(r).sum(), x), (X,)),
    "checkpoint": (lambda x: jax.checkpoint(lambda t: jnp.sin(jnp.sin(t)))(x), (X,)),
    "nested jit": (lambda x: jax.jit(lambda t: jnp.sin(t) * 2)(x) + jax.jit(jnp.sum)(x), (X,)),
    "custom_jvp": (lambda x: _tripled_slope(x) * x, (X,)),
    "custom_vjp": (lambda x: _clipped(x * 3) * x, (X,)),
    "platform_dependent": (lambda x: jlax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos), (X,)),
    "interpolation": (lambda x: jnp.interp(x, jnp.linspace(-1.0, 1.0, 5), jnp.arange(5.0) ** 2), (X,)),
    "approximate top_k": (lambda x: jlax.approx_max_k(x, 2)[0] + jlax.approx_min_k(x, 2)[0], (Y,)),
    "reciprocal": (lambda x: jlax.reciprocal(x + 2), (X,)),
    "named and placed": (lambda x: checkpoint_name(jax.device_put(x), "x") * 2, (X,)),
    "prefixes": (lambda x: jnp.cumsum(x, 1) + jnp.cumprod(x, 0) + jlax.cumlogsumexp(x, 0, True), (X,)),
    "running extrema": (lambda x: jlax.cummax(x, 1) * jlax.cummin(x, 0), (Y,)),
    "sort": (lambda x: jnp.sort(x, 0) * x, (Y,)),
    "top_k": (lambda x: jlax.top_k(x, 2)[0], (Y,)),
    "convolution": (lambda x: _convolved(x, V), (X,)),
    "grouped convolution": (lambda x: _convolved(x, V, groups=2), (X,)),
    "windows": (lambda x: _windows(x, jlax.add, 0.0) + _windows(x, jlax.max, -np.inf), (Y,)),
    "least of windows": (lambda x: _windows(x, jlax.min, np.inf), (Y,)),
    "gradient of windows": (lambda x: jax.grad(lambda t: jnp.sin(_windows(t, jlax.max, -np.inf)).sum())(x), (Y,)),
    "tangent of windows": (
        lambda x, y: jax.jvp(lambda t: _windows(t, jlax.max, -np.inf), (jlax.stop_gradient(x),), (y,))[1],
        (Y, X),
    ),
    "reduction of two arrays": (
        lambda x, y: jlax.reduce(
            (x, y), (jnp.float32(0), jnp.float32(0)), lambda a, b: (a[0] + b[0], a[1] + b[1]), (0,)
        ),
        (X, Y),
    ),
    "Fourier transform": (lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * 2.0) + jnp.real(jnp.fft.fft2(x)), (X,)),
    "incomplete gamma": (
        lambda x: jax.scipy.special.gammainc(x + 2, 1.5) + jax.scipy.special.gammaincc(2.0, x + 1),
        (X,),
    ),
    "incomplete beta": (lambda x: jax.scipy.special.betainc(2.0, 1.5, (x + 1) / 2), (X,)),
    "Bessel": (lambda x: jax.scipy.special.i0e(x) + jax.scipy.special.i1e(x), (X,)),
    "polygamma": (lambda x: jax.scipy.special.polygamma(1, x + 2), (X,)),
    "zeta": (lambda x: jlax.zeta(jnp.float32(3), jlax.stop_gradient(x) + 2) * x, (X,)),
    "linear_solve": (lambda x: jlax.custom_linear_solve(lambda v: 2 * v, x, lambda _, b: b / 2, symmetric=True), (X,)),
    "linear_call": (lambda x: linear_call(lambda r, t: r * t, lambda r, ct: r * ct, V, x), (X,)),
    "checkpoint of products": (
        lambda x: jax.checkpoint(lambda t: jnp.sin(t @ t.T), policy=jax.checkpoint_policies.dots_saveable)(x),
        (X,),
    ),
    "checkpoint of names": (lambda x: jax.checkpoint(_named_sine, policy=_POLICY)(x), (X,)),
}

FOUR_WORDS = np.arange(1, 17, dtype=np.uint32).reshape(4, 4) * np.uint32(0x9E3779B1)
RANDOM: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "seeds": (lambda i: jax.random.key_data(jax.vmap(jax.random.key)(i[0])), (abs(I),)),
    "split and fold in": (lambda k: jax.random.key_data(jax.random.split(jax.random.fold_in(k[0], 3), 2)), (U[:, :2],)),
    "bits": (lambda k: jax.random.bits(k[0], (3,), "uint16"), (U[:, :2],)),
    "normal": (lambda k: jax.random.normal(k[0], (5,)), (U[:, :2],)),
    "gamma numbers": (lambda k: jax.random.gamma(k[0], 2.0, (3,)), (U[:, :2],)),
    "permutation": (lambda k: jax.random.permutation(k[0], 5), (U[:, :2],)),
    "keys in a scan": (
        lambda k: jlax.scan(lambda c, r: (c, jax.random.uniform(r)), 0, jax.random.split(k[0], 3))[1],
        (U[:, :2],),
    ),
    "clone": (lambda k: jax.random.key_data(jax.random.clone(jax.random.wrap_key_data(k))), (U[:, :2],)),
    "threefry4x32": (lambda k: threefry4x32_p.bind(*k[:, 0], *k[:, 1]), (FOUR_WORDS,)),
    "philox2x32": (lambda k: philox2x32_p.bind(k[0, 0], k[1], k[2]), (FOUR_WORDS,)),
    "philox4x32": (lambda k: philox4x32_p.bind(k[0, 0], k[0, 1], *k), (FOUR_WORDS,)),
    "threefry": (lambda k: jax_primitives.threefry2x32_p.bind(k[0, 0], k[0, 1], k[1], k[2]), (U[:, :2],)),
}

DISCRETE: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "reflections": (lambda a: jlax.linalg.householder_product(*_raw(a)), (X,)),
    "product with reflections": (lambda a, c: jlax.linalg.ormqr(*_raw(a), c), (X, Y)),
    "pivots": (lambda p: jlax.linalg.lu_pivots_to_permutation(p, 4), (np.array([2, 1, 2], np.int32),)),
    "integers": (lambda i: (i // 2, i % 3, jnp.sign(i), abs(i), i**2, -i, jnp.clip(i, 0, 5)), (I,)),
    "bits": (lambda u: (u & 3, u | 4, u ^ 5, ~u, u << 2, u >> 1, jlax.population_count(u), jlax.clz(u)), (U,)),
    "arithmetic shift": (lambda i: jlax.shift_right_arithmetic(i, jnp.int32(1)), (I,)),
    "comparisons": (lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y), (X, Y)),
    "logic": (lambda b: (b & ~b, b | True, b ^ True, b.all(0), b.any(1)), (B,)),
    "finite": (lambda x: jnp.isfinite(jnp.log(x)), (X,)),
    "extremal places": (lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0), jnp.argmax(x)), (Y,)),
    "bitcast": (lambda x: jlax.bitcast_convert_type(x, jnp.int32), (X,)),
    "next number": (lambda x, y: jnp.nextafter(x, y), (X, Y)),
    "iota": (lambda i: i + jlax.broadcasted_iota(jnp.int32, (3, 4), 1), (I,)),
    "while_loop": (lambda i: jlax.while_loop(lambda c: (c < 40).any(), lambda c: c * 2 + 1, abs(i) + 1), (I,)),
    "complex parts": (lambda c: (jnp.real(c), jnp.imag(c), jnp.conj(c), jnp.exp(c), c * 2j, jnp.abs(c)), (C,)),
    "symmetric products": (lambda x: jlax.linalg.symmetric_product_p.bind(x, x @ x.T, alpha=2.0, beta=0.5), (X,)),
    "upper halves of products": (lambda u: jlax.mulhi(u * np.uint32(0x9E3779B9), u << 20), (U,)),
    "upper halves with signs": (lambda i: jlax.mulhi(i * 0x3E3779B9, i << 20), (I,)),
    "a condition for each lane": (lambda x: jax.scipy.special.exp1(x + 1), (X,)),
    "exclusive or": (lambda i: jlax.reduce_xor_p.bind(i, axes=(0,)), (I,)),
    "products of windows": (lambda x: _windows(x, jlax.mul, 1.0), (Y,)),
    "argsort": (lambda x: jnp.argsort(x), (Y,)),
    "gamma's own gradients": (lambda x: jlax.igamma_grad_a(x + 2, x + 1) + jlax.random_gamma_grad(x + 2, x + 1), (X,)),
}


@jax.custom_jvp
def _tripled_slope(x):
    return jnp.sin(x)


@_tripled_slope.defjvp
def _tripled_slope_jvp(primals, tangents):
    return _tripled_slope(*primals), 3 * jnp.cos(primals[0]) * tangents[0]


@jax.custom_vjp
def _clipped(x):
    return x * 2


_clipped.defvjp(lambda x: (x * 2, x), lambda x, ct: (jnp.clip(ct, -1, 1) * x,))


_POLICY = jax.checkpoint_policies.save_only_these_names("sine")


def _named_sine(x):
    return jnp.cos(checkpoint_name(jnp.sin(x), "sine"))


def _raw(a):
    packed, taus = jnp.linalg.qr(jnp.broadcast_to(a[..., :3], (3, 3)) + jnp.eye(3), mode="raw")
    return packed.T, taus


def _of_matrices(a):
    diagonal = jnp.diagonal(a)
    tridiagonal = jlax.linalg.tridiagonal_solve(diagonal / 9, diagonal, diagonal / 7, a)
    q, r = jnp.linalg.qr(a)
    return jnp.linalg.cholesky(a) + jnp.linalg.inv(a) + q * r + tridiagonal * jnp.linalg.det(a)


def _convolved(x, weights, groups=1):
    image = x.reshape(1, 3, 2, 2) if groups > 1 else x.reshape(1, 3, 4, 1)
    kernel = jnp.stack([weights, weights**2]).reshape(2, 2, image.shape[-1] // groups, -1)
    return jlax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _windows(x, computation, initial):
    return jlax.reduce_window(x, np.float32(initial), computation, (2, 2), (1, 2), ((0, 1), (1, 1)))


def _total(function: Function, numpy: Any = jnp) -> Function:
    def total(*arguments: Any) -> Any:
        leaves = jax.tree.leaves(function(*arguments))
        weights = [np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape) for leaf in leaves]
        return sum((leaf * w).sum() for leaf, w in zip(leaves, weights, strict=True))

    return total


def _lanes(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(np.stack([a, a[::-1], a]) for a in arguments)


@pytest.mark.parametrize("name", [*REAL, *DISCRETE, *RANDOM])
def test_values_and_vmap_agree_with_jax(name: str) -> None:
    function, arguments = {**REAL, **DISCRETE, **RANDOM}[name]
    bridged = ft.from_jax(function)
    assert_same(bridged(*arguments), jax.jit(function)(*arguments), context=name)
    lanes = _lanes(arguments)
    if name == "linear_call":  # which JAX cannot batch
        expected = np.stack([function(lane) for lane in lanes[0]])
    else:
        expected = jax.jit(jax.vmap(function))(*lanes)
    assert_same(ft.vmap(bridged)(*lanes), expected, context=name)


@pytest.mark.parametrize("name", REAL)
def test_derivatives_agree_with_jax(name: str) -> None:
    function, arguments = REAL[name]
    bridged = ft.from_jax(function)
    which = tuple(range(len(arguments)))
    gradient = jax.jit(jax.grad(_total(function), which))(*arguments)
    assert_same(ft.grad(_total(bridged), which)(*arguments), gradient, 256, context=name)
    if name != "custom_vjp":  # JAX has no forward mode there, and this rule is not linear
        directions = tuple(np.sin(a) for a in arguments)
        expected = jax.jit(lambda *xs: jax.jvp(function, xs, directions))(*arguments)
        assert_same(ft.jvp(bridged, arguments, directions), expected, 256, context=name)


def test_a_reduction_starts_from_the_value_given() -> None:
    """The derivative is that of the value: jax.grad leaves the factor 2 out here, finite differences do not."""
    bridged = ft.from_jax(lambda x: jlax.reduce(x, jnp.float32(2), jlax.mul, (0,)))
    assert_same(bridged(V), 2 * V.prod())
    check_grads(bridged, (V,), order=1)


def test_total_order_tells_zeros_and_nans_apart() -> None:
    values = np.array([np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf, 1.5, -1.5], np.float32)
    for name in ("eq_to", "le_to", "lt_to"):
        operation = getattr(jax_primitives, f"{name}_p")
        pairs = np.repeat(values, 8), np.tile(values, 8)
        assert_same(ft.from_jax(operation.bind)(*pairs), operation.bind(*pairs))


def test_every_operation_of_the_table_is_met() -> None:
    met: set[str] = set()
    for function, arguments in [*REAL.values(), *DISCRETE.values(), *RANDOM.values()]:
        met |= {eqn.primitive.name for eqn in equations_of(jax.make_jaxpr(function)(*arguments).jaxpr)}
    assert met - TABLE.keys() == set()
    elsewhere = {  # by other tests of this folder, or an older or newer name of what is met under another one
        "functrans",
        "call_hi_primitive",
        "eq_to",
        "le_to",
        "lt_to",
        "psum",
        "pmax",
        "pmin",
        "psum_invariant",
        "all_gather",
        "all_gather_invariant",
        "all_to_all",
        "reduce_scatter",
        "ppermute",
        "pbroadcast",
        "ragged_all_to_all",
        "unreduced_psum",
        "shard_map",
        "eval_jaxpr",
        "call",
        "custom_partitioning",
        "xla_metadata_call",
        "xla_metadata_value",
        "relayout",
        "pin",
        "unpin",
        "stage",
        "tie",
        "dce_sink",
        "reduced_vary_cast",
        "reduced_vary_cast_p",
        "vary_unreduced_cast",
        "vary_unreduced_cast_p",
        "preduced",
        "log2",
        "one_minus_square",
        "polynomial",
        "reciprocal",
        "axis_index",
        "add_any",
        "composite",
        "custom_vmap_call",
        "pjit",
        "random_gamma_grad",
        "remat2",
        "checkpoint",
        "closed_call",
        "core_call",
        "core_closed_call",
        "broadcast_to",
        "expand_dims",
        "copy",
        "copy_p",
        "sharding_constraint",
        "mesh_cast",
        "reshard",
        "pvary",
        "pcast",
        "layout_constraint",
        "with_memory_space_constraint",
        "empty",
        "empty2",
        "unvmap_any",
        "unvmap_all",
        "unvmap_max",
        "select_if_vmap",
        "nonbatchable",
        "nontraceable",
        "nondifferentiable_backward",
        "pure_callback",
        "io_callback",
        "debug_callback",
        "debug_print",
        "rng_bit_generator",
        "check",  # in tests/interop/test_checkify.py
        "cholesky_update",  # in tests/surface/test_lax.py: JAX has no rule of it
        *("eig", "eigh", "hessenberg", "schur", "svd", "tridiagonal"),  # in tests/linalg/test_spectra.py
    }
    if JAX < (0, 12):
        elsewhere |= {"log2", "one_minus_square", "polynomial"}  # not there yet
    assert TABLE.keys() - met - elsewhere == set()


@pytest.mark.parametrize("places", [[1, 0, 2], [1, 1, 2]], ids=["once", "repeated"])
def test_a_function_applied_at_places(places: list[int]) -> None:
    """JAX has no derivative of it: cos of what sin is applied to, as often as it is."""
    at = np.int32(places)
    function = ft.from_jax(lambda x: jnp.asarray(x).at[at].apply(jnp.sin))
    expected = jnp.asarray(X).at[at].apply(jnp.sin)
    for run in (function, ft.jit(function), lambda x: ft.vmap(function)(x[None])[0]):
        np.testing.assert_allclose(run(X), expected, rtol=1e-6)
    times = np.bincount(at, minlength=len(X))[:, None]
    slope = np.where(times > 0, np.cos(X), 1) * np.where(times > 1, np.cos(np.sin(X)), 1)
    np.testing.assert_allclose(ft.jvp(function, (X,), (np.ones_like(X),))[1], slope, rtol=1e-6)
    np.testing.assert_allclose(ft.grad(lambda x: function(x).sum())(X), slope, rtol=1e-6)


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="mul has no out_dtype before jax 0.12")
def test_a_product_of_another_type() -> None:
    narrow = X.astype(jnp.bfloat16)
    function = ft.from_jax(lambda x: jax.lax.mul(x, x, out_dtype=jnp.float32))
    out = function(narrow)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, narrow.astype(np.float32) ** 2)
    np.testing.assert_array_equal(ft.grad(lambda x: function(x).sum())(narrow), 2 * narrow)


PLACES = np.int32([[0, 1], [0, 3], [1, 0], [2, 2], [2, 3]])  # of the elements of a matrix [3, 4]
GROUPS_OF_ROWS = np.int32([2, 1])


def _sparse(elements: Any) -> Any:
    return sparse.BCOO((elements, PLACES), shape=(3, 4))


def _rows(elements: Any) -> Any:
    return sparse.BCSR((elements, PLACES[:, 1], np.int32([0, 2, 3, 5])), shape=(3, 4))


def _dense(elements: Any) -> Any:
    return jnp.zeros((3, 4)).at[PLACES[:, 0], PLACES[:, 1]].set(elements)


ELEMENTS = np.float32([0.3, -0.8, 1.1, 0.5, -0.4])  # those elements
PRODUCTS: dict[str, tuple[Function, Function, tuple[Any, ...]]] = {
    "matrix and vector": (lambda d, v: _sparse(d) @ v, lambda d, v: _dense(d) @ v, (ELEMENTS, V)),
    "matrix and matrix": (lambda d, m: _sparse(d) @ m.T, lambda d, m: _dense(d) @ m.T, (ELEMENTS, X)),
    "transposed": (lambda d, v: _sparse(d).T @ v, lambda d, v: _dense(d).T @ v, (ELEMENTS, V[:3])),
    "by rows": (lambda d, v: _rows(d) @ v, lambda d, v: _dense(d) @ v, (ELEMENTS, V)),
    "two sparse ones": (
        lambda d, e: (_sparse(d) @ _sparse(e).T).todense(), lambda d, e: _dense(d) @ _dense(e).T,
        (ELEMENTS, 2 * ELEMENTS**2),
    ),
    "ragged": (
        lambda x, y: jlax.ragged_dot(x, jnp.stack([y.T, jnp.sin(y.T)]), GROUPS_OF_ROWS),
        lambda x, y: jnp.concatenate([x[:2] @ y.T, x[2:] @ jnp.sin(y.T)]), (X, Y),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_that_skip_what_is_zero(name: str) -> None:
    """Against the dense product: of some of these JAX has no second derivative, or no lanes."""
    skipping, whole, arguments = PRODUCTS[name]
    both = [lambda *xs, f=f: jnp.sin(f(*xs)).sum() for f in (skipping, whole)]
    actual, expected = (
        run(lambda *xs, m=m, f=f: (f(*xs), m.grad(f, (0, 1))(*xs), m.jvp(f, xs, xs)[1], m.hessian(f, (0, 1))(*xs),
                                   m.vmap(m.grad(f))(*[jnp.stack([x, 2 * x]) for x in arguments])))(*arguments)
        for run, m, f in ((ft.jit, ft, ft.from_jax(both[0])), (jax.jit, jax, both[1]))
    )  # fmt: skip
    assert_same(actual, expected, 256, context=name)
