"""What the namespaces of the scenarios do not have under one name: convolution, the gradient of each, loops."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy

from benchmarks.scenario import Namespace

_LAX = {"jax.numpy": "jax.lax", "functrans.numpy": "functrans.lax"}


def convolve(np: Namespace, images: Any, kernel: Any) -> Any:
    """images [n, channels, height, width], kernel [out, channels, h, w] -> [n, out, height - h + 1, width - w + 1]."""
    if np.__name__ in _LAX:
        return importlib.import_module(_LAX[np.__name__]).conv_general_dilated(images, kernel, (1, 1), "VALID")
    if hasattr(np, "conv2d"):
        return np.conv2d(images, kernel)
    height, width = (image - window + 1 for image, window in zip(images.shape[2:], kernel.shape[2:], strict=True))
    total = 0.0
    for row in range(kernel.shape[2]):
        for column in range(kernel.shape[3]):
            window = images[:, :, row : row + height, column : column + width]
            total = total + np.einsum("ncyx,oc->noyx", window, kernel[:, :, row, column])
    return total


_GRADIENTS = {
    "jax.numpy": "jax",
    "functrans.numpy": "functrans",
    "autograd.numpy": "autograd",
    "benchmarks.torch_namespace": "torch.func",
}


def gradient_in(np: Namespace) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The `grad` that goes with the namespace; for NumPy itself one by complex steps, of functions of one vector."""
    if np.__name__ in _GRADIENTS:
        gradient: Callable[..., Any] = importlib.import_module(_GRADIENTS[np.__name__]).grad
        return gradient
    return _complex_step


def _complex_step(f: Callable[..., Any]) -> Callable[..., Any]:
    """f(x + ih) = f(x) + ih f'(x) + O(h^2), in which nothing cancels (Squire, Trapp 1998)."""
    tiny = 1e-15

    def gradient(x: Any) -> Any:
        parts = [numpy.imag(f(x + 1j * tiny * unit)) / tiny for unit in numpy.eye(len(x), dtype=x.dtype)]
        return numpy.stack(parts).astype(x.dtype)

    return gradient


def repeat(np: Namespace, times: int, step: Callable[[Any], Any], state: Any) -> Any:
    """step(step(... step(state))), compiled as a loop where the namespace has one."""
    if np.__name__ in _LAX:
        scan = importlib.import_module(_LAX[np.__name__]).scan
        return scan(lambda state, _: (step(state), None), state, None, length=times)[0]
    for _ in range(times):
        state = step(state)
    return state
