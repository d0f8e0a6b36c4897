"""The script for fish: one function finds the cursor position, and the rules call it."""

from __future__ import annotations

from aws_runas.cli.completion.table import Flag, Table

_SCRIPT = r"""# fish completion for aws-runas. Load it with: aws-runas completion fish | source
# Flags and commands are those of this version. Profiles are read from the config at each completion.

function __aws_runas_where
    # prints: command, kind of word at the cursor (flag value, profile, program, nothing, a list), position of a program
    set -l typed (commandline -opc)
    set -l command ''
    set -l ended ''
    set -l count 1
    set -l position 2
    set -l valued @VALUED@
    set -l positions
    while test $position -le (count $typed)
        set -l word $typed[$position]
        if test -z "$ended"; and test "$word" = --
            set ended 1
            test -n "$command"; or set command exec
            set positions (__aws_runas_positions $command)
        else if test -z "$ended"; and string match -q -- '-?*' $word
            if contains -- $word $valued
                set position (math $position + 1)
                if test $position -gt (count $typed)
                    printf '%s\n' "$command" value 0
                    return
                end
            end
        else if test -z "$command"; and contains -- $word @NAMES@
            if test $word != ssm
                set command $word
                set positions (__aws_runas_positions $command)
            end
        else
            if test -z "$command"
                set command exec
                set positions (__aws_runas_positions exec)
            end
            set -l kind nothing
            test $count -le (count $positions); and set kind $positions[$count]
            if test $kind = program
                printf '%s\n' $command program $position
                return
            end
            contains -- $kind profile either tunnel nothing; and set ended 1
            set count (math $count + 1)
        end
        set position (math $position + 1)
    end
    if test -z "$ended"; and string match -q -- '-*' (commandline -ct)
        printf '%s\n' "$command" flag 0
        return
    end
    if test -z "$command"
        if test (count $typed) -gt 1; and test "$typed[-1]" = ssm
            printf '%s\n' '' ssm 0
            return
        end
        set positions (__aws_runas_positions exec)
        printf '%s\n' '' "top $positions[1]" $position
        return
    end
    set -l kind nothing
    test $count -le (count $positions); and set kind $positions[$count]
    printf '%s\n' $command $kind $position
end

function __aws_runas_positions
    set -l positions
    switch $argv[1]
@POSITIONS@
    end
    # with AWS_PROFILE set, the profile is left out; the shell function (aws-runas init) takes one nevertheless
    set -l typed (commandline -opc)
    if test -n "$AWS_PROFILE$AWS_DEFAULT_PROFILE"; and test (count $positions) -eq 2; and not functions -q $typed[1]
        and contains -- $positions[1] profile either
        set -e positions[1]
    end
    printf '%s\n' $positions
end

function __aws_runas_is
    # true if a word of kind $argv[1] belongs at the cursor
    set -l where (__aws_runas_where)
    contains -- $argv[1] (string split ' ' -- $where[2])
end

function __aws_runas_takes
    # true if a flag of the commands $argv belongs here; an empty word means no command yet
    set -l where (__aws_runas_where)
    contains -- $where[2] flag value; and contains -- "$where[1]" $argv
end

function __aws_runas_names
    # ask the program itself, also if a shell function was typed
    set -l typed (commandline -opc)
    set -l program $typed[1]
    functions -q $program; and set program aws-runas
    command $program completion $argv[1] 2>/dev/null
end

function __aws_runas_profiles
    __aws_runas_names --profiles
end

function __aws_runas_tunnels
    __aws_runas_names --tunnels
end

function __aws_runas_program
    set -l where (__aws_runas_where)
    set -l typed (commandline -opc) (commandline -ct)
    set -l rest $typed[$where[3]..-1]
    test (count $rest) -gt 1; or test -n "$rest[1]"; or test -n "$where[1]"; or return
    complete -C (string join ' ' -- (string escape -- $rest[1..-2]) "$rest[-1]")
end

complete -c aws-runas -f
complete -c aws-runas -n '__aws_runas_is profile' -a '(__aws_runas_profiles)' -d profile
complete -c aws-runas -n '__aws_runas_is tunnel' -a '(__aws_runas_tunnels)' -d tunnel
complete -c aws-runas -n '__aws_runas_is either' -a '(__aws_runas_profiles)' -d profile
complete -c aws-runas -n '__aws_runas_is either' -a '(__aws_runas_tunnels)' -d tunnel
complete -c aws-runas -n '__aws_runas_is program' -a '(__aws_runas_program)'
complete -c aws-runas -n '__aws_runas_is ssm' -a '@SSM@'
@RULES@
"""


def script(found: Table) -> str:
    """Return the completion script.

    Args:
        found: the possible words at each position.
    """
    names = [name for command in found.commands for name in command.names]
    valued = {
        name for command in found.commands for flag in command.flags if flag.takes_value for name in flag.spellings
    }
    positions = []
    rules = []
    for command in found.commands:
        kinds = " ".join(one if isinstance(one, str) else ",".join(one) for one in command.positions)
        positions += [f"        case {' '.join(command.names)}", f"            set positions {kinds}"]
        words = [" ".join(one) for one in command.positions if not isinstance(one, str)]
        rules += [
            f"complete -c aws-runas -n '__aws_runas_is {one.replace(' ', ',')}' -a {_quoted(one)}" for one in words
        ]
        rules += [
            f"complete -c aws-runas -n '__aws_runas_is top' -a {name} -d {_quoted(command.summary)}"
            for name in command.names[:1]
        ]
    rules.append(f"complete -c aws-runas -n '__aws_runas_is top' -a {found.ssm}")
    for flag, takers in _takers(found):
        rules.append(_rule(flag, takers))
    return (
        _SCRIPT.replace("@VALUED@", " ".join(sorted(valued)))
        .replace("@NAMES@", " ".join([*names, found.ssm]))
        .replace("@POSITIONS@", "\n".join(positions))
        .replace("@SSM@", " ".join(found.ssm_commands))
        .replace("@RULES@", "\n".join(rules))
    )


def _takers(found: Table) -> list[tuple[Flag, list[str]]]:
    """Return each flag once, with the commands that take it; "''" means that no command was typed yet."""
    takers: dict[Flag, list[str]] = {}
    for flag in found.flags:
        takers.setdefault(flag, []).append("''")
    for command in found.commands:
        for flag in command.flags:
            takers.setdefault(flag, []).extend(command.names)
    return list(takers.items())


def _rule(flag: Flag, takers: list[str]) -> str:
    words = [f'complete -c aws-runas -n "__aws_runas_takes {" ".join(takers)}"']
    for spelling in flag.spellings:
        words.append(f"-l {spelling[2:]}" if spelling.startswith("--") else f"-s {spelling[1:]}")
    if flag.takes_value:
        values = "(__aws_runas_profiles)" if "--profile" in flag.spellings else " ".join(flag.values)
        words.append("-x" + (f" -a {_quoted(values)}" if values else ""))
    return " ".join([*words, f"-d {_quoted(flag.help)}"])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
