"""Spans of requests and attempts, by OTLP to a collector. Off unless an endpoint is named."""
