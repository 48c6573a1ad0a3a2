"""Where incidents and requests are kept for a while: in memory, or in Redis for several proxies."""
