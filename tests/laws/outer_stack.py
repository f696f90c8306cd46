"""The stack of transforms around a drawn program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from tests.laws.inner_steps import Inside
from tests.laws.values import (
    Function,
    inexact_leaves,
    is_real,
    without_float0,
)


class Around(Inside):
    """What stands inside of programs, and what is stacked around them."""

    def stacked(self, step: str, choice: int, f: Function, spec: Any) -> Function:
        """`f` under one more transform, for arguments such as `spec` (see `Step`)."""
        return getattr(self, f"outer_{step}")(f, choice, spec)  # type: ignore[no-any-return]

    def outer_jit(self, f: Function, choice: int, spec: Any) -> Function:
        return self.t.jit(f)  # type: ignore[no-any-return]

    def outer_checkpoint(self, f: Function, choice: int, spec: Any) -> Function:
        return self.t.checkpoint(f)  # type: ignore[no-any-return]

    def outer_vmap(self, f: Function, choice: int, spec: Any) -> Function:
        return self.t.vmap(f, in_axes=spec, out_axes=(0, -1)[choice % 2])  # type: ignore[no-any-return]

    def _handed_on(self, args: Sequence[Any], which: int | Sequence[int]) -> list[Any]:
        """The arguments, those that are not differentiated as arrays."""
        differentiated = {i % len(args) for i in ((which,) if isinstance(which, int) else which)}
        return [x if i in differentiated else jax.tree.map(self.array, x) for i, x in enumerate(args)]

    def outer_grad(self, f: Function, choice: int, spec: Any) -> Function:
        def function(*args: Any) -> Any:
            everything = tuple(range(len(args)))
            which = [everything, 0, everything[::-1], -1][choice % 4]
            args = tuple(self._handed_on(args, which))
            if choice % 3 == 0:
                return without_float0(self.t.grad(self.scalar(f), which, allow_int=True)(*args))
            if choice % 3 == 1:
                return without_float0(self.t.value_and_grad(self.scalar(f), which, allow_int=True)(*args))
            with_aux = lambda *xs: (self.total(r := f(*xs)), r)
            return without_float0(self.t.grad(with_aux, which, has_aux=True, allow_int=True)(*args))

        return function

    def outer_tangents(self, choice: int, args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        return jax.tree.unflatten(tree, self.tangents(choice, leaves))

    def outer_jvp(self, f: Function, choice: int, spec: Any) -> Function:
        return lambda *args: without_float0(self.t.jvp(f, args, self.outer_tangents(choice, args)))

    def outer_linearize(self, f: Function, choice: int, spec: Any) -> Function:
        def function(*args: Any) -> Any:
            value, pushforward = self.t.linearize(f, *args)
            first = pushforward(*self.outer_tangents(choice, args))
            return without_float0([value, first, pushforward(*self.outer_tangents(choice + 1, args))])

        return function

    def outer_vjp(self, f: Function, choice: int, spec: Any) -> Function:
        def function(*args: Any) -> Any:
            value, pullback = self.t.vjp(lambda *xs: inexact_leaves(f(*xs)), *args)
            first = pullback(value)
            second = pullback([self.np.ones_like(y) for y in value])
            return without_float0([value, first, second])

        return function

    def _outer_jacobian(self, transform: Function, f: Function, choice: int) -> Function:
        def function(*args: Any) -> Any:
            real = [i for i, x in enumerate(args) if (leaves := jax.tree.leaves(x)) and all(map(is_real, leaves))]
            if not real:  # traced too: JAX's arrays and NumPy's promote by different rules; a function of its own, as
                return self.t.jit(lambda *xs: f(*xs))(*args)  # jax.jit does not look again at what one captures
            which = tuple(real) if choice % 2 else real[0]
            return transform(f, which)(*self._handed_on(args, which))

        return function

    def _small_leaves(self, f: Function) -> Function:
        return lambda *xs: [self.small(self.real(y)) for y in inexact_leaves(f(*xs))] or 1.0

    def outer_jacfwd(self, f: Function, choice: int, spec: Any) -> Function:
        return self._outer_jacobian(self.t.jacfwd, self._small_leaves(f), choice)

    def outer_jacrev(self, f: Function, choice: int, spec: Any) -> Function:
        return self._outer_jacobian(self.t.jacrev, self._small_leaves(f), choice)

    def outer_hessian(self, f: Function, choice: int, spec: Any) -> Function:
        return self._outer_jacobian(self.t.hessian, self.scalar(f), choice)
