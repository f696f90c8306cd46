"""Tracing: running Python functions on symbolic values to record the programs they compute."""
