"""A tier of host memory under the device's KV pages: evicted prefixes go there and come back."""
