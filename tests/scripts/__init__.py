"""Programs as people write them against JAX, each with a ``main`` that returns what is compared."""
