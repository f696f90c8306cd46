"""Measurements of functrans against JAX: `python -m benchmarks` (see `__main__` for the options)."""
