"""Special functions: the error function and its relatives, log gamma and its derivatives."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans.ops.elementwise import Elementwise, mul, neg
from functrans.ops.functions import exp
from functrans.ops.structural import Names, Types
from functrans.trace.builder import bind


class _Special(Elementwise):
    """A function that StableHLO knows through its client dialect; real operands."""

    accepts = "f"

    def lower(self, emitter: Any, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = emitter.text(out_types[0])
        ins = ", ".join([type_] * len(operands))
        return emitter.raw(f"chlo.{self.hlo} {', '.join(operands)} : {ins} -> {type_}")


def _scipy_special() -> Any:
    return importlib.import_module("scipy.special")  # late: it takes 0.2 s, and the references alone need it


def _scipy(name: str) -> Callable[..., Any]:
    def reference(*arrays: Any) -> Any:
        dtype = np.asarray(arrays[0]).dtype
        wide = [np.asarray(x).astype(np.float64) for x in arrays]
        return np.asarray(getattr(_scipy_special(), name)(*wide)).astype(dtype)

    return staticmethod(reference)


def _gaussian(x: Any, scale: float) -> Any:
    return mul(exp(neg(mul(x, x))), scale)


class Erf(_Special):
    hlo = "erf"
    reference = _scipy("erf")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, 2 / math.sqrt(math.pi))


class Erfc(_Special):
    hlo = "erfc"
    reference = _scipy("erfc")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, -2 / math.sqrt(math.pi))


class ErfInv(_Special):
    hlo = "erf_inv"
    reference = _scipy("erfinv")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(exp(mul(out, out)), math.sqrt(math.pi) / 2)


class Lgamma(_Special):
    hlo = "lgamma"
    reference = _scipy("gammaln")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return digamma(x)


class Digamma(_Special):
    hlo = "digamma"
    reference = _scipy("psi")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(Polygamma(1), x)


class Polygamma(_Special):
    """The derivative of order ``n`` of digamma."""

    n: int
    hlo = "polygamma"

    def impl(self, *arrays: Any) -> Any:
        x = np.asarray(arrays[0])
        return _scipy_special().polygamma(self.n, x.astype(np.float64)).astype(x.dtype)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(Polygamma(self.n + 1), x)

    def lower(self, emitter: Any, operands: Names, in_types: Types, out_types: Types) -> Any:
        order = emitter.splat(float(self.n), out_types[0])
        return super().lower(emitter, [order, *operands], [out_types[0]] * 2, out_types)


ERF, ERFC, ERF_INV, LGAMMA, DIGAMMA = Erf(), Erfc(), ErfInv(), Lgamma(), Digamma()


def erf(x: Any) -> Any:
    """The error function."""
    return bind(ERF, x)


def erfc(x: Any) -> Any:
    """1 - erf(x), exact for large x."""
    return bind(ERFC, x)


def erf_inv(x: Any) -> Any:
    """The inverse of the error function."""
    return bind(ERF_INV, x)


def lgamma(x: Any) -> Any:
    """log |gamma(x)|."""
    return bind(LGAMMA, x)


def digamma(x: Any) -> Any:
    """The derivative of lgamma."""
    return bind(DIGAMMA, x)
