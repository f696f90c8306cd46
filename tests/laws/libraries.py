"""What random programs are written against: the transforms of functrans or of JAX, each in the ways that users abuse.

A method takes the bodies, a number that chooses between variants, and operands of any shape and dtype; it fits the
operands to each other by rules that look at shapes and dtypes only, so that every program drawn means something, and
still does after parts of it have been taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

float0 = jax.dtypes.float0
Function = Callable[..., Any]


def shape_of(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if hasattr(x, "shape") else ()


def dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.dtype(jax.dtypes.canonicalize_dtype(jax.dtypes.result_type(x)))


def is_inexact(x: Any) -> bool:
    return bool(jax.numpy.issubdtype(dtype_of(x), np.inexact))


def is_complex(x: Any) -> bool:
    return bool(jax.numpy.issubdtype(dtype_of(x), np.complexfloating))


def is_real(x: Any) -> bool:
    return is_inexact(x) and not is_complex(x)


def wave(shape: Sequence[int], dtype: Any, phase: float = 0.3) -> Any:
    """Distinct numbers of size about one, a fixed choice."""
    result = np.cos(phase + np.arange(int(np.prod(shape)), dtype=np.float64)).reshape(shape)
    return result.astype(dtype)


def without_float0(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: None if getattr(leaf, "dtype", None) == float0 else leaf, tree)


def inexact_leaves(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if is_inexact(leaf)]


class Library:
    """One of the two libraries, and the helpers that programs call."""

    def __init__(self, transforms: Any, numpy: Any, lax: Any, wide: bool = False) -> None:
        self.t, self.np, self.lax, self.wide = transforms, numpy, lax, wide

    # -- fitting values to each other ---------------------------------------------------------------------------------

    def dtype(self, name: str) -> Any:
        """A dtype by name; in a wide run the double of it."""
        dtype = np.dtype(getattr(jax.numpy, name) if name != "bool" else bool)
        if self.wide and jax.numpy.issubdtype(dtype, np.inexact):
            return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
        return dtype

    def leaf(self, tree: Any, place: int) -> Any:
        """A leaf of an argument; 1.5 where it has none."""
        leaves = jax.tree.leaves(tree)
        return leaves[place] if leaves else 1.5

    def fit(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Two values that broadcast: the second is summed where it does not fit the first."""
        try:
            shape = np.broadcast_shapes(shape_of(a), shape_of(b))
        except ValueError:
            return a, self.np.sum(b)
        return (a, b) if int(np.prod(shape)) <= 12 and len(shape) <= 3 else (a, self.np.sum(b))

    def real(self, x: Any) -> Any:
        return self.np.real(x) if is_complex(x) else x

    def inexact(self, x: Any) -> Any:
        return x if is_inexact(x) else x * 1.0

    def small(self, x: Any) -> Any:
        """The same, or its sum where it has grown."""
        return x if int(np.prod(shape_of(x))) <= 6 else self.np.sum(x)

    def true(self, x: Any) -> Any:
        """A scalar predicate that depends on the value."""
        return self.np.sum(self.real(x)) > 0.3

    def array(self, x: Any) -> Any:
        """The same; NumPy's values and integers as the library's own.

        What a library hands on without computing with it would be combined by NumPy's rules of promotion, or Python's.
        """
        return self.np.asarray(x) if isinstance(x, np.ndarray | np.generic | int) else x

    def mix(self, tree: Any) -> Any:
        """One array that depends on every inexact leaf; the first leaf where none is, 0.5 where there is none."""
        leaves = [leaf for leaf in jax.tree.leaves(tree) if dtype_of(leaf) != float0]
        inexact = [self.array(x) for x in inexact_leaves(leaves)]
        if not inexact:
            return leaves[0] if leaves else 0.5
        result = inexact[0]
        for i, leaf in enumerate(inexact[1:]):
            a, b = self.fit(result, leaf)
            result = a + b * (0.75 - 0.125 * (i % 4))
        return result

    def like(self, value: Any, example: Any) -> Any:
        """Something of the example's shape and dtype that depends on the value."""
        value = self.mix(value)
        if shape_of(value) != shape_of(example):
            value = self.np.broadcast_to(self.np.sum(value), shape_of(example))
        if dtype_of(value) == dtype_of(example):
            return value
        if is_complex(value) and not is_complex(example):
            value = self.np.real(value)
        if is_inexact(value) and not is_inexact(example):
            value = self.np.where(self.np.abs(value) < 99.0, value, 1.0)
        return self.np.asarray(value).astype(dtype_of(example))

    def strongly_like(self, value: Any, example: Any) -> Any:
        return self.lax.convert_element_type(self.like(value, example), dtype_of(example))

    def total(self, tree: Any) -> Any:
        """A real scalar: every inexact leaf, each of its elements weighted differently."""
        result = 0.0
        for leaf in map(self.array, inexact_leaves(tree)):
            shape = shape_of(leaf)
            if is_complex(leaf):
                leaf = self.np.real(leaf) + 0.5 * self.np.imag(leaf)
            result = result + (self.np.sum(leaf * wave(shape, dtype_of(leaf))) if shape else leaf * 0.75)
        return result

    def scalar(self, f: Function) -> Function:
        return lambda *args: self.total(f(*args))

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

    # -- the outer stack -----------------------------------------------------------------------------------------------

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
