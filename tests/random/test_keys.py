"""Random keys are values like others: they go through every transform, loop and branch, and come out as jax's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, random
from functrans.ops import keys as operations
from functrans.testing import check_grads
from tests.random.test_against_jax import same

KEY = jax.random.key(3)
KEYS = jax.random.split(KEY, 4)


def draws(library):
    return lambda carry, key: (carry + library.normal(key), library.split(key))


FUNCTIONS = {
    "given back": lambda lax, random: lambda k: (k, random.split(k)),
    "indexed": lambda lax, random: lambda k: (k[0], k[1:3], k[::-1], k[None], k[-1]),
    "reshaped": lambda lax, random: lambda k: (k.reshape(2, 2), lax.transpose(k.reshape(2, 2), (1, 0))),
    "sliced at a place of the program": lambda lax, random: lambda k: lax.dynamic_index_in_dim(k, 2),
    "stacked": lambda lax, random: lambda k: lax.concatenate([k, k[:1]], 0),
    "gathered": lambda lax, random: lambda k: k[np.int32([3, 0])],
    "scanned": lambda lax, random: lambda k: lax.scan(draws(random), np.float32(0), k),
    "carried": lambda lax, random: lambda k: lax.fori_loop(0, 3, lambda i, k: random.split(k)[1], k[0]),
    "carried while": lambda lax, random: (
        lambda k: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, random.fold_in(s[1], s[0])), (0, k[0]))
    ),
    "chosen by a branch": lambda lax, random: lambda k: lax.cond(k[0] is None, lambda x: x[0], lambda x: x[1], k),
    "chosen by element": lambda lax, random: lambda k: lax.select(np.bool_([True, False, True, False]), k, k[::-1]),
    "barred": lambda lax, random: lambda k: lax.optimization_barrier((k, np.float32(1)))[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", ["jit", "vmap"])
def test_keys_through_programs(name: str, transform: str) -> None:
    ours, theirs = FUNCTIONS[name](lax, random), FUNCTIONS[name](jax.lax, jax.random)
    argument = KEY if name == "given back" else KEYS
    if transform == "jit":
        actual, expected = ft.jit(ours)(argument), jax.jit(theirs)(argument)
    else:
        stacked = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(KEY, i), 4))(np.arange(3))
        stacked = stacked[:, 0] if name == "given back" else stacked
        actual, expected = ft.vmap(ours)(stacked), jax.vmap(theirs)(stacked)
    assert jax.tree_util.tree_structure(actual) == jax.tree_util.tree_structure(expected)
    for x, y in zip(jax.tree_util.tree_leaves(actual), jax.tree_util.tree_leaves(expected), strict=True):
        same(x, y)


def test_vmap_with_another_axis_of_keys() -> None:
    grid = KEYS.reshape(2, 2)
    ours = ft.vmap(lambda k: random.split(k[0], 3), in_axes=1, out_axes=1)(grid)
    same(ours, jax.vmap(lambda k: jax.random.split(k[0], 3), in_axes=1, out_axes=1)(grid))


def test_operations_by_lanes() -> None:
    """RandomSeed, RandomWrap, RandomUnwrap, RandomSplit, RandomFoldIn, RandomBits and RandomGamma, mapped and not."""
    seeds, data, words = np.int32([1, 2, 3]), np.uint32([4, 5, 6]), jax.random.key_data(KEYS[:3])
    for ours, theirs, args in [
        (random.key, jax.random.key, (seeds,)),
        (random.wrap_key_data, jax.random.wrap_key_data, (words,)),
        (random.key_data, jax.random.key_data, (KEYS,)),
        (random.split, jax.random.split, (KEYS,)),
        (random.fold_in, jax.random.fold_in, (KEYS[:3], data)),
        (random.bits, jax.random.bits, (KEYS,)),
    ]:
        same(ft.vmap(ours)(*args), jax.vmap(theirs)(*args))
    for axes in ((0, None), (None, 0)):
        args = (KEYS[:3], data[0]) if axes[0] == 0 else (KEY, data)
        same(ft.vmap(random.fold_in, axes)(*args), jax.vmap(jax.random.fold_in, axes)(*args))
        args = (KEYS[:3], np.float32(1.5)) if axes[0] == 0 else (KEY, np.float32([0.5, 1.5, 2.5]))
        same(ft.vmap(random.gamma, axes)(*args), jax.vmap(jax.random.gamma, axes)(*args))
    assert operations.words_of(KEY.dtype) == 2


def test_samples_are_differentiable_by_what_scales_them() -> None:
    def noisy(mean, scale):
        noise = random.normal(random.fold_in(KEY, 1), (3,))
        return mean + scale * noise * fnp.sin(scale)

    check_grads(noisy, (np.float32(1.0), np.float32(0.5)), order=2)


def test_keys_have_no_derivative() -> None:
    slope, of_key = ft.grad(lambda x, k: x * random.normal(k), argnums=(0, 1), allow_int=True)(2.0, KEY)
    assert float(slope) == float(jax.random.normal(KEY))
    assert of_key.dtype == ft.float0
    assert of_key.shape == ()


@pytest.mark.parametrize("transform", [ft.jacfwd, ft.jacrev, ft.jacobian, ft.hessian])
def test_a_result_that_is_a_key_has_no_jacobian(transform: Any) -> None:
    with pytest.raises(TypeError, match=r"(?s)keys have no derivative.*has_aux=True"):
        transform(lambda x: (x, random.fold_in(KEY, 1)))(1.0)


def test_traced_keys_are_printed_by_their_type(capsys: pytest.CaptureFixture[str]) -> None:
    def sampled(x: Any) -> Any:
        key, others = random.key(0), random.split(random.key(1))
        print(key, f"{others}")
        return x * random.normal(key)

    ft.grad(sampled)(1.0)
    assert capsys.readouterr().out == "Tracer<key<fry>[]> Tracer<key<fry>[2]>\n"


def test_a_jitted_function_of_keys_is_compiled_once() -> None:
    f = ft.jit(lambda k: random.normal(k, (2,)))
    f(KEY)
    before = ft.compilation_count()
    for k in KEYS:
        same(f(k), jax.random.normal(k, (2,)))
    assert ft.compilation_count() == before


def test_programs_print_keys_as_jax_does() -> None:
    text = str(ft.make_jaxpr(lambda k: random.bits(random.split(k, 3)[1], (2,)))(KEY))
    assert "a:key<fry>[]" in text
    assert "random_split[shape=(3,)] a" in text
    assert "random_bits[bit_width=32 shape=(2,)]" in text


REFUSED = {
    "a number for a key": (lambda: random.normal(3), TypeError, "normal: a random key is needed, got 3 of type int"),
    "an array for a key": (
        lambda: random.normal(np.zeros(2, np.float32)), TypeError, "a random key is needed, got an array f32[2]",
    ),
    "many keys": (lambda: random.normal(KEYS), ValueError, "normal takes a single key and was given an array of keys"),
    "a wrong dtype": (lambda: random.normal(KEY, (), "int32"), ValueError, "must be floating or complex, got int32"),
    "integers of a wrong dtype": (
        lambda: random.randint(KEY, (), 0, 3, "float32"), TypeError, "must be an integer, got float32",
    ),
    "a shape that does not fit": (
        lambda: random.gamma(KEY, np.ones(3, np.float32), (2,)), ValueError,
        "gamma: a of shape (3,) does not broadcast to the shape of the samples, (2,)",
    ),
    "a float seed": (lambda: random.key(1.5), TypeError, "the seed is an integer, got f32[]*"),
    "many seeds": (lambda: random.key(np.arange(3)), TypeError, "the seed is one integer, got an array of shape (3,)"),
    "an unknown implementation": (
        lambda: random.key(0, impl="dice"), ValueError, "random keys of implementation 'dice' are not supported",
    ),
    "words of a wrong number": (
        lambda: random.wrap_key_data(np.zeros(3, np.uint32)), TypeError, "have 2 words along the last axis",
    ),
    "arithmetic": (lambda: ft.jit(lambda k: k + 1)(KEY), TypeError, "random keys are no numbers"),
    "a conversion": (
        lambda: lax.convert_element_type(KEY, "float32"), TypeError, "functrans.random.key_data(keys)",
    ),
    "too many without replacement": (
        lambda: random.choice(KEY, 3, (4,), replace=False), ValueError, "4 draws without replacement of 3",
    ),
    "nothing to choose from": (lambda: random.choice(KEY, 0, (4,)), ValueError, "nothing to draw 4 from"),
    "trials that do not fit": (
        lambda: random.binomial(KEY, np.ones(3, np.float32), 0.5, (2,)), ValueError,
        "n of shape (3,) does not broadcast",
    ),
    "outcomes without an axis": (
        lambda: random.multinomial(KEY, 3, 0.5), ValueError, "p must have an axis of outcomes, got a scalar",
    ),
    "complex probabilities": (
        lambda: random.multinomial(KEY, 3, np.ones(2, np.complex64)), TypeError, "the probabilities must be real",
    ),
    "probabilities of another number": (
        lambda: random.choice(KEY, 3, (2,), p=np.ones(2, np.float32)), ValueError,
        "p must have one probability for each of the 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)




def test_arrays_filled_with_keys() -> None:
    """A tree that holds keys may be mapped over by ``zeros_like``: keys of so many equal words."""
    keys = random.split(random.key(0), 3)
    for ours, theirs in (
        (fnp.zeros_like(keys), jnp.zeros_like(keys)),
        (ft.jit(fnp.ones_like)(keys), jnp.ones_like(keys)),
        (fnp.full_like(keys, 100), jnp.full_like(keys, 100)),
        (fnp.empty((2, 1), keys.dtype), jnp.zeros((2, 1), keys.dtype)),
        (fnp.full((3,), keys[1]), jnp.full((3,), keys[1])),
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(random.key_data(ours), jax.random.key_data(theirs))


@pytest.mark.parametrize("implementation", ["threefry2x32", "philox2x32", "rbg"])
def test_keys_are_equal_where_all_their_words_are(implementation: str) -> None:
    words = np.zeros((3, jax.random.key_data(jax.random.key(0, impl=implementation)).size), np.uint32)
    words[1, -1], words[2, 0] = 1, 2
    keys = jax.random.wrap_key_data(words, impl=implementation)

    def compared(library: Any) -> Any:
        np_, lax_ = library.numpy, library.lax

        def everything(a: Any, b: Any) -> Any:
            return (
                a == b, a != b, lax_.eq(a, b), lax_.ne(a, b), np_.isclose(a, b), np_.allclose(a, b), np_.equal(a, b),
                np_.array_equal(a, b), np_.array_equiv(a, b), np_.isin(a, b),
            )  # fmt: skip

        return everything

    for other in (keys, keys[::-1], keys[:1]):
        expected = compared(jax)(keys, jnp.broadcast_to(other, keys.shape))
        for actual in (compared(ft), ft.jit(compared(ft))):
            jax.tree.map(np.testing.assert_array_equal, actual(keys, fnp.broadcast_to(other, keys.shape)), expected)
    mapped = ft.vmap(lambda a, b: a == b, in_axes=(0, None))(keys, keys[1])
    np.testing.assert_array_equal(mapped, [False, True, False])


def test_keys_have_no_order() -> None:
    """They were sorted word by word, which gave keys that had not been there."""
    for ordered in (fnp.sort, fnp.argsort, lax.sort, lambda k: fnp.less(k, k), lambda k: lax.lt(k, k)):
        with pytest.raises(TypeError, match="random keys have no order"):
            ordered(KEYS)


COMPUTED = {
    "sum": lambda k: fnp.sum(k), "trace": lambda k: fnp.trace(k.reshape(2, 2)), "sort": lambda k: fnp.sort(k),
    "argsort": lambda k: fnp.argsort(k), "lexsort": lambda k: fnp.lexsort((k,)), "top_k": lambda k: lax.top_k(k, 1),
    "dot": lambda k: lax.dot(k, k), "psum": lambda k: ft.vmap(lambda x: lax.psum(x, "i"), axis_name="i")(k),
    "less": lambda k: lax.lt(k, k[::-1]), "max": lambda k: lax.reduce_max(k, (0,)), "cumsum": lambda k: lax.cumsum(k),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("compiled", [False, True])
def test_nothing_is_computed_of_the_words_of_keys(name: str, compiled: bool) -> None:
    f = COMPUTED[name]
    with pytest.raises(TypeError, match=r"key"):
        (ft.jit(f) if compiled else f)(jax.random.split(jax.random.key(0), 4))


def test_keys_are_sorted_and_permuted_along_with_numbers() -> None:
    keys = jax.random.split(jax.random.key(0), 5)
    order = np.int32([3, 1, 4, 0, 2])
    _, found = ft.jit(lambda o, k: lax.sort((o, k), num_keys=1))(order, keys)
    assert (found == keys[np.argsort(order)]).all()
    permuted = ft.jit(lambda k: ft.random.permutation(k[0], k))(keys)
    assert (permuted == keys[ft.random.permutation(keys[0], 5)]).all()
