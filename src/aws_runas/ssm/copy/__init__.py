"""Files to and from an instance."""
