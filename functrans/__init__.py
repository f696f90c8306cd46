"""functrans: composable function transformations for Python numerical code."""

from functrans.api.differentiation import grad as grad
from functrans.api.differentiation import jvp as jvp
from functrans.api.differentiation import linear_transpose as linear_transpose
from functrans.api.differentiation import linearize as linearize
from functrans.api.differentiation import value_and_grad as value_and_grad
from functrans.api.differentiation import vjp as vjp
from functrans.api.vectorization import vmap as vmap
from functrans.api.compilation import disable_jit as disable_jit
from functrans.api.compilation import eval_shape as eval_shape
from functrans.api.compilation import jit as jit
from functrans.api.compilation import make_jaxpr as make_jaxpr
from functrans.api.custom_rules import custom_jvp as custom_jvp
from functrans.api.custom_rules import custom_vjp as custom_vjp
from functrans.api.jacobians import hessian as hessian
from functrans.api.jacobians import hvp as hvp
from functrans.api.jacobians import jacfwd as jacfwd
from functrans.api.jacobians import jacrev as jacrev
