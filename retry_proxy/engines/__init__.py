"""One file per engine: how to ask for live signals, read chunks, abort and continue."""
