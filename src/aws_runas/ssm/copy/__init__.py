"""Copies of files to and from an instance."""
