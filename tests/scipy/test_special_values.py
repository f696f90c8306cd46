"""Special functions of several results, of complex numbers, of orders and parameters, against mpmath, SciPy and JAX."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import jax
import jax.scipy.special
import numpy as np
import pytest
import scipy.special
from mpmath import mp

import functrans as ft
import functrans.numpy as fnp
from functrans.scipy import special
from tests.turns import covering_share

pytestmark = pytest.mark.usefixtures("x64")
EPS = 2.0**-52
PLANE = np.array([x + 1j * y for x in (-7.3, -2.5, -0.4, 0.0, 0.3, 1.0, 2.2, 9.0, 40.0)
                  for y in (-30.0, -3.1, -0.6, 0.0, 0.2, 1.0, 5.5, 12.0)])  # fmt: skip


def assert_close(found: Any, exact: Any, units: float, scale: Any = None) -> None:
    """To so many roundings of the exact numbers, or of a scale that they have."""
    found, exact = np.asarray(found), np.asarray(exact)
    scale = np.abs(exact) if scale is None else np.maximum(np.abs(exact), scale)
    error = np.abs(found - exact) / (EPS * scale)
    assert (error <= units).all(), (float(error.max()), np.argmax(error))


def precise(f: Any, *args: Any) -> Any:
    with mp.workdps(50):
        return np.array([complex(f(*[mp.mpmathify(complex(v)) for v in row])) for row in zip(*args, strict=True)])


@pytest.mark.parametrize(("name", "units"), [("gamma", 1500), ("rgamma", 1500), ("loggamma", 25)])
def test_gamma_functions_of_complex_numbers(name: str, units: float) -> None:
    """That of the gamma function is its logarithm's error, times its size."""
    z = PLANE[(PLANE.imag != 0.0) | (PLANE.real > 0.0) | (PLANE.real % 1 != 0.0)]
    exact = precise(getattr(mp, name), z)
    found = getattr(special, name)(z)
    assert found.dtype == np.complex128
    if name == "loggamma":
        with_cut = (z.imag == 0.0) & (z.real < 0.0)  # +0: from above
        assert_close(found, np.where(with_cut, scipy.special.loggamma(z), exact), units, 1.0)
        slopes = ft.vmap(ft.grad(special.loggamma, holomorphic=True))(z)
        curved = ft.vmap(ft.grad(ft.grad(special.loggamma, holomorphic=True), holomorphic=True))(z)
        assert_close(slopes, precise(mp.digamma, z), 40, 1.0)
        assert_close(curved, precise(lambda v: mp.psi(1, v), z), 200, 1.0)
        single = special.loggamma(z.astype(np.complex64))
        assert single.dtype == np.complex64
        np.testing.assert_allclose(single, exact, rtol=2e-6, atol=2e-6)
    else:
        assert_close(found, exact, units)
    np.testing.assert_allclose(found, getattr(scipy.special, name)(z), rtol=1e-12, atol=1e-14)
    poles = getattr(special, name)(np.array([0.0, -1.0, -7.0], np.complex128))
    assert (poles == 0.0).all() if name == "rgamma" else np.isnan(poles).all()


def test_the_logarithm_of_gamma_of_real_numbers_is_that_of_jax() -> None:
    x = np.array([-1.5, -1.0, 0.0, 0.3, 2.0, 171.0, np.inf, np.nan])
    np.testing.assert_allclose(special.loggamma(x), jax.scipy.special.loggamma(x), rtol=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_faddeeva_function(order: int) -> None:
    z = PLANE[(PLANE.imag > -12.0) | (np.abs(PLANE.real) > 20.0)]
    derivative: Any = special.wofz
    for _ in range(order):
        derivative = ft.grad(derivative, holomorphic=True)

    def exact(v: Any) -> Any:
        with mp.workdps(400):  # its differential equation cancels where v is large
            w = mp.exp(-v * v) * mp.erfc(-1j * v)
            first = -2 * v * w + 2j / mp.sqrt(mp.pi)
            return (w, first, -2 * w - 2 * v * first)[order]

    expected = precise(exact, z)
    # exp(-z^2) has the rounding of z^2, and near the axis below the two terms cancel; each order has a factor z
    scale = np.abs(np.exp(-z * z)) * np.abs(z) ** (order + 2) * (z.imag < 0.0)
    assert_close(ft.vmap(derivative)(z), expected, (12, 120, 700)[order], scale)
    if order == 0:
        single = np.asarray(special.wofz(z.astype(np.complex64)))
        assert single.dtype == np.complex64
        above = z.imag >= 0.0
        np.testing.assert_allclose(single[above], expected[above], rtol=4e-6)
        real = np.linspace(-3, 3, 13)
        np.testing.assert_allclose(special.wofz(real), scipy.special.wofz(real), rtol=1e-14, atol=1e-16)
        assert special.wofz(np.float32([1.0])).dtype == np.complex64


def test_spherical_harmonics_and_their_derivatives_are_those_of_scipy() -> None:
    n, m = np.array([(n, m) for n in range(8) for m in range(-n, n + 1)]).T
    theta, phi = np.random.default_rng(0).uniform(-7.0, 7.0, (2, len(n)))
    theta[:3] = [0.0, np.pi, 0.0]
    value, slopes, curved = scipy.special.sph_harm_y(n, m, theta, phi, diff_n=2)

    def part(which: Any) -> Any:
        return lambda n, m, t, p: which(special.sph_harm_y(n, m, t, p))

    np.testing.assert_allclose(special.sph_harm_y(n, m, theta, phi), value, rtol=1e-12, atol=1e-14)
    for which, take in ((fnp.real, np.real), (fnp.imag, np.imag)):
        for i in (0, 1):
            first = ft.grad(part(which), 2 + i)
            np.testing.assert_allclose(ft.vmap(first)(n, m, theta, phi), take(slopes[:, i]), rtol=1e-11, atol=1e-13)
        second = ft.vmap(ft.grad(ft.grad(part(which), 2), 3))(n, m, theta, phi)
        np.testing.assert_allclose(second, take(curved[:, 0, 1]), rtol=1e-10, atol=1e-12)
    ours, theirs = (f(n[5:], m[5:], theta[5:], phi[5:]) for f in (special.sph_harm_y, jax.scipy.special.sph_harm_y))
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)
    assert ours.dtype == theirs.dtype
    assert complex(special.sph_harm_y(1, 2, 0.3, 0.4)) == 0.0
    assert special.sph_harm_y(1, 0, np.float16(0.3), np.float16(0.4)).dtype == np.complex64
    large = special.sph_harm_y(np.array([300, 300]), np.array([0, 250]), np.array([1.1, 1.1]), np.array([0.0, 0.2]))
    np.testing.assert_allclose(large, scipy.special.sph_harm_y([300, 300], [0, 250], 1.1, [0.0, 0.2]), rtol=1e-10)


def test_legendre_functions() -> None:
    z = np.array([-0.9, -0.3, 0.0, 0.5, 0.99])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # in JAX they are deprecated
        values, slopes = jax.scipy.special.lpmn(4, 4, z)
        normalized = jax.scipy.special.lpmn_values(4, 4, z, True)
    ours = special.lpmn(4, 4, z)
    np.testing.assert_allclose(ours[0], values, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], slopes, rtol=1e-11, atol=1e-11)
    ends = np.array([-1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        np.testing.assert_allclose(special.lpmn(2, 2, ends)[1], jax.scipy.special.lpmn(2, 2, ends)[1])
    exact = [[float(mp.diff(lambda t, n=n: mp.legendre(n, t), at)) for at in ends] for n in range(5)]
    np.testing.assert_allclose(special.lpmn(4, 4, ends)[1][0], exact, rtol=1e-12)
    np.testing.assert_allclose(special.lpmn_values(4, 4, z, True), normalized, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(special.lpmn_values(4, 4, z, False), values, rtol=1e-12, atol=1e-12)


def test_numbers_of_bernoulli() -> None:
    for n in (0, 1, 2, 5, 60):
        found = special.bernoulli(n)
        assert found.shape == jax.scipy.special.bernoulli(n).shape and found.dtype == np.float64
        exact = [float(mp.bernoulli(k)) if k != 1 else -0.5 for k in range(n + 1)]
        np.testing.assert_allclose(found, exact, rtol=2 * EPS)


def test_bessel_functions_of_several_orders() -> None:
    z = np.array([[0.0, 0.5, 3.0], [20.0, -4.5, 150.0]])
    found = special.bessel_jn(z, v=6, n_iter=200)
    assert found.shape == (7, 2, 3)
    exact = np.stack([scipy.special.jv(k, z) for k in range(7)])
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-15)
    theirs = jax.scipy.special.bessel_jn(z[:, 1], v=6)
    np.testing.assert_allclose(found[:, :, 1], theirs, rtol=1e-12)


ORDERS = [0.0, 0.25, 0.5, 1.0, 1.5, 2.75, 7.0, 19.3, 60.0, 150.5, -0.5, -1.0, -2.0, -3.4, -11.7]
POINTS = [1e-8, 0.03, 0.7, 1.99, 2.01, 4.4, 9.7, 19.9, 20.1, 33.0, 80.0, 300.0, 2e3, 1e5]
KINDS = {
    "jv": (mp.besselj, 0), "yv": (mp.bessely, 0), "iv": (mp.besseli, 0), "kv": (mp.besselk, 0),
    "ive": (mp.besseli, -1), "kve": (mp.besselk, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_bessel_functions_of_every_order(name: str) -> None:
    """Measured: 35 roundings of the value, or of what a rounding of x or v makes of it."""
    function, scaled = KINDS[name]
    pairs = covering_share(list(itertools.product(ORDERS, POINTS)), 4)
    v, x = np.array(pairs).T
    found, checked = np.asarray(getattr(special, name)(v, x)), 0
    for order, at, value in zip(v, x, found, strict=True):
        with mp.workdps(60):
            order, at = mp.mpf(order), mp.mpf(at)
            if scaled and at > 3000:
                continue
            exact, above = (function(o, at) * mp.exp(scaled * at) for o in (order, order + 1))
            size = abs(exact) * (1 + abs(order) * (0 if order == int(order) else 1)) + abs(at * above) * (not scaled)
            if name in ("jv", "yv") and at > abs(order):
                size = size + mp.sqrt(2 / (mp.pi * at))
            if not 1e-300 < abs(exact) < 1e300:
                assert not 1e-290 < abs(value) < 1e290
                continue
            error = abs(mp.mpf(float(value)) - exact) / (EPS * size)
            assert error <= 35, (name, float(order), float(at), float(value), float(exact), float(error))
            checked += 1
    assert checked > 20


@pytest.mark.parametrize(("dtype", "units"), [(np.float64, 40), (np.float32, 40)])
def test_functions_of_struve(dtype: Any, units: float) -> None:
    """Values and slopes; 31 were measured, in roundings of the value, of x, of v and of the waves."""
    orders = [0.0, 0.5, 0.7, 1.0, 2.25, 7.0, 20.0, 29.0, -0.3, -0.5, -1.0, -1.5, -2.7, -3.5, -7.2]
    points = [1e-3, 0.5, 3.0, 3.9, 4.1, 8.0, 12.0, 21.0, 59.0, 150.0, 1e4]
    pairs = np.array(covering_share(list(itertools.product(orders, points)), 3), dtype)
    found = np.asarray(special.struve(*pairs.T)), np.asarray(ft.vmap(ft.grad(special.struve, 1))(*pairs.T))
    assert found[0].dtype == dtype
    eps, tiny, largest = (float(getattr(np.finfo(dtype), name)) for name in ("eps", "tiny", "max"))
    for k, (order, at) in enumerate(pairs.astype(float)):
        with mp.workdps(50):
            v, x = mp.mpf(order), mp.mpf(at)
            lower, value, upper = (mp.struveh(v + n, x) for n in (-1, 0, 1))
            slope = (lower - upper + (x / 2) ** v * mp.rgamma(v + 1.5) / mp.sqrt(mp.pi)) / 2
            waves = mp.sqrt(2 / (mp.pi * x)) if x > abs(v) else 0
            for n, exact in enumerate((value, slope)):
                scale = abs(exact) * (1 + abs(v) * (order % 1 != 0)) + waves + abs(x * slope) * (n == 0)
                if 10 * tiny < abs(exact) < largest:
                    assert abs(mp.mpf(float(found[n][k])) - exact) <= units * eps * scale, (order, at, n)
    x = np.array([0.0, -1.5, np.nan])
    for v in (0.0, 1.0, 2.0, 3.0):
        np.testing.assert_allclose(special.struve(v, x), scipy.special.struve(v, x), rtol=1e-12)


HYPERGEOMETRIC = [
    (special.hyp1f1, mp.hyp1f1, (1.5, 2.75, 3.0)), (special.hyp1f1, mp.hyp1f1, (1.5, 2.75, -30.0)),
    (special.hyp1f1, mp.hyp1f1, (-1.3, 0.7, -2.0)), (special.hyp1f1, mp.hyp1f1, (0.3, 0.4, 20.0)),
    (special.hyp2f1, mp.hyp2f1, (0.75, 1.5, 2.75, 0.3)), (special.hyp2f1, mp.hyp2f1, (0.75, 1.5, 2.75, -5.0)),
    (special.hyp2f1, mp.hyp2f1, (1.2, 0.5, 1.1, 0.97)), (special.hyp2f1, mp.hyp2f1, (0.5, 0.5, 1.0, 0.95)),
]  # fmt: skip


@pytest.mark.parametrize("k", range(2), ids=["hyp1f1", "hyp2f1"])
def test_hypergeometric_functions_have_derivatives_by_every_argument(k: int) -> None:
    """First and mixed second ones; measured: 5e-15, or a rounding of values near 1."""
    function = (special.hyp1f1, special.hyp2f1)[k]
    rows = [row for row in HYPERGEOMETRIC if row[0] is function]
    points, count = np.array([row[2] for row in rows]).T, 3 + k
    chosen = covering_share(list(itertools.product(range(count), range(count))), 4)
    for i, j in chosen:
        first, second = ft.grad(function, i), ft.grad(ft.grad(function, i), j)
        found = [np.asarray(ft.jit(ft.vmap(f))(*points)) for f in (function, first, second)]
        for place, (_, exact, at) in enumerate(rows):
            for n, values in enumerate(found):
                orders = [(n > 0) * (a == i) + (n > 1) * (a == j) for a in range(count)]
                with mp.workdps(50):
                    wanted = float(mp.diff(exact, at, tuple(orders)) if n else exact(*at))
                allowed = 2e-14 * abs(wanted) + EPS
                assert abs(values[place] - wanted) <= allowed, (at, orders, values[place], wanted)


def test_hypergeometric_functions_of_large_parameters() -> None:
    """Held to 2e-14; where JAX's sum is cut off at x = 0.99, too."""
    for parameters in ((2.2, 30.0, 31.5), (1.0, 30.0, 2.0), (2.2, 20.0, 21.5)):
        x = np.array([-30.0, -0.7, 0.3, 0.51, 0.76, 0.9, 0.99])
        exact = [float(mp.hyp2f1(*parameters, v)) for v in x]
        np.testing.assert_allclose(special.hyp2f1(*parameters, x), exact, rtol=2e-14)
        if parameters[1] / parameters[2] > 2:
            continue  # powers of 30 that float32 does not hold
        single = special.hyp2f1(*map(np.float32, parameters), x.astype(np.float32))
        near = [float(mp.hyp2f1(*parameters, float(v))) for v in x.astype(np.float32)]
        np.testing.assert_allclose(single, near, rtol=1e-5)


ODD = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 10.0, 100.0, -100.0, np.inf, -np.inf, np.nan, 1e-300])
WHOLE = np.array([0.0, 1.0, 2.0, -1.0, -2.0, 0.5, 2.25, 20.0])
UNARY = "dawsn ellipe ellipk erfcx spence".split()


@pytest.mark.parametrize("name", [*UNARY, "sici", "fresnel", "airy"])
def test_edges_are_those_of_scipy(name: str) -> None:
    x = ODD[np.isfinite(ODD) | (name in ("dawsn", "erfcx", "sici", "fresnel"))]  # at infinity SciPy has NaNs
    found, exact = (getattr(module, name)(x) for module in (special, scipy.special))
    for ours, theirs in zip(*((y if isinstance(y, tuple) else (y,)) for y in (found, exact)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("name", ["owens_t", "expn", "jv", "yv", "kv"])
def test_edges_of_two_arguments_are_those_of_scipy(name: str) -> None:
    first = ODD if name == "owens_t" else np.abs(WHOLE[WHOLE % 1 == 0.0]) if name == "expn" else np.abs(WHOLE)
    second = ODD if name in ("owens_t", "expn") else ODD[np.isfinite(ODD) & (ODD != 1e-300)]
    a, x = (v.ravel() for v in np.meshgrid(first, second))
    theirs = scipy.special.expn(a.astype(int), x) if name == "expn" else getattr(scipy.special, name)(a, x)
    np.testing.assert_allclose(getattr(special, name)(a, x), theirs, rtol=1e-11, atol=1e-300)


def test_the_branches_of_lambert() -> None:
    z = np.array([-np.exp(-1.0), -0.36, -0.1, -1e-9, 0.0])
    for branch in (0, -1):
        found = special.lambertw(z, branch)
        assert found.dtype == np.float64
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(found[1:], scipy.special.lambertw(z[1:], branch).real, rtol=1e-13)
        assert abs(found[0] + 1.0) < 1e-7
        assert np.isnan(special.lambertw(-0.5, branch))
    assert np.isnan(special.lambertw(0.5, -1)) and special.lambertw(np.inf) == np.inf


def test_airy_functions_satisfy_their_equation_to_any_order() -> None:
    x = np.linspace(-6.0, 4.0, 11)
    for i in (0, 2):
        f: Any = lambda x, i=i: special.airy(x)[i]
        third = ft.vmap(ft.grad(ft.grad(ft.grad(f))))(x)
        np.testing.assert_allclose(third, f(x) + x * special.airy(x)[i + 1], rtol=1e-12)


@pytest.mark.parametrize("transform", ["jit", "vmap", "jacfwd", "jacrev"])
def test_every_transform_of_a_mixture(transform: str) -> None:
    """One program of one function of each family: the transforms of the Taylor rules and rules of batching agree."""

    def f(x: Any) -> Any:
        return fnp.stack([
            special.jv(0.25, x), special.kve(1.5, x), special.dawsn(x), special.expn(2, x), special.hyp1f1(0.5, 1.5, x),
            special.fresnel(x)[0], special.ellipk(x / 9), special.spence(x), special.lambertw(x), special.rgamma(x),
        ], -1)  # fmt: skip

    x = np.array([0.4, 1.3, 2.6])
    if transform in ("jit", "vmap"):
        np.testing.assert_allclose(getattr(ft, transform)(f)(x), f(x), rtol=1e-13)
        return
    jacobian = ft.vmap(getattr(ft, transform)(f))(x)
    step = 1e-5
    differences = (np.asarray(f(x + step)) - np.asarray(f(x - step))) / (2 * step)
    np.testing.assert_allclose(jacobian, differences, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: ft.grad(special.jv)(1.5, 2.0), TypeError, "jv(v, x) has no derivative by its order v"),
        (lambda: ft.grad(special.yv)(1.5, 2.0), TypeError, "yv(v, x) has no derivative by its order v"),
        (lambda: ft.grad(special.iv)(1.5, 2.0), TypeError, "iv(v, x) has no derivative by its order v"),
        (lambda: ft.grad(special.struve)(1.5, 2.0), TypeError, "struve(v, x) has no derivative by its order v"),
        (lambda: ft.grad(special.kve)(1.5, 2.0), TypeError, "kve(v, x) has no derivative by its order v"),
        (lambda: ft.grad(special.expn)(2.0, 1.0), TypeError, "expn(n, x) has no derivative by its order n"),
        (lambda: special.jv(0, 1j), TypeError, "jv takes real numbers, got dtype c128"),
        (lambda: special.lambertw(1.0, 2), ValueError, "the branches of real values are k=0 and k=-1, got k=2"),
        (lambda: special.bernoulli(-1), ValueError, "bernoulli: n must not be negative, got -1"),
        (lambda: special.bessel_jn(1.0, v=-1), ValueError, "bessel_jn: the order v must not be negative, got -1"),
        (lambda: special.sph_harm_y(1.0, 0, 0.1, 0.2), TypeError, "the degrees n must be integers, got f"),
        (lambda: special.sph_harm_y(1, 0, 0.1, 0.2, diff_n=1), NotImplementedError, "differentiate the function"),
        (lambda: special.lpmn(1, 2, np.ones(2)), NotImplementedError, "m must be n, got m=1 and n=2"),
        (lambda: special.lpmn_values(2, 2, 0.5, True), ValueError, "z must be a vector, got shape ()"),
    ],
)
def test_refusals(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)

