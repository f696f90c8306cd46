"""JAX's names for several devices: in functrans' transforms the shards are computed on one, and the numbers are JAX's.

Everything runs with as many CPU devices as there are: with one here, and with two in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.experimental import mesh_utils, multihost_utils, topologies
from tests.agreement import assert_same
from tests.jax_version import JAX
from tests.surface.test_by_the_crossing import transformed

COUNT = len(jax.devices())
P, AxisType = ft.P, ft.sharding.AxisType
ROWS_APART = P("i")
X = np.sin(np.arange(16, dtype=np.float32)).reshape(4, 4)
two_devices = pytest.mark.skipif(COUNT < 2, reason="runs in a process of its own with two CPU devices")


def mesh_of(kind: Any = AxisType.Auto) -> Any:
    return ft.make_mesh((COUNT, 1), ("i", "j"), axis_types=(kind, kind))


def shards(body: Any, ins: Any = ROWS_APART, outs: Any = ROWS_APART, **options: Any) -> Callable[..., Any]:
    return ft.shard_map(body, mesh=mesh_of(), in_specs=ins, out_specs=outs, **options)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "a sum over shards": shards(lambda x: jnp.sin(x) * jax.lax.psum(x.sum(), "i")),
    "one result of all": shards(lambda x: jax.lax.psum(jnp.sin(x).sum(0), "i"), outs=P()),
    "weights for all": lambda x: shards(lambda x, w: jnp.tanh(x @ w), (P("i"), P()))(x, x.T @ x),
    "two axes": shards(lambda x: jax.lax.psum(x @ x.T, "j"), P("i", "j"), P("i", None)),
    "unchecked": shards(lambda x: jax.lax.pmax(jax.lax.stop_gradient(x), "i") * x, check_vma=False),
    "gathered": shards(lambda x: jax.lax.all_gather(x, "i", tiled=True)[:2] * x[:1]),
    "scattered": shards(lambda x: jax.lax.psum_scatter(jnp.sin(x).T, "i", tiled=True) * 2, outs=P("i")),
    "moved on": shards(lambda x: jax.lax.ppermute(x, "i", [(k, (k + 1) % COUNT) for k in range(COUNT)]) * x),
    "exchanged": shards(lambda x: jax.lax.all_to_all(jnp.cos(x).T, "i", 0, 0, tiled=True)),
    "numbered": shards(lambda x: x * (jax.lax.axis_index("i") + 1)),
    "in a scan": shards(lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c) * x, None), x, None, length=3)[0]),
    "made varying": shards(lambda x: x * lax.pcast(jnp.float32(2), "i", to="varying")),
    "pmap": lambda x: ft.pmap(lambda x: jnp.sin(x) * jax.lax.psum(x, "i"), axis_name="i")(x.reshape(COUNT, -1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_devices_shards(name: str) -> None:
    f = FUNCTIONS[name]
    assert_same(transformed(ft, f, X), transformed(jax, f, X), 512, weak=False, context=name)


# Given ``numpy``, a function of a shard and of what all shards have.
BODIES: dict[str, Callable[[Any], Callable[[Any, Any], Any]]] = {
    "by elements": lambda of: lambda x, w: of.sin(x) * w,
    "a sum of all": lambda of: lambda x, w: jax.lax.psum(of.tanh(x * w), "i") * x,
    "all from one": lambda of: lambda x, w: of.cos(jax.lax.all_gather(x * w, "i", tiled=True)[:1]) * x,
    "without what all have": lambda of: lambda x, w: of.sin(x) + 0 * w,
}


@pytest.mark.parametrize("name", BODIES)
def test_devices_functions_of_functrans_in_shards(name: str) -> None:
    """Their results vary over the shards as operands do, which JAX's transforms of a shard_map ask."""
    mapped = [shards(BODIES[name](of), (P("i"), P())) for of in (fnp, jnp)]
    both = [lambda x, f=f: f(x, jnp.cos(x[:1])) for f in mapped]
    assert_same(transformed(jax, both[0], X), transformed(jax, both[1], X), 512, weak=False)
    assert_same(transformed(ft, both[0], X), transformed(jax, both[1], X), 512, weak=False)
    assert_same(both[0](X), both[1](X), 64, weak=False)


# Given ``jax`` or ``functrans``, a function with its collectives over the shards.
RING = [(k, (k + 1) % COUNT) for k in range(COUNT)]
COLLECTIVES: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "psum": lambda of: shards(lambda x: of.numpy.sin(x) * of.lax.psum(x.sum(), "i")),
    "psum of two axes": lambda of: shards(lambda x: of.lax.psum(of.numpy.sin(x).sum(0), ("i", "j")), P("i", "j"), P()),
    "pmean": lambda of: shards(lambda x: x - of.lax.pmean(of.numpy.tanh(x), "i")),
    "pmax": lambda of: shards(lambda x: of.lax.pmax(of.lax.stop_gradient(x), "i") * x, check_vma=False),
    "all_gather": lambda of: shards(lambda x: of.lax.all_gather(of.numpy.sin(x), "i", tiled=True)[:2] * x[:1]),
    "psum_scatter": lambda of: shards(lambda x: of.lax.psum_scatter(of.numpy.sin(x).T, "i", tiled=True) * 2),
    "ppermute": lambda of: shards(lambda x: of.lax.ppermute(x * 2, "i", RING) * x),
    "all_to_all": lambda of: shards(lambda x: of.lax.all_to_all(of.numpy.cos(x).T, "i", 0, 0, tiled=True)),
    "axis_index": lambda of: shards(lambda x: x * (of.lax.axis_index("i") + 1)),
    "in jit": lambda of: shards(of.jit(lambda x: of.numpy.sin(x) * of.lax.psum(x.sum(), "i"))),
    "in a scan": lambda of: shards(
        lambda x: of.lax.scan(
            lambda c, y: (of.lax.psum(c * y, "i") * 0.5 * x, of.lax.pmean(c, "i")), 0.5 * x, of.numpy.arange(3.0)
        )[0],
        check_vma=False,
    ),
    "in a cond": lambda of: shards(
        lambda x: of.lax.cond(of.lax.psum(x.sum(), "i") > 0, lambda x: of.lax.psum(x, "i") * x, lambda x: 2 * x, x),
        check_vma=False,
    ),
    "in a checkpoint": lambda of: shards(
        lambda x: of.checkpoint(lambda x: of.lax.psum(of.numpy.sin(x), "i") * x)(x), check_vma=False
    ),
}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_devices_collectives_of_functrans_in_shards(name: str) -> None:
    """They were refused: a script with its imports changed has no others."""
    ours, theirs = COLLECTIVES[name](ft), COLLECTIVES[name](jax)
    expected = transformed(jax, theirs, X)
    assert_same(transformed(jax, ours, X), expected, 512, weak=False)
    assert_same(transformed(ft, ours, X), expected, 512, weak=False)
    assert_same(ours(X), theirs(X), 64, weak=False)


def test_devices_collectives_of_functrans_in_a_loop_of_unknown_length() -> None:
    def steps(of: Any) -> Any:
        unfinished = lambda c: of.lax.psum(c[1].sum(), "i") < 100.0
        step = lambda c: (c[0] + 1, c[1] + of.lax.pmax(abs(c[1]), "i"))
        return shards(lambda x: of.lax.while_loop(unfinished, step, (0, x))[1], check_vma=False)

    for run in (lambda f: f, jax.jit, ft.jit):
        assert_same(run(steps(ft))(X), steps(jax)(X), 64, weak=False)


def test_devices_a_gradient_in_a_shard() -> None:
    """With ``check_vma=False`` it is the shard's own in JAX, too; else JAX adds up those by what all shards have."""
    def slopes(of: Any, **options: Any) -> Any:
        inner = lambda x, w: of.grad(lambda w: jnp.sum(jnp.sin(x) * w))(w)[None]
        return ft.shard_map(inner, mesh=mesh_of(), in_specs=(P("i"), P()), out_specs=P("i"), **options)(X, X[0])

    assert_same(slopes(ft), slopes(jax, check_vma=False), 8, weak=False)
    assert_same(slopes(ft).sum(0), slopes(jax)[0], 64, weak=False)


@two_devices
def test_devices_a_result_that_varies_is_not_that_of_all() -> None:
    for of in (fnp, jnp):
        f = shards(lambda x, of=of: of.sum(of.sin(x)), outs=P())
        for run in (f, jax.jit(f), ft.jit(f)):
            with pytest.raises(ValueError, match="require replication which can't be statically inferred"):
                run(X)


# Under a mesh that is set for all that follows.
UNDER_A_MESH: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "no spreading": (AxisType.Auto, lambda x: jnp.sin(x) * 2),
    "no spreading, explicit": (AxisType.Explicit, lambda x: jnp.sin(x) * 2),
    "shard_map": (AxisType.Auto, lambda x: ft.shard_map(jnp.sin, in_specs=P("i"), out_specs=P("i"))(x) * 2),
    "smap": (AxisType.Auto, ft.smap(lambda x: jax.lax.psum(x, "i") * x, in_axes=0, out_axes=0, axis_name="i")),
    "reshard": (AxisType.Explicit, lambda x: ft.reshard(jnp.sin(x), P("i")) * 2),
    "sharding.reshard": (AxisType.Explicit, lambda x: ft.sharding.reshard(x, P(None, "i")) * x),
    "auto_axes": (
        AxisType.Explicit,
        lambda x: ft.sharding.auto_axes(lambda x: jnp.sin(x) @ x.T, out_sharding=P("i"), axes=("i", "j"))(x),
    ),
    "explicit_axes": (
        AxisType.Auto,
        lambda x: ft.sharding.explicit_axes(lambda x: jnp.sin(x) * 2, in_sharding=P("i"), axes=("i", "j"))(x),
    ),
}


@pytest.mark.parametrize("name", UNDER_A_MESH)
def test_devices_meshes(name: str) -> None:
    kind, f = UNDER_A_MESH[name]
    for set_mesh in (ft.set_mesh, ft.sharding.set_mesh):
        with set_mesh(mesh_of(kind)):
            assert_same(transformed(ft, f, X), transformed(jax, f, X), 512, weak=False, context=name)


def test_devices_abstract_meshes() -> None:
    use_abstract_mesh = ft.use_abstract_mesh if JAX >= (0, 12) else ft.sharding.use_abstract_mesh
    with use_abstract_mesh(mesh_of().abstract_mesh), _no_collectives():
        assert ft.sharding.get_abstract_mesh().axis_names == ("i", "j")
        assert_same(ft.jit(ft.grad(lambda x: fnp.sum(jnp.sin(x))))(X), np.cos(X), weak=False)


def _no_collectives() -> AbstractContextManager[Any]:
    return ft.sharding.no_collectives({"i"}) if hasattr(jax.sharding, "no_collectives") else nullcontext()


@two_devices
def test_devices_what_types_say_is_refused() -> None:
    """Of our values no type says how they are spread, and a shard_map that asks it would take them for whole."""
    mesh = mesh_of(AxisType.Explicit)

    def f(x: Any) -> Any:
        spread = ft.reshard(x, ft.NamedSharding(mesh, P("i")))
        return ft.shard_map(lambda x: jax.lax.psum(x, "i"), mesh=mesh, out_specs=P())(spread)

    for run in (ft.jit(f), ft.vmap(f), lambda x: ft.grad(lambda x: f(x).sum())(x)):
        with pytest.raises(NotImplementedError, match=r"(?s)the mesh axes 'i' are explicit.*test_several_devices.py"):
            run(X)


# Given ``jax`` or ``functrans``, a function of two arrays.
OF_SPREAD: dict[str, Callable[[Any], Callable[[Any, Any], Any]]] = {
    "sin": lambda of: lambda x, w: of.numpy.sin(x),
    "product": lambda of: lambda x, w: of.numpy.tanh(of.numpy.matmul(x, w)),
    "with a NumPy array": lambda of: lambda x, w: x * X[0] + w.T,
    "sum": lambda of: lambda x, w: of.numpy.sum(x * x),
    "grad": lambda of: of.grad(lambda x, w: of.numpy.sum(of.numpy.tanh(x @ w) ** 2), (0, 1)),
    "jit of grad": lambda of: of.jit(of.grad(lambda x, w: of.numpy.sum(of.numpy.tanh(x @ w) ** 2), (0, 1))),
    "vmap": lambda of: of.vmap(lambda x, w: of.numpy.cumsum(x) * w),
    "hessian": lambda of: of.hessian(lambda x, w: of.numpy.sum(of.numpy.sin(x @ w) ** 2)),
    "scan": lambda of: lambda x, w: of.lax.scan(lambda c, row: (of.numpy.sin(c + row @ w), c), w[0], x),
    "captured": lambda of: lambda x, w: of.jit(lambda x: x @ w)(x),
    "values on demand": lambda of: lambda x, w: x * (2 if bool(of.numpy.sum(x) > 0) else 3),
    "several results": lambda of: of.jit(lambda x, w: {"a": x + 1, "b": (w, of.numpy.argmax(x, 0))}),
}


@two_devices
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize("name", OF_SPREAD)
def test_devices_arrays_that_are_spread(name: str, kind: Any) -> None:
    """They were refused; XLA's partitioner divides the program, and the results are spread as JAX's are."""
    x, w = (ft.device_put(a, ft.NamedSharding(mesh_of(kind), spec)) for a, spec in ((X, P("i")), (X.T, P(None, "i"))))
    f, g = OF_SPREAD[name](ft), OF_SPREAD[name](jax)
    for args in ((x, w), (X, X.T), (x, w), (x, X.T), (X, w)):
        found, expected = f(*args), g(X, X.T)
        assert_same(jax.tree.map(np.asarray, found), jax.tree.map(np.asarray, expected), 64, weak=False, context=name)
    if kind == AxisType.Auto and name != "values on demand":
        spread = [jax.tree.leaves(h(x, w)) for h in (ft.jit(f), jax.jit(g))]
        assert all(a.sharding.is_equivalent_to(b.sharding, a.ndim) for a, b in zip(*spread, strict=True))
    assert all(leaf.sharding.mesh == x.sharding.mesh for leaf in jax.tree.leaves(f(x, w)))


@two_devices
def test_devices_how_results_are_spread_is_not_asked_for() -> None:
    with pytest.raises(NotImplementedError, match="computes on one device"):
        ft.lax.with_sharding_constraint(X, ft.NamedSharding(mesh_of(), P("i")))
    with pytest.raises(NotImplementedError, match="in_shardings= is not supported"):
        ft.jit(fnp.sin, in_shardings=ft.NamedSharding(mesh_of(), P("i")))


# -- rows that go where each lane says ---------------------------------------------------------------------------------

ROWS = np.float32([[1, 2, 2], [3, 4, 0]])
STARTS, SIZES = np.int32([[0, 1], [0, 1]]), np.int32([[1, 2], [1, 1]])
PLACES, RECEIVED = np.int32([[0, 0], [1, 2]]), np.int32([[1, 1], [2, 1]])


def exchanged(rows: Any, into: Any) -> Any:
    """The example of JAX's documentation."""
    lane = lambda *xs: lax.ragged_all_to_all(*xs, axis_name="i")
    return ft.vmap(lane, axis_name="i")(rows, into, STARTS, SIZES, PLACES, RECEIVED)


def in_words(rows: Any, into: Any) -> Any:
    """What is sent, piece by piece."""
    for sender in range(2):
        for receiver in range(2):
            start, size, place = (a[sender, receiver] for a in (STARTS, SIZES, PLACES))
            into = into.at[receiver, place : place + size].set(rows[sender, start : start + size])
    return into


def test_pieces_of_ragged_arrays_are_exchanged() -> None:
    """JAX's own runs on GPUs and TPUs alone."""
    into = np.cos(np.arange(8, dtype=np.float32)).reshape(2, 4)
    assert exchanged(ROWS, 0 * into).tolist() == [[1, 3, 0, 0], [2, 2, 4, 0]]
    weights = np.sin(np.arange(8, dtype=np.float32)).reshape(2, 4)

    def everything(of: Any, f: Any) -> Any:
        loss = lambda rows, into: jnp.sum(jnp.sin(f(rows, into)) * weights)
        slope = of.grad(loss, (0, 1))
        lanes = np.stack([ROWS, 2 * ROWS])
        return of.jit(
            lambda rows, into: [
                f(rows, into), slope(rows, into), of.jvp(f, (rows, into), (rows, into)),
                of.jvp(slope, (rows, into), (rows, into))[1], of.vmap(f, (0, None))(lanes, into),
            ]
        )(ROWS, jnp.asarray(into))  # fmt: skip

    assert_same(everything(ft, exchanged), everything(jax, lambda r, i: in_words(r, jnp.asarray(i))), weak=False)
    matrices = np.stack([ROWS, -ROWS], -1)
    found = exchanged(matrices, np.zeros((2, 4, 2), np.float32))
    assert_same(found, np.stack([exchanged(ROWS, 0 * into), exchanged(-ROWS, 0 * into)], -1), weak=False)


def test_several_pieces_of_ragged_arrays_for_each_lane() -> None:
    halves = [np.repeat(a, 2, 1) for a in (STARTS, SIZES, PLACES, RECEIVED)]
    lane = lambda *xs: lax.ragged_all_to_all_p.bind(*xs, axis_name=("i",), axis_index_groups=None)
    found = ft.jit(ft.vmap(lane, axis_name="i"))(ROWS, np.zeros((2, 4), np.float32), *halves)
    assert found.tolist() == [[1, 3, 0, 0], [2, 2, 4, 0]]
    with pytest.raises(TypeError, match="axis_index_groups is not supported"):
        grouped = lambda *xs: lax.ragged_all_to_all(*xs, axis_name="i", axis_index_groups=[[0], [1]])
        ft.vmap(grouped, axis_name="i")(ROWS, ROWS, STARTS, SIZES, PLACES, RECEIVED)
    with pytest.raises(NotImplementedError, match="3 pieces do not divide among 2 lanes"):
        ft.vmap(lane, axis_name="i")(ROWS, ROWS, *[np.zeros((2, 3), np.int32)] * 4)


# -- devices and processes ---------------------------------------------------------------------------------------------


def test_arrangements_of_devices() -> None:
    found = mesh_utils.create_device_mesh((COUNT, 1))
    assert found.shape == (COUNT, 1) and set(found.flat) == set(ft.devices())
    grouped = mesh_utils.create_hybrid_device_mesh((COUNT,), (1,), process_is_granule=True)
    assert list(grouped) == ft.devices()
    assert mesh_utils.device_kind_handler_dict is jax.experimental.mesh_utils.device_kind_handler_dict
    here = topologies.get_attached_topology("cpu")
    assert isinstance(here, topologies.TopologyDescription) and here.devices == ft.devices()
    mesh = topologies.make_mesh(here, (COUNT,), ("i",))
    f = ft.shard_map(lambda x: jax.lax.psum(x, "i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    assert_same(ft.jit(f)(X), X.reshape(COUNT, -1, 4).sum(0), weak=False)
    with pytest.raises((NotImplementedError, RuntimeError, AssertionError)):
        topologies.get_topology_desc("none", "cpu")


def test_what_processes_tell_each_other() -> None:
    """One process, which tells itself; inside of functions the arrays of all are those of one."""
    assert_same(multihost_utils.broadcast_one_to_all({"a": X}), {"a": X}, weak=False)
    assert_same(multihost_utils.process_allgather(X), X[None], weak=False)
    multihost_utils.assert_equal(ft.jit(lambda x: x * 2)(X))
    multihost_utils.sync_global_devices("here")
    assert isinstance(multihost_utils.reached_preemption_sync_point(1), bool)
    assert callable(multihost_utils.live_devices) and issubclass(multihost_utils.ProcessFailureError, Exception)
    mesh = mesh_of()
    for there in (multihost_utils.host_local_array_to_global_array, multihost_utils.global_array_to_host_local_array):
        f = lambda x, there=there: there(jnp.sin(x), mesh, P("i")) * x
        assert_same(transformed(ft, f, X), transformed(jax, f, X), 512, weak=False)


def test_the_inner_parts_of_what_processes_tell_each_other() -> None:
    mesh, aval = mesh_of(), jax.typeof(X)
    for name in ("ltg_abstract_eval", "gtl_abstract_eval"):
        assert getattr(multihost_utils, name)(aval, global_mesh=mesh, pspec=P("i")).shape == X.shape
    to_global, to_local = (
        multihost_utils.host_local_array_to_global_array_impl, multihost_utils.global_array_to_host_local_array_impl,
    )  # fmt: skip
    array = to_global(ft.device_put(X), global_mesh=mesh, pspec=P())
    assert_same(to_local(array, global_mesh=mesh, pspec=P()), X, weak=False)
    assert callable(multihost_utils.ltg_batcher)  # which vmap of the above has called


@pytest.mark.skipif(COUNT > 1, reason="this is the process with two devices")
def test_everything_holds_with_two_devices() -> None:
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
