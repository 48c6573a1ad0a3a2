"""The web page for people on call: what runs now, pushed by server-sent events."""
