"""``jax.extend``: what libraries build on JAX with. An operation that they define works in functrans' traces by its own
rules (docs/with_jax_libraries.md); what reads JAX's programs reads those of ``jax.make_jaxpr``.
"""
