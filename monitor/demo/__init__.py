"""The demonstration: real generations of a real model go bad, and are caught."""
