"""The benchmark scenarios compute what they are named for, and every side can run them."""

from __future__ import annotations

import itertools

import jax
import jax.numpy
import numpy as np
import pytest
import scipy.signal
import scipy.spatial
import scipy.special
import scipy.stats
from scipy.spatial.transform import Rotation

import functrans as ft
import functrans.numpy as fnp
from benchmarks import report, stages, vision
from benchmarks.namespaces import convolve
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import JaxSide, side_named, variant_args
from benchmarks.timing import Samples


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "chain_10000"])  # minutes to compile
def test_a_scenario_has_one_value_under_numpy_and_under_jax(name: str) -> None:
    f, args = SCENARIOS[name].build(np)
    traced, _ = SCENARIOS[name].build(jax.numpy)
    np.testing.assert_allclose(jax.jit(traced)(*args), f(*args), rtol=1e-5, atol=1e-5)


def test_each_stage_of_each_side_runs() -> None:
    """What is timed as tracing, lowering and compiling ends in a program that computes the gradient."""
    results = []
    for name in ("functrans", "jax"):
        side = side_named(name)
        function, args = side.variant(SCENARIOS["chain"], "grad")
        before = side.compile_count()
        run = side.compile(side.lower(side.trace(function, args)))
        results += jax.tree.leaves(run(*args))
        assert side.equation_count(function, args) > 0
        assert side.compile_count() >= before
        side.forget()
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-6 * np.abs(results[1]).max())  # rounding of sums


def test_camera_turns_points_as_scipy_does() -> None:
    f, (camera, point, weight, feature) = SCENARIOS["camera"].build(np)
    seen = Rotation.from_rotvec(camera[:3]).apply(point - camera[3:6])
    projected = seen[:2] / seen[2]
    radius = projected @ projected
    pixel = projected * (1 + camera[9] * radius + camera[10] * radius**2) * camera[6] + camera[7:9]
    expected = np.sum((weight * (pixel - feature)) ** 2) + (1 - weight**2) ** 2
    np.testing.assert_allclose(f(camera, point, weight, feature), expected, rtol=1e-5)


def test_camera_without_rotation_is_at_the_limit_of_small_rotations() -> None:
    f, (camera, *rest) = SCENARIOS["camera"].build(np)
    unturned, hardly_turned = camera.copy(), camera.copy()
    unturned[:3] = 0
    hardly_turned[:3] = (1e-5, 0, 0)
    with np.errstate(all="raise"):
        np.testing.assert_allclose(f(unturned, *rest), f(hardly_turned, *rest), rtol=1e-4)


def test_gmm_is_the_likelihood_that_scipy_gives_plus_the_wishart_prior() -> None:
    f, (parameters, x) = SCENARIOS["gmm"].build(np)
    alphas, means, factors = (np.asarray(value, np.float64) for value in parameters)
    components, dimension = means.shape
    densities, prior = [], 0.0
    for k in range(components):
        factor = np.diag(np.exp(factors[k, :dimension]))
        factor.T[np.triu_indices(dimension, 1)] = factors[k, dimension:]  # strictly lower, column by column
        covariance = np.linalg.inv(factor.T @ factor)
        densities.append(scipy.stats.multivariate_normal(means[k], covariance).logpdf(x))
        prior += 0.5 * np.sum(factor**2)
    degrees = dimension + 1
    constant = -degrees * dimension * 0.5 * np.log(2) - scipy.special.multigammaln(0.5 * degrees, dimension)
    weights = scipy.special.log_softmax(alphas)
    likelihood = np.sum(scipy.special.logsumexp(np.stack(densities, 1) + weights, axis=1))
    np.testing.assert_allclose(f(parameters, x), likelihood + prior - components * constant, rtol=1e-5)


def test_kmeans_sums_the_squared_distances_to_the_nearest_mean() -> None:
    f, (centres, points) = SCENARIOS["kmeans"].build(np)
    distances = scipy.spatial.distance.cdist(points, centres, "sqeuclidean")
    np.testing.assert_allclose(f(centres, points), distances.min(axis=1).sum(), rtol=1e-5)


def test_log_sum_exp_is_scipys() -> None:
    f, (x,) = SCENARIOS["log_sum_exp"].build(np)
    np.testing.assert_allclose(f(x), scipy.special.logsumexp(x.astype(np.float64)), rtol=1e-6)


def test_least_squares_measures_the_misfit_of_a_polynomial() -> None:
    f, (x, t, signs) = SCENARIOS["least_squares"].build(np)
    misfit = np.polynomial.Polynomial(x.astype(np.float64))(t) - signs
    np.testing.assert_allclose(f(x, t, signs), 0.5 * misfit @ misfit, rtol=1e-5)


def test_the_ode_has_the_product_of_its_constants_for_a_solution() -> None:
    f, (x,) = SCENARIOS["ode"].build(np)
    exact = np.prod(x) * 2.0**x.size / scipy.special.factorial(x.size)
    np.testing.assert_allclose(f(x), exact, rtol=0.05)  # the error of six steps
    for i in range(x.size):  # which does not touch the solution's proportionality to each constant
        doubled = x.copy()
        doubled[i] *= 2
        np.testing.assert_allclose(f(doubled), 2 * f(x), rtol=1e-5)


def test_determinant_is_numpys_and_its_expansion_is_recursive() -> None:
    for size in SCENARIOS["determinant"].sizes:
        f, (a,) = SCENARIOS["determinant"].sized(size).build(np)
        np.testing.assert_allclose(f(a), np.linalg.det(a.astype(np.float64)), rtol=1e-5)
    f, args = SCENARIOS["determinant"].build(fnp)
    products = sum(equation.op.name == "mul" for equation in ft.make_jaxpr(f)(*args).equations)
    assert 2**4 < products <= 40  # 4! (1/1! + 1/2! + 1/3!) where no minor is found twice


def test_lstm_is_the_recurrence_written_out_for_one_letter_after_another() -> None:
    f, (parameters, letters, start) = SCENARIOS["lstm"].build(np)
    expit = scipy.special.expit
    hidden, memory = start[:, 0].astype(np.float64), start[:, 1].astype(np.float64)
    losses = []
    for letter, following in itertools.pairwise(letters):
        signal = letter * parameters["input"]
        for layer, (weights, bias) in enumerate(zip(parameters["weights"], parameters["bias"], strict=True)):
            by_input, by_hidden = (np.stack([value * w + b for w, b in zip(weights, bias, strict=True)])
                                   for value in (signal, hidden[layer]))  # fmt: skip
            memory[layer] = expit(by_input[0]) * memory[layer] + expit(by_hidden[1]) * np.tanh(by_hidden[3])
            hidden[layer] = signal = expit(by_input[2]) * np.tanh(memory[layer])
        prediction = signal * parameters["output"] + parameters["offset"]
        normaliser = scipy.special.logsumexp(np.append(prediction, np.log(2.0)))
        losses.append(-np.mean(following * (prediction - normaliser)))
    np.testing.assert_allclose(f(parameters, letters, start), np.mean(losses), rtol=1e-5)


def _posed_surface(pose: np.ndarray, model: dict[str, np.ndarray]) -> np.ndarray:
    """The hand's vertices by SciPy's rotations, bone by bone and vertex by vertex."""
    angles = np.zeros((vision.BONES, 3))
    for finger, (bend, spread, second, third) in enumerate(pose[6:].reshape(5, 4)):
        first = 2 + 4 * finger
        angles[first], angles[first + 1, 0], angles[first + 2, 0] = (bend, spread, 0), second, third
    absolutes: list[np.ndarray] = []
    for bone, parent in enumerate(vision.PARENTS):
        turned = np.eye(4)
        turned[:3, :3] = Rotation.from_euler("xyz", angles[bone]).as_matrix()
        relative = model["relatives"][bone] @ turned
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
    skin = [
        sum(w * absolutes[b] @ model["inverse absolutes"][b] @ place for b, w in enumerate(weights))[:3]
        for place, weights in zip(model["positions"], model["weights"], strict=True)
    ]
    return Rotation.from_rotvec(pose[:3]).apply(skin) + pose[3:6]


def test_a_hand_is_its_model_at_rest_and_turns_its_bones_as_scipy_does() -> None:
    f, (pose, model, seen, points) = SCENARIOS["hand"].build(np)
    np.testing.assert_allclose(f(0 * pose, model, seen, points), points - model["positions"][seen, :3], atol=1e-5)
    expected = points - _posed_surface(pose, model)[seen]
    np.testing.assert_allclose(f(pose, model, seen, points), expected, atol=1e-5)


def test_a_hand_on_triangles_is_seen_at_places_within_them() -> None:
    f, (shift_and_pose, model, triangles, places, points) = SCENARIOS["hand_on_triangles"].build(np)
    corners = _posed_surface(shift_and_pose[2:], model)[triangles]
    barycentric = np.column_stack([places, 1 - places.sum(axis=1)])
    expected = points - np.einsum("nc,nci->ni", barycentric, corners)
    np.testing.assert_allclose(f(shift_and_pose, model, triangles, places, points), expected, atol=1e-5)


def test_every_bone_of_the_hand_hangs_on_one_before_it_and_a_finger_is_a_chain() -> None:
    assert vision.PARENTS == (-1, 0, 1, 2, 3, 4, 1, 6, 7, 8, 1, 10, 11, 12, 1, 14, 15, 16, 1, 18, 19, 20)


def test_bundle_adjustment_has_the_errors_of_its_single_observations_and_their_jacobian() -> None:
    scenario = SCENARIOS["bundle_adjustment"]
    f, (shift, cameras, points, weights, features, observed) = scenario.build(np)
    errors = f(shift, cameras, points, weights, features, observed)
    single, _ = SCENARIOS["camera"].build(np)
    jacobian, args = JaxSide().variant(scenario, "jacobian")
    blocks = np.asarray(jax.jit(jacobian)(*args))
    gradient = jax.jit(jax.grad(SCENARIOS["camera"].build(jax.numpy)[0], argnums=(0, 1, 2)))
    for n in (0, 7, 299):
        seen = (cameras[observed[n, 0]], points[observed[n, 1]], weights[n, 0], features[n])
        np.testing.assert_allclose(np.sum(errors[n] ** 2), single(*seen), rtol=1e-4)
        expected = np.concatenate([np.ravel(part) for part in gradient(*seen)])
        np.testing.assert_allclose(2 * errors[n] @ blocks[n], expected, rtol=1e-3, atol=1e-4)


def test_the_maximum_of_the_saddle_is_almost_the_square_of_x_and_its_derivative_twice_x() -> None:
    f, (x, start) = SCENARIOS["saddle"].build(fnp)
    np.testing.assert_allclose(f(x, start), x @ x - 0.8**40 * (start @ start), rtol=1e-5)
    np.testing.assert_allclose(ft.grad(f)(x, start), 2 * x, rtol=1e-6)


def test_the_particle_crosses_in_the_step_that_was_counted_and_moves_by_the_potentials_slope() -> None:
    f, (w, place, velocity) = SCENARIOS["particle"].build(np)
    place, velocity, duration = place.astype(np.float64), velocity.astype(np.float64), 0.5
    while (following := place + duration * velocity)[1] > 0:
        to_charges = place - np.asarray([(10, 10 - w), (10, 0)])
        repelled = to_charges / np.linalg.norm(to_charges, axis=1, keepdims=True) ** 3
        place, velocity = following, velocity + duration * repelled.sum(axis=0)
    fraction = -place[1] / velocity[1]
    assert 0 <= fraction <= duration
    np.testing.assert_allclose(
        f(w, *SCENARIOS["particle"].build(np)[1][1:]), (place[0] + fraction * velocity[0]) ** 2, rtol=1e-4
    )


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.sizes])
def test_the_sizes_of_a_scenario_are_three_and_grow(name: str) -> None:
    scenario = SCENARIOS[name]
    amounts = []
    for size in scenario.sizes:
        _, args = scenario.sized(size).build(np)
        amounts.append(sum(np.size(leaf) for leaf in jax.tree.leaves(args)) * size.get("steps", 1))
    assert amounts == sorted(amounts)
    assert len(set(amounts)) == len(amounts) >= 3


@pytest.mark.parametrize("namespace", [np, jax.numpy, fnp], ids=lambda namespace: namespace.__name__)
def test_convolutions_are_scipys_correlations_in_every_namespace(namespace: object) -> None:
    generator = np.random.default_rng(0)
    images, kernel = (generator.normal(size=size).astype(np.float32) for size in ((2, 3, 6, 5), (4, 3, 3, 2)))
    expected = np.zeros((2, 4, 4, 4))
    for n, out, channel in np.ndindex(2, 4, 3):
        expected[n, out] += scipy.signal.correlate2d(images[n, channel], kernel[out, channel], mode="valid")
    np.testing.assert_allclose(convolve(namespace, images, kernel), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "operations"), [("chain", 40), ("chain_1000", 1_000), ("chain_10000", 10_000)])
def test_the_chains_are_as_long_as_they_are_said_to_be(name: str, operations: int) -> None:
    f, args = SCENARIOS[name].build(fnp)
    assert operations <= len(ft.make_jaxpr(f)(*args).equations) <= 1.2 * operations


def test_mapped_arguments_are_stacked_and_scaled_and_the_others_left_alone() -> None:
    scenario = SCENARIOS["gmm"]
    _, args = scenario.build(np)
    parameters, x = variant_args(args, "vmap(grad)", scenario.mapped)
    np.testing.assert_array_equal(parameters[0], args[0][0])
    assert x.shape == (8, *args[1].shape)
    np.testing.assert_allclose(x[3], args[1] * 1.03, rtol=1e-6)


def _row(measurement: str, ours: tuple[float, ...], yardstick: tuple[float, ...]) -> report.Row:
    return report.Row(measurement, "case", "", Samples(ours), Samples(yardstick))


@pytest.mark.parametrize(
    ("measurement", "ours", "yardstick", "verdict"),
    [
        ("dispatch", (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), "met"),
        ("dispatch", (1.0, 1.2, 1.4), (0.9, 1.1, 1.3), "met (within spread)"),
        ("dispatch", (1.2, 1.2, 1.2), (1.0, 1.0, 1.0), "MISSED"),
        ("un-jitted first call", (1.9,), (1.0,), "met"),
        ("un-jitted first call", (2.1,), (1.0,), "MISSED"),
        ("un-jitted grad(x*x + x)(3.0)", (41e-6,), (1e-3,), "MISSED"),
        ("trace", (1.0,), (1.0,), ""),
    ],
)
def test_a_row_is_judged_by_its_own_target(
    measurement: str, ours: tuple[float, ...], yardstick: tuple[float, ...], verdict: str
) -> None:
    assert report.verdict(_row(measurement, ours, yardstick)) == verdict


def test_geometric_means_are_judged_by_scenario_and_over_all() -> None:
    rows = [
        report.Row("trace + lower", scenario, variant, Samples((1.0,)), Samples((ratio,)))
        for scenario, variant, ratio in (("a", "f", 4.0), ("a", "grad", 16.0), ("b", "f", 3.0))
    ]
    found = {summary.scenario: summary for summary in report.summaries(rows)}
    assert found["a"].ratio == pytest.approx(8.0)
    assert (found["a"].verdict, found["b"].verdict, found["all"].verdict) == ("met", "MISSED", "MISSED")
    assert found["all"].worst == pytest.approx(3.0)


def test_a_transform_that_costs_nothing_has_no_ratio_instead_of_an_endless_one() -> None:
    def traced(variant: str, ours: float, theirs: float) -> report.Row:
        return report.Row("trace", "case", variant, Samples((ours,)), Samples((theirs,)))

    rows = stages.transform_rows([traced("f", 3.0, 10.0), traced("grad", 2.0, 30.0), traced("hvp", 5.0, 50.0)])
    assert [(row.variant, row.ratio) for row in rows] == [("grad", None), ("hvp", 20.0)]
