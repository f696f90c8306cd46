"""Keys: making, splitting and looking at them; random bits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError, warn
from functrans.ir.types import describe, is_key_dtype, scalar_type, type_of, x64_enabled
from functrans.jaxlib_compat.configuration import on_words_for_keys, seed_offset
from functrans.numpy.arithmetic import add
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import requested_dtype, shape_argument
from functrans.ops.key_implementations import implementation_of
from functrans.ops.key_implementations import key_dtype as dtype_of_implementation
from functrans.ops.keys import (
    RANDOM_FOLD_IN,
    RANDOM_UNWRAP,
    RandomBits,
    RandomSeed,
    RandomSplit,
    RandomWrap,
)
from functrans.ops.structural import convert
from functrans.trace.binding import bind
from functrans.trace.frames import here
from functrans.trace.keywords import takes
from functrans.trace.tracer import Tracer

Key = Any  # an array of random keys, traced or not, or uint32 words
Shape = Sequence[int]
_UINT32 = np.dtype(np.uint32)


def implementation_name(given: Any) -> str:
    """What a user gives for ``impl`` or ``dtype``, as the name of an implementation."""
    if given is None:
        return str(jax.config.jax_default_prng_impl)  # type: ignore[attr-defined]
    if not isinstance(given, str) and is_key_dtype(given):
        return implementation_of(given).name
    name = given if isinstance(given, str) else getattr(getattr(given, "_impl", given), "name", None)
    if not isinstance(name, str):
        raise FunctransTypeError(f"an implementation of random keys is named by a string, got {describe(given)}")
    dtype_of_implementation(name)
    return name


def typed_key(name: str, key: Key, batched: bool = False) -> tuple[Any, bool]:
    """The key with a key dtype, and whether it was given as words; raises TypeError for anything else, ValueError for
    an array of keys where one is needed.
    """
    words = False
    if type(key) is Tracer or isinstance(key, jax.Array | np.ndarray):
        if is_key_dtype(key.dtype):
            implementation_of(key.dtype)
        elif key.dtype == _UINT32 and len(key.shape):
            key, words = bind(RandomWrap(implementation_name(None)), key), True
            if on_words_for_keys() != "allow":
                _legacy(name)
        else:
            raise FunctransTypeError(
                f"{name}: a random key is needed, got an array {type_of(key)} at {here()}\nMake one with "
                "functrans.random.key(seed)."
            )
    else:
        raise FunctransTypeError(
            f"{name}: a random key is needed, got {describe(key)} at {here()}\nMake one with "
            "functrans.random.key(seed)."
        )
    if key.shape and not batched:
        raise FunctransValueError(
            f"{name} takes a single key and was given an array of keys of shape {tuple(key.shape)}, at {here()}\nMap "
            "it over them with functrans.vmap, or pick one."
        )
    return key, words


def _legacy(name: str) -> None:
    remedy = (
        "Make keys with functrans.random.key(seed), or set jax_legacy_prng_key to 'allow'."
    )
    if on_words_for_keys() == "error":
        raise FunctransValueError(
            f"{name} was given words (uint32) for a random key, and jax_legacy_prng_key is 'error', at "
            f"{here()}\n{remedy}"
        )
    warn(f"{name} was given words (uint32) for a random key. {remedy}")


def _as_given(key: Any, words: bool) -> Any:
    if words and not jax.config.jax_enable_custom_prng:  # type: ignore[attr-defined]
        return bind(RANDOM_UNWRAP, key)
    return key


def _seeded(name: str, seed: Any, implementation: str) -> Any:
    if isinstance(seed, int):
        seed = np.asarray(np.int64(seed)) if x64_enabled() else np.int64(seed).astype(np.int32)
    shape = np.shape(seed) if type(seed) is not Tracer else seed.shape
    if hasattr(seed, "dtype") and is_key_dtype(seed.dtype):
        raise FunctransTypeError(f"{name}: the seed is an integer, got a random key at {here()}")
    if shape:
        raise FunctransTypeError(
            f"{name}: the seed is one integer, got an array of shape {tuple(shape)} at {here()}\nMap it over seeds "
            "with functrans.vmap."
        )
    seed = asarray(seed)
    if type_of(seed).dtype.kind not in "iu":
        raise FunctransTypeError(f"{name}: the seed is an integer, got {type_of(seed)} at {here()}")
    offset = seed_offset()
    if offset:
        seed = add(seed, offset)
    return bind(RandomSeed(implementation), seed)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """A random key made from an integer: an array ``[]`` of dtype ``key<fry>``, the very key of ``jax.random.key``.

    Args:
      seed: an integer; without 64-bit types its low 32 bits count.
      impl: 'threefry2x32' (the default), 'threefry4x32', 'philox2x32', 'philox4x32', 'rbg' or 'unsafe_rbg', the same
        as JAX's, bit for bit; ``dtype`` may name it too.

    Raises:
      TypeError: the seed is no integer scalar. ValueError: both impl and dtype, or an unknown implementation.

    >>> from functrans import random
    >>> random.key_data(random.key(42)).tolist()
    [0, 42]
    """
    if impl is not None and dtype is not None:
        raise FunctransValueError("key: give impl or dtype, not both")
    return _seeded("key", seed, implementation_name(impl if dtype is None else dtype))


def PRNGKey(seed: Any, *, impl: Any = None) -> Any:
    """As ``key``, but the words of the key, uint32[2]: the older form.

    >>> from functrans import random
    >>> random.PRNGKey(42).tolist()
    [0, 42]
    """
    return _as_given(_seeded("PRNGKey", seed, implementation_name(impl)), True)


def key_dtype(impl_spec: Any = None) -> Any:
    """The dtype of keys of an implementation.

    >>> from functrans import random
    >>> random.key_dtype()
    key<fry>
    """
    return dtype_of_implementation(implementation_name(impl_spec))


def key_impl(keys: Key) -> str:
    """The name of the implementation of keys.

    >>> from functrans import random
    >>> random.key_impl(random.key(0))
    'threefry2x32'
    """
    return implementation_of(typed_key("key_impl", keys, batched=True)[0].dtype).name


def key_data(keys: Key) -> Any:
    """The words of keys: uint32, along a new last axis.

    >>> from functrans import random
    >>> random.key_data(random.key(7)).tolist()
    [0, 7]
    """
    return bind(RANDOM_UNWRAP, typed_key("key_data", keys, batched=True)[0])


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Any:
    """Keys from their words (uint32, the last axis): the inverse of ``key_data``.

    >>> import numpy as np
    >>> from functrans import random
    >>> random.wrap_key_data(np.uint32([0, 7])) == random.key(7)
    Array(True, dtype=bool)
    """
    if impl is not None and dtype is not None:
        raise FunctransValueError("wrap_key_data: give impl or dtype, not both")
    name = implementation_name(impl if dtype is None else dtype)
    return bind(RandomWrap(name), asarray(key_bits_array))


def clone(key: Key) -> Any:
    """The key itself; JAX's checker of reused keys takes it for a new one.

    >>> from functrans import random
    >>> random.clone(random.key(7)) == random.key(7)
    Array(True, dtype=bool)
    """
    typed, words = typed_key("clone", key, batched=True)
    return _as_given(typed, words)


def split(key: Key, num: int | Shape = 2) -> Any:
    """New keys from a key: ``num`` of them, or an array of them of shape ``num``.

    >>> from functrans import random
    >>> random.split(random.key(0), 3).shape
    (3,)
    """
    typed, words = typed_key("split", key)
    return _as_given(bind(RandomSplit(shape_argument("split", num)), typed), words)


def fold_in(key: Key, data: Any) -> Any:
    """A new key from a key and an integer: different integers give independent keys.

    >>> from functrans import random
    >>> random.fold_in(random.key(0), 5).shape
    ()
    """
    typed, words = typed_key("fold_in", key)
    if isinstance(data, int) and not isinstance(data, bool):
        data = np.uint32(operator.index(data) & 0xFFFFFFFF) if data < 0 else _small(data)
    data = asarray(data)
    type_ = type_of(data)
    if type_.shape:
        raise FunctransTypeError(
            f"fold_in: the data is one integer, got an array of shape {type_.shape} at {here()}\nMap it with "
            "functrans.vmap."
        )
    return _as_given(bind(RANDOM_FOLD_IN, typed, convert(data, _UINT32)), words)


def _small(data: int) -> Any:
    if data >= 1 << 32:
        raise OverflowError(f"fold_in: {data} does not fit in 32 bits")
    return np.uint32(data)



@takes(out_sharding=None)
def bits(key: Key, shape: Shape = (), dtype: Any = None) -> Any:
    """Random bits: unsigned integers, each of them equally likely.

    >>> import numpy as np
    >>> from functrans import random
    >>> random.bits(random.key(0), (2,), np.uint8).dtype
    dtype('uint8')
    """
    typed, _ = typed_key("bits", key)
    to = np.dtype(np.uint64 if x64_enabled() else np.uint32) if dtype is None else requested_dtype("bits", dtype)
    if to.kind != "u":
        raise FunctransValueError(f"bits: the dtype must be an unsigned integer, got {to} at {here()}")
    return random_bits(typed, to.itemsize * 8, shape_argument("bits", shape))


def random_bits(key: Any, width: int, shape: tuple[int, ...]) -> Any:
    """Unsigned integers of ``width`` bits from a typed key."""
    return bind(RandomBits(width, shape), key)


def split_key(key: Any, num: int = 2) -> list[Any]:
    """A typed key as a list of new ones."""
    keys = bind(RandomSplit((num,)), key)
    return [keys[i] for i in range(num)]


def default_float() -> Any:
    """float32, or float64 with 64-bit types."""
    return scalar_type(float).dtype


def default_integer() -> Any:
    """int32, or int64 with 64-bit types."""
    return scalar_type(int).dtype


