"""Primitives that hold jaxprs: calls, branches, loops and custom derivative rules."""
