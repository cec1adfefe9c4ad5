"""Raw rows checked a block at a time, on whichever worker."""
