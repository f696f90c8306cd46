"""Functions of ``jax.lax`` about where and how a value is computed: a program of functrans computes on one device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, type_of
from functrans.jaxlib_compat.configuration import default_device
from functrans.ops.structural import broadcast_in_dim
from functrans.trace.builder import Builder
from functrans.trace.frames import here, named_as
from functrans.trace.state import current_builder


def dtype(x: Any) -> np.dtype[Any]:
    """The dtype that an array or a number has in a program; that of a class of numbers.

    >>> from functrans import lax
    >>> lax.dtype(1.5)
    dtype('float32')
    """
    return np.dtype(x) if isinstance(x, type) else type_of(x).dtype


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """``arr`` repeated to the shape of another array, by NumPy's rules.

    Raises TypeError where the shapes do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.broadcast_like(np.int32([1, 2]), np.zeros((2, 2))).tolist()
    [[1, 2], [1, 2]]
    """
    own, shape = type_of(arr).shape, type_of(like_arr).shape
    return broadcast_in_dim(arr, shape, tuple(range(len(shape) - len(own), len(shape))))


def stage(x: Any, /) -> Any:
    """A number or a NumPy array as an array, or where a function is traced as a traced value.

    >>> from functrans import lax
    >>> type(lax.stage(1.0)).__name__
    'ArrayImpl'
    """
    type_of(x)
    builder: Builder | None = current_builder()
    array = x if isinstance(x, jax.Array) else jax.device_put(x)
    return array if builder is None else builder.lift(array)


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Nothing: what nobody uses is left out of a program."""


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """The function itself: no compiler that functrans hands programs to knows composites by their names.

    ``functrans.Composite`` keeps a function as one operation of a program.

    >>> from functrans import lax
    >>> lax.composite(lambda x, *, scale: x * scale, "my.scale")(3.0, scale=2.0)
    6.0
    """
    if not callable(decomposition):
        raise FunctransTypeError(f"composite: a function is needed, got {describe(decomposition)} at {here()}")

    def composed(*args: Any, **kwargs: Any) -> Any:
        return decomposition(*args, **kwargs)

    return named_as(decomposition, composed)


def platform_dependent(*args: Any, default: Callable[..., Any] | None = None, **per_platform: Any) -> Any:
    """The branch for the platform of the default device ('cpu', 'cuda', 'rocm', 'tpu'), called on ``args``.

    Chosen while the function is traced: a function that is exported for several platforms has one branch in it.

    Raises TypeError for a branch that is no function, ValueError where there is none for the platform.

    >>> from functrans import lax
    >>> lax.platform_dependent(3.0, cpu=lambda x: x + 1.0, default=lambda x: x)
    4.0
    """
    for name, branch in [*per_platform.items(), *([] if default is None else [("default", default)])]:
        if not callable(branch):
            raise FunctransTypeError(
                f"platform_dependent: the branch {name!r} must be a function, got {describe(branch)} at {here()}"
            )
    if "gpu" in per_platform:
        raise FunctransValueError(f"platform_dependent: say 'cuda' or 'rocm' instead of 'gpu', at {here()}")
    device = default_device()
    platform = device if isinstance(device, str) else device.platform
    names = ("cuda", "rocm") if platform == "gpu" else (platform,)
    for name in names:
        if name in per_platform:
            return per_platform[name](*args)
    if default is None:
        raise FunctransValueError(
            f"platform_dependent: no branch for the platform {platform!r} and no default, at {here()}"
        )
    return default(*args)


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """``x``, where the shardings are of one device; others are refused.

    Raises NotImplementedError for a sharding over several devices.

    >>> import functrans as ft
    >>> here = ft.sharding.SingleDeviceSharding(ft.devices()[0])
    >>> float(ft.grad(lambda x: ft.lax.with_sharding_constraint(x * x, here))(3.0))
    6.0
    """
    for sharding in tree_leaves(shardings, is_leaf=lambda s: isinstance(s, jax.sharding.Sharding)):
        if not isinstance(sharding, jax.sharding.Sharding) or len(sharding.device_set) > 1:
            raise NotImplementedError(
                f"with_sharding_constraint: a program of functrans computes on one device, and {sharding} is not a "
                f"sharding of one, at {here()}\nLeave it out."
            )
    return x
