"""Names of JAX that a script imports: modules, contexts, stages, devices, and what they do."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import logging
import subprocess
import sys
from typing import Any

import jax
import jax.export
import jax.flatten_util
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.flatten_util import ravel_pytree
from tests.surface.names import public_names

X = np.float32([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "statement",
    [
        "from functrans.tree_util import tree_map, register_pytree_node, Partial",
        "import functrans.tree; functrans.tree.map(abs, [1])",
        "import functrans as ft; ft.tree.map(abs, [1]); ft.tree_util.tree_leaves([1])",
        "from functrans.flatten_util import ravel_pytree",
        "from functrans.ops import segment_sum",
        "import functrans; functrans.ops.segment_max",
        "from functrans.scipy.sparse.linalg import cg",
        "import functrans; functrans.scipy.sparse.linalg.gmres; functrans.scipy.optimize.minimize",
        "from functrans.experimental.ode import odeint",
        "import functrans; functrans.experimental.sparse.BCOO; functrans.experimental.checkify.checkify",
        "from functrans.example_libraries import stax, optimizers",
        "import functrans; functrans.image.resize; functrans.scipy.ndimage.map_coordinates",
        "from functrans.scipy.cluster.vq import vq; from functrans.scipy.spatial.transform import Rotation",
        "import functrans; functrans.dtypes.bfloat16; functrans.dlpack.from_dlpack; functrans.typing.ArrayLike",
        "import functrans; functrans.profiler.trace; functrans.monitoring.record_event; functrans.stages.Compiled",
        "import functrans; functrans.sharding.Mesh; functrans.ref.new_ref; functrans.ffi.ffi_call",
        "from functrans.lax import add_p",
    ],
)
def test_it_is_imported(statement: str) -> None:
    exec(statement, {})


def test_importing_the_package_loads_none_of_the_modules_on_demand() -> None:
    code = "import functrans, sys; print(*[m for m in sys.modules if m.startswith('functrans.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = "image example_libraries scipy experimental.sparse experimental.ode flatten_util profiler"
    assert not {f"functrans.{name}" for name in heavy.split()} & set(loaded)


def test_a_name_that_is_not_there_is_said_to_be_missing() -> None:
    for module in ("functrans.ops", "functrans.scipy", "functrans.experimental", "functrans.lax", "functrans"):
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = importlib.import_module(module).no_such_name


def test_forward_and_backward_passes() -> None:
    def f(x: Any, y: Any, scale: Any = 2.0) -> Any:
        return fnp.sin(x) * y * scale, {"aux": x}

    for jitted in (True, False):
        forward, backward = ft.fwd_and_bwd(f, (0, -1), has_aux=True, jitted=jitted)
        value, residuals, aux = forward(X, 2 * X, scale=2.0)
        theirs, their_residuals, _ = jax.fwd_and_bwd(f, (0, 1), has_aux=True)[0](X, 2 * X)
        sent, wanted = backward(residuals, X), their_residuals(X)
        np.testing.assert_allclose(value, theirs, rtol=1e-6)
        np.testing.assert_array_equal(aux["aux"], X)
        for a, b in zip(sent, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    single = ft.fwd_and_bwd(fnp.sin, 0)
    np.testing.assert_allclose(single[1](single[0](X)[1], X), np.cos(X) * X, rtol=1e-6)
    lanes = ft.vmap(lambda x: single[1](single[0](x)[1], 1.0))(X)
    np.testing.assert_allclose(lanes, np.cos(X), rtol=1e-6)
    with pytest.raises(TypeError):
        ft.fwd_and_bwd(3, 0)


def test_named_calls_and_types() -> None:
    named = ft.named_call(lambda x: x * x, name="square")
    assert float(ft.grad(ft.grad(named))(3.0)) == 2.0
    assert ft.vmap(named)(X).tolist() == [1.0, 4.0, 9.0]
    seen = []
    ft.jit(lambda x: (seen.append(ft.typeof(x)), x)[1])(X)
    assert (seen[0].shape, seen[0].dtype) == ((3,), np.float32)
    assert ft.typeof(X).shape == (3,)


def test_devices_and_arrays_in_use() -> None:
    assert ft.device_count() == len(ft.devices()) and ft.local_device_count() == len(ft.local_devices())
    assert (ft.process_index(), ft.process_count(), list(ft.process_indices())) == (0, 1, [0])
    kept = ft.jit(lambda x: x * 3)(X)
    assert any(x is kept for x in ft.live_arrays())
    assert ft.copy_to_host_async({"a": kept})["a"] is kept
    assert "functrans" in ft.print_environment_info(return_string=True)
    assert f"jax:    {jax.__version__}" in ft.print_environment_info(return_string=True)


def test_references_inside_of_functions() -> None:
    def f(x: Any) -> Any:
        ref = ft.new_ref(x)
        ref[...] = ref[...] * x
        return fnp.sum(ft.freeze(ref))

    np.testing.assert_allclose(ft.jit(ft.grad(f))(X), 2 * X)
    np.testing.assert_allclose(ft.vmap(ft.grad(f))(X[None])[0], 2 * X)


def test_trees_as_vectors() -> None:
    tree = {"a": np.ones((2, 2), np.float32), "b": (np.int32(3), 2.5), "c": np.complex64([1j])}
    ours, back = ravel_pytree(tree)
    theirs, their_way = jax.flatten_util.ravel_pytree(tree)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype
    again, wanted = back(ours * 1), their_way(theirs)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(wanted), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
    assert ravel_pytree(tree)[1] == back and hash(ravel_pytree(tree)[1]) == hash(back)
    assert ravel_pytree([])[0].shape == (0,) and ravel_pytree([])[1](fnp.zeros(0)) == []
    with pytest.raises(ValueError, match="a vector of shape"):
        back(ours[:-1])
    with pytest.raises(TypeError, match="of dtype"):
        back(ours.real)
    with pytest.raises(TypeError, match="must be arrays or numbers"):
        ravel_pytree({"a": "b"})
    only = {"a": X, "b": 2 * X[:2]}
    f = lambda v: sum(fnp.sum(leaf**3) for leaf in jax.tree.leaves(ravel_pytree(only)[1](v)))
    flat = ravel_pytree(only)[0]
    np.testing.assert_allclose(ft.hessian(f)(flat), np.diag(6 * np.asarray(flat)), rtol=1e-6)
    np.testing.assert_allclose(ft.vmap(lambda x: ravel_pytree({"a": x, "b": x})[0])(X[None])[0], [1, 2, 3, 1, 2, 3])


def test_logs_of_compiled_code(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "functrans.debug"):
        ft.jit(lambda x: (ft.debug.log("x is {}", x), x)[1])(X)
        ft.effects_barrier()
        ft.vmap(lambda x: (ft.debug.log("lane {x}", x=x), x)[1])(X[:2])
        ft.effects_barrier()
    said = [r.getMessage() for r in caplog.records if r.name == "functrans.debug"]
    assert said == ["x is [1. 2. 3.]", "lane 1.0", "lane 2.0"]
    with pytest.raises(ValueError, match=r"debug\.log names"):
        ft.debug.log("{} {}", X)


def test_a_breakpoint_in_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("code.interact", lambda banner, local, exitmsg: seen.append((banner, local)))

    @ft.jit
    def f(x: Any) -> Any:
        y = x * 2.0
        ft.debug.breakpoint()
        return y

    f(X)
    ft.effects_barrier()
    banner, variables = seen[0]
    assert "test_names.py" in banner and np.asarray(variables["y"]).tolist() == [2.0, 4.0, 6.0]
    assert ft.debug.breakpoint(token=3) == 3


def test_places_of_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    ft.debug.inspect_array_sharding({"a": ft.device_put(X)}, callback=seen.append)
    ft.jit(lambda x: (ft.debug.inspect_array_sharding(x, callback=seen.append), x)[1])(X)
    assert [len(s.device_set) for s in seen] == [1, 1]
    pytest.importorskip("rich")
    ft.debug.visualize_array_sharding(ft.device_put(np.ones((2, 2), np.float32)))
    assert "CPU" in capsys.readouterr().out


def test_errors_of_jax_are_caught_by_their_names_here() -> None:
    for kind in ("ConcretizationTypeError", "TracerBoolConversionError"):
        with pytest.raises(getattr(ft.errors, kind)):
            ft.jit(lambda x: 1 if x > 0 else 0)(1.0)
    kept: list[Any] = []
    ft.grad(lambda x: (kept.append(x), x * x)[1])(1.0)
    with pytest.raises(ft.errors.UnexpectedTracerError):
        fnp.sin(kept[0])


def test_segments_of_rows() -> None:
    from functrans import ops

    ids = np.int32([0, 0, 1])
    for name in ("segment_sum", "segment_max", "segment_min", "segment_prod"):
        ours, theirs = getattr(ops, name)(X, ids, 2), getattr(jax.ops, name)(X, ids, 2)
        np.testing.assert_array_equal(ours, theirs)


def test_operations_of_jax_take_traced_values() -> None:
    f = lambda x: ft.lax.mul_p.bind(ft.lax.sin_p.bind(x), x)
    np.testing.assert_allclose(ft.jit(ft.grad(f))(0.5), np.cos(0.5) * 0.5 + np.sin(0.5), rtol=1e-6)
    np.testing.assert_allclose(ft.vmap(f)(X), np.sin(X) * X, rtol=1e-6)


def test_an_operation_made_with_the_tools_of_jax_has_its_rules_in_every_transform() -> None:
    from functrans.core import ShapedArray
    from functrans.extend.core import Primitive
    from functrans.interpreters import ad, batching, mlir

    multiply_add = Primitive("multiply_add")
    multiply_add.def_impl(lambda x, y, z: np.asarray(x) * y + z)
    multiply_add.def_abstract_eval(lambda x, y, z: ShapedArray(x.shape, x.dtype))
    mlir.register_lowering(multiply_add, mlir.lower_fun(lambda x, y, z: x * y + z, multiple_results=False))
    seen = []

    def in_lanes(xs: Any, axes: Any) -> Any:
        size = next(x.shape[d] for x, d in zip(xs, axes, strict=True) if d is not None)
        return multiply_add.bind(*[batching.bdim_at_front(x, d, size) for x, d in zip(xs, axes, strict=True)]), 0

    batching.primitive_batchers[multiply_add] = in_lanes

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append("jvp")
        x, y, _ = primals
        dx, dy, dz = map(ad.instantiate_zeros, tangents)
        return multiply_add.bind(*primals), multiply_add.bind(dx, y, multiply_add.bind(x, dy, dz))

    def transposed(ct: Any, x: Any, y: Any, z: Any) -> Any:
        part = multiply_add.bind(ct, y if ad.is_undefined_primal(x) else x, jax.numpy.zeros_like(ct))
        return (part, None, ct) if ad.is_undefined_primal(x) else (None, part, ct)

    ad.primitive_jvps[multiply_add] = rule
    ad.primitive_transposes[multiply_add] = transposed
    f = lambda x: ft.numpy.sum(multiply_add.bind(ft.numpy.sin(x), x, ft.numpy.ones_like(x)))
    slope = np.cos(X) * X + np.sin(X)
    np.testing.assert_allclose(ft.jit(f)(X), np.sum(np.sin(X) * X + 1), rtol=1e-5)
    of_a_lane = lambda f: lambda x: ft.vmap(ft.grad(f))(x[None])[0]
    for transform in (ft.grad, lambda f: ft.jit(ft.grad(f)), ft.jacfwd, of_a_lane):
        np.testing.assert_allclose(transform(f)(X), slope, rtol=1e-5)
    assert "jvp" in seen


def test_derivatives_are_checked_by_the_names_of_jax() -> None:
    from functrans.test_util import check_grads, check_jvp, check_vjp

    f = lambda x: ft.numpy.sin(x) * x
    check_grads(f, (0.5,), order=2)
    check_jvp(f, lambda *args: ft.jvp(f, *args), (0.5,))
    check_vjp(f, lambda *args: ft.vjp(f, *args), (0.5,))
    with pytest.raises(AssertionError):
        check_jvp(f, lambda primals, tangents: (f(*primals), tangents[0]), (0.5,))


def test_programs_are_read_by_the_names_of_jax() -> None:
    f = lambda m: lambda x: m.sum(m.sin(x) * 2.0)
    ours, theirs = ft.make_jaxpr(f(ft.numpy))(X), jax.make_jaxpr(f(jax.numpy))(X)
    assert not ours.consts and not ours.literals and not ours.jaxpr.constvars
    assert [a.shape for a in ours.out_avals] == [()]
    assert [a.shape for a in ours.in_avals] == [a.shape for a in theirs.in_avals]
    for eqn, other in zip(ours.jaxpr.eqns, theirs.jaxpr.eqns, strict=True):
        assert eqn.primitive.name == other.primitive.name
        for mine, jaxs in ((eqn.invars, other.invars), (eqn.outvars, other.outvars)):
            assert [(a.aval.shape, a.aval.dtype) for a in mine] == [(a.aval.shape, a.aval.dtype) for a in jaxs]
    assert ours.eqns[1].invars[1].val == 2.0 and ours.eqns[2].params["axes"] == (0,)
    assert ours.jaxpr.invars[0] is ours.eqns[0].invars[0] and ours.jaxpr.outvars == ours.eqns[2].outvars


# -- JAX's own objects -------------------------------------------------------------------------------------------------

SAME = (
    "core", "distributed", "extend.backend", "extend.core", "extend.core.primitives", "extend.linear_util",
    "extend.random", "extend.sharding", "extend.source_info_util", "interpreters.ad", "interpreters.batching",
    "interpreters.mlir", "interpreters.partial_eval", "interpreters.pxla", "interpreters.xla",
    "tree", "tree_util", "dtypes", "dlpack", "monitoring", "profiler", "typing", "sharding", "ffi", "image",
    "example_libraries.stax", "example_libraries.optimizers", "experimental.checkify", "experimental.sparse",
    "experimental.rnn", "experimental.pallas", "experimental.hijax", "experimental.custom_partitioning",
    "experimental.buffer_callback", "experimental.mesh_utils", "experimental.multihost_utils",
    "experimental.topologies", "experimental.colocated_python", "experimental.compilation_cache.compilation_cache",
    "experimental.layout", "experimental.profiler", "experimental.random", "experimental.source_mapper",
    "experimental.xla_metadata",
)  # fmt: skip


@pytest.mark.parametrize("module", SAME)
def test_a_module_of_jaxs_names_has_its_objects(module: str) -> None:
    ours, theirs = (importlib.import_module(f"{package}.{module}") for package in ("functrans", "jax"))
    found = [n for n in public_names(module) if hasattr(ours, n)]
    assert len(found) >= 0.4 * len(public_names(module))
    assert all(getattr(ours, n) is getattr(theirs, n) for n in found)


def test_functions_of_trees_take_traced_leaves() -> None:
    from functrans import tree, tree_util

    def f(x: Any) -> Any:
        given = {"a": x, "b": (x * 2, None)}
        leaves, structure = tree.flatten(given)
        assert tree.flatten_with_path(given)[1] == structure and tree.static().metadata["static"]
        paths, _ = tree_util.tree_flatten_with_path(given)
        names = [tree_util.keystr(path) for path, _ in paths]
        assert names == ["['a']", "['b'][0]"] and tree_util.treedef_is_leaf(structure) is False
        assert tree_util.all_leaves(leaves) and tree.structure(given) == structure
        assert [k for k, _ in tree.leaves_with_path(given)] == [k for k, _ in tree_util.tree_leaves_with_path(given)]
        assert len(tree_util.treedef_children(structure)) == 2
        assert tree_util.treedef_tuple(tree_util.treedef_children(structure)).num_leaves == 2
        again = tree.unflatten(structure, tree_util.tree_leaves(tree_util.tree_unflatten(structure, leaves)))
        named = tree.map_with_path(lambda path, leaf: leaf * len(path), again)
        also = tree_util.tree_map_with_path(lambda path, leaf: leaf * len(path), again)
        spread = tree.broadcast(2.0, [x, x])
        assert spread == tree_util.tree_broadcast(2.0, [x, x])
        pairs = tree_util.tree_transpose(tree_util.tree_structure([0, 0]), tree.structure((0, 0)), [(x, x), (x, x)])
        total = tree.reduce_associative(fnp.add, [leaf * s for leaf, s in zip(pairs[0], spread, strict=True)])
        total = total + tree_util.tree_reduce_associative(fnp.add, [x, x])
        return fnp.sum(total * sum(tree.leaves(named)) + tree_util.tree_reduce(fnp.add, also))

    slope = ft.jit(ft.grad(f))(X)
    np.testing.assert_allclose(slope, jax.grad(f)(X), rtol=1e-6)
    assert tree.all([True, True]) and not tree_util.tree_all([True, False])


def test_classes_that_are_registered_are_trees() -> None:
    from functrans import tree_util

    @tree_util.register_pytree_node_class
    class Pair:
        def __init__(self, a: Any, b: Any) -> None:
            self.a, self.b = a, b

        def tree_flatten(self) -> Any:
            return (self.a, self.b), None

        @classmethod
        def tree_unflatten(cls, _: Any, parts: Any) -> Any:
            return cls(*parts)

    @tree_util.register_pytree_with_keys_class
    class Named(Pair):
        def tree_flatten_with_keys(self) -> Any:
            return ((tree_util.GetAttrKey("a"), self.a), (tree_util.DictKey("b"), self.b)), None

    @functools.partial(tree_util.register_dataclass, data_fields=["a"], meta_fields=["b"])
    @dataclasses.dataclass
    class Data:
        a: Any
        b: int

    @tree_util.register_static
    class Fixed:
        a, b = 1.0, 2.0

    class Plain(Pair):
        pass

    class Keyed(Pair):
        pass

    tree_util.register_pytree_node(Plain, lambda p: ((p.a, p.b), None), lambda _, parts: Plain(*parts))
    keys = lambda p: (((tree_util.SequenceKey(0), p.a), (tree_util.FlattenedIndexKey(1), p.b)), None)
    tree_util.register_pytree_with_keys(Keyed, keys, lambda _, parts: Keyed(*parts))
    for made in (Pair(X, 2 * X), Named(X, 2 * X), Plain(X, 2 * X), Keyed(X, 2 * X), Data(X, 3)):
        slope = ft.jit(ft.grad(lambda p: fnp.sum(p.a**2 * p.b)))(made)
        np.testing.assert_allclose(slope.a, 2 * X * made.b, rtol=1e-6)
        assert tree_util.is_tree_node(type(made))
        assert tree_util.flatten_one_level(made)[0] is not None
    assert len(list(tree_util.flatten_one_level_with_keys(Keyed(X, X))[0])) == 2
    assert float(ft.jit(lambda f, x: x * f.b)(Fixed(), 3.0)) == 6.0
    partial = tree_util.Partial(fnp.multiply, X)
    np.testing.assert_allclose(ft.grad(lambda p: fnp.sum(p(X)))(partial).args[0], X)
    assert tree_util.default_registry is not None


def test_references() -> None:
    from functrans import ref

    def f(x: Any) -> Any:
        box, empty = ref.new_ref(x), ft.empty_ref(jax.core.ShapedArray((3,), np.float32))
        ref.addupdate(box, ..., x)
        before = ref.swap(box, ..., ref.get(box, ...) * x)
        ref.set(empty, ..., before)
        return fnp.sum(ref.freeze(box) + empty[...])

    np.testing.assert_allclose(ft.jit(f)(X), np.sum(2 * X * X + 2 * X), rtol=1e-6)
    outside = ft.new_ref(fnp.ones(3))
    assert ft.freeze(outside).shape == (3,)
    ft.free_ref(ft.new_ref(fnp.ones(3)))


def test_arrays_of_parts() -> None:
    sharding = ft.sharding.SingleDeviceSharding(ft.devices()[0])
    assert isinstance(ft.devices()[0], ft.Device) and ft.default_backend() == jax.default_backend()
    whole = ft.make_array_from_callback((3,), sharding, lambda index: X[index])
    assert ft.jit(lambda x: x * 2)(whole).tolist() == [2, 4, 6]
    parts = ft.make_array_from_single_device_arrays((3,), sharding, [ft.device_put(X)])
    local = ft.make_array_from_process_local_data(sharding, X)
    assert parts.tolist() == local.tolist() == X.tolist()
    mesh = ft.make_mesh((1,), ("i",), axis_types=(ft.sharding.AxisType.Auto,))
    spread = ft.NamedSharding(mesh, ft.P())
    assert float(fnp.sum(ft.device_put(X, spread))) == 6.0
    assert float(ft.lax.with_sharding_constraint(X, spread)[0]) == 1.0
    with pytest.raises(NotImplementedError, match="computes on one device"):
        ft.lax.with_sharding_constraint(X, ft.P("i"))
    assert ft.sharding.get_mesh() == jax.sharding.get_mesh()
    assert ft.sharding.get_abstract_mesh() == jax.sharding.get_abstract_mesh()
    if hasattr(ft.sharding, "make_single_device_sharding"):
        assert len(ft.sharding.make_single_device_sharding(ft.devices()[0]).device_set) == 1
    for count in ("host_count", "host_id", "host_ids"):
        assert getattr(ft, count) is getattr(jax, count)
    assert ft.jit(lambda x: x[ft.ds(1, 2)] if False else x[1:3])(X).tolist() == [2, 3]


def test_profiles_and_events(tmp_path: Any) -> None:
    from functrans import monitoring, profiler

    heard: list[str] = []
    monitoring.register_event_listener(lambda event, **_: heard.append(event))
    monitoring.record_event("/functrans/test")
    monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: heard.append(event))
    monitoring.record_event_duration_secs("/functrans/seconds", 1.0)
    assert {"/functrans/test", "/functrans/seconds"} <= set(heard)
    f = profiler.annotate_function(ft.jit(lambda x: x * 5))
    with profiler.trace(str(tmp_path)), profiler.TraceAnnotation("step"):
        f(X).block_until_ready()
    assert any(tmp_path.rglob("*.pb"))
    assert profiler.device_memory_profile()


def test_functions_of_other_languages() -> None:
    from functrans import ffi

    call = ffi.ffi_call("lapack_sgetrf_ffi", (ft.ShapeDtypeStruct((2, 2), np.float32),) + tuple(
        ft.ShapeDtypeStruct(shape, np.int32) for shape in ((2,), ())
    ), input_layouts=[(0, 1)], output_layouts=[(0, 1), None, None], vmap_method="sequential")  # fmt: skip
    matrix = np.float32([[4, 2], [2, 3]])
    lu = ft.jit(lambda x: call(x)[0])(matrix)
    np.testing.assert_allclose(lu, jax.jit(lambda x: call(x)[0])(matrix))
    assert ft.vmap(lambda x: call(x)[0])(np.stack([matrix, 2 * matrix])).shape == (2, 2, 2)


def test_dtypes_and_memory_of_others() -> None:
    from functrans import dlpack, dtypes

    assert dtypes.canonicalize_dtype(np.float64) == np.float32 and dtypes.result_type(X, 1) == np.float32
    assert dtypes.issubdtype(dtypes.bfloat16, np.inexact) and dtypes.scalar_type_of(X) is float
    assert ft.experimental.primal_tangent_dtype is jax.experimental.primal_tangent_dtype
    same = dlpack.from_dlpack(ft.device_put(X))
    assert ft.grad(lambda x: fnp.sum(x * x))(same).tolist() == [2, 4, 6]
    assert issubclass(fnp.ComplexWarning, Warning)
    for name in ("ConvGeneralDilatedDimensionNumbers", "DotDimensionNumbers", "PrecisionLike"):
        assert getattr(ft.lax, name) is getattr(jax.lax, name)
    assert ft.lax.dce_sink(X) is None
    assert callable(ft.nn.initializers.Initializer)
    for name in ("default_export_platform", "maximum_supported_calling_convention_version",
                 "minimum_supported_calling_convention_version"):  # fmt: skip
        assert getattr(ft.export, name) is getattr(jax.export, name)


def test_shardings_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert ft.debug.visualize_sharding is jax.debug.visualize_sharding
    assert ft.debug.DebugEffect is jax.debug.DebugEffect


def test_stages_are_those_of_jit() -> None:
    from functrans import stages

    traced = ft.jit(lambda x: x * 2).trace(X)
    lowered = traced.lower()
    kinds = (stages.Traced, stages.Lowered, stages.Compiled)
    assert all(isinstance(x, kind) for x, kind in zip((traced, lowered, lowered.compile()), kinds, strict=True))


@pytest.mark.parametrize(
    "name",
    """
    CompilerEffortLevel Inline ad get_abstract_mesh get_mesh memory pmap reshard set_mesh shard_map smap
    use_abstract_mesh random.Key ref.AbstractRef ad_checkpoint.name_p ad_checkpoint.checkpoint_name_fwd
    lax.pcast lax.rng_uniform
    """.split(),
)
def test_what_newer_versions_of_jax_have_is_theirs(name: str) -> None:
    module, _, last = name.rpartition(".")
    theirs, ours = (importlib.import_module(f"{package}.{module}".rstrip(".")) for package in ("jax", "functrans"))
    assert hasattr(ours, last) == hasattr(theirs, last)
    assert getattr(ours, last, None) is getattr(theirs, last, None)


@pytest.mark.skipif(not hasattr(jax.ad_checkpoint, "name_p"), reason="this jax has no public name_p")
@pytest.mark.parametrize("named", ["name_p", "checkpoint_name_fwd"])
def test_values_named_by_jax_are_saved_by_their_names(named: str) -> None:
    def name(x: Any) -> Any:
        if named == "name_p":
            return ft.ad_checkpoint.name_p.bind(x, name="sine")
        return ft.ad_checkpoint.checkpoint_name_fwd(x, "sine")

    f = lambda x: fnp.sum(fnp.cos(name(fnp.sin(x)) * 2))
    for saved, policy in ((True, "save_only_these_names"), (False, "save_any_names_but_these")):
        kept = ft.checkpoint(f, policy=getattr(ft.checkpoint_policies, policy)("sine"))
        found = [why for _, why in ft.ad_checkpoint.saved_residuals(kept, X) if "named" in why]
        assert bool(found) == saved
        for run in (ft.grad(kept), ft.jit(ft.grad(kept)), lambda x, kept=kept: ft.vmap(ft.grad(kept))(x[None])[0]):
            np.testing.assert_allclose(run(X), -2 * np.cos(X) * np.sin(2 * np.sin(X)), rtol=1e-5)


@pytest.mark.skipif(not hasattr(jax, "ad"), reason="this jax has no jax.ad")
def test_what_a_pullback_is_told_it_need_not_give() -> None:
    _, pullback = ft.vjp(lambda x, y: fnp.sum(x * y), X, 2 * X)
    sent = pullback.with_refs(ft.ad.DontWant(), ft.ad.GradValue())(1.0)
    assert isinstance(sent[0], ft.ad.DidntWant)
    only = ft.make_jaxpr(lambda: pullback.with_refs(ft.ad.DontWant(), ft.ad.GradValue())(1.0))()
    assert len(only.outputs) == 1 and len(only.equations) < len(ft.make_jaxpr(lambda: pullback(1.0))().equations)
    np.testing.assert_array_equal(sent[1], X)
    assert ft.memory.Space.Device is jax.memory.Space.Device


@pytest.mark.skipif(not hasattr(jax, "Inline"), reason="this jax has no Inline")
def test_how_calls_are_inlined() -> None:
    for choice in jax.Inline:  # type: ignore[attr-defined]
        program = ft.make_jaxpr(ft.jit(fnp.sin, inline=choice))(X)
        assert (program.equations[0].op.name == "sin") == (choice.name == "JAX_EARLY")


def test_operations_of_jax_in_other_modules() -> None:
    key = jax.random.key(0).reshape(1)
    found = ft.jit(lambda a: ft.random.random_gamma_p.bind(key, a, log_space=True))(X[:1])
    np.testing.assert_allclose(found, jax.random.random_gamma_p.bind(key, X[:1], log_space=True), rtol=1e-6)
    assert ft.custom_derivatives.custom_jvp_call_p is jax.custom_derivatives.custom_jvp_call_p
    product = lambda x: ft.lax.linalg.symmetric_product_p.bind(x, x @ x.T, alpha=1.0, beta=0.5)
    x = X[:2, None] * X
    np.testing.assert_allclose(np.tril(ft.jit(product)(x)), np.tril(1.5 * x @ x.T), rtol=1e-6)
