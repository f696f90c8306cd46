"""Train a digit classifier with functrans, then ask the trained model the questions only derivatives answer.

    python examples/quickstart.py [--figure PATH] [--epochs N] [--seed N]

The data are the 1797 handwritten digits of the UCI repository, 8 x 8 pixels, as scikit-learn ships them. The script

1. trains a two-layer perceptron with ``jit(value_and_grad(loss))``;
2. takes one gradient for each training image with ``vmap(grad(loss))`` and finds the images that still pull hardest;
3. takes the Jacobian of the ten class scores in the 64 pixels, for a batch of images, with ``vmap(jacrev(scores))``
   and again with ``vmap(jacfwd(scores))``, and compares the two;
4. finds the largest eigenvalue of the loss's Hessian, 4810 x 4810 and never formed, from Hessian-vector products;
5. differentiates the loss four times along the last step of the optimiser, by ``grad`` of ``grad`` of ``grad`` of
   ``grad``, and checks the result against finite differences and against the loss itself.

It prints a summary and writes one figure. Everything is computed in float64, so that the checks can be sharp.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled, titled_figure
from sklearn.datasets import load_digits
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp

ft.config.update("jax_enable_x64", True)

HELD_OUT = 450
HIDDEN = 64
BATCH = 128
LEARNING_RATE = 0.01
WEIGHT_DECAY = 1e-4  # keeps the loss's minimum at a finite place, and so its Hessian well conditioned


# ---------------------------------------------------------------------------------------------------- data and model


def load_images(seed):
    """Training and held-out (images [n, 64] in 0..1, labels [n] in 0..9), split at random."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.data))
    images, labels = digits.data[order] / 16.0, digits.target[order]
    return (images[HELD_OUT:], labels[HELD_OUT:]), (images[:HELD_OUT], labels[:HELD_OUT])


def one_hot(labels):
    """labels [n] -> [n, 10], a one in the column of each label."""
    return np.eye(10)[labels]


def initial_parameters(seed):
    """Weights drawn with the variance that keeps the signal's size, zero biases."""
    generator = np.random.default_rng(seed)
    return {
        "hidden": {"weights": generator.normal(size=(64, HIDDEN)) / math.sqrt(64), "bias": np.zeros(HIDDEN)},
        "output": {"weights": generator.normal(size=(HIDDEN, 10)) / math.sqrt(HIDDEN), "bias": np.zeros(10)},
    }


def scores(parameters, images):
    """The ten class scores of one image [64] -> [10], or of many [n, 64] -> [n, 10]."""
    hidden = fnp.tanh(images @ parameters["hidden"]["weights"] + parameters["hidden"]["bias"])
    return hidden @ parameters["output"]["weights"] + parameters["output"]["bias"]


def cross_entropy(parameters, images, targets):
    """-log of the probability given to the true class, averaged over the images; targets are one-hot."""
    values = scores(parameters, images)
    largest = fnp.max(values, axis=-1, keepdims=True)
    log_total = fnp.log(fnp.sum(fnp.exp(values - largest), axis=-1, keepdims=True)) + largest
    return fnp.mean(fnp.sum(targets * (log_total - values), axis=-1))


def loss(parameters, images, targets):
    """The function that is minimised: cross-entropy plus weight decay."""
    squares = sum(fnp.sum(leaf * leaf) for leaf in ft.tree.leaves(parameters))
    return cross_entropy(parameters, images, targets) + 0.5 * WEIGHT_DECAY * squares


def accuracy(parameters, images, labels):
    return float(np.mean(np.argmax(np.asarray(scores(parameters, images)), axis=-1) == labels))


# ------------------------------------------------------------------------------------- vectors in the parameter space


def inner(a, b):
    return sum(fnp.sum(x * y) for x, y in zip(ft.tree.leaves(a), ft.tree.leaves(b), strict=True))


def add_scaled(a, scale, b):
    """a + scale * b, leaf by leaf."""
    return ft.tree.map(lambda x, y: x + scale * y, a, b)


def unit(a):
    return ft.tree.map(lambda x: x / fnp.sqrt(inner(a, a)), a)


# ----------------------------------------------------------------------------------------------------------- 1. train


@ft.jit
def adam_step(parameters, gradient, first, second, count, rate):
    """One step of Adam (Kingma and Ba 2015, algorithm 1): the new parameters, the step taken, the new moments."""
    first = ft.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = ft.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)
    step = ft.tree.map(
        lambda m, v: -rate * (m / (1 - 0.9**count)) / (fnp.sqrt(v / (1 - 0.99**count)) + 1e-8), first, second
    )
    return add_scaled(parameters, 1.0, step), step, first, second


def train(training, held_out, epochs, seed):
    """Train from scratch: the parameters, the last step taken, and a row (loss, held-out accuracy) for each epoch."""
    images, targets = training[0], one_hot(training[1])
    loss_and_gradient = ft.jit(ft.value_and_grad(loss))
    parameters = initial_parameters(seed)
    first = second = ft.tree.map(np.zeros_like, parameters)
    generator = np.random.default_rng(seed)
    history, count = [], 0
    bar = tqdm(range(epochs), desc="training", unit="epoch")
    for epoch in bar:
        rate = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        order = generator.permutation(len(images))
        losses = []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            value, gradient = loss_and_gradient(parameters, images[chosen], targets[chosen])
            count += 1
            parameters, step, first, second = adam_step(parameters, gradient, first, second, float(count), rate)
            losses.append(value)
        history.append((np.mean(np.asarray(losses)), accuracy(parameters, *held_out)))
        bar.set_postfix(loss=f"{history[-1][0]:.4f}", held_out=f"{history[-1][1]:.1%}", refresh=False)
    return parameters, step, np.array(history)


# --------------------------------------------------------------------------------------- 2. a gradient for each image


def gradient_norms(parameters, images, targets):
    """|d cross_entropy / d parameters| of each image by itself -> [n], and how far their mean is from the batch's."""
    for_each = ft.jit(ft.vmap(ft.grad(cross_entropy), in_axes=(None, 0, 0)))(parameters, images, targets)
    whole = ft.grad(cross_entropy)(parameters, images, targets)
    disagreement = max(
        float(np.max(np.abs(np.mean(np.asarray(each), axis=0) - np.asarray(all_at_once))))
        for each, all_at_once in zip(ft.tree.leaves(for_each), ft.tree.leaves(whole), strict=True)
    )
    squares = [np.sum(np.asarray(leaf).reshape(len(images), -1) ** 2, axis=1) for leaf in ft.tree.leaves(for_each)]
    return np.sqrt(sum(squares)), disagreement


# -------------------------------------------------------------------------------------------------- 3. input Jacobians


def input_jacobians(parameters, images):
    """d scores / d pixels of each image -> [n, 10, 64], and the largest difference of reverse from forward mode."""
    reverse = ft.jit(ft.vmap(ft.jacrev(scores, argnums=1), in_axes=(None, 0)))(parameters, images)
    forward = ft.jit(ft.vmap(ft.jacfwd(scores, argnums=1), in_axes=(None, 0)))(parameters, images)
    return np.asarray(reverse), float(np.max(np.abs(np.asarray(reverse) - np.asarray(forward))))


# -------------------------------------------------------------------------------------------------- 4. the curvature


def largest_curvature(parameters, images, targets, seed, tolerance=1e-6, most=500):
    """Power iteration on the Hessian of the training loss: the eigenvalue found after each step, and |Hv - cv| / c."""

    @ft.jit
    def power_step(vector):
        product = ft.hvp(lambda at: loss(at, images, targets), (parameters,), (vector,))
        eigenvalue = inner(vector, product)
        residual = add_scaled(product, -eigenvalue, vector)
        return unit(product), eigenvalue, fnp.sqrt(inner(residual, residual)) / eigenvalue

    vector = unit(initial_parameters(seed + 1))
    found = []
    for _ in tqdm(range(most), desc="power iteration", unit="product", leave=False):
        vector, eigenvalue, residual = power_step(vector)
        found.append(float(eigenvalue))
        if abs(residual) < tolerance:
            break
    return np.array(found), float(residual)


# ------------------------------------------------------------------------------- 5. four derivatives along a direction


def derivatives_along(parameters, direction, images, targets):
    """phi(t) = loss(parameters + t * direction), its derivatives of orders 0..4 at 0, and two checks of the fourth.

    The first check takes the second central difference of phi''; the second compares phi itself with the Taylor
    polynomial of degree four, whose error must fall with the fifth power of t: 32-fold when t is halved.
    """

    def phi(t):
        return loss(add_scaled(parameters, t, direction), images, targets)

    nested = [phi]
    for _ in range(4):
        nested.append(ft.grad(nested[-1]))
    nested = [ft.jit(function) for function in nested]
    orders = np.array([float(function(0.0)) for function in nested])
    width = 1e-3  # balances the difference's truncation error, width**2, with its rounding error, 1e-16 / width**2
    second = [float(nested[2](t)) for t in (-width, 0.0, width)]
    by_difference = (second[0] - 2 * second[1] + second[2]) / width**2
    far, near = (abs(float(nested[0](t)) - taylor(orders, t, 4)) for t in (0.1, 0.05))
    return nested[0], orders, by_difference, far / near


def taylor(orders, t, degree):
    """sum over k <= degree of orders[k] * t**k / k!"""
    return sum(orders[k] * t**k / math.factorial(k) for k in range(degree + 1))


# ------------------------------------------------------------------------------------------------------------- figure


def pictures(part, title, images, darkest=1.0):
    """A titled part of the figure filled with 2 x 5 digits in grey; the axes of each."""
    titled(part, title)
    cells = part.subplots(2, 5, gridspec_kw={"wspace": 0.06, "hspace": 0.06}).ravel()
    for axes, image in zip(cells, images, strict=True):
        axes.imshow(image.reshape(8, 8), cmap="gray_r", vmax=darkest)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(FAINT)
    return cells


def draw(path, history, norms, hardest, sensitive, eigenvalues, phi, orders):
    """Write the figure: six parts, one for each question and one for the images that the second one found."""
    figure = titled_figure(
        f"A classifier of handwritten digits, {history[-1, 1]:.1%} right on images it never saw, "
        "and what its derivatives say about it",
        (16, 8.4),
    )
    parts = figure.subfigures(2, 3, wspace=0.04, hspace=0.06)

    axes = panel(parts[0, 0], "1  jit(value_and_grad(loss)) trains it")
    epochs = np.arange(1, len(history) + 1)
    axes.semilogy(epochs, history[:, 0], color=COOL, label="training loss")
    axes.semilogy(epochs, 1 - history[:, 1], color=WARM, label="share of held-out images misread")
    axes.axhline(0.04, color=FAINT, linestyle="--", linewidth=1)
    axes.text(len(history), 0.0405, "4 %", ha="right", va="bottom", color="#7a8790", fontsize=9)
    axes.set_xlabel("epoch")
    axes.legend(frameon=False)

    axes = panel(parts[0, 1], "2  vmap(grad(loss)): each image's pull on the weights")
    ranked = np.sort(norms)[::-1]
    rank = np.arange(1, len(ranked) + 1)
    axes.loglog(rank, ranked, color=COOL)
    axes.loglog(rank[: len(hardest)], ranked[: len(hardest)], "o", color=WARM, label="shown on the right")
    axes.set_xlabel("training images, strongest first")
    axes.set_ylabel("norm of the image's own gradient")
    axes.legend(frameon=False, loc="lower left")

    cells = pictures(parts[0, 2], "    ... and the ten that pull hardest", [image for image, *_ in hardest])
    for axes, (_, label, said, probability) in zip(cells, hardest, strict=True):
        wrong = said != label
        text = f"{label} read as {said}" if wrong else f"{label}, {probability:.0%} sure"
        axes.set_title(text, fontsize=10, color=WARM if wrong else INK)

    title = "3  vmap(jacrev(scores)): red pixels for, blue against"
    cells = pictures(parts[1, 0], title, [image for image, *_ in sensitive], darkest=3.0)
    rows, columns = np.divmod(np.arange(64), 8)
    largest = max(np.max(np.abs(slope)) for _, slope, _ in sensitive)
    for axes, (_, slope, label) in zip(cells, sensitive, strict=True):
        axes.scatter(columns, rows, s=110 * np.abs(slope) / largest, c=np.where(slope > 0, WARM, COOL), linewidths=0)
        axes.set_title(f"a {label}" if label != 8 else "an 8", fontsize=10, color=INK)

    axes = panel(parts[1, 1], "4  Hessian-vector products find the sharpest direction")
    axes.plot(np.arange(1, len(eigenvalues) + 1), eigenvalues, "o-", color=COOL, markersize=4, label="power iteration")
    axes.axhline(orders[2], color=WARM, linestyle="--", label="curvature along the optimiser's last step")
    axes.set_xlabel("Hessian-vector products")
    axes.set_ylabel("curvature of the training loss")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right")

    axes = panel(parts[1, 2], "5  grad(grad(grad(grad(loss)))) along that last step")
    t = np.linspace(-0.9, 0.9, 91)
    values = np.array([float(phi(float(at))) for at in t])
    axes.plot(t, values, color=FAINT, linewidth=6, label="the loss itself")
    axes.plot(t, taylor(orders, t, 2), color=COOL, linestyle="--", label="predicted by two derivatives")
    axes.plot(t, taylor(orders, t, 4), color=WARM, label="predicted by four derivatives")
    axes.set_ylim(0, values.max() * 1.25)
    axes.set_xlabel("distance from the trained weights")
    axes.legend(frameon=False, loc="upper center")

    save(figure, path)


# --------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    """Run the whole example; returns the measured figures by name, as the summary prints them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "quickstart.png")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    started = time.perf_counter()
    training, held_out = load_images(options.seed)
    images, labels = training
    targets = one_hot(labels)

    parameters, step, history = train(training, held_out, options.epochs, options.seed)
    norms, mean_gap = gradient_norms(parameters, images, targets)
    jacobians, mode_gap = input_jacobians(parameters, held_out[0][:128])
    eigenvalues, residual = largest_curvature(parameters, images, targets, options.seed)
    phi, orders, by_difference, fall = derivatives_along(parameters, unit(step), images, targets)

    values = np.asarray(scores(parameters, images))
    probabilities = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    strongest = np.argsort(norms)[::-1][:10]
    hardest = [(images[i], labels[i], int(values[i].argmax()), probabilities[i, labels[i]]) for i in strongest]

    sensitive = []  # for each class, averaged over its images: how a pixel moves the class's score against the others'
    leads = jacobians - jacobians.mean(axis=1, keepdims=True)
    batch_images, batch_labels = (part[: len(jacobians)] for part in held_out)
    for label in range(10):
        members = batch_labels == label
        sensitive.append((batch_images[members].mean(axis=0), leads[members, label].mean(axis=0), label))

    draw(options.figure, history, norms, hardest, sensitive, eigenvalues, phi, orders)

    measured = {
        "held-out accuracy": history[-1, 1],
        "training loss": history[-1, 0],
        "mean of the gradients against the gradient of the mean": mean_gap,
        "jacrev against jacfwd": mode_gap,
        "largest Hessian eigenvalue": eigenvalues[-1],
        "residual of its eigenvector": residual,
        "fourth derivative": orders[4],
        "fourth derivative by differences": by_difference,
        "fall of the Taylor error": fall,
        "seconds": time.perf_counter() - started,
    }
    share = np.sum(np.sort(norms)[::-1][:10]) / np.sum(norms)
    print(
        f"""
1  training: {len(images)} images, {options.epochs} epochs, loss {measured["training loss"]:.4f}
   held-out accuracy                         {measured["held-out accuracy"]:.2%} of {len(held_out[0])} images
2  a gradient for each of {len(images)} images: the ten largest carry {share:.0%} of the total pull
   their mean against the batch's gradient   differs by {mean_gap:.1e}
3  Jacobians [128, 10, 64] of the scores in the pixels
   reverse mode against forward mode         differ by {mode_gap:.1e}
4  largest eigenvalue of the Hessian         {eigenvalues[-1]:.6f} after {len(eigenvalues)} products
   |Hv - cv| / c                             {residual:.1e}
   curvature along the last step             {orders[2]:.6f}
5  fourth derivative along the last step     {orders[4]:+.9f}
   by differences of the second              {by_difference:+.9f}
   error of the Taylor polynomial            falls {fall:.1f}-fold when the distance is halved (32 expected)

figure: {options.figure}
{measured["seconds"]:.1f} s"""
    )
    return measured


if __name__ == "__main__":
    main()
