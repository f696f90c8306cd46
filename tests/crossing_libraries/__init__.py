"""JAX's libraries inside functrans' transforms, and functrans inside theirs, with no bridge written."""
