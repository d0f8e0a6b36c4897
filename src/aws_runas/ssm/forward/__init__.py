"""Forwards: local ports and unix sockets that lead through SSM sessions to an instance and to hosts behind it."""
