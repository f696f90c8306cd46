"""Higher derivatives: of every order along a line, differential operators, and numerical differentiation, the check
that is independent of all transforms."""

from functrans.api.taylor import derivatives as derivatives
from functrans.api.taylor import solution_coefficients as solution_coefficients
from functrans.derivatives.numerical import Estimate as Estimate
from functrans.derivatives.numerical import derivative_along as derivative_along
from functrans.derivatives.numerical import gradient as gradient
from functrans.derivatives.numerical import jacobian as jacobian
from functrans.derivatives.operators import biharmonic as biharmonic
from functrans.derivatives.operators import curl as curl
from functrans.derivatives.operators import differential_operator as differential_operator
from functrans.derivatives.operators import directional as directional
from functrans.derivatives.operators import divergence as divergence
from functrans.derivatives.operators import laplacian as laplacian
from functrans.derivatives.stochastic import estimated_laplacian as estimated_laplacian
from functrans.derivatives.stochastic import estimated_operator as estimated_operator
from functrans.derivatives.valleys import Valley as Valley
from functrans.derivatives.valleys import valley as valley
