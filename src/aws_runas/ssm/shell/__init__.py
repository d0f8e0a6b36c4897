"""An interactive shell over a session."""
