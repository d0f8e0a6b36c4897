"""The cached path, which runs if everything it needs is cached."""
