"""What the loss of a network looks like from within: the spectrum of its Hessian while it learns.

    python examples/hessian_spectrum.py [--examples N] [--steps N] [--figure PATH]

A network with 1,400 weights learns to tell blurred pictures in noise apart, by plain gradient descent on all examples.
The script

1. computes the whole Hessian of the cross entropy, by ``functrans.hessian`` within a budget of memory, and all of its
   eigenvalues, at the start and when most has been learned;
2. finds the same spectrum from products alone: the density by stochastic Lanczos quadrature (Golub and Meurant, 1994;
   Ghorbani, Krishnan and Xiao, 2019) on ``hessian_operator``, the largest eigenvalues by SciPy's Lanczos method;
3. does so for Gauss and Newton's matrix, the Hessian without the curvature of the network: it holds the outliers, and
   the bulk on both sides of zero is the rest (Sagun et al., 2017; Papyan, 2018);
4. counts the outliers for three, five and eight classes: there is one fewer than classes, since adding a number to all
   logits changes nothing;
5. follows the largest eigenvalue, the sharpness, while the squared error is minimised: it goes to 2 / learning rate,
   beyond which a quadratic would throw gradient descent off, and stays there (Cohen et al., 2021);
6. follows the curvature along the gradient by ``functrans.hvp``, which comes to the same number where the rate is high:
   to second order, steps go neither down nor up.

It prints a summary and writes one figure. Everything is computed in float64.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled_figure
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import eigsh
from scipy.stats import wasserstein_distance
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from functrans.derivatives import gauss_newton_operator, hessian_operator

ft.config.update("jax_enable_x64", True)

SIDE, WIDTH = 8, 16  # of the pictures; of the two hidden layers
CLASSES = 5
LEARNED = 100  # steps after which the classes are told apart, and nothing is known by heart
MEMORY = 100_000_000  # bytes that computing a Hessian may take
SHADES = (COOL, INK, WARM, "#7a9e7e", "#d9a441")


# -------------------------------------------------------------------------------------------- pictures and a network


class Task(NamedTuple):
    """Pictures ``[examples, pixels]`` and what they show, ``[examples, classes]`` of zeros and a one."""

    pictures: np.ndarray
    wanted: np.ndarray

    def cross_entropy(self, logits):
        return -fnp.mean(fnp.sum(self.wanted * nn.log_softmax(logits), axis=-1))

    def squared_error(self, outputs):
        return fnp.mean(fnp.sum((outputs - self.wanted) ** 2, axis=-1)) / 2

    def outputs(self, weights):
        return network(weights, self.pictures, self.wanted.shape[1])

    def loss(self, weights):
        return self.cross_entropy(self.outputs(weights))


def make_task(examples, classes, noise, seed=0):
    """A blurred pattern for each class, moved by up to a pixel each way, in noise."""
    numbers = np.random.default_rng(seed)
    patterns = numbers.normal(size=(classes, SIDE, SIDE))
    for axis in (1, 2, 1, 2):
        patterns = (np.roll(patterns, 1, axis) + 2 * patterns + np.roll(patterns, -1, axis)) / 4
    patterns /= patterns.std(axis=(1, 2), keepdims=True)
    labels = np.arange(examples) % classes
    moved = [np.roll(patterns[label], numbers.integers(-1, 2, 2), (0, 1)) for label in labels]
    pictures = (np.stack(moved) + noise * numbers.normal(size=(examples, SIDE, SIDE))).reshape(examples, -1) / SIDE
    return Task(pictures - pictures.mean(axis=0), np.eye(classes)[labels])


def layers(classes):
    return [(SIDE * SIDE, WIDTH), (WIDTH, WIDTH), (WIDTH, classes)]


def first_weights(classes, seed=1):
    numbers = np.random.default_rng(seed)
    parts = [(numbers.normal(size=a * b) / np.sqrt(a), np.zeros(b)) for a, b in layers(classes)]
    return np.concatenate([x for pair in parts for x in pair])


def network(weights, x, classes):
    place = 0
    for a, b in layers(classes):
        matrix, shift = weights[place : place + a * b].reshape(a, b), weights[place + a * b : place + (a + 1) * b]
        x = (x if place == 0 else fnp.tanh(x)) @ matrix + shift
        place += (a + 1) * b
    return x


def descent(loss, steps):
    """So many steps of gradient descent as one compiled loop: (weights, learning rate) -> weights."""
    step = lambda rate: lambda i, weights: weights - rate * ft.grad(loss)(weights)
    return ft.jit(lambda weights, rate: lax.fori_loop(0, steps, step(rate), weights))


# ---------------------------------------------------------------------------------------------------- 1 to 3. spectra


def lanczos(operator, start, steps):
    """Of each row of ``start`` [probes, n], a tridiagonal matrix: the diagonals [probes, steps], and what is beside
    them [probes, steps - 1]. All vectors are kept orthogonal."""
    basis = np.empty((len(start), steps, start.shape[1]))
    diagonal, beside = np.empty(basis.shape[:2]), np.empty(basis.shape[:2])
    along = start
    for k in range(steps):
        beside[:, k] = np.linalg.norm(along, axis=1)
        basis[:, k] = along / beside[:, k, None]
        along = np.asarray(operator @ basis[:, k].T).T
        diagonal[:, k] = np.sum(along * basis[:, k], axis=1)
        for _ in range(2):  # to take the shadows of earlier vectors away once is not enough
            shadows = basis[:, : k + 1] @ along[:, :, None]
            along = along - (shadows.transpose(0, 2, 1) @ basis[:, : k + 1])[:, 0]
    return diagonal, beside[:, 1:]


def quadrature(operator, steps=80, probes=8, seed=2):
    """Values and weights that stand for the distribution of the eigenvalues: of ``probes`` random vectors."""
    start = np.random.default_rng(seed).normal(size=(probes, operator.shape[0]))
    values, weights = [], []
    for diagonal, beside in zip(*lanczos(operator, start, steps), strict=True):
        ritz, vectors = eigh_tridiagonal(diagonal, beside)
        values.append(ritz)
        weights.append(vectors[0] ** 2 / probes)
    return np.concatenate(values), np.concatenate(weights)


def largest_eigenvalues(operator, count):
    """In falling order, by SciPy's Lanczos method, to all digits."""
    return np.sort(eigsh(operator.to_scipy(), count, which="LA", return_eigenvectors=False))[::-1]


def outliers(values):
    """How many of the values, in falling order, stand before the widest gap, by ratio."""
    return int(np.argmax(values[:-1] / values[1:])) + 1


class Spectrum(NamedTuple):
    """A matrix by both ways."""

    exact: np.ndarray  # all eigenvalues, rising
    largest: np.ndarray  # some, falling, from products
    density: tuple  # values and weights, from products
    seconds: tuple  # for the matrix, its eigenvalues, the largest, the density


def spectrum(matrix, operator, count):
    times = [time.perf_counter()]
    results = []
    for compute in (
        lambda: np.asarray(matrix()),
        lambda: np.linalg.eigvalsh(results[0]),
        lambda: largest_eigenvalues(operator, count),
        lambda: quadrature(operator),
    ):
        results.append(compute())
        times.append(time.perf_counter())
    return Spectrum(*results[1:], tuple(np.diff(times)))


def gauss_newton_by_hand(task, weights):
    """J^T H J, with the Jacobian of the logits and, of the cross entropy, diag(p) - p p^T for each example."""
    jacobian = np.asarray(ft.jacobian(task.outputs)(weights))
    p = np.asarray(nn.softmax(task.outputs(weights)))
    middle = np.einsum("ij,jk->ijk", p, np.eye(p.shape[1])) - np.einsum("ij,ik->ijk", p, p)
    return np.einsum("ejw,ejv->wv", middle @ jacobian, jacobian, optimize=True) / len(p)


def spectra_of(task, weights):
    hessian = ft.hessian(task.loss, memory=MEMORY)
    count = 2 * task.wanted.shape[1]
    gauss_newton = gauss_newton_operator(task.outputs, task.cross_entropy, weights)
    return {
        "Hessian": spectrum(lambda: hessian(weights), hessian_operator(task.loss, weights), count),
        "Gauss-Newton": spectrum(lambda: gauss_newton_by_hand(task, weights), gauss_newton, count),
    }


def largest_of_classes(examples, classes):
    """The largest eigenvalues of the Hessian when most has been learned, for another number of classes."""
    task = make_task(examples, classes, noise=3.0)
    weights = descent(task.loss, LEARNED)(first_weights(classes), 0.5)
    return largest_eigenvalues(hessian_operator(task.loss, weights), 2 * classes)


# ------------------------------------------------------------------------------------------ 5, 6. the edge of stability


class Course(NamedTuple):
    """What is seen on the way, each ``[times]``."""

    steps: np.ndarray
    losses: np.ndarray
    along: np.ndarray  # the curvature along the gradient
    sharpness: np.ndarray


def follow(task, rates, steps, between=10):
    """Gradient descent on the squared error, looked at every so many steps: {learning rate: Course}."""
    loss = lambda weights: task.squared_error(task.outputs(weights))
    walk = descent(loss, between)
    operator_at = ft.jit(lambda weights: hessian_operator(loss, weights))

    @ft.jit
    def seen(weights):
        value, gradient = ft.value_and_grad(loss)(weights)
        return value, gradient @ ft.hvp(loss, (weights,), (gradient,)) / (gradient @ gradient)

    courses = {}
    for rate in rates:
        weights, direction, rows = first_weights(task.wanted.shape[1]), None, []
        for step in tqdm(range(0, steps + 1, between), desc=f"learning rate {rate}", unit="look"):
            sharpness, vectors = eigsh(operator_at(weights).to_scipy(), 1, which="LA", v0=direction, tol=1e-5)
            direction = vectors[:, 0]  # from which the next search starts
            rows.append((step, *map(float, seen(weights)), sharpness[0]))
            weights = walk(weights, rate)
        courses[rate] = Course(*np.array(rows).T)
    return courses


# ------------------------------------------------------------------------------------------------------------- figure


def smoothed(density, places, width):
    values, weights = density
    bells = np.exp(-(((places[:, None] - values) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
    return bells @ weights


def draw_spectrum(part, title, spectra):
    axes = panel(part, title)
    exact = spectra["Hessian"].exact
    reach = np.array([min(exact[0], 0) - 0.1, exact[-1] + 0.1])
    places = np.linspace(*reach, 1500)
    width = (reach[1] - reach[0]) / 250
    bins = np.linspace(*reach, 120)
    axes.hist(exact, bins, density=True, color=FAINT, label="Hessian, all eigenvalues")
    for (name, found), colour in zip(spectra.items(), (WARM, COOL), strict=True):
        curve = smoothed(found.density, places, width)
        axes.plot(places, curve, color=colour, linewidth=1.3, label=f"{name}, from products")
    axes.set_yscale("log")
    axes.set_ylim(2e-4, 60)
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("density")
    axes.legend(frameon=False, fontsize=9)


def draw_outliers(part, found):
    axes = panel(part, "4  the largest eigenvalues, after as many steps")
    for (many, values), colour in zip(found.items(), SHADES, strict=False):
        ranks = np.arange(1, len(values) + 1)
        first = ranks < many
        axes.plot(ranks, values, color=colour, linewidth=1, alpha=0.6)
        axes.plot(ranks[first], values[first], "o", color=colour, label=f"{many} classes")
        axes.plot(ranks[~first], values[~first], "o", color=colour, fillstyle="none")
    axes.set_yscale("log")
    axes.set_yticks([0.4, 0.6, 1.0, 1.5, 2.0], ["0.4", "0.6", "1", "1.5", "2"])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("rank; filled: the first ones, one fewer than classes")
    axes.set_ylabel("eigenvalue")
    axes.legend(frameon=False, fontsize=9)


def draw_sharpness(part, courses):
    axes = panel(part, "5  the sharpness goes to 2 / learning rate, and stays")
    for (rate, course), colour in zip(courses.items(), SHADES, strict=False):
        axes.plot(course.steps, course.sharpness, color=colour, linewidth=1.2, label=f"learning rate {rate}")
        axes.axhline(2 / rate, color=colour, linewidth=1, linestyle=":")
    axes.set_xlabel("step")
    axes.set_ylabel("largest eigenvalue of the Hessian")
    axes.set_ylim(0, 2.4 / min(courses))
    axes.legend(frameon=False, fontsize=9)


def draw_along(part, courses):
    axes = panel(part, "6  curvature along the gradient, times learning rate")
    for (rate, course), colour in zip(courses.items(), SHADES, strict=False):
        axes.plot(course.steps, rate * course.along, color=colour, linewidth=0.9, label=f"learning rate {rate}")
    axes.axhline(2, color="grey", linewidth=1, linestyle=":")
    place = (0.45 * course.steps[-1], 2.06)
    axes.annotate("above, a step goes uphill", place, fontsize=9, color="grey", va="bottom", ha="center")
    axes.set_ylim(-0.1, 2.3)
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=9, loc="center", bbox_to_anchor=(0.45, 0.5))


def draw_task(part, task):
    axes = panel(part, "1  the mean of each class, and some of its pictures")
    classes = task.wanted.shape[1]
    for kind in range(classes):
        pictures = task.pictures[kind::classes]
        for row, picture in enumerate((pictures.mean(axis=0) * 2, *pictures[:4])):
            left, top = kind * (SIDE + 1), row * (SIDE + 1) + 2 * (row > 0)
            reach = (left, left + SIDE, top + SIDE, top)
            axes.imshow(picture.reshape(SIDE, SIDE), cmap="Greys", extent=reach, vmin=-0.8, vmax=0.8)
    axes.set_xlim(0, classes * (SIDE + 1))
    axes.set_ylim(5 * (SIDE + 1) + 2, 0)
    axes.axis("off")


def draw(path, task, start, learned, found, courses):
    figure = titled_figure("The Hessian of a network while it learns: bulk, outliers, edge of stability", (18, 10))
    parts = figure.subfigures(2, 3, wspace=0.03, hspace=0.05)
    draw_task(parts[0, 0], task)
    draw_spectrum(parts[0, 1], "2  the spectrum at the start", start)
    draw_spectrum(parts[0, 2], f"3  after {LEARNED} steps", learned)
    draw_outliers(parts[1, 0], found)
    draw_sharpness(parts[1, 1], courses)
    draw_along(parts[1, 2], courses)
    save(figure, path)


# --------------------------------------------------------------------------------------------------------------- main


def report(name, found):
    """Both ways to one spectrum, side by side."""
    exact = found.exact[::-1][: len(found.largest)]
    values, weights = found.density
    many = len(found.exact)
    off = wasserstein_distance(found.exact, values, None, weights) / found.exact[-1]
    matrix, eigenvalues, largest, density = found.seconds
    return f"""{name}
  largest, of the matrix        {" ".join(f"{x:.4f}" for x in exact[:6])}
  largest, from products        {" ".join(f"{x:.4f}" for x in found.largest[:6])}
  they differ by                {np.max(np.abs(exact - found.largest)) / exact[0]:.1e} of the largest
  smallest, outliers            {found.exact[0]:.4f}, {outliers(found.largest)}
  trace, and from products      {found.exact.sum():.3f}, {many * (values @ weights):.3f}
  distributions differ by       {off:.1e} of the largest
  seconds                       {matrix:.2f} matrix, {eigenvalues:.2f} its eigenvalues; {largest:.2f} largest, \
{density:.2f} density from products"""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "hessian_spectrum.png")
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 8], help=f"numbers of them besides {CLASSES}")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.4, 0.5, 0.6], help="of learning, for the edge")
    parser.add_argument("--steps", type=int, default=1000, help="of gradient descent at the edge of stability")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    task, weights = make_task(options.examples, CLASSES, noise=3.0), first_weights(CLASSES)
    print(ft.explain(ft.hessian(task.loss, memory=MEMORY))(weights))
    spectra = {}
    for name in tqdm(("at the start", f"after {LEARNED} steps"), desc="spectra", unit="spectrum"):
        spectra[name] = spectra_of(task, weights)
        right = np.mean(np.argmax(task.outputs(weights), axis=1) == np.argmax(task.wanted, axis=1))
        print(f"\n{name}: loss {float(task.loss(weights)):.3f}, {right:.0%} right")
        for matrix, found in spectra[name].items():
            print(report(matrix, found))
        weights = descent(task.loss, LEARNED)(weights, 0.5)
    found = {CLASSES: spectra[name]["Hessian"].largest}
    for classes in tqdm(options.classes, desc="outliers", unit="task"):
        found[classes] = largest_of_classes(options.examples, classes)
    found = dict(sorted(found.items()))
    print("\noutliers  " + ", ".join(f"{outliers(values)} of {classes} classes" for classes, values in found.items()))

    plain = make_task(options.examples, CLASSES, noise=1.5)
    courses = follow(plain, options.rates, options.steps)
    print("\nlearning rate  2 / rate  sharpness at the start  in the last quarter  loss     uphill")
    for rate, course in courses.items():
        last = course.sharpness[-len(course.sharpness) // 4 :]
        print(
            f"{rate:13}  {2 / rate:8.3f}  {course.sharpness[0]:22.3f}  {last.mean():10.3f} ± {last.std():.3f}   "
            f"{course.losses[-1]:.1e}  {np.mean(course.along * rate > 2):.0%}"
        )
    draw(options.figure, task, *spectra.values(), found, courses)
    print(f"\nfigure: {options.figure}\n{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    with threadpool_limits(1):  # SciPy's matrices are of a thousand rows: more threads would wait for each other
        main()
