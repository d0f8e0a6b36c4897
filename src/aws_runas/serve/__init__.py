"""Credentials over HTTP: pure handlers (imds, ecs, api), the guards in front of them, and a small server."""
