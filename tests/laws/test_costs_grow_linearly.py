"""What a transform does in Python grows no faster than what it is given: leaves, equations, captures, results.

Counted are the lines that Python runs, each turn of a comprehension among them, on n, 2n and 4n of a thing. What does
not depend on n falls out of the differences: from 2n to 4n the count may grow twice as much as from n to 2n, and a part
that grows with the square shows long before it takes a noticeable time. The leaves stand in nodes of a class of this
file, whose flattening is Python too, so that a walk through the tree for each leaf is counted. Nothing large is
compiled.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.export import export
from functrans.xla import execute

FEW = 16
MANY = 192  # steps: at n already they run in segments, and n, 2n, 4n leave segments of the same kinds at their ends
MOST_GROWTH = 2.2  # from 2n to 4n, in units of that from n to 2n: a cost a*n + b*n*n passes where b < a/400
X = np.array([0.5, 0.25], np.float32)


def steps(thunk: Callable[[], Any]) -> int:
    """How many lines Python runs in a function (calls and returns count as lines)."""
    count = 0

    def trace(*_: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        thunk()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def growth(make: Callable[[int], Callable[[], Any]], n: int = FEW) -> float:
    """(steps of 4n - steps of 2n) / (steps of 2n - steps of n): 2 where they grow with n, 4 with its square."""
    make(n - 2)()  # what is done once in a process
    counts = []
    for size in (n, 2 * n, 4 * n):
        ft.clear_caches()  # what an earlier test has left there
        counts.append(steps(make(size)))
    few, more, most = counts
    return (most - more) / max(more - few, 10)  # a cost that does not depend on n grows by a few calls, by chance


@jax.tree_util.register_pytree_node_class
class Box:
    """A node that holds one leaf."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten(self) -> Any:
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _: Any, children: Any) -> Box:
        return cls(*children)


def boxes(n: int, shape: tuple[int, ...] = (2,)) -> list[Box]:
    return [Box(np.full(shape, 1.0 / (i + 1), np.float32)) for i in range(n)]


def total(tree: Any) -> Any:
    result: Any = 0.0
    for x in jax.tree_util.tree_leaves(tree):
        result = result + fnp.sum(x * x)
    return result


def chain(n: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        for _ in range(n):
            x = fnp.sin(x) * 1.5
        return fnp.sum(x)

    return f


def capturing(n: int) -> Callable[[Any], Any]:
    arrays = [np.full(2, i + 1, np.float32) for i in range(n)]

    def f(x: Any) -> Any:
        for a in arrays:
            x = x * a + a
        return fnp.sum(x)

    return f


def many(n: int) -> Callable[[Any], Any]:
    """A function with n results."""
    return lambda x: [Box(x * (i + 2.0)) for i in range(n)]


@pytest.fixture
def one_way_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No segments, which begin at some number of equations between n and 4n; and no other way for long programs."""
    monkeypatch.setattr(execute, "cut", lambda _: None)
    monkeypatch.setattr(execute, "is_small", lambda _: False)


def doubled(tree: Any) -> Any:
    return jax.tree_util.tree_map(lambda x: np.stack([x, x]), tree)


def scaled(f: Any, tree: Any) -> Any:
    factor = 1.0 + f(tree)
    return jax.tree_util.tree_map(lambda x: x * factor, tree)


# -- what every transform is given: leaves, equations, captures --------------------------------------------------------

GIVEN: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "leaves": lambda n: (total, boxes(n)),
    "equations": lambda n: (chain(n), X),
    "captures": lambda n: (capturing(n), X),
}


def pullback(f: Any, x: Any) -> Any:
    _, back = ft.vjp(f, x)
    return lambda: back(np.float32(1))


def pushforward(f: Any, x: Any) -> Any:
    _, push = ft.linearize(f, x)
    return lambda: push(x)


def second_call(f: Any, x: Any) -> Any:
    g = ft.jit(f)
    g(x)
    return lambda: g(x)


def with_jvp_rule(f: Any) -> Any:
    g = ft.custom_jvp(lambda x: f(x))
    g.defjvp(lambda primals, tangents: ft.jvp(f, primals, tangents))
    return g


def with_vjp_rule(f: Any) -> Any:
    g = ft.custom_vjp(lambda x: f(x))
    g.defvjp(lambda x: ft.vjp(f, x), lambda back, ct: back(ct))
    return g


def traced(g: Any, *args: Any) -> Callable[[], Any]:
    return lambda: ft.make_jaxpr(g)(*args)


def jax_total(tree: Any) -> Any:
    return sum(jax.numpy.sum(x * x) for x in jax.tree_util.tree_leaves(tree))


# (f, x) -> what is counted. ``un-jitted`` ones run; the others are traced, or lowered to text.
TRANSFORMS: dict[str, Callable[[Any, Any], Callable[[], Any]]] = {
    "grad un-jitted": lambda f, x: lambda: ft.grad(f)(x),
    "value_and_grad un-jitted": lambda f, x: lambda: ft.value_and_grad(f)(x),
    "jvp un-jitted": lambda f, x: lambda: ft.jvp(f, (x,), (x,)),
    "vjp un-jitted": lambda f, x: lambda: ft.vjp(f, x),
    "pullback un-jitted": pullback,
    "linearize un-jitted": lambda f, x: lambda: ft.linearize(f, x),
    "pushforward un-jitted": pushforward,
    "vmap un-jitted": lambda f, x: lambda: ft.vmap(f)(doubled(x)),
    "jit": lambda f, x: lambda: ft.jit(f)(x),
    "jit, second call": second_call,
    "jit, lowered": lambda f, x: lambda: ft.jit(f).lower(x).as_text(),
    "make_jaxpr": lambda f, x: traced(f, x),
    "printed": lambda f, x: lambda: str(ft.make_jaxpr(f)(x)),
    "eval_shape": lambda f, x: lambda: ft.eval_shape(f, x),
    "export": lambda f, x: lambda: export(ft.jit(f))(x),
    "grad": lambda f, x: traced(ft.grad(f), x),
    "jvp": lambda f, x: traced(lambda x: ft.jvp(f, (x,), (x,)), x),
    "vjp": lambda f, x: traced(lambda x: ft.vjp(f, x)[1](np.float32(1)), x),
    "linearize": lambda f, x: traced(lambda x: ft.linearize(f, x)[1](x), x),
    "linear_transpose": lambda f, x: traced(
        lambda x: ft.linear_transpose(ft.linearize(f, x)[1], x)(np.float32(1)), x
    ),
    "jacfwd": lambda f, x: traced(ft.jacfwd(f), x),
    "jacrev": lambda f, x: traced(ft.jacrev(f), x),
    "hvp": lambda f, x: traced(lambda x: ft.hvp(f, (x,), (x,)), x),
    "vmap": lambda f, x: traced(ft.vmap(f), doubled(x)),
    "vmap of grad": lambda f, x: traced(ft.vmap(ft.grad(f)), doubled(x)),
    "grad of grad": lambda f, x: traced(ft.grad(lambda x: total(ft.grad(f)(x))), x),
    "grad of jit": lambda f, x: traced(ft.grad(ft.jit(f)), x),
    "checkpoint": lambda f, x: traced(ft.grad(ft.checkpoint(f)), x),
    "custom_jvp": lambda f, x: traced(ft.grad(with_jvp_rule(f)), x),
    "custom_vjp": lambda f, x: traced(ft.grad(with_vjp_rule(f)), x),
    "to_jax": lambda f, x: lambda: jax.make_jaxpr(ft.to_jax(f))(x),
    "cond": lambda f, x: traced(ft.grad(lambda x, p: lax.cond(p, f, lambda x: 2.0 * f(x), x)), x, True),
    "map": lambda f, x: traced(ft.grad(lambda x: fnp.sum(lax.map(f, x))), doubled(x)),
    "scan": lambda f, x: traced(
        ft.grad(lambda x: total(lax.scan(lambda c, _: (scaled(f, c), None), x, None, length=3)[0])), x
    ),
    "scan over slices": lambda f, x: traced(
        ft.grad(lambda x: total(lax.scan(lambda c, s: (c + f(s), s), np.float32(0), x))), doubled(x)
    ),
    "fori_loop": lambda f, x: traced(ft.grad(lambda x: total(lax.fori_loop(0, 3, lambda i, c: scaled(f, c), x))), x),
    "while_loop": lambda f, x: traced(
        lambda x: ft.jvp(
            lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, scaled(f, c[1])), (0, x))[1], (x,), (x,)
        ),
        x,
    ),
}


ROWS = [(transform, given) for transform in TRANSFORMS for given in GIVEN]
IN_SEGMENTS = [row for row in ROWS if row[0].endswith("un-jitted") and row[1] != "leaves"]


@pytest.mark.usefixtures("one_way_to_run")
@pytest.mark.parametrize(("transform", "given"), [row for row in ROWS if row not in IN_SEGMENTS])
def test_a_transform_costs_no_more_than_in_proportion_to_what_it_is_given(transform: str, given: str) -> None:
    assert growth(lambda n: TRANSFORMS[transform](*GIVEN[given](n))) <= MOST_GROWTH


@pytest.mark.parametrize(("transform", "given"), IN_SEGMENTS)
def test_a_program_run_in_segments_costs_no_more_than_in_proportion_to_its_length(transform: str, given: str) -> None:
    assert growth(lambda n: TRANSFORMS[transform](*GIVEN[given](n)), MANY) <= MOST_GROWTH


# -- what some of them are given besides -------------------------------------------------------------------------------


def demanding(n: int, held: bool = False) -> Callable[[Any], Any]:
    """A function that asks for n values while it is traced."""

    def f(x: Any) -> Any:
        y, kept = x[0], []
        for _ in range(n):
            if y > -5.0:
                y = fnp.sin(y) * 1.1
            kept.append(y)
        return sum(kept) if held else y

    return f


def repeated(step: Callable[[Any], Any]) -> Callable[[int], Any]:
    def make(n: int) -> Any:
        def f(x: Any) -> Any:
            for _ in range(n):
                x = step(x)
            return fnp.sum(x)

        return f

    return make


def symbolic(n: int) -> Any:
    g = ft.custom_vjp(lambda x: many(n)(x))
    g.defvjp(lambda x: (many(n)(x.value), None), lambda _, cts: (X,), symbolic_zeros=True)
    return g


_sine = ft.custom_jvp(lambda x: fnp.sin(x))
_sine.defjvp(lambda primals, tangents: (_sine(*primals), fnp.cos(primals[0]) * tangents[0]))
_cosine = ft.custom_vjp(lambda x: fnp.cos(x))
_cosine.defvjp(lambda x: (fnp.cos(x), x), lambda x, ct: (-fnp.sin(x) * ct,))
_jitted = ft.jit(lambda x: fnp.sin(x) * 2.0)


def nested(wrap: Callable[[Any], Any], n: int) -> Any:
    f: Any = lambda x: fnp.sum(fnp.sin(x))
    for _ in range(n):
        f = wrap(f)
    return f


def jitted_twice(f: Any) -> Any:
    return ft.jit(lambda x: f(x) * 2.0)


def chosen(f: Any) -> Any:
    return lambda x: lax.cond(x[0] > 0, f, fnp.sum, x)


def branches(n: int) -> list[Any]:
    return [lambda x, k=k: fnp.sin(x) * (k + 1.0) for k in range(n)]


def storing(n: int) -> list[Any]:
    """Branches that store values of different types for the backward pass."""
    def branch(k: int) -> Any:
        return lambda x: total([fnp.sin(fnp.concatenate([x] * (i % 3 + 1))) for i in range(k % 2, n)])

    return [branch(0), branch(1)]


def linear_like(n: int) -> Any:
    return lambda b: lax.custom_linear_solve(
        lambda x: jax.tree_util.tree_map(lambda p: p * 2.0, x), b, lambda _, b: b, lambda _, b: b
    )


def root_of(a: Any) -> Any:
    return lax.custom_root(
        lambda x: jax.tree_util.tree_map(lambda p, q: p * p - q, x, a), a, lambda f, x: x, lambda g, y: y
    )


def promised(n: int) -> Any:
    return [Box(jax.ShapeDtypeStruct((2,), np.float32)) for _ in range(n)]


def updated(n: int) -> Any:
    def f(x: Any) -> Any:
        for i in range(n):
            x = x.at[i].set(2.0 * x[i])
        return fnp.sum(x)

    return f


OTHERS: dict[str, Callable[[int], Callable[[], Any]]] = {
    "auxiliary results of grad": lambda n: lambda: ft.grad(lambda x: (fnp.sum(x), many(n)(x)), has_aux=True)(X),
    "results of vjp": lambda n: lambda: ft.vjp(many(n), X),
    "results of jvp": lambda n: traced(lambda x: ft.jvp(many(n), (x,), (x,)), X),
    "results of linearize": lambda n: traced(lambda x: ft.linearize(many(n), x)[1](x), X),
    "results of vmap": lambda n: traced(ft.vmap(many(n), out_axes=-1), np.ones((2, 3), np.float32)),
    "results of jacfwd": lambda n: traced(ft.jacfwd(many(n)), X),
    "results of jacrev": lambda n: traced(ft.jacrev(many(n)), X),
    "results of jit": lambda n: lambda: ft.jit(many(n))(X),
    "results of a call": lambda n: traced(ft.grad(lambda x: total(ft.jit(many(n))(x))), X),
    "some results of a call": lambda n: traced(ft.grad(lambda x: total(ft.jit(many(n))(x)[::2])), X),
    "results of checkpoint": lambda n: traced(ft.grad(lambda x: total(ft.checkpoint(many(n))(x))), X),
    "results of scan": lambda n: traced(
        ft.grad(lambda x: total(lax.scan(lambda c, _: (c * x, many(n)(c)), x, None, length=3)[1])), X
    ),
    "results of cond": lambda n: traced(ft.grad(lambda x, p: total(lax.cond(p, many(n), many(n), x))), X, True),
    "results of custom_jvp": lambda n: traced(ft.grad(lambda x: total(with_jvp_rule(many(n))(x))), X),
    "results of custom_vjp": lambda n: traced(ft.grad(lambda x: total(with_vjp_rule(many(n))(x))), X),
    "results of a rule with symbolic zeros": lambda n: traced(ft.grad(lambda x: total(symbolic(n)(x))), X),
    "results of pure_callback": lambda n: lambda: ft.pure_callback(lambda a: a, promised(n), boxes(n)),
    "pure_callback": lambda n: traced(lambda a: ft.pure_callback(lambda a: a, promised(n), a), boxes(n)),
    "leaves of from_jax": lambda n: traced(ft.grad(ft.from_jax(jax_total)), boxes(n)),
    "leaves of jacfwd of one": lambda n: traced(ft.jacfwd(lambda x, t: total(t) * x), X, boxes(n)),
    "equations of hessian": lambda n: traced(ft.hessian(chain(n)), X),
    "leaves of associative_scan": lambda n: traced(
        lambda t: lax.associative_scan(lambda a, b: jax.tree_util.tree_map(lambda p, q: p * q, a, b), t), boxes(n, (4,))
    ),
    "leaves of custom_linear_solve": lambda n: traced(ft.grad(lambda b: total(linear_like(n)(b))), boxes(n)),
    "leaves of custom_root": lambda n: traced(ft.grad(lambda a: total(root_of(a))), boxes(n)),
    "leaves of closure_convert": lambda n: traced(
        lambda t: ft.closure_convert(lambda x: total(t) * x, X)[0](X, *[b.value for b in t]), boxes(n)
    ),
    "leaves that nothing reads": lambda n: lambda: ft.grad(lambda t: fnp.sum(t[0].value))(boxes(n)),
    "leaves that vmap does not map": lambda n: traced(
        ft.vmap(lambda t, x: total(t) + x, in_axes=(None, 0)), boxes(n), X
    ),
    "constants of scan": lambda n: traced(
        ft.grad(lambda t: lax.scan(lambda c, _: (c + total(t), None), np.float32(0), None, length=3)[0]), boxes(n)
    ),
    "branches": lambda n: traced(ft.grad(lambda x, i: fnp.sum(lax.switch(i, branches(n), x))), X, 1),
    "branches, jvp": lambda n: traced(lambda x, i: ft.jvp(lambda x: lax.switch(i, branches(n), x), (x,), (x,)), X, 1),
    "branches, vmap": lambda n: traced(ft.vmap(lambda x, i: lax.switch(i, branches(n), x)), X, np.array([0, 1])),
    "branches un-jitted": lambda n: lambda: lax.switch(1, branches(n), X),
    "values stored by branches": lambda n: traced(ft.grad(lambda x, i: lax.switch(i, storing(n), x)), X, 1),
    "steps that call a jitted function": lambda n: traced(ft.grad(repeated(_jitted)(n)), X),
    "steps with a derivative": lambda n: traced(
        ft.grad(repeated(lambda x: x + ft.grad(lambda y: fnp.sum(fnp.sin(y) * x))(x))(n)), X
    ),
    "steps with a custom_jvp": lambda n: traced(ft.grad(repeated(_sine)(n)), X),
    "steps with a custom_vjp": lambda n: traced(ft.grad(repeated(_cosine)(n)), X),
    "steps with a scan": lambda n: traced(
        ft.grad(repeated(lambda x: lax.scan(lambda c, _: (fnp.sin(c), None), x, None, length=3)[0])(n)), X
    ),
    "steps with a cond": lambda n: traced(
        ft.grad(repeated(lambda x: lax.cond(x[0] > 0, fnp.sin, fnp.cos, x))(n)), X
    ),
    "steps with a checkpoint": lambda n: traced(ft.grad(repeated(ft.checkpoint(fnp.sin))(n)), X),
    "steps with an effect": lambda n: traced(
        ft.grad(repeated(lambda x: (ft.debug.callback(lambda _: None, x), fnp.sin(x))[1])(n)), X
    ),
    "steps that update an array": lambda n: traced(ft.grad(updated(n)), np.ones(n, np.float32)),
    "arrays joined": lambda n: traced(ft.grad(lambda t: fnp.sum(fnp.concatenate([b.value for b in t]))), boxes(n)),
    "values on demand": lambda n: lambda: ft.grad(demanding(n))(X),
    "values on demand, all kept": lambda n: lambda: ft.grad(demanding(n, held=True))(X),
    "values on demand, jvp": lambda n: lambda: ft.jvp(demanding(n), (X,), (X,)),
    "values on demand, second order": lambda n: lambda: ft.grad(lambda x: ft.grad(demanding(n))(x)[0])(X),
    "jit in jit": lambda n: traced(nested(jitted_twice, n), X),
    "jit in jit, grad": lambda n: traced(ft.grad(nested(jitted_twice, n)), X),
    "cond in cond": lambda n: traced(nested(chosen, n), X),
    "cond in cond, vmap": lambda n: traced(ft.vmap(nested(chosen, n)), np.ones((3, 2), np.float32)),
    # Not "cond in cond, grad": what the innermost branch stores is a result of each of the conds around it.
}


@pytest.mark.usefixtures("one_way_to_run")
@pytest.mark.parametrize("what", OTHERS)
def test_cost_is_in_proportion_to(what: str) -> None:
    assert growth(OTHERS[what]) <= MOST_GROWTH


# -- that the count sees what it is for --------------------------------------------------------------------------------


def searching(n: int) -> Callable[[], Any]:
    """For each leaf, its place in the tree: what no transform may do."""
    tree = boxes(n)
    return lambda: [jax.tree_util.tree_flatten_with_path(tree)[0][i][0] for i in range(n)]


def comparing(n: int) -> Callable[[], Any]:
    return lambda: [[j for j in range(n) if j == i] for i in range(n)]


@pytest.mark.parametrize("quadratic", [searching, comparing])
def test_a_cost_that_grows_with_the_square_is_seen(quadratic: Callable[[int], Callable[[], Any]]) -> None:
    assert growth(quadratic) > 3.0
