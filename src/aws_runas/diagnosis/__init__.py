"""Checks of everything that must be right for credentials and sessions: each a function with one verdict."""
