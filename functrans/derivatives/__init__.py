"""Higher derivatives: of every order along a line, differential operators, and numerical differentiation."""

from functrans.api.taylor import derivatives as derivatives
from functrans.api.taylor import solution_coefficients as solution_coefficients
from functrans.derivatives.operators import biharmonic as biharmonic
from functrans.derivatives.operators import curl as curl
from functrans.derivatives.operators import differential_operator as differential_operator
from functrans.derivatives.operators import directional as directional
from functrans.derivatives.operators import divergence as divergence
from functrans.derivatives.operators import laplacian as laplacian
