"""The table of JAX's operations on random keys and bits. The bits are the same, key for key."""

from __future__ import annotations

from typing import Any

from functrans import lax
from functrans.interop.translation import Application, Emit
from functrans.ops import ciphers
from functrans.ops.key_implementations import implementation_of
from functrans.ops.keys import (
    RandomBits,
    RandomFoldIn,
    RandomSeed,
    RandomSplit,
    RandomUnwrap,
    RandomWrap,
)
from functrans.ops.structural import convert
from functrans.ops.threefry import UINT32, threefry2x32
from functrans.random.gammas import RandomGamma
from functrans.trace.binding import bind


def _implementation(application: Application) -> str:
    return implementation_of(application.out_types[0].dtype).name


def _seed(application: Application) -> Any:
    return bind(RandomSeed(_implementation(application)), application.operands[0])


def _wrap(application: Application) -> Any:
    return bind(RandomWrap(_implementation(application)), application.operands[0])


def _split(application: Application) -> Any:
    return bind(RandomSplit(tuple(application.params["shape"])), application.operands[0])


def _fold_in(application: Application) -> Any:
    keys, data = application.operands
    return bind(RandomFoldIn(), keys, convert(data, UINT32))


def _bits(application: Application) -> Any:
    params = application.params
    return bind(RandomBits(params["bit_width"], tuple(params["shape"])), application.operands[0])


def _gamma(application: Application) -> Any:
    return bind(RandomGamma(bool(application.params["log_space"])), *application.operands)


def _rng_bit_generator(application: Application) -> Any:
    params = application.params
    return lax.rng_bit_generator(application.operands[0], params["shape"], params["dtype"], params["algorithm"])


RANDOMNESS: dict[str, Emit] = {
    "random_seed": _seed,
    "random_wrap": _wrap,
    "random_unwrap": lambda a: bind(RandomUnwrap(), a.operands[0]),
    "random_split": _split,
    "random_fold_in": _fold_in,
    "random_bits": _bits,
    "random_clone": lambda a: a.operands,
    "random_gamma": _gamma,
    "threefry2x32": lambda a: threefry2x32(*a.operands),
    "threefry4x32": lambda a: ciphers.threefry4x32(a.operands[:4], a.operands[4:]),
    "philox2x32": lambda a: ciphers.philox2x32(a.operands[:1], a.operands[1:]),
    "philox4x32": lambda a: ciphers.philox4x32(a.operands[:2], a.operands[2:]),
    "rng_bit_generator": _rng_bit_generator,
}
