"""Other systems, one file each: the only places that name them."""
