"""Every keyword that JAX's functions take is taken, under its name and in its place, or refused by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn, random
from functrans.trace.keywords import refuse, takes
from tests.surface.names import every_name, imported

Kind = inspect._ParameterKind
VARIADIC = (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)

# Where a default differs in its object and not in what it means, or in what it means for the better.
DEFAULTS = {
    ("", "log_compiles", "new_val"): "JAX's must be given",
    ("", "checkpoint", "concrete"): "a marker of deprecation in JAX",
    ("", "remat", "concrete"): "a marker of deprecation in JAX",
    ("", "jit", "fun"): "a marker",
    ("", "jit", "in_shardings"): "a marker",
    ("", "jit", "out_shardings"): "a marker",
    ("lax", "cond", "operand"): "a marker",
    ("lax", "switch", "operand"): "a marker",
    ("numpy", "clip", "arr"): "JAX raises without it",
    ("numpy", "polyval", "unroll"): "None in some versions of JAX",
    ("numpy", "take_along_axis", "wrap_negative_indices"): "None in some versions of JAX",
}


def parameters_of(function: Any) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # written in C++
        return None


def pairs() -> Iterator[tuple[str, str, Any, Any]]:
    """(module, name, JAX's function, ours) of every function that is not JAX's own object."""
    for module, name in every_name():
        theirs, ours = (getattr(imported(package, module), name, None) for package in ("jax", "functrans"))
        if ours is None or ours is theirs or not callable(theirs) or not callable(ours):
            continue
        if not isinstance(theirs, type) and not isinstance(ours, type):
            yield module, name, theirs, ours


PAIRS = list(pairs())


def refuses(ours: Any, keyword: str) -> bool:
    """Whether a function takes the keyword to refuse every value but the default."""
    return keyword in getattr(ours, "refused", ())


def faults(module: str, name: str, theirs: Any, ours: Any) -> list[str]:
    """What a call that JAX takes would meet here."""
    wanted, found = parameters_of(theirs), parameters_of(ours)
    if wanted is None or found is None:
        return []
    takes_more = any(p.kind is Kind.VAR_POSITIONAL for p in found.values())
    faults = []
    for place, (keyword, p) in enumerate(wanted.items()):
        if p.kind in VARIADIC or keyword.startswith("_"):
            continue
        own = found.get(keyword)
        if own is None:
            if p.kind is not Kind.POSITIONAL_ONLY:
                faults.append(f"no {keyword}")
            elif place >= len(found) and not takes_more:
                faults.append(f"no place for {keyword}")
            continue
        if p.kind is not Kind.POSITIONAL_ONLY and own.kind is Kind.POSITIONAL_ONLY:
            faults.append(f"{keyword} is not taken by name")
        by_place = p.kind is not Kind.KEYWORD_ONLY and not takes_more and not refuses(ours, keyword)
        if by_place and list(found).index(keyword) != place:
            faults.append(f"{keyword} is in another place")
        if by_place and own.kind is Kind.KEYWORD_ONLY:
            faults.append(f"{keyword} is not taken by place")
        known = (module, name, keyword) in DEFAULTS
        if not known and not _same_default(p.default, own.default):
            faults.append(f"{keyword} is {p.default!r} in JAX and {own.default!r} here")
    return faults


def _same_default(theirs: Any, ours: Any) -> bool:
    if theirs is inspect.Parameter.empty or ours is inspect.Parameter.empty:
        return theirs is ours or theirs is inspect.Parameter.empty
    return theirs is ours or repr(theirs) == repr(ours) or bool(theirs == ours)


@pytest.mark.parametrize("module", sorted({module for module, *_ in PAIRS}))
def test_every_keyword_of_jax_is_taken(module: str) -> None:
    found = {name: faults(of, name, theirs, ours) for of, name, theirs, ours in PAIRS if of == module}
    assert {name: what for name, what in found.items() if what} == {}


def test_most_functions_are_compared() -> None:
    assert sum(all(map(parameters_of, functions)) for _, _, *functions in PAIRS) > 900


class TestComparison:
    """The comparison sees each kind of fault."""

    @staticmethod
    def of(theirs: Any, ours: Any) -> list[str]:
        return faults("m", "f", theirs, ours)

    def test_a_keyword_that_is_missing(self) -> None:
        assert self.of(lambda x, *, mode=None: 0, lambda x: 0) == ["no mode"]

    def test_another_name(self) -> None:
        assert self.of(lambda fill_value: 0, lambda value: 0) == ["no fill_value"]

    def test_another_order(self) -> None:
        assert len(self.of(lambda x, y: 0, lambda y, x: 0)) == 2

    def test_by_name_and_by_place(self) -> None:
        assert self.of(lambda x: 0, lambda x, /: 0) == ["x is not taken by name"]
        assert self.of(lambda x, n=1: 0, lambda x, *, n=1: 0) == ["n is not taken by place"]

    def test_another_default(self) -> None:
        assert self.of(lambda x, n=1: 0, lambda x, n=2: 0) == ["n is 1 in JAX and 2 here"]
        assert self.of(lambda x, n=1: 0, lambda x, n: 0) == ["n is 1 in JAX and <class 'inspect._empty'> here"]

    def test_one_argument_more(self) -> None:
        assert self.of(lambda x, y, /: 0, lambda x: 0) == ["no place for y"]


REFUSED = [
    ("accuracy", lambda x: lax.exp(x, accuracy="highest")),
    ("accuracy", lambda x: lax.tanh(x, accuracy="highest")),
    ("out_sharding", lambda x: lax.reshape(x, (3, 1), out_sharding="x")),
    ("sharding", lambda x: lax.full((2,), 1.0, sharding="x")),
    ("out_sharding", lambda x: lax.dot_general(x, x, (((0,), (0,)), ((), ())), out_sharding="x")),
    ("out_sharding", lambda x: fnp.zeros(2, out_sharding="x")),
    ("out_sharding", lambda x: fnp.asarray(x, out_sharding="x")),
    ("out", lambda x: fnp.add(x, x, out=x)),
    ("where", lambda x: fnp.maximum(x, x, where=x > 0)),
    ("where", lambda x: fnp.logical_and(x, x, where=x > 0)),
    ("out", lambda x: fnp.isposinf(x, out=x)),
    ("out_sharding", lambda x: random.normal(random.key(0), (2,), out_sharding="x")),
    ("method", lambda x: random.gamma(random.key(0), x, method="approximate")),
    ("reduce_axes", lambda x: ft.vjp(fnp.sin, x, reduce_axes=("i",))),
    ("backend", lambda x: ft.jit(fnp.sin, backend="cpu")(x)),
    ("reduce_axes", lambda x: ft.grad(fnp.sum, reduce_axes=("i",))(x)),
    ("out_sharding", lambda x: nn.one_hot(x, 3, out_sharding="x")),
]


@pytest.mark.parametrize(("keyword", "call"), REFUSED)
@pytest.mark.parametrize("traced", [False, True])
def test_what_is_refused_is_refused_by_name(keyword: str, call: Any, traced: bool) -> None:
    with pytest.raises(NotImplementedError, match=rf"{keyword}= is not supported.*test_signatures.py"):
        (ft.jit(call) if traced else call)(np.float32([1, 2, 3]))


def test_defaults_are_taken_where_others_are_refused() -> None:
    assert fnp.zeros(2, out_sharding=None).shape == (2,)
    assert float(lax.exp(0.0, accuracy=None)) == 1.0
    assert random.gamma(random.key(0), 2.0, method="exact").shape == ()
    assert float(ft.grad(lambda x: x * x, reduce_axes=())(3.0)) == 6.0


def test_a_refused_keyword_is_in_the_signature() -> None:
    function = takes(out=None)(lambda x, **more: (x, more))
    assert list(inspect.signature(function).parameters) == ["x", "out", "more"]
    assert function(1, out=None, a=2) == (1, {"a": 2})
    with pytest.raises(NotImplementedError, match="out= is not supported: arrays are immutable"):
        function(1, out=3)
    with pytest.raises(NotImplementedError, match="f: where="):
        refuse("f", out=None, where=True)


class TestKeywords:
    """What the keywords do that are not there for their names alone."""

    def test_compiler_options(self) -> None:
        def f(x: Any) -> Any:
            return x * 2.0

        options = {"xla_embed_ir_in_executable": True}
        compiled = ft.jit(f, compiler_options=options)
        assert float(compiled(3.0)) == 6.0
        assert float(compiled.lower(3.0).compile()(3.0)) == 6.0
        with pytest.raises(ValueError, match="Give them to the outermost jit"):
            ft.jit(lambda x: compiled(x))(3.0)
        with pytest.raises(jax.errors.JaxRuntimeError, match="no_such_option"):
            ft.jit(f, compiler_options={"no_such_option": 1})(3.0)
        with pytest.raises(TypeError, match="compiler_options is a dict"):
            ft.jit(f, compiler_options=[1])

    def test_decorators_with_options(self) -> None:
        @ft.custom_gradient(remat=False)
        def f(x: Any) -> Any:
            return x * x, lambda ct: ct * 7.0

        assert float(ft.grad(f)(3.0)) == 7.0

    def test_mul_with_out_dtype(self) -> None:
        x = np.int8([100, -100])
        for transform in (lambda f: f, ft.jit, ft.vmap):
            found = transform(lambda x: lax.mul(x, x, out_dtype=np.int32))(x)
            assert found.dtype == np.int32 and found.tolist() == [10000, 10000]
        assert float(ft.grad(lambda x: lax.mul(x, 3, out_dtype=np.float32))(np.float16(2))) == 3.0

    @pytest.mark.parametrize("allow", [True, False])
    def test_negative_indices_in_dim(self, allow: bool) -> None:
        x, options = np.arange(6.0, dtype=np.float32), {"allow_negative_indices": allow}
        for i in (-2, 1, 5):
            for name, args in {
                "dynamic_slice_in_dim": (x, i, 2), "dynamic_index_in_dim": (x, i, 0),
                "dynamic_update_slice_in_dim": (x, x[:2], i, 0), "dynamic_update_index_in_dim": (x, x[0], i, 0),
            }.items():  # fmt: skip
                static = 2 if len(args) == 3 else 3
                theirs = jax.jit(functools.partial(getattr(jax.lax, name), **options), static_argnums=static)
                assert getattr(lax, name)(*args, **options).tolist() == theirs(*args).tolist(), name

    def test_dot_with_dimension_numbers(self) -> None:
        x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        numbers = (((1,), (1,)), ((0,), (0,)))
        np.testing.assert_array_equal(
            lax.dot(x, x, dimension_numbers=numbers), jax.lax.dot_general(x, x, numbers)
        )

    def test_standardize_keeps_digits(self) -> None:
        x = np.float32([10000, 10001, 10003])
        exact = (x - x.mean(dtype=np.float64)) / np.sqrt(x.astype(np.float64).var() + 1e-5)
        np.testing.assert_allclose(nn.standardize(x, algorithm="stable"), exact, atol=1e-3)  # half an ulp of the mean
        assert abs(nn.standardize(x) - exact).max() > 0.01
        with pytest.raises(ValueError, match="'fast' or 'stable', got 'slow'"):
            nn.standardize(x, algorithm="slow")

    def test_jet_of_taylor_coefficients(self) -> None:
        from functrans.experimental.jet import jet

        _, derivatives = jet(fnp.exp, (0.0,), ([1.0, 0.0, 0.0],))
        _, coefficients = jet(fnp.exp, (0.0,), ([1.0, 0.0, 0.0],), factorial_scaled=False)
        np.testing.assert_allclose(derivatives, [1, 1, 1], rtol=1e-6)
        np.testing.assert_allclose(coefficients, [1, 1 / 2, 1 / 6], rtol=1e-6)

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
    def test_lexsort_in_batches(self, batch_size: int) -> None:
        keys = np.random.default_rng(0).integers(0, 2, (5, 3, 20))
        for axis in (0, 1):
            found = fnp.lexsort(tuple(np.int32(keys)), axis, batch_size=batch_size)
            np.testing.assert_array_equal(found, np.lexsort(keys, axis))
        with pytest.raises(ValueError, match="batch_size must be 1 or more"):
            fnp.lexsort(tuple(np.int32(keys)), batch_size=0)

    def test_take_along_axis_of_negative_indices(self) -> None:
        x, at = np.float32([1, 2, 3]), np.int32([-1, 0])
        assert fnp.take_along_axis(x, at).tolist() == [3, 1]
        found = fnp.take_along_axis(x, at, mode="fill", fill_value=9.0, wrap_negative_indices=False)
        assert found.tolist() == [9, 1]
        assert fnp.take_along_axis(x, at, mode="clip", wrap_negative_indices=False).tolist() == [1, 1]

    @pytest.mark.parametrize("n", [1, 64, 65, 300])
    def test_polynomials_of_many_coefficients(self, n: int) -> None:
        p, x = np.random.default_rng(n).normal(size=n).astype(np.float32), np.float32([[0.5, -0.8, 0.0]])
        derivative = lambda f: [f(p, x), *[g(p, x) for g in (ft.jacfwd(f), ft.jacrev(f), ft.jacfwd(f, 1))]]
        ours = derivative(fnp.polyval)
        of_p, of_x = (jax.jacfwd(jnp.polyval, i)(p, x) for i in (0, 1))
        theirs = [jnp.polyval(p, x), of_p, of_p, of_x]
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own, other, rtol=2e-5, atol=1e-6)
        assert ft.vmap(fnp.polyval, (None, 0))(p, x).shape == (1, 3)

    def test_jacobian_by_integers(self) -> None:
        found = ft.jacobian(lambda x: 2.0 * x, allow_int=True)(np.int32([1, 2]))
        assert found.shape == (2, 2) and found.dtype == jax.dtypes.float0
        with pytest.raises(ValueError, match="Leave memory out"):
            ft.jacobian(lambda x: 2.0 * x, allow_int=True, memory=1000)

    def test_quantiles_by_jax_names(self) -> None:
        stats, theirs = ft.scipy.stats, jax.scipy.stats
        keywords = {"gumbel_l.ppf": "p", "gumbel_r.ppf": "p", "logistic.ppf": "x", "logistic.isf": "x"}
        for name, keyword in keywords.items():
            family, function = name.split(".")
            ours = getattr(getattr(stats, family), function)(**{keyword: 0.3})
            np.testing.assert_allclose(ours, getattr(getattr(theirs, family), function)(**{keyword: 0.3}), rtol=1e-6)
