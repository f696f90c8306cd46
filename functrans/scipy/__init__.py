"""``jax.scipy`` by functrans: ``linalg``, ``signal``, ``special`` functions and the distributions of ``stats``."""

from functrans.scipy import linalg as linalg
from functrans.scipy import signal as signal
from functrans.scipy import special as special
from functrans.scipy import stats as stats
