"""Steps that add outcomes to traffic which has none, and that say what can be said without any."""
