"""``--write-credentials``: a profile in the shared credentials file, every other byte of it left as it is."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from aws_runas import files
from aws_runas.config.files import parse_file
from aws_runas.credentials.model import Credentials
from aws_runas.credentials.printing import iso
from aws_runas.errors import ConfigError

SUFFIX = "-awsrunas"


def write_profile(path: Path, name: str, credentials: Credentials, region: str | None) -> str:
    """Add or replace the profile ``NAME-awsrunas``.

    Args:
        path: the shared credentials file, made 0600 when missing; a file that is there keeps its mode and owner.
        name: the profile that the credentials are of.
        region: written too where there is one.

    Returns:
        The name of the profile written.

    Raises:
        ConfigError: the file is damaged, or cannot be read or written; it is as it was.
    """
    heading = name + SUFFIX
    if any(character in "[]" or not character.isprintable() for character in heading):
        raise ConfigError(
            f"{heading!r} cannot be the name of a section",
            code="section-name-invalid",
            hint="give the profile a plainer name",
        )
    values = {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
        "aws_session_token": credentials.session_token,
        "region": region,
        "x_awsrunas_expiration": iso(credentials.expiration) if credentials.expiration else None,
    }
    try:
        lock = path.parent / "aws-runas" / "credentials.lock"
        files.make_private_directory(lock.parent)
        with files.lock(lock):
            parse_file(path)  # a damaged file is not touched
            before, mode = _read(path)
            _replace(path, with_section(before, heading, values), mode)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            code="credentials-file-unwritable",
            hint="make it writable for you, or name another in AWS_SHARED_CREDENTIALS_FILE",
        ) from None
    return heading


def with_section(text: str, heading: str, values: dict[str, str | None]) -> str:
    """Set keys of one section.

    Args:
        text: the file's content.
        heading: of the section, added at the end when missing.
        values: the keys; None removes one.

    Returns:
        The content with these lines changed and no other.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    start, end = _find(lines, heading)
    body = [f"{key} = {value}{newline}" for key, value in values.items() if value is not None]
    if start < 0:
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += newline
        if lines and lines[-1].strip():
            lines.append(newline)
        return "".join([*lines, f"[{heading}]{newline}", *body])
    kept = [line for line in lines[start + 1 : end] if _key(line) not in values]
    if not lines[start].endswith(("\n", "\r")):
        lines[start] += newline
    return "".join([*lines[: start + 1], *body, *kept, *lines[end:]])


def _find(lines: list[str], heading: str) -> tuple[int, int]:
    """Index of a section's heading and of the line after its last, -1 when there is none."""
    start = -1
    for index, line in enumerate(lines):
        stripped = line.strip().removeprefix("\ufeff")
        if not stripped.startswith("[") or "]" not in stripped or line[0] in " \t":
            continue
        if start >= 0:
            return start, index
        if stripped[1 : stripped.rindex("]")] == heading:
            start = index
    return start, len(lines)


def _key(line: str) -> str:
    if not line.strip() or line[0] in "#; \t":
        return ""
    ends = [line.index(mark) for mark in "=:" if mark in line]
    return line[: min(ends)].strip().lower() if ends else ""


def _read(path: Path) -> tuple[str, int]:
    try:
        # newline="" keeps the line ends as they are
        with path.open(encoding="utf-8", newline="") as stream:
            return stream.read(), stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    except FileNotFoundError:
        return "", files.FILE_MODE


def _replace(path: Path, text: str, mode: int) -> None:
    owner = path.stat() if path.exists() else None
    files.write_atomic(path, text.encode(), mode=mode)
    if owner is not None and hasattr(os, "geteuid") and owner.st_uid != os.geteuid():
        with contextlib.suppress(OSError):
            os.chown(path, owner.st_uid, owner.st_gid)
