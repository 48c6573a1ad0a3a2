"""The learned fusion: one probability from what all detectors of a stream say."""
