"""Configured endpoint addresses, by the rules of the AWS SDKs."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas.config.files import ConfigFiles, ProfileSection
from aws_runas.config.headings import heading_of
from aws_runas.config.profile import Setting
from aws_runas.errors import ConfigError
from aws_runas.fast.names import is_aws_true

_PREFIX = "AWS_ENDPOINT_URL_"


# The services that aws-runas calls; an invalid endpoint of another service is not an error.
_CALLED = frozenset(
    (
        "",
        "ec2",
        "ec2_instance_connect",
        "ecr",
        "ecr_public",
        "ecs",
        "eks",
        "elasticache",
        "iam",
        "kms",
        "rds",
        "signin",
        "sso",
    )
) | {"sso_oidc", "ssm", "ssmmessages", "sts"}


def endpoint_urls(
    files: ConfigFiles, section: ProfileSection | None, environ: Mapping[str, str]
) -> tuple[dict[str, Setting[str]], tuple[str, ...]]:
    """Collect every configured endpoint.

    The order, highest precedence first: AWS_ENDPOINT_URL_SERVICE, AWS_ENDPOINT_URL, the profile's services section, its
    endpoint_url. Only the named profile is read, not its sources.

    Args:
        files: both config files.
        section: of the named profile, or None.
        environ: the variables.

    Returns:
        The endpoints by service id in lower case with underscores, ``""`` for every service; and a warning for each
        invalid setting that is not used.

    Raises:
        ConfigError: an endpoint that is used is not an address.
    """
    if _ignored(section, environ):
        return {}, ()
    found: dict[str, Setting[str]] = {}
    unused: list[str] = []
    overridden = bool(environ.get("AWS_ENDPOINT_URL"))
    for service, setting in _of_profile(files, section, overridden, unused):
        if overridden or environ.get(_PREFIX + service.upper()):
            _warn_of(setting, "overridden", unused)
        else:
            found[service] = setting
    if overridden:
        found[""] = Setting(environ["AWS_ENDPOINT_URL"], "AWS_ENDPOINT_URL")
    for variable, url in environ.items():
        if variable.startswith(_PREFIX) and url:
            found[variable.removeprefix(_PREFIX).lower()] = Setting(url, variable)
    used = {}
    for service, setting in found.items():
        if service in _CALLED and not _is_address(setting.value):
            raise ConfigError(
                f"endpoint {setting.value!r} ({setting.origin}) is not an http or https address",
                code="endpoint-invalid",
                hint="write for instance https://sts.example.com",
            )
        if _is_address(setting.value):
            used[service] = setting
        else:
            _warn_of(setting, f"of {service}, which aws-runas does not call", unused)
    return used, tuple(unused)


def _of_profile(
    files: ConfigFiles, section: ProfileSection | None, overridden: bool, unused: list[str]
) -> list[tuple[str, Setting[str]]]:
    if section is None:
        return []
    found: list[tuple[str, Setting[str]]] = []
    url = section.text("endpoint_url")
    if url:
        found.append(("", Setting(url, section.origin("endpoint_url"))))
    name = section.text("services")
    if not name:
        return found
    if name not in files.services:
        problem = f"services {name} of profile {section.name} has no section"
        if not overridden:
            added = f"add [{heading_of('services', name)}] or correct {section.origin('services')}"
            hint = files.ignored().get(("services", name), added)
            raise ConfigError(problem, code="services-not-found", hint=hint)
        unused.append(f"{problem}; AWS_ENDPOINT_URL overrides it")
        return found
    for service, values in files.services[name].items():
        url = values.get("endpoint_url") if isinstance(values, dict) else None
        if url:
            found.append((service.lower(), Setting(url, f"[services {name}] in {files.config.path}")))
    return found


def _warn_of(setting: Setting[str], reason: str, unused: list[str]) -> None:
    if not _is_address(setting.value):
        unused.append(f"endpoint {setting.value!r} ({setting.origin}) is not an address; not used: {reason}")


def _ignored(section: ProfileSection | None, environ: Mapping[str, str]) -> bool:
    text = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    if not text and section is not None:
        text = section.text("ignore_configured_endpoint_urls")
    return is_aws_true(text)


def _is_address(url: str) -> bool:
    from urllib.parse import urlsplit

    if any(character.isspace() or not character.isprintable() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
