"""Scenarios from computer vision, as in ADBench: bundle adjustment and hand tracking.

Srajer, Kukelova, Fitzgibbon: "A benchmark of selected algorithmic differentiation tools on some problems in computer
vision and machine learning", 2018. The Jacobians of both are sparse: an error depends on the one camera, the one point
or the one place on the surface that it was observed with. Those are therefore shifted by one common vector, which is
zero; the Jacobian with respect to the shift is the sparse Jacobian without its zeros.
"""

from __future__ import annotations

from typing import Any

import numpy

from benchmarks.scenario import OF_ARRAYS, Namespace, Program, normal, scenario


def _dot(np: Namespace, a: Any, b: Any) -> Any:
    return np.sum(a * b, axis=-1, keepdims=True)


def _cross(np: Namespace, a: Any, b: Any) -> Any:
    (a0, a1, a2), (b0, b1, b2) = ([vector[..., k] for k in range(3)] for vector in (a, b))
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=-1)


def _rotate(np: Namespace, rotation: Any, point: Any) -> Any:
    """point [..., 3] turned by the axis-angle vector [..., 3]: the formula of Rodrigues, its limit at angle zero."""
    squared_angle = _dot(np, rotation, rotation)
    is_zero = squared_angle == 0.0
    angle = np.sqrt(np.where(is_zero, 1.0, squared_angle))
    cosine, sine = np.cos(angle), np.sin(angle)
    axis = rotation / angle
    turned = point * cosine + _cross(np, axis, point) * sine + axis * (_dot(np, axis, point) * (1.0 - cosine))
    return np.where(is_zero, point + _cross(np, rotation, point), turned)


def project(np: Namespace, camera: Any, point: Any) -> Any:
    """point [..., 3] to its pixel [..., 2].

    camera [..., 11]: rotation (3), centre (3), focal length, principal point (2), radial distortion (2).
    """
    in_camera = _rotate(np, camera[..., :3], point - camera[..., 3:6])
    projected = in_camera[..., :2] / in_camera[..., 2:3]
    squared_radius = _dot(np, projected, projected)
    distortion = 1.0 + camera[..., 9:10] * squared_radius + camera[..., 10:11] * squared_radius * squared_radius
    return projected * distortion * camera[..., 6:7] + camera[..., 7:9]


CAMERA = (0.1, -0.2, 0.3, 0.5, 0.1, -4.0, 1.3, 0.02, -0.01, 0.05, -0.02)
POINT = (0.3, -0.4, 1.5)


@scenario(mapped=(0, 0, 0, 0))
def camera(np: Namespace) -> Program:
    """Squared error of one observation in bundle adjustment."""

    def f(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        residual = weight * (project(np, camera, point) - feature)
        weight_residual = 1.0 - weight * weight
        return np.sum(residual * residual) + weight_residual * weight_residual

    return f, tuple(numpy.asarray(value, numpy.float32) for value in (CAMERA, POINT, 0.8, (0.1, 0.2)))


@scenario(
    mapped=(0, None, None, None, None, None),
    variants=OF_ARRAYS,
    samples=5,
    sizes=(
        {"cameras": 10, "points": 100, "observations": 300},
        {"cameras": 50, "points": 500, "observations": 5_000},
        {"cameras": 50, "points": 5_000, "observations": 50_000},
    ),
)
def bundle_adjustment(np: Namespace, cameras: int = 10, points: int = 100, observations: int = 300) -> Program:
    """The errors [observations, 3] of bundle adjustment: two of a pixel, one of its weight.

    The Jacobian [observations, 3, 15] is by a shift of all cameras (11), points (3) and weights (1).
    """

    def f(shift: Any, cameras: Any, points: Any, weights: Any, features: Any, observed: Any) -> Any:
        weight = weights + shift[14:]
        pixel = project(np, cameras[observed[:, 0]] + shift[:11], points[observed[:, 1]] + shift[11:14])
        return np.concatenate([weight * (pixel - features), 1.0 - weight * weight], axis=1)

    generator = numpy.random.default_rng(11)
    every_camera = numpy.asarray(CAMERA, numpy.float32) * (1 + normal(generator, cameras, 11, scale=0.1))
    every_point = numpy.asarray(POINT, numpy.float32) + normal(generator, points, 3, scale=0.3)
    weights = 0.8 + normal(generator, observations, 1, scale=0.1)
    features = normal(generator, observations, 2, scale=0.2)
    observed = numpy.stack([generator.integers(0, most, observations) for most in (cameras, points)], axis=1)
    arrays = (numpy.zeros(15, numpy.float32), every_camera, every_point, weights, features)
    return f, (*(array.astype(numpy.float32) for array in arrays), observed.astype(numpy.int32))


FINGERS, BONES_OF_A_FINGER = 5, 4
BONES = 2 + FINGERS * BONES_OF_A_FINGER  # forearm, palm, and the fingers, whose first bones hang on the palm
POSE = 6 + FINGERS * BONES_OF_A_FINGER  # the hand's rotation and place, and four angles a finger
PARENTS = (-1, 0, *(1 if bone % BONES_OF_A_FINGER == 0 else bone + 1 for bone in range(BONES - 2)))


def _turn(np: Namespace, angles: Any) -> Any:
    """[bones, 3] angles about x, y and z, turned about in this order, to homogeneous matrices [bones, 4, 4]."""
    (cx, cy, cz), (sx, sy, sz) = ([function(angles[:, axis]) for axis in range(3)] for function in (np.cos, np.sin))
    zero, one = 0.0 * cx, 0.0 * cx + 1.0
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, zero),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, zero),
        (-sy, cy * sx, cy * cx, zero),
        (zero, zero, zero, one),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=1)


def _bone_angles(np: Namespace, angles: Any) -> Any:
    """The pose's angles to those of every bone, [bones, 3].

    A finger's first bone bends and spreads, the second and third bend, the tip is stiff, as are forearm and palm.
    """
    fingers = np.reshape(angles, (FINGERS, 4))
    still = 0.0 * fingers[:, :3]
    bend = np.concatenate([fingers[:, 0:1], fingers[:, 2:4], still[:, :1]], axis=1)
    spread = np.concatenate([fingers[:, 1:2], still], axis=1)
    turned = np.reshape(np.stack([bend, spread, 0.0 * bend], axis=2), (BONES - 2, 3))
    return np.concatenate([0.0 * turned[:2], turned], axis=0)


def _surface(np: Namespace, pose: Any, model: Any) -> Any:
    """The vertices [vertices, 3] of the posed hand by linear blend skinning."""
    relatives = model["relatives"] @ _turn(np, _bone_angles(np, pose[6:]))
    absolutes: list[Any] = []
    for bone, parent in enumerate(PARENTS):
        relative = relatives[bone]
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
    transforms = np.stack(absolutes, axis=0) @ model["inverse absolutes"]
    moved = np.einsum("bij,vj->bvi", transforms, model["positions"])
    skin = np.einsum("vb,bvi->vi", model["weights"], moved)[:, :3]
    return _rotate(np, pose[:3], skin) + pose[3:6]


def hand_model(vertices: int) -> dict[str, numpy.ndarray]:
    """A made-up hand: bones of random directions, vertices about their ends, each moved by two bones."""
    generator = numpy.random.default_rng(12)
    relatives = numpy.zeros((BONES, 4, 4))
    relatives[:] = numpy.eye(4)
    turns, _ = numpy.linalg.qr(generator.standard_normal((BONES, 3, 3)))
    relatives[:, :3, :3] = turns * numpy.sign(numpy.linalg.det(turns))[:, None, None]
    relatives[:, :3, 3] = 0.3 * generator.standard_normal((BONES, 3))
    absolutes: list[numpy.ndarray] = []
    for bone, parent in enumerate(PARENTS):
        absolutes.append(relatives[bone] if parent < 0 else absolutes[parent] @ relatives[bone])
    nearest = generator.integers(0, BONES, vertices)
    positions = numpy.stack(absolutes)[nearest, :3, 3] + 0.1 * generator.standard_normal((vertices, 3))
    weights = numpy.zeros((vertices, BONES))
    share = generator.uniform(0.5, 1.0, vertices)
    weights[numpy.arange(vertices), nearest] = share
    weights[numpy.arange(vertices), (nearest + 1) % BONES] = 1.0 - share
    model = {
        "relatives": relatives,
        "inverse absolutes": numpy.linalg.inv(numpy.stack(absolutes)),
        "positions": numpy.concatenate([positions, numpy.ones((vertices, 1))], axis=1),
        "weights": weights,
    }
    return {name: array.astype(numpy.float32) for name, array in model.items()}


HAND_SIZES = ({"vertices": 100, "count": 50}, {"vertices": 544, "count": 200}, {"vertices": 2_000, "count": 5_000})


@scenario(mapped=(0, None, None, None), variants=OF_ARRAYS, samples=5, sizes=HAND_SIZES)
def hand(np: Namespace, vertices: int = 100, count: int = 50) -> Program:
    """The misfit [count, 3] of observed points to vertices of a posed hand: hand tracking, ADBench's simple objective.

    The pose is [rotation (3), place (3), four angles for each of five fingers].
    """

    def f(pose: Any, model: Any, seen: Any, points: Any) -> Any:
        return points - _surface(np, pose, model)[seen]

    generator = numpy.random.default_rng(13)
    seen = generator.integers(0, vertices, count).astype(numpy.int32)
    return f, (normal(generator, POSE, scale=0.3), hand_model(vertices), seen, normal(generator, count, 3))


@scenario(mapped=(0, None, None, None, None), variants=OF_ARRAYS, samples=5, sizes=HAND_SIZES)
def hand_on_triangles(np: Namespace, vertices: int = 100, count: int = 50) -> Program:
    """The same with each point observed at a free place in a triangle of the surface: ADBench's complicated objective.

    The first argument is the shift of all places within their triangles (2), and the pose (26).
    """

    def f(shift_and_pose: Any, model: Any, triangles: Any, places: Any, points: Any) -> Any:
        surface = _surface(np, shift_and_pose[2:], model)
        places = places + shift_and_pose[:2]
        first, second = places[:, 0:1], places[:, 1:2]
        corners = [surface[triangles[:, corner]] for corner in range(3)]
        return points - (first * corners[0] + second * corners[1] + (1.0 - first - second) * corners[2])

    generator = numpy.random.default_rng(14)
    shift_and_pose = numpy.concatenate([numpy.zeros(2, numpy.float32), normal(generator, POSE, scale=0.3)])
    triangles = generator.integers(0, vertices, (count, 3)).astype(numpy.int32)
    places = generator.uniform(0.0, 0.5, (count, 2)).astype(numpy.float32)
    return f, (shift_and_pose, hand_model(vertices), triangles, places, normal(generator, count, 3))
