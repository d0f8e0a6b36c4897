"""Shell completion: one table of what can be typed, and a writer of a script for each shell."""
