"""Higher derivatives: of every order along a line, differential operators, and numerical differentiation."""

from functrans.api.taylor import derivatives as derivatives
from functrans.api.taylor import solution_coefficients as solution_coefficients

__all__ = ["derivatives", "solution_coefficients"]
