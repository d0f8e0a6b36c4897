"""What the session commands share."""
