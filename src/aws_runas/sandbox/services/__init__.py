"""AWS services that the sandbox emulates."""
