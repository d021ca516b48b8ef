"""Steps on a GPU: on a cache that does not move, each length of it as a captured graph."""
