"""Commands on an instance: the helper that runs them there, and the client that controls the helper."""
