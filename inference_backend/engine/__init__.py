"""The engine: requests, scheduler, batches, the loop."""
