"""Forwarded ports over sessions."""
