"""``jax.scipy.stats`` by functrans: the normal distribution."""

from functrans.scipy.stats import norm as norm
