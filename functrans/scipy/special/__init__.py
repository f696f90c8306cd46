"""``jax.scipy.special`` by functrans: special functions with derivatives of every order."""

from functrans.nn.normalised import logsumexp
from functrans.scipy.special.bessel import i0, i0e, i1, i1e
from functrans.scipy.special.entropies import (
    boxcox,
    boxcox1p,
    entr,
    expit,
    kl_div,
    logit,
    rel_entr,
    xlog1py,
    xlogy,
)
from functrans.scipy.special.exponential_integrals import exp1, expi
from functrans.scipy.special.gammas import (
    beta,
    betainc,
    betaln,
    comb,
    digamma,
    factorial,
    gamma,
    gammainc,
    gammaincc,
    gammaln,
    gammasgn,
    multigammaln,
    poch,
    polygamma,
    zeta,
)
from functrans.scipy.special.normal import erf, erfc, erfinv, log_ndtr, ndtr, ndtri
from functrans.scipy.special.normalised import log_softmax, softmax
from functrans.trace.frames import guard_namespace

__all__ = [
    "beta", "betainc", "betaln", "boxcox", "boxcox1p", "comb", "digamma", "entr", "erf", "erfc", "erfinv", "exp1",
    "expi", "expit", "factorial", "gamma", "gammainc", "gammaincc", "gammaln", "gammasgn", "i0", "i0e", "i1", "i1e",
    "kl_div", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "poch", "polygamma",
    "rel_entr", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

guard_namespace(globals())
