"""``jax.scipy.special`` by functrans: special functions with derivatives of every order."""

from functrans.nn.normalised import logsumexp
from functrans.scipy.special.airy_functions import airy
from functrans.scipy.special.bessel import bessel_jn, i0, i0e, i1, i1e, iv, ive, jv, kv, kve, yv
from functrans.scipy.special.dilogarithm import spence
from functrans.scipy.special.elliptic import ellipe, ellipk
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
from functrans.scipy.special.error_functions import dawsn, erfcx, owens_t, wofz
from functrans.scipy.special.exponential_integrals import exp1, expi, expn
from functrans.scipy.special.gammas import (
    bernoulli,
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
    loggamma,
    multigammaln,
    poch,
    polygamma,
    rgamma,
    zeta,
)
from functrans.scipy.special.hypergeometric import hyp1f1, hyp2f1
from functrans.scipy.special.lambert import lambertw
from functrans.scipy.special.legendre import lpmn, lpmn_values, sph_harm_y
from functrans.scipy.special.normal import erf, erfc, erfcinv, erfinv, log_ndtr, ndtr, ndtri
from functrans.scipy.special.normalised import log_softmax, softmax
from functrans.scipy.special.struve_functions import struve
from functrans.scipy.special.trigonometric_integrals import fresnel, sici
from functrans.trace.frames import guard_namespace

__all__ = [
    "airy", "bernoulli", "bessel_jn", "beta", "betainc", "betaln", "boxcox", "boxcox1p", "comb", "dawsn", "digamma",
    "ellipe", "ellipk", "entr", "erf", "erfc", "erfcinv", "erfcx", "erfinv", "exp1", "expi", "expit", "expn",
    "factorial", "fresnel", "gamma", "gammainc", "gammaincc", "gammaln", "gammasgn", "hyp1f1", "hyp2f1", "i0",
    "i0e", "i1", "i1e", "iv", "ive", "jv", "kl_div", "kv", "kve", "lambertw", "log_ndtr", "log_softmax", "loggamma",
    "logit", "logsumexp", "lpmn", "lpmn_values", "multigammaln", "ndtr", "ndtri", "owens_t", "poch", "polygamma",
    "rel_entr", "rgamma", "sici", "softmax", "spence", "sph_harm_y", "struve", "wofz", "xlog1py", "xlogy", "yv", "zeta",
]  # fmt: skip

guard_namespace(globals())
