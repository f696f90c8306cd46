"""functrans: composable function transformations for Python numerical code.

    import functrans as ft
    import functrans.numpy as fnp

    slope = ft.grad(lambda x: fnp.sin(x) * x)(2.0)
"""

import gc as _gc
import typing as _typing
from importlib import import_module as _import_module

# Importing makes many objects and no garbage, and a full collection walks all of JAX's: 30 ms of 90.
_collects = _gc.isenabled()
_gc.disable()
try:
    _import_module("functrans.jaxlib_compat")  # first: refuses a jax that is not supported, in words of its own
    from functrans import ad_checkpoint as ad_checkpoint
    from functrans import custom_batching as custom_batching
    from functrans import custom_derivatives as custom_derivatives
    from functrans import debug as debug
    from functrans import errors as errors
    from functrans import experimental as experimental
    from functrans import export as export
    from functrans import lax as lax
    from functrans import numpy as numpy
    from functrans import ref as ref
    from functrans import tree as tree
    from functrans import tree_util as tree_util
    from functrans.api.callbacks import io_callback as io_callback
    from functrans.api.callbacks import pure_callback as pure_callback
    from functrans.api.checkpointing import checkpoint as checkpoint
    from functrans.api.checkpointing import remat as remat
    from functrans.api.checks import check as check
    from functrans.api.checks import error_if as error_if
    from functrans.api.compilation import jit as jit
    from functrans.api.custom_derivatives import closure_convert as closure_convert
    from functrans.api.custom_derivatives import custom_gradient as custom_gradient
    from functrans.api.custom_rules import custom_jvp as custom_jvp
    from functrans.api.custom_rules import custom_vjp as custom_vjp
    from functrans.api.differentiation import grad as grad
    from functrans.api.differentiation import jvp as jvp
    from functrans.api.differentiation import value_and_grad as value_and_grad
    from functrans.api.environment import Array as Array
    from functrans.api.environment import Device as Device
    from functrans.api.environment import NamedSharding as NamedSharding
    from functrans.api.environment import P as P
    from functrans.api.environment import ShapeDtypeStruct as ShapeDtypeStruct
    from functrans.api.environment import Shard as Shard
    from functrans.api.environment import allow_f16_reductions as allow_f16_reductions
    from functrans.api.environment import array_garbage_collection_guard as array_garbage_collection_guard
    from functrans.api.environment import auto_pcast as auto_pcast
    from functrans.api.environment import block_until_ready as block_until_ready
    from functrans.api.environment import check_tracer_leaks as check_tracer_leaks
    from functrans.api.environment import checking_leaks as checking_leaks
    from functrans.api.environment import clear_caches as clear_caches
    from functrans.api.environment import collapse_nests as collapse_nests
    from functrans.api.environment import compilation_count as compilation_count
    from functrans.api.environment import compilation_log as compilation_log
    from functrans.api.environment import config as config
    from functrans.api.environment import copy_to_host_async as copy_to_host_async
    from functrans.api.environment import debug_infs as debug_infs
    from functrans.api.environment import debug_key_reuse as debug_key_reuse
    from functrans.api.environment import debug_nans as debug_nans
    from functrans.api.environment import default_backend as default_backend
    from functrans.api.environment import default_device as default_device
    from functrans.api.environment import default_matmul_precision as default_matmul_precision
    from functrans.api.environment import default_prng_impl as default_prng_impl
    from functrans.api.environment import device_count as device_count
    from functrans.api.environment import device_get as device_get
    from functrans.api.environment import device_put as device_put
    from functrans.api.environment import devices as devices
    from functrans.api.environment import disable_jit as disable_jit
    from functrans.api.environment import ds as ds
    from functrans.api.environment import effects_barrier as effects_barrier
    from functrans.api.environment import enable_checks as enable_checks
    from functrans.api.environment import enable_custom_prng as enable_custom_prng
    from functrans.api.environment import enable_x64 as enable_x64
    from functrans.api.environment import ensure_compile_time_eval as ensure_compile_time_eval
    from functrans.api.environment import explain_cache_misses as explain_cache_misses
    from functrans.api.environment import float0 as float0
    from functrans.api.environment import full_tracebacks as full_tracebacks
    from functrans.api.environment import fwd_and_bwd as fwd_and_bwd
    from functrans.api.environment import host_count as host_count
    from functrans.api.environment import host_id as host_id
    from functrans.api.environment import host_ids as host_ids
    from functrans.api.environment import jax2tf_associative_scan_reductions as jax2tf_associative_scan_reductions
    from functrans.api.environment import legacy_prng_key as legacy_prng_key
    from functrans.api.environment import live_arrays as live_arrays
    from functrans.api.environment import local_device_count as local_device_count
    from functrans.api.environment import local_devices as local_devices
    from functrans.api.environment import log_compiles as log_compiles
    from functrans.api.environment import make_array_from_callback as make_array_from_callback
    from functrans.api.environment import make_array_from_process_local_data as make_array_from_process_local_data
    from functrans.api.environment import make_array_from_single_device_arrays as make_array_from_single_device_arrays
    from functrans.api.environment import make_mesh as make_mesh
    from functrans.api.environment import make_user_context as make_user_context
    from functrans.api.environment import named_call as named_call
    from functrans.api.environment import named_scope as named_scope
    from functrans.api.environment import no_execution as no_execution
    from functrans.api.environment import no_tracing as no_tracing
    from functrans.api.environment import numpy_dtype_promotion as numpy_dtype_promotion
    from functrans.api.environment import numpy_rank_promotion as numpy_rank_promotion
    from functrans.api.environment import print_environment_info as print_environment_info
    from functrans.api.environment import process_count as process_count
    from functrans.api.environment import process_index as process_index
    from functrans.api.environment import process_indices as process_indices
    from functrans.api.environment import recomputation_bound as recomputation_bound
    from functrans.api.environment import remove_size_one_mesh_axis_from_type as remove_size_one_mesh_axis_from_type
    from functrans.api.environment import softmax_custom_jvp as softmax_custom_jvp
    from functrans.api.environment import thread_guard as thread_guard
    from functrans.api.environment import threefry_partitionable as threefry_partitionable
    from functrans.api.environment import transfer_guard as transfer_guard
    from functrans.api.environment import transfer_guard_device_to_device as transfer_guard_device_to_device
    from functrans.api.environment import transfer_guard_device_to_host as transfer_guard_device_to_host
    from functrans.api.environment import transfer_guard_host_to_device as transfer_guard_host_to_device
    from functrans.api.environment import typeof as typeof
    from functrans.api.jacobians import jacfwd as jacfwd
    from functrans.api.jacobians import jacrev as jacrev
    from functrans.api.jaxprs import eval_shape as eval_shape
    from functrans.api.jaxprs import make_jaxpr as make_jaxpr
    from functrans.api.linear_maps import linear_transpose as linear_transpose
    from functrans.api.linear_maps import linearize as linearize
    from functrans.api.linear_maps import vjp as vjp
    from functrans.api.references import Ref as Ref
    from functrans.api.references import empty_ref as empty_ref
    from functrans.api.references import free_ref as free_ref
    from functrans.api.references import freeze as freeze
    from functrans.api.references import new_ref as new_ref
    from functrans.api.taylor import taylor as taylor
    from functrans.api.vectorization import vmap as vmap
    from functrans.control import checkpoint_policies as checkpoint_policies
    from functrans.control.composite import Composite as Composite
    from functrans.ir.program import Jaxpr as Jaxpr
    from functrans.ir.types import ArrayType as ArrayType
    from functrans.ops.naming import checkpoint_name as checkpoint_name
    from functrans.trace.binding import bind as bind
    from functrans.trace.primitive import Primitive as Primitive
    from functrans.trace.tracer import Tracer as Tracer
finally:
    if _collects:
        if _gc.get_freeze_count() < 1000:  # from 3.12 on the interpreter itself freezes a few hundred
            # All that has been imported counts as young, and the first collection of a user's program would walk it:
            # 60 ms. Freezing and thawing moves it to the oldest generation; what the user has frozen stays so.
            _gc.freeze()
            _gc.unfreeze()
        _gc.enable()

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from functrans.api.planned import hessian as hessian
    from functrans.api.planned import jacobian as jacobian
    from functrans.api.reports import explain as explain
    from functrans.api.sparse import sparse_hessian as sparse_hessian
    from functrans.api.sparse import sparse_jacobian as sparse_jacobian
    from functrans.api.sparse import sparsity as sparsity
    from functrans.derivatives import hvp as hvp

_MODULES_ON_DEMAND = frozenset(
    """
    core derivatives distributed dlpack dtypes example_libraries extend ffi flatten_util image interop interpreters
    monitoring nn ops profiler random ref scipy sharding stages test_util testing typing
    """.split()
)
_NAMES_ON_DEMAND = {
    "explain": "functrans.api.reports",
    "from_jax": "functrans.interop",
    "hessian": "functrans.api.planned",
    "hvp": "functrans.derivatives",
    "jacobian": "functrans.api.planned",
    "sparse_hessian": "functrans.api.sparse",
    "sparse_jacobian": "functrans.api.sparse",
    "sparsity": "functrans.api.sparse",
    "to_jax": "functrans.interop",
}
_NAMES_OF_JAX = frozenset(  # where this JAX has them
    """
    CompilerEffortLevel Inline ad get_abstract_mesh get_mesh memory pmap reshard set_mesh shard_map smap
    use_abstract_mesh
    """.split()
)


def __getattr__(name: str) -> object:
    """What few programs need is loaded when it is asked for."""
    if name in _MODULES_ON_DEMAND:
        return _import_module(f"functrans.{name}")
    if name in _NAMES_ON_DEMAND:
        return getattr(_import_module(_NAMES_ON_DEMAND[name]), name)
    if name in _NAMES_OF_JAX:
        return getattr(_import_module("jax"), name)
    raise AttributeError(f"module 'functrans' has no attribute {name!r}")
