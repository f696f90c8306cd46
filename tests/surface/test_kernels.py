"""Kernels of Pallas in functrans' transforms: one operation of the program, with the rules that JAX has for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu

import functrans as ft
import functrans.numpy as fnp
from functrans.experimental import pallas as pl
from functrans.interop.opaque import Opaque
from functrans.ir.program import all_equations
from tests.agreement import assert_same
from tests.surface.test_by_the_crossing import transformed

X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
Kernel = Callable[..., None]


def call(kernel: Kernel, **options: Any) -> Callable[[Any], Any]:
    """The kernel as a function of an array, which gives one like it."""

    def run(x: Any) -> Any:
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return pl.pallas_call(kernel, **{"out_shape": shape, "interpret": True, **options})(x)

    return run


def scratch(*shape: int) -> Any:
    return pl.MemoryRef(jax.core.ShapedArray(shape, np.float32), pl.ANY)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # another name from jax 0.12 on
    CORES = tpu.create_tensorcore_mesh("core", num_cores=1)


def sine(x: Any, out: Any) -> None:
    out[...] = jnp.sin(x[...]) * 2


def copied(x: Any, out: Any) -> None:
    out[...] = x[...]


def row_by_row(x: Any, out: Any) -> None:
    @pl.loop(0, 4)
    def _(i: Any) -> None:
        out[i] = x[i] * i


ROWS = pl.BlockSpec((2, 8), lambda i: (i, 0))
# Kernels that JAX differentiates forwards and maps.
WITH_RULES: dict[str, Callable[[Any], Any]] = {
    "the whole": call(sine),
    "blocks": call(
        sine, grid=(2, 2), in_specs=[pl.BlockSpec((2, 4), lambda i, j: (i, j))],
        out_specs=pl.BlockSpec((2, 4), lambda i, j: (i, j)),
    ),
    "a grid that is described": call(
        sine, grid_spec=pl.GridSpec((2,), [ROWS], ROWS),
    ),
    "a loop": call(row_by_row),
    "rows without their axis": call(
        sine, grid=(4,), in_specs=[pl.BlockSpec((pl.squeezed, 8), lambda i: (i, 0))],
        out_specs=pl.BlockSpec((pl.Squeezed(), pl.Blocked(8)), lambda i: (i, 0)),
    ),
    "blocks at elements": call(
        copied, grid=(2,), in_specs=[pl.BlockSpec((pl.Element(2), 8), lambda i: (2 * i, 0))],
        out_specs=pl.BlockSpec((2, 8), lambda i: (i, 0)),
    ),
    "no blocks": call(sine, in_specs=[pl.no_block_spec]),
    "memory of all": call(lambda x, out: (pl.get_global(scratch(4, 8)), copied(x, out))[1]),
    "between other operations": lambda x: fnp.tanh(call(sine)(x * jnp.sum(x))),
}  # fmt: skip


def forwards(of: Any, f: Callable[[Any], Any], x: Any) -> Any:
    """Values, forward mode of both orders, vmap, a loop, compiled."""
    along = lambda x: of.jvp(f, (x,), (x,))[1]
    return of.jit(
        lambda x, lanes: [
            f(x), of.jvp(f, (x,), (x * x,)), of.jvp(along, (x,), (x,)), of.vmap(f)(lanes), of.vmap(along)(lanes),
            of.vmap(of.vmap(f))(lanes[None]), of.lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0],
        ]
    )(x, np.stack([x, 2 * x]))  # fmt: skip


@pytest.mark.parametrize("name", WITH_RULES)
def test_kernels_in_transforms(name: str) -> None:
    f = WITH_RULES[name]
    assert_same(f(X), ft.jit(f)(X), 64, weak=False)
    assert_same(forwards(ft, f, X), forwards(jax, f, X), 64, weak=False, context=name)


def test_a_kernel_stays_one_operation() -> None:
    program = ft.make_jaxpr(call(sine))(X)
    assert len(program.equations) == 1 and Opaque in {type(eqn.op) for eqn in all_equations(program)}
    assert pl.pallas_call_p.name == "pallas_call"
    assert ft.make_jaxpr(lambda x: pl.empty_like(x))(X).out_types[0].shape == (4, 8)
    assert ft.jit(lambda x: pl.empty((4, 8), x.dtype) * 0 + x)(X).shape == (4, 8)


def test_reverse_mode_by_a_rule() -> None:
    """JAX has none of kernels; a rule around one may be kernels, too."""
    forward, backward = call(sine), call(lambda x, out: out.__setitem__(..., 2 * jnp.cos(x[...])))
    for of in (ft, jax):
        with pytest.raises((NotImplementedError, ValueError), match=r"(?i)transpose|linearization|reverse mode"):
            of.grad(lambda x: forward(x).sum())(X)

    def ruled(custom_vjp: Any) -> Any:
        f = custom_vjp(forward)
        f.defvjp(lambda x: (forward(x), x), lambda x, ct: (backward(x) * ct,))
        return f

    theirs = lambda x: 2 * jnp.sin(x)
    for f in (ruled(ft.custom_vjp), ruled(jax.custom_vjp)):
        slopes = [of.jit(of.vmap(of.grad(lambda x, f=g: (f(x) ** 2).sum())))(X) for of, g in ((ft, f), (jax, theirs))]
        assert_same(*slopes, 64, weak=False)


def product(a: Any, b: Any, out: Any, total: Any) -> None:
    @pl.when(pl.program_id(2) == 0)
    def _() -> None:
        total[...] = jnp.zeros_like(total)

    total[...] += a[...] @ b[...]

    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _() -> None:
        out[...] = total[...]


def with_memory_of_its_own(x: Any, out: Any) -> None:
    def body(memory: Any) -> None:
        memory[...] = x[...] * 2
        out[...] = memory[...]

    pl.run_scoped(body, scratch(4, 8))


def with_memory_around_it(x: Any, out: Any) -> None:
    @pl.with_scoped(scratch(4, 8))
    def body(memory: Any) -> None:
        memory[...] = x[...] * 3
        out[...] = memory[...]

    body()


def signalled(x: Any, out: Any) -> None:
    def body(semaphore: Any) -> None:
        pl.semaphore_signal(semaphore, 2)
        pl.semaphore_wait(semaphore, 1)
        out[...] = x[...] + pl.semaphore_read(semaphore)

    pl.run_scoped(body, tpu.SemaphoreType.REGULAR)


def halves(x: Any, out: Any) -> None:
    rows = pl.ds(pl.multiple_of(pl.program_id(0) * 2, 2), 2)
    out[rows] = x[rows] * 2


def checked(x: Any, out: Any) -> None:
    pl.debug_check(x[0, 0] < 3, "too large")
    out[pl.dslice(0, 4)] = pl.broadcast_to(x[0:1], (4, 8))


# Kernels that JAX does not differentiate; it maps them all.
WITHOUT_DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "a product of blocks": lambda x: pl.pallas_call(
        product, out_shape=jax.ShapeDtypeStruct((4, 4), x.dtype), grid=(2, 2, 2), scratch_shapes=[scratch(2, 2)],
        in_specs=[pl.BlockSpec((2, 4), lambda i, j, k: (i, k)), pl.BlockSpec((4, 2), lambda i, j, k: (k, j))],
        out_specs=pl.BlockSpec((2, 2), lambda i, j, k: (i, j)), interpret=True,
    )(x, x.T),
    "memory of its own": call(with_memory_of_its_own),
    "semaphores": call(signalled),
    "memory around it": call(with_memory_around_it),
    "an operand written over": call(copied, input_output_aliases={0: 0}),
    "halves": call(halves, grid=(2,)),
    "slices": call(checked),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_DERIVATIVES)
def test_kernels_without_derivatives(name: str) -> None:
    f, lanes = WITHOUT_DERIVATIVES[name], np.stack([X, 2 * X])
    found, wanted = (of.jit(lambda x, lanes, of=of: [f(x), of.vmap(f)(lanes)])(X, lanes) for of in (ft, jax))
    assert_same(found, wanted, 64, weak=False, context=name)
    with pytest.raises(NotImplementedError, match=r"(?s)JAX does not differentiate it.*test_kernels\.py"):
        ft.jvp(f, (X,), (X,))


def test_states_outside_of_kernels() -> None:
    """Which JAX differentiates forwards alone; as operations of functrans there is no such limit."""
    doubled = lambda x: pl.run_state(lambda ref: ref.__setitem__(..., jnp.sin(ref[...]) * 2))(x)
    assert_same(transformed(ft, doubled, X), transformed(jax, lambda x: jnp.sin(x) * 2, X), 64, weak=False)


def test_what_is_said_while_a_kernel_runs(capfd: pytest.CaptureFixture[str]) -> None:
    def speaks(x: Any, out: Any) -> None:
        pl.debug_print("first {}", x[0, 0])
        out[...] = x[...]

    ft.jit(call(speaks))(X).block_until_ready()
    jax.effects_barrier()
    assert "first -1.0" in capfd.readouterr().out


def test_an_operation_of_accelerators() -> None:
    """The kernel is traced everywhere, and refused by name where it is to be compiled."""
    f = call(lambda x, out: (pl.delay(3), copied(x, out))[1])
    assert ft.make_jaxpr(f)(X).out_types[0].shape == (4, 8)
    if jax.default_backend() == "cpu":
        with pytest.raises(NotImplementedError, match=r"(?s)pallas_call at .*test_kernels\.py.*no program for cpu"):
            ft.jit(f)(X)


def test_estimates_and_sizes() -> None:
    cost = pl.estimate_cost(lambda x: jnp.sin(x) @ x.T, X)
    assert isinstance(cost, pl.CostEstimate) and (cost.flops, cost.transcendentals) == (256, 32)
    assert ft.jit(lambda x: x * pl.estimate_cost(jnp.sin, x).transcendentals)(X)[0, 0] == -32
    assert (pl.cdiv(7, 2), pl.next_power_of_2(7), pl.align_to(7, 4), pl.strides_from_shape((3, 4))) == (4, 8, 8, (4, 1))
    assert pl.HOST is jax.experimental.pallas.HOST
    for setting in (pl.enable_debug_checks, pl.enable_poison_buffers):
        with setting(True):
            assert setting.value
    with pl.pallas_export_experimental(dynamic_shapes=False):
        assert ft.jit(call(sine))(X).shape == X.shape
    found = ft.jit(lambda x: jax.freeze(pl.empty_ref_like(jax.ShapeDtypeStruct(x.shape, x.dtype))))(X)
    assert (found.shape, found.dtype) == (X.shape, X.dtype)
    with pytest.raises(ValueError, match="At least two refs"):
        pl.select_ref(0, scratch(4))


def test_kernels_over_cores() -> None:
    """``kernel`` works on memory that is given to it, which may be a reference of JAX."""
    f = pl.kernel(sine, out_type=jax.ShapeDtypeStruct(X.shape, X.dtype), mesh=CORES, interpret=True)
    assert_same(ft.jit(lambda x: f(x) + 1)(X), jnp.sin(X) * 2 + 1, 8, weak=False)
    assert_same(ft.vmap(f)(np.stack([X, 2 * X])), jnp.sin(np.stack([X, 2 * X])) * 2, 8, weak=False)
    with pytest.raises(NotImplementedError, match=r"(?s)(JAX does not differentiate|no rule for).*test_kernels\.py"):
        ft.jvp(f, (X,), (X,))

    def with_state(x: Any) -> Any:
        held = jax.new_ref(x)

        def body(held: Any, out: Any) -> None:
            out[...] = held[...] * 2

        return pl.kernel(body, out_type=jax.ShapeDtypeStruct(X.shape, X.dtype), mesh=CORES, interpret=True)(held)

    assert_same(ft.jit(with_state)(X), 2 * X, weak=False)


@pytest.mark.skipif(not hasattr(pl, "core_map"), reason="jax 0.12 has other names for them")
def test_names_of_older_versions() -> None:
    reciprocal = call(lambda x, out: out.__setitem__(..., pl.reciprocal(x[...] + 3)))
    assert_same(ft.jit(reciprocal)(X), 1 / (X + 3), 8, weak=False)

    def over_cores(x: Any) -> Any:
        held = jax.new_ref(x)
        pl.core_map(CORES, interpret=True)(lambda: held.__setitem__(..., held[...] * 2))
        return held[...]

    assert_same(ft.jit(over_cores)(X), jax.jit(over_cores)(X), weak=False)


def test_text_for_accelerators() -> None:
    """Of functions of functrans, too, whose kernels JAX compiles."""
    compiled = call(sine, interpret=False)
    for f in (compiled, lambda x: ft.jvp(compiled, (x,), (x,)), lambda x: ft.vmap(compiled)(x)):
        assert "tpu_custom_call" in pl.lower_as_mlir(f, X[:, None])
