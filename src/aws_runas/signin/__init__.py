"""Signing in: browser, device code and their protocols as machines without I/O, and what drives them."""
