"""``jax.random`` by functrans: the same key gives the same bits and the same samples.

    key = random.key(0)
    first, second = random.split(key)
    x = random.normal(first, (3,))
"""

from functrans.jaxlib_compat.operations import jax_operation, type_of_keys
from functrans.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    lognormal,
    normal,
    pareto,
    rayleigh,
    triangular,
    truncated_normal,
    uniform,
    wald,
    weibull_min,
)
from functrans.random.counts import binomial, multinomial
from functrans.random.discrete import bernoulli, categorical, geometric, poisson, rademacher, randint
from functrans.random.gammas import beta, chisquare, dirichlet, f, gamma, loggamma, t
from functrans.random.keys import (
    PRNGKey,
    bits,
    clone,
    fold_in,
    key,
    key_data,
    key_dtype,
    key_impl,
    split,
    wrap_key_data,
)
from functrans.random.shuffling import choice, permutation
from functrans.random.vectors import (
    ball,
    double_sided_maxwell,
    generalized_normal,
    maxwell,
    multivariate_normal,
    orthogonal,
)
from functrans.trace.frames import guard_namespace

__all__ = [
    "PRNGKey", "ball", "bernoulli", "beta", "binomial", "bits", "categorical", "cauchy", "chisquare", "choice", "clone",
    "dirichlet", "double_sided_maxwell", "exponential", "f", "fold_in", "gamma", "generalized_normal", "geometric",
    "gumbel", "key", "key_data", "key_dtype", "key_impl", "laplace", "loggamma", "logistic", "lognormal", "maxwell",
    "multinomial", "multivariate_normal", "normal", "orthogonal", "pareto", "permutation", "poisson",
    "rademacher", "randint", "rayleigh", "split", "t", "triangular", "truncated_normal", "uniform", "wald",
    "weibull_min", "wrap_key_data",
]  # fmt: skip

guard_namespace(globals())


def __getattr__(name: str) -> object:
    """JAX's own operations (``random_gamma_p``), which take traced values, and its type of keys."""
    if name == "Key":  # newer versions have it
        return type_of_keys()
    return jax_operation("random", name)
