"""Checks without network access: the profile, the variables, the region, the credentials, the plugin."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas import redact
from aws_runas.config.files import ConfigFiles
from aws_runas.config.profile import KeyringSource, KeySource, NoSource, Profile
from aws_runas.diagnosis.model import Finding, fail, ok, warn
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, SessionError

_PAIRS = (("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), ("AWS_REGION", "AWS_DEFAULT_REGION"))


def check_profile(profile: Profile | AwsRunasError, files: ConfigFiles | None) -> Finding:
    """Check that the profile exists and is complete.

    Args:
        profile: the resolved profile, or the error that was raised.
        files: None if they could not be read.
    """
    if isinstance(profile, AwsRunasError):
        return fail("profile", profile)
    if isinstance(profile.source, NoSource) and profile.roles:
        return fail("profile", ConfigError(profile.source.message, code="source-missing", hint=profile.source.hint))
    steps = [profile.name if profile.named else f"{profile.name} (no other was named)"]
    if profile.source_profile and profile.source_profile != profile.name:
        steps.append(f"source profile {profile.source_profile}")
    steps += [f"role {role.arn}" for role in profile.roles]
    where = f" in {files.config.path}" if files is not None and profile.section else ""
    if profile.unused:
        lines = "; ".join([", ".join(steps) + where, *profile.unused])
        return warn("profile", lines, "correct or remove the unused settings")
    return ok("profile", ", ".join(steps) + where)


def check_variables(environ: Mapping[str, str], profile: Profile | None) -> Finding:
    """Check for variables that contradict each other or the named profile.

    Args:
        environ: the variables.
        profile: None if it could not be resolved.
    """
    key, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN", "")
    if bool(key) != bool(secret):
        there, missing = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")[:: 1 if key else -1]
        return _contradiction(f"{there} is set without {missing}", "set both, or neither")
    if token and key.startswith("AKIA"):
        return _contradiction(
            "AWS_SESSION_TOKEN is set beside the long-term key in AWS_ACCESS_KEY_ID", "unset AWS_SESSION_TOKEN"
        )
    if token and not key:
        return _contradiction("AWS_SESSION_TOKEN is set without AWS_ACCESS_KEY_ID", "unset AWS_SESSION_TOKEN")
    found = [
        (f"{first} is {environ[first]} and {second} is {environ[second]}; {first} counts", f"unset {second}")
        for first, second in _PAIRS
        if environ.get(first) and environ.get(second) and environ[first] != environ[second]
    ]
    for line in profile.warnings if profile else ():
        found.append((line, "unset AWS_ACCESS_KEY_ID if other programs are to use the profile as well"))
    if environ.get("AWSRUNAS_PROFILE"):
        found.append(
            (
                f"AWSRUNAS_PROFILE is {environ['AWSRUNAS_PROFILE']}: aws-runas runs this program, or set the variables",
                "leave the program, or remove the variables with runas - or aws-runas --unset",
            )
        )
    if found:
        lines, advice = zip(*found, strict=True)
        return warn("variables", "; ".join(lines), "; ".join(advice))
    return ok("variables", "no contradictions")


def _contradiction(message: str, advice: str) -> Finding:
    return fail("variables", ConfigError(message, code="keys-incomplete", hint=advice))


def check_region(profile: Profile, *, needed: bool) -> Finding:
    """Check that a region is set.

    Args:
        profile: the resolved profile.
        needed: True if a target was named, so that a region is required.
    """
    if profile.region is not None:
        return ok("region", f"{profile.region.value} ({profile.region.origin})")
    advice = "set AWS_REGION, or region = NAME in the profile"
    if needed:
        return fail(
            "region", ConfigError("no region is set, and a session needs one", code="region-missing", hint=advice)
        )
    return warn("region", f"no region is set; STS is called in {profile.sts_region}", f"for sessions, {advice}")


def check_credentials(profile: Profile) -> Finding:
    """Check that the profile has a source of credentials.

    Args:
        profile: the resolved profile.
    """
    source = profile.source
    if isinstance(source, NoSource):
        return fail("credentials", CredentialsError(source.message, code="credentials-missing", hint=source.hint))
    if isinstance(source, KeyringSource):
        return ok("credentials", f"access keys {redact.key_id(source.access_key_id)} from {source.origin}")
    if isinstance(source, KeySource):
        kind = "temporary keys" if source.session_token else "access keys"
        message = f"{kind} {redact.key_id(source.access_key_id)} from {source.origin}"
        section = profile.sections.get(profile.source_profile or "")
        if section is not None and section.keys_shared and section.text("keyring"):
            return warn(
                "credentials",
                f"{message}, although there are keys in the keyring too ({section.origin('keyring')})",
                f"the credentials file is used; remove these lines, or: aws-runas keys remove {section.name}",
            )
        return ok("credentials", message)
    return ok("credentials", f"from {source.origin}")


def check_plugin(environ: Mapping[str, str]) -> Finding:
    """Check for the external plugin, which only ``--plugin`` needs.

    Args:
        environ: PATH is searched.
    """
    from aws_runas.ssm.plugin import PROGRAM, RECOMMENDED, find_plugin, render_version

    try:
        found = find_plugin(environ)
    except SessionError as error:
        if error.code == "plugin-not-found":
            return ok("plugin", f"{PROGRAM} is not installed; only --plugin needs it")
        return warn("plugin", error.message, error.hint or "")
    version = render_version(found.version)
    if found.version < RECOMMENDED:
        return warn("plugin", f"{found.path} is {version}", f"update it to {render_version(RECOMMENDED)} or later")
    return ok("plugin", f"{found.path} is {version}")
