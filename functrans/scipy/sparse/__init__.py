"""``jax.scipy.sparse``: ``linalg``."""

from functrans.scipy.sparse import linalg as linalg
