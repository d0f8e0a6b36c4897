"""Endpoint addresses that the configuration sets, by the AWS SDKs' rules."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas.config.files import ConfigFiles, ProfileSection
from aws_runas.config.profile import Setting
from aws_runas.errors import ConfigError

_PREFIX = "AWS_ENDPOINT_URL_"


def endpoint_urls(
    files: ConfigFiles, section: ProfileSection | None, environ: Mapping[str, str]
) -> dict[str, Setting[str]]:
    """Every endpoint that is configured.

    The order, strongest first: AWS_ENDPOINT_URL_SERVICE, AWS_ENDPOINT_URL, the profile's services section, its
    endpoint_url. Only the named profile counts, not its sources.

    Returns:
        By service id in lower case with underscores; ``""`` stands for every service.
    """
    if _ignored(section, environ):
        return {}
    found: dict[str, Setting[str]] = {}
    if section is not None:
        url = section.text("endpoint_url")
        if url:
            found[""] = _checked(url, section.origin("endpoint_url"))
        found.update(_services(files, section))
    if environ.get("AWS_ENDPOINT_URL"):
        found = {"": _checked(environ["AWS_ENDPOINT_URL"], "AWS_ENDPOINT_URL")}
    for variable, url in environ.items():
        if variable.startswith(_PREFIX) and url:
            found[variable.removeprefix(_PREFIX).lower()] = _checked(url, variable)
    return found


def _services(files: ConfigFiles, section: ProfileSection) -> dict[str, Setting[str]]:
    name = section.text("services")
    if not name:
        return {}
    if name not in files.services:
        raise ConfigError(
            f"services {name} of profile {section.name} has no section",
            code="services-not-found",
            hint=f"add [services {name}] or correct {section.origin('services')}",
        )
    found = {}
    for service, values in files.services[name].items():
        url = values.get("endpoint_url") if isinstance(values, dict) else None
        if url:
            found[service.lower()] = _checked(url, f"[services {name}] in {files.config.path}")
    return found


def _ignored(section: ProfileSection | None, environ: Mapping[str, str]) -> bool:
    text = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    if not text and section is not None:
        text = section.text("ignore_configured_endpoint_urls")
    return (text or "").lower() == "true"  # AWS's own variable and key: no other word counts


def _checked(url: str, origin: str) -> Setting[str]:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"endpoint {url!r} ({origin}) is not an http or https address",
            code="endpoint-invalid",
            hint="write for instance https://sts.example.com",
        )
    return Setting(url, origin)
