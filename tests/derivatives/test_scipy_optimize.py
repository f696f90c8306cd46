"""SciPy's optimisers on trees, with exact derivatives: known answers, SciPy with derivatives of its own, four problems
solved from end to end.
"""

from __future__ import annotations

import traceback
import warnings

import jax
import numpy as np
import pytest
import scipy.optimize
from scipy.sparse import issparse
from scipy.spatial.transform import Rotation

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import least_squares, minimize, root
from functrans.derivatives.newton import newton_root
from tests.errors.refusal import caught, refusal

pytestmark = pytest.mark.usefixtures("x64")
START = {"x": np.array([-1.2, 1.0]), "y": np.array(0.8)}


def together(p):
    return fnp.concatenate([p["x"], fnp.reshape(p["y"], (1,))])


def rosenbrock(p):
    x = together(p)
    return fnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def valley(p):
    """Rosenbrock's function of two variables as residuals, in a tree."""
    return {"bend": 10.0 * (p["y"] - p["x"] ** 2), "end": 1.0 - p["x"]}


VALLEY = {"x": np.array(-1.2), "y": np.array(1.0)}


def himmelblau(p):
    return (p[0] ** 2 + p[1] - 11.0) ** 2 + (p[0] + p[1] ** 2 - 7.0) ** 2


def powell(x):
    """Powell's singular function, as residuals: the Jacobian at the solution 0 has rank 2."""
    a = fnp.stack([x[0] + 10.0 * x[1], 5.0**0.5 * (x[2] - x[3])])
    return fnp.concatenate([a, fnp.stack([(x[1] - 2.0 * x[2]) ** 2, 10.0**0.5 * (x[0] - x[3]) ** 2])])


POWELL = np.array([3.0, -1.0, 0.0, 1.0])


# -- minimize --------------------------------------------------------------------------------------------------------

GRADIENT = {
    "BFGS": {}, "CG": {}, "L-BFGS-B": {"ftol": 1e-14}, "SLSQP": {"ftol": 1e-12}, "Newton-CG": {"xtol": 1e-10},
    "TNC": {"maxfun": 2000, "xtol": 1e-14, "gtol": 1e-10, "ftol": 1e-14},
}  # fmt: skip
SECOND = {
    "Newton-CG": {"xtol": 1e-10}, "trust-ncg": {"gtol": 1e-8}, "trust-krylov": {"gtol": 1e-8},
    "trust-exact": {"gtol": 1e-8}, "trust-constr": {"gtol": 1e-10},
}  # fmt: skip


def solved_by_scipy(method, options, **derivatives):
    start = np.array([-1.2, 1.0, 0.8])
    of_scipy = scipy.optimize
    return of_scipy.minimize(
        of_scipy.rosen, start, method=method, jac=of_scipy.rosen_der, options=options, **derivatives
    )


@pytest.mark.parametrize("method", GRADIENT)
def test_rosenbrock_is_minimised_as_by_scipy_with_the_gradient_written_out(method):
    second = {"hessp": scipy.optimize.rosen_hess_prod} if method == "Newton-CG" else {}
    expected = solved_by_scipy(method, GRADIENT[method], **second)
    result = minimize(rosenbrock, START, method=method, options=GRADIENT[method])
    assert result.success == expected.success and jax.tree.structure(result.x) == jax.tree.structure(START)
    assert result.x["x"].shape == (2,) and result.x["y"].shape == () and result.x["x"].dtype == np.float64
    np.testing.assert_allclose(together(result.x), np.ones(3), atol=1e-4)
    np.testing.assert_allclose(together(result.x), expected.x, atol=1e-4)
    assert abs(result.nfev - expected.nfev) <= 0.2 * expected.nfev  # and in as many steps, but for rounding


@pytest.mark.parametrize("hessian", ["dense", "sparse", "product"])
@pytest.mark.parametrize("method", SECOND)
def test_methods_with_hessians_take_them_in_every_form(method, hessian):
    if method == "trust-exact" and hessian != "dense":
        refusal(ValueError, lambda: minimize(rosenbrock, START, method=method, hessian=hessian)).says("hessian=dense")
        return
    expected = solved_by_scipy(method, SECOND[method], hess=scipy.optimize.rosen_hess)
    result = minimize(rosenbrock, START, method=method, hessian=hessian, options=SECOND[method])
    assert result.success and abs(result.nit - expected.nit) <= 0.2 * expected.nit
    np.testing.assert_allclose(together(result.x), np.ones(3), atol=1e-6)


def test_without_a_choice_it_is_the_method_of_scipy():
    assert "hess_inv" in minimize(rosenbrock, START)  # BFGS
    bounded = minimize(rosenbrock, START, bounds=(-2.0, 2.0))
    assert type(bounded.hess_inv).__name__ == "LbfgsInvHessProduct"
    plane = scipy.optimize.LinearConstraint(np.ones((1, 3)), 3.0, 3.0)
    limited = minimize(rosenbrock, START, constraints=plane)
    assert "hess_inv" not in limited and abs(float(fnp.sum(together(limited.x))) - 3.0) < 1e-9


@pytest.mark.parametrize("method", ["Nelder-Mead", "Powell"])
def test_methods_without_derivatives_are_given_none(method):
    result = minimize(himmelblau, np.array([1.0, 1.0]), method=method)
    np.testing.assert_allclose(result.x, [3.0, 2.0], atol=1e-3)


def test_himmelblau_has_four_minima():
    found = set()
    for start in ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)):
        result = minimize(himmelblau, start, method="trust-exact", options={"gtol": 1e-10})
        assert type(result.x) is tuple and result.fun < 1e-20
        found.add(tuple(round(float(x), 6) for x in result.x))
    assert found == {(3.0, 2.0), (-2.805118, 3.131313), (-3.77931, -3.283186), (3.584428, -1.848127)}


def test_bounds_may_be_trees_numbers_pairs_or_those_of_scipy():
    lower, upper = {"x": np.array([-2.0, 0.0]), "y": None}, {"x": 0.5, "y": 2.0}
    flat = scipy.optimize.Bounds([-2.0, 0.0, -np.inf], [0.5, 0.5, 2.0])
    expected = scipy.optimize.minimize(
        scipy.optimize.rosen, [-1.2, 0.4, 0.8], jac=scipy.optimize.rosen_der, bounds=flat, method="L-BFGS-B"
    )
    start = {"x": np.array([-1.2, 0.4]), "y": np.array(0.8)}
    for bounds in ((lower, upper), flat, [(-2.0, 0.5), (0, 0.5), (None, 2.0)]):
        result = minimize(rosenbrock, start, bounds=bounds)
        np.testing.assert_allclose(together(result.x), expected.x, atol=1e-6)
        assert together(result.x)[0] == 0.5
    free = minimize(rosenbrock, start, bounds=(None, np.inf), options={"ftol": 1e-14})
    np.testing.assert_allclose(together(free.x), np.ones(3), atol=1e-4)


def of_hock_and_schittkowski(p):
    """Problem 71 of Hock and Schittkowski, "Test Examples for Nonlinear Programming Codes", 1981."""
    a, b = p["pair"], p["others"]
    return a[0] * b[1] * (a[0] + a[1] + b[0]) + b[0]


HS71 = {"others": np.array([5.0, 1.0]), "pair": np.array([1.0, 5.0])}
HS71_SOLUTION = {"others": [3.82114998, 1.37940829], "pair": [1.0, 4.74299963]}


def product(p):
    return fnp.prod(p["pair"]) * fnp.prod(p["others"])


def square(p):
    return {"sum": fnp.sum(p["pair"] ** 2) + fnp.sum(p["others"] ** 2)}


@pytest.mark.parametrize(
    ("method", "hessian", "form"),
    [("SLSQP", None, "new"), ("SLSQP", None, "old"), ("trust-constr", "product", "old"),
     ("trust-constr", "sparse", "new")],
)  # fmt: skip
def test_constraints_are_functions_of_the_tree_with_exact_derivatives(method, hessian, form):
    if form == "new":
        constraints = [
            scipy.optimize.NonlinearConstraint(product, 25.0, np.inf),
            scipy.optimize.NonlinearConstraint(square, 40.0, 40.0),
        ]
    else:
        constraints = [
            {"type": "ineq", "fun": lambda p, least: product(p) - least, "args": (25.0,)},
            {"type": "eq", "fun": lambda p: square(p)["sum"] - 40.0},
        ]
    result = minimize(
        of_hock_and_schittkowski, HS71, method=method, hessian=hessian, bounds=(1.0, 5.0), constraints=constraints,
        tol=1e-9,
    )  # fmt: skip
    assert result.success
    for name, x in result.x.items():
        np.testing.assert_allclose(x, HS71_SOLUTION[name], atol=1e-5)
    np.testing.assert_allclose(result.fun, of_hock_and_schittkowski(result.x), rtol=1e-14)


def test_the_hessian_of_the_constraints_counts():
    """On a circle, x + y is least at a point that the Hessian of the constraint alone makes one."""
    circle = scipy.optimize.NonlinearConstraint(lambda p: p[0] ** 2 + p[1] ** 2, 2.0, 2.0)
    result = minimize(lambda p: p[0] + p[1], (2.0, 1.0), method="trust-constr", constraints=circle, tol=1e-10)
    np.testing.assert_allclose(result.x, [-1.0, -1.0], atol=1e-8)
    assert result.nit < 20  # with a Hessian of zero it takes twice as many steps and more


def test_a_callback_is_given_trees():
    seen, results = [], []
    minimize(rosenbrock, START, callback=seen.append)
    minimize(rosenbrock, START, callback=lambda intermediate_result: results.append(intermediate_result))
    assert len(seen) == len(results) > 5
    assert all(jax.tree.structure(p) == jax.tree.structure(START) for p in seen)
    for p, result in zip(seen, results, strict=True):
        np.testing.assert_allclose(together(result.x), together(p))
        np.testing.assert_allclose(result.fun, rosenbrock(p))

    def stop(p):
        raise StopIteration

    assert minimize(rosenbrock, START, callback=stop).nit == 1
    states = []
    minimize(rosenbrock, START, method="trust-constr", callback=lambda p, state: states.append((p["y"], state.nit)))
    assert states[0][1] == 1 and states[0][0].shape == ()


def test_a_method_may_be_a_function():
    def descent(fun, x0, jac, hessp, **options):
        x = x0
        for _ in range(60):
            x = x - jac(x) / 8.0
        assert hessp(x, np.ones(2)).tolist() == [8.0, 8.0]
        return scipy.optimize.OptimizeResult(x=x, fun=fun(x), success=True)

    result = minimize(lambda p: fnp.sum(4.0 * (p - 1.0) ** 2), np.zeros(2), method=descent, hessian="product")
    assert result.x.tolist() == [1.0, 1.0] and result.fun == 0.0


def test_the_function_is_traced_and_compiled_before_the_first_step_alone():
    traces = []

    def counted(p):
        traces.append(None)
        return rosenbrock(p)

    first = minimize(counted, START)
    assert len(traces) == 2 and first.nfev > 20  # for its types, and for value and gradient together
    compiled = ft.compilation_count()
    minimize(counted, {"x": np.array([0.5, 0.2]), "y": np.array(2.0)})
    assert ft.compilation_count() == compiled  # the program is remembered
    traces.clear()
    minimize(counted, START, method="trust-ncg")
    assert len(traces) == 3  # the operator of its Hessian, too


def test_the_hessian_is_linearized_once_at_each_point():
    evaluated = []

    def observed(p):
        ft.debug.callback(lambda: evaluated.append(None))
        return rosenbrock(p)

    result = minimize(observed, START, method="trust-ncg")
    ft.effects_barrier()
    assert result.nhev > 3 * result.njev  # products
    assert len(evaluated) <= result.nfev + result.njev


def test_numbers_that_are_not_finite_are_handed_on():
    seen = {}

    def method(fun, x0, jac, **options):
        seen.update(value=fun(x0), slope=jac(x0), far=fun(np.array([1e200])))
        return scipy.optimize.OptimizeResult(x=x0)

    minimize(lambda p: fnp.log(p[0]) + p[0] ** 2, np.array([-1.0]), method=method)
    assert np.isnan(seen["value"]) and seen["slope"] == -3.0 and seen["far"] == np.inf


def test_args_are_handed_on():
    result = minimize(lambda p, a, b: fnp.sum((p - a) ** 2) + b["c"], np.zeros(2), (np.array([1.0, 2.0]), {"c": 3.0}))
    np.testing.assert_allclose(result.x, [1.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(result.fun, 3.0)


# -- less than double precision --------------------------------------------------------------------------------------


def in_single(tree):
    return jax.tree.map(np.float32, tree)


def test_in_single_precision_tolerances_are_coarser_and_that_is_said():
    for x64 in (False, True):
        with jax.enable_x64(x64):
            with pytest.warns(UserWarning, match=r"minimize: .* 1.2e-07, .* gtol=0.00035 \(for 1e-05\)") as seen:
                result = minimize(rosenbrock, in_single(START))
            assert len(seen) == 1 and seen[0].filename == __file__
            assert result.success and result.x["x"].dtype == np.float32
            np.testing.assert_allclose(together(result.x), np.ones(3), atol=2e-3)
            with pytest.warns(UserWarning, match=r"ftol=9.5e-07 \(for 1e-08\), gtol=9.5e-07 .*xtol=9.5e-07"):
                fitted = least_squares(valley, in_single(VALLEY))
            assert fitted.success and fitted.x["y"].dtype == np.float32
            np.testing.assert_allclose([fitted.x["x"], fitted.x["y"]], 1.0, atol=1e-5)
            with pytest.warns(UserWarning, match=r"root: .* xtol=9.5e-07 \(for 1.5e-08\)"):
                found = root(valley, in_single(VALLEY))
            assert found.success


def test_tolerances_that_are_given_or_coarse_enough_stay():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert minimize(rosenbrock, in_single(START), tol=1e-3).success
        assert minimize(rosenbrock, in_single(START), options={"gtol": 1e-3}).success
        minimize(rosenbrock, in_single(START), method="Nelder-Mead", options={"maxiter": 5})
        assert minimize(rosenbrock, in_single(START), method="SLSQP").success
        assert least_squares(valley, in_single(VALLEY), ftol=1e-6, xtol=1e-6, gtol=1e-6).success
        assert minimize(rosenbrock, START).success  # in double precision


# -- least_squares ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "lm"}, {"method": "dogbox"}, {"sparse": True}, {"sparse": True, "tr_solver": "exact"},
     {"mode": "forward"}, {"mode": "reverse"}, {"loss": "soft_l1"}, {"x_scale": "jac"}],
    ids=str,
)  # fmt: skip
def test_a_curved_valley_is_left_as_by_scipy(options):
    if options.get("tr_solver") == "exact":  # SciPy's own refusal comes through
        caught(ValueError, lambda: least_squares(valley, VALLEY, **options)).says("dense")
        return
    given = {name: value for name, value in options.items() if name not in ("sparse", "mode")}
    expected = scipy.optimize.least_squares(
        lambda x: [10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]], [-1.2, 1.0],
        jac=lambda x: np.array([[-20.0 * x[0], 10.0], [-1.0, 0.0]]), **given,
    )  # fmt: skip
    result = least_squares(valley, VALLEY, **options)
    assert result.success and result.fun.shape == (2,)
    np.testing.assert_allclose([result.x["x"], result.x["y"]], expected.x, atol=1e-7)
    assert issparse(result.jac) == bool(options.get("sparse"))
    if not options.get("sparse"):  # a sparse one is solved with by another way
        assert result.nfev == expected.nfev


def test_residuals_of_powell_whose_jacobian_is_singular_at_the_solution():
    result = least_squares(powell, POWELL, gtol=1e-15, xtol=1e-15, ftol=1e-15)
    assert np.abs(result.x).max() < 1e-4 and result.cost < 1e-17
    np.testing.assert_allclose(result.jac[:2], [[1, 10, 0, 0], [0, 0, 5**0.5, -(5**0.5)]], rtol=1e-14)


def test_residuals_within_bounds():
    expected = scipy.optimize.least_squares(
        lambda x: [10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]], [-1.2, 2.0], bounds=([-np.inf, 1.5], np.inf)
    )
    for bounds in (({"x": None, "y": 1.5}, None), scipy.optimize.Bounds([-np.inf, 1.5], np.inf)):
        start = {"x": np.array(-1.2), "y": np.array(2.0)}
        result = least_squares(valley, start, bounds=bounds)
        np.testing.assert_allclose([result.x["x"], result.x["y"]], expected.x, rtol=1e-6)
    flat = least_squares(lambda x: valley({"x": x[0], "y": x[1]}), np.array([-1.2, 2.0]), bounds=([-2, 1.5], [2, 3]))
    np.testing.assert_allclose(flat.x, expected.x, rtol=1e-6)


def project(library, rotations, shifts, points):
    """[cameras, points, 2]: pinhole cameras of focal length 1; rotations are rotation vectors (Rodrigues)."""
    angle2 = library.sum(rotations**2, 1)[:, None, None] + 1e-30
    angle = library.sqrt(angle2)
    r, p = rotations[:, None], points[None]
    cross = library.stack(
        [r[..., 1] * p[..., 2] - r[..., 2] * p[..., 1], r[..., 2] * p[..., 0] - r[..., 0] * p[..., 2],
         r[..., 0] * p[..., 1] - r[..., 1] * p[..., 0]], -1,
    )  # fmt: skip
    along = library.sum(r * p, -1)[..., None] * r
    seen = p * library.cos(angle) + cross * library.sin(angle) / angle + along * (1.0 - library.cos(angle)) / angle2
    seen = seen + shifts[:, None]
    return seen[..., :2] / seen[..., 2:]


@pytest.mark.parametrize("sparse", [False, True])
def test_bundle_adjustment_from_end_to_end(sparse):
    """Four cameras (the first fixed) and 20 points, from their images."""
    draw = np.random.default_rng(0)
    points = draw.uniform(-1.0, 1.0, (20, 3))
    rotations = np.concatenate([np.zeros((1, 3)), draw.normal(0.0, 0.3, (3, 3))])
    shifts = np.concatenate([[[0.0, 0.0, 5.0]], [0.0, 0.0, 5.0] + draw.normal(0.0, 0.5, (3, 3))])
    images = np.stack([
        (lambda seen: seen[:, :2] / seen[:, 2:])(Rotation.from_rotvec(r).apply(points) + s)
        for r, s in zip(rotations, shifts, strict=True)
    ])  # fmt: skip

    def residuals(p):
        turned = fnp.concatenate([np.zeros((1, 3)), p["cameras"][:, :3]])
        moved = fnp.concatenate([shifts[:1], p["cameras"][:, 3:]])
        baseline = fnp.linalg.norm(p["cameras"][0, 3:] - shifts[0]) - np.linalg.norm(shifts[1] - shifts[0])
        return {"images": project(fnp, turned, moved, p["points"]) - images, "size": baseline}

    start = {
        "cameras": np.concatenate([rotations, shifts], 1)[1:] + draw.normal(0.0, 0.02, (3, 6)),
        "points": points + draw.normal(0.0, 0.05, (20, 3)),
    }
    result = least_squares(residuals, start, sparse=sparse, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert result.success and result.jac.shape == (161, 78)
    np.testing.assert_allclose(result.x["points"], points, atol=1e-6)
    np.testing.assert_allclose(result.x["cameras"][:, :3], rotations[1:], atol=1e-6)
    np.testing.assert_allclose(result.x["cameras"][:, 3:], shifts[1:], atol=1e-6)


# -- root ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["hybr", "lm", "newton", "krylov", "broyden1"])
def test_a_system_of_equations_is_solved(method):
    def system(p):
        return [p["x"] + 0.5 * (p["x"] - p["y"]) ** 3 - 1.0, 0.5 * (p["y"] - p["x"]) ** 3 + p["y"]]

    result = root(system, {"x": 0.5, "y": 0.2}, method=method, tol=1e-10)
    assert result.success
    np.testing.assert_allclose([result.x["x"], result.x["y"]], [0.8411639, 0.1588361], atol=1e-7)
    if method == "newton":
        assert result.nit < 10 and np.abs(result.fun).max() < 1e-14


class Grid:
    """A power grid of 50 buses in a ring with chords: the first holds the phase, 9 more generators their voltage."""

    def __init__(self, seed=0, buses=50, chords=30, generators=10):
        draw = np.random.default_rng(seed)
        ring = np.arange(buses)
        self.start = np.concatenate([ring, draw.integers(0, buses, chords)])
        self.end = np.concatenate([(ring + 1) % buses, (draw.integers(1, buses, chords) + self.start[buses:]) % buses])
        admittance = 1.0 / (draw.uniform(0.005, 0.02, buses + chords) + 1j * draw.uniform(0.05, 0.2, buses + chords))
        different = self.start != self.end
        self.start, self.end, self.admittance = self.start[different], self.end[different], admittance[different]
        self.generators = np.arange(generators)
        self.loads = np.arange(generators, buses)
        held, free = draw.uniform(1.0, 1.05, generators), draw.uniform(0.93, 1.02, buses - generators)
        self.voltage = np.concatenate([held, free])
        self.angle = np.concatenate([[0.0], draw.normal(0.0, 0.1, buses - 1)])
        self.power = self.injection(self.voltage * np.exp(1j * self.angle))

    def injection(self, v):
        """Complex power into the grid at each bus, by its admittance matrix: S = V conj(Y V)."""
        y = np.zeros((len(v), len(v)), complex)
        for i, k, a in zip(self.start, self.end, self.admittance, strict=True):
            y[i, i] += a
            y[k, k] += a
            y[i, k] -= a
            y[k, i] -= a
        return v * np.conj(y @ v)

    def mismatch(self, p):
        """Real power at all buses but the first, reactive power at those without a generator."""
        angle = fnp.concatenate([np.zeros(1), p["angle"]])
        voltage = fnp.concatenate([self.voltage[self.generators], p["voltage"]])
        g, b = self.admittance.real, self.admittance.imag
        real, reactive = fnp.zeros(len(angle)), fnp.zeros(len(angle))
        for i, k in ((self.start, self.end), (self.end, self.start)):
            turn = angle[i] - angle[k]
            both = voltage[i] * voltage[k]
            real = real.at[i].add(voltage[i] ** 2 * g - both * (g * fnp.cos(turn) + b * fnp.sin(turn)))
            reactive = reactive.at[i].add(-(voltage[i] ** 2) * b - both * (g * fnp.sin(turn) - b * fnp.cos(turn)))
        return {
            "real": real[1:] - self.power.real[1:],
            "reactive": reactive[self.loads] - self.power.imag[self.loads],
        }


@pytest.mark.parametrize(("method", "sparse"), [("newton", True), ("newton", False), ("hybr", False)])
def test_the_flow_in_a_power_grid_from_end_to_end(method, sparse):
    grid = Grid()
    flat = {"angle": np.zeros(49), "voltage": np.ones(40)}
    steps = []
    callback = {"callback": lambda p, residual: steps.append(np.abs(residual).max())} if method == "newton" else {}
    result = root(grid.mismatch, flat, method=method, sparse=sparse, **callback)
    assert result.success
    voltage = np.concatenate([grid.voltage[grid.generators], result.x["voltage"]])
    angle = np.concatenate([np.zeros(1), result.x["angle"]])
    error = grid.injection(voltage * np.exp(1j * angle)) - grid.power  # by complex arithmetic, of NumPy's
    assert np.abs(error.real[1:]).max() < 1e-9 and np.abs(error.imag[grid.loads]).max() < 1e-9
    np.testing.assert_allclose(angle, grid.angle, atol=1e-8)
    np.testing.assert_allclose(voltage, grid.voltage, atol=1e-8)
    if method == "newton":
        assert result.nit <= 8 and len(steps) == result.nit
        assert steps[-2] < 1e-4 * steps[-3]  # quadratic


def test_newton_halves_steps_that_go_too_far():
    result = root(fnp.arctan, np.array([20.0]), method="newton")  # whole steps run away from 1.4 on
    assert result.success and abs(result.x[0]) < 1e-12 and result.nfev > result.nit + 1


def test_newton_says_why_it_ends():
    ended = lambda fun, x, **options: root(fun, np.array([x]), method="newton", options=options)
    assert ended(lambda x: x**2 + 1.0, 1.0).status in (-2, -3)  # there is no root
    singular = ended(lambda x: x**2 + 1.0, 0.0)
    assert singular.status == -2 and not singular.success and "singular" in singular.message
    assert ended(fnp.log, -1.0).status == -4
    assert ended(lambda x: fnp.exp(x) - 2.0, 5.0, maxiter=2).status == -1
    assert ended(lambda x: x**2 - 2.0, 1.0, fatol=0.1).status == 2
    assert ended(lambda x: x**2 - 2.0, 1.0).status == 1
    assert ended(lambda x: x, 0.0).nit == 0
    pair = root(lambda x: fnp.stack([x[0] + x[1], x[0] + x[1]]) - 1.0, np.zeros(2), method="newton", sparse=True)
    assert pair.status == -2  # by SuperLU


def test_newton_ends_at_the_rounding_errors_of_the_residual():
    noise = iter(np.tile([1e-9, -1e-9], 200))
    result = newton_root(
        lambda x: x - 1.0 + next(noise), lambda x: np.eye(1), np.array([3.0]), 1e-15, None, xtol=1e-30
    )
    assert result.status == 3 and result.success and abs(result.x[0] - 1.0) < 1e-8


# -- wrong use -------------------------------------------------------------------------------------------------------


def test_an_objective_without_a_scalar_is_refused():
    refusal(TypeError, lambda: minimize(lambda p: p, np.ones(3))).says("scalar", "f64[3]", "least_squares")
    refusal(TypeError, lambda: minimize(lambda p: (p[0],), np.ones(3))).says("scalar", "f64[]")
    refusal(TypeError, lambda: minimize(lambda p: p[0] > 0, np.ones(3))).says("floating", "bool")
    refusal(TypeError, lambda: minimize(lambda p: p[0] * 1j, np.ones(3))).says("real", "c128")


@pytest.mark.parametrize("solve", [minimize, least_squares, root])
def test_a_start_that_is_not_real_and_floating_is_refused(solve):
    refusal(TypeError, lambda: solve(lambda p: p["n"] * 1.0, {"n": 3})).says("x0['n']", "floating", "3.0 instead of 3")
    refusal(TypeError, lambda: solve(lambda p: p * 1.0, np.array(1j))).says("real", "c128")
    refusal(TypeError, lambda: solve(lambda p: p, "start")).says("x0", "str")
    refusal(ValueError, lambda: solve(lambda p: 1.0, {})).says("no elements")
    refusal(TypeError, lambda: solve(3.0, 1.0)).says("function")
    refusal(TypeError, lambda: solve(lambda p: p, 1.0, 3.0)).says("args", "tuple")


def test_bounds_of_another_tree_or_shape_are_refused():
    refusal(TypeError, lambda: minimize(rosenbrock, START, bounds=({"x": 0.0}, 1.0))).says("lower", "tree like x0")
    refusal(ValueError, lambda: minimize(rosenbrock, START, bounds=({"x": np.zeros(3), "y": 0.0}, 1.0))).says(
        "lower", "broadcast", "f64[2]"
    )
    refusal(ValueError, lambda: minimize(rosenbrock, START, bounds=[(0.0, 1.0)])).says("pair", "3 elements")
    refusal(TypeError, lambda: minimize(himmelblau, np.ones(2), bounds=((0, 1), (0, 1)))).says("[(lower, upper), ...]")
    refusal(TypeError, lambda: least_squares(valley, VALLEY, bounds=3.0)).says("(lower, upper)")


def test_a_constraint_brings_no_derivatives_of_its_own():
    own = scipy.optimize.NonlinearConstraint(product, 25.0, np.inf, jac=lambda x: x)
    refusal(TypeError, lambda: minimize(of_hock_and_schittkowski, HS71, constraints=own)).says("leave jac and hess out")
    refusal(TypeError, lambda: minimize(of_hock_and_schittkowski, HS71, constraints=[product])).says("constraint")


def test_derivatives_of_the_users_and_what_a_method_does_not_take_are_refused():
    refusal(TypeError, lambda: least_squares(valley, VALLEY, jac="2-point")).says("exact", "jac")
    refusal(ValueError, lambda: least_squares(valley, VALLEY, sparse=True, method="lm")).says("'lm'", "sparse")
    refusal(ValueError, lambda: least_squares(valley, VALLEY, mode="sideways")).says("forward, reverse", "'sideways'")
    refusal(ValueError, lambda: minimize(rosenbrock, START, method="CG", hessian="dense")).says("no Hessian", "dogleg")
    refusal(ValueError, lambda: minimize(rosenbrock, START, method="dogleg", hessian="product")).says("dense")
    refusal(ValueError, lambda: root(valley, VALLEY, sparse=True)).says("'newton'")
    refusal(ValueError, lambda: root(valley, VALLEY, method="newton", options={"eps": 1.0})).says("xtol, fatol", "eps")


def test_a_method_that_is_no_name_or_not_known_is_refused():
    refusal(TypeError, lambda: minimize(rosenbrock, START, method=3)).says("method", "name")
    refusal(TypeError, lambda: root(valley, VALLEY, method=None)).says("method", "name")
    caught(ValueError, lambda: minimize(rosenbrock, START, method="foo")).says("foo")  # by SciPy


def test_a_choice_by_values_is_refused_with_its_line():
    def bent(p):
        return p[0] ** 2 if p[0] > 0 else -p[0]  # blame

    refusal(TypeError, lambda: minimize(bent, np.ones(2))).says("bent", "functrans.lax.cond")


def test_a_system_needs_as_many_equations_as_unknowns():
    refusal(ValueError, lambda: root(lambda x: x[:2], np.ones(3))).says("3 elements", "f64[2]", "least_squares")


def test_a_call_inside_of_a_trace_is_refused():
    def loss(a):
        return minimize(lambda p: fnp.sum((p - a) ** 2), np.ones(2)).fun  # blame

    refusal(TypeError, lambda: ft.grad(loss)(1.0)).says("being traced", "custom_root")
    refusal(TypeError, lambda: ft.jit(loss)(1.0)).says("being traced")
    refusal(TypeError, lambda: jax.jit(loss)(1.0)).says("being traced")


def test_an_error_in_the_function_keeps_its_line():
    def broken(p):
        raise KeyError("a mistake of mine")

    for solve in (minimize, least_squares, root):
        with pytest.raises(KeyError, match="a mistake of mine") as error:
            solve(broken, np.ones(2))
        assert traceback.extract_tb(error.value.__traceback__)[-1].name == "broken"

    def mismatched(p):
        return fnp.sum(p + np.ones(3))  # blame

    refusal((TypeError, ValueError), lambda: minimize(mismatched, np.ones(2)))


def test_an_error_in_a_derivative_names_the_line_of_the_function():
    def endless(p):
        return lax.while_loop(lambda x: x < 10.0, lambda x: x * 2.0, p[0])  # blame

    refusal(NotImplementedError, lambda: minimize(endless, np.ones(2))).says("while_loop")
