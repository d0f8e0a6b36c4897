"""The shortcut for the usual call: the result of the last full start, valid as long as nothing has changed.

The full path reads config files, resolves the profile and looks up its cache entries; that needs configparser, hashlib,
json and dataclasses. This module only needs ``os`` and ``time``. After each full start, `write` stores one private file
per profile in the cache directory. `read` returns its credentials only if every input that affects the result is
unchanged: the program's version, both config files and the epoch file (path, size, inode, times) and all relevant
variables. Otherwise it returns None, and the caller uses the full path. The checks are never weaker than there: only
this user may have access to the file, and a tenth of the credentials' lifetime must be left.

The file, ``fast-r-NAME`` (``fast-s-NAME`` for ``-s``, ``fast-e-HOST`` for a registry), is text: a header that must be
equal byte by byte to the current result of `header`, a line with the name as typed, then ``name value`` lines
(`FIELDS`, then the caller's own facts), then ``end``.
"""

import os
import time

from aws_runas import __version__

TYPE_CHECKING = False  # typing is too slow to import here; type checkers know this name
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

EPOCH = "epoch"  # file in the cache directory; a rewrite makes every older shortcut invalid

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
# If one of these is set, the full path decides; their values are secrets, which must not be in the header.
_FULL_WAY = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "MFA_CODE",
    "RUNAS_VERBOSE",
)
# The same for any other name of a secret (AWS_BEARER_TOKEN_BEDROCK), except addresses and paths.
_LIKE_SECRETS = ("KEY", "PASSPHRASE", "PASSWORD", "SECRET", "TOKEN")
_OUR_PREFIXES = ("AWS_", "RUNAS_", "SAML_", "WEB_")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.@+=,")  # capitals are escaped: some file systems fold case
_CLOCK_TOLERANCE = 300  # seconds, as in freshness.py


def read(
    name: str, environ: "Mapping[str, str]", *, use_session_token: bool = False, kind: str = ""
) -> dict[str, str] | None:
    """Return the credentials of a profile without resolving it.

    Args:
        name: as typed on the command line, "" if none was.
        environ: the variables.
        use_session_token: ``-s`` was given.
        kind: letter of another kind of file, whose name is not a profile.

    Returns:
        A dict of `FIELDS` and the writer's facts, all str; None if the full path must be used.
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
            # 0o100600: only a plain file with mode 0600
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
    """Return the line after the header: the typed name, because two names may share a file name.

    A file system may fold the case of names, and bytes that are not UTF-8 are not distinct there.
    """
    return "call " + kind + " " + _escape(name) + "\n"


def header(environ: "Mapping[str, str]") -> str | None:
    """Return every input as text; None if only the full path can decide.

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
        # the sandbox's own variables are irrelevant, and one of them is a secret
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
    """Return the paths of the config and credentials files, or None if a path needs expansion or there is no home.

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
    """Return the path of a profile's shortcut; None if only the full path can decide.

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
    """Return the cache directory; None if only the full path can decide."""
    directory = environ.get("RUNAS_CACHE_DIR")
    if not directory:
        return files[0].rpartition("/")[0] + "/aws-runas/cache"
    return directory if directory[0] == "/" else None


def invalidate(directory: "Path") -> None:
    """Make every shortcut invalid, including one that another process is about to write, and remove existing ones.

    Call it after a change of the user's identity: `login`, `logout`, a change of keys or passwords.

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
        finally:  # a full disk prevents writes, but not this removal
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
    """Store the file for the next start; do nothing if that is not possible.

    Args:
        name, environ, use_session_token, kind: as for `read`.
        before: result of `header` from before the files were read.
        fields: `FIELDS` and the caller's own facts, all str.
    """
    kind = kind or ("s" if use_session_token else "r")
    path = file_path(name, environ, kind)
    if before is None or path is None or before != header(environ):
        return
    now = time.time_ns()
    for file in config_files(environ) or ():
        # a change within the same clock tick as the read would be invisible: skip files that are too new
        try:
            if now - os.stat(file).st_ctime_ns < 50_000_000:
                return
        except FileNotFoundError:  # not there, or removed meanwhile
            continue
    lines = [key + " " + _escape(value) for key, value in fields.items()]
    content = (before + _call(name, kind) + "\n".join(lines) + "\nend\n").encode("utf-8", "surrogateescape")
    from pathlib import Path

    from aws_runas import files

    folder, _, file_name = path.rpartition("/")
    try:
        with files.open_private_directory(Path(folder), create=False) as directory:  # else, the full path has warned
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
