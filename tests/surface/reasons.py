"""What the table of coverage says beyond what it finds out by itself: {what is said: names or patterns}."""

from __future__ import annotations

_KERNELS = "kernels that only compilers for GPUs and TPUs know: write them with JAX; `experimental.pallas` is there"

WHOLE_MODULES_ABSENT: dict[str, str] = {
    "experimental.array_serialization": "saves arrays that are spread over several processes",
    "experimental.control_deps": "the order of XLA's schedule is not written by hand",
    "experimental.fused": "one kernel for a GPU, in JAX's memory spaces",
    "experimental.mosaic": _KERNELS,
    "experimental.roofline": "reads JAX's programs, and counts nothing for functrans' operations in them; "
    "`compiled.cost_analysis()` reads ours",
    "experimental.serialize_executable": "keeps what `jax.jit` compiled; `functrans.export` and the persistent cache "
    "keep functrans' programs",
    "experimental.shard_alike": "arrays that are spread over several devices alike",
    "experimental.thunky": _KERNELS,
    "experimental.transfer": "sends arrays between processes",
}

ABSENT: dict[str, str] = {
    "collectives that begin here and end there, which no CPU has": "lax.psum_scatter_start lax.psend lax.precv",
    "inner names of JAX's, that no page documents": """
        experimental.jet.* experimental.EArray experimental.cur_qdd experimental.ode.ravel_first_arg_
        experimental.scheduling_groups.* experimental.rnn.*
    """,
    "functions are exported for the shapes given": """
        export.SymbolicScope export.is_symbolic_dim export.symbolic_args_specs export.symbolic_dim_bounds
        export.symbolic_shape
    """,
    "not there yet": "scipy.* numpy.* lax.* nn.* random.*",
}

DIFFERENT: dict[str, str] = {
    "a tuple where JAX returns a list": """
        lax.approx_max_k lax.approx_min_k lax.top_k
    """,
    "the order within the parts, which is not specified, is another": "numpy.argpartition numpy.partition",
    "`frompyfunc` makes one; functions such as `add` are plain functions that have its methods":
        "numpy.ufunc",
    "may be called as well, and then holds from there on": "log_compiles",
    "the end of the block looks for them; the setting, without a block, is refused by name":
        "check_tracer_leaks checking_leaks",
    "refused by name when a program is to be run": "debug_key_reuse",
    "refused by name when it is set to False and a program is to be run": "allow_f16_reductions",
    "holds for `jit`; un-jitted transforms are traced at every call": "no_tracing",
    "compilations are logged with their reasons, by the logger `functrans.compile`": "explain_cache_misses",
    "an operation on a value that is being traced is an error, and not staged": "ensure_compile_time_eval",
    "without meaning here: derivatives of softmax are the same": "softmax_custom_jvp",
    "without meaning here: it checks JAX's own programs": "enable_checks",
    "without meaning here: they concern other frameworks, or arrays on several devices": """
        jax2tf_associative_scan_reductions remove_size_one_mesh_axis_from_type auto_pcast
    """,
    "the tangent and the cotangent are solutions of the variational equation and its adjoint; forward mode is there; "
    "NaN where the steps did not suffice": "experimental.ode.odeint",
    "derivatives of `x` are those of the condition of a minimum, in both modes; the line search is another":
        "scipy.optimize.minimize",
    "the residual that `tol` bounds is not multiplied by the preconditioner": "scipy.sparse.linalg.gmres",
    "differentiated by the distribution function, without bias": "random.wald random.truncated_normal",
    "an interactive Python with the local variables, instead of JAX's debugger": "debug.breakpoint",
    "called while a function is traced, with the one device": "debug.inspect_array_sharding",
    "the logger is `functrans.debug`": "debug.log",
    "classes of its own, which are also JAX's": """
        errors.NonConcreteBooleanIndexError errors.Tracer*
    """,
    "keeps no operation of that name in the program": "lax.composite",
    "the branch is chosen while the function is traced": "lax.platform_dependent",
    "refused for shardings over several devices": "lax.with_sharding_constraint",
    "in functrans' transforms the shards are blocks of one program; explicit axes over several are refused; a "
    "gradient that functrans takes in a shard is the shard's own, as with `check_vma=False`": "shard_map smap pmap",
    "arrays that JAX makes under a mesh of several devices are refused by functrans' programs":
        "set_mesh sharding.set_mesh",
    "in functrans' transforms the values as they are": """
        reshard sharding.reshard sharding.auto_axes sharding.explicit_axes sharding.no_collectives
    """,
    "in functrans' transforms the marks are left out, and the numbers are the same": """
        experimental.compute_on.* experimental.layout.explicit_layout experimental.layout.with_layout_constraint
        experimental.overlap.* experimental.scheduling_groups.* experimental.xla_metadata.*
    """,
    "a token is no argument or result of a program; effects keep the order of the program without": """
        lax.after_all lax.create_token
    """,
    "generators made outside of a function that is compiled are refused in it": "experimental.random.*",
    "values of types of one's own are refused; operations of one's own keep their rules": """
        experimental.hijax.HiType experimental.hijax.register_hitype
    """,
    "a check that no `checkify` is around raises in compiled code, too": "experimental.checkify.check",
    "looks into functrans' transforms; lanes fail the checks of branches that they take; a check behind the rule of a "
    "`custom_vmap` is refused": "experimental.checkify.checkify",
}
BY_THE_CROSSING: dict[str, str] = {
    "tests/interop/test_operations.py": """
        lax.*_p lax.linalg.*_p custom_derivatives.*_p random.*_p experimental.sparse.*_p ad_checkpoint.*_p
        experimental.pallas.*_p experimental.custom_partitioning.*_p
    """,
}
# The tests, by file, that hold names which no row can: transforms, contexts, classes.
HELD: dict[str, str] = {
    "tests/surface/test_configuration.py": """
        allow_f16_reductions array_garbage_collection_guard auto_pcast check_tracer_leaks checking_leaks debug_infs
        debug_key_reuse debug_nans default_prng_impl enable_checks enable_custom_prng ensure_compile_time_eval
        explain_cache_misses jax2tf_associative_scan_reductions legacy_prng_key log_compiles make_user_context
        no_execution no_tracing numpy_dtype_promotion numpy_rank_promotion remove_size_one_mesh_axis_from_type
        softmax_custom_jvp thread_guard threefry_partitionable transfer_guard transfer_guard_device_to_device
        transfer_guard_device_to_host transfer_guard_host_to_device
    """,
    "tests/surface/test_names.py": """
        CompilerEffortLevel Device Inline get_abstract_mesh get_mesh random.Key ref.AbstractRef
        copy_to_host_async default_backend device_count ds empty_ref free_ref freeze fwd_and_bwd host_count
        host_id host_ids live_arrays local_device_count local_devices make_array_from_callback
        make_array_from_process_local_data make_array_from_single_device_arrays make_mesh new_ref
        print_environment_info process_count process_index process_indices typeof debug.breakpoint
        debug.inspect_array_sharding debug.log debug.visualize_array_sharding debug.visualize_sharding dtypes.*
        core.* distributed.* dlpack.* extend.* ffi.* interpreters.* monitoring.* profiler.* stages.* test_util.* tree.*
        tree_util.* typing.* sharding.get_abstract_mesh
        sharding.get_mesh sharding.make_single_device_sharding errors.* export.default_export_platform export.m*
        experimental.primal_tangent_dtype numpy.ComplexWarning lax.ConvGeneralDilatedDimensionNumbers
        lax.DotDimensionNumbers lax.PrecisionLike nn.initializers.Initializer lax.dce_sink
    """,
    "tests/surface/test_by_the_crossing.py": """
        example_libraries.* experimental.checkify.* experimental.rnn.*
    """,
    "tests/surface/test_kernels.py": "experimental.pallas.*",
    "tests/surface/test_several_devices.py": """
        pmap reshard set_mesh shard_map smap use_abstract_mesh sharding.* lax.pcast lax.ragged_all_to_all
        experimental.mesh_utils.* experimental.multihost_utils.* experimental.topologies.*
    """,
    "tests/surface/test_modules_of_jax.py": """
        experimental.buffer_callback.* experimental.colocated_python.*
        experimental.compilation_cache.compilation_cache.* experimental.compute_on.*
        experimental.custom_partitioning.* experimental.hijax.* experimental.layout.* experimental.ode.*
        experimental.overlap.* experimental.profiler.* experimental.random.*
        experimental.scheduling_groups.* experimental.source_mapper.* experimental.xla_metadata.*
    """,
    "tests/nn/test_scaled_products.py": """
        nn.get_scaled_dot_general_config nn.scaled_dot_general nn.scaled_matmul
    """,
    "tests/interop/test_opaque.py": "lax.after_all lax.create_token lax.rng_uniform",
    "tests/surface/test_sparse_functions.py": "experimental.sparse.*",
    "tests/surface/test_numpy_and_random.py": """
        numpy.unique_* numpy.einsum_path numpy.fromstring numpy.get_printoptions numpy.printoptions
        numpy.set_printoptions random.key_dtype random.key_impl lax.DotAlgorithmPreset
    """,
    "tests/surface/test_lax.py": """
        lax.composite lax.stage lax.ragged_dot lax.ragged_dot_general
        lax.RaggedDotDimensionNumbers lax.DotAlgorithm lax.AccuracyMode lax.Tolerance lax.scaled_dot
        lax.linalg.EigImplementation lax.linalg.EighImplementation lax.linalg.SvdAlgorithm lax.mulhi
        lax.log2 lax.one_minus_square lax.polynomial lax.linalg.qdwh
        numpy.minmax numpy.top_k lax.linalg.cholesky_update lax.linalg.symmetric_product
    """,
    "tests/surface/test_solvers.py": "scipy.optimize.OptimizeResults",
    "tests/api/test_custom_rules.py": "custom_jvp custom_vjp custom_derivatives.custom_*",
    "tests/api/test_references.py": "Ref ref.*",
    "tests/api/test_references_as_operands.py": "new_ref Ref",
    "tests/scipy/test_special.py": "scipy.special.erfcinv scipy.special.bessel_jn",
    "tests/linalg/test_named_and_functions.py": """
        scipy.linalg.eigh_tridiagonal scipy.linalg.expm_frechet scipy.linalg.funm scipy.linalg.qr_multiply
        scipy.linalg.rsf2csf scipy.linalg.solve_sylvester
    """,
    "tests/api/test_symbolic_zeros.py": """
        custom_derivatives.CustomVJPPrimal custom_derivatives.SymbolicZero custom_derivatives.zero_from_primal
        custom_derivatives.custom_vjp_primal_tree_values
    """,
    "tests/api/test_rules_made_anew.py": "custom_derivatives.linear_call",
    "tests/errors/test_combinators.py": "custom_derivatives.closure_convert custom_derivatives.custom_gradient",
    "tests/control/test_custom_batching.py": "custom_batching.*",
    "tests/control/test_checkpoint.py": "ad_checkpoint.*",
    "tests/effects/test_callbacks.py": "pure_callback experimental.io_callback",
    "tests/effects/test_debugging.py": "debug.callback debug.print effects_barrier",
    "tests/api/test_jit_options.py": "make_jaxpr disable_jit enable_x64",
        "tests/api/test_same_bits.py": "clear_caches",
    "tests/api/test_ecosystem.py": "device_get named_scope default_matmul_precision",
    "tests/control/test_lanes.py": "block_until_ready",
    "tests/jaxlib_compat/test_executors.py": "default_device",
    "tests/test_export.py": "export.*",
    "tests/derivatives/test_taylor_laws.py": "experimental.jet.jet",
    "tests/ops/array_samples.py": "lax.ConvDimensionNumbers",
    "tests/crossing/test_types.py": "errors.*",
    "tests/ops/test_arrays_against_jax.py": """
        lax.FftType lax.ScatterDimensionNumbers lax.conv_dimension_numbers lax.scatter_apply
    """,
    "tests/ops/test_against_jax.py": "lax.Precision lax.GatherScatterMode",
    "tests/ops/test_collectives.py": "lax.pbroadcast",
    "tests/random/test_bit_generator.py": "lax.RandomAlgorithm",
    "tests/linalg/test_against_jax.py": "lax.linalg.*",
    "tests/linalg/test_spectra.py": "lax.linalg.eig numpy.linalg.*",
    "tests/scipy/test_stats.py": "scipy.stats.*",
    "tests/scipy/test_multivariate_normal.py": "scipy.stats.multivariate_normal.*",
    "tests/numpy/test_placing_and_mapping.py": """
        numpy.array_repr numpy.array_str numpy.from_dlpack numpy.frombuffer numpy.fromfile numpy.fromiter numpy.load
        numpy.mask_indices numpy.save numpy.savez numpy.trim_zeros
    """,
    "tests/numpy/test_fitting.py": "numpy.roots",
}
