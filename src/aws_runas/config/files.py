"""The AWS config and credentials files, read as the AWS CLI reads them.

The grammar is configparser's, because the AWS CLI uses it: all files that it accepts are accepted here. Each syntax
error names the file and the line.
"""

from __future__ import annotations

import configparser
import errno
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from string import Template

from aws_runas.config.headings import broken_heading, heading_of, intended_heading, split_heading
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

Section = dict[str, str | dict[str, str]]

PASSWORD_SECTIONS = ("https://", "http://")  # in the credentials file: the address of an identity provider
COPY_OF = "# aws-runas: copy of "  # first words of a copy by run/config_copy.py
MAX_SIZE = 16 << 20  # bytes of a config file; a device such as /dev/zero never ends
KEY_NAMES = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A parsed file.

    Args:
        path: of the file.
        exists: False if the file does not exist, which is not an error.
        sections: by heading, as written between the brackets.
        lines: the line number of each (section, key); of the heading itself with the key "".
    """

    path: Path
    exists: bool = False
    sections: dict[str, Section] = field(default_factory=dict, repr=False)
    lines: dict[tuple[str, str], int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ProfileSection:
    """The settings of one profile in both files: for each key, the credentials file has precedence, as in the AWS CLI.

    Access keys are an exception, again as in the AWS CLI: all of them come from one file.

    Args:
        keys_shared: the access keys are in the credentials file.
    """

    name: str
    values: dict[str, str | dict[str, str]]
    origins: dict[str, str]
    keys_shared: bool = False

    def __repr__(self) -> str:
        return f"ProfileSection({self.name!r})"  # the values hold secrets

    def text(self, key: str) -> str | None:
        """Return a plain value, or None if it is missing, empty or a nested block.

        Args:
            key: of the value.
        """
        value = self.values.get(key)
        return value.strip() or None if isinstance(value, str) else None

    def origin(self, key: str) -> str:
        """Return file, line and section of a key, for messages.

        Args:
            key: of the value.
        """
        return self.origins.get(key, f"profile {self.name}")


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """The config file and the credentials file together.

    Args:
        config: ``AWS_CONFIG_FILE`` or ``~/.aws/config``.
        credentials: ``AWS_SHARED_CREDENTIALS_FILE`` or ``~/.aws/credentials``.
        profiles: by name.
        sso_sessions, services: sections of these kinds, by name.
    """

    config: ParsedFile
    credentials: ParsedFile
    profiles: dict[str, ProfileSection]
    sso_sessions: dict[str, Section]
    services: dict[str, Section]

    def profile_names(self) -> list[str]:
        """Return every profile in both files, in file order."""
        return list(self.profiles)

    def ignored(self) -> dict[tuple[str, str], str]:
        """Return what is wrong with each section of the config file whose heading has no meaning.

        The key is the kind and name that were probably meant.
        """
        found = {}
        for heading in self.config.sections:
            intended = intended_heading(heading)
            if intended:
                found[split_heading(intended)] = f"{self._place(heading)}: [{heading}] is ignored; write [{intended}]"
        return found

    def wrong_heading(self, name: str) -> str:
        """Return why a profile is unknown although the config file has a section for it, "" if there is no section.

        Args:
            name: of the profile.
        """
        if name in self.config.sections:
            return f"{self._place(name)} has [{name}]; in this file it must be [{heading_of('profile', name)}]"
        return self.ignored().get(("profile", name), "")

    def _place(self, heading: str) -> str:
        return f"{self.config.path}, line {self.config.lines.get((heading, ''), '?')}"


def profile_heading(parsed: ParsedFile, name: str) -> str:
    """Return the heading of a profile's section in the config file, or the heading for a new section.

    Args:
        parsed: the config file.
        name: of the profile.
    """
    for heading in reversed(parsed.sections):
        if split_heading(heading) == ("profile", name):
            return heading
    return heading_of("profile", name)


def load_files(environ: Mapping[str, str], home: Path) -> ConfigFiles:
    """Read both files; a missing file counts as empty.

    Args:
        environ: may name the files.
        home: contains ``.aws``.

    Raises:
        ConfigError: a file is damaged, unreadable or a directory.
    """
    config = parse_file(config_path(environ, home))
    credentials = parse_file(credentials_path(environ, home))
    profiles: dict[str, ProfileSection] = {}
    sso_sessions: dict[str, Section] = {}
    services: dict[str, Section] = {}
    for heading, section in config.sections.items():
        kind, name = split_heading(heading)
        if kind == "profile":
            profiles[name] = _section(name, config, heading, section)
        elif kind == "sso-session":
            sso_sessions[name] = section
        elif kind == "services":
            services[name] = section
    for heading, section in credentials.sections.items():
        if heading.startswith(PASSWORD_SECTIONS):
            continue
        profiles[heading] = _merge(profiles.get(heading), _section(heading, credentials, heading, section))
    return ConfigFiles(config, credentials, profiles, sso_sessions, services)


def config_path(environ: Mapping[str, str], home: Path) -> Path:
    """Return the path of the config file, whether it exists or not.

    A program started by aws-runas may have a copy of it (run/config_copy.py), which lacks the sources of its default
    profile. The first line of the copy names the original. If aws-runas runs inside such a program, it uses the
    original.

    Args:
        environ: the variables.
        home: contains ``.aws``, unless a variable names the file.
    """
    path = _path(environ, "AWS_CONFIG_FILE", home, home / ".aws" / "config")
    if "AWSRUNAS_PROFILE" in environ and path.name.startswith("aws-runas-config-"):
        return _original(path) or path
    return path


def credentials_path(environ: Mapping[str, str], home: Path) -> Path:
    """Return the path of the shared credentials file, whether it exists or not.

    A program that aws-runas starts with an endpoint has this variable set to the null device, for its SDK. If
    aws-runas runs again inside such a program, for example a shell, this value is ignored.

    Args:
        environ: the variables.
        home: contains ``.aws``, unless a variable names the file.
    """
    if environ.get("AWS_SHARED_CREDENTIALS_FILE") == os.devnull and environ.get("AWSRUNAS_PROFILE"):
        return home / ".aws" / "credentials"
    return _path(environ, "AWS_SHARED_CREDENTIALS_FILE", home, home / ".aws" / "credentials")


def parse_file(path: Path) -> ParsedFile:
    """Parse one file.

    Args:
        path: of the file; a missing file counts as empty.

    Raises:
        ConfigError: the file cannot be read or parsed; the message names file and line.
    """
    text = _read(path)
    if text is None:
        return ParsedFile(path)
    parser = configparser.RawConfigParser()
    damage = None
    try:
        parser.read_file(io.StringIO(text, newline=None), str(path))
    except configparser.Error as error:
        damage = _damaged(path, error, text)
    if damage is not None:
        raise damage  # out here, since configparser's error quotes the line and must not become the context
    lines = dict(_line_numbers(text))
    sections: dict[str, Section] = {}
    for heading in parser.sections():
        section: Section = {}
        for key in parser.options(heading):
            value = parser.get(heading, key)
            section[key] = _nested(path, value, lines.get((heading, key))) if value.startswith("\n") else value
        sections[heading] = section
    return ParsedFile(path, True, sections, lines)


def _path(environ: Mapping[str, str], variable: str, home: Path, default: Path) -> Path:
    text = environ.get(variable)
    if not text:
        return default
    text = Template(text).safe_substitute(environ)
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    return Path(os.path.expanduser(text))  # a "~" without a known user stays, as in the AWS CLI


def _original(copy: Path) -> Path | None:
    try:
        with copy.open(encoding="utf-8", errors="surrogateescape") as stream:
            line = stream.readline()
    except OSError:
        return None
    return Path(line.removeprefix(COPY_OF).rstrip("\n")) if line.startswith(COPY_OF) else None


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a directory, not a config file",
            code="config-file-directory",
            hint="name a file in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE, or remove the directory",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}",
            code="config-file-unreadable",
            hint="make it readable for you, for instance with chmod 600"
            if isinstance(error, PermissionError)
            else "name another file in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"
            + ("; this symbolic link leads back to itself" if error.errno == errno.ELOOP else ""),
        ) from None
    if len(content) > MAX_SIZE:
        raise ConfigError(
            f"{path} is larger than {MAX_SIZE >> 20} MiB, so it is not a config file",
            code="config-file-unreadable",
            hint="name another file in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE",
        )
    try:
        text = content.decode("utf-8-sig")
        bad = text.find("\0")
        before = text[: max(bad, 0)].encode()
    except UnicodeDecodeError as error:
        bad, before = error.start, content[: error.start]
    if bad >= 0:
        raise ConfigError(
            f"{path}, line {_line(before)}: not UTF-8 text",
            code="config-file-encoding",
            hint="save the file as UTF-8",
        )
    return text


def _damaged(path: Path, error: configparser.Error, text: str) -> ConfigError:
    """Return an error that tells what is wrong with a file and where, without its content, which may be secret."""
    line: int | None = getattr(error, "lineno", None)
    if isinstance(error, configparser.DuplicateSectionError):
        what = f"section [{error.section}] occurs twice"
    elif isinstance(error, configparser.DuplicateOptionError):
        what = f"key {error.option} occurs twice in section [{error.section}]"
    elif isinstance(error, configparser.MissingSectionHeaderError):
        what = "a line is before the first [section]"
    else:
        errors = getattr(error, "errors", None)
        line = errors[0][0] if errors else line
        what = "neither a [section], nor key = value, nor a comment"
    if line:
        line, what = broken_heading(text, line) or (line, what)
    where = f"{path}, line {line}" if line else str(path)
    return ConfigError(f"{where}: {what}", code="config-file-damaged", hint="correct that line")


def _nested(path: Path, value: str, line: int | None) -> dict[str, str]:
    values: dict[str, str] = {}
    for entry in value.splitlines():
        if not entry.strip():
            continue
        key, equals, content = entry.partition("=")
        if not equals:
            raise ConfigError(
                f"{path}, line {line}: an indented line of this block is not key = value",
                code="config-file-damaged",
                hint="correct that block",
            )
        values[key.strip()] = content.strip()
    return values


def _section(name: str, parsed: ParsedFile, heading: str, section: Section) -> ProfileSection:
    origins = {key: f"[{heading}] in {parsed.path}, line {parsed.lines.get((heading, key), '?')}" for key in section}
    return ProfileSection(name, dict(section), origins)


def _merge(config: ProfileSection | None, credentials: ProfileSection) -> ProfileSection:
    shared = "aws_access_key_id" in credentials.values
    values = dict(config.values) if config else {}
    if shared:
        values = {key: value for key, value in values.items() if key not in KEY_NAMES}
    origins = (config.origins if config else {}) | credentials.origins
    return ProfileSection(credentials.name, values | credentials.values, origins, keys_shared=shared)


def _line_numbers(text: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Return the line of each key in each section, approximately as configparser reads them, for messages."""
    heading = ""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[" and "]" in stripped:
            heading = stripped[1 : stripped.rindex("]")]
            yield (heading, ""), number
        elif not line[0].isspace():
            end = min((stripped.index(mark) for mark in "=:" if mark in stripped), default=len(stripped))
            yield (heading, stripped[:end].strip().lower()), number


def _line(before: bytes) -> int:
    return before.count(b"\n") + 1
