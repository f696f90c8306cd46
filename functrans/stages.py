"""``jax.stages``: what ``jit(f)``, ``.trace()``, ``.lower()`` and ``.compile()`` return."""

from jax.stages import ArgInfo as ArgInfo
from jax.stages import CompilerOptions as CompilerOptions
from jax.stages import Wrapped as Wrapped

from functrans.api.ahead_of_time import Compiled as Compiled
from functrans.api.ahead_of_time import Lowered as Lowered
from functrans.api.ahead_of_time import Traced as Traced

__all__ = ["ArgInfo", "Compiled", "CompilerOptions", "Lowered", "Traced", "Wrapped"]
