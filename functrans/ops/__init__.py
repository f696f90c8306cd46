"""The primitives: one class an operation, one file a family."""
