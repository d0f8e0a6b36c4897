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
        if words == ["completion", "--profiles"]:  # asked at each press of the completion key
            from aws_runas.fast.profile_names import profile_names

            sys.stdout.write("".join(f"{name}\n" for name in profile_names(os.environ)))
            return 0
        from aws_runas.fast import start as fast

        fast.start(words, os.environ, _serve)  # does not return if it ran the program
        from aws_runas.cli import app

        return app.main(words)
    except KeyboardInterrupt:  # before the command could take it
        return 130


def _serve(words: list[str], role_arn: str | None, descriptor: int, token: str) -> None:
    from aws_runas.cli.deferred_endpoint import serve_command_line

    serve_command_line(words, role_arn, descriptor, token)


if __name__ == "__main__":
    sys.exit(main())
