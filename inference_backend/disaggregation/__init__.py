"""Prefill and decode apart: roles, the transfer of KV pages, and the hand-off of who owns them."""
