"""The transforms: jaxpr -> values of the current builder, one short file each."""
