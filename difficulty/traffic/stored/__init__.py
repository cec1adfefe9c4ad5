"""How ingested traffic lies in its file and in memory, and which side of a split a row is on."""
