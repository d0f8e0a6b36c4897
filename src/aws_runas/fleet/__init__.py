"""One command on many instances through SSM Run Command."""
