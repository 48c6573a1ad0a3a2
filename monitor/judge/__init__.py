"""A second opinion on answers by a small language model, beside the stream and never in its way."""
