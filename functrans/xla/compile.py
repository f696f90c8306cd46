"""Placeholder name kept until callers use functrans.xla.execute."""
from functrans.xla.execute import run as run
