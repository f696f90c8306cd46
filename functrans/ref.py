"""``jax.ref`` by functrans: mutable references to arrays."""

from jax.ref import AbstractRef as AbstractRef

from functrans.api.references import Ref, addupdate, empty_ref, free_ref, freeze, get, new_ref, set, swap

__all__ = ["AbstractRef", "Ref", "addupdate", "empty_ref", "free_ref", "freeze", "get", "new_ref", "set", "swap"]
