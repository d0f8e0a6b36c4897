"""What the command line gives to a sign-in: the terminal, the flags, and what to forget afterwards."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.cli.environment import Environment
from aws_runas.config.files import config_path
from aws_runas.credentials.cache import DiskCache, cache_directory
from aws_runas.fast import shortcut
from aws_runas.redact import printable
from aws_runas.signin.context import SignInContext, SignInOptions

DERIVED = ("sso-", "role-")  # kinds of entries that a sign-in to Identity Center leads to


def sign_in_context(
    env: Environment,
    debug: Callable[[str], None],
    *,
    options: SignInOptions | None = None,
    explicit: bool = False,
    unattended: bool = False,
    is_terminal_taken: Callable[[], bool] = lambda: False,
) -> SignInContext:
    """Make the context of this run.

    Args:
        debug: takes a line for ``-v``.
        options: the flags of `login`.
        explicit: the user asked for the sign-in itself.
        unattended: this run serves another program.
        is_terminal_taken: the user's program has the terminal now.
    """
    cache = cache_of(env)

    def signed_in() -> None:
        forget(env, cache, *DERIVED)

    return SignInContext(
        cache.directory,
        env.environ,
        env.home,
        lambda line: _say(env, line),
        debug,
        options or SignInOptions(),
        unattended=unattended,
        explicit=explicit,
        is_terminal_taken=is_terminal_taken,
        signed_in=signed_in,
        now=env.now,
    )


def cache_of(env: Environment) -> DiskCache:
    """Return the cache of this run."""
    directory = cache_directory(env.environ, config_path(env.environ, env.home), env.home)
    return DiskCache(directory, lambda line: _say(env, line))


def forget(env: Environment, cache: DiskCache, *names: str) -> bool:
    """Remove cached entries, and make every shortcut invalid; warn and return False where that fails.

    Args:
        names: as for `DiskCache.remove_entries`.
    """
    try:
        cache.remove_entries(*names, "ecr-")  # tokens of registries, made with any of them
        shortcut.invalidate(cache.directory)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        _say(env, f"warning: cached credentials in {cache.directory} are still there: {reason}")
        return False
    return True


def _say(env: Environment, line: str) -> None:
    env.stderr.write(f"aws-runas: {printable(line)}\n")
    env.stderr.flush()
