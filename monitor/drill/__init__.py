"""`specwatch drill`: a fault on purpose, and every link of the alarm chain after it."""
