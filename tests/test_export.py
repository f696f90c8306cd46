"""Exported programs: written here and run by jax.export, written there and run here, in this process and in another."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.export import Exported, deserialize, export
from functrans.jaxlib_compat.compiler import lowering_platform
from functrans.ops.modules import CallExported
from functrans.xla import modules
from tests.agreement import assert_same

pytest.importorskip("flatbuffers")

rng = np.random.default_rng(0)
x0 = rng.normal(size=(2, 3)).astype(np.float32)
weights = rng.normal(size=(3, 3)).astype(np.float32)
Pair = collections.namedtuple("Pair", "left right")


def model(module: Any) -> Any:
    captured, mask = module.asarray(weights), np.array([True, False, True])

    def function(x: Any, parameters: Any, unused: Any, *, scale: Any) -> Any:
        y = module.sin(x) @ captured * parameters["scales"][0] * scale
        return {"y": y, "rest": [module.where(mask, x[0], 0.0), (parameters["shift"] + 1, None)]}

    return function


def loop(module: Any) -> Any:
    namespace = lax if module is fnp else jax.lax

    def function(x: Any, n: Any) -> Any:
        doubled, _ = namespace.scan(lambda c, _: (module.sin(c) + c, c), x, None, length=3)
        return namespace.cond(n > 2, module.exp, module.cos, doubled)

    return function


parameters = {"scales": (np.float32(2.0),), "shift": np.int32(3)}
ROWS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "trees, captured arrays, an unused argument": (model, (x0, parameters, x0), {"scale": np.float32(0.5)}),
    "loops and branches": (loop, (x0, np.int32(3)), {}),
    "factorisations": (lambda m: lambda x: m.linalg.solve(x @ x.T + 1, m.linalg.cholesky(x @ x.T)), (x0,), {}),
    "no arguments": (lambda m: lambda: m.arange(4), (), {}),
    "no results": (lambda m: lambda x: [], (x0,), {}),
    "an argument returned": (lambda m: lambda x: (x, x), (x0,), {}),
    "a tuple of integers": (lambda m: lambda x, y: (x + y, x > y), (np.arange(3), np.arange(3)[::-1].copy()), {}),
    "a nested jit": (lambda m: lambda x: (ft if m is fnp else jax).jit(lambda y: y * 2)(x) + 1, (x0,), {}),
}
each_row = pytest.mark.parametrize("name", ROWS)
HERE = lowering_platform(jax.devices()[0])


@pytest.mark.parametrize("platforms", [None, ("cuda", "tpu", "cpu")], ids=str)
@each_row
def test_jax_runs_what_is_exported_here(name: str, platforms: Any) -> None:
    make, args, kwargs = ROWS[name]
    exported = export(ft.jit(make(fnp)), platforms=platforms)(*args, **kwargs)
    assert exported.platforms == (platforms or (HERE,))
    expected = jax.jit(make(jnp))(*args, **kwargs)
    found = jax.export.deserialize(exported.serialize())
    assert_same(found.call(*args, **kwargs), expected, weak=False)
    assert_same(jax.jit(found.call)(*args, **kwargs), expected, weak=False)


@each_row
def test_the_description_is_that_of_jax(name: str) -> None:
    make, args, kwargs = ROWS[name]
    ours = export(ft.jit(make(fnp)))(*args, **kwargs)
    theirs = jax.export.export(jax.jit(make(jnp)))(*args, **kwargs)
    for attribute in (
        "in_tree", "out_tree", "in_avals", "out_avals", "fun_name", "platforms", "nr_devices", "module_kept_var_idx",
        "calling_convention_version", "disabled_safety_checks",
    ):  # fmt: skip
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute


@each_row
def test_what_is_read_back_runs_here(name: str) -> None:
    make, args, kwargs = ROWS[name]
    expected = jax.jit(make(jnp))(*args, **kwargs)
    ours = deserialize(export(ft.jit(make(fnp)), platforms=("tpu", HERE))(*args, **kwargs).serialize())
    theirs = deserialize(jax.export.export(jax.jit(make(jnp)))(*args, **kwargs).serialize())
    for exported in (ours, theirs):
        assert_same(exported.call(*args, **kwargs), expected, weak=False)
        assert_same(ft.jit(exported.call)(*args, **kwargs), expected, weak=False)


def derivatives(module: Any, call: Any, order: int) -> Any:
    """The gradient of that order, in the world of the module."""
    world = ft if module is fnp else jax
    function = lambda x: module.sum(call(x, parameters, x0, scale=np.float32(0.5))["y"] ** 2)
    for _ in range(order):
        inner = world.grad(function)
        function = lambda x, inner=inner: module.sum(inner(x) ** 2)
    return function(jnp.asarray(x0))


@pytest.mark.parametrize("order", [1, 2])
def test_reverse_mode_goes_along(order: int) -> None:
    make, args, kwargs = ROWS["trees, captured arrays, an unused argument"]
    expected = derivatives(jnp, make(jnp), order)
    data = export(ft.jit(make(fnp)), platforms=("cpu", "cuda"))(*args, **kwargs).serialize(vjp_order=order)
    found = jax.export.deserialize(data)
    assert_same(derivatives(jnp, found.call, order), expected, operations=512)
    assert_same(derivatives(fnp, deserialize(data).call, order), expected, operations=512)
    theirs = jax.export.export(jax.jit(make(jnp)))(*args, **kwargs).serialize(vjp_order=order)
    assert_same(derivatives(fnp, deserialize(theirs).call, order), expected, operations=512)


def test_the_pullback_of_integers_is_that_of_jax() -> None:
    function = lambda m: lambda x, n: (x * n, n + 1)
    ours = export(ft.jit(function(fnp)))(x0, np.int32(2)).vjp()
    theirs = jax.export.export(jax.jit(function(jnp)))(x0, np.int32(2)).vjp()
    assert ours.in_avals == theirs.in_avals and ours.out_avals == theirs.out_avals
    zero = np.zeros((), jax.dtypes.float0)
    (slope, _) = ours.call(x0, np.int32(2), x0, zero)
    assert_same(slope, x0 * 2)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(2.5), np.array([1.5, np.nan, -np.inf, -0.0], np.float32), np.zeros((2, 3)),
        np.zeros((0, 3), np.int8),
        np.array([True, False, True]), np.ones((2, 2), bool), np.arange(-3, 3, dtype=np.int64),
        np.arange(5, dtype=np.uint8),
        np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3),
        np.array([1 + 2j, np.nan]), np.arange(4).astype(np.float16),
        np.arange(4, dtype=np.int32).reshape(2, 2).T, np.full(3, -0.0, np.float32), np.array([0.0, -0.0], np.float32),
        np.arange(-3, 3).astype(ml_dtypes.int4), np.arange(300, dtype=np.float64) / 7,
    ],
    ids=lambda x: f"{x.dtype}{list(np.shape(x))}",
)  # fmt: skip
def test_captured_arrays_keep_every_bit(value: Any) -> None:
    with jax.enable_x64(True):
        captured = jnp.asarray(value)
        exported = export(ft.jit(lambda: captured))()
        for found in (exported, jax.export.deserialize(exported.serialize())):
            result = np.asarray(found.call())
            assert result.dtype == captured.dtype and result.shape == captured.shape
            assert result.tobytes() == np.asarray(captured).tobytes()


def test_random_keys_go_in_are_captured_and_come_out() -> None:
    captured = jax.random.key(7)

    def function(module: Any) -> Any:
        return lambda key: (module.split(key), module.normal(captured, (3,)), module.bits(key, (2,)))

    exported = export(ft.jit(function(ft.random)), platforms=("cpu", "tpu"))(jax.random.key(3))
    keys, normal, bits = jax.export.deserialize(exported.serialize()).call(jax.random.key(3))
    expected = function(jax.random)(jax.random.key(3))
    np.testing.assert_array_equal(jax.random.key_data(keys), jax.random.key_data(expected[0]))
    assert_same((normal, bits), expected[1:], weak=False)


def test_a_class_registered_for_serialisation_goes_through() -> None:
    ft.export.register_namedtuple_serialization(Pair, serialized_name="tests.Pair")
    exported = export(ft.jit(lambda p: Pair(p.right, p.left * 2)))(Pair(x0, x0 + 1))
    for found in (deserialize(exported.serialize()), jax.export.deserialize(exported.serialize())):
        assert_same(found.call(Pair(x0, x0 + 1)), Pair(x0 + 1, x0 * 2))


def test_another_process_runs_it_without_functrans(tmp_path: Path) -> None:
    make, args, kwargs = ROWS["loops and branches"]
    (tmp_path / "exported").write_bytes(export(ft.jit(make(fnp)))(*args, **kwargs).serialize())
    np.save(tmp_path / "x.npy", x0)
    program = (
        "import sys, numpy as np, jax, jax.export\n"
        "data = open(sys.argv[1] + '/exported', 'rb').read()\n"
        "result = jax.export.deserialize(data).call(np.load(sys.argv[1] + '/x.npy'), np.int32(3))\n"
        "assert 'functrans' not in sys.modules\n"
        "np.save(sys.argv[1] + '/y.npy', result)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=tmp_path, timeout=60)
    assert_same(np.load(tmp_path / "y.npy"), jax.jit(make(jnp))(*args), weak=False)


def test_kernels_of_lapack_in_a_module_are_ready_in_a_new_process(tmp_path: Path) -> None:
    exported = jax.export.export(jax.jit(jnp.linalg.cholesky))(np.eye(3, dtype=np.float32))
    (tmp_path / "exported").write_bytes(exported.serialize())
    program = (
        "import sys, numpy as np, functrans as ft\n"
        "found = ft.export.deserialize(open(sys.argv[1] + '/exported', 'rb').read())\n"
        "assert np.array_equal(found.call(4 * np.eye(3, dtype=np.float32)), 2 * np.eye(3))\n"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=root, timeout=60)


def test_one_module_in_a_program_is_written_once_and_two_keep_apart() -> None:
    helper = ft.jit(lambda y: y * 3)
    first = export(ft.jit(lambda x: helper(x) + 1))(x0)
    second = export(ft.jit(lambda x: helper(x) - 1))(x0)
    lowered = ft.jit(lambda x: (first.call(first.call(x)), second.call(x))).lower(x0)
    assert lowered.as_text().count("stablehlo.multiply") == 2
    assert_same(lowered.compile()(x0), ((x0 * 3 + 1) * 3 + 1, x0 * 3 - 1))


def test_an_exported_call_is_one_equation_and_checks_its_types() -> None:
    exported = export(ft.jit(lambda x: x * 2))(x0)
    jaxpr = ft.make_jaxpr(exported.call)(x0)
    assert "call_exported" in str(ft.make_jaxpr(deserialize(exported.serialize()).call)(x0))
    assert len(jaxpr.equations) == 1
    operation = CallExported("", "f", (), (), (), ("cpu",))
    assert "platforms=('cpu',)" in repr(operation)


def test_an_exported_function_prints_its_types() -> None:
    exported = export(ft.jit(lambda x: x * 2), platforms=("cpu", "tpu"))(x0)
    assert repr(exported) == "Exported(<lambda>: (float32[2,3]) -> (float32[2,3]) for cpu, tpu)"
    assert "_platform_index" in exported.mlir_module()
    assert isinstance(exported, Exported)


def tpu_only() -> Exported:
    return export(ft.jit(lambda x: x * 2), platforms=("tpu",))(x0)


def with_kernel() -> Any:
    class Kernel(ft.Primitive):
        name = "kernel"

        def infer(self, x: Any) -> Any:
            return x

        def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
            return emitter.op(f"stablehlo.custom_call @a_kernel_of_mine({operands[0]})", in_types, out_types[0])

    return ft.jit(lambda x: ft.bind(Kernel(), x))


class Unregistered(tuple):
    pass


jax.tree_util.register_pytree_node(Unregistered, lambda t: (tuple(t), None), lambda _, c: Unregistered(c))


def seen(x: Any) -> None:
    pass


doubled = lambda: export(ft.jit(lambda x: x * 2))(x0)

REFUSALS: dict[str, tuple[Any, type[Exception], str]] = {
    "a plain function": (lambda: export(lambda x: x)(x0), TypeError, r"export\(functrans.jit\(<lambda>\)\)"),
    "a function that JAX jitted": (lambda: export(jax.jit(lambda x: x))(x0), TypeError, "made by functrans.jit"),
    "no function": (lambda: export(3), TypeError, "export"),
    "an unknown platform": (lambda: export(ft.jit(abs), platforms=("abacus",)), ValueError, "platforms has 'abacus'"),
    "a string": (lambda: export(ft.jit(abs), platforms="cpu"), TypeError, "platforms is a sequence of names"),
    "another platform": (lambda: tpu_only().call(x0), ValueError, r"was exported for tpu and is called on cpu; export"),
    "a wrong tree": (lambda: doubled().call([x0]), TypeError, "takes arguments of the tree"),
    "a wrong shape": (lambda: doubled().call(x0[0]), TypeError, r"takes f32\[2,3\] as leaf 0 .* given f32\[3\]"),
    "a wrong dtype": (lambda: doubled().call(x0.astype(np.int32)), TypeError, r"given i32\[2,3\]"),
    "what is no array": (lambda: doubled().call("x"), TypeError, "an argument of exported <lambda> is 'x'"),
    "no derivative": (lambda: deserialize(doubled().serialize()).vjp(), ValueError, "serialise it with vjp_order=1"),
    "a negative order": (lambda: doubled().serialize(-1), ValueError, "vjp_order is a number of orders"),
    "no bytes": (lambda: deserialize("text"), TypeError, "deserialize takes bytes, got 'text'"),
    "other bytes": (lambda: deserialize(b"nothing of the kind"), ValueError, "19 bytes are not an exported function"),
    "truncated bytes": (lambda: deserialize(doubled().serialize()[:100]), ValueError, "are not an exported function"),
    "an unstable kernel": (
        lambda: export(with_kernel())(x0),
        ValueError,
        r"later versions may not have:.*a_kernel_of_mine.*disabled_checks=\[DisabledSafetyCheck",
    ),
    "a symbolic shape": (
        lambda: deserialize(
            jax.export.export(jax.jit(jnp.sin))(
                jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), np.float32)
            ).serialize()
        ).call(x0[0]),
        ValueError,
        "symbolic shape",
    ),
    "a symbolic shape here": (
        lambda: export(ft.jit(fnp.sin))(jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 4"), np.float32)),
        ValueError,
        r"the shape \(b, 4\) has symbolic dimensions.*export the function once for each size",
    ),
    "the gradient of a module without it": (
        lambda: ft.grad(lambda x: fnp.sum(deserialize(doubled().serialize()).call(x)))(x0),
        NotImplementedError,
        r"the exported function <lambda> is compiled code without a rule for differentiation.*serialize\(vjp_order=1\)",
    ),
    "a batched module": (
        lambda: ft.vmap(export(ft.jit(lambda x: x * 2))(1.0).call)(x0[0]),
        NotImplementedError,
        r"without a rule for vmap.*export\(functrans.jit\(functrans.vmap\(f\)\)\)",
    ),
    "a callback": (
        lambda: export(ft.jit(lambda x: ft.pure_callback(np.sin, x, x)))(x0),
        ValueError,
        "calls the Python function .* export a function without callbacks",
    ),
    "ordered effects": (
        lambda: export(ft.jit(lambda x: ft.debug.callback(seen, x, ordered=True)))(x0),
        ValueError,
        "ordered effects .* cannot be lowered for several platforms .* nor exported",
    ),
    "random keys in a call": (
        lambda: deserialize(export(ft.jit(lambda k: k))(jax.random.key(0)).serialize()).call(jax.random.key(0)),
        ValueError,
        "exported with random keys",
    ),
    "a class that is not registered": (
        lambda: export(ft.jit(lambda x: Unregistered([x])))(x0).serialize(),
        ValueError,
        "Unregistered",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_name_the_values_and_the_fix(what: str) -> None:
    call, kind, text = REFUSALS[what]
    with pytest.raises(kind, match=f"(?s){text}"):
        call()


def test_an_unstable_kernel_is_exported_when_the_check_is_disabled() -> None:
    check = ft.export.DisabledSafetyCheck.custom_call("a_kernel_of_mine")
    exported = export(with_kernel(), disabled_checks=[check])(x0)
    assert "a_kernel_of_mine" in exported.mlir_module()
    assert exported.disabled_safety_checks == (check,)


def test_modules_for_several_platforms_differ_only_where_they_must() -> None:
    jaxpr = ft.make_jaxpr(lambda x: fnp.sin(x) * 2)(x0)
    one = modules.platform_module(jaxpr, "f", ("cpu", "tpu")).text
    assert one.count("stablehlo.sine") == 1 and '"stablehlo.case"' not in one
