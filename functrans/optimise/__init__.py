"""Programs made better before they run: jaxpr -> jaxpr."""
