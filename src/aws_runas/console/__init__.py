"""Addresses that sign in to the AWS console: pure construction, and the rules of who may sign in how."""
