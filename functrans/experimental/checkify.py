"""``jax.experimental.checkify``: JAX's own checks, of functions whose operations it sees.

Checks stand in what JAX traces; ``functrans.check`` needs no transform, and names the user's line.
"""

from jax.experimental.checkify import Error as Error
from jax.experimental.checkify import ErrorCategory as ErrorCategory
from jax.experimental.checkify import JaxRuntimeError as JaxRuntimeError
from jax.experimental.checkify import all_checks as all_checks
from jax.experimental.checkify import automatic_checks as automatic_checks
from jax.experimental.checkify import check as check
from jax.experimental.checkify import check_error as check_error
from jax.experimental.checkify import checkify as checkify
from jax.experimental.checkify import debug_check as debug_check
from jax.experimental.checkify import div_checks as div_checks
from jax.experimental.checkify import float_checks as float_checks
from jax.experimental.checkify import index_checks as index_checks
from jax.experimental.checkify import init_error as init_error
from jax.experimental.checkify import nan_checks as nan_checks
from jax.experimental.checkify import user_checks as user_checks
