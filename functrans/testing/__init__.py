"""Checkers that ship with functrans: of derivatives, of the rules of a primitive, of programs."""

from functrans.ir.check import check_jaxpr as check_jaxpr
from functrans.testing.gradients import check_grads as check_grads
from functrans.testing.gradients import check_jvp as check_jvp
from functrans.testing.gradients import check_vjp as check_vjp
from functrans.testing.rules import check_lowering as check_lowering
from functrans.testing.rules import check_rules as check_rules
