"""The engines' own metrics: fetched, read, and told under one name each."""
