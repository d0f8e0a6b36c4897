"""Addresses that sign in to the AWS console, built without I/O, and the rules for the methods of sign-in."""
