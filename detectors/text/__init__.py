"""Garbled text and rare characters, from the text alone (and token ids where there are some)."""
