"""The script for zsh: zsh splits and unquotes the words, so the loop over them is short; descriptions are shown."""

from __future__ import annotations

from aws_runas.cli.completion.table import Flag, Table

_SCRIPT = r"""#compdef aws-runas
# zsh completion for aws-runas. Load it after compinit with: source <(aws-runas completion zsh)
# or save it as _aws-runas in a folder of $fpath.
# Flags and commands are those of this version. Profiles are read from the config at each completion.

_aws-runas_table() {
  # command -> flags with their descriptions, those that take an argument, positions, and what an argument can be
  case $1 in
@TABLE@
    ssm) return 0 ;;
    *) return 1 ;;
  esac
  if [[ -n $AWS_PROFILE$AWS_DEFAULT_PROFILE && $positions[1] == (profile|either) && $#positions == 2 ]]; then
    # with AWS_PROFILE set, the profile is left out; the shell function (aws-runas init) takes one nevertheless
    (( $+functions[$typed] )) || shift positions
  fi
}

_aws-runas_names() {
  # ask the program itself, also if a shell function was typed
  local program=$typed
  (( $+functions[$typed] )) && program=aws-runas
  _call_program names command ${(q)program} completion $1 2>/dev/null
}

_aws-runas_profiles() {
  local -a profiles=("${(@f)$(_aws-runas_names --profiles)}")
  profiles=(${profiles:#})
  (( $#profiles )) && _wanted profiles expl profile compadd -a profiles
}

_aws-runas_tunnels() {
  local -a tunnels=("${(@f)$(_aws-runas_names --tunnels)}")
  tunnels=(${tunnels:#})
  (( $#tunnels )) && _wanted tunnels expl tunnel compadd -a tunnels
}

_aws-runas() {
  local -a flags valued positions verbs
  local -A values
  local command word ended kind expl typed=$words[1]
  integer position=2 count=1
  verbs=( # not "commands": that is what zsh keeps the programs of PATH in
@COMMANDS@
  )
  _aws-runas_table ''
  while (( position < CURRENT )); do
    word=$words[position]
    if [[ -z $ended && $word == -- ]]; then
      ended=1
      [[ -n $command ]] || { command=exec; _aws-runas_table exec }
    elif [[ -z $ended && $word == -?* ]]; then
      if (( $valued[(Ie)$word] )); then
        (( position++ ))
        if (( position == CURRENT )); then
          [[ $word == --profile ]] && _aws-runas_profiles
          (( $+values[$word] )) && _wanted values expl value compadd -- ${(s:,:)values[$word]}
          return
        fi
      fi
    elif [[ -z $command ]] && _aws-runas_table $word; then
      [[ $word == ssm ]] || command=$word
    else
      [[ -n $command ]] || { command=exec; _aws-runas_table exec }
      kind=$positions[count]
      if [[ $kind == program ]]; then
        shift $(( position - 1 )) words
        (( CURRENT -= position - 1 ))
        _normal
        return
      fi
      [[ $kind == (profile|either|tunnel|nothing) ]] && ended=1 # words before the profile do not end the flags
      (( count++ ))
    fi
    (( position++ ))
  done
  if [[ -z $ended && $words[CURRENT] == -* ]]; then
    if [[ $words[CURRENT] == *=* ]]; then
      word=${words[CURRENT]%%=*}
      compset -P '*='
      [[ $word == --profile ]] && _aws-runas_profiles
      (( $+values[$word] )) && _wanted values expl value compadd -- ${(s:,:)values[$word]}
      return
    fi
    _describe -o flag flags
    return
  fi
  if [[ -z $command ]]; then
    if (( CURRENT > 2 )) && [[ $words[CURRENT-1] == ssm ]]; then
      _wanted commands expl command compadd -- @SSM@
      return
    fi
    _describe -t commands command verbs
    count=1
    positions=(profile program)
    [[ -n $AWS_PROFILE$AWS_DEFAULT_PROFILE ]] && (( ! $+functions[$typed] )) && positions=(program)
  fi
  kind=$positions[count]
  case $kind in
    profile) _aws-runas_profiles ;;
    tunnel) _aws-runas_tunnels ;;
    either) _aws-runas_profiles; _aws-runas_tunnels ;;
    program)
      if [[ -n $command || -n $words[CURRENT] ]]; then
        words=($words[CURRENT,-1])
        CURRENT=1
        _normal
      fi ;;
    nothing|'') ;;
    *) _wanted words expl word compadd -- ${(s:,:)kind} ;;
  esac
}

if [[ $funcstack[1] == _aws-runas ]]; then
  _aws-runas "$@"
elif (( $+functions[compdef] )); then
  compdef _aws-runas aws-runas
fi
"""


def script(found: Table) -> str:
    """Return the completion script.

    Args:
        found: the possible words at each position.
    """
    rows = [_row("''", found.flags, ())]
    rows += [_row("|".join(command.names), command.flags, command.positions) for command in found.commands]
    described = [f"    {_pair(name, command.summary)}" for command in found.commands for name in command.names[:1]]
    described.append(f"    {_pair(found.ssm, 'shell, forward or ssh, as version 3 spells them')}")
    return (
        _SCRIPT.replace("@TABLE@", "\n".join(rows))
        .replace("@SSM@", " ".join(found.ssm_commands))
        .replace("@COMMANDS@", "\n".join(described))
    )


def _row(names: str, flags: tuple[Flag, ...], positions: tuple[str | tuple[str, ...], ...]) -> str:
    described = " ".join(_pair(name, flag.help) for flag in flags for name in flag.spellings)
    valued = " ".join(name for flag in flags if flag.takes_value for name in flag.spellings)
    values = " ".join(f"{name} {','.join(flag.values)}" for flag in flags if flag.values for name in flag.spellings)
    kinds = " ".join(position if isinstance(position, str) else ",".join(position) for position in positions)
    return (
        f"    {names})\n      flags=({described})\n      valued=({valued})\n"
        f"      values=({values})\n      positions=({kinds})\n      ;;"
    )


def _pair(name: str, text: str) -> str:
    """Return ``'name:text'`` for _describe, with colons in the name escaped."""
    return "'" + f"{name.replace(':', chr(92) + ':')}:{text}".replace("'", "'\\''") + "'"
