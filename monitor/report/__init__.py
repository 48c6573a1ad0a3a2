"""Incidents of a while as one HTML file: plots, costs, a table, each incident's steps."""
