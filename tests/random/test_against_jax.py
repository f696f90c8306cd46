"""The same key gives the same bits and the same samples as jax.random."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from functrans import random

F32 = np.float32
a = F32([0.3, 1.0, 4.0])
rows = np.arange(12, dtype=np.int32).reshape(4, 3)
logits = np.stack([a, a * 2])
KEY = jax.random.key(11)
COVARIANCE = F32([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]])

# name: calls of the function of that name, in both libraries, behind the key
CALLS = {
    "bits": [(), ((3,), "uint8"), ((2, 3), "uint16")],
    "uniform": [
        (), ((3, 2), "float32", -1.0, 2.0), ((3,), "bfloat16"), ((3,), "float16"),
        ((4, 3), None, F32([[1], [2], [3], [4]]), 5.0),
    ],
    "normal": [((5,),), ((64,), "bfloat16"), ((0, 2),)],
    "truncated_normal": [(-1.0, 2.0, (5,)), (a - 2, a)],
    "lognormal": [(F32(0.5), (4,))],
    **{name: [((4,),)] for name in ("exponential", "cauchy", "laplace", "logistic", "maxwell", "rademacher")},
    "gumbel": [((4,),), ((2, 200), "float32", "highest"), ((9,), "float16", "highest"), ((9,), None, "low")],
    "pareto": [(2.0, (4,))],
    "rayleigh": [(F32(2.0), (4,))],
    "wald": [(F32(2.0), (4,))],
    "weibull_min": [(1.0, 2.0, (4,))],
    "triangular": [(0.0, 0.3, 1.0, (4,))],
    "double_sided_maxwell": [(0.0, 1.0, (4,))],
    "ball": [(3, 2, (4,))],
    "gamma": [(a, (4, 3))],
    "beta": [(a, 2.0)],
    "dirichlet": [(a, (4,))],
    "randint": [
        ((5,), 0, 10), ((5,), -3, np.int32([1, 2, 3, 4, 5])), ((5,), 0, 300, "uint8"), ((6,), 0, 2**31 - 1),
        ((6,), 5, 2),
    ],
    "bernoulli": [(0.3, (9,)), (a / 5,), (0.3, (9,), "high")],
    "categorical": [
        (a,), (logits, 0), (logits, -1, (5, 2)), (a, -1, (3,), False), (logits, -1, (2, 2), False),
        (a, -1, (30, 3), True, "highest"),
    ],
    "geometric": [(0.2, (9,))],
    "poisson": [(F32([0.0, 5.0, 50.0, 1000.0]),)],
    "binomial": [
        (10, 0.3), (a * 100, 0.2), (F32([-1.0, np.nan, np.inf, 50.5, 1e6]), 0.7, (2, 5)),
        (40.0, F32([-0.1, 1.2, np.nan])), (np.int32([5, 1000]), F32([[0.0], [0.5], [1.0]]), None, "float16"),
    ],
    "multivariate_normal": [
        (a, COVARIANCE, None, None, method) for method in ("cholesky", "svd", "eigh")
    ] + [(np.stack([a, a]), COVARIANCE, (4, 2))],
    "orthogonal": [(3,), (3, (2,), None, 2), (2, (), None, 4), (0,)],
    "permutation": [(10,), (rows,), (rows, 1, True), (np.arange(12, dtype=F32),)],
    "choice": [
        (10, (4,)), (rows, (2,), False), (rows, (2, 2), True, None, 1), (3, (5,), True, a / F32(5.3)),
        (3, (2,), False, a / F32(5.3)), (3, (0,)),
    ],
    "split": [(), (3,), ((2, 3),)],
    "fold_in": [(7,), (np.int32(-7),)],
    "clone": [()],
}  # fmt: skip


def plain(x):
    """An array of keys as its words."""
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def same(ours, theirs) -> None:
    assert type(ours) is type(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(plain(ours), plain(theirs))


@pytest.mark.parametrize(("name", "k"), [(name, k) for name, calls in CALLS.items() for k in range(len(calls))])
def test_samples_are_those_of_jax(name: str, k: int) -> None:
    args = CALLS[name][k]
    ours, theirs = getattr(random, name)(KEY, *args), getattr(jax.random, name)(KEY, *args)
    if name in ("multivariate_normal", "orthogonal"):  # products of matrices, which XLA sums in an order of its own
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)
    else:
        same(ours, theirs)


@pytest.mark.parametrize(
    ("n", "p", "options"),
    [
        (20, a / F32(5.3), {}), (F32([5, 200]), np.stack([a, a]) / F32(5.3), {"shape": (4, 2)}),
        (7, F32([0.0, 1.0, 0.0]), {"dtype": "int32", "unroll": True}), (0, a / F32(5.3), {}),
    ],
)  # fmt: skip
def test_counts_of_outcomes_are_those_of_jax(n, p, options) -> None:
    lanes = options.pop("shape", p.shape[:-1])  # jax before 0.12 counts the outcomes in, against its documentation
    expected = jax.random.multinomial(KEY, n, np.broadcast_to(p, (*lanes, *p.shape[-1:])), **options)
    same(random.multinomial(KEY, n, p, shape=lanes, **options), expected)
    if lanes == p.shape[:-1]:
        same(random.multinomial(KEY, n, p, **options), expected)


@pytest.mark.parametrize("name", ["uniform", "normal", "randint"])
def test_samples_in_64_bits(name: str) -> None:
    args = ((4,), 0, 10**12) if name == "randint" else ((4,),)
    with jax.enable_x64(True):
        key = jax.random.key(2**40 + 3)
        same(random.key(2**40 + 3), key)
        same(getattr(random, name)(key, *args), getattr(jax.random, name)(key, *args))
        same(random.bits(key, (3,)), jax.random.bits(key, (3,)))


def test_complex_normal_numbers() -> None:
    ours, theirs = random.normal(KEY, (50,), "complex64"), jax.random.normal(KEY, (50,), "complex64")
    np.testing.assert_allclose(ours, theirs, rtol=3e-7)


IMPLEMENTATIONS = ["threefry2x32", "threefry4x32", "philox2x32", "philox4x32", "rbg", "unsafe_rbg"]
BY_CIPHERS = IMPLEMENTATIONS[1:4]  # of one way alone: the setting of Threefry-2x32 says nothing to them


@pytest.mark.parametrize(
    ("implementation", "partitionable"),
    [(name, way) for name in IMPLEMENTATIONS for way in ((True,) if name in BY_CIPHERS else (True, False))],
)
def test_keys_of_every_implementation(implementation: str, partitionable: bool) -> None:
    with jax.threefry_partitionable(partitionable):
        key = random.key(7, impl=implementation)
        same(key, jax.random.key(7, impl=implementation))
        same(random.split(key, (2, 3)), jax.random.split(key, (2, 3)))
        same(random.split(key, (0, 3)), jax.random.split(key, (0, 3)))
        same(random.fold_in(key, 9), jax.random.fold_in(key, 9))
        keys = jax.random.split(key, 3)
        for dtype in ("uint8", "uint16", "uint32"):
            for shape in ((), (5,), (2, 3), (0,)):
                same(random.bits(key, shape, dtype), jax.random.bits(key, shape, dtype))
            ours = ft.vmap(lambda k: random.bits(k, (5,), dtype))(keys)  # noqa: B023
            same(ours, jax.vmap(lambda k: jax.random.bits(k, (5,), dtype))(keys))  # noqa: B023
        with jax.enable_x64(True):
            same(random.bits(key, (7,), "uint64"), jax.random.bits(key, (7,), "uint64"))
            ours = ft.jit(ft.vmap(lambda k: random.bits(k, (3,), "uint64")))(keys)
            same(ours, jax.jit(jax.vmap(lambda k: jax.random.bits(k, (3,), "uint64")))(keys))
        same(ft.vmap(random.split)(keys), jax.vmap(jax.random.split)(keys))
        if implementation != "unsafe_rbg":  # whose lanes are not independent, and depend on how they are mapped
            same(ft.vmap(random.fold_in, (0, None))(keys, 3), jax.vmap(jax.random.fold_in, (0, None))(keys, 3))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_what_is_made_of_keys_of_every_implementation(implementation: str) -> None:
    key = random.key(7, impl=implementation)
    assert random.key_impl(key) == jax.random.key_impl(key) == implementation
    assert random.key_dtype(implementation) == key.dtype
    words = jax.random.key_data(key)
    same(random.key_data(key), words)
    same(random.wrap_key_data(words, impl=implementation), key)
    same(random.wrap_key_data(words, dtype=key.dtype), key)
    same(random.clone(key), key)
    with jax.default_prng_impl(implementation):
        same(random.key(3), jax.random.key(3))
        same(random.PRNGKey(3), jax.random.PRNGKey(3))
        same(random.split(jax.random.PRNGKey(3)), jax.random.split(jax.random.PRNGKey(3)))
    with pytest.raises(TypeError, match=f"keys of {implementation} have"):
        random.wrap_key_data(np.zeros(3, np.uint32), impl=implementation)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_seeds_of_every_implementation(implementation: str) -> None:
    for wide in (False, True):
        with jax.enable_x64(wide):
            for seed in (-1, 2**40 + 3, -(2**63), 2**63 - 1, True):
                same(random.key(seed, impl=implementation), jax.random.key(seed, impl=implementation))
            ours, theirs = (lambda s, r=r: r.key(s, impl=implementation) for r in (random, jax.random))
            for seeds in (np.int64([-3, 2**40 + 1]), np.int8([-3, 4])):
                same(ft.jit(ft.vmap(ours))(seeds), jax.vmap(theirs)(seeds))
    with pytest.raises(OverflowError):
        random.key(2**63, impl=implementation)


@pytest.mark.parametrize("implementation", BY_CIPHERS)
@pytest.mark.parametrize("name", ["normal", "randint", "bernoulli", "permutation", "categorical", "choice"])
def test_samples_by_keys_of_other_implementations(name: str, implementation: str) -> None:
    key, args = jax.random.key(11, impl=implementation), CALLS[name][0]
    same(getattr(random, name)(key, *args), getattr(jax.random, name)(key, *args))


@pytest.mark.parametrize("implementation", ["rbg", "unsafe_rbg"])
def test_rejection_ends_where_the_bits_of_all_lanes_come_from_one_key(implementation: str) -> None:
    key = jax.random.key(11, impl=implementation)
    np.testing.assert_allclose(random.gamma(key, a, (40, 3)), jax.random.gamma(key, a, (40, 3)), rtol=1e-6)
    keys = jax.random.split(key, 5)
    ours, theirs = (jax.tree.map(np.asarray, m(lambda k, r=r: r.gamma(k, a))(keys))  # one key after the other
                    for m, r in ((ft.vmap, random), (jax.vmap, jax.random)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("implementation", BY_CIPHERS)
def test_numbers_of_more_than_32_bits(implementation: str) -> None:
    """The last few of more than 2**32 bits, which the compiler makes alone."""
    key, size = jax.random.key(1, impl=implementation), 2**32 + 8

    def last(library):
        return lambda k: library.bits(k, (size,), "uint8")[2**32 - 3 :]

    same(ft.jit(last(random))(key), jax.jit(last(jax.random))(key))


def test_more_words_than_counters_have_numbers_are_refused_where_jax_counts_in_another_way() -> None:
    with jax.threefry_partitionable(False), pytest.raises(ValueError, match="4294967296 words of 32 bits at once"):
        ft.jit(lambda k: random.bits(k, (2**32,))).lower(KEY)
    assert ft.eval_shape(lambda k: random.bits(k, (2**33,)), KEY).shape == (2**33,)


@pytest.mark.parametrize("seed", [0, 42, -1, np.uint32(2**32 - 5), np.int32(-3), True + 4])
def test_seeds(seed) -> None:
    same(random.key(seed), jax.random.key(seed))
    same(random.PRNGKey(seed), jax.random.PRNGKey(seed))


def test_words_are_taken_for_keys_and_given_back_as_words() -> None:
    words = jax.random.PRNGKey(3)
    same(random.split(words), jax.random.split(words))
    same(random.fold_in(words, 2), jax.random.fold_in(words, 2))
    same(random.normal(words, (3,)), jax.random.normal(words, (3,)))
    same(random.wrap_key_data(words), jax.random.wrap_key_data(words))
    same(random.key_data(KEY), jax.random.key_data(KEY))
    assert random.key_impl(KEY) == jax.random.key_impl(KEY)


def test_gamma_numbers_move_with_their_parameter_as_in_jax() -> None:
    ours = ft.jacrev(lambda a: random.gamma(KEY, a))(a)
    theirs = jax.jacrev(lambda a: jax.random.gamma(KEY, a))(a)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    ours = ft.jacfwd(lambda a: random.loggamma(KEY, a))(a)
    theirs = jax.jacfwd(lambda a: jax.random.loggamma(KEY, a))(a)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)
