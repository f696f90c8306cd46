"""``jax.scipy.stats`` by functrans: distributions, differentiable by every argument, and statistics of samples.

    from functrans.scipy import stats
    stats.gamma.logpdf(x, a, scale=2.0)
"""

from functrans.scipy.stats import dirichlet as dirichlet
from functrans.scipy.stats import multinomial as multinomial
from functrans.scipy.stats import multivariate_normal as multivariate_normal
from functrans.scipy.stats import norm as norm
from functrans.scipy.stats import truncnorm as truncnorm
from functrans.scipy.stats.continuous import (
    beta,
    cauchy,
    chi2,
    expon,
    gamma,
    gennorm,
    gumbel_l,
    gumbel_r,
    laplace,
    logistic,
    pareto,
    t,
    uniform,
    vonmises,
    wrapcauchy,
)
from functrans.scipy.stats.discrete import bernoulli, betabinom, binom, geom, nbinom, poisson
from functrans.scipy.stats.kernel_density import gaussian_kde
from functrans.scipy.stats.samples import entropy, mode, rankdata, sem

__all__ = [
    "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "entropy", "expon", "gamma",
    "gaussian_kde", "gennorm", "geom", "gumbel_l", "gumbel_r", "laplace", "logistic", "mode", "multinomial",
    "multivariate_normal", "nbinom", "norm", "pareto", "poisson", "rankdata", "sem", "t", "truncnorm", "uniform",
    "vonmises", "wrapcauchy",
]  # fmt: skip
