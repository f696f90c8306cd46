"""From jaxprs to running programs: StableHLO text, compilation, dispatch."""
