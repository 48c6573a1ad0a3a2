"""Alerts and recording rules for Prometheus, written here and built into YAML."""
