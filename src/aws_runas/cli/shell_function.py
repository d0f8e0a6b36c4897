"""The shell function ``runas``: its text for each shell, and what this program does when the function calls it.

The function calls the program twice at most. The first call carries AWSRUNAS_FUNCTION and requests exports; its output
is evaluated only if it succeeds. A line that does not request exports (a program, another command, help) ends with the
status FUNCTION_DECLINED before anything happens, and the function runs it as it was typed, in the foreground.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aws_runas.errors import UsageError
from aws_runas.fast.names import FUNCTION_DECLINED, FUNCTION_VARIABLE, FUNCTION_VERSION

if TYPE_CHECKING:
    from aws_runas.cli.parsing.parser import Parsed

FORMATS = {"bash": "env", "zsh": "env", "fish": "fish", "powershell": "powershell"}  # shell -> format of -O
DEFAULT_NAME = "runas"
LOAD = {
    "bash": 'eval "$(aws-runas init bash{flags})"',
    "zsh": 'eval "$(aws-runas init zsh{flags})"',
    "fish": "aws-runas init fish{flags} | source",
    "powershell": "aws-runas init powershell{flags} | Out-String | Invoke-Expression",
}  # what a user types, or has in the shell's start-up file
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# Words with a special meaning in a shell, or that the function itself uses.
_RESERVED = frozenset(
    (
        *("and", "begin", "break", "builtin", "case", "command", "continue", "coproc", "do", "done", "elif", "else"),
        *("end", "esac", "eval", "exit", "export", "fi", "for", "foreach", "function", "if", "in", "local", "not"),
        *("or", "return", "select", "set", "source", "status", "string", "switch", "test", "then", "time", "trap"),
        *("unset", "until", "while"),
    )
)

_BASH = """\
# aws-runas in this shell: function @NAME@, version @VERSION@. Load it with: @LOAD@
unalias @NAME@ 2>/dev/null || :
function @NAME@ {
  local exports code=0
  exports=$(@VARIABLE@=@VERSION@:@SHELL@:@NAME@ command aws-runas "$@") || code=$?
  case $code in
    0) eval "$exports" ;;
    @DECLINED@) command aws-runas "$@" ;;
    *) return "$code" ;;
  esac
}
"""
# The first press of the completion key loads the completion, so that it does not delay the start of the shell.
_COMPLETE_BASH = """\
_aws_runas_load() {
  eval "$(command aws-runas completion bash 2>/dev/null)"
  declare -F _aws_runas >/dev/null || return 1
  complete -F _aws_runas aws-runas @NAME@
  _aws_runas "$@"
}
complete -F _aws_runas_load aws-runas @NAME@
"""
_COMPLETE_ZSH = """\
_aws-runas_load() {
  eval "$(command aws-runas completion zsh 2>/dev/null)"
  (( $+functions[_aws-runas] )) || return 1
  compdef _aws-runas aws-runas @NAME@
  _aws-runas "$@"
}
if (( $+functions[compdef] )); then
  compdef _aws-runas_load aws-runas @NAME@
fi
"""
_FISH = """\
# aws-runas in this shell: function @NAME@, version @VERSION@. Load it with: @LOAD@
function @NAME@ --description 'Set the credentials of a profile in this shell, or run a program with them'
    set -l exports (@VARIABLE@=@VERSION@:fish:@NAME@ command aws-runas $argv)
    set -l code $status
    switch $code
        case 0
            string join \\n -- $exports | source
            return 0
        case @DECLINED@
            command aws-runas $argv
        case '*'
            return $code
    end
end
complete -c @NAME@ -w aws-runas
function __aws_runas_load
    complete -c aws-runas -e
    command aws-runas completion fish 2>/dev/null | source
    complete -C (commandline -cp)
end
complete -c aws-runas -f -a '(__aws_runas_load)'
"""
_POWERSHELL = """\
# aws-runas in this shell: function @NAME@, version @VERSION@. Load it with: @LOAD@
function @NAME@ {
    $program = (Get-Command -Name aws-runas -CommandType Application -ErrorAction Stop | Select-Object -First 1).Source
    $env:@VARIABLE@ = '@VERSION@:powershell:@NAME@'
    try { $exports = & $program @args } finally { Remove-Item Env:@VARIABLE@ }
    if ($LASTEXITCODE -eq 0) {
        if ($exports) { ($exports -join "`n") | Invoke-Expression }
    } elseif ($LASTEXITCODE -eq @DECLINED@) {
        & $program @args
    }
}
aws-runas completion powershell | Out-String | Invoke-Expression
"""
_TEXTS = {"bash": _BASH + _COMPLETE_BASH, "zsh": _BASH + _COMPLETE_ZSH, "fish": _FISH, "powershell": _POWERSHELL}


def check_name(name: str) -> None:
    """Check the name of the function.

    Args:
        name: as typed.

    Raises:
        UsageError: a shell could not call a function of that name.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UsageError(
            f"{name!r} is not a valid name for a function",
            code="function-name-invalid",
            hint="use letters, digits, _ and -, and no reserved word of the shell, such as: --name ra",
        )


def text(shell: str, name: str) -> str:
    """Return the function and its completion, to be evaluated by a shell.

    Args:
        shell: one of FORMATS.
        name: name of the function, checked by `check_name`.
    """
    values = {
        "@LOAD@": load_line(shell, name),
        "@NAME@": name,
        "@SHELL@": shell,
        "@VERSION@": FUNCTION_VERSION,
        "@VARIABLE@": FUNCTION_VARIABLE,
        "@DECLINED@": str(FUNCTION_DECLINED),
    }
    found = _TEXTS[shell]
    for mark, value in values.items():
        found = found.replace(mark, value)
    return found


def load_line(shell: str, name: str = DEFAULT_NAME) -> str:
    """Return the line that loads the function.

    Args:
        shell: one of FORMATS.
        name: name of the function.
    """
    return LOAD[shell].format(flags="" if name == DEFAULT_NAME else f" --name {name}")


def translate(words: Sequence[str]) -> Sequence[str]:
    """Translate a line of the function to a command line of the program: ``-`` alone removes the variables.

    Args:
        words: arguments of the function.
    """
    return ["--unset"] if list(words) == ["-"] else words


def asks_for_exports(parsed: Parsed) -> bool:
    """Return False if a line is plainly something other than a profile whose credentials should be exported.

    Args:
        parsed: the command line.
    """
    from aws_runas.cli.parsing.parser import QUESTIONS

    if parsed.help or parsed.command != "exec" or parsed.flags.output or parsed.flags.write_credentials:
        return False
    return not any(getattr(parsed.flags, field) for field in QUESTIONS)


def output_format(function: str) -> str:
    """Return the format that the calling function evaluates.

    Args:
        function: ``VERSION:SHELL:NAME``.
    """
    return FORMATS.get(function.split(":")[1:2][0] if ":" in function else "", "env")


def age_note(function: str) -> str:
    """Return a note if the calling function has a different version than this program, else "".

    Args:
        function: ``VERSION:SHELL:NAME``.
    """
    version, _, rest = function.partition(":")
    shell, _, name = rest.partition(":")
    if version == FUNCTION_VERSION or shell not in FORMATS or not _NAME.fullmatch(name):
        return ""
    return (
        f"aws-runas: note: the function {name} in this shell has version {version}, this program has version "
        f"{FUNCTION_VERSION}; load it again: {load_line(shell, name)}\n"
    )


def terminal_note(environ: Mapping[str, str]) -> str:
    """Return the note for lines that were printed on a terminal, where they set nothing.

    Args:
        environ: SHELL names the shell, as far as it can be known.
    """
    shell = os.path.basename(environ.get("SHELL", ""))
    if shell in FORMATS:
        return (
            f"aws-runas: note: this shell is unchanged; to set the variables with: {DEFAULT_NAME} PROFILE, "
            f"load that function once: {load_line(shell)}\n"
        )
    return "aws-runas: note: this shell is unchanged; aws-runas init --help shows how to set the variables in it\n"
