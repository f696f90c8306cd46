"""``jax.scipy.spatial.transform``: JAX's own classes of rotations, which are trees of arrays and take traced values."""

from jax.scipy.spatial.transform import Rotation as Rotation
from jax.scipy.spatial.transform import Slerp as Slerp
