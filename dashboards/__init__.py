"""Grafana dashboards, written here and built into JSON; and the command that uploads them."""
