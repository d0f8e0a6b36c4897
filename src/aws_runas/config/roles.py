"""The AssumeRole calls of a profile, with all parameters."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from aws_runas.config.arn import is_role_arn
from aws_runas.config.durations import CHAINED_ROLE_LIMIT, ROLE_DEFAULT, ROLE_RANGE
from aws_runas.config.files import ProfileSection
from aws_runas.config.lookup import Lookup, checked, parsed
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Role, Setting
from aws_runas.errors import ConfigError, UsageError
from aws_runas.files import read_named


def role_duration(lookup: Lookup, overrides: Overrides, own: ProfileSection | None) -> Setting[int]:
    """Return the duration of the role credentials, in seconds.

    Args:
        own: the profile that has the role; only its duration_seconds applies, as in the AWS CLI.
    """
    if overrides.role_duration is not None:
        return checked(Setting(overrides.role_duration, "flag -a"), ROLE_RANGE, "role duration")
    text = lookup.text("credentials_duration", variable="CREDENTIALS_DURATION")
    if text is not None:
        return checked(parsed(text, "credentials_duration"), ROLE_RANGE, "role duration")
    return _own_duration(own) or Setting(ROLE_DEFAULT, "default")


def build_roles(
    links: tuple[ProfileSection, ...],
    arn: str | None,
    duration: Setting[int],
    overrides: Overrides,
    *,
    environ: Mapping[str, str],
) -> tuple[Role, ...]:
    """Return the roles in the order in which they are assumed.

    Args:
        links: the profiles that assume a role, the named one first.
        arn: of a role that the user named by its ARN, assumed last.
        duration: of the last role.
    """
    roles = [_role(link, environ) for link in reversed(links)]
    if arn is not None:
        roles.append(Role(arn, arn, _session_name(None, environ), duration))
    if not roles:
        return ()
    return (*roles[:-1], _apply_flags(roles[-1], duration, overrides, environ))


def _role(section: ProfileSection, environ: Mapping[str, str]) -> Role:
    arn = section.text("role_arn") or ""
    if not is_role_arn(arn):
        raise ConfigError(
            f"role_arn {arn} of profile {section.name} is not the ARN of an IAM role",
            code="arn-not-a-role",
            hint=f"correct it in {section.origin('role_arn')}",
        )
    duration = _own_credentials_duration(section) or _own_duration(section) or Setting(ROLE_DEFAULT, "default")
    if duration.value > CHAINED_ROLE_LIMIT:  # an intermediate role; the caller sets the duration of the last one
        duration = Setting(CHAINED_ROLE_LIMIT, f"{duration.origin}, cut to AWS's limit for a source")
    return Role(
        arn=arn,
        profile=section.name,
        session_name=_session_name(section, environ),
        duration=duration,
        external_id=section.text("external_id"),
        source_identity=_source_identity(section),
        tags=_tags(section),
        transitive_tags=_words(section.text("transitive_tags")),
        policy=read_policy(section.text("session_policy"), section.origin("session_policy")),
        policy_arns=_words(section.text("session_policy_arns")),
    )


def _apply_flags(role: Role, duration: Setting[int], overrides: Overrides, environ: Mapping[str, str]) -> Role:
    changed = dataclasses.replace(
        role,
        duration=duration,
        external_id=overrides.external_id or environ.get("EXTERNAL_ID", "").strip() or role.external_id,
        session_name=overrides.role_session_name or role.session_name,
        source_identity=overrides.source_identity or role.source_identity,
        tags=overrides.session_tags or role.tags,
        transitive_tags=overrides.transitive_tags or role.transitive_tags,
        policy=read_policy(overrides.policy, "flag --session-policy") or role.policy,
        policy_arns=overrides.policy_arns or role.policy_arns,
    )
    unknown = [key for key in changed.transitive_tags if key not in dict(changed.tags)]
    if unknown:
        kind = UsageError if overrides.transitive_tags else ConfigError
        raise kind(
            f"transitive tag {unknown[0]} is not among the session tags",
            code="transitive-tag-unknown",
            hint=f"add it, for instance --session-tag {unknown[0]}=VALUE",
        )
    return changed


def _own_duration(section: ProfileSection | None) -> Setting[int] | None:
    text = section.text("duration_seconds") if section else None
    if section is None or text is None:
        return None
    origin = section.origin("duration_seconds")
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(
            f"{origin}: duration_seconds {text!r} is not a whole number of seconds",
            code="duration-invalid",
            hint="write for instance duration_seconds = 3600, or credentials_duration = 1h",
        )
    return checked(Setting(int(text), origin), ROLE_RANGE, "role duration")


def _own_credentials_duration(section: ProfileSection) -> Setting[int] | None:
    text = section.text("credentials_duration")
    if text is None:
        return None
    setting = parsed(Setting(text, section.origin("credentials_duration")), "credentials_duration")
    return checked(setting, ROLE_RANGE, "role duration")


def _session_name(section: ProfileSection | None, environ: Mapping[str, str]) -> str:
    """Return the configured name, else a stable one from tool and user, so that cache entries stay valid."""
    name = section.text("role_session_name") if section else None
    origin = section.origin("role_session_name") if section and name else "AWS_ROLE_SESSION_NAME"
    name = name or environ.get("AWS_ROLE_SESSION_NAME", "").strip()
    return _checked_name(name, "role session name", origin) if name else default_session_name(environ)


def default_session_name(environ: Mapping[str, str]) -> str:
    """Return the role session name to use if no profile sets one."""
    user = environ.get("LOGNAME") or environ.get("USER") or environ.get("USERNAME") or ""
    safe = "".join(
        character for character in user if character.isascii() and (character.isalnum() or character in "_+=,.@-")
    )
    return f"aws-runas-{safe}"[:64].rstrip("-")  # AWS: 2 to 64 of [\w+=,.@-]


def check_name(name: str) -> str:
    """Return what is wrong with a role session name or source identity, "" if AWS accepts it.

    Args:
        name: from the configuration or a flag.

    Source: AWS API reference, STS AssumeRole.
    """
    if not all(letter.isascii() and (letter.isalnum() or letter in "_+=,.@-") for letter in name):
        return "may hold letters, digits and _+=,.@-"
    return "" if 2 <= len(name) <= 64 else "must have 2 to 64 characters"


def _checked_name(name: str, what: str, origin: str) -> str:
    """Return the name if AWS accepts it.

    Raises:
        ConfigError: AWS would not accept it, and its message would only show a pattern.
    """
    problem = check_name(name)
    if problem:
        raise ConfigError(f"{what} {name!r} {problem}", code="name-invalid", hint=f"correct it in {origin}")
    return name


def _source_identity(section: ProfileSection) -> str | None:
    name = section.text("source_identity")
    return _checked_name(name, "source identity", section.origin("source_identity")) if name else None


def _tags(section: ProfileSection) -> tuple[tuple[str, str], ...]:
    value = section.values.get("session_tags")
    if isinstance(value, dict):  # an indented block with one tag per line
        return tuple(value.items())
    try:
        return tuple(parse_tag(word) for word in _words(section.text("session_tags")))
    except ValueError as error:
        raise ConfigError(
            f"{section.origin('session_tags')}: {error}",
            code="session-tag-invalid",
            hint="write Key=Value, Key2=Value2",
        ) from None


def parse_tag(text: str) -> tuple[str, str]:
    """Split ``Key=Value``.

    Args:
        text: one tag.

    Returns:
        Key and value, without surrounding blanks.

    Raises:
        ValueError: the text has no ``=`` or no key; the message can be shown.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"session tag {text!r} is not Key=Value")
    return key.strip(), value.strip()


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in (text or "").split(",")) if word)


def read_policy(text: str | None, origin: str) -> str | None:
    """Return an inline policy as JSON text; ``file://PATH`` reads it from a file.

    Args:
        origin: of the text, for messages.

    Raises:
        UsageError, ConfigError: the text is not JSON, or the file cannot be read.
    """
    if not text:
        return None
    kind = UsageError if origin.startswith("flag ") else ConfigError
    if text.startswith("file://"):
        path = Path(os.path.expanduser(text.removeprefix("file://")))
        try:
            text = read_named(path).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise kind(
                f"{origin}: cannot read {path}: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}",
                code="session-policy-unreadable",
                hint="name a file that holds a policy as JSON",
            ) from None
    import json

    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except ValueError:
        raise kind(
            f"{origin}: the session policy is not JSON",
            code="session-policy-invalid",
            hint="name a file with file://PATH, or quote the JSON",
        ) from None
