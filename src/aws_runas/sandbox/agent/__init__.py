"""Agent on the instances of the sandbox."""
