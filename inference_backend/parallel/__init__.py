"""Context-parallel prefill: the KV cache on every rank, or split between ranks by layers."""
