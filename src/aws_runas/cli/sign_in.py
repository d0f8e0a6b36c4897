"""The sign-in context of a command: the terminal, the flags, and the cache entries to remove afterwards."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.cli.environment import Environment
from aws_runas.credentials.cache import DiskCache
from aws_runas.dataclass import dataclass
from aws_runas.fast import shortcut
from aws_runas.signin.context import SignInContext, SignInOptions

DERIVED = ("sso-", "role-")  # kinds of entries that result from a sign-in to Identity Center


def _no() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Attendance:
    """Availability of the user in this run.

    Args:
        options: the flags of `login`, if the user asked for the sign-in itself; else None.
        unattended: this run serves another program, so no sign-in may start.
        is_terminal_taken: returns True once the user's program has the terminal; then no sign-in may start either.
    """

    options: SignInOptions | None = None
    unattended: bool = False
    is_terminal_taken: Callable[[], bool] = _no


def sign_in_context(
    env: Environment,
    debug: Callable[[str], None],
    attendance: Attendance | None = None,
) -> SignInContext:
    """Return the context of a sign-in in this run.

    Args:
        env: streams and variables.
        debug: receives the lines for ``-v``.
        attendance: whether the user can answer.
    """
    attendance = attendance or Attendance()

    def signed_in() -> None:
        forget(env, *DERIVED)

    return SignInContext(
        env.cache_directory(),
        env.environ,
        env.home,
        lambda line: _say(env, line),
        debug,
        attendance.options or SignInOptions(),
        unattended=attendance.unattended,
        explicit=attendance.options is not None,
        is_terminal_taken=attendance.is_terminal_taken,
        signed_in=signed_in,
        now=env.now,
    )


def cache_of(env: Environment) -> DiskCache:
    """Return the cache of this run."""
    return DiskCache(env.cache_directory(), lambda line: _say(env, line))


def forget(env: Environment, *names: str) -> bool:
    """Make every shortcut invalid and remove cached entries; warn and return False if that fails.

    Args:
        env: environment of the cache.
        names: as for `DiskCache.remove_entries`; none if only the credentials of the cached path are outdated.
    """
    cache = cache_of(env)
    try:
        if names:
            cache.remove_entries(*names, "ecr-")  # registry tokens, which may come from any of these credentials
        shortcut.invalidate(cache.directory)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        env.warn(f"cached credentials in {cache.directory} are still there ({reason}): remove it, or they stay in use")
        return False
    return True


def _say(env: Environment, line: str) -> None:
    env.tell(f"aws-runas: {line}\n")
