"""The agent on the instances of the sandbox."""
