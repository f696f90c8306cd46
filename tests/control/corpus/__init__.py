"""Loops that people run, as rows of a table, and the tests over them."""
