"""The request to the helper: a script for ``sh``, with user, directory and variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.ssm.command.bootstrap import quote


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command for the helper.

    Args:
        text: text for the user's shell; "" if the shell reads its script from standard input.
        wants_input: pass standard input to the command; otherwise it gets /dev/null.
        user: run the command as this user through sudo; None for the session's own user.
        cwd: working directory, None for the user's home directory.
        env: variables of the command.
        shell: the program that interprets the text.
        timeout: seconds until the command gets TERM, None for no limit.
        kill_after: seconds between TERM and KILL.
        pace: maximum bytes per second that the helper writes, 0 for no limit.
    """

    text: str
    wants_input: bool = False
    user: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    shell: str = "sh"
    timeout: float | None = None
    kill_after: float = 10.0
    pace: int = 0

    def script(self, *, with_env: bool) -> str:
        """Return the whole script.

        Args:
            with_env: set the variables in the script; otherwise the helper passes them.
        """
        shell = quote(self.shell)
        # The space prevents the shell from reading a command such as -x as an option.
        text = f" {self.text}" if self.text.startswith(("-", "+")) else self.text
        start = f"exec {shell} -c {quote(text)}" if text else f"exec {shell}"
        exports = "".join(f"export {name}={quote(value)}; " for name, value in self.env.items())
        if self.user is None:
            return f"{exports if with_env else ''}{_change_directory(self.cwd)}{start}"
        return f"{self._sudo()} sh -c {quote(exports + _change_directory(self.cwd) + start)}"

    def check(self) -> str:
        """Return a script that fails if the user or the directory does not exist; "" if nothing can fail."""
        if self.user is not None:
            return f"{self._sudo()} sh -c {quote(_change_directory(self.cwd) + ':')}"
        return f"cd -- {quote(self.cwd)}" if self.cwd is not None else ""

    def fields(self, *, with_script: bool) -> bytes:
        """Return the request as the Python helper reads it: names and values, each ended by a zero byte.

        Args:
            with_script: include the script and the variables; otherwise the script is sent separately and sets them.
        """
        values: dict[str, str] = {"kill_after": str(self.kill_after)}
        if self.wants_input:
            values["input"] = "1"
        if self.pace:
            values["pace"] = str(self.pace)
        if self.timeout is not None:
            values["timeout"] = str(self.timeout)
        if check := self.check():
            values["check"] = check
        if with_script:
            in_script = self.user is not None  # sudo removes variables
            values["script"] = self.script(with_env=in_script)
            if not in_script:
                values |= {f"env {name}": value for name, value in self.env.items()}
        text = "".join(f"{name}\0{value}\0" for name, value in values.items())
        return text.encode("utf-8", "surrogateescape")

    def _sudo(self) -> str:
        return f"sudo -n -u {quote(self.user or '')} -H --"


def _change_directory(cwd: str | None) -> str:
    """Return the ``cd`` of a script.

    The helper starts in the home directory of the session's user, not of the current one.
    """
    return "cd 2>/dev/null || cd /; " if cwd is None else f"cd -- {quote(cwd)} && "


def join_words(words: Sequence[str], *, join: bool) -> str:
    """Turn the words after the target into shell text.

    Args:
        words: one word is shell text; several words are one argument each.
        join: join several words with spaces, as ssh does.
    """
    if len(words) == 1 or join:
        return " ".join(words)
    return " ".join(quote(word) for word in words)
