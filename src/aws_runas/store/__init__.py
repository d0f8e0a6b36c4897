"""Keyrings for long-term keys and passwords, behind one small protocol."""
