"""What each public name accepts and returns, beside the numbers: arguments, trees, caches, threads, Python values."""
