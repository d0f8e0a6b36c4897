"""Changes to sections of the config and credentials files, which leave every other byte unchanged."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from aws_runas import files
from aws_runas.aws.credentials import Credentials
from aws_runas.config.files import parse_file
from aws_runas.credentials.printing import iso
from aws_runas.errors import ConfigError

SUFFIX = "-awsrunas"


def write_profile(path: Path, name: str, credentials: Credentials, region: str | None) -> str:
    """Add or replace the profile ``NAME-awsrunas``.

    Args:
        path: the shared credentials file, created with mode 0600 if missing; an existing file keeps its owner, group,
            mode and access list.
        name: the profile of the credentials.
        region: also written, unless None.

    Returns:
        The name of the written profile.

    Raises:
        ConfigError: the file is damaged, cannot be read or written, or cannot keep its owner, group or access list. It
            is unchanged.
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
    change_sections(path, {heading: values})
    return heading


def change_sections(path: Path, sections: Mapping[str, Mapping[str, str | None] | None]) -> None:
    """Set or remove keys of sections, or whole sections, atomically and under a lock between processes.

    Args:
        path: the config or the credentials file, created with mode 0600 if missing; an existing file keeps its owner,
            group, mode and access list. No copy of the old content is kept.
        sections: heading -> keys and values; None removes a key, or the section. A missing section is added, unless it
            would be empty.

    Raises:
        ConfigError: see `write_profile`.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a plain file")
        with locked(path):
            known = parse_file(path).sections  # a damaged file is not changed
            before = text = read_text(path)
            for heading, values in sections.items():
                if values is None:
                    text = without_section(text, heading)
                elif heading in known or any(value is not None for value in values.values()):
                    text = with_section(text, heading, values)
            if text != before:
                files.write_atomic(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            code="credentials-file-unwritable",
            hint=files.write_hint(
                error, "make it writable for you, or name another in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"
            ),
        ) from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a config or credentials file against other aws-runas processes, and remove leftovers of killed ones.

    Raises:
        OSError: the lock cannot be created.
    """
    lock = path.parent / "aws-runas" / f"{path.name}.lock"
    files.make_private_directory(lock.parent)
    with files.lock(lock):
        files.remove_unfinished(path)
        yield


def with_section(text: str, heading: str, values: Mapping[str, str | None]) -> str:
    """Set keys of one section.

    Args:
        text: the file's content.
        heading: of the section, added at the end if missing.
        values: the keys; None removes one.

    Returns:
        The content with only these lines changed.

    Raises:
        ConfigError: the heading or a value has more than one line, and would become other keys or sections.
    """
    _check_lines(heading, values)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = list(io.StringIO(text, newline=""))  # splitlines would also split at form feeds and the like
    parts = list(split_lines(lines))
    body = [f"{key} = {value}{newline}" for key, value in values.items() if value is not None]
    start = next((index for index, (kind, name) in enumerate(parts) if (kind, name) == ("heading", heading)), None)
    if start is None:
        if lines:  # the last line may lack its newline, even if it is blank: our line would begin with its blanks
            lines[-1] = _ended(lines[-1], newline)
            lines += [newline] if lines[-1].strip() else []
        return "".join([*lines, f"[{heading}]{newline}", *body])
    end = next((index for index in range(start + 1, len(parts)) if parts[index][0] == "heading"), len(parts))
    kept = [index for index in range(start + 1, end) if parts[index][0] == "other" or parts[index][1] not in values]
    # after the last key, where no line of the section can become a continuation of ours
    behind = max((index for index in kept if parts[index][0] == "key"), default=start)
    section = [lines[start], *(lines[index] for index in kept if index <= behind)]
    section[-1] = _ended(section[-1], newline)
    rest = [lines[index] for index in kept if index > behind]
    following = lines[end:]
    if body and following:  # an indented heading would continue the value of our last key
        following[0] = following[0].lstrip(" \t")
    return "".join([*lines[:start], *section, *body, *rest, *following])


def _check_lines(heading: str, values: Mapping[str, str | None]) -> None:
    for place, text in (("the name of a section", heading), *((f"the value of {key}", values[key]) for key in values)):
        if text is not None and any(character in text for character in "\r\n\0"):
            raise ConfigError(
                f"{text!r} cannot be {place}: it is not one line",
                code="config-value-invalid",
                hint="leave out the line breaks",
            )


def without_section(text: str, heading: str) -> str:
    """Remove a section with all its lines, and the blank lines before the next one.

    Args:
        text: the file's content.
        heading: of the section.
    """
    lines = list(io.StringIO(text, newline=""))
    parts = list(split_lines(lines))
    start = next((index for index, (kind, name) in enumerate(parts) if (kind, name) == ("heading", heading)), None)
    if start is None:
        return text
    end = next((index for index in range(start + 1, len(parts)) if parts[index][0] == "heading"), len(parts))
    if end == len(parts):  # the blank line that was added before the section
        while start and not lines[start - 1].strip():
            start -= 1
    return "".join([*lines[:start], *lines[end:]])


def split_lines(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Classify each line by configparser's rules.

    Args:
        lines: of a config file, with their newlines.

    Yields:
        ``heading`` and its name, ``key`` and the key that the line sets or continues, or ``other``.
    """
    key, indent = "", 0
    for number, line in enumerate(lines):
        text = (line.removeprefix("\ufeff") if number == 0 else line).rstrip()
        content = text.lstrip()
        if not content or content[0] in "#;":
            yield "other", ""
            continue
        here = len(text) - len(content)
        if not (key and here > indent):
            indent = here
            if content[0] == "[" and "]" in content[2:]:
                key = ""
                yield "heading", content[1 : content.rindex("]")]
                continue
            ends = [content.index(mark) for mark in "=:" if mark in content]
            key = content[: min(ends, default=len(content))].strip().lower()
        yield "key", key


def _ended(line: str, newline: str) -> str:
    return line if line.endswith(("\n", "\r")) else line + newline


def read_text(path: Path) -> str:
    """Return the text of a file with its original line endings; "" if there is no file."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:  # newline="" keeps the line endings
            return stream.read()
    except FileNotFoundError:
        return ""
