"""Shell completion: one table of the possible words, and a script generator for each shell."""
