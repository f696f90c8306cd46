"""Derivatives beyond single transforms: numerical differentiation, the check that is independent of all of them."""

from functrans.derivatives.numerical import Estimate as Estimate
from functrans.derivatives.numerical import derivative_along as derivative_along
from functrans.derivatives.numerical import gradient as gradient
from functrans.derivatives.numerical import jacobian as jacobian
from functrans.derivatives.valleys import Valley as Valley
from functrans.derivatives.valleys import valley as valley
