"""A copy of the config file whose ``[default]`` names no credential source, for programs that would ask that first."""

import os

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
    in_default = dropping = changed = False
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        if stripped.startswith("["):
            name = stripped[1:].partition("]")[0].split()
            in_default, dropping = name in (["default"], ["profile", "default"]), False
        elif in_default and stripped and not stripped.startswith(("#", ";")):
            if not line[0].isspace():
                dropping = _name(stripped) in SOURCES
            if dropping:
                changed = True
                continue
        kept.append(line)
    return "".join(kept) if changed else None


def make(path: str) -> str | None:
    """Write the copy where one is needed.

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
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - the name is random and opened with O_EXCL
    name = os.path.join(folder, f"aws-runas-config-{os.urandom(12).hex()}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            # config/files.py reads this line, where a program of ours is a shell in which we are called again
            head = f"# aws-runas: copy of {os.path.abspath(path)}\n"
            stream.write((head + copy).encode("utf-8", "surrogateescape"))
    except BaseException:
        os.unlink(name)
        raise
    return name


def remove(name: str) -> None:
    """Remove a copy; that it is gone already is nobody's loss."""
    try:
        os.unlink(name)
    except OSError:
        return


def is_needed(path: str) -> bool:
    """Whether the default profile of a config file has credential sources."""
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
