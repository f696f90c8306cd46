"""Physics in a few lines of nested derivatives: mechanics of Lagrange and Hamilton, and the geometry of a sphere."""

from __future__ import annotations

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import curl, divergence, laplacian, solution_coefficients

pytestmark = pytest.mark.usefixtures("x64")

GRAVITY, MASSES, LENGTHS = 9.81, (1.0, 2.0), (0.7, 0.4)


# -- Lagrange --------------------------------------------------------------------------------------------------------


def place(q):
    """Of both bobs of the double pendulum, by the angles from below: [2, 2]."""
    first = LENGTHS[0] * fnp.stack([fnp.sin(q[0]), -fnp.cos(q[0])])
    return fnp.stack([first, first + LENGTHS[1] * fnp.stack([fnp.sin(q[1]), -fnp.cos(q[1])])])


def lagrangian(q, v):
    speeds = ft.jvp(place, (q,), (v,))[1]
    kinetic = sum(0.5 * m * (u @ u) for m, u in zip(MASSES, speeds))
    return kinetic - sum(m * GRAVITY * x[1] for m, x in zip(MASSES, place(q)))


def acceleration(q, v):
    """Of the equations of Euler and Lagrange: L_vv a + L_vq v = L_q."""
    mass = ft.hessian(lagrangian, 1)(q, v)
    coriolis = ft.jvp(lambda q: ft.grad(lagrangian, 1)(q, v), (q,), (v,))[1]
    return fnp.linalg.solve(mass, ft.grad(lagrangian)(q, v) - coriolis)


def double_pendulum(q, v):
    """The accelerations as textbooks write them."""
    (m1, m2), (l1, l2), g, d = MASSES, LENGTHS, GRAVITY, q[0] - q[1]
    share = 2 * m1 + m2 - m2 * np.cos(2 * d)
    first = -g * (2 * m1 + m2) * np.sin(q[0]) - m2 * g * np.sin(q[0] - 2 * q[1])
    first -= 2 * np.sin(d) * m2 * (v[1] ** 2 * l2 + v[0] ** 2 * l1 * np.cos(d))
    second = v[0] ** 2 * l1 * (m1 + m2) + g * (m1 + m2) * np.cos(q[0]) + v[1] ** 2 * l2 * m2 * np.cos(d)
    return np.array([first / (l1 * share), 2 * np.sin(d) * second / (l2 * share)])


@pytest.mark.parametrize(("q", "v"), [((0.3, -0.5), (1.0, 2.0)), ((2.0, 3.0), (-4.0, 0.5)), ((1.0, 1.0), (0.0, 0.0))])
def test_accelerations_of_a_double_pendulum(q, v):
    q, v = np.array(q), np.array(v)
    np.testing.assert_allclose(acceleration(q, v), double_pendulum(q, v), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ft.jit(acceleration)(q, v), double_pendulum(q, v), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [3, 5])
def test_a_double_pendulum_keeps_its_energy_along_a_taylor_series_of_its_motion(order):
    """The energy v L_v - L: after a step of h by coefficients up to order K it is off by a multiple of h^(K + 1)."""
    state = (np.array([1.0, -0.4]), np.array([0.5, -1.0]))
    coefficients = solution_coefficients(lambda s: (s[1], acceleration(*s)), state, order)
    energy = lambda q, v: v @ ft.grad(lagrangian, 1)(q, v) - lagrangian(q, v)
    off = []
    for h in (0.005, 0.01):
        q, v = (sum(c[i] * h**k for k, c in enumerate(coefficients)) for i in (0, 1))
        off.append(abs(float(energy(q, v) - energy(*state))))
    np.testing.assert_allclose(np.log2(off[1] / off[0]), order + 1, atol=0.5)
    assert off[0] < 1e-6


# -- the sphere ------------------------------------------------------------------------------------------------------


def sphere(u):
    """The unit sphere by colatitude and longitude."""
    return fnp.stack([fnp.sin(u[0]) * fnp.cos(u[1]), fnp.sin(u[0]) * fnp.sin(u[1]), fnp.cos(u[0])])


def metric(u):
    j = ft.jacfwd(sphere)(u)
    return j.T @ j


def christoffel(u):
    """[k, i, j]: g^kl (d_i g_jl + d_j g_il - d_l g_ij) / 2."""
    slopes = ft.jacfwd(metric)(u)  # [i, j, l]: d_l g_ij
    lower = (fnp.transpose(slopes, (1, 2, 0)) + fnp.transpose(slopes, (1, 0, 2)) - fnp.transpose(slopes, (2, 0, 1))) / 2
    return fnp.einsum("kl,lij->kij", fnp.linalg.inv(metric(u)), lower)


def riemann(u):
    """[k, l, i, j]: d_i G^k_jl - d_j G^k_il + G^k_im G^m_jl - G^k_jm G^m_il."""
    g, slopes = christoffel(u), ft.jacfwd(christoffel)(u)  # [k, i, j, l]: d_l G^k_ij
    half = fnp.einsum("kjli->klij", slopes) + fnp.einsum("kim,mjl->klij", g, g)
    return half - fnp.swapaxes(half, 2, 3)


@pytest.mark.parametrize("u", [(0.6, 0.2), (1.5, -2.0), (2.7, 3.0)])
def test_christoffel_symbols_and_curvature_of_the_sphere(u):
    u = np.array(u)
    found = np.asarray(christoffel(u))
    wanted = np.zeros((2, 2, 2))
    wanted[0, 1, 1] = -np.sin(u[0]) * np.cos(u[0])
    wanted[1, 0, 1] = wanted[1, 1, 0] = np.cos(u[0]) / np.sin(u[0])
    np.testing.assert_allclose(found, wanted, atol=1e-13)
    ricci = np.einsum("klkj->lj", riemann(u))
    np.testing.assert_allclose(ricci, metric(u), atol=1e-12)  # of the unit sphere it is the metric
    np.testing.assert_allclose(np.sum(np.linalg.inv(metric(u)) * ricci), 2.0, rtol=1e-12)


@pytest.mark.parametrize(("degree", "harmonic"), [(1, lambda x: x[2]), (2, lambda x: x[0] * x[1]), (3, lambda x: (
    x[2] * (2 * x[2] ** 2 - 3 * x[0] ** 2 - 3 * x[1] ** 2)
))])  # fmt: skip
def test_spherical_harmonics_are_eigenfunctions_of_the_laplacian_of_the_sphere(degree, harmonic):
    """By the metric: div(sqrt(g) g^-1 grad) / sqrt(g); and the harmonic polynomial has no Laplacian in space."""
    u = np.array([0.8, 0.5])
    area = lambda u: fnp.sqrt(fnp.linalg.det(metric(u)))
    flow = lambda u: area(u) * fnp.linalg.solve(metric(u), ft.grad(lambda u: harmonic(sphere(u)))(u))
    value = harmonic(sphere(u))
    np.testing.assert_allclose(divergence(flow)(u) / area(u), -degree * (degree + 1) * value, rtol=1e-11)
    np.testing.assert_allclose(laplacian(harmonic)(np.array([0.3, -0.4, 0.5])), 0.0, atol=1e-13)


# -- Hamilton --------------------------------------------------------------------------------------------------------


def hamiltonian(q, p):
    """Of Hénon and Heiles."""
    return (p @ p + q @ q) / 2 + q[0] ** 2 * q[1] - q[1] ** 3 / 3


def leapfrog(q, p, step, steps):
    def one(state, _):
        q, p = state
        p = p - step / 2 * ft.grad(hamiltonian, 0)(q, p)
        q = q + step * ft.grad(hamiltonian, 1)(q, p)
        p = p - step / 2 * ft.grad(hamiltonian, 0)(q, p)
        return (q, p), hamiltonian(q, p)

    return lax.scan(one, (q, p), None, length=steps)


def test_a_symplectic_flow_keeps_the_energy_as_its_order_says():
    q, p = np.array([0.1, 0.2]), np.array([0.3, -0.1])
    drift = []
    for step in (0.2, 0.1, 0.05):
        _, energies = leapfrog(q, p, step, int(200 / step))
        drift.append(float(np.max(np.abs(energies - hamiltonian(q, p)))))
    assert drift[-1] < 1e-4
    np.testing.assert_allclose(np.log2(np.array(drift[:-1]) / drift[1:]), 2.0, atol=0.1)


def test_a_flow_is_symplectic_and_can_be_reversed():
    q, p = np.array([0.1, 0.2]), np.array([0.3, -0.1])
    flow = lambda x: fnp.concatenate(leapfrog(x[:2], x[2:], 0.1, 50)[0])
    j = np.asarray(ft.jacfwd(flow)(np.concatenate([q, p])))
    form = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    np.testing.assert_allclose(j.T @ form @ j, form, atol=1e-12)
    end, _ = leapfrog(q, p, 0.1, 50)
    back, _ = leapfrog(end[0], -end[1], 0.1, 50)
    np.testing.assert_allclose(back[0], q, atol=1e-13)
    np.testing.assert_allclose(-back[1], p, atol=1e-13)


def test_poisson_brackets():
    """{L_x, L_y} = L_z, and Jacobi's identity, by gradients of gradients."""

    def bracket(f, g):
        return lambda q, p: ft.grad(f)(q, p) @ ft.grad(g, 1)(q, p) - ft.grad(f, 1)(q, p) @ ft.grad(g)(q, p)

    momentum = [lambda q, p, i=i: fnp.cross(q, p)[i] for i in range(3)]
    energy = lambda q, p: p @ p / 2 - 1 / fnp.sqrt(q @ q) + q[0] * p[1] ** 3
    q, p = np.array([0.3, -1.0, 0.6]), np.array([0.2, 0.5, -0.7])
    np.testing.assert_allclose(bracket(momentum[0], momentum[1])(q, p), momentum[2](q, p), rtol=1e-13)
    f, g, h = energy, momentum[0], momentum[2]
    cyclic = [bracket(a, bracket(b, c))(q, p) for a, b, c in ((f, g, h), (g, h, f), (h, f, g))]
    np.testing.assert_allclose(sum(cyclic), 0.0, atol=1e-12)
    assert max(map(abs, cyclic)) > 0.1


# -- fields ----------------------------------------------------------------------------------------------------------


def test_a_plane_wave_solves_maxwells_equations():
    wave, field = np.array([1.0, 2.0, -0.5]), np.array([1.0, 0.0, 2.0])  # across each other
    frequency = np.sqrt(wave @ wave)
    electric = lambda x, t: field * fnp.cos(wave @ x - frequency * t)
    magnetic = lambda x, t: np.cross(wave, field) / frequency * fnp.cos(wave @ x - frequency * t)
    x, t = np.array([0.2, -0.3, 0.7]), 0.4
    np.testing.assert_allclose(divergence(electric)(x, t), 0.0, atol=1e-13)
    np.testing.assert_allclose(divergence(magnetic)(x, t), 0.0, atol=1e-13)
    np.testing.assert_allclose(curl(electric)(x, t), -ft.jacfwd(magnetic, 1)(x, t), atol=1e-13)
    np.testing.assert_allclose(curl(magnetic)(x, t), ft.jacfwd(electric, 1)(x, t), atol=1e-13)


def test_the_ground_state_of_hydrogen_and_its_local_energy():
    """-Laplacian psi / 2 psi - 1/r is the same everywhere: -1/2 for exp(-r), and not for another exponent."""
    local = lambda psi: lambda x: -laplacian(psi)(x) / (2 * psi(x)) - 1 / fnp.linalg.norm(x)
    points = np.random.default_rng(0).normal(size=(8, 3))
    np.testing.assert_allclose(ft.vmap(local(lambda x: fnp.exp(-fnp.linalg.norm(x))))(points), -0.5, rtol=1e-12)
    assert np.ptp(ft.vmap(local(lambda x: fnp.exp(-1.1 * fnp.linalg.norm(x))))(points)) > 0.01
