"""The script for bash, 3.2 and later (macOS has that): no associative arrays, and compopt is optional."""

from __future__ import annotations

import shlex

from aws_runas.cli.completion.table import Flag, Table

_SCRIPT = r"""# bash completion for aws-runas. Load it with: source <(aws-runas completion bash)
# Flags and commands are those of this version. Profiles are read from the config at each completion.

_aws_runas_table() {
  # command -> flags, those that take an argument, positions, and what an argument can be
  case $1 in
@TABLE@
  esac
}

_aws_runas_reply() {
  # offer lines of stdin that begin with what is typed; bash splits words at : and =, so their front is cut off
  local line front=""
  case $quote$cur in [!\'\"]*[:=]*) front=${cur%"${cur##*[:=]}"} ;; esac
  while IFS= read -r line; do
    [[ -n $line && $line == "$cur"* ]] || continue
    line=${line#"$front"}
    [[ -n $quote ]] || printf -v line '%q' "$line" # within quotes, bash adds the closing one by itself
    COMPREPLY[${#COMPREPLY[@]}]=$line
  done
}

_aws_runas_split() {
  # split line $1 into typed (words without quotes and backslashes) and spelled (the same as typed), quote: one is open
  local line=$1 index character word="" spelling="" started=""
  quote="" typed=() spelled=()
  for ((index = 0; index < ${#line}; index++)); do
    character=${line:index:1}
    if [[ -z $quote && $character == [[:space:]] ]]; then
      if [[ -n $started ]]; then
        typed[${#typed[@]}]=$word spelled[${#spelled[@]}]=$spelling
      fi
      word="" spelling="" started=""
      continue
    fi
    started=1 spelling+=$character
    if [[ $character == '\' && $quote != "'" ]]; then
      index=$((index + 1))
      character=${line:index:1}
      spelling+=$character
      [[ $quote == '"' && $character != [\"\\\$\`] ]] && word+='\'
      word+=$character
    elif [[ -z $quote && $character == [\'\"] ]]; then
      quote=$character
    elif [[ -n $quote && $character == "$quote" ]]; then
      quote=""
    else
      word+=$character
    fi
  done
  typed[${#typed[@]}]=$word spelled[${#spelled[@]}]=$spelling
}

_aws_runas_program() {
  # a program and its arguments, from word $1 on: its own completion, where bash-completion is there to find it
  local position=$1 offset=0 number joined
  for ((number = 0; number < position; number++)); do
    joined=""
    while [[ $joined != "${spelled[number]}" && $offset -lt ${#COMP_WORDS[@]} ]]; do
      joined+=${COMP_WORDS[offset]}
      offset=$((offset + 1))
    done
  done
  if declare -F _command_offset >/dev/null || declare -F _comp_command_offset >/dev/null; then
    if declare -F _command_offset >/dev/null; then _command_offset "$offset"; else _comp_command_offset "$offset"; fi
    return
  fi
  compopt -o filenames 2>/dev/null
  if [[ $position -eq $last ]]; then
    while IFS= read -r joined; do COMPREPLY[${#COMPREPLY[@]}]=$joined; done < <(compgen -c -- "$cur" | sort -u)
  else
    while IFS= read -r joined; do COMPREPLY[${#COMPREPLY[@]}]=$joined; done < <(compgen -f -- "$cur")
  fi
}

_aws_runas() {
  COMPREPLY=()
  local -a typed spelled
  local line=${COMP_LINE:0:COMP_POINT} quote="" command="" word flags="" valued="" positions="" values="" cur last
  local position=1 count=0 ended="" wanted kind
  _aws_runas_split "$line"
  last=$((${#typed[@]} - 1))
  cur=${typed[last]}
  _aws_runas_table ""
  while [[ $position -lt $last ]]; do
    word=${typed[position]}
    if [[ -z $ended && $word == -- ]]; then
      ended=1
      [[ -n $command ]] || { command=exec; _aws_runas_table exec; _aws_runas_without_profile; }
    elif [[ -z $ended && $word == -?* ]]; then
      case " $valued " in *" $word "*)
        position=$((position + 1))
        if [[ $position -eq $last ]]; then
          [[ $word == --profile ]] && _aws_runas_reply < <(_aws_runas_names --profiles)
          for wanted in $values; do
            [[ $wanted == "$word="* ]] && _aws_runas_reply < <(tr , '\n' <<<"${wanted#*=}")
          done
          return
        fi ;;
      esac
    elif [[ -z $command ]] && _aws_runas_table "$word"; then
      _aws_runas_without_profile
      [[ $word == ssm ]] || command=$word
    else
      [[ -n $command ]] || { command=exec; _aws_runas_table exec; _aws_runas_without_profile; }
      # words that come before the profile do not end the flags
      kind=$(_aws_runas_kind "$count")
      if [[ $kind == program ]]; then _aws_runas_program "$position"; return; fi
      case $kind in profile | either | tunnel | nothing) ended=1 ;; esac
      count=$((count + 1))
    fi
    position=$((position + 1))
  done
  if [[ -z $ended && $cur == -* ]]; then
    _aws_runas_reply < <(printf '%s\n' $flags)
    [[ $cur == --profile=* ]] && _aws_runas_reply < <(_aws_runas_names --profiles | sed "s/^/--profile=/")
    for wanted in $values; do
      [[ $cur == "${wanted%%=*}="* ]] && _aws_runas_reply < <(tr , '\n' <<<"${wanted#*=}" | sed "s/^/${wanted%%=*}=/")
    done
    return
  fi
  if [[ -z $command ]]; then
    if [[ ${typed[last - 1]} == ssm && $last -gt 1 ]]; then
      _aws_runas_reply < <(printf '%s\n' @SSM@)
      return
    fi
    _aws_runas_reply < <(printf '%s\n' @COMMANDS@)
    positions="profile program"
    _aws_runas_without_profile
    count=0
  fi
  kind=$(_aws_runas_kind "$count")
  case $kind in
    profile) _aws_runas_reply < <(_aws_runas_names --profiles) ;;
    tunnel) _aws_runas_reply < <(_aws_runas_names --tunnels) ;;
    either) _aws_runas_reply < <(_aws_runas_names --profiles; _aws_runas_names --tunnels) ;;
    program) [[ -n $cur || -n $command ]] && _aws_runas_program "$last" ;;
    nothing | "") ;;
    *) _aws_runas_reply < <(tr , '\n' <<<"$kind") ;;
  esac
}

_aws_runas_names() {
  # ask the program itself, also if a shell function (aws-runas init) was typed
  local program=${typed[0]}
  declare -F "$program" >/dev/null && program=aws-runas
  command "$program" completion "$1" 2>/dev/null
}

_aws_runas_without_profile() {
  # with AWS_PROFILE set, the profile is left out; the shell function takes one nevertheless
  declare -F "${typed[0]}" >/dev/null && return
  if [[ -n ${AWS_PROFILE:-}${AWS_DEFAULT_PROFILE:-} ]]; then
    case $positions in "profile program" | "profile nothing" | "either tunnel") positions=${positions#* } ;; esac
  fi
}

_aws_runas_kind() {
  local -a each
  read -r -a each <<<"$positions"
  printf '%s' "${each[$1]:-}"
}

complete -F _aws_runas aws-runas
"""


def script(found: Table) -> str:
    """Return the completion script.

    Args:
        found: the possible words at each position.
    """
    rows = [_row("''", found.flags, ())]
    rows += [_row("|".join(command.names), command.flags, command.positions) for command in found.commands]
    rows.append("    ssm) return 0 ;;\n    *) return 1 ;;")
    names = [command.names[0] for command in found.commands] + [found.ssm]
    return (
        _SCRIPT.replace("@TABLE@", "\n".join(rows))
        .replace("@SSM@", " ".join(found.ssm_commands))
        .replace("@COMMANDS@", " ".join(names))
    )


def _row(names: str, flags: tuple[Flag, ...], positions: tuple[str | tuple[str, ...], ...]) -> str:
    spelled = [name for flag in flags for name in flag.spellings]
    valued = [name for flag in flags if flag.takes_value for name in flag.spellings]
    values = [f"{name}={','.join(flag.values)}" for flag in flags if flag.values for name in flag.spellings]
    kinds = [position if isinstance(position, str) else ",".join(position) for position in positions]
    assigned = {"flags": spelled, "valued": valued, "values": values, "positions": kinds}
    settings = "\n".join(f"      {name}={shlex.quote(' '.join(words))}" for name, words in assigned.items())
    return f"    {names})\n{settings}\n      ;;"
