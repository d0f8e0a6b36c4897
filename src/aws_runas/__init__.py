"""aws-runas: AWS credentials for a program, and SSM sessions. No imports here: every start would pay for them."""

__version__ = "4.0.0"
