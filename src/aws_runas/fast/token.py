"""The fast start of ``token eks`` and ``token rds`` with cached credentials; loaded only for these words.

It makes the same token as the full path, with the same functions, and leaves all other cases to that path.
"""

import time

from aws_runas.errors import UsageError
from aws_runas.fast import print as fast_print
from aws_runas.fast import shortcut
from aws_runas.fast.names import bad_switch, is_on

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = {"eks": 1, "rds": 2}  # positional arguments after the profile


def start(words: list[str], environ: "Mapping[str, str]") -> None:
    """Print the token and exit, if this is the usual call; return to use the full path.

    Args:
        words: ``token``, the kind, and its positionals.
        environ: the variables.
    """
    kind, arguments = words[1] if len(words) > 1 else "", words[2:]
    surplus = len(arguments) - KINDS.get(kind, len(words))
    if surplus not in (0, 1) or any(not word or word[0] == "-" for word in arguments) or bad_switch(environ):
        return
    name = arguments.pop(0) if surplus else ""
    found = shortcut.read(name, environ, use_session_token=is_on(environ, "RUNAS_SESSION_CREDENTIALS"))
    if found is None:
        return
    try:
        text = (_cluster if kind == "eks" else _database)(arguments, found, environ)
        if text:
            fast_print.write(text)
    except (UsageError, OSError, ValueError):
        return  # the full path prints the error


def _cluster(arguments: list[str], found: dict[str, str], environ: "Mapping[str, str]") -> str:
    from aws_runas.tokens import cluster

    version = cluster.plain_version(environ.get("KUBERNETES_EXEC_INFO"))
    endpoint, region = found.get(shortcut.STS_ENDPOINT), found.get(shortcut.STS_REGION)
    if version is None or not endpoint or not region or shortcut.END not in found:
        return ""
    cluster.check_cluster(arguments[0])
    now = time.time()
    token = cluster.cluster_token(arguments[0], endpoint, region, found, now=now)
    return cluster.exec_credential(token, version, now, float(found[shortcut.END]))


def _database(arguments: list[str], found: dict[str, str], _environ: "Mapping[str, str]") -> str:
    from aws_runas.tokens import database

    host, port = database.split_host(arguments[0])
    region = database.region_of(host)
    if not region:
        return ""  # the full path warns about it
    return database.database_token(host, port, arguments[1], region, found=found, now=time.time()) + "\n"
