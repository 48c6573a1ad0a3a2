"""Decisions without I/O: life cycle, retry policy, retry budget, release policy."""
