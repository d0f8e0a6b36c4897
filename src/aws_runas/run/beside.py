"""Running a program with a credential endpoint beside it: the server is loaded once it has started."""

import _socket
import os

from aws_runas.run import config_copy, environment, program, waiting

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

BACKLOG = 128  # connections that queue while the server's code is loaded
TOKEN_BYTES = 32


def run(
    words: "Sequence[str]",
    variables: dict[str, str],
    config_file: str | None,
    serve: "Callable[[int, str], None]",
) -> int:
    """Run a program and wait for it.

    Args:
        words: the program and its arguments.
        variables: from environment.base; changed.
        config_file: the config file to look through for credential sources of the default profile.
        serve: given the descriptor of the listening socket, which it owns, and the token; called in a thread of its own
            once the program has started, and left behind when that ends.

    Returns:
        The program's exit status.

    Raises:
        ProgramError: it cannot be started.
        OSError: there is no free port, or the config file cannot be copied.
    """
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    copy = None
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        token = os.urandom(TOKEN_BYTES).hex()
        copy = config_copy.make(config_file) if config_file else None
        environment.with_endpoint(variables, listener.getsockname()[1], token, copy)
        mask = waiting.block()
        try:
            pid = program.spawn(words, variables, mask)
        except BaseException:
            waiting.unblock(mask)
            raise
        _start_thread(serve, listener.detach(), token)
        return waiting.wait_for(pid)
    finally:
        listener.close()
        if copy is not None:
            os.unlink(copy)


def leave(status: int) -> "NoReturn":
    """End this process at once: a server that is still being loaded, or waits for STS, is not waited for.

    Args:
        status: the program's exit status.
    """
    os._exit(status)


def _start_thread(serve: "Callable[[int, str], None]", descriptor: int, token: str) -> None:
    import _thread  # threading costs 5 ms, which the program's exit status would wait for

    _thread.start_new_thread(serve, (descriptor, token))
