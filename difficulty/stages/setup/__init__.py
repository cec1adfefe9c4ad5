"""Steps about this installation itself, before any traffic."""
