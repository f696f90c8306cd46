"""The table of JAX's operations that hold programs: calls, branches and loops.

What a held program closes over becomes leading operands of our operation.
"""

from __future__ import annotations

from typing import Any

from functrans.control.call import Call
from functrans.control.holding import share_captured
from functrans.control.scan import Scan
from functrans.control.switches import Switch
from functrans.control.while_loop import While
from functrans.interop.translation import Application, Emit, size_of
from functrans.trace.builder import bind_all
from functrans.trace.replay import replay

_SMALL = 16  # equations: a shorter callee is written in place, a call of it would cost more than it shares


def _call(application: Application) -> Any:
    """A nested jit: a call, unless it is short."""
    params = application.params
    closed = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    inner = getattr(closed, "jaxpr", closed)
    if params.get("inline") or size_of(inner) <= _SMALL:
        return application.translator.run(inner, getattr(closed, "consts", ()), application.operands)
    program, captured = application.translator.held(closed)
    return bind_all(Call(program, str(params.get("name", "f"))), [*captured, *application.operands])


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
    count = len(captured) + params["num_consts"]
    unroll = max(1, int(params["unroll"]))
    scan = Scan(program, int(params["length"]), bool(params["reverse"]), unroll, count, params["num_carry"])
    return bind_all(scan, [*captured, *application.operands])


def _while(application: Application) -> Any:
    params = application.params
    condition, condition_captured = application.translator.held(params["cond_jaxpr"], "the condition of while_loop")
    body, body_captured = application.translator.held(params["body_jaxpr"], "the body of while_loop")
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]
    operands = application.operands
    loop = While(condition, body, len(condition_captured) + first, len(body_captured) + second - first)
    return bind_all(
        loop, [*condition_captured, *operands[:first], *body_captured, *operands[first:second], *operands[second:]]
    )


def _ours(application: Application) -> Any:
    """A function that ``to_jax`` brought into the JAX program: our own program again."""
    return replay(application.params["program"], application.operands)


CONTROL_FLOW: dict[str, Emit] = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "core_closed_call"), _call),
    "remat2": _inline("jaxpr"),
    "checkpoint": _inline("jaxpr"),
    "composite": _inline("jaxpr"),
    "custom_vmap_call": _inline("call"),
    "cond": _cond,
    "scan": _scan,
    "while": _while,
    "functrans": _ours,
}
