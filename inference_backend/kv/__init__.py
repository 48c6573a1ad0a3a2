"""Paged KV cache: accounting without tensors (pages, prefix, lease) and the tensors (store)."""
