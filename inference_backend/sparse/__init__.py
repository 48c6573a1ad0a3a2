"""Sparse attention: an indexer that chooses the keys of each query, its cache, its training."""
