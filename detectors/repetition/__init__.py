"""Finds streams whose tail repeats itself, exactly or with small changes."""

from detectors.repetition.detector import Repetition

__all__ = ["Repetition"]
