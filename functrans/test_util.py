"""``jax.test_util``: derivatives against numerical ones; ``check_grads`` is ``functrans.testing.check_grads``."""

from jax.test_util import check_jvp as check_jvp
from jax.test_util import check_vjp as check_vjp

from functrans.testing import check_grads as check_grads
