"""The control plane: what happened, as metrics and incidents, and the command line."""
