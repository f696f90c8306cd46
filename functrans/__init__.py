"""functrans: composable function transformations for Python numerical code.

    import functrans as ft
    import functrans.numpy as fnp

    slope = ft.grad(lambda x: fnp.sin(x) * x)(2.0)
"""

from functrans import errors as errors
from functrans import export as export
from functrans import lax as lax
from functrans import numpy as numpy
from functrans.api.compilation import eval_shape as eval_shape
from functrans.api.compilation import jit as jit
from functrans.api.compilation import make_jaxpr as make_jaxpr
from functrans.api.custom_rules import custom_jvp as custom_jvp
from functrans.api.custom_rules import custom_vjp as custom_vjp
from functrans.api.differentiation import grad as grad
from functrans.api.differentiation import jvp as jvp
from functrans.api.differentiation import linear_transpose as linear_transpose
from functrans.api.differentiation import linearize as linearize
from functrans.api.differentiation import value_and_grad as value_and_grad
from functrans.api.differentiation import vjp as vjp
from functrans.api.environment import Array as Array
from functrans.api.environment import ShapeDtypeStruct as ShapeDtypeStruct
from functrans.api.environment import block_until_ready as block_until_ready
from functrans.api.environment import clear_caches as clear_caches
from functrans.api.environment import compilation_count as compilation_count
from functrans.api.environment import compilation_log as compilation_log
from functrans.api.environment import config as config
from functrans.api.environment import default_backend as default_backend
from functrans.api.environment import default_device as default_device
from functrans.api.environment import default_matmul_precision as default_matmul_precision
from functrans.api.environment import device_get as device_get
from functrans.api.environment import device_put as device_put
from functrans.api.environment import devices as devices
from functrans.api.environment import disable_jit as disable_jit
from functrans.api.environment import enable_x64 as enable_x64
from functrans.api.environment import float0 as float0
from functrans.api.environment import full_tracebacks as full_tracebacks
from functrans.api.environment import local_devices as local_devices
from functrans.api.environment import log_compiles as log_compiles
from functrans.api.environment import named_scope as named_scope
from functrans.api.environment import tree as tree
from functrans.api.environment import tree_util as tree_util
from functrans.api.jacobians import hessian as hessian
from functrans.api.jacobians import hvp as hvp
from functrans.api.jacobians import jacfwd as jacfwd
from functrans.api.jacobians import jacrev as jacrev
from functrans.api.vectorization import vmap as vmap
from functrans.control.composite import Composite as Composite
from functrans.ir.program import Jaxpr as Jaxpr
from functrans.ir.types import ArrayType as ArrayType
from functrans.trace.builder import bind as bind
from functrans.trace.primitive import Primitive as Primitive
from functrans.trace.tracer import Tracer as Tracer

__version__ = "0.1.0"
