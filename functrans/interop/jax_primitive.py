"""The one operation of JAX that holds a program of ours, and its rules: each transforms our program by our rules.

    b = functrans[program={ lambda ; a:f32[3]. let ... in (...) }] a

Its jvp rule is our linearization: one such operation computes the results and the residuals, a second one, linear in
the tangents, computes theirs; JAX's partial evaluation keeps the first and transposes the second. The lowering rule
inserts our StableHLO into JAX's module as a function of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.extend.core as jax_core
import numpy as np
from jax.experimental import io_callback
from jax.interpreters import ad as jax_ad
from jax.interpreters import batching, mlir
from jax.sharding import AxisType, Mesh, NamedSharding

from functrans.api.ahead_of_time import shape_struct
from functrans.control.holding import jaxpr_axis_names
from functrans.control.saving import inlined
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.interop.axes_of_jax import constant, over_axes_of_jax
from functrans.ir.effects import REPEATABLE, is_ordered
from functrans.ir.program import Equation, Jaxpr, Var, live_equations
from functrans.ir.types import float0
from functrans.jaxlib_compat.array_values import abstract_value
from functrans.jaxlib_compat.jax_programs import alike_over_shards, jax_effects, over_shards, value_type
from functrans.ops.constants import trace_closed
from functrans.ops.structural import transpose as transpose_axes
from functrans.optimise.key_arrays import on_words
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Lanes
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap
from functrans.xla import execute
from functrans.xla.host_callbacks import for_runtime
from functrans.xla.lower import lower_module

ad: Any = jax_ad
functrans_p: Any = jax_core.Primitive("functrans")
functrans_p.multiple_results = True


def _bind(operands: Sequence[Any], program: Jaxpr, name: str) -> list[Any]:
    return functrans_p.bind(*alike_over_shards(*operands), program=program, name=name)  # type: ignore[no-any-return]


def apply_program(program: Jaxpr, operands: Sequence[Any], name: str) -> list[Any]:
    """The program on values of JAX: arrays, or what JAX traces. What speaks of an axis of JAX is JAX's operation."""
    if is_ordered(program.effects):
        return _in_order(program, operands, name)
    if jaxpr_axis_names(program):
        return over_axes_of_jax(inlined(program), operands, name, apply_program)
    return _bind(operands, program, name)


def over_devices(program: Jaxpr, arrays: Sequence[Any], name: str) -> list[Any]:
    """The program on arrays that are spread over several devices: XLA's partitioner divides it, and JAX tells it how
    they are spread. An explicit mesh is read as one that leaves the spreading of results to the partitioner.
    """
    on_values = partial(_on_values, program=program, name=name)
    compiled = program.remember(("over devices", name), lambda: jax.jit(on_values))
    meshes: dict[Any, Any] = {}
    results = compiled(*[_spread_automatically(x, meshes) for x in arrays])
    return [_spread_as_given(x, meshes) for x in results]


def _on_values(*values: Any, program: Jaxpr, name: str) -> list[Any]:
    return _bind(values, program, name)


def _spread_automatically(x: Any, meshes: dict[Any, Any]) -> Any:
    sharding: Any = getattr(x, "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or AxisType.Explicit not in mesh.axis_types:
        return x
    automatic = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    meshes[automatic] = mesh
    return jax.device_put(x, NamedSharding(automatic, sharding.spec, memory_kind=sharding.memory_kind))


def _spread_as_given(x: Any, meshes: dict[Any, Any]) -> Any:
    mesh = meshes.get(getattr(x.sharding, "mesh", None))
    return x if mesh is None else jax.device_put(x, NamedSharding(mesh, x.sharding.spec))


_MOST_PARTS = 32


def apply_in_parts(program: Jaxpr, operands: Sequence[Any], name: str) -> list[Any]:
    """The program, what shares no operation apart, so that JAX sees of each result on which operands it depends; in one
    where there are many such parts, since each is lowered by itself.
    """
    if program.effects:
        return apply_program(program, operands, name)
    results: list[Any] = [None] * len(program.outputs)
    parts = program.remember("parts", lambda: _parts(program))
    if len(parts) > _MOST_PARTS:
        return apply_program(program, operands, name)
    for part, inputs, outputs in parts:
        for i, x in zip(outputs, apply_program(part, [operands[i] for i in inputs], name), strict=True):
            results[i] = x
    return results


def _parts(program: Jaxpr) -> list[tuple[Jaxpr, list[int], list[int]]]:
    """Programs that share no operation, each with the places of its inputs and outputs."""
    joined = list(range(len(program.equations)))  # an equation joined with this one; itself: the last of those joined
    made: dict[Any, int] = {}

    def last(i: int) -> int:
        while joined[i] != i:
            joined[i] = joined[joined[i]]
            i = joined[i]
        return i

    for i, eqn in enumerate(program.equations):
        for a in eqn.inputs:
            if a in made:
                joined[last(made[a])] = i
        made.update(dict.fromkeys(eqn.outputs, i))
    groups: dict[Any, list[int]] = {}
    for k, a in enumerate(program.outputs):
        groups.setdefault(last(made[a]) if a in made else ("no operation", k), []).append(k)
    members: dict[Any, list[Equation]] = {}
    for i, eqn in enumerate(program.equations):
        members.setdefault(last(i), []).append(eqn)
    number = {v: i for i, v in enumerate(program.inputs)}
    parts = []
    for group, places in groups.items():
        outputs = [program.outputs[k] for k in places]
        equations, live = live_equations(members.get(group, []), outputs)
        inputs = sorted([number[v] for v in live if v in number])
        parts.append((Jaxpr([program.inputs[i] for i in inputs], equations, outputs), inputs, places))
    return parts


def apply_equation(eqn: Equation, values: dict[Any, Any]) -> list[Any]:
    """One equation of a program on values of JAX, as a program of its own."""
    # Numbers stay literals: beside arrays they stand for arrays.
    atoms = [Var(i, a.type) if type(a) is Var else a for i, a in enumerate(eqn.inputs)]
    outs = [Var(len(atoms) + i, v.type) for i, v in enumerate(eqn.outputs)]
    one = Jaxpr([a for a in atoms if type(a) is Var], [Equation(eqn.op, atoms, outs, eqn.where)], outs)
    taken = [values[a] for a in eqn.inputs if type(a) is Var]
    return _bind(taken, one, eqn.op.name)


def _in_order(program: Jaxpr, operands: Sequence[Any], name: str) -> list[Any]:
    """A program that calls Python functions in its order: those calls are JAX's, among the effects of its program."""
    values: dict[Any, Any] = dict(zip(program.inputs, operands, strict=True))
    for eqn in program.equations:
        given = [values[a] if type(a) is Var else constant(a) for a in eqn.inputs]
        if not is_ordered(eqn.op.effects):
            results = apply_equation(eqn, values)
        elif eqn.op.holds_jaxprs:
            raise FunctransTypeError(
                f"{name} calls Python functions in the order of the program inside of a {eqn.op.name} at "
                f"{describe_place(eqn.where)}\nand JAX, which traces it, keeps an order of calls outside of our loops "
                "and branches only. Leave out ordered=True there, or use jax.lax for the loop or branch."
            )
        elif eqn.outputs:
            types = [shape_struct(v.type) for v in eqn.outputs]
            results = io_callback(eqn.op.impl, types, *given, ordered=True)
        else:
            results = []
            jax.debug.callback(eqn.op.impl, *given, ordered=True)
        values.update(zip(eqn.outputs, results, strict=True))
    return [values[a] if type(a) is Var else constant(a) for a in program.outputs]


def _run(*operands: Any, program: Jaxpr, name: str) -> list[Any]:
    arrays = [
        x if isinstance(x, jax.Array) else np.asarray(x, t.dtype)
        for x, t in zip(operands, program.in_types, strict=True)
    ]
    return execute.run(program, arrays, name)


def _abstract(*avals: Any, program: Jaxpr, name: str) -> tuple[list[Any], set[Any]]:
    effects = program.effects
    return over_shards(avals, list(map(abstract_value, program.out_types))), jax_effects(
        debug=bool(effects & REPEATABLE), input_output=bool(effects - REPEATABLE)
    )


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, program: Jaxpr, name: str) -> tuple[Any, Any]:
    wrt = [type(t) is not ad.Zero and getattr(t, "dtype", None) != float0 for t in tangents]
    split = linearize_jaxpr(program, wrt)
    results = _bind(primals, split.primal, name)
    slopes: list[Any] = []
    if split.linear.outputs:
        residuals = split.residuals(primals, results)
        given = [t for t, w in zip(tangents, wrt, strict=True) if w]
        slopes = _bind([*residuals, *given], split.linear, name)
    rest = iter(slopes)
    outs = results[: split.num_outputs]
    return outs, [
        next(rest) if nonzero else ad.Zero(value_type(x).to_tangent_aval())
        for nonzero, x in zip(split.nonzero, outs, strict=True)
    ]


def _transpose(cotangents: Sequence[Any], *operands: Any, program: Jaxpr, name: str) -> list[Any]:
    linear = [ad.is_undefined_primal(x) for x in operands]
    nonzero = [type(ct) is not ad.Zero for ct in cotangents]
    backward, has = transpose_jaxpr(program, linear, nonzero)
    given = [x for x, flag in zip(operands, linear, strict=True) if not flag]
    given += [ct for ct, flag in zip(cotangents, nonzero, strict=True) if flag]
    sent = iter(_bind(given, backward, name) if backward.outputs else ())
    wanted = iter(has)
    return [
        (next(sent) if next(wanted) else ad.Zero(x.aval)) if flag else None
        for x, flag in zip(operands, linear, strict=True)
    ]


def _batch(
    axis: Any, operands: Sequence[Any], dims: Sequence[int | None], *, program: Jaxpr, name: str
) -> tuple[Any, Any]:
    """``axis`` is JAX's description of the mapped axis: its name, which the program may speak of, and its size."""
    speaks = axis.name in jaxpr_axis_names(program)
    if not speaks and all(d is None for d in dims):
        return _bind(operands, program, name), [None] * len(program.outputs)
    batched, mapped = batched_program(program, Lanes(axis.size, axis.name if speaks else None), tuple(dims))
    outs = _bind(operands, batched, name)
    return outs, [0 if m else None for m in mapped]


def batched_program(program: Jaxpr, lanes: Lanes, dims: tuple[int | None, ...]) -> tuple[Jaxpr, list[bool]]:
    """The program over operands mapped along these axes, and which of its results are mapped (along axis 0)."""
    return program.remember(("mapped along", lanes, dims), lambda: _batched_program(program, lanes, dims))


def _batched_program(program: Jaxpr, lanes: Lanes, dims: tuple[int | None, ...]) -> tuple[Jaxpr, list[bool]]:
    types = [
        t if d is None else t.update(shape=(*t.shape[:d], lanes.size, *t.shape[d:]))
        for t, d in zip(program.in_types, dims, strict=True)
    ]
    found: list[bool] = []

    def function(*inputs: Any) -> list[Any]:
        fronted = [
            x if not d else transpose_axes(x, (d, *[i for i in range(x.ndim) if i != d]))
            for x, d in zip(inputs, dims, strict=True)
        ]
        outs, mapped = vmap(program, lanes, fronted, [d is not None for d in dims])
        found[:] = mapped
        return outs

    return trace_closed(function, types, "vmap of a program inside JAX"), found


def _lower(context: Any, *operands: Any, program: Jaxpr, name: str) -> Any:
    names = jaxpr_axis_names(program)
    if names:
        raise FunctransTypeError(
            f"{name} speaks of the axes {', '.join(map(repr, sorted(names, key=str)))}, over which devices of JAX work "
            "(jax.shard_map). Use the collectives of jax.lax there: they work on values of functrans too."
        )
    module = context.module_context
    ir: Any = mlir.ir
    modules = [
        lower_module(on_words(program), name, (), platform, first_callback=len(module.host_callbacks))
        for platform in module.platforms
    ]
    if len({lowered.text for lowered in modules}) > 1:
        raise FunctransValueError(
            f"to_jax: the program of {name} differs between the platforms {tuple(module.platforms)}: export it for one "
            "at a time"
        )
    for callback in modules[0].callbacks:
        module.add_host_callback(for_runtime(callback))
    source = ir.Module.parse(modules[0].text, context=module.context)
    main = next(op for op in source.body.operations if op.name.value == "main")
    result_types = list(main.type.results)
    symbol = mlir.merge_mlir_modules(module.module, f"functrans_{name}", source, module.symbol_table)
    call = ir.Operation.create(
        "func.call",
        results=result_types,
        operands=list(operands),
        attributes={"callee": ir.FlatSymbolRefAttr.get(symbol)},
    )
    return list(call.results)


functrans_p.def_impl(_run)
functrans_p.def_effectful_abstract_eval(_abstract)
ad.primitive_jvps[functrans_p] = _jvp
ad.primitive_transposes[functrans_p] = _transpose
batching.fancy_primitive_batchers[functrans_p] = _batch
mlir.register_lowering(functrans_p, _lower)
