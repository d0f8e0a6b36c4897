"""Command line -> command, flags and positionals; help."""
