"""Entry point of `aws-runas` and `python -m aws_runas`. Imports only what the usual call needs."""

import _signal  # type: ignore[import-not-found]  # signal itself costs 7 ms: it builds enums
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
    function = os.environ.pop("AWSRUNAS_FUNCTION", "")  # set by the shell function; programs we start do not inherit it
    # Until the full path handles Ctrl-C, it ends the process at once, without a traceback from an import.
    handler = _signal.getsignal(_signal.SIGINT)
    if handler is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if os.name == "posix":  # a launcher may block Ctrl-C while the interpreter starts (ADR 0606)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGINT,))
    try:
        if words == ["completion", "--profiles"]:  # runs at each press of the completion key
            from aws_runas.fast.profile_names import print_profile_names

            return print_profile_names(os.environ)
        from aws_runas.fast import start as fast

        fast.start(words, os.environ, _serve, function)  # does not return if it ran the program
        import gc

        gc.disable()  # until the command runs: it would only look at modules
        from aws_runas.cli import app

        try:
            if handler is _signal.default_int_handler:
                _signal.signal(_signal.SIGINT, handler)
            status = app.main(words, function=function)
            app.end_quickly(status)  # returns unless a session has ended
            return status
        finally:
            gc.enable()
            if handler is _signal.default_int_handler:
                _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    except KeyboardInterrupt:  # between two instructions of the lines above
        return 130
    except Exception as error:  # last resort: an error outside app.main comes from an import or from the cached path
        sys.stderr.write(f"aws-runas: internal error: {type(error).__name__}; run it again with -v to see more\n")
        if any(word in ("-v", "--verbose") for word in words):
            raise
        return 1


def _serve(words: list[str], role_arn: str | None, descriptor: int, token: str) -> None:
    from aws_runas.cli.deferred_endpoint import serve_command_line

    serve_command_line(words, role_arn, descriptor, token)


if __name__ == "__main__":
    sys.exit(main())
