"""checkpoint: values and derivatives of every order are those without it; what is stored is what the policy says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.control.checkpoint import Checkpoint
from functrans.control.scan import Scan
from functrans.ops.exponentials import Tanh
from functrans.ops.functions import Sin
from functrans.ops.products import DotGeneral
from functrans.transform.linearize import linearize_jaxpr
from tests.agreement import assert_same
from tests.control.compiled import compiled
from tests.control.libraries import values

P, J = ft.checkpoint_policies, jax.checkpoint_policies


def pairs_of_policies() -> list[Any]:
    rows = [
        ("none", None, None),
        ("everything", P.everything_saveable, J.everything_saveable),
        ("nothing", P.nothing_saveable, J.nothing_saveable),
        ("dots", P.dots_saveable, J.dots_saveable),
        ("dots without batch", P.dots_with_no_batch_dims_saveable, J.dots_with_no_batch_dims_saveable),
        ("only names", P.save_only_these_names("hidden"), J.save_only_these_names("hidden")),
        ("no such name", P.save_only_these_names("other"), J.save_only_these_names("other")),
        ("names but", P.save_any_names_but_these("other"), J.save_any_names_but_these("other")),
        ("anything but", P.save_anything_except_these_names("hidden"), J.save_anything_except_these_names("hidden")),
        (
            "both",
            P.save_from_both_policies(P.save_only_these_names("hidden"), P.dots_saveable),
            J.save_from_both_policies(J.save_only_these_names("hidden"), J.dots_saveable),
        ),
    ]
    return [pytest.param(ours, theirs, id=name) for name, ours, theirs in rows]


def network(module: Any, np_: Any, name: Any, policy: Any, scan: Any, **options: Any) -> Callable[..., Any]:
    """A loss of checkpointed layers: one calls another, one stands in a loop, one closes over the weights."""

    def inner(w: Any, x: Any) -> Any:
        return name(np_.sin(x @ w), "hidden")

    def layer(w: Any, x: Any) -> Any:
        return np_.tanh(module.checkpoint(inner, policy=policy, **options)(w, x) @ w) + x

    def loss(w: Any, x: Any) -> Any:
        wrapped = module.checkpoint(layer, policy=policy, **options)
        y = wrapped(w, x)
        y = module.checkpoint(lambda z: np_.sin(z @ w), policy=policy, **options)(y)
        y, extra = scan(lambda c, s: (module.checkpoint(layer, policy=policy)(w, c * s), np_.sum(c)), y, x[:, 0])
        return np_.sum(y * y) + np_.sum(np_.sin(extra))

    return loss


def both(ours: Any, theirs: Any, **options: Any) -> tuple[Any, Any]:
    import jax.ad_checkpoint as names

    return (
        network(ft, fnp, ft.checkpoint_name, ours, ft.lax.scan, **options),
        network(jax, jnp, names.checkpoint_name, theirs, jax.lax.scan, **options),
    )


W, X = values(3, 3), values(2, 3, seed=1)


@pytest.mark.parametrize(("ours", "theirs"), pairs_of_policies())
def test_values_and_gradients_agree_with_jax(ours: Any, theirs: Any) -> None:
    f, g = both(ours, theirs)
    assert_same(f(W, X), g(W, X))
    assert_same(ft.grad(f, argnums=(0, 1))(W, X), jax.grad(g, argnums=(0, 1))(W, X), operations=500)


TRANSFORMS = {
    "jvp": lambda m, f: lambda w, x: m.jvp(f, (w, x), (x[:1].T * w, x)),
    "hessian": lambda m, f: m.hessian(f),
    "jvp of grad": lambda m, f: lambda w, x: m.jvp(lambda v: m.grad(f)(v, x), (w,), (w,)),
    "vmap of grad": lambda m, f: lambda w, x: m.vmap(m.grad(f), (None, 0))(w, x[:, None] * np.ones((1, 2, 1), "f")),
    "grad of vmap": lambda m, f: m.grad(lambda w, x: m.vmap(f, (None, 0))(w, x[:, None]).sum()),
    "jit of grad of jit": lambda m, f: m.jit(m.grad(m.jit(f))),
    "linearize": lambda m, f: lambda w, x: m.linearize(f, w, x)[1](w, x),
}


@pytest.mark.parametrize("policy", ["none", "dots"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_agrees_with_jax(transform: str, policy: str) -> None:
    f, g = both(*{"none": (None, None), "dots": (P.dots_saveable, J.dots_saveable)}[policy])
    ours, theirs = (TRANSFORMS[transform](m, h) for m, h in ((ft, f), (jax, g)))
    assert_same(ours(W, X), jax.jit(theirs)(W, X), operations=3000, weak=False)


def residuals(f: Any, *args: Any) -> list[Any]:
    """Types of what is stored besides inputs and results, for a function that is one checkpoint."""
    jaxpr = ft.make_jaxpr(f)(*args)
    parts = linearize_jaxpr(jaxpr, [True] * len(jaxpr.inputs))
    return [a.type.shape for a in parts.primal.outputs[parts.num_outputs :]]


def test_the_policy_decides_what_is_stored() -> None:
    def f(w: Any, x: Any) -> Any:
        return fnp.sum(ft.checkpoint_name(fnp.sin(fnp.tanh(x @ w)), "hidden") * x[0, 0])

    x = values(5, 3)
    for policy, stored in [
        (None, []),
        (P.nothing_saveable, []),
        (P.dots_saveable, [(5, 3)]),
        (P.save_only_these_names("hidden"), [(5, 3)]),
        (P.save_only_these_names("other"), []),
    ]:
        assert residuals(ft.checkpoint(f, policy=policy), W, x) == stored
    assert len(residuals(ft.checkpoint(f, policy=P.everything_saveable), W, x)) > 1


def equations(jaxpr: Any, kind: type) -> list[Any]:
    return [eqn for eqn in jaxpr.equations if type(eqn.op) is kind]


def test_a_policy_reaches_into_calls_and_scans() -> None:
    def f(w: Any, x: Any) -> Any:
        return ft.lax.scan(lambda c, _: (ft.jit(lambda a: fnp.tanh(fnp.sin(a @ w)))(c), None), x, None, length=4)[0]

    jaxpr = ft.make_jaxpr(ft.checkpoint(f, policy=P.dots_saveable))(W, X)
    parts = linearize_jaxpr(jaxpr, (True, True))
    (second,) = equations(parts.linear, Checkpoint)
    assert [a.type.shape for a in parts.primal.outputs[1:]] == [(4, 2, 3)]  # the products of all steps
    primal = next(e for e in equations(second.op.jaxpr, Scan) if equations(e.op.jaxpr, Tanh))
    assert not equations(primal.op.jaxpr, DotGeneral)
    assert equations(primal.op.jaxpr, Sin)
    expected = jax.grad(lambda w: jax.lax.fori_loop(0, 4, lambda _, c: jnp.tanh(jnp.sin(c @ w)), X).sum())(W)
    ours = ft.grad(lambda w: fnp.sum(ft.checkpoint(f, policy=P.dots_saveable)(w, X)))(W)
    assert_same(ours, expected, operations=500)


def test_a_policy_reaches_into_branches() -> None:
    def by_index(np_: Any, lax: Any) -> Any:
        branches = [lambda w, x: np_.tanh(np_.sin(x @ w)) @ w, lambda w, x: np_.sin(x), lambda w, x: np_.cos(x @ w)]
        return lambda i, w, x: lax.switch(i, branches, w, x)

    ours = ft.checkpoint(by_index(fnp, ft.lax), policy=P.dots_saveable)
    jaxpr = ft.make_jaxpr(ours)(1, W, X)
    parts = linearize_jaxpr(jaxpr, (False, True, True))
    stored = [a.type.shape for a in parts.primal.outputs[1:]]
    assert stored == [(2, 3)]  # one product, in room that the branches share; the second product is not needed
    for i in range(3):
        mine = ft.grad(lambda w, x, i=i: fnp.sum(ours(i, w, x) ** 2), argnums=(0, 1))(W, X)
        theirs = jax.grad(lambda w, x, i=i: jnp.sum(by_index(jnp, jax.lax)(i, w, x) ** 2), argnums=(0, 1))(W, X)
        assert_same(mine, theirs, operations=500)
    indices, rows = np.asarray([0, 1, 2, 0], np.int32), values(4, 2, 3)
    mapped = ft.vmap(by_index(fnp, ft.lax), (0, None, 0))
    saving = ft.checkpoint(lambda w: fnp.sum(mapped(indices, w, rows) ** 2), policy=P.dots_saveable)
    expected = jax.grad(
        lambda w: sum(jnp.sum(by_index(jnp, jax.lax)(i, w, x) ** 2) for i, x in zip(indices, rows, strict=True))
    )(W)
    assert_same(ft.grad(saving)(W), expected, operations=2000)


def test_a_policy_of_ones_own_sees_operations_types_and_parameters() -> None:
    seen = []

    def policy(primitive: Any, *types: Any, **parameters: Any) -> bool:
        seen.append((primitive.name, [t.shape for t in types], parameters))
        return primitive.name == "sin"

    layer = ft.checkpoint(lambda x: fnp.sum(fnp.sin(ft.checkpoint_name(x * x, "square")) ** 3), policy=policy)
    x = values(3)
    assert_same(ft.grad(layer)(x), jax.grad(lambda x: jnp.sum(jnp.sin(x * x) ** 3))(x))
    assert ("name", [(3,)], {"name": "square"}) in seen


def test_a_policy_may_answer_as_those_of_jax() -> None:
    from functrans.ad_checkpoint import Offloadable, Recompute, Saveable, saved_residuals

    def stored(answer: Any) -> list[str]:
        policy = lambda primitive, *types, **parameters: answer if primitive.name == "sin" else Recompute
        return [source for _, source in saved_residuals(ft.checkpoint(lambda x: fnp.sin(fnp.sin(x)), policy=policy), X)]

    assert len(stored(Saveable)) == 2 and len(stored(Recompute)) == 1
    if jax.default_backend() == "cpu":  # where the host is the device
        assert len(stored(Offloadable("device", "pinned_host"))) == 2
    else:
        with pytest.raises(NotImplementedError, match="the policy offloads a result of sin"):
            stored(Offloadable("device", "pinned_host"))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="refused elsewhere")
def test_policies_that_offload_store_what_those_of_jax_do() -> None:
    def layer(x: Any) -> Any:
        return fnp.sin(ft.checkpoint_name(fnp.sin(ft.checkpoint_name(fnp.sin(x), "a") @ W), "b") @ W)

    def kept(policy: Any) -> list[str]:
        stored = ft.ad_checkpoint.saved_residuals(ft.checkpoint(layer, policy=policy), X)
        return [source.partition(" from ")[0] for _, source in stored[2:]]  # behind the matrix and the argument

    options = {"offload_src": "device", "offload_dst": "pinned_host"}
    names = {"names_which_can_be_saved": ["a"], "names_which_can_be_offloaded": ["b"]}
    by_names = lambda of: of.checkpoint_policies.save_and_offload_only_these_names(**names, **options)
    products = lambda of: of.checkpoint_policies.offload_dot_with_no_batch_dims(**options)
    assert kept(by_names(ft)) == ["named 'a'", "named 'b'"]
    assert kept(products(ft)) == ["output of dot_general"] * 2
    for policy in (by_names, products):
        loss = lambda of: lambda x: of.numpy.sum(of.numpy.sin(of.numpy.sin(x @ W) @ W))
        ours, theirs = (of.grad(of.checkpoint(loss(of), policy=policy(of))) for of in (ft, jax))
        assert_same(ours(X), theirs(X), operations=100)
    with pytest.raises(ValueError, match=r"\['a'\] cannot be saved and offloaded"):
        ft.checkpoint_policies.save_and_offload_only_these_names(
            names_which_can_be_saved=["a"], names_which_can_be_offloaded=["a"], **options
        )


def test_what_is_stored_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def f(w: Any, x: Any) -> Any:
        y = ft.checkpoint(lambda x: ft.checkpoint_name(fnp.sin(x @ w), "y"), policy=P.save_only_these_names("y"))(x)
        return fnp.sum(fnp.exp(ft.jit(fnp.cos)(y)))

    ft.ad_checkpoint.print_saved_residuals(f, W, {"x": X}["x"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["f32[3,3] from the argument w", "f32[2,3] from the argument x"]
    assert [line.partition(" from ")[0] for line in lines[2:]] == ["f32[2,3] output of neg", "f32[2,3] output of exp"]
    assert all("test_checkpoint.py" in line for line in lines[2:])
    inner = lambda x: fnp.cos(ft.checkpoint_name(fnp.sin(x), "y"))  # what the checkpoint stores, from within it
    stored = ft.ad_checkpoint.saved_residuals(lambda x: ft.checkpoint(inner, policy=P.save_only_these_names("y"))(x), X)
    assert [source.partition(" from ")[0] for _, source in stored] == ["from the argument x", "named 'y'"]
    stored = ft.ad_checkpoint.saved_residuals(ft.checkpoint(lambda p: fnp.sin(fnp.sin(p["a"]) * W)), {"a": X[0]})
    assert [source for _, source in stored] == ["from a value that the function closes over", "from the argument p['a']"]  # noqa: E501


def test_the_arguments_that_are_stored_are_named_as_in_the_signature() -> None:
    def f(a: Any, *rest: Any, b: Any = 1.0, **more: Any) -> Any:
        return fnp.sin(a) * rest[0] * fnp.sin(rest[1]["u"]) * b * more["c"][0]

    stored = ft.ad_checkpoint.saved_residuals(ft.checkpoint(f), 1.0, 2.0, {"u": 3.0}, c=(5.0,), b=4.0)
    names = ["a", "rest[0]", "rest[1]['u']", "b", "c[0]"]
    assert [source for _, source in stored] == [f"from the argument {name}" for name in names]


# -- what XLA makes of it ----------------------------------------------------------------------------------------------

LAYERS, WIDTH, ROWS = 8, 64, 512


def stack(wrap: Any) -> Callable[..., Any]:
    @wrap
    def layer(w: Any, x: Any) -> Any:
        return x + fnp.tanh(fnp.tanh(x @ w) @ w)

    def loss(ws: Any, x: Any) -> Any:
        for w in ws:
            x = layer(w, x)
        return fnp.sum(x * x)

    return loss


def test_the_compiled_program_computes_again_and_needs_less_memory() -> None:
    ws = [0.1 * values(WIDTH, WIDTH, seed=i) for i in range(LAYERS)]
    x = values(ROWS, WIDTH)
    plain = compiled(ft.grad(stack(lambda f: f)), ws, x)
    saving = compiled(ft.grad(stack(ft.checkpoint)), ws, x)
    merged = compiled(ft.grad(stack(lambda f: ft.checkpoint(f, prevent_cse=False))), ws, x)
    assert saving.dots == plain.dots + 2 * LAYERS  # the two products of each layer once more
    assert saving.temporaries < 0.55 * plain.temporaries
    assert merged.dots == plain.dots
    assert_same(saving.results, plain.results, operations=2000)


def test_nested_checkpoints_need_less_memory_still() -> None:
    ws = [0.1 * values(WIDTH, WIDTH, seed=i) for i in range(16)]
    x = values(ROWS, WIDTH)

    def grouped(ws: Any, x: Any) -> Any:
        layer = ft.checkpoint(lambda w, x: x + fnp.tanh(fnp.tanh(x @ w) @ w))

        @ft.checkpoint
        def group(ws: Any, x: Any) -> Any:
            for w in ws:
                x = layer(w, x)
            return x

        for i in range(0, 16, 4):
            x = group(ws[i : i + 4], x)
        return fnp.sum(x * x)

    flat, nested = compiled(ft.grad(stack(ft.checkpoint)), ws, x), compiled(ft.grad(grouped), ws, x)
    assert nested.temporaries < flat.temporaries
    assert_same(nested.results, flat.results, operations=2000)


def test_a_checkpointed_step_of_a_scan_stores_its_carry_alone() -> None:
    def loss(step: Any) -> Any:
        return lambda w, x: fnp.sum(ft.lax.scan(lambda c, _: (step(w, c), None), x, None, length=50)[0])

    def step(w: Any, c: Any) -> Any:
        return c + fnp.tanh(fnp.sin(fnp.tanh(c @ w)) @ w)

    w, x = 0.1 * values(WIDTH, WIDTH), values(128, WIDTH)
    plain, saving = compiled(ft.grad(loss(step)), w, x), compiled(ft.grad(loss(ft.checkpoint(step))), w, x)
    stacked = 50 * x.nbytes
    assert stacked <= saving.temporaries < 1.5 * stacked
    assert saving.temporaries < 0.5 * plain.temporaries
    assert_same(saving.results, plain.results, operations=5000)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [
    lambda m, f: m.grad(f), lambda m, f: m.jit(m.grad(f)), lambda m, f: m.jit(m.grad(m.grad(f))),
    lambda m, f: lambda x: m.jit(m.vmap(m.grad(f)))(np.array([x, 2 * x], np.float32)),
])  # fmt: skip
def test_a_checkpoint_in_a_small_loop(stack: Any) -> None:
    """XLA's CPU backend makes one kernel of a small loop, and could not compile the barrier in it."""

    def found(library: Any, numpy: Any) -> Any:
        step = library.checkpoint(lambda c, x: (numpy.sin(c) * c * x, None))
        return stack(library, lambda c: library.lax.scan(step, c, np.array([1.0, 2.0, 3.0], np.float32))[0])(1.0)

    assert_same(found(ft, fnp), found(jax, jnp))


def test_windows_in_a_small_loop_beside_a_checkpoint() -> None:
    """Before windows stands a barrier too, which the compiler removes only where there is no checkpoint."""

    def total(library: Any, numpy: Any) -> Any:
        lax = library.lax
        windows = lambda v: lax.reduce_window(numpy.sin(v), np.float32(0), lax.add, (2,), (1,), [(1, 1)])
        both = lambda v: numpy.sin(numpy.exp(v))
        return lambda x: numpy.sum(library.checkpoint(both)(x)) * numpy.sum(lax.map(windows, x) ** 2)

    x = values(2, 6)
    assert_same(ft.jit(ft.grad(total(ft, fnp)))(x), jax.grad(total(jax, jnp))(x))


def test_static_arguments_are_python_values() -> None:
    def f(x: Any, kind: str, *, times: int = 1) -> Any:
        return fnp.sin(x) * times if kind == "sine" else x

    x = values(3)
    tripled = ft.checkpoint(f, static_argnums=1, static_argnames="times")
    assert_same(ft.grad(lambda v: fnp.sum(tripled(v, "sine", times=3)))(x), 3 * np.cos(x))
    last = ft.checkpoint(f, static_argnums=(-1,))
    assert_same(ft.grad(lambda v: fnp.sum(last(v, "sine")))(x), np.cos(x))


def test_values_can_be_asked_for_without_jit() -> None:
    f = ft.checkpoint(lambda x: x * x if x > 0 else -x)
    assert float(ft.grad(f)(3.0)) == 6.0
    assert float(ft.grad(f)(-3.0)) == -1.0


def test_flags_for_each_argument() -> None:
    def layer(p: Any, x: Any) -> Any:
        return fnp.sum(fnp.sin(fnp.sin(p["w"] * x + p["b"])))

    f = ft.checkpoint(layer, prevent_cse=[{"w": True, "b": False}, False])
    p, x = {"w": values(3), "b": values(3, seed=1)}, values(3, seed=2)
    expected = jax.grad(lambda p, x: jnp.sum(jnp.sin(jnp.sin(p["w"] * x + p["b"]))))(p, x)
    assert_same(ft.grad(f)(p, x), expected)
    assert_same(ft.jit(ft.grad(f))(p, x), expected)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ft.checkpoint(3), TypeError, "checkpoint"),
        (lambda: ft.checkpoint(fnp.sin, policy="dots"), TypeError, "policy must be a function"),
        (lambda: ft.checkpoint(fnp.sin, policy=J.dots_saveable), TypeError, "functrans.checkpoint_policies"),
        (lambda: ft.checkpoint(fnp.sin, static_argnums="x"), TypeError, "static_argnums must be"),
        (lambda: ft.checkpoint(lambda x: x, static_argnums=2)(1.0), ValueError, "names argument 2"),
        (lambda: ft.checkpoint(fnp.sin, prevent_cse="no"), TypeError, "prevent_cse must be"),
        (lambda: ft.checkpoint(lambda x, y: x, prevent_cse=[True])(1.0, 2.0), ValueError, "has 1 items"),
        (lambda: ft.checkpoint(lambda x: x)("text"), TypeError, "an argument of checkpointed"),
        (lambda: ft.checkpoint(lambda x: "text")(1.0), TypeError, "checkpoint returned"),
        (lambda: ft.checkpoint_name(1.0, 2), TypeError, "needs a string"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
