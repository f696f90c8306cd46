"""Straight-line programs: scalars, vectors, pytrees, closures, indexing, selection, complex and integer inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from tests.compose.table import program, values


class Layer(NamedTuple):
    weight: Any
    bias: Any


@jax.tree_util.register_pytree_node_class
class Pose:
    """A class registered with JAX's pytree registry, as another library would do it."""

    def __init__(self, position: Any, angle: Any, label: str) -> None:
        self.position, self.angle, self.label = position, angle, label

    def tree_flatten(self) -> tuple[tuple[Any, Any], str]:
        return (self.position, self.angle), self.label

    @classmethod
    def tree_unflatten(cls, label: str, children: tuple[Any, Any]) -> Pose:
        return cls(*children, label)


Function = Callable[..., Any]


# Scalars.


@program(values())
def polynomial(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x * x * x - 2.0 * x + 1.0


@program(0.7)
def python_scalar_stays_weak(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: fnp.sin(x) * x + 3


@program(0.7, values(3, dtype=np.float32))
def weak_scalar_times_array(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: (x * y, x * 2, fnp.exp(x))


@program(values(), values(seed=1.0))
def two_scalars(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.exp(x * y) / (1.0 + y * y) - fnp.log(x)


@program(values())
def power_of_integer_and_float(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x**3 + x**-2 + x**1.5 + 2.0**x


@program(values())
def elementary_functions(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        first = fnp.tanh(x) + fnp.arctan(x) + fnp.sinh(0.5 * x) + fnp.expm1(x)
        second = fnp.log1p(x) + fnp.sqrt(x) + lax.rsqrt(x) + lax.logistic(x) + fnp.cosh(x)
        return first * second

    return function


@program(values())
def inverse_functions(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (
        fnp.arcsin(0.5 * x) + fnp.arccos(0.3 * x) + fnp.arcsinh(x) + fnp.arctanh(0.4 * x) + fnp.arctan2(x, 2.0)
    )


@program(values())
def shared_subexpressions(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        for _ in range(6):
            x = fnp.sin(x) * fnp.sin(x) + x
        return x

    return function


@program(values())
def constant_result_next_to_a_real_one(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (fnp.zeros(2) + 1.0, x * x, fnp.ones_like(x))


@program(values(), values(seed=2.0))
def unused_argument(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.cos(x)


@program(values(), values(seed=2.0))
def argument_returned_as_it_is(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: (y, x, x)


@program(values())
def stopped_gradient(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x * lax.stop_gradient(fnp.sin(x)) + lax.stop_gradient(x)


@program(values())
def rounding_has_zero_derivative(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x * fnp.floor(3.0 * x) + fnp.sign(x) * x + fnp.round(x)


# Arrays.


@program(values(4))
def softmax(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        weights = fnp.exp(x - fnp.max(x))
        return weights / fnp.sum(weights)

    return function


@program(values(2, 3))
def log_sum_exp_of_rows(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        largest = lax.stop_gradient(fnp.max(x, axis=-1, keepdims=True))
        return fnp.log(fnp.sum(fnp.exp(x - largest), axis=-1)) + largest[:, 0]

    return function


@program(values(3))
def euclidean_norm(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: fnp.sqrt(fnp.sum(x * x))


@program(values(3), values(3, seed=1.0))
def dot_product(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.dot(x, y) * fnp.sum(x)


@program(values(2, 3), values(3, 2, seed=1.0))
def matrix_product(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.tanh(x @ y)


@program(values(2, 2, 3), values(2, 3, 2, seed=1.0))
def batched_dot_general(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,))))


@program(values(2, 3))
def reductions(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (
        fnp.sum(x, axis=0),
        fnp.prod(x, axis=1),
        fnp.max(x, axis=(0, 1)),
        fnp.min(x, axis=-1),
        fnp.mean(x),
    )


@program(values(2, 3), values(3, seed=1.0))
def broadcasting(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: x * y + x[:, :1] / y[None, :] + fnp.broadcast_to(y, (2, 3))


@program(values(6))
def shape_changes(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        matrix = fnp.reshape(x, (2, 3))
        return fnp.concatenate([matrix.T.ravel(), fnp.flip(x), x[1:3]])[None] * 2.0, fnp.squeeze(matrix[:, None, :], 1)

    return function


@program(values(4))
def slices_and_steps(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x[::2] * x[3:0:-2] + x[-1] * x[..., 1]


@program(values(2, 3))
def padding(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: fnp.sin(lax.pad(x, 0.0, ((1, 0, 1), (0, 2, 0))) + 0.0) + fnp.pad(x, ((0, 1), (1, 1)))[0, 0]


@program(values(2, 2), values(2, 2, seed=3.0))
def stack_of_arrays(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.stack([x, y * x, x], axis=1)


@program(values(0, 3))
def empty_array(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (fnp.sin(x) * x, fnp.sum(x, axis=0), fnp.sum(x))


@program(values(5))
def differences(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (x[1:] - x[:-1]) ** 2 / (x[1:] + x[:-1])


@program(values(2, 3), values(2, seed=1.0))
def linear_regression_loss(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(inputs: Any, targets: Any) -> Any:
        weight = fnp.arange(3.0, dtype=inputs.dtype)
        return fnp.mean((inputs @ weight - targets) ** 2)

    return function


# Indexing.


@program(values(4), np.array([2, 0, 2]))
def gather_by_array(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, index: x[index] ** 2


@program(values(3, 2), np.array(2))
def gather_by_scalar(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, index: x[index] * x[-1] + x[index, 0]


@program(values(3, 4))
def gather_with_static_indices(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: x[np.array([0, 2]), np.array([1, 1])] + x[1, ::2] + fnp.take(x, np.array([3, 0]), axis=1)[0]


@program(values(4), values(2, seed=1.0))
def scatter_set_and_add(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: fnp.sin(x).at[1:3].set(y * x[0]).at[np.array([0, 3])].add(y)


@program(values(4), np.array([1, 1, 3]), values(3, seed=1.0))
def scatter_add_at_repeated_index(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, index, y: x.at[index].add(y * y) * x


@program(values(5), np.array(1), values(2, seed=1.0))
def dynamic_slices(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any, start: Any, y: Any) -> Any:
        piece = lax.dynamic_slice(x, (start,), (2,))
        return lax.dynamic_update_slice(x * x, piece * y, (start + 1,))

    return function


@program(np.array([2, 0]), jacobians=False)
def closed_over_array_indexed_by_argument(ft: Any, fnp: Any, lax: Any) -> Function:
    table = jax.numpy.asarray([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    return lambda index: table[index] * 2 + table.at[index].set(1)[0]


# Selection.


@program(values(3))
def where_protects_the_square_root(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        shifted = x - x[0]  # Exactly zero in the first lane, where the square root has no derivative.
        positive = shifted > 0
        return fnp.where(positive, fnp.sqrt(fnp.where(positive, shifted, 1.0)), 0.0)

    return function


@program(values(4))
def piecewise(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        bent = fnp.where(x > 0.5, x * x, 0.25 + 0 * x)
        return bent + fnp.maximum(x, 0.6) + fnp.minimum(x, 0.4) + fnp.abs(x - 0.5) + fnp.clip(x, 0.3, 0.9)

    return function


@program(values(4))
def largest_element_by_index(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: (x[fnp.argmax(x)], fnp.argmin(x), fnp.max(x))


@program(values(3))
def logical_results(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: ((x > 0.5) & (x < 1.0), fnp.all(x > 0), fnp.where(x > 0.5, 1, 2), x)


# Integers, booleans, complex numbers, narrow types.


@program(np.array([1, 2, 3]), values(3))
def integer_input(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda n, x: (n * x, n + 1, n // 2)


@program(3, values(3))
def python_integer_input(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda n, x: (n * x, n * 2)


@program(np.array([True, False, True]), values(3))
def boolean_input(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda mask, x: fnp.where(mask, fnp.sin(x), x * x)


@program(values(3, dtype=np.float32), np.array([1, 2, 3], np.int8))
def mixed_dtypes(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, n: x * n + np.float32(0.5) * x + fnp.asarray(2, fnp.float16)


@program(values(3))
def conversion_to_half_and_back(ft: Any, fnp: Any, lax: Any) -> Function:
    # Halving is exact in float16 as in float32, so no rounding hides behind the conversion.
    return lambda x: x.astype(fnp.float32).astype(x.dtype) * x


@program(values(3, dtype=np.complex128), jacobians=False)
def complex_vector(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda z: fnp.exp(z) * z + fnp.conj(z) * fnp.abs(z)


@program(values(2, dtype=np.complex128), values(2), jacobians=False)
def complex_parts(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda z, x: (fnp.real(z) * x, fnp.imag(z * z), lax.complex(x, x * x) * z)


@program(values(2, 2, dtype=np.complex128), jacobians=False)
def complex_matrix_product(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda z: fnp.real(z @ fnp.conj(z).T)


# Pytrees and closures.


@program({"w": values(2, 3), "b": values(2, seed=1.0)}, values(3, seed=2.0))
def dictionary_of_parameters(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda parameters, x: {"out": fnp.tanh(parameters["w"] @ x + parameters["b"]), "extra": (x, None)}


@program((Layer(values(2, 2), values(2)), Layer(values(2, 2, seed=1.0), None)), values(2, seed=2.0))
def named_tuples_and_none(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(layers: Any, x: Any) -> Any:
        for layer in layers:
            x = fnp.tanh(layer.weight @ x + (0.0 if layer.bias is None else layer.bias))
        return Layer(x, None)

    return function


@program(Pose(values(2), values(seed=1.0), "camera"))
def registered_class(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(pose: Pose) -> Pose:
        turn = fnp.stack([fnp.cos(pose.angle), fnp.sin(pose.angle)])
        return Pose(pose.position * turn, pose.angle * 2.0, pose.label + "'")

    return function


@program(values(2), values(2, seed=1.0))
def closure_over_outer_value(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any, y: Any) -> Any:
        inner = ft.grad(lambda z: fnp.sum(fnp.sin(z * y) * x))
        return inner(x) * y

    return function


@program(values(2))
def jvp_inside_with_closed_over_tangent(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: ft.jvp(lambda y: fnp.sin(y) * x, (x * x,), (fnp.cos(x),))


@program(values(3), values(3, seed=1.0))
def vmap_inside_over_closed_over_value(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, y: ft.vmap(lambda z: z * y + fnp.sum(x))(x)


@program(values(2))
def pullback_called_twice(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        value, pullback = ft.vjp(lambda y: fnp.sin(y) * y, x)
        (first,) = pullback(value)
        (second,) = pullback(first)
        return first, second

    return function
