"""Opens an Access from the global flags. MFA prompts go to the terminal, warnings to stderr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aws_runas.aws.access import Access
from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.shortcut import shortcut_facts, write_shortcut
from aws_runas.cli.sign_in import Attendance, sign_in_context
from aws_runas.cli.terminal.prompt import ask_on_terminal, ask_passphrase, person_at_terminal
from aws_runas.config.files import ConfigFiles
from aws_runas.config.lookup import asks_for_picker
from aws_runas.config.overrides import Overrides
from aws_runas.config.roles import check_name, parse_tag
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.errors import UsageError
from aws_runas.fast import shortcut as fast
from aws_runas.signin.context import RunContext


def open_access_for(
    flags: GlobalFlags,
    profile: str | None,
    env: Environment,
    *,
    prompt: Callable[[str], str] = ask_on_terminal,
    attendance: Attendance | None = None,
    files: ConfigFiles | None = None,
) -> Access:
    """Resolve the profile that the command line names.

    Args:
        flags: the global flags.
        profile: name or role ARN, None when the command line has none.
        env: streams and variables.
        prompt: asks for an MFA code.
        attendance: whether the user can answer a sign-in.
        files: config files to use; None for those of the run.

    Raises:
        ConfigError: see `aws_runas.config.resolve.resolve`.
    """
    profile = flags.profile if profile is None else profile
    if flags.signin.password:
        env.warn("-P shows the password to other users, in the list of processes; use RUNAS_PASSWORD")
    debug, trace = logs(flags.verbose)
    overrides = overrides_of(flags)
    before = fast.header(env.environ)
    access = open_access(
        profile,
        overrides,
        RunContext(env.environ, env.home, env.now, env.warn, debug, trace),
        Prompts(prompt, ask_passphrase, person_at_terminal(env.environ)),
        files=files or env.config_files(),
        signin=sign_in_context(env, debug, attendance),
    )
    may_ask = profile is None and not is_profile_set(env.environ) and asks_for_picker(env.config_files())
    # no shortcut if flags affect the credentials, or if the same call may open the picker next time
    if replace(overrides, use_session_token=False, refresh=False) == Overrides() and not may_ask:
        access.shortcut = lambda found: write_shortcut(
            profile,
            access.profile,
            found,
            env.environ,
            before=before,
            facts=shortcut_facts(access.profile, env.environ, env.home),
        )
    if flags.expiration:
        access.provider = _Announced(access.provider, env)
    return access


class _Announced:
    """Provider that reports, for -e, when the first credentials expire, whatever the command is."""

    def __init__(self, inner: Provider, env: Environment) -> None:
        self._inner = inner
        self._env = env
        self._said = False

    def credentials(self, *, refresh: bool = False) -> Credentials:
        found = self._inner.credentials(refresh=refresh)
        if not self._said:
            from aws_runas.credentials.printing import expiration_text

            self._said = True
            self._env.tell(expiration_text(found, self._env.now()))
        return found


def overrides_of(flags: GlobalFlags) -> Overrides:
    """Return the flags that affect credentials."""
    return Overrides(
        region=flags.region,
        session_token_duration=flags.session_token_duration,
        role_duration=flags.role_duration,
        mfa_serial=flags.mfa_serial,
        otp=flags.otp,
        mfa_process=flags.mfa_process,
        external_id=flags.external_id,
        use_session_token=flags.use_session_token,
        refresh=flags.refresh,
        role_session_name=_name(flags.role_session_name, "role session name"),
        session_tags=tuple(_pair(tag) for tag in flags.session_tags),
        transitive_tags=flags.transitive_tags,
        source_identity=_name(flags.source_identity, "source identity"),
        policy=flags.session_policy,
        policy_arns=flags.session_policy_arns,
        signin=flags.signin,
    )


def logs(verbosity: int) -> tuple[Callable[[str], None], Callable[[str], None] | None]:
    """Return the functions that log debug and trace lines; without -v, logging is not imported."""
    if not verbosity:
        return lambda _: None, None
    import logging

    logger = logging.getLogger("aws_runas")
    return logger.debug, logger.debug if verbosity > 1 else None


def _name(text: str | None, what: str) -> str | None:
    """Check a name against the pattern that AWS requires (AWS API reference, sts AssumeRole)."""
    if text is None:
        return None
    problem = check_name(text)
    if problem:
        raise UsageError(f"{what} {text!r} {problem}", code="name-invalid")
    return text


def _pair(text: str) -> tuple[str, str]:
    try:
        return parse_tag(text)
    except ValueError as error:
        raise UsageError(str(error), code="session-tag-invalid", hint="write --session-tag Team=blue") from None
