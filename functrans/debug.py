"""Looking at compiled code: ``functrans.debug.print``, ``functrans.debug.callback``."""

from functrans.api.debugging import callback as callback
from functrans.api.debugging import print as print

__all__ = ["callback", "print"]
