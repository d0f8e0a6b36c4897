"""Entry point of ``docker-credential-aws-runas``, the credential helper for container clients. Cheap imports only.

Source: docker-credential-helpers, the protocol in its README: one word is the action, standard input is its argument.
"""

import _signal  # type: ignore[import-not-found]  # as in __main__
import os
import sys

MAX_ADDRESS = 4096  # bytes


def main(words: list[str] | None = None) -> int:
    """Answer one request from a container client.

    Args:
        words: without the program's name; sys.argv when None.

    Returns:
        The exit status of the process.
    """
    words = sys.argv[1:] if words is None else words
    try:
        if os.name == "posix":  # the launcher may block Ctrl-C while the interpreter starts (ADR 0606)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGINT,))
        server = ""
        if words == ["get"]:
            server = _read_address()
            from aws_runas.fast import registry

            registry.answer(server, os.environ)  # does not return if the token is cached
        from aws_runas.cli import credential_helper

        return credential_helper.main(words, server)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # last resort: an import or the cached path failed
        sys.stderr.write(f"aws-runas: internal error: {type(error).__name__}\n")
        return 1


def _read_address() -> str:
    """Read one line from standard input; a client may leave it open."""
    data = b""
    while b"\n" not in data and len(data) < MAX_ADDRESS:
        try:
            more = os.read(0, MAX_ADDRESS)
        except OSError:  # closed, or a directory
            break
        if not more:
            break
        data += more
    return data.partition(b"\n")[0].decode("utf-8", "surrogateescape").strip()


if __name__ == "__main__":
    sys.exit(main())
