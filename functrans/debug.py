"""Looking at compiled code: ``functrans.debug.print``, ``functrans.debug.callback``."""

from functrans.control.debugging import callback as callback
from functrans.control.debugging import print as print

__all__ = ["callback", "print"]
