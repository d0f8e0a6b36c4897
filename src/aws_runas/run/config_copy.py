"""A copy of the config file without credential sources in ``[default]``, for programs that would use those first."""

import os

PREFIX = "aws-runas-config-"  # also used by config/files.py and fast/shortcut.py

_open: dict[str, int] = {}  # path of a copy -> descriptor that holds its lock

# Settings of a profile that SDKs use before they use the container endpoint.
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
        text: content of a config file.

    Returns:
        The text without those settings and the lines nested under them; None if there are none.
    """
    kept = []
    in_default = in_setting = dropping = changed = False
    indent = 0
    for line in text.splitlines(keepends=True):
        content = line.strip()
        if content and content[0] not in "#;":
            here = len(line) - len(line.lstrip())
            if not in_setting or here <= indent:  # otherwise, the line belongs to the previous setting
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
    """Write the copy if one is needed.

    The copy is in a private directory next to the config file. Copies of killed processes are removed from there.

    Args:
        path: the config file.

    Returns:
        Path of the copy, which only this user can read; the caller removes it. None if no copy is needed.

    Raises:
        OSError: the copy cannot be written.
    """
    text = _read(path)
    copy = without_sources(text) if text else None
    if copy is None:
        return None
    # config/files.py reads the first line if the program is a shell in which aws-runas is called again
    content = (f"# aws-runas: copy of {os.path.abspath(path)}\n" + copy).encode("utf-8", "surrogateescape")
    beside = os.path.join(os.path.dirname(os.path.abspath(path)), "aws-runas")
    try:
        folder = os.path.join(beside, "run")
        _make_private(beside)
        _make_private(folder)
        _remove_leftovers(folder)
        return _write(folder, content)
    except OSError:  # the directory cannot be written, or others can change it
        return _write(os.environ.get("TMPDIR") or "/tmp", content)  # noqa: S108 - the name is random, opened with O_EXCL


def _make_private(folder: str) -> None:
    """Create a directory, and refuse one that others can change.

    Raises:
        PermissionError: another user owns the directory or its parent, or others have permissions for it.
    """
    try:  # noqa: SIM105 - contextlib would be one more import of the cached path
        os.mkdir(folder, 0o700)
    except FileExistsError:  # by an earlier start, or by one at the same moment
        pass
    status = os.lstat(folder)
    around = os.stat(os.path.dirname(folder))
    if status.st_mode & 0o170077 != 0o040000 or {status.st_uid, around.st_uid} - {os.geteuid(), 0}:
        raise PermissionError(1, "other users can change it", folder)


def _write(folder: str, content: bytes) -> str:
    """Write a copy, and hold its lock until this process ends, so that other processes see that it is in use."""
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
        os.close(descriptor)  # another process removed it as a leftover before it was locked


def _remove_leftovers(folder: str) -> None:
    """Remove copies without a lock, whose processes were killed."""
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
        except OSError:  # in use, or already removed
            continue
        finally:
            os.close(descriptor)


def remove(name: str) -> None:
    """Remove a copy. It is not an error if the copy does not exist.

    Args:
        name: path of the copy.
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
        path: path of the config file.
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
