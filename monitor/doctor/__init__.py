"""`specwatch doctor`: what a replica can tell the detectors, and what is known against it."""
