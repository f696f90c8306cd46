"""Results against references that share no code with functrans: mpmath, NumPy and SciPy."""
