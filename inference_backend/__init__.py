"""The integrated engine: speculative decoding over a paged KV cache, served over HTTP."""
