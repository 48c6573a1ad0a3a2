"""What one stream looks like, and whether it is sick. Pure: no I/O, no clock, no logging."""
