"""Ahead of time: trace, lower, compile, each stage against jax.stages, and what a compiled function refuses."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.xla import lower as lowering
from tests.agreement import assert_same

x0 = np.array([1.0, 2.0], np.float32)
matrix = np.arange(9, dtype=np.float32).reshape(3, 3)
tree = {"weights": matrix, "bias": (np.float32(1.5), 2)}


def with_tree(module: Any) -> Any:
    def model(x: Any, parameters: Any, *, scale: Any = 1.0) -> Any:
        y = module.sin(x) @ parameters["weights"] * scale
        return {"y": y, "rest": [parameters["bias"][0] + 1, module.sum(y) * parameters["bias"][1]]}

    return model


ROWS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    # name: function of the array module, arguments, keyword arguments, options of jit
    "one array": (lambda m: lambda x: m.sin(x) * 2, (x0,), {}, {}),
    "a Python number": (lambda m: lambda x: x * 2, (3.0,), {}, {}),
    "trees in and out": (with_tree, (matrix, tree), {"scale": 2.0}, {}),
    "static by number": (lambda m: lambda x, n: x * n, (x0, 3), {}, {"static_argnums": 1}),
    "static by name": (lambda m: lambda x, n=1: x * n, (x0,), {"n": 3}, {"static_argnames": "n"}),
    "donated": (lambda m: lambda x, y: x + y, (x0, x0), {}, {"donate_argnums": (0,)}),
    "donated within a tree": (
        lambda m: lambda p, x: (p["a"] + x, p["b"]),
        ({"a": x0, "b": 1}, x0),
        {},
        {"donate_argnums": 0},
    ),
    "unused arguments": (lambda m: lambda x, y, z: z * 2, (x0, {}, x0), {}, {}),
    "unused arguments kept": (lambda m: lambda x, y: y * 2, (x0, x0), {}, {"keep_unused": True}),
    "no arguments": (lambda m: lambda: m.arange(3), (), {}, {}),
    "no results": (lambda m: lambda x: (), (x0,), {}, {}),
    "an argument returned": (lambda m: lambda x: (x, x), (x0,), {}, {}),
    "None and empty trees": (lambda m: lambda x, y: {"x": x[0], "y": y}, ((x0,), None), {}, {}),
    "captured arrays": (lambda m: lambda x: x @ m.asarray(matrix), (matrix,), {}, {}),
}
each_row = pytest.mark.parametrize("name", ROWS)


def both(name: str) -> tuple[Any, Any, tuple[Any, ...], dict[str, Any]]:
    make, args, kwargs, options = ROWS[name]
    return ft.jit(make(fnp), **options), jax.jit(make(jnp), **options), args, kwargs


def dynamic(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    options = ROWS[name][3]
    named = {k: v for k, v in kwargs.items() if k != options.get("static_argnames")}
    return tuple(x for i, x in enumerate(args) if i != options.get("static_argnums")), named


def types(info: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), info)


@each_row
def test_each_stage_describes_arguments_and_results_as_jax_does(name: str) -> None:
    ours, theirs, args, kwargs = both(name)
    traced, expected = ours.trace(*args, **kwargs), theirs.trace(*args, **kwargs)
    assert traced.out_info == expected.out_info, "weak types included"
    assert traced.in_avals == expected.in_avals
    assert traced.out_avals == expected.out_avals
    for stage, reference in (
        (traced, expected),
        (traced.lower(), expected.lower()),
        (traced.lower().compile(), expected.lower().compile()),
    ):
        assert isinstance(stage, type(reference))
        assert stage.in_tree == reference.in_tree
        assert stage.out_tree == reference.out_tree
        assert stage.args_info == reference.args_info
        assert stage.donate_argnums == reference.donate_argnums
        assert types(stage.out_info) == types(reference.out_info)
    assert ours.eval_shape(*args, **kwargs) == expected.out_info


@each_row
def test_a_compiled_function_returns_what_the_function_returns(name: str) -> None:
    ours, theirs, args, kwargs = both(name)
    compiled = ours.lower(*args, **kwargs).compile()
    given, named = dynamic(name, args, kwargs)
    expected = theirs(*args, **kwargs)
    for _ in range(3):  # the second call runs in C++
        assert_same(compiled(*given, **named), expected)


@each_row
def test_structs_of_shape_and_dtype_stand_for_arguments(name: str) -> None:
    ours, theirs, args, kwargs = both(name)
    options = ROWS[name][3]
    struct = lambda x: jax.ShapeDtypeStruct(np.shape(x), jax.dtypes.canonicalize_dtype(np.result_type(x)))
    shapes = [x if i == options.get("static_argnums") else jax.tree.map(struct, x) for i, x in enumerate(args)]
    named = {k: v if k == options.get("static_argnames") else jax.tree.map(struct, v) for k, v in kwargs.items()}
    traced, expected = ours.trace(*shapes, **named), theirs.trace(*shapes, **named)
    assert traced.out_info == expected.out_info
    assert traced.in_avals == expected.in_avals


def test_a_trace_serves_every_stage_and_later_calls() -> None:
    seen = []

    @ft.jit
    def function(x: Any) -> Any:
        seen.append(x)
        return x * 3 - 0.71875  # a program that no other test compiles

    lowered = function.lower(x0)
    before = ft.compilation_count()
    compiled = lowered.compile()
    assert_same(function(x0), x0 * 3 - 0.71875)
    assert_same(compiled(x0), x0 * 3 - 0.71875)
    assert len(seen) == 1 and ft.compilation_count() == before + 1
    lowered.compile(compiler_options={"xla_embed_ir_in_executable": True})
    assert ft.compilation_count() == before + 2, "other options make another executable"
    function.clear_cache()
    function(x0)
    assert len(seen) == 2


def test_captured_arrays_are_inputs_of_the_program_and_not_of_the_call() -> None:
    big = fnp.asarray(matrix)
    traced = ft.jit(lambda x: x @ big).trace(matrix)
    assert len(traced.jaxpr.inputs) == 2 and traced.captured[0] is big
    assert traced.in_tree.num_leaves == 1
    assert_same(traced.lower().compile()(matrix), matrix @ matrix)


def test_a_compiled_function_donates() -> None:
    compiled = ft.jit(lambda x, y: x + y, donate_argnums=0).lower(x0, x0).compile()
    for _ in range(2):
        x = jnp.asarray(x0) * 1
        assert_same(compiled(x, x0), x0 * 2)
        assert x.is_deleted()
    with pytest.raises(RuntimeError, match="deleted"):
        compiled(x, x0)


def test_a_compiled_function_runs_inside_a_trace_and_without_jit() -> None:
    compiled = ft.jit(lambda x: x * 2).lower(x0).compile()
    assert_same(ft.grad(lambda y: fnp.sum(compiled(x0) * y))(x0), x0 * 2)
    with ft.disable_jit():
        assert_same(compiled(x0), x0 * 2)


def test_an_argument_may_be_called_self() -> None:
    function = ft.jit(lambda self, x: self * x)
    for call in (function, function.lower(self=2.0, x=3.0).compile(), ft.export.export(function)(self=2.0, x=3.0).call):
        assert float(call(self=2.0, x=3.0)) == 6.0
    assert function.eval_shape(self=2.0, x=3.0).shape == ()


def test_keys_callbacks_and_checks_work_as_under_jit() -> None:
    key = jax.random.key(3)
    compiled = ft.jit(lambda k: ft.random.normal(k, (2,))).lower(key).compile()
    for _ in range(2):
        assert_same(compiled(key), jax.random.normal(key, (2,)), weak=False)
    assert ft.jit(ft.random.split).lower(key).out_info == jax.jit(jax.random.split).trace(key).out_info

    seen = []
    noted = ft.jit(lambda x: ft.pure_callback(lambda a: seen.append(a) or np.sin(a), x, x) * 2).lower(x0).compile()
    for _ in range(2):
        assert_same(noted(x0), np.sin(x0) * 2)
    assert len(seen) == 2

    logarithm = ft.jit(fnp.log).lower(x0).compile()
    assert np.isnan(logarithm(-x0)).all()
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="a NaN was born in log"):
        logarithm(-x0)


# -- the texts --------------------------------------------------------------------------------------------------------


def test_stablehlo_is_printed_as_mlir_prints_it() -> None:
    text = ft.jit(lambda x: fnp.sin(x) * 2).lower(x0).as_text()
    assert "  func.func public @main(%arg0: tensor<2xf32>) -> tensor<2xf32> {\n" in text
    assert "    %0 = stablehlo.sine %arg0 : tensor<2xf32>\n" in text
    assert "loc(" not in text
    assert ft.jit(lambda x: x, donate_argnums=0).lower(x0).as_text().count("tf.aliasing_output = 0 : i32") == 1


def test_hlo_and_optimised_hlo_are_printed() -> None:
    lowered = ft.jit(lambda x: fnp.sin(x) * 2).lower(x0)
    assert "sine(" in lowered.as_text("hlo") and "fused" not in lowered.as_text("hlo")
    assert "fused" in lowered.compile().as_text()
    assert type(lowered.compiler_ir("stablehlo")).__name__ == "Module"
    assert "sine" in lowered.compiler_ir("hlo").as_hlo_text()


def lines_of(function: Any) -> dict[str, int]:
    source, first = inspect.getsourcelines(function)
    return {line.strip(): first + i for i, line in enumerate(source)}


def test_debug_information_names_the_users_file_and_line_of_each_operation() -> None:
    def body(carry: Any, _: Any) -> Any:
        doubled = carry + carry
        return doubled, None

    def function(x: Any) -> Any:
        y = fnp.sin(x)
        z, _ = lax.scan(body, y, None, length=3)
        return fnp.exp(z)

    lowered = ft.jit(function).lower(x0)
    places = {**lines_of(function), **lines_of(body)}
    for text in (lowered.as_text(debug_info=True), lowered.as_text("hlo", debug_info=True)):
        assert __file__ in text
    text = lowered.as_text(debug_info=True)
    for line in ("y = fnp.sin(x)", "doubled = carry + carry", "return fnp.exp(z)"):
        assert f'loc("{__file__}":{places[line]}:0)' in text
    assert __file__ not in lowered.as_text()
    by_name = {
        line.split('"')[1]: line for line in text.splitlines() if line.startswith("#loc") and line.endswith("))")
    }
    assert {"sin", "add", "exp"} <= set(by_name)


def test_a_text_names_its_own_function_though_equal_programs_share_an_executable() -> None:
    def one(x: Any) -> Any:
        return x * 3 - 0.6875

    def other(x: Any) -> Any:
        return x * 3 - 0.6875

    ft.jit(one)(x0)
    before = ft.compilation_count()
    lowered = ft.jit(other).lower(x0)
    assert "module @other " in lowered.as_text()
    assert f'{__file__}":{lines_of(other)["return x * 3 - 0.6875"]}:0' in lowered.as_text(debug_info=True)
    lowered.compile()
    assert ft.compilation_count() == before


def test_an_operation_after_an_inner_program_keeps_its_own_place() -> None:
    def inner(x: Any) -> Any:
        return fnp.cos(x)

    def function(x: Any) -> Any:
        return ft.jit(inner)(x)

    text = lowering.lower_module(ft.make_jaxpr(function)(x0), located=True).text
    (call,) = [line for line in text.splitlines() if " = call @" in line]
    assert f":{lines_of(function)['return ft.jit(inner)(x)']}:0" in call


def test_costs_and_memory_are_those_of_the_program() -> None:
    lowered = ft.jit(lambda x: x @ x).lower(np.ones((8, 8), np.float32))
    reference = jax.jit(lambda x: x @ x).lower(np.ones((8, 8), np.float32))
    assert lowered.cost_analysis()["flops"] == reference.cost_analysis()["flops"] == 2 * 8**3
    compiled = lowered.compile()
    assert compiled.cost_analysis()["flops"] == reference.compile().cost_analysis()["flops"]
    assert compiled.memory_analysis().argument_size_in_bytes == 8 * 8 * 4
    assert compiled.memory_analysis().output_size_in_bytes == 8 * 8 * 4


def test_shardings_name_the_device() -> None:
    compiled = ft.jit(lambda p, x: {"y": p["a"] * x}).lower({"a": x0}, 2.0).compile()
    reference = jax.jit(lambda p, x: {"y": p["a"] * x}).lower({"a": x0}, 2.0).compile()
    assert compiled.input_shardings == reference.input_shardings
    assert compiled.output_shardings == reference.output_shardings
    assert compiled.out_info["y"].sharding == reference.output_shardings["y"]
    assert type(compiled.runtime_executable()).__name__ == "LoadedExecutable"


# -- platforms --------------------------------------------------------------------------------------------------------


def test_a_module_for_several_platforms_takes_the_number_of_its_platform_first() -> None:
    traced = ft.jit(lambda x: fnp.sin(x)).trace(x0)
    text = traced.lower(lowering_platforms=("cpu", "tpu")).as_text()
    assert '%arg0: tensor<i32> {jax.global_constant = "_platform_index"}' in text
    assert text.count("stablehlo.sine") == 1, "what does not depend on the platform is written once"
    assert "_platform_index" not in traced.lower(lowering_platforms=("tpu",)).as_text()


def test_what_depends_on_the_platform_is_written_for_each() -> None:
    class ByPlatform(ft.Primitive):
        name = "by_platform"

        def infer(self, x: Any) -> Any:
            return x

        def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
            operation = {"cpu": "sine", "cuda": "cosine"}[emitter.platform]
            return emitter.elementwise(operation, operands, in_types, out_types[0])

    inner = ft.jit(lambda x: ft.bind(ByPlatform(), x) * 2)
    traced = ft.jit(lambda x: (inner(x) + 1, x)).trace(x0)
    text = traced.lower(lowering_platforms=("cpu", "cuda")).as_text()
    assert text.count("stablehlo.sine") == text.count("stablehlo.cosine") == 1
    assert text.count('"stablehlo.case"') == 1
    assert "stablehlo.sine" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    np.testing.assert_allclose(traced.lower().compile()(x0)[0], np.sin(x0) * 2 + 1, rtol=1e-6)


# -- refusals ---------------------------------------------------------------------------------------------------------


def compiled_model() -> Any:
    return ft.jit(lambda p, x: p["a"] * x).lower({"a": x0}, x0).compile()


REFUSALS: dict[str, tuple[Any, type[Exception], str]] = {
    "a wrong shape": (
        lambda: compiled_model()({"a": x0[:1]}, x0),
        TypeError,
        r"compiled <lambda> takes f32\[2\] as args\[0\]\['a'\] and was given f32\[1\]",
    ),
    "a wrong dtype": (
        lambda: compiled_model()({"a": x0}, x0.astype(np.int32)),
        TypeError,
        r"takes f32\[2\] as args\[1\] and was given i32\[2\]",
    ),
    "what is no array": (lambda: compiled_model()({"a": x0}, "text"), TypeError, "args.1. and was given .*text"),
    "a struct": (
        lambda: compiled_model()({"a": x0}, ft.ShapeDtypeStruct((2,), x0.dtype)),
        TypeError,
        "args.1. and was",
    ),
    "a wrong tree": (
        lambda: compiled_model()({"b": x0}, x0),
        TypeError,
        "takes arguments of the tree .*Lower the func",
    ),
    "too few arguments": (lambda: compiled_model()({"a": x0}), TypeError, "takes arguments of the tree"),
    "a keyword": (lambda: compiled_model()({"a": x0}, x=x0), TypeError, "takes arguments of the tree"),
    "a traced value": (
        lambda: ft.grad(lambda x: fnp.sum(compiled_model()({"a": x}, x0)))(x0),
        TypeError,
        r"was given a traced value as args\[0\]\['a'\].*\n.*transform the function, then lower it",
    ),
    "a closed-over tracer": (
        lambda: ft.grad(lambda x: fnp.sum(ft.jit(lambda y: x * y).lower(x0).compile()(x0)))(x0),
        TypeError,
        "closes over a traced value",
    ),
    "another device's module": (
        lambda: ft.jit(lambda x: x).trace(x0).lower(lowering_platforms=("tpu",)).compile(),
        ValueError,
        r"was lowered for tpu and would run on .*export",
    ),
    "a module for several platforms": (
        lambda: ft.jit(lambda x: x).trace(x0).lower(lowering_platforms=("cpu", "tpu")).compile(),
        ValueError,
        "was lowered for cpu, tpu",
    ),
    "an unknown platform": (
        lambda: ft.jit(lambda x: x).trace(x0).lower(lowering_platforms=("abacus",)),
        ValueError,
        "has 'abacus'; the platforms are cpu, cuda, rocm, tpu",
    ),
    "no platform": (lambda: ft.jit(lambda x: x).trace(x0).lower(lowering_platforms=()), ValueError, "is empty"),
    "a string for platforms": (
        lambda: ft.jit(lambda x: x).trace(x0).lower(lowering_platforms="cpu"),
        TypeError,
        "lowering_platforms is a sequence of names",
    ),
    "an unknown dialect": (
        lambda: ft.jit(lambda x: x).lower(x0).as_text("llvm"),
        ValueError,
        "'llvm' is not a dialect",
    ),
    "an unknown dialect of the IR": (lambda: ft.jit(lambda x: x).lower(x0).compiler_ir("c"), ValueError, "'c' is not"),
    "options that are no dict": (
        lambda: ft.jit(lambda x: x).lower(x0).compile([]),
        TypeError,
        "compiler_options is a dict",
    ),
    "an unknown option": (lambda: ft.jit(lambda x: x).lower(x0).compile({"xla_nope": 1}), RuntimeError, "xla_nope"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_name_the_argument_the_values_and_the_fix(what: str) -> None:
    call, kind, text = REFUSALS[what]
    with pytest.raises(kind, match=f"(?s){text}"):
        call()


def test_types_are_checked_after_calls_that_ran_in_cpp_too() -> None:
    compiled = compiled_model()
    for _ in range(3):
        compiled({"a": x0}, x0)
    with pytest.raises(TypeError, match="takes f32"):
        compiled({"a": x0}, x0.astype(np.int32))
    assert_same(compiled({"a": x0}, x0), x0 * x0)


def test_a_function_compiled_for_one_width_refuses_the_other() -> None:
    with jax.enable_x64(True):
        wide = ft.jit(lambda x: x * 2).lower(1.0).compile()
        assert wide(1.0).dtype == np.float64
    with jax.enable_x64(False), pytest.raises(TypeError, match="jax_enable_x64"):
        wide(1.0)


def test_whatever_has_a_shape_and_a_dtype_stands_for_an_array() -> None:
    like = SimpleNamespace(shape=(3,), dtype=np.dtype(np.float32))
    function = ft.jit(lambda x, n: {"a": x[:n] + 1.0}, static_argnums=1)
    expected = {"a": jax.ShapeDtypeStruct((2,), np.float32)}
    assert function.trace(like, 2).out_info == expected
    assert function.eval_shape(like, 2) == expected
    assert function.lower(like, 2).compile()(np.float32([1, 2, 3]))["a"].tolist() == [2.0, 3.0]
    for number in (1, -1, (1,)):
        program, shape = ft.make_jaxpr(lambda x, n: x[:n] if n == 2 else x, number, return_shape=True)(like, 2)
        assert [t.shape for t in program.in_types] == [(3,)]
        assert shape == jax.ShapeDtypeStruct((2,), np.float32)
