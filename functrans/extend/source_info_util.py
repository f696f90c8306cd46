"""``jax.extend.source_info_util``: where the equations of JAX's programs come from."""

from jax.extend.source_info_util import *
