"""Tokens for other services: databases, Kubernetes clusters, container registries."""
