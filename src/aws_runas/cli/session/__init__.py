"""Common parts of the session commands."""
