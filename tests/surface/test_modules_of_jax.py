"""Further modules of ``jax.experimental`` that are JAX's own: what they compute in functrans' transforms is JAX's."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.experimental import (
    buffer_callback,
    colocated_python,
    compute_on,
    custom_partitioning,
    hijax,
    layout,
    ode,
    profiler,
    random,
    scheduling_groups,
    source_mapper,
    xla_metadata,
)
from functrans.jaxlib_compat.jax_programs import OPERATION_OBJECT
from tests.agreement import assert_same
from tests.jax_version import JAX
from tests.surface.test_by_the_crossing import assert_transforms_agree, transformed

X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
Function = Callable[[Any], Any]


def doubled(x: Any) -> Any:
    return jnp.sin(x) * 2


def marked(x: Any) -> Any:
    with jax.experimental.xla_metadata.set_xla_metadata(mine="yes"):
        return doubled(x)


def bounded(x: Any) -> Any:
    with xla_metadata.fuse_limit():
        return doubled(x)


def on_the_host(x: Any) -> Any:
    space = ft.memory.Space.Device if JAX >= (0, 11) else jax.memory.Space.Device
    function = compute_on.compute_on if JAX >= (0, 11) else jax.experimental.compute_on.compute_on2
    return function(doubled, compute_type="device_host", out_memory_spaces=space)(x)


MARKS: dict[str, Function] = {
    "marks": marked,
    "a group of a schedule": scheduling_groups.scheduling_group("1")(doubled),
    "a part for the host": on_the_host,
    "a layout": lambda x: layout.with_layout_constraint(jnp.sin(x), layout.Layout(major_to_minor=(1, 0))) * 2,
}
if JAX >= (0, 12):
    from functrans.experimental import overlap

    MARKS["a limit of fusion"] = bounded
    MARKS["one fusion"] = xla_metadata.must_fuse_call("1")(doubled)
    MARKS["in this order"] = overlap.program_order(doubled, enforce=True)
    MARKS["in any order"] = overlap.program_order(doubled, enforce=False)


@pytest.mark.parametrize("name", MARKS)
def test_marks_for_a_compiler_change_no_number(name: str) -> None:
    assert_transforms_agree(MARKS[name], X, name)


@pytest.mark.skipif(JAX < (0, 12), reason="jax 0.12 has it")
def test_explicit_layouts_change_no_number() -> None:
    """JAX's own stands on types that say how an array lies, and runs compiled on some platforms alone."""
    f = layout.explicit_layout(doubled, in_layouts=layout.Layout((0, 1)))
    assert_same(transformed(ft, f, X), transformed(jax, doubled, X), 64, weak=False)


# -- functions that are told how they are spread, Python functions -----------------------------------------------------


def spreading() -> Function:
    @custom_partitioning.custom_partitioning
    def f(x: Any) -> Any:
        return doubled(x)

    f.def_partition(
        infer_sharding_from_operands=lambda mesh, args, result: args[0].sharding,
        partition=lambda mesh, args, result: (mesh, doubled, result.sharding, (args[0].sharding,)),
        sharding_rule="i j -> i j",
    )
    return lambda x: f(x)


def test_functions_that_say_how_they_are_spread() -> None:
    """JAX has neither derivatives nor vmap of them; on one device they are the function."""
    assert_same(ft.jit(spreading())(X), jax.jit(spreading())(X), 8)
    assert_same(transformed(ft, spreading(), X), transformed(jax, doubled, X), 64, weak=False)
    program = jax.make_jaxpr(spreading())(X)
    assert program.eqns[0].primitive is custom_partitioning.custom_partitioning_p
    rule = custom_partitioning.SdyShardingRule(
        (custom_partitioning.ArrayMapping(custom_partitioning.BATCHING, "i"),),
        (custom_partitioning.ArrayMapping(custom_partitioning.BATCHING, custom_partitioning.CompoundFactor("i", "j")),),
        j=2,
    )
    assert "i" in str(rule)


def test_python_on_buffers() -> None:
    def call(context: Any, out: Any, x: Any) -> None:
        assert isinstance(context, buffer_callback.ExecutionContext) and isinstance(x, buffer_callback.Buffer)
        assert context.stage == buffer_callback.ExecutionStage.EXECUTE
        np.asarray(out)[...] = np.asarray(x) * 2

    shape = jax.ShapeDtypeStruct(X.shape, X.dtype)
    f = buffer_callback.buffer_callback(call, shape)
    assert_same(ft.jit(lambda x: f(x + 1) + 1)(X), (X + 1) * 2 + 1, weak=False)
    assert_same(ft.vmap(f)(np.stack([X, 2 * X])), np.stack([2 * X, 4 * X]), weak=False)
    for of in (ft, jax):
        with pytest.raises((NotImplementedError, ValueError), match=r"(?i)callbacks do not support JVP"):
            of.jvp(f, (X,), (X,))


def test_python_beside_other_devices() -> None:
    """Of arrays that are there; of traced ones JAX refuses it, and so does functrans."""
    f = colocated_python.colocated_python(lambda x: ft.vmap(lambda row: row * 2)(x))
    assert_same(f(jnp.asarray(X)), 2 * X, weak=False)
    for of in (ft, jax):
        with pytest.raises(AttributeError, match="sharding"):
            of.jit(f)(jnp.asarray(X))
    assert [d.platform for d in colocated_python.colocated_cpu_devices(jax.devices("cpu"))] == ["cpu"] * len(
        jax.devices("cpu")
    )

    @colocated_python.colocated_python_class
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self, x: Any) -> Any:
            self.count += 1
            return x + self.count

    counter = Counter()
    assert [counter.add(jnp.zeros(2)).tolist() for _ in range(2)] == [[1, 1], [2, 2]]


# -- generators with a state -------------------------------------------------------------------------------------------


def shaken(x: Any) -> Any:
    generator = random.stateful_rng(3)
    assert isinstance(generator, random.StatefulPRNG)
    return x * generator.uniform(size=(4, 8)) + generator.normal(size=(4, 8))


def test_generators_with_a_state() -> None:
    """Made in the function: JAX has no forward mode of them."""
    values = lambda of: of.jit(lambda x: [shaken(x), of.grad(lambda x: (shaken(x) ** 2).sum())(x)])(X)
    assert_same(values(ft), values(jax), 8, weak=False)
    assert_same(ft.vmap(shaken)(X[None]), jax.vmap(shaken)(X[None]), 8, weak=False)
    slopes = shaken(2 * X) - shaken(X)
    np.testing.assert_allclose(ft.jvp(shaken, (X,), (X,))[1], slopes, rtol=1e-4, atol=1e-6)
    outside = random.stateful_rng(0)
    with pytest.raises(TypeError, match=r"(?s)made outside of the function.*Make the reference inside"):
        ft.jit(lambda x: x * outside.uniform(size=(4, 8)))(X)
    assert ft.grad(lambda x: (x * outside.uniform(size=(4, 8))).sum())(X).max() < 1


# -- operations that are objects ---------------------------------------------------------------------------------------


class _Sine(OPERATION_OBJECT):  # type: ignore[misc, valid-type]
    """x -> sin x, of one axis more for each vmap; its derivative is three times that of the sine."""

    def __init__(self, aval: Any) -> None:
        self.in_avals, self.out_aval, self.params = (aval,), aval, {"aval": aval}
        super().__init__()

    def expand(self, x: Any) -> Any:
        return jnp.sin(x)

    def batch(self, axis: Any, args: Any, dims: Any) -> Any:
        front = hijax.bdims_at_front(axis, args, dims)
        assert hijax.unmap_avals(axis, tuple(map(jax.typeof, front)), (0,)) == self.in_avals
        return hijax.vmap_rule(axis, jnp.sin, (0,), 0)(*front), 0


def _objects() -> dict[str, Any]:
    if JAX < (0, 12):
        return {}

    class ByJvp(_Sine):
        def jvp(self, primals: Any, tangents: Any) -> Any:
            return self(*primals), jnp.cos(primals[0]) * hijax.instantiate_zeros(tangents[0]) * 3

        lin, linearized = hijax.linearize_from_jvp
        vjp_fwd, vjp_bwd_retval = hijax.vjp_from_jvp

    class ByLinearisation(_Sine):
        def lin(self, nonzero: Any, x: Any) -> Any:
            assert not hijax.is_undefined_primal(x)
            return self(x), x

        def linearized(self, x: Any, tangent: Any) -> Any:
            return jnp.cos(x) * tangent * 3

        jvp = hijax.jvp_from_lin
        vjp_fwd, vjp_bwd_retval = hijax.vjp_from_lin

    return {"jvp": ByJvp, "lin": ByLinearisation}


OBJECTS = _objects()


@pytest.mark.parametrize("name", OBJECTS)
def test_operations_of_ones_own(name: str) -> None:
    """Rules that are made of others, in both modes, mapped and compiled."""
    f = lambda x: OBJECTS[name](jax.typeof(x))(x)
    three = lambda x: 3 * jnp.sin(x) - jax.lax.stop_gradient(2 * jnp.sin(x))
    slope = lambda of, f: of.grad(lambda x: (f(x) * X).sum())
    found, wanted = (
        of.jit(lambda x: [g(x), slope(of, g)(x), of.jvp(g, (x,), (x * x,)), of.vmap(g)(x), of.vmap(of.vmap(g))(x)])(X)  # noqa: B023
        for of, g in ((ft, f), (jax, three))
    )
    assert_same(found, wanted, 64, weak=False)


def test_values_of_types_of_ones_own_are_refused() -> None:
    class Pair:
        pass

    class PairType(hijax.HiType):  # type: ignore[misc]
        pass

    hijax.register_hitype(Pair, lambda _: PairType())
    assert jax.typeof(Pair()).__class__ is PairType
    with pytest.raises(TypeError, match="of type Pair, which is not a number or an array"):
        ft.jit(lambda x: x)(Pair())


# -- parts of solvers --------------------------------------------------------------------------------------------------


def field(y: Any, t: Any) -> Any:
    return -y * jnp.sin(t + y)


HALF = jnp.float32(0.5)
STEPS: dict[str, Function] = {
    "runge_kutta_step": lambda y: ode.runge_kutta_step(field, y, field(y, HALF), HALF, HALF)[:3],
    "initial_step_size": lambda y: ode.initial_step_size(field, HALF, y, 4, 1e-4, 1e-4, field(y, HALF)),
    "fit_4th_order_polynomial": lambda y: ode.fit_4th_order_polynomial(y, y**2, jnp.sin(y), y + 1, jnp.cos(y), HALF),
    "interp_fit_dopri": lambda y: ode.interp_fit_dopri(y, y**2, jnp.outer(jnp.arange(7.0), y), HALF),
    "mean_error_ratio": lambda y: ode.mean_error_ratio(y / 10, 1e-2, 1e-3, y, y + 1),
    "optimal_step_size": lambda y: ode.optimal_step_size(jnp.abs(y[0]), jnp.abs(y[1]) + 1),
    "abs2": lambda y: ode.abs2(y) + ode.abs2(jax.lax.complex(y, y * y)),
    "ravel_first_arg": lambda y: _raveled(lambda tree, t: {"a": tree["a"] * t}, y),
}


def _raveled(f: Any, y: Any) -> Any:
    flat, unravel = jax.flatten_util.ravel_pytree({"a": y})
    options = {"debug_info": jax.api_util.debug_info("f", f, (y,), {})} if JAX < (0, 11) else {}
    return ode.ravel_first_arg(f, unravel, **options)(flat, HALF)


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_a_solver(name: str) -> None:
    y = np.float32([2.3, 1.2, 0.4, 3.1])
    assert_same(transformed(ft, STEPS[name], y), transformed(jax, STEPS[name], y), 512, weak=False, context=name)
    assert getattr(ode, name) is getattr(importlib.import_module("jax.experimental.ode"), name)


# -- what is kept, read and measured -----------------------------------------------------------------------------------


def test_programs_are_kept_in_a_directory(tmp_path: Any) -> None:
    """``set_cache_dir`` is the setting of functrans' programs, too; tried in a process without other settings."""
    script = f"""
import jax, functrans as ft
from functrans.experimental.compilation_cache import compilation_cache
compilation_cache.set_cache_dir({str(tmp_path)!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
assert ft.jit(lambda x: x * 41 + 17)(1.0) == 58
compilation_cache.reset_cache()  # of what JAX holds of it: the directory stays
assert ft.jit(lambda x: x * 41 + 18)(1.0) == 59
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(list(tmp_path.iterdir())) >= 2


def test_profiles_are_read(tmp_path: Any) -> None:
    """On a CPU there is nothing for the compiler in them."""
    with ft.profiler.trace(str(tmp_path)):
        ft.jit(lambda x: x * 3)(X).block_until_ready()
    folder = next(tmp_path.rglob("*.pb")).parent
    try:
        found = profiler.get_profiled_instructions_proto(str(tmp_path))
    except RuntimeError as error:  # jaxlib's reader of profiles is its own on each platform
        found = str(error).encode()
    assert isinstance(found, bytes) and folder.exists()


def test_what_a_compiler_makes_of_a_function_by_line() -> None:
    f = lambda x: ft.grad(lambda x: fnp.sum(fnp.sin(x) * 2))(x)
    names = {p.name for p in source_mapper.all_passes()}
    assert names == {"jaxpr", "hlo:stable-hlo", "hlo:original", "hlo:optimized"}
    dumps = list(source_mapper.generate_sourcemaps(f, source_mapper.all_passes())(jnp.asarray(X)))
    assert {dump.pass_name for dump in dumps} == names
    for dump in dumps:
        assert isinstance(dump, source_mapper.SourceMapDump) and isinstance(dump.source_map, source_mapper.SourceMap)
        assert "cos" in dump.generated_code and dump.source_map.mappings
    assert any(file.endswith("test_modules_of_jax.py") for dump in dumps for file in dump.source_map.sources)
    (jaxpr,) = source_mapper.filter_passes("jaxpr")
    assert isinstance(jaxpr, source_mapper.Pass) and jaxpr.name == "jaxpr"
    assert source_mapper.canonicalize_filename("some/file.py").endswith("file.py")
    own = source_mapper.Pass("own", lambda *_: lambda *__: None, lambda *_: None)
    assert source_mapper.register_pass is importlib.import_module("jax.experimental.source_mapper").register_pass
    assert own.name == "own" and callable(source_mapper.create_mlir_sourcemap)
    generator = source_mapper.MappingsGenerator()
    generator.new_group()
    generator.new_segment(0, 0, 0, 0)
    assert generator.mappings()
    traced: list[Any] = []
    source_mapper.compile_with_env(lambda x: (traced.append(x), f(x))[1], (X,), {}, {}, {})
    assert len(traced) == 1
