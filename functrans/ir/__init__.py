"""The intermediate form: types, programs, their checker and their printer."""

from functrans.ir import show as show  # gives Jaxpr its text
