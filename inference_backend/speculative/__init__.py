"""Speculative decoding: the draft head, verification, and the training of the head."""
