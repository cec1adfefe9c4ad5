"""Score files of any size: block by block, on every core, and on where a killed job stopped."""
