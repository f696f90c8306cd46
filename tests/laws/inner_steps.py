"""What a drawn program does in its course: transforms, branches, loops, rules and matrices of derivatives.

A method takes the bodies, a number that chooses between variants, and operands of any shape and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.laws.values import (
    Fitting,
    Function,
    dtype_of,
    float0,
    inexact_leaves,
    is_inexact,
    shape_of,
    wave,
)


class Inside(Fitting):
    """Fitting, and what stands inside of programs."""

    # -- transforms inside programs -----------------------------------------------------------------------------------

    def grad(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        everything = tuple(range(len(args)))
        variant = choice % 6
        if variant == 0:
            return self.t.grad(self.scalar(f))(*args)
        if variant == 1:
            return self.mix(self.t.grad(self.scalar(f), everything)(*args))
        if variant == 2:
            return self.mix(self.t.value_and_grad(self.scalar(f), everything[::-1])(*args))
        if variant == 3:
            with_aux = lambda *xs: (self.total(f(*xs)), {"same": xs[0], "twice": (xs[0], xs[-1], None)})
            return self.mix(self.t.grad(with_aux, -1, has_aux=True)(*args))
        if variant == 4:
            return self.mix(self.t.grad(lambda tree: self.total(f(*tree[0])))([args, args[0]]))
        return self.mix(self.t.grad(lambda x, rest: self.total(f(x, *rest)), (0, 1))(args[0], args[1:]))

    def number(self, x: Any) -> bool:
        """Whether a Python number may stand for a tangent of x: not for one narrower than Python's in 64 bits."""
        return not shape_of(x) and dtype_of(x) == dtype_of(0.5)

    def tangents(self, choice: int, args: Sequence[Any]) -> tuple[Any, ...]:
        """Tangents as `choice` says: the arguments, one object for all, fresh waves, ones, zeros, numbers.

        Python's type decides nothing: JAX hands on what functrans traces.
        """

        def tangent(i: int, x: Any) -> Any:
            if not is_inexact(x):
                return np.zeros(shape_of(x), float0)
            variant = choice % 5
            if choice % 11 == 10 and self.number(x):
                return 0.75
            if variant == 1:
                return wave(shape_of(x), dtype_of(x), 0.1 + i)
            if variant == 2:
                return self.np.ones_like(x)
            if variant == 3:
                return self.np.zeros_like(x)
            return x

        made: dict[Any, Any] = {}
        kinds: list[Any] = [i if choice % 5 == 1 else id(x) for i, x in enumerate(args)]
        if choice % 5 == 2:  # one object for all arguments of a type
            kinds = [(shape_of(x), dtype_of(x), type(x)) for x in args]
        return tuple(made.setdefault(kinds[i], tangent(i, x)) for i, x in enumerate(args))

    def jvp(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        tangents = self.tangents(choice, args)
        if choice % 7 == 5 and shape_of(args[0]) == shape_of(args[-1]) and dtype_of(args[0]) == dtype_of(args[-1]):
            tangents = tangents[::-1]
        if choice % 7 == 6:
            value, slope, aux = self.t.jvp(lambda *xs: (f(*xs), xs), args, tangents, has_aux=True)
            return self.mix([slope, aux])
        value, slope = self.t.jvp(f, args, tangents)
        return self.mix([slope, value] if choice % 2 else slope)

    def vjp(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        value, pullback = self.t.vjp(lambda *xs: inexact_leaves(f(*xs)), *args)
        first = pullback(value)
        if choice % 3 == 0:
            return self.mix(first)
        second = pullback([self.np.ones_like(y) if choice % 3 == 1 else 0.5 if self.number(y) else y for y in value])
        return self.mix([second, first, value])

    def linearize(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        value, pushforward = self.t.linearize(f, *args)
        first = pushforward(*self.tangents(choice, args))
        if choice % 2:
            return self.mix(first)
        return self.mix([pushforward(*self.tangents(choice + 1, args)), first, value])

    def vmap(self, f: Function, choice: int, *args: Any) -> Any:
        axes: list[Any] = []
        size = None
        for i, x in enumerate(args):
            shape = shape_of(x)
            axis = ((0, -1, None) if i % 2 == 0 else (-1, None, 0))[(choice + i) % 3] if shape else None
            if axis is not None and (shape[axis] == 0 or size not in (None, shape[axis])):
                axis = None
            if axis is not None:
                size = shape[axis]
            axes.append(axis)
        if size is None:
            args = (self.np.stack([args[0], args[0] * 2]), *args[1:])
            axes[0] = 0
        out_axes = (0, -1, 0)[choice % 3]
        return self.mix(self.t.vmap(f, in_axes=tuple(axes), out_axes=out_axes)(*args))

    def jit(self, f: Function, choice: int, *args: Any) -> Any:
        variant = choice % 4
        if variant == 0:
            return self.mix(self.t.jit(f)(*args))
        if variant == 1:  # a second call with other types: weak, integer, another width
            jitted = self.t.jit(f)
            return self.mix([jitted(*args), jitted(*[1.5 if i == 0 else x for i, x in enumerate(args)])])
        if variant == 2:
            static = self.t.jit(lambda n, *xs: f(*[x * n for x in xs]), static_argnums=0)
            return self.mix([static(2, *args), static(2.0, *args), static(True, *args)])
        jitted = self.t.jit(f)
        return self.mix([jitted(*args), jitted(*args[::-1]), jitted(*args)])

    def checkpoint(self, f: Function, choice: int, *args: Any) -> Any:
        return self.mix(self.t.checkpoint(f)(*args))

    def call(self, f: Function, choice: int, *args: Any) -> Any:
        return self.mix(f(*args))

    # -- branches and loops ------------------------------------------------------------------------------------------

    def scan(self, f: Function, choice: int, a: Any, b: Any) -> Any:
        carry = (a, 0.0, 1)[choice % 3]
        xs = b if shape_of(b) and shape_of(b)[0] in (1, 2, 3) else self.np.stack([b, b])
        if choice % 5 == 4:
            return self.mix(self.lax.scan(lambda c, _: (self.like(f(c, b), c), None), carry, None, length=choice % 4))
        if choice % 5 == 3:
            swap = lambda c, x: ((c[1], self.like(f(c[0], x), c[1])), [x, None, f(x, x)])
            return self.mix(self.lax.scan(swap, (a, a), xs, unroll=1 + choice % 2))
        step = lambda c, x: (self.like(f(c, x), c), f(x, c))
        return self.mix(self.lax.scan(step, carry, xs, reverse=choice % 2 == 1))

    def while_loop(self, f: Function, choice: int, a: Any, b: Any) -> Any:
        count = choice % 4 if choice % 5 else self.np.asarray(self.true(a)).astype(np.int32) + 1
        return self.lax.while_loop(lambda c: c[0] < count, lambda c: (c[0] + 1, self.like(f(c[1], b), c[1])), (0, a))[1]

    def fori_loop(self, f: Function, choice: int, a: Any, b: Any) -> Any:
        second = (lambda i: i) if choice % 2 else (lambda i: b)
        return self.lax.fori_loop(0, choice % 4, lambda i, c: self.like(f(c, second(i)), c), a)

    def cond(self, f: Function, g: Function, choice: int, a: Any, b: Any) -> Any:
        like = self.strongly_like  # of branches with and without a weak type JAX takes the type of the false one
        predicate = [self.true(a), self.true(b), choice % 2 == 0, np.bool_(True), self.true(a)][choice % 5]
        if choice % 3 == 0:  # the operands captured
            return self.lax.cond(predicate, lambda: like(f(a, b), a), lambda: like(g(b, a), a))
        return self.lax.cond(predicate, lambda x, y: like(f(x, y), a), lambda x, y: like(g(y, x), x), a, b)

    def switch(self, f: Function, g: Function, choice: int, a: Any, b: Any) -> Any:
        index = self.np.asarray(self.true(b)).astype(np.int32) * (choice % 3) - choice % 2
        like = self.strongly_like
        branches = [lambda x, y: like(f(x, y), a), lambda x, y: like(g(x, y), a), lambda x, y: like(x, x)]
        return self.lax.switch(index, branches, a, b)

    # -- rules ---------------------------------------------------------------------------------------------------------

    def custom_jvp(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        g = lambda *xs: inexact_leaves(f(*xs))
        custom = self.t.custom_jvp(g)

        def rule(primals: Any, tangents: Any) -> Any:
            value, slope = self.t.jvp(g, primals, tangents)
            if choice % 3 == 0:
                return custom(*primals), [s * 2 for s in slope]
            return value, [s * (1 + choice % 2) for s in slope]

        custom.defjvp(rule)
        return self.mix(custom(*args))

    def custom_vjp(self, f: Function, choice: int, *args: Any) -> Any:
        args = tuple(self.inexact(x) for x in args)
        g = lambda *xs: inexact_leaves(f(*xs))
        custom = self.t.custom_vjp(g)

        def backward(residuals: Any, cotangents: Any) -> Any:
            if choice % 3 == 0:
                cotangents = [self.np.tanh(c) * 2 for c in cotangents]
            found = self.t.vjp(g, *residuals)[1](cotangents)
            return (found[0], *(None for _ in found[1:])) if choice % 5 == 4 else found

        custom.defvjp(lambda *xs: (g(*xs), xs), backward)
        return self.mix(custom(*args))

    # -- matrices of derivatives -----------------------------------------------------------------------------------

    def jacfwd(self, f: Function, choice: int, *args: Any) -> Any:
        return self.mix(self.t.jacfwd(self._one_real(f), choice % 2)(*self._real_args(args)))

    def jacrev(self, f: Function, choice: int, *args: Any) -> Any:
        return self.mix(self.t.jacrev(self._one_real(f), choice % 2)(*self._real_args(args)))

    def hessian(self, f: Function, choice: int, *args: Any) -> Any:
        return self.mix(self.t.hessian(self.scalar(f), choice % 2)(*self._real_args(args)))

    def _one_real(self, f: Function) -> Function:
        return lambda *xs: self.small(self.real(self.inexact(self.mix(f(*xs)))))

    def _real_args(self, args: Sequence[Any]) -> list[Any]:
        return [self.small(self.inexact(self.real(x))) for x in args]
