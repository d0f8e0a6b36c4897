"""A copy of the config file whose ``[default]`` names no credential source, for programs that would ask that first."""

import os

PREFIX = "aws-runas-config-"  # config/files.py and fast/shortcut.py know it

_open: dict[str, int] = {}  # name of a copy -> its descriptor, which holds the lock

# Settings of a profile that an SDK asks before it asks the container endpoint.
SOURCES = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_security_token",
    "role_arn",
    "source_profile",
    "credential_source",
    "credential_process",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_region",
    "sso_account_id",
    "sso_role_name",
    "login_session",
)


def without_sources(text: str) -> str | None:
    """Drop the credential sources of the default profile.

    Args:
        text: a config file.

    Returns:
        The same text less those lines and what is nested under them; None where there are none.
    """
    kept = []
    in_default = in_setting = dropping = changed = False
    indent = 0
    for line in text.splitlines(keepends=True):
        content = line.strip()
        if content and content[0] not in "#;":
            here = len(line) - len(line.lstrip())
            if not in_setting or here <= indent:  # else nested under the setting before, or its next line
                indent = here
                in_setting = content[0] != "[" or "]" not in content
                if not in_setting:
                    name = content[1:].rpartition("]")[0].replace('"', "").replace("'", "").split()
                    in_default = name in (["default"], ["profile", "default"])
                dropping = in_setting and in_default and _name(content) in SOURCES
            if dropping:
                changed = True
                continue
        kept.append(line)
    return "".join(kept) if changed else None


def make(path: str) -> str | None:
    """Write the copy where one is needed.

    The copy is in a private directory beside the config file. Copies there whose process was killed are removed.

    Args:
        path: the config file.

    Returns:
        The copy, readable by this user alone, for the caller to remove; None where the file itself will do.

    Raises:
        OSError: it cannot be written.
    """
    text = _read(path)
    copy = without_sources(text) if text else None
    if copy is None:
        return None
    # config/files.py reads the first line, where a program of ours is a shell in which we are called again
    content = (f"# aws-runas: copy of {os.path.abspath(path)}\n" + copy).encode("utf-8", "surrogateescape")
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), "aws-runas")
    try:
        folder = os.path.join(beside, "run")
        _make_private(beside)
        _make_private(folder)
        _remove_leftovers(folder)
        return _write(folder, content)
    except OSError:  # a directory that cannot be written, or that others can change
        return _write(os.environ.get("TMPDIR") or "/tmp", content)  # noqa: S108 - the name is random, opened with O_EXCL


def _make_private(folder: str) -> None:
    """Make a directory, and refuse one that others can change.

    Raises:
        PermissionError: another user owns it or the directory around it, or it is open to others.
    """
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    around = os.stat(os.path.dirname(folder))
    if status.st_mode & 0o170077 != 0o040000 or {status.st_uid, around.st_uid} - {os.geteuid(), 0}:
        raise PermissionError(1, "other users can change it", folder)


def _write(folder: str, content: bytes) -> str:
    """Write a copy, and hold its lock for as long as this process lives: so others see that it is in use."""
    import fcntl

    while True:
        name = os.path.join(folder, PREFIX + os.urandom(12).hex())
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                _open[name] = descriptor
                while content:
                    content = content[os.write(descriptor, content) :]
                return name
        except BaseException:
            remove(name)
            raise
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _remove_leftovers(folder: str) -> None:
    """Remove copies that no process holds: theirs was killed."""
    import fcntl

    for entry in os.listdir(folder):
        if not entry.startswith(PREFIX):
            continue
        name = os.path.join(folder, entry)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name)
        except OSError:  # in use, or gone
            continue
        finally:
            os.close(descriptor)


def remove(name: str) -> None:
    """Remove a copy. A copy that is gone already is no error.

    Args:
        name: its path.
    """
    descriptor = _open.pop(name, None)
    if descriptor is not None:
        os.close(descriptor)
    try:
        os.unlink(name)
    except OSError:
        return


def is_needed(path: str) -> bool:
    """Return True if the default profile of a config file has credential sources.

    Args:
        path: of the config file.
    """
    text = _read(path)
    return text is not None and without_sources(text) is not None


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8-sig", "surrogateescape")
    except OSError:
        return None


def _name(line: str) -> str:
    ends = [position for position in (line.find("="), line.find(":")) if position >= 0]
    return line[: min(ends)].strip().lower() if ends else ""
