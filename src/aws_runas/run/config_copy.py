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
