"""Modules that are JAX's own, in the transforms of functrans: the numbers are those of JAX's transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.example_libraries import optimizers, stax
from functrans.experimental import checkify, sparse
from functrans.scipy.spatial.transform import Rotation, Slerp
from tests.agreement import assert_same

X = np.float32([[0.3, -1.2, 0.8], [1.5, 0.4, -0.6]])
M = np.float32([[0, 2, 0], [1, 0, 0], [0, 0, 3]])


def transformed(of: Any, f: Callable[..., Any], x: Any) -> Any:
    """Value, both modes, second order, vmap, compiled."""
    loss = lambda x: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(f(x)))
    slope = of.grad(loss)
    direction = jax.tree.map(np.cos, x)
    lanes = jax.tree.map(lambda leaf: np.stack([leaf, leaf * np.float32(1.1)]), x)
    return of.jit(
        lambda x, direction, lanes: [
            f(x), slope(x), of.jvp(f, (x,), (direction,)), of.jvp(slope, (x,), (direction,))[1], of.vmap(f)(lanes),
            of.vmap(slope)(lanes),
        ]
    )(x, direction, lanes)  # fmt: skip


def assert_transforms_agree(f: Callable[..., Any], x: Any, context: str = "") -> None:
    assert_same(transformed(ft, f, x), transformed(jax, f, x), 512, weak=False, context=context)


# -- sparse matrices ---------------------------------------------------------------------------------------------------

A = sparse.BCOO.fromdense(M)
R = sparse.BCSR.fromdense(M)
LANES = sparse.bcoo_fromdense(np.stack([M, 2 * M]), n_batch=1)


def _bcoo(data: Any) -> Any:
    return sparse.BCOO((data, A.indices), shape=A.shape)


def _bcsr(data: Any) -> Any:
    return sparse.BCSR((data, R.indices, R.indptr), shape=R.shape)


SPARSE: dict[str, tuple[Callable[..., Any], Any]] = {
    "BCOO @ x": (lambda x: A @ x[0], X),
    "x @ BCOO": (lambda x: x @ A, X),
    "BCOO by its entries": (lambda x: _bcoo(x[0]) @ x[1], X),
    "BCOO.T, sums, slices": (lambda x: ((_bcoo(x[0]).T * 2).sum(1).todense(), _bcoo(x[1])[1:].todense()), X),
    "BCOO + BCOO": (lambda x: (_bcoo(x[0]) + _bcoo(x[1])).todense(), X),
    "BCOO * BCOO": (lambda x: (_bcoo(x[0]) * _bcoo(x[1])).todense(), X),
    "BCOO * dense": (lambda x: sparse.bcoo_multiply_dense(_bcoo(x[0]), x[1]), X),
    "BCSR @ x": (lambda x: R @ x[0], X),
    "BCSR by its entries": (lambda x: _bcsr(x[0]) @ x[1], X),
    "dense to sparse and back": (lambda x: sparse.BCOO.fromdense(x, nse=6).todense() * x, X),
    "products sampled": (
        lambda x: sparse.bcoo_dot_general_sampled(
            x[0][:, None], x[1][None], A.indices, dimension_numbers=(((1,), (0,)), ((), ()))
        ),
        X,
    ),
    "reshaped and joined": (
        lambda x: (_bcoo(x[0]).reshape(9).todense(), sparse.bcoo_concatenate([_bcoo(x[0]), A], dimension=0).todense()),
        X,
    ),
    "sparsify": (lambda x: sparse.sparsify(lambda m, v: jnp.dot(m * 3, v))(_bcoo(x[0]), x[1]), X),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_matrices(name: str) -> None:
    assert_transforms_agree(*SPARSE[name], context=name)


def test_sparse_matrices_are_arguments_and_results() -> None:
    double = ft.jit(lambda m: m * 2)
    assert_same(double(A).todense(), 2 * M)
    slopes = ft.grad(lambda m: fnp.sum((m @ X[0]) ** 2), allow_int=True)(A)
    theirs = jax.grad(lambda m: jnp.sum((m @ X[0]) ** 2), allow_int=True)(A)
    assert_same(slopes.data, theirs.data, 64)
    together = lambda x: (_bcoo(x[0]) @ _bcoo(x[1])).todense()  # JAX has no reverse mode of it
    assert_same(ft.jvp(together, (X,), (X,)), jax.jvp(together, (X,), (X,)), 64, weak=False)
    dense = lambda x: _bcoo(x[0]).todense() @ _bcoo(x[1]).todense()
    slopes = [ft.grad(lambda x, f=f: jnp.sum(f(x) ** 2))(X) for f in (together, dense)]
    assert_same(*slopes, 64, weak=False)
    product = ft.vmap(lambda m, x: m @ x, in_axes=(0, None))(LANES, X[0])
    assert_same(product, np.stack([M @ X[0], 2 * M @ X[0]]), 64, weak=False)
    ours = sparse.grad(lambda m: fnp.sum(fnp.sin(m @ X[0])))(A)
    assert_same(ours.data, sparse.grad(lambda m: jnp.sum(jnp.sin(m @ X[0])))(A).data, 64, weak=False)


# -- layers, optimisers ------------------------------------------------------------------------------------------------


def test_layers() -> None:
    init, apply = stax.serial(
        stax.FanOut(2), stax.parallel(stax.Dense(4), stax.serial(stax.Dense(4), stax.Tanh)), stax.FanInSum,
        stax.Dense(3), stax.LogSoftmax,
    )  # fmt: skip
    shape, parameters = init(ft.random.key(0), (-1, 3))
    assert shape == (-1, 3)
    assert_transforms_agree(lambda p: apply(p, X), parameters)
    init, apply = stax.serial(
        stax.Conv(2, (3, 3), padding="SAME"), stax.BatchNorm(), stax.Gelu, stax.MaxPool((2, 2), strides=(2, 2)),
        stax.AvgPool((2, 2)), stax.Flatten, stax.Softplus,
    )  # fmt: skip
    image = np.sin(np.arange(72, dtype=np.float32)).reshape(2, 6, 6, 1)
    _, parameters = init(ft.random.key(1), image.shape)
    assert_transforms_agree(lambda p: apply(p, image), parameters)
    signal = np.sin(np.arange(24, dtype=np.float32)).reshape(2, 6, 2)
    init, apply = stax.serial(stax.Conv1DTranspose(2, (2,), strides=(2,)), stax.elementwise(jnp.tanh), stax.Relu)
    _, parameters = init(ft.random.key(1), signal.shape)
    assert_transforms_agree(lambda p: apply(p, signal), parameters)
    init, apply = stax.serial(
        stax.GeneralConv(("NHWC", "HWIO", "NHWC"), 2, (2, 2)), stax.FanOut(2),
        stax.parallel(stax.ConvTranspose(1, (2, 2)), stax.GeneralConvTranspose(("NHWC", "HWIO", "NHWC"), 2, (2, 2))),
        stax.FanInConcat(), stax.SumPool((2, 2)), stax.shape_dependent(lambda shape: stax.Identity),
    )  # fmt: skip
    _, parameters = init(ft.random.key(2), image.shape)
    assert_transforms_agree(lambda p: apply(p, image), parameters)
    dropout = stax.Dropout(0.5)[1]
    assert_same(ft.jit(lambda x: dropout((), x, rng=ft.random.key(2)))(X), dropout((), X, rng=jax.random.key(2)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.sgd(0.1), lambda: optimizers.momentum(0.1, 0.9), lambda: optimizers.nesterov(0.1, 0.9),
        lambda: optimizers.adagrad(0.1), lambda: optimizers.rmsprop(0.1), lambda: optimizers.rmsprop_momentum(0.1),
        lambda: optimizers.adam(optimizers.exponential_decay(0.1, 2, 0.5)), lambda: optimizers.adamax(0.1),
        lambda: optimizers.sm3(0.1),
    ],
)  # fmt: skip
def test_optimisers(make: Callable[[], Any]) -> None:
    init, update, get = make()

    def trained(of: Any) -> Callable[[Any], Any]:
        def run(start: Any) -> Any:
            state = init({"w": start})
            for i in range(2):
                slope = of.grad(lambda p: jnp.sum(jnp.cos(p["w"]) * p["w"]))(get(state))
                state = update(i, optimizers.clip_grads(slope, 5.0), state)
            return get(state)["w"]

        return run

    def everything(of: Any) -> Any:
        run = trained(of)
        slope = of.grad(lambda x: jnp.sum(run(x) ** 2))
        return of.jit(lambda x: (run(x), slope(x), of.jvp(run, (x,), (x,)), of.vmap(run)(x)))(X)

    assert_same(everything(ft), everything(jax), 4096, weak=False)
    state = init({"w": X})
    packed = optimizers.pack_optimizer_state(optimizers.unpack_optimizer_state(state))
    assert_same(get(packed)["w"], get(state)["w"])


def test_an_optimiser_of_ones_own() -> None:
    @optimizers.optimizer
    def halving(step: float) -> Any:
        return (lambda x: x), (lambda i, slope, x: x - step * slope / 2**i), (lambda x: x)

    init, update, get = halving(0.1)
    state = ft.jit(lambda x: get(update(1, x, init(x))))(X)
    assert_same(state, X - np.float32(0.1) * X / 2, 16, weak=False)


def test_schedules() -> None:
    schedules = (
        optimizers.constant(0.1), optimizers.inverse_time_decay(0.1, 2, 0.5), optimizers.polynomial_decay(0.1, 5, 0.01),
        optimizers.piecewise_constant([1, 3], [0.1, 0.2, 0.3]), optimizers.make_schedule(0.2),
    )  # fmt: skip
    for schedule in schedules:
        assert_same(ft.jit(schedule)(2), jax.jit(schedule)(2), 16, weak=False)
    assert_same(ft.grad(optimizers.l2_norm)({"a": X}), jax.grad(optimizers.l2_norm)({"a": X}), 16, weak=False)


def test_recurrent_layers() -> None:
    from functrans.experimental import rnn

    weights = rnn.init_lstm_weight(ft.random.key(0), 3, 2, 1, False)
    assert weights.shape == (rnn.get_num_params_in_lstm(3, 2, 1, False),)
    start, lengths = np.zeros((1, 2, 2), np.float32), np.int32([2, 2])
    x = np.stack([X, X * 0.5], 1)

    def run(w: Any) -> Any:
        parts = rnn.unpack_lstm_weights(w, 3, 2, 1, False)
        return rnn.lstm_ref(x, start, start, *parts, lengths, 3, 2, 1, 0.0, False)

    both = [of.jit(lambda w: (run(w), of.grad(lambda w: jnp.sum(run(w)[0] ** 2))(w)))(weights) for of in (ft, jax)]  # noqa: B023
    assert_same(*both, 512, weak=False)
    swapped = rnn.swap_lstm_gates(weights, 3, 2, 1, False)
    assert_same(rnn.swap_lstm_gates(swapped, 3, 2, 1, False), weights)
    assert callable(rnn.lstm)  # cuDNN's, for GPUs


# -- rotations ---------------------------------------------------------------------------------------------------------


ROTATIONS = {
    "vectors": lambda x: Rotation.from_rotvec(x).apply(x),
    "products": lambda x: (Rotation.from_rotvec(x) * Rotation.from_rotvec(x[::-1])).as_matrix(),
    "angles": lambda x: Rotation.from_euler("xyz", x[0]).as_rotvec(),
    "inverse": lambda x: Rotation.from_mrp(x).inv().as_quat(),
    "magnitude": lambda x: Rotation.from_rotvec(x).magnitude(),
    "between": lambda x: Slerp.init(TIMES, Rotation.from_rotvec(x))(TIMES[1:] * 0.3).as_rotvec(),
}
TIMES = jnp.arange(2.0)


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotations(name: str) -> None:
    assert_transforms_agree(ROTATIONS[name], X, name)


# -- checks ------------------------------------------------------------------------------------------------------------


def test_checks_of_functions() -> None:
    def f(x: Any) -> Any:
        checkify.check(jnp.all(x > 0), "x is to be positive, is {x}", x=x)
        return jnp.sum(jnp.sqrt(x) * fnp.log(x))

    checked = checkify.checkify(f)
    good, bad = np.float32([1.0, 2.0]), np.float32([1.0, -2.0])
    error, value = ft.jit(checked)(good)
    assert error.get() is None
    assert_same(value, f(jnp.asarray(good)), 64, weak=False)
    assert "x is to be positive" in ft.jit(checked)(bad)[0].get()
    assert "x is to be positive" in checked(bad)[0].get()
    assert "x is to be positive" in checkify.checkify(ft.grad(f))(bad)[0].get()
    slope, error = ft.grad(lambda x: checked(x)[::-1], has_aux=True)(good)
    assert error.get() is None
    assert_same(slope, jax.grad(lambda x: checked(x)[1])(good), 64, weak=False)
    lanes, _ = ft.vmap(checked)(np.stack([good, bad]))
    assert "at mapped index 1" in lanes.get()
    both = [of.jvp(lambda x: checked(x)[1], (good,), (good,)) for of in (ft, jax)]
    assert_same(*both, 64, weak=False)


def test_checks_of_every_operation() -> None:
    for errors, f, x in (
        (checkify.float_checks, lambda x: jnp.log(x), np.float32(-1)),
        (checkify.index_checks, lambda x: jnp.arange(3.0)[x], np.int32(5)),
        (checkify.div_checks, lambda x: x / 0.0, np.float32(1)),
        (checkify.nan_checks, lambda x: x - x, np.float32(np.inf)),
    ):
        checked = checkify.checkify(f, errors=errors)
        assert ft.jit(checked)(x)[0].get() is not None
        with pytest.raises(checkify.JaxRuntimeError):
            checkify.check_error(ft.jit(checked)(x)[0])
    checkify.check_error(checkify.init_error)
    debugged = checkify.checkify(lambda x: (checkify.debug_check(x > 0, "not positive"), x)[1])
    assert "not positive" in ft.jit(debugged)(np.float32(-1))[0].get()
    quiet = checkify.checkify(lambda x: fnp.sum(fnp.log(x) / x), errors=checkify.float_checks)
    assert ft.jit(quiet)(np.float32([1, 2]))[0].get() is None
    assert "nan generated by primitive: log" in ft.jit(quiet)(np.float32([1, -2]))[0].get()
    assert "division by zero" in ft.jit(quiet)(np.float32([1, 0]))[0].get()
    taken = checkify.checkify(lambda x, i: fnp.take(x, i), errors=checkify.index_checks)
    assert "index 9 is out of bounds for axis 0" in taken(X, np.int32([9, 1]))[0].get()
