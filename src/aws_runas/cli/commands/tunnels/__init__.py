"""The verb ``tunnels`` in parts: the client of the control socket, the process itself, and units."""
