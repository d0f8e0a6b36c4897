"""Runs a program together with a credential endpoint. The server's code is loaded after the program has started."""

import _socket
import os
import sys
import time

from aws_runas.errors import ProgramError
from aws_runas.run import config_copy, environment, program, waiting

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

BACKLOG = 128  # connections that queue while the server's code is loaded
TOKEN_BYTES = 32
HEAD_START = 0.005  # seconds before the server is loaded; many programs end within them and do not need it
SWITCH_INTERVAL = 0.0005  # seconds until the end of the program interrupts the loading; Python's default is 0.005


def run(
    words: "Sequence[str]",
    variables: dict[str, str],
    config_file: str | None,
    serve: "Callable[[int, str], None]",
) -> int:
    """Run a program and wait for it.

    Args:
        words: the program and its arguments.
        variables: the result of environment.base; changed.
        config_file: the config file to search for credential sources of the default profile.
        serve: receives the descriptor of the listening socket, which it owns, and the token; called in a separate
            thread after the program has started, and not waited for when the program ends.

    Returns:
        The program's exit status.

    Raises:
        ProgramError: the program or the endpoint cannot be started.
    """
    listener = copy = None
    try:
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        copy = config_copy.make(config_file) if config_file else None
        token = os.urandom(TOKEN_BYTES).hex()
        environment.with_endpoint(variables, listener.getsockname()[1], token, copy)

        def serve_if_it_runs() -> None:
            time.sleep(HEAD_START)
            descriptor = listener.detach()
            if descriptor >= 0:  # otherwise, the program has already ended, and the listener is closed
                serve(descriptor, token)

        return _run(words, variables, serve_if_it_runs)
    except OSError as error:
        raise ProgramError(
            f"the credential endpoint of {words[0]!r} cannot be made: {(error.strerror or str(error)).lower()}",
            code="program-start-failed",
            exit_status=126,
            hint="with -E no endpoint is needed",
        ) from error
    finally:
        if listener is not None:
            listener.close()
        if copy is not None:
            config_copy.remove(copy)


def _run(words: "Sequence[str]", variables: dict[str, str], serve: "Callable[[], None]") -> int:
    import _thread  # threading costs 5 ms

    mask = waiting.block()
    try:
        pid = program.spawn(words, variables, mask)
    except BaseException:
        waiting.unblock(mask)
        raise
    sys.setswitchinterval(SWITCH_INTERVAL)
    _thread.start_new_thread(serve, ())
    return waiting.wait_for(pid)


def leave(status: int) -> "NoReturn":
    """End this process at once, without waiting for a server that is still being loaded or waits for STS.

    Args:
        status: the program's exit status.
    """
    os._exit(status)
