"""A program on an instance: the helper that runs it there, and the client that drives the helper."""
