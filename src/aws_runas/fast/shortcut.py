"""The shortcut of the usual call: what the full path found out last time, good as long as nothing has changed.

The full path reads config files, resolves the profile and looks its cache entries up; that needs configparser, hashlib,
json and dataclasses. This module needs ``os`` and ``time`` only. After each full start `write` leaves one private file
per profile in the cache directory; `read` gives its credentials back when, and only when, every input that could have
led elsewhere is the same: the program's version, both config files and the epoch file (path, size, inode, times) and
every variable that has a say. Anything else is None, which means: use the full path. It is never weaker than that: the
file must be this user's alone, and a tenth of the credentials' life must be left.

The file, ``fast-r-NAME`` (``fast-s-NAME`` for ``-s``, ``fast-e-HOST`` for a registry), is text: a header that must be
equal byte by byte to what `header` says of this moment, a line with the name as typed, then ``name value`` lines
(`FIELDS`, then facts of the caller's own), then ``end``.
"""

import os
import time

from aws_runas import __version__

TYPE_CHECKING = False  # typing itself is too slow to import here; type checkers know this name
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Facts that the full path adds to the credentials:
CONFIG_FILE = "config"  # the config file, if its [default] names credential sources; else ""
ROLE_ARN = "role"  # for the endpoint; else ""
END = "end"  # when the credentials expire, seconds since the epoch
STS_ENDPOINT = "sts"  # address, for tokens of clusters
STS_REGION = "sts-region"  # to sign for
FIELDS = ("since", "until", "profile", "region", "key", "secret", "token", "expiration")
MAX_SIZE = 256 * 1024  # bytes

EPOCH = "epoch"  # file of the cache directory; rewritten, it makes every older shortcut invalid

_OTHER_VARIABLES = frozenset(
    (
        "AUTH_BROWSER",
        "CREDENTIALS_DURATION",
        "DURATION_SECONDS",
        "EXTERNAL_ID",
        "FEDERATED_USERNAME",
        "HOME",
        "JUMP_ROLE_ARN",
        "LOGNAME",
        "MFA_SERIAL",
        "MFA_TYPE",
        "SESSION_TOKEN_DURATION",
        "USER",
        "USERNAME",
    )
)
# With one of these the full path decides; their values are secrets, which have no place in the header.
_FULL_WAY = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "MFA_CODE",
    "RUNAS_VERBOSE",
)
# The same for whatever else is named like a secret (AWS_BEARER_TOKEN_BEDROCK), but for addresses and paths.
_LIKE_SECRETS = ("KEY", "PASSPHRASE", "PASSWORD", "SECRET", "TOKEN")
_OUR_PREFIXES = ("AWS_", "RUNAS_", "SAML_", "WEB_")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.@+=,")  # capitals are escaped: some file systems fold case
_CLOCK_TOLERANCE = 300  # seconds, as in freshness.py


def read(
    name: str, environ: "Mapping[str, str]", *, use_session_token: bool = False, kind: str = ""
) -> dict[str, str] | None:
    """Return the credentials of a profile without resolving it.

    Args:
        name: as typed on the command line, or "" when nothing was.
        environ: the variables.
        use_session_token: ``-s`` was given.
        kind: letter of another kind of file, whose name is no profile's.

    Returns:
        A dict of `FIELDS` and the writer's facts, all str; None: use the full path.
    """
    now = time.time()
    kind = kind or ("s" if use_session_token else "r")
    path = file_path(name, environ, kind)
    start = header(environ)
    if path is None or start is None:
        return None
    start += _call(name, kind)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(descriptor)
            # 0o100600: a plain file, 0600, and nothing else
            if status.st_mode != 0o100600 or status.st_uid != os.geteuid() or status.st_size > MAX_SIZE:
                return None
            content = os.read(descriptor, MAX_SIZE).decode("utf-8", "surrogateescape")
        finally:
            os.close(descriptor)
        if not content.startswith(start) or not content.endswith("\nend\n"):
            return None
        found = {}
        for line in content[len(start) : -5].split("\n"):
            key, _, value = line.partition(" ")
            found[key] = _unescape(value)
        if not float(found["since"]) - _CLOCK_TOLERANCE <= now < float(found["until"]):
            return None
        return found if all(field in found for field in FIELDS) else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def _call(name: str, kind: str) -> str:
    """Return the line after the header: what was typed, because two names may share a file name.

    A file system may fold the case of names, and bytes that are not UTF-8 have no letters of their own there.
    """
    return "call " + kind + " " + _escape(name) + "\n"


def header(environ: "Mapping[str, str]") -> str | None:
    """Return every input as text; None if only the full path can tell.

    Args:
        environ: the variables.
    """
    for name in _FULL_WAY:
        if environ.get(name):
            return None
    files = config_files(environ)
    if files is None:
        return None
    epoch = _cache_directory(files, environ)
    if epoch is None:
        return None
    lines = ["aws-runas fast 3 " + __version__]
    for name in sorted(environ):
        # the sandbox's own variables have no say, and one of them is a secret
        ours = name.startswith(_OUR_PREFIXES) and not name.startswith("RUNAS_SANDBOX")
        if ours and environ[name] and _is_secret(name):
            return None
        if ours or name in _OTHER_VARIABLES:
            lines.append("env " + name + "=" + _escape(environ[name]))
    for path in (*files, epoch + "/" + EPOCH):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            lines.append("file " + _escape(path) + " none")
            continue
        except OSError:
            return None
        state = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
        lines.append("file " + _escape(path) + " " + " ".join(map(str, state)))
    return "\n".join(lines) + "\n"


def _is_secret(name: str) -> bool:
    for word in _LIKE_SECRETS:
        if word in name:
            return not name.startswith("AWS_ENDPOINT_URL_") and not name.endswith("_FILE") and name != "RUNAS_KEYRING"
    return False


def config_files(environ: "Mapping[str, str]") -> tuple[str, str] | None:
    """Return the paths of config and credentials file, or None if a path needs expanding or there is no home.

    Args:
        environ: the variables.
    """
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        return None
    config = environ.get("AWS_CONFIG_FILE") or home + "/.aws/config"
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or home + "/.aws/credentials"
    for path in (config, credentials):
        if path[:1] != "/" or "$" in path or path.startswith(("/dev/", "/proc/")) or "/aws-runas-config-" in path:
            return None
    return config, credentials


def file_path(name: str, environ: "Mapping[str, str]", kind: str) -> str | None:
    """Return the path of a profile's shortcut; None if only the full path can tell.

    Args:
        name: of the profile; "" for the default one.
        environ: names the files and the cache directory.
        kind: one letter for each kind of credentials.
    """
    files = config_files(environ)
    if files is None:
        return None
    directory = _cache_directory(files, environ)
    if directory is None:
        return None
    safe = "".join(
        [letter if letter in _PLAIN else "%" + letter.encode("utf-8", "surrogateescape").hex() for letter in name]
    )
    if len(safe) > 200:
        return None
    return directory + "/fast-" + kind + "-" + safe


def _cache_directory(files: tuple[str, str], environ: "Mapping[str, str]") -> str | None:
    """Return the cache directory; None if only the full path can tell."""
    directory = environ.get("RUNAS_CACHE_DIR")
    if not directory:
        return files[0].rpartition("/")[0] + "/aws-runas/cache"
    return directory if directory[0] == "/" else None


def invalidate(directory: "Path") -> None:
    """Make every shortcut invalid, also one that another process is about to write, and remove those that exist.

    Call it after a change of who the user is: `login`, `logout`, a change of keys or passwords.

    Args:
        directory: the cache directory; nothing happens if it does not exist.

    Raises:
        OSError: the cache cannot be written, so an old shortcut may be used again.
    """
    from aws_runas import files

    try:
        opened = files.open_private_directory(directory, create=False)
    except FileNotFoundError:
        return
    with opened as cache:
        try:
            cache.write(EPOCH, os.urandom(16).hex().encode() + b"\n")
        finally:  # on a full disk nothing can be written, but this can be removed
            for name, _ in list(cache.ages(0.0)):
                if name.startswith("fast-"):
                    cache.remove(name)


def write(
    name: str,
    environ: "Mapping[str, str]",
    before: str | None,
    fields: dict[str, str],
    *,
    use_session_token: bool = False,
    kind: str = "",
) -> None:
    """Leave the file for next time; silently not, where that is not possible.

    Args:
        name, environ, use_session_token, kind: as for `read`.
        before: `header` as it was before the files were read.
        fields: `FIELDS` and facts of the caller's own, all str.
    """
    kind = kind or ("s" if use_session_token else "r")
    path = file_path(name, environ, kind)
    if before is None or path is None or before != header(environ):
        return
    now = time.time_ns()
    for file in config_files(environ) or ():
        # a change in the very tick of the clock in which the file was read would not show: leave young files alone
        if os.path.exists(file) and now - os.stat(file).st_ctime_ns < 50_000_000:
            return
    lines = [key + " " + _escape(value) for key, value in fields.items()]
    content = (before + _call(name, kind) + "\n".join(lines) + "\nend\n").encode("utf-8", "surrogateescape")
    from pathlib import Path

    from aws_runas import files

    folder, _, file_name = path.rpartition("/")
    try:
        with files.open_private_directory(Path(folder), create=False) as directory:  # else the full path has warned
            directory.write(file_name, content)
    except OSError:
        return


def _escape(value: str) -> str:
    if "%" in value or "\n" in value or "\r" in value:
        value = value.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    return value


def _unescape(value: str) -> str:
    if "%" in value:
        value = value.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return value
