"""``jax.experimental.layout``: descriptions of how an array lies in memory."""

from jax.experimental.layout import Format as Format
from jax.experimental.layout import Layout as Layout
