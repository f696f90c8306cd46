"""``jax.experimental.checkify`` around functions that use functrans' transforms, inside of these, and without either:
what it finds is what it finds in the same function written with JAX's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import functrans as ft
from functrans.interop.jax_checks import CheckifyCheck
from tests.agreement import assert_same

GOOD, BAD = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -2.0, 3.0])


def checked(x: Any, message: str = "not positive: {x}") -> Any:
    checkify.check(jnp.all(x > 0), message, x=jnp.asarray(x))
    return x


def total(x: Any) -> Any:
    return jnp.sum(jnp.sqrt(checked(x)))


def with_rule(of: Any) -> Any:
    f = of.custom_jvp(lambda x: jnp.sin(checked(x, "with a rule: {x}")))
    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * jnp.cos(primals[0])))
    return f


def beside_a_number(of: Any) -> Any:
    f = of.custom_jvp(lambda n, x: n * jnp.sin(checked(x)))
    f.defjvp(lambda primals, tangents: (f(*primals), primals[0] * tangents[1] * jnp.cos(primals[1])))
    return of.jit(lambda x: f(2.0, x))


def with_rules(of: Any) -> Any:
    f = of.custom_vjp(lambda x: jnp.sum(x * x))
    f.defvjp(lambda x: (f(checked(x, "fwd: {x}")), x), lambda x, ct: (2 * ct * checked(x + 1, "bwd: {x}"),))
    return f


USER_CHECKS = {
    "jit": lambda of, x: of.jit(total)(x),
    "grad": lambda of, x: of.grad(total)(x),
    "jit of grad": lambda of, x: of.jit(of.grad(total))(x),
    "grad of jit": lambda of, x: of.grad(of.jit(total))(x),
    "jvp": lambda of, x: of.jvp(total, (x,), (x,)),
    "vmap": lambda of, x: of.vmap(lambda a: jnp.sqrt(checked(a)))(x),
    "vmap of grad": lambda of, x: of.vmap(of.grad(lambda a: jnp.sqrt(checked(a))))(x),
    "scan": lambda of, x: of.lax.scan(lambda c, a: (c + checked(a, "in a step: {x}"), c), jnp.float32(0), x),
    "scan in vmap in jit": lambda of, x: of.jit(
        of.vmap(lambda a: of.lax.scan(lambda c, _: (c + checked(a), c), a, None, length=3))
    )(x),
    "fori_loop": lambda of, x: of.lax.fori_loop(0, 3, lambda i, c: c + checked(jnp.asarray(x)[i]), jnp.float32(0)),
    "while_loop": lambda of, x: of.lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + checked(jnp.asarray(x)[c[0]])), (0, jnp.float32(0))
    ),
    "a condition": lambda of, x: of.lax.while_loop(
        lambda c: checked(jnp.asarray(x)[c[0]]) < 3, lambda c: (c[0] + 1, c[1] + 1), (0, jnp.float32(0))
    ),
    "a branch": lambda of, x: of.lax.cond(jnp.sum(x) > 0, checked, lambda x: 2 * x, x),
    "another branch": lambda of, x: of.lax.cond(jnp.sum(x) > 10, checked, lambda x: 2 * x, x),
    "checkpoint": lambda of, x: of.grad(of.checkpoint(total))(x),
    "a rule": lambda of, x: with_rule(of)(x),
    "a rule beside a number": lambda of, x: beside_a_number(of)(x),
    "a rule in jit": lambda of, x: of.jit(with_rule(of))(x),
    "grad by a rule": lambda of, x: of.grad(lambda x: jnp.sum(with_rule(of)(x)))(x),
    "two": lambda of, x: of.jit(lambda x: (checked(x, "first: {x}"), checked(x - 5, "second: {x}")))(x),
    "the second": lambda of, x: of.jit(lambda x: (checked(x[0], "first: {x}"), checked(x - 5, "second: {x}")))(x),
    "linearize": lambda of, x: of.linearize(total, x)[1](x),
    "map": lambda of, x: of.lax.map(lambda a: 2 * checked(a), x),
    "switch": lambda of, x: of.lax.switch(x.astype(int)[0], [lambda x: x, checked, lambda x: x + 1], x),
    "switch in vmap": lambda of, x: of.vmap(lambda i, a: of.lax.switch(i, [jnp.sin, checked], a))(jnp.ones(3, int), x),
    "a collective": lambda of, x: of.vmap(lambda a: checked(jax.lax.psum(a, "i") - 3), axis_name="i")(x),
    "rules of reverse mode": lambda of, x: of.grad(with_rules(of))(x),
    "jit of JAX": lambda of, x: of.grad(lambda x: jax.jit(total)(x))(x),
    "an error of lanes": lambda of, x: checkify.check_error(of.vmap(checkify.checkify(of.jit(checked)))(x)[0]),
    "an error": lambda of, x: checkify.check_error(of.jit(checkify.checkify(total))(x)[0]),
    "for debugging": lambda of, x: of.jit(lambda x: checkify.debug_check(jnp.all(x > 0), "no"))(x),
}


def assert_same_errors(ours: Any, theirs: Any) -> None:
    assert ours[0].get() == theirs[0].get()
    assert_same(ours[1], theirs[1], 64, weak=False)


@pytest.mark.parametrize("x", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("name", USER_CHECKS)
def test_checks_are_found_wherever_they_stand(name: str, x: Any) -> None:
    ours, theirs = (lambda x, of=of: USER_CHECKS[name](of, x) for of in (ft, jax))
    expected = checkify.checkify(theirs)(x)
    assert_same_errors(checkify.checkify(ours)(x), expected)
    assert_same_errors(ft.jit(checkify.checkify(ours))(x), expected)
    assert_same_errors(jax.jit(checkify.checkify(ours))(x), expected)
    if name != "a condition":  # where JAX has an error of its own
        both = jnp.stack([GOOD, x])
        assert_same_errors(ft.vmap(checkify.checkify(ours))(both), jax.vmap(checkify.checkify(theirs))(both))


@pytest.mark.parametrize("name", ["jit", "vmap", "scan", "a branch", "checkpoint", "a rule", "two"])
def test_what_checkify_made_is_differentiated(name: str) -> None:
    def objective(of: Any) -> Any:
        return lambda x: sum(map(jnp.sum, jax.tree.leaves(checkify.checkify(lambda x: USER_CHECKS[name](of, x))(x)[1])))

    expected = jax.grad(objective(jax))(GOOD)
    for of in (ft, jax):
        assert_same(of.grad(objective(ft))(GOOD), expected, 64, weak=False)


def test_the_rule_of_a_function_beside_a_number_stays_its_rule() -> None:
    # JAX has an error of its own where the function has a check and is jitted.
    for of in (ft, jax):
        slope = of.grad(lambda x: jnp.sum(checkify.checkify(beside_a_number(ft))(x)[1]))(GOOD)
        assert_same(slope, 2 * jnp.cos(GOOD), 64, weak=False)


def test_of_a_batch_the_last_failure_is_shown_as_in_jax() -> None:
    lanes = jnp.stack([BAD, GOOD, BAD - 1, GOOD])
    for inner in (ft, jax):
        for outer in (ft, jax):
            f = outer.vmap(inner.grad(total))
            assert checkify.checkify(f)(lanes)[0].get() == checkify.checkify(jax.vmap(jax.grad(total)))(lanes)[0].get()


def test_a_branch_that_no_lane_takes_fails_no_check() -> None:
    f = lambda x: ft.lax.cond(x > 0, lambda x: checked(x), lambda x: x, x)
    error, value = checkify.checkify(ft.vmap(f))(BAD)
    assert error.get() is None
    assert_same(value, BAD)


def test_a_check_in_a_loop_is_kept_in_its_derivative() -> None:
    f = lambda x: ft.lax.scan(lambda c, a: (c * checked(a), c), jnp.float32(1), x)[0]
    assert "not positive: -2.0" in checkify.checkify(ft.grad(f))(BAD)[0].get()


USES = {
    "plain": lambda f: f,
    "jit": ft.jit,
    "grad": ft.grad,
    "jit of grad": lambda f: ft.jit(ft.grad(f)),
    "scan": lambda f: lambda x: ft.lax.scan(lambda c, _: (c + f(x), None), 0.0, None, length=2),
    "from_jax": ft.from_jax,
}


@pytest.mark.parametrize("name", USES)
def test_a_check_without_checkify_raises_after_the_call(name: str) -> None:
    used = USES[name](total)
    used(GOOD)
    for _ in range(2):
        with pytest.raises(checkify.JaxRuntimeError, match=r"not positive: \[ 1. -2.  3.\] \(`check` failed\)"):
            jax.block_until_ready(used(BAD))
    with pytest.raises(checkify.JaxRuntimeError, match=r"not positive: \[-2.\]"):
        ft.vmap(used if name != "from_jax" else total)(jnp.array([[1.0], [-1.0], [-2.0], [2.0]]))


def test_the_check_is_one_operation_of_the_program() -> None:
    program = ft.make_jaxpr(ft.vmap(total))(jnp.stack([GOOD, BAD]))
    found = [eqn.op for eqn in program.equations if isinstance(eqn.op, CheckifyCheck)]
    assert len(found) == 1
    again = ft.make_jaxpr(ft.vmap(total))(jnp.stack([GOOD, BAD]))
    assert again == program, "JAX gives the check another number"
    assert found[0].impl(np.False_, np.asarray(GOOD)) == []
    with pytest.raises(checkify.JaxRuntimeError, match="not positive"):
        found[0].impl(np.True_, np.asarray(BAD))


def test_a_debug_check_without_checkify_does_nothing() -> None:
    f = lambda x: (checkify.debug_check(jnp.all(x > 0), "not positive"), jnp.sum(x))[1]
    assert_same(ft.grad(f)(BAD), jnp.ones(3), weak=False)
    assert "not positive" in checkify.checkify(ft.grad(f))(BAD)[0].get()


def test_the_same_check_compiles_nothing_new() -> None:
    lanes = jnp.stack([GOOD, GOOD])
    run = lambda: ft.vmap(total)(lanes)  # JAX gives its check another number each time
    run()
    before = ft.compilation_count()
    run()
    assert ft.compilation_count() == before


# -- what checkify looks for of its own --------------------------------------------------------------------------------

FLOATS = [[1.0, 2.0], [1.0, -2.0], [1.0, 0.0], [-1.0, 0.0]]
INDICES = [1, 2, 3, 5, -1, -4]
NUMBERS, SQUARE = jnp.arange(6.0), jnp.arange(9.0).reshape(3, 3)

AUTOMATIC = {
    "log and div": (checkify.float_checks, FLOATS, lambda of, x: of.jit(lambda x: jnp.sum(jnp.log(x) / x))(x)),
    "grad": (checkify.float_checks, FLOATS, lambda of, x: of.grad(lambda x: jnp.sum(jnp.sqrt(x)))(x)),
    "where": (checkify.nan_checks, FLOATS, lambda of, x: of.jit(lambda x: jnp.where(x > 0, x, jnp.nan))(x)),
    "loop": (checkify.div_checks, FLOATS, lambda of, x: of.lax.fori_loop(0, 3, lambda _, x: 1 / x, x)),
    "branch": (checkify.div_checks, FLOATS, lambda of, x: of.lax.cond(x[0] > 0, lambda x: 1 / x, lambda x: x, x)),
    "lanes": (
        checkify.div_checks,
        FLOATS,
        lambda of, x: of.vmap(lambda x: of.lax.cond(x > 0, lambda x: 1 / x, lambda x: x, x))(x),
    ),
    "condition": (
        checkify.div_checks,
        FLOATS,
        lambda of, x: of.lax.while_loop(lambda c: jnp.sum(1 / c) < 3, lambda c: c - 1, x),
    ),
    "steps": (
        checkify.nan_checks,
        FLOATS,
        lambda of, x: of.grad(lambda x: of.lax.scan(lambda c, a: (c * jnp.sqrt(a), c), 1.0, x)[0])(x),
    ),
    "checkpoint": (
        checkify.float_checks,
        FLOATS,
        lambda of, x: of.grad(of.checkpoint(lambda x: jnp.sum(jnp.log(x) / x)))(x),
    ),
    "solve": (checkify.float_checks, [0.0, 1.0], lambda of, x: of.jit(jnp.linalg.inv)(x * SQUARE + jnp.eye(3) * x)),
    "getitem": (checkify.index_checks, INDICES, lambda of, i: of.jit(lambda i: SQUARE[i])(i)),
    "getitems": (
        checkify.index_checks,
        [[0, 1], [1, 3], [-4, 0]],
        lambda of, i: of.vmap(lambda i: SQUARE[i])(i),
    ),
    "dynamic_slice": (
        checkify.index_checks,
        INDICES,
        lambda of, i: of.jit(lambda i: jax.lax.dynamic_slice(NUMBERS, (i,), (2,)))(i),
    ),
    "dynamic_update_slice": (
        checkify.index_checks,
        INDICES,
        lambda of, i: of.jit(lambda i: jax.lax.dynamic_update_slice(NUMBERS, jnp.ones(2), (i,)))(i),
    ),
    **{
        method: (
            checkify.index_checks,
            INDICES,
            lambda of, i, method=method: of.jit(lambda i: getattr(NUMBERS[:3].at[i], method)(2.0))(i),
        )
        for method in ("set", "add", "multiply", "min", "max")
    },
    "index in a loop": (
        checkify.index_checks,
        INDICES,
        lambda of, i: of.lax.fori_loop(0, 4, lambda k, c: c + NUMBERS[k + i], 0.0),
    ),
    "all": (
        checkify.all_checks,
        [*FLOATS, [1.0, 7.0]],
        lambda of, x: of.jit(lambda x: (checked(x[0]), jnp.log(x) / x, NUMBERS[x.astype(int)]))(x),
    ),
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_automatic_checks_find_what_they_find_with_jax(name: str) -> None:
    errors, values, f = AUTOMATIC[name]
    for value in values:
        x = jnp.array(value)
        ours, theirs = (checkify.checkify(lambda x, of=of: f(of, x), errors=errors) for of in (ft, jax))
        expected = theirs(x)
        assert_same_errors(ours(x), expected)
        assert_same_errors(ft.jit(ours)(x), expected)


def test_indices_of_a_difference_are_looked_at() -> None:
    f = ft.jit(lambda i: NUMBERS.at[i].subtract(1.0))
    error, value = checkify.checkify(f, errors=checkify.index_checks)(jnp.array(7))
    assert "index 7 is out of bounds for axis 0 with size 6" in error.get()
    assert_same(value, NUMBERS)


def test_a_check_behind_a_vmap_rule_is_refused() -> None:
    f = ft.custom_batching.custom_vmap(total)
    f.def_vmap(lambda size, batched, x: (jnp.sum(x, 1), True))
    with pytest.raises(NotImplementedError, match=r"does not look into custom_vmap_call .*, at .*test_checkify"):
        checkify.checkify(f)(GOOD)
    assert np.isfinite(f(GOOD))
