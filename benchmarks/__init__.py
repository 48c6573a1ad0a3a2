"""Measurements of the engine and of the detectors; not installed, and no tests."""
