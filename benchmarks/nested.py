"""Scenarios whose function itself takes derivatives: the saddle point and the charged particle of GradBench.

Pearlmutter, Siskind: "Using Programming Language Theory to Make Automatic Differentiation Sound and Efficient", 2008.
Here stand the functions that are minimised, whose gradients are derivatives of derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy

from benchmarks.namespaces import gradient_in, repeat
from benchmarks.scenario import WITHOUT_HESSIAN, Namespace, Program, scenario


def difference_of_squares(np: Namespace, x: Any, y: Any) -> Any:
    """The function of x [2] and y [2] whose saddle point is sought: it is at zero."""
    return np.sum(x * x) - np.sum(y * y)


@scenario(mapped=(0, None), variants=WITHOUT_HESSIAN, samples=5)
def saddle(np: Namespace) -> Program:
    """max_y f(x, y) of the difference of squares, the y that maximises it found by twenty steps of gradient ascent."""

    def f(x: Any, start: Any) -> Any:
        y = start
        for _ in range(20):
            y = y + 0.1 * gradient_in(np)(lambda y: difference_of_squares(np, x, y))(y)
        return difference_of_squares(np, x, y)

    return f, (numpy.asarray([1.0, 0.5], numpy.float32), numpy.asarray([0.5, -1.0], numpy.float32))


PLACE, VELOCITY = (0.0, 8.0), (0.75, 0.0)


def potential(np: Namespace, x: Any, w: Any) -> Any:
    """At x [2], of unit charges at (10, 10 - w) and at (10, 0)."""
    across, above, below = x[0] - 10.0, x[1] - 10.0 + w, x[1]
    return 1.0 / np.sqrt(across * across + above * above) + 1.0 / np.sqrt(across * across + below * below)


def squared_crossing(np: Namespace, place: Any, velocity: Any) -> Any:
    """The square of where a straight line from `place` crosses the first axis."""
    crossing = place[0] - place[1] / velocity[1] * velocity[0]
    return crossing * crossing


def steps_until_crossing(w: float, duration: float) -> int:
    """How many steps of Euler's method, of this duration, keep the particle above the first axis."""
    place, velocity = numpy.asarray(PLACE), numpy.asarray(VELOCITY)
    for step in range(10_000):
        following = place + duration * velocity
        if following[1] <= 0.0:
            return step
        velocity = velocity - duration * gradient_in(numpy)(lambda x: potential(numpy, x, w))(place)
        place = following
    raise ValueError(f"the particle does not cross the axis for w = {w}")


@scenario(mapped=(0, None, None), variants=WITHOUT_HESSIAN, samples=5)
def particle(np: Namespace) -> Program:
    """Squared distance from the origin at which a particle, repelled by two charges, crosses the axis.

    Steps of Euler's method, the force being the gradient of the potential; the last one is cut at the axis. How many
    there are is counted beforehand, so that the program can be compiled: its derivative is that of the counting loop.
    """
    w, duration = 0.5, 0.5
    steps = steps_until_crossing(w, duration)

    def f(w: Any, place: Any, velocity: Any) -> Any:
        def step(state: tuple[Any, Any]) -> tuple[Any, Any]:
            place, velocity = state
            slope = gradient_in(np)(lambda x: potential(np, x, w))(place)
            return place + duration * velocity, velocity - duration * slope

        return squared_crossing(np, *repeat(np, steps, step, (place, velocity)))

    return f, tuple(numpy.asarray(value, numpy.float32) for value in (w, PLACE, VELOCITY))
