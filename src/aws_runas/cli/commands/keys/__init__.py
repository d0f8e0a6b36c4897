"""The keys command."""
