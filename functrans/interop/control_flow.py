"""The table of JAX's operations that hold programs: calls, branches, loops, checkpoints, linear systems.

What a held program closes over becomes leading operands of our operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.extend.core.primitives as jax_primitives
from jax.tree_util import tree_flatten, tree_unflatten

from functrans import lax
from functrans.control.call import Call
from functrans.control.checkpoint import Checkpoint
from functrans.control.custom_batching import CustomVmap, UserRule
from functrans.control.holding import share_captured
from functrans.control.linear_call import LinearCall
from functrans.control.linear_solve import CustomLinearSolve
from functrans.control.scan import Scan
from functrans.control.switches import Switch
from functrans.control.while_loop import While
from functrans.interop.jax_tracing import trace_jax_function
from functrans.interop.translation import Application, Emit, Translator, is_short
from functrans.ir.program import Jaxpr
from functrans.ir.types import type_of
from functrans.jaxlib_compat.versions import is_jax_file
from functrans.ops.naming import Name
from functrans.ops.products import DotGeneral
from functrans.trace.binding import bind, bind_all
from functrans.trace.primitive import Primitive
from functrans.trace.replay import replay, replay_here, trace

_SMALL = 16  # equations: a shorter callee is written in place, a call of it would cost more than it shares

_INLINED = ("JAX_EARLY", "JAX_LATE")


def nested_jit(params: Mapping[str, Any], operands: Sequence[Any], translator: Translator) -> list[Any]:
    """A nested jit with these parameters: a call, unless it is short."""
    closed = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    inner = getattr(closed, "jaxpr", closed)
    program, captured = translator.held(closed)
    values = [*captured, *operands]
    inline = params.get("inline")  # a bool; from jax 0.11 on an enumeration
    again = program.remember(("again", inline), lambda: _again(inner, inline))
    return bind_all(Call(program, str(params.get("name", "f"))), values) if again is None else again(program, values)


def _again(inner: Any, inline: Any) -> Any:
    """How the equations of a jitted JAX program are written out where it is called; None for a call."""
    if not (inline is True or getattr(inline, "name", "") in _INLINED or is_short(inner, _SMALL)):
        return None
    # What JAX jits of its own was traced for another line of the user's, perhaps.
    return replay_here if is_jax_file(inner.debug_info.func_filename or "") else replay


def _call(application: Application) -> Any:
    return nested_jit(application.params, application.operands, application.translator)


def _inline(name: str) -> Emit:
    """An operation that stands for the program in this parameter."""

    def emit(application: Application) -> Any:
        closed = application.params[name]
        inner = getattr(closed, "jaxpr", closed)
        return application.translator.run(inner, getattr(closed, "consts", ()), application.operands)

    return emit


def _cond(application: Application) -> Any:
    index, *operands = application.operands
    bodies = [application.translator.held(branch, "a branch of cond") for branch in application.params["branches"]]
    programs, captured = share_captured([program for program, _ in bodies], [values for _, values in bodies])
    return bind_all(Switch(tuple(programs)), [index, *captured, *operands])


def _scan(application: Application) -> Any:
    params = application.params
    program, captured = application.translator.held(params["jaxpr"], "the body of scan")
    # Versions of JAX tell constants, carries and slices apart by different parameters. In all of them what is sliced
    # or stacked has one axis less in the body.
    body_types, result_types = program.in_types[len(captured) :], program.out_types
    slices = sum(a.ndim > b.ndim for a, b in zip(application.in_types, body_types, strict=True))
    carries = sum(a.ndim == b.ndim for a, b in zip(application.out_types, result_types, strict=True))
    consts = len(captured) + len(body_types) - slices - carries
    unroll = max(1, int(params["unroll"]))
    scan = Scan(program, int(params["length"]), bool(params["reverse"]), unroll, consts, carries)
    return bind_all(scan, [*captured, *application.operands])


def _while(application: Application) -> Any:
    params = application.params
    condition, condition_captured = application.translator.held(params["cond_jaxpr"], "the condition of while_loop")
    body, body_captured = application.translator.held(params["body_jaxpr"], "the body of while_loop")
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]
    operands = application.operands
    tests = [*condition_captured, *operands[:first]]
    consts = [*body_captured, *operands[first:second]]
    if condition.out_types[0].shape:
        body = _while_any(condition, body, len(tests))
        consts = [*tests, *consts]
        condition = _any(condition)
    loop = While(condition, body, len(tests), len(consts))
    return bind_all(loop, [*tests, *consts, *operands[second:]])


def _any(condition: Jaxpr) -> Jaxpr:
    """The condition of a loop that JAX's vmap made one for all lanes: it goes on while any lane does."""
    axes = tuple(range(condition.out_types[0].ndim))
    return trace(lambda *xs: [lax.reduce_or(replay(condition, xs)[0], axes)], condition.in_types, "a loop of JAX")[0]


def _while_any(condition: Jaxpr, body: Jaxpr, tests: int) -> Jaxpr:
    """(consts of the condition, of the body, carry) -> carry, in which a lane that is done keeps its own."""
    carries = len(body.outputs)

    def step(*inputs: Any) -> list[Any]:
        consts, carry = inputs[tests : len(inputs) - carries], inputs[len(inputs) - carries :]
        running = replay(condition, [*inputs[:tests], *carry])[0]
        axes = tuple(range(type_of(running).ndim))
        return [
            lax.select(lax.broadcast_in_dim(running, type_of(old).shape, axes), new, old)
            for new, old in zip(replay(body, [*consts, *carry]), carry, strict=True)
        ]

    return trace(step, [*condition.in_types[:tests], *body.in_types], "a loop of JAX")[0]


# -- checkpoints and linear systems ------------------------------------------------------------------------------------


def checkpoint(application: Application, params: Mapping[str, Any]) -> Any:
    """A checkpoint of JAX with these parameters (``jaxpr``, ``policy``, ``prevent_cse``, ``differentiated``)."""
    program, captured = application.translator.held(params["jaxpr"], "a checkpoint")
    cse = params.get("prevent_cse", True)
    if not isinstance(cse, bool):
        cse = (*[False] * len(captured), *cse)
    policy = None if params["policy"] is None else JaxPolicy(params["policy"])
    op = Checkpoint(program, policy, cse, bool(params.get("differentiated")))
    return bind_all(op, [*captured, *application.operands])


@dataclass(frozen=True)
class JaxPolicy:
    """A checkpoint policy of JAX, asked about our operations: each under the name and parameters it has in JAX."""

    policy: Callable[..., Any]

    def __call__(self, primitive: Primitive, *types: Any, **parameters: Any) -> bool:
        known = getattr(jax_primitives, f"{primitive.name}_p", None)
        if known is None:
            return False
        if isinstance(primitive, Name):
            parameters = {"name": primitive.name_}
        elif isinstance(primitive, DotGeneral):
            contracting = (primitive.lhs_contracting, primitive.rhs_contracting)
            parameters["dimension_numbers"] = (contracting, (primitive.lhs_batch, primitive.rhs_batch))
        answer = self.policy(known, *types, **parameters)
        return answer if isinstance(answer, bool) else "saveable" in type(answer).__name__.lower()


def _linear_solve(application: Application) -> Any:
    """Operands (consts of matvec, of vecmat, of solve, of transpose_solve, b), as ours."""
    params = application.params
    programs: list[Any] = []
    operands: list[Any] = []
    counts: list[int] = []
    place = 0
    for closed, count in zip(params["jaxprs"], params["const_lengths"], strict=True):
        program, captured = (None, []) if closed is None else application.translator.held(closed, "a linear solve")
        programs.append(program)
        operands += [*captured, *application.operands[place : place + count]]
        counts.append(len(captured) + count)
        place += count
    matvec, vecmat, solver, transpose_solver = programs
    first, second, third, fourth = counts
    solve = CustomLinearSolve(matvec, vecmat, solver, transpose_solver, (first, second, third, fourth))
    return bind_all(solve, [*operands, *application.operands[place:]])


def _linear_call(application: Application) -> Any:
    params = application.params
    program, captured = application.translator.held(params["callee"], "a linear call")
    transposed, consts = params["transpose_thunk"]()
    backward, backward_captured = application.translator.held(transposed, "the transpose of a linear call")
    first = params["num_callee_consts"]
    values = [*captured, *application.operands[:first]], [*backward_captured, *consts]
    counts = (len(values[0]), len(values[1]), params["num_res"])
    op = LinearCall(program, backward, counts, "linear_call")
    return bind_all(op, [*values[0], *values[1], *application.operands[first:]])


def _ours(application: Application) -> Any:
    """A function that ``to_jax`` brought into the JAX program: our own program again."""
    return replay(application.params["program"], application.operands)


def _custom_vmap(application: Application) -> Any:
    """The function with the vmap rule that its user wrote in JAX, traced by JAX when vmap asks for it."""
    params, translator = application.params, application.translator
    program, captured = translator.held(params["call"], "a custom_vmap function")
    consts_tree, tree = params["in_tree"].children()
    name = getattr(params["rule"], "__name__", "the rule")
    unmapped = tree_unflatten(consts_tree, [False] * consts_tree.num_leaves)

    def rule(axis_size: int, in_batched: list[Any], *args: Any) -> Any:
        leaves = tree_flatten(args)[0]
        consts = tree_unflatten(consts_tree, application.operands[: consts_tree.num_leaves])
        flags: list[Any] = []

        def traced(*values: Any) -> Any:
            # JAX's rule takes the values closed over too, and looks at none of them.
            out, out_batched = params["rule"](axis_size, [unmapped, in_batched], consts, tree_unflatten(tree, values))
            flags.append(out_batched)
            return out

        closed, out_tree = trace_jax_function(traced, [type_of(x) for x in leaves], name)
        return tree_unflatten(out_tree, translator.run(closed.jaxpr, closed.consts, leaves)), flags[0]

    count = len(captured) + consts_tree.num_leaves
    user_rule = UserRule(rule, tree, params["out_tree"], program.out_types, count, name)
    return bind_all(CustomVmap(program, user_rule, name), [*captured, *application.operands])


CONTROL_FLOW: dict[str, Emit] = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "core_closed_call", "eval_jaxpr", "call"), _call),
    **dict.fromkeys(("remat2", "checkpoint"), lambda a: checkpoint(a, a.params)),
    "name": lambda a: bind(Name(a.params["name"]), a.operands[0]),
    "custom_linear_solve": _linear_solve,
    "linear_call": _linear_call,
    "composite": _inline("jaxpr"),
    "custom_partitioning": _inline("call"),
    "xla_metadata_call": _inline("jaxpr"),
    "custom_vmap_call": _custom_vmap,
    "cond": _cond,
    "scan": _scan,
    "while": _while,
    "functrans": _ours,
}
