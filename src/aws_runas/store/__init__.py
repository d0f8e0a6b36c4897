"""Keyrings: where long-term keys and passwords are kept, behind one small protocol."""
