"""aws-runas: AWS credentials for a program, and SSM sessions. Nothing is imported here: every start pays for it."""

__version__ = "4.0.0"
