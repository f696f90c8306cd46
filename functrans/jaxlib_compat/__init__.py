"""The one room that knows private names of jax and jaxlib: a new version of theirs breaks these files and no other.

========================  ============================================================================================
``versions``              which versions are supported, and how a file declares and probes the private names it uses
``configuration``         what enters JAX's jit key: its configuration, and the values that we add to it
``compiler``              StableHLO to executables
``inspection``            programs and executables looked at, exported, their costs
``argument_checks``       what a program is called with, in words a user understands
``array_values``          the classes of arrays, types, host values to arrays, the devices where arrays live
``executors``             executables run on arrays, and the record by which C++ runs them without Python
``tracing``               what JAX traces in this thread, and the classes of its traces and tracers
``apart``                 what stands in for those where a version lacks a name of them
``dispatcher``            the C++ function behind the public ``jit``
``jax_programs``          programs, operations and references of JAX itself, for the bridge
========================  ============================================================================================

Each file's table names all that it uses, and is probed when the file is imported. What differs between the versions is
a branch in the file that knows it. What belongs to the array class's own methods is in ``functrans.xla.array_patch``.
"""

from functrans.jaxlib_compat import versions

versions.check_supported()
