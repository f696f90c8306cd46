"""Jacobians and Hessians as matrices: where they may be nonzero, and in how few products they are found."""
