"""What the namespaces of the scenarios do not have under one name: convolution."""

from __future__ import annotations

import importlib
from typing import Any

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
