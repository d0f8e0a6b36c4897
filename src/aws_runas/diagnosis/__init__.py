"""Checks of all requirements for credentials and sessions: each is a function that returns one verdict."""
