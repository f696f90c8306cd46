"""functrans: composable function transformations for Python numerical code."""

from functrans.api.differentiation import grad as grad
from functrans.api.differentiation import jvp as jvp
from functrans.api.differentiation import linear_transpose as linear_transpose
from functrans.api.differentiation import linearize as linearize
from functrans.api.differentiation import value_and_grad as value_and_grad
from functrans.api.differentiation import vjp as vjp
from functrans.api.vectorization import vmap as vmap
