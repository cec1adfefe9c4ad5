"""From a fitted model to the graph that is shipped, and the gate it has to pass."""
