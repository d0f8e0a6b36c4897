"""Prompts and the picker on the terminal."""
