"""From the global flags to an Access, with the terminal for MFA codes and stderr for warnings."""

from __future__ import annotations

from aws_runas.cli.environment import Environment
from aws_runas.cli.flags import GlobalFlags
from aws_runas.cli.prompt import ask_on_terminal
from aws_runas.config.overrides import Overrides, boolean
from aws_runas.credentials.access import Access
from aws_runas.credentials.build import open_access


def open_access_for(flags: GlobalFlags, profile: str | None, env: Environment) -> Access:
    """Resolve the profile that the command line names.

    Args:
        flags: the global flags.
        profile: name or role ARN, None when the command line has none.
        env: streams and variables.

    Raises:
        ConfigError: see `aws_runas.config.resolve.resolve`.
    """

    def warn(line: str) -> None:
        env.stderr.write(f"aws-runas: warning: {line}\n")

    def debug(line: str) -> None:
        if verbosity:
            env.stderr.write(f"aws-runas: debug: {line}\n")

    verbosity = flags.verbose or int(boolean(env.environ, "RUNAS_VERBOSE"))
    return open_access(
        profile,
        overrides_of(flags),
        environ=env.environ,
        home=env.home,
        prompt=ask_on_terminal,
        now=env.now,
        warn=warn,
        debug=debug,
        trace=debug if verbosity > 1 else None,
    )


def overrides_of(flags: GlobalFlags) -> Overrides:
    """The flags that bear on credentials."""
    extra = dict(flags.extra)
    tags = tuple(_pair(value) for name, value in flags.extra if name == "session-tag")
    return Overrides(
        session_token_duration=flags.session_token_duration,
        role_duration=flags.role_duration,
        mfa_serial=flags.mfa_serial,
        otp=flags.otp,
        mfa_process=extra.get("mfa-process"),
        external_id=flags.external_id,
        session=flags.session,
        refresh=flags.refresh,
        role_session_name=extra.get("role-session-name"),
        session_tags=tags,
        transitive_tags=tuple(value for name, value in flags.extra if name == "transitive-tag"),
        source_identity=extra.get("source-identity"),
        policy=extra.get("policy"),
        policy_arns=tuple(value for name, value in flags.extra if name == "policy-arn"),
    )


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value
