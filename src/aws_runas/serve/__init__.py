"""Credentials over HTTP: pure handlers (imds, ecs, page), the guards before them, and one small server."""
