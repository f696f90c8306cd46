"""The user-level functions: check arguments, flatten pytrees, call the transforms. No algorithms."""
