"""The hot path: SSE framing, the upstream connection, the hold-back, the relay loop."""
