"""Start: `aws-runas` and `python -m aws_runas`. Nothing is imported that the usual call does not need."""

import os
import sys


def main(words: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        words: without the program's name; sys.argv when None.

    Returns:
        The exit status of the process.
    """
    words = sys.argv[1:] if words is None else words
    try:
        from aws_runas.cli import fast

        fast.start(words, os.environ)  # does not return when it could
        from aws_runas.cli import app

        return app.main(words)
    except KeyboardInterrupt:  # before the command could take it
        return 130


if __name__ == "__main__":
    sys.exit(main())
