"""What random programs are written against: the transforms of functrans or of JAX, each in the ways that users abuse.
"""

from __future__ import annotations

from typing import Any

import jax

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.laws.outer_stack import Around
from tests.laws.values import Function, dtype_of, is_complex, is_inexact


class Library(Around):
    """One of the two libraries, with everything that programs call."""


class _StrongDerivatives:
    """Transforms whose derivatives have no weak type."""

    def __init__(self, transforms: Any, lax: Any) -> None:
        self.transforms, self.lax = transforms, lax

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transforms, name)

    def strong(self, tree: Any) -> Any:
        return jax.tree.map(lambda x: self.lax.convert_element_type(x, dtype_of(x)) if is_inexact(x) else x, tree)

    def grad(self, f: Function, *args: Any, has_aux: bool = False, **options: Any) -> Function:
        found = self.transforms.grad(f, *args, has_aux=has_aux, **options)
        if has_aux:
            return lambda *xs: (self.strong((result := found(*xs))[0]), result[1])
        return lambda *xs: self.strong(found(*xs))

    def value_and_grad(self, f: Function, *args: Any, **options: Any) -> Function:
        found = self.transforms.value_and_grad(f, *args, **options)
        return lambda *xs: ((result := found(*xs))[0], self.strong(result[1]))

    def jvp(self, f: Function, primals: Any, tangents: Any, **options: Any) -> Any:
        value, slope, *aux = self.transforms.jvp(f, primals, tangents, **options)
        return (value, self.strong(slope), *aux)

    def vjp(self, f: Function, *primals: Any) -> Any:
        value, pullback = self.transforms.vjp(f, *primals)
        return value, lambda cotangent: self.strong(pullback(cotangent))

    def linearize(self, f: Function, *primals: Any) -> Any:
        value, pushforward = self.transforms.linearize(f, *primals)
        return value, lambda *tangents: self.strong(pushforward(*tangents))

    def jacfwd(self, f: Function, which: Any) -> Function:
        return lambda *xs: self.strong(self.transforms.jacfwd(f, which)(*xs))

    def jacrev(self, f: Function, which: Any) -> Function:
        return lambda *xs: self.strong(self.transforms.jacrev(f, which)(*xs))

    def hessian(self, f: Function, which: Any) -> Function:
        return lambda *xs: self.strong(self.transforms.hessian(f, which)(*xs))


def ours(wide: bool = False, strong_derivatives: bool = False) -> Library:
    return Library(_StrongDerivatives(ft, lax) if strong_derivatives else ft, fnp, lax, wide)


class _AbsBySign:
    """jax.numpy where the derivative of ``abs`` at 0 is 0, as functrans has it, and not 1, as JAX has it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jax.numpy, name)

    def abs(self, x: Any) -> Any:
        return jax.numpy.abs(x) if is_complex(x) or not is_inexact(x) else x * jax.numpy.sign(x)


def theirs(wide: bool = False, abs_by_sign: bool = False, strong_derivatives: bool = False) -> Library:
    transforms = _StrongDerivatives(jax, jax.lax) if strong_derivatives else jax
    return Library(transforms, _AbsBySign() if abs_by_sign else jax.numpy, jax.lax, wide)
