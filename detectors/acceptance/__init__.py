"""What the acceptance of drafts tells: the published thresholds, and a sequential test."""
