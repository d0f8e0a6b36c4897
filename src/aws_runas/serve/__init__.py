"""Credentials over HTTP: pure handlers (imds, ecs, api), the guards before them, and one small server."""
