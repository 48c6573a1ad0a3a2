"""The races and their cures, counted: a grid of engine fleets under the same loads."""
