"""Forwards: local ports and unix sockets that connect through SSM sessions to an instance or to hosts behind it."""
