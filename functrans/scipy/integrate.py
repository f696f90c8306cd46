"""``jax.scipy.integrate``."""

from functrans.numpy.calculus import trapezoid as trapezoid

__all__ = ["trapezoid"]
