"""``jax.scipy`` by functrans. The modules of fewer programs are loaded when they are asked for."""

from importlib import import_module as _import_module

from functrans.scipy import linalg as linalg
from functrans.scipy import signal as signal
from functrans.scipy import special as special
from functrans.scipy import stats as stats

_MODULES = ("cluster", "fft", "integrate", "interpolate", "ndimage", "optimize", "sparse", "spatial")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _import_module(f"functrans.scipy.{name}")
    raise AttributeError(f"module 'functrans.scipy' has no attribute {name!r}")
