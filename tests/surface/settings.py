"""JAX's settings (``jax.config``, and the contexts of the same name), by what functrans does about them."""

from __future__ import annotations

SETTINGS: dict[str, str] = {
    "Honoured": """
        jax_enable_x64 jax_numpy_dtype_promotion jax_numpy_rank_promotion jax_check_static_indices
        jax_default_matmul_precision jax_default_device jax_default_prng_impl jax_enable_custom_prng
        jax_legacy_prng_key jax_random_seed_offset jax_threefry_partitionable jax_high_dynamic_range_gumbel
        jax_debug_nans jax_debug_infs jax_disable_jit jax_no_execution jax_log_compiles
        jax_enable_compilation_cache jax_compilation_cache_dir jax_compilation_cache_max_size
        jax_persistent_cache_min_compile_time_secs jax_persistent_cache_min_entry_size_bytes
        jax_raise_persistent_cache_errors
    """,
    "Honoured, with a difference: `jax_no_tracing` for `jit` alone; `jax_explain_cache_misses` logs compilations with "
    "their reasons; `jax_explicit_x64_dtypes` by 'warn' and 'error', and 'allow' is refused by name": """
        jax_no_tracing jax_explain_cache_misses jax_explicit_x64_dtypes
    """,
    "Refused by name when a program is to be run (`jax_allow_f16_reductions` when it is False, "
    "`jax_check_tracer_leaks` outside of the blocks that set it)": """
        jax_debug_key_reuse jax_check_tracer_leaks jax_allow_f16_reductions
    """,
    "Of XLA's clients, compiler and runtime, which run functrans' programs too": """
        jax_transfer_guard jax_transfer_guard_device_to_device jax_transfer_guard_device_to_host
        jax_transfer_guard_host_to_device jax_array_garbage_collection_guard jax_thread_guard jax_platforms
        jax_platform_name jax_xla_backend jax_backend_target jax_num_cpu_devices jax_cpu_enable_async_dispatch
        jax_cuda_visible_devices jax_rocm_visible_devices jax_oneapi_visible_devices jax_mock_gpu_topology
        mock_num_gpu_processes jax_pjrt_client_create_options jax_disable_most_optimizations jax_optimization_level
        jax_exec_time_optimization_effort jax_memory_fitting_effort jax_memory_fitting_level
        jax_compiler_enable_remat_pass jax_compiler_detailed_logging_min_ops jax_xla_profile_version jax_enable_pgle
        jax_pgle_aggregation_percentile jax_pgle_profiling_runs jax_experimental_unsafe_xla_runtime_errors
        jax_check_proxy_envs jax_debug_leaked_clients_on_clear_backends jax_debug_log_modules jax_logging_level
        jax_send_traceback_to_runtime
    """,
    "Of JAX's own tracer, programs, caches and messages: nothing of functrans' depends on them": """
        check_vma eager_constant_folding jax_captured_constants_report_frames jax_captured_constants_warn_bytes
        jax_compilation_cache_check_contents jax_compilation_cache_expect_pgle
        jax_compilation_cache_include_metadata_in_key jax_persistent_cache_enable_xla_caches jax_custom_vjp3
        jax_disable_bwd_checks jax_dump_ir_modes jax_dump_ir_to jax_embedded_constants_max_bytes jax_enable_checks
        jax_error_checking_behavior_divide jax_error_checking_behavior_nan jax_error_checking_behavior_oob
        jax_hlo_source_file_canonicalization_regex jax_include_debug_info_in_dumps
        jax_include_full_tracebacks_in_locations jax_log_checkpoint_residuals jax_mutable_array_checks
        jax_pprint_use_color jax_ragged_dot_use_ragged_dot_instruction jax_refs_to_pins jax_remat3 jax_scan3
        jax_softmax_custom_jvp jax_source_url_schema jax_threefry_gpu_kernel_lowering jax_traceback_filtering
        jax_traceback_in_locations_limit jax_tracer_error_num_traceback_frames jax_use_direct_linearize
        jax_use_emit_pipeline_primitive jax_use_magma jax_use_simplified_jaxpr_constants jax_bcoo_cusparse_lowering
        jax_accurate_erf_inv jax_custom_jvp3 jax_remat_barrier_no_cotangents jax_use_cpp_shard_args
        jax_use_hlo_logistic_lowering
    """,
    "Of several devices or processes, kernels by hand, exported programs of JAX's and TensorFlow": """
        jax2tf_associative_scan_reductions jax2tf_default_native_serialization jax_auto_pcast
        jax_cpu_collectives_implementation jax_cpu_get_global_topology_timeout_minutes
        jax_cpu_get_local_topology_timeout_minutes jax_cross_host_transfer_socket_address
        jax_cross_host_transfer_timeout_seconds jax_cross_host_transfer_transfer_size jax_cross_host_transport_addresses
        jax_disable_vmap_shmap_error jax_disallow_mesh_context_manager jax_distributed_debug
        jax_enable_preemption_service jax_enable_recoverability jax_export_calling_convention_version
        jax_export_ignore_forward_compatibility jax_force_dcn_cross_host_transfers jax_mosaic_allow_hlo
        jax_pallas_enable_debug_checks jax_pallas_poison_buffers jax_pallas_use_mosaic_gpu jax_pallas_verbose_errors
        jax_ragged_dot_use_gpu_pallas_triton_lowering jax_remove_custom_partitioning_ptr_from_cache_key
        jax_remove_size_one_mesh_axis_from_type jax_serialization_version jax_share_binary_between_hosts
        jax_distributed_verify_secure_credentials jax_export_deserialize_expired_versions
        jax_mosaic_unzip_debug_locations jax_mtls_ca_file jax_mtls_cert_file jax_mtls_key_file jax_mtls_peer_uri_prefix
        jax_pallas_auto_assign_collective_ids jax_pallas_auto_assign_collective_ids_limit
        jax_raise_on_ppermute_sort_diff jax_use_rgv3
        jax_share_binary_between_hosts_timeout_ms jax_sort_devices_by_process_index jax_use_shardy_partitioner
    """,
}
