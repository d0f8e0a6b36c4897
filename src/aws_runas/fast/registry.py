"""The fast start of the credential helper: answers ``get`` while the registry's token is cached."""

from aws_runas.fast import print as fast_print
from aws_runas.fast import shortcut
from aws_runas.tokens.registry import parse_registry

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping

KIND = "e"  # of the shortcut
SWITCH = "AWSRUNAS_NO_FAST"


def answer(server: str, environ: "Mapping[str, str]") -> None:
    """Print user and password and exit, if they are cached; return to use the full path.

    Args:
        server: address of the registry, from the client.
        environ: the variables.
    """
    registry = None if environ.get(SWITCH) else parse_registry(server)
    found = None if registry is None else shortcut.read(registry.host, environ, kind=KIND)
    if found is None or not fast_print.PLAIN.issuperset(server + found["key"] + found["secret"]):
        return
    try:
        fast_print.write(document(server, found["key"], found["secret"]))
    except OSError:
        return  # the full path prints the error


def document(server: str, user: str, password: str) -> str:
    """Return the answer to ``get``, for values that need no escapes in JSON.

    Args:
        server: address of the registry.
        user: of the registry.
        password: a secret.
    """
    return f'{{"ServerURL":"{server}","Username":"{user}","Secret":"{password}"}}\n'
