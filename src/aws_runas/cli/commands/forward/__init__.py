"""The forward command."""
